//! What stands in a directory, and what a symbolic link says: runs of bytes with limits.

use super::Refusal;
use bytes::Bytes;
use std::fmt;

/// The longest name of a directory entry, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest target of a symbolic link, in bytes: what fits a path of Linux with its NUL.
pub const TARGET_BYTES_MAX: usize = 4095;

/// The name of a directory entry: 1 to 255 bytes, neither `.` nor `..`, no `/`, no NUL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Bytes);

impl Name {
    pub fn new(name: impl Into<Bytes>) -> Result<Self, Refusal> {
        let name = name.into();
        if name.len() > NAME_BYTES_MAX {
            return Err(Refusal::NameTooLong);
        }
        let forbidden = name.is_empty() || &name[..] == b"." || &name[..] == b"..";
        if forbidden || name.iter().any(|byte| matches!(byte, 0 | b'/')) {
            return Err(Refusal::Invalid);
        }
        Ok(Self(name))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// What a symbolic link says: 1 to 4,095 bytes without a NUL. Whether it leads anywhere is of no
/// concern here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(Bytes);

impl Target {
    pub fn new(target: impl Into<Bytes>) -> Result<Self, Refusal> {
        let target = target.into();
        if target.is_empty() {
            return Err(Refusal::NotFound);
        }
        if target.len() > TARGET_BYTES_MAX {
            return Err(Refusal::NameTooLong);
        }
        if target.contains(&0) { Err(Refusal::Invalid) } else { Ok(Self(target)) }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "-> {:?}", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_directory_can_hold_are_refused() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"a\0b"] {
            assert_eq!(Name::new(bad), Err(Refusal::Invalid), "{bad:?}");
        }
        assert_eq!(Name::new(vec![b'x'; 256]), Err(Refusal::NameTooLong));
        assert!(Name::new(vec![b'x'; 255]).is_ok());
        assert!(Name::new(&b"..."[..]).is_ok());
    }

    #[test]
    fn a_link_says_something_of_a_bounded_length() {
        assert_eq!(Target::new(&b""[..]), Err(Refusal::NotFound));
        assert_eq!(Target::new(&b"a\0b"[..]), Err(Refusal::Invalid));
        assert_eq!(Target::new(vec![b'x'; 4_096]), Err(Refusal::NameTooLong));
        assert!(Target::new(vec![b'/'; 4_095]).is_ok());
    }
}
