//! How a record is written down. One description serves both the image of a state and its hash, so
//! that nothing can be in one and missing from the other. Numbers are little-endian, strings of
//! bytes are preceded by their length.

/// What records are written to.
pub(crate) trait Sink {
    fn u8(&mut self, value: u8);
    fn u16(&mut self, value: u16);
    fn u32(&mut self, value: u32);
    fn u64(&mut self, value: u64);
    /// At most 255 bytes.
    fn bytes(&mut self, value: &[u8]);
    /// Bytes of any length.
    fn long(&mut self, value: &[u8]);
}

/// A kind of record: what it is keyed by and how it is written down.
pub(crate) trait Record: Clone {
    type Key: Ord + Clone;
    /// Tells the tables apart in images and hashes, for good; never 0.
    const TABLE: u8;
    fn put<S: Sink>(&self, key: &Self::Key, sink: &mut S);
    /// Reads one back, or names the field that is wrong.
    fn take(reader: &mut Reader<'_>) -> Result<(Self::Key, Self), &'static str>;
}

impl Sink for Vec<u8> {
    fn u8(&mut self, value: u8) {
        self.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        assert!(value.len() <= 255, "the length is one byte");
        self.push(value.len() as u8);
        self.extend_from_slice(value);
    }

    fn long(&mut self, value: &[u8]) {
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.extend_from_slice(value);
    }
}

/// Bytes from outside, taken piece by piece; every failure names the field.
pub(crate) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], &'static str> {
        let (head, rest) = self.left.split_first_chunk::<N>().ok_or(field)?;
        self.left = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, &'static str> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, &'static str> {
        self.array(field).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, &'static str> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, &'static str> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A number that was counted up from a small one: far from its end.
    pub(crate) fn count(&mut self, field: &'static str) -> Result<u64, &'static str> {
        let count = self.u64(field)?;
        if count > 1 << 62 { Err(field) } else { Ok(count) }
    }

    pub(crate) fn u128(&mut self, field: &'static str) -> Result<u128, &'static str> {
        self.array(field).map(u128::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], &'static str> {
        let length = usize::from(self.u8(field)?);
        self.take(length, field)
    }

    /// Bytes of any length.
    pub(crate) fn long(&mut self, field: &'static str) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(self.u32(field)?).map_err(|_| field)?;
        self.take(length, field)
    }

    fn take(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], &'static str> {
        let (head, rest) = self.left.split_at_checked(length).ok_or(field)?;
        self.left = rest;
        Ok(head)
    }
}
