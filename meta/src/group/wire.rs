//! The few shapes that a group's own bytes are made of: little-endian numbers and counted strings.
//! Knows nothing of what they mean.

use bytes::Bytes;

/// Bytes that are not what they should be. Names the field, so that one line says it all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Malformed {
    pub field: &'static str,
    pub why: String,
}

pub(super) fn malformed<T>(field: &'static str, why: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed { field, why: why.into() })
}

/// Takes bytes apart from the front.
pub(super) struct Reader {
    bytes: Bytes,
}

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes }
    }

    fn take(&mut self, field: &'static str, count: usize) -> Result<Bytes, Malformed> {
        if self.bytes.len() < count {
            return malformed(field, format!("{count} bytes wanted, {} left", self.bytes.len()));
        }
        Ok(self.bytes.split_to(count))
    }

    pub(super) fn byte(&mut self, field: &'static str) -> Result<u8, Malformed> {
        Ok(self.take(field, 1)?[0])
    }

    pub(super) fn word(&mut self, field: &'static str) -> Result<u32, Malformed> {
        let taken = self.take(field, 4)?;
        Ok(u32::from_le_bytes(std::array::from_fn(|index| taken[index])))
    }

    pub(super) fn long(&mut self, field: &'static str) -> Result<u64, Malformed> {
        let taken = self.take(field, 8)?;
        Ok(u64::from_le_bytes(std::array::from_fn(|index| taken[index])))
    }

    /// A string with its length in 32 bits before it.
    pub(super) fn string(&mut self, field: &'static str) -> Result<Bytes, Malformed> {
        let length = self.word(field)?;
        self.take(field, length as usize)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is left, all of it.
    pub(super) fn rest(self) -> Bytes {
        self.bytes
    }

    /// Nothing may be left: bytes nobody read are bytes somebody misunderstood.
    pub(super) fn end(self, field: &'static str) -> Result<(), Malformed> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        malformed(field, format!("{} bytes too many", self.bytes.len()))
    }
}

/// Appends a string with its length in 32 bits before it.
pub(super) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("no string of a group's own comes near 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}
