//! Reading and writing the little-endian fields that every format here is made of.

/// Takes fields off the front of some bytes; `None` as soon as there are too few.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Are these bytes nothing but zeros?
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

/// Puts a name behind a directory; "" is the data directory itself.
pub(crate) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// The directories above a path, the nearest last: "" , "a", "a/b" for "a/b/c".
pub(crate) fn ancestors(path: &str) -> Vec<&str> {
    let mut above = vec![""];
    above.extend(path.match_indices('/').map(|(at, _)| &path[..at]));
    above
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_end_where_the_bytes_end() {
        let mut fields = Fields::new(&[1, 0, 0, 0, 2, 0]);
        assert_eq!(fields.u32(), Some(1));
        assert_eq!(fields.u32(), None);
        assert_eq!(fields.rest(), [2, 0]);
    }

    #[test]
    fn a_single_bit_is_not_zero() {
        let mut bytes = vec![0; 10_000];
        assert!(is_zero(&bytes));
        bytes[9_999] = 0x80;
        assert!(!is_zero(&bytes));
    }

    #[test]
    fn ancestors_are_listed_from_the_top() {
        assert_eq!(ancestors("a/b/c"), ["", "a", "a/b"]);
        assert_eq!(ancestors("a"), [""]);
    }
}
