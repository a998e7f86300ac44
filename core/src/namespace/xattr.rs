//! Extended attributes: names in a namespace, and values, both with limits.

use super::Refusal;
use bytes::Bytes;
use std::fmt;

/// The longest name, in bytes; Linux asks for no longer one.
pub const XATTR_NAME_BYTES_MAX: usize = 255;
/// The longest value.
pub const XATTR_VALUE_BYTES_MAX: usize = 64 << 10;
/// What all attributes of one inode may have together: their values, and their names with a NUL each.
pub const XATTR_BYTES_MAX: usize = 128 << 10;

/// What decides who may see an attribute and who may set it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum XattrSpace {
    /// Of files and directories, for who may read and write them.
    User,
    /// Root's; nobody else sees that it is there.
    Trusted,
    /// Seen by all, set by root.
    Security,
}

/// The name of an extended attribute: a namespace that is known here, and something behind it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct XattrName(Bytes);

impl XattrName {
    /// Refused with [`Refusal::Unsupported`]: what has a meaning that is not kept up here, and is
    /// therefore never there.
    pub fn new(name: impl Into<Bytes>) -> Result<Self, Refusal> {
        let name = name.into();
        if name.len() > XATTR_NAME_BYTES_MAX {
            return Err(Refusal::NameTooLong);
        }
        let (_, prefix) = space(&name).ok_or(Refusal::Unsupported)?;
        // A program would be given privileges by whoever wrote to it last.
        if &name[..] == b"security.capability" {
            return Err(Refusal::Unsupported);
        }
        if name.len() == prefix || name.contains(&0) { Err(Refusal::Invalid) } else { Ok(Self(name)) }
    }

    pub fn space(&self) -> XattrSpace {
        space(&self.0).map_or(XattrSpace::Trusted, |(space, _)| space)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl fmt::Debug for XattrName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// The namespace, and the length of its prefix.
fn space(name: &[u8]) -> Option<(XattrSpace, usize)> {
    let known: [(&[u8], XattrSpace); 3] = [
        (b"user.", XattrSpace::User),
        (b"trusted.", XattrSpace::Trusted),
        (b"security.", XattrSpace::Security),
    ];
    let found = known.into_iter().find(|(prefix, _)| name.starts_with(prefix));
    found.map(|(prefix, space)| (space, prefix.len()))
}

/// What may be there when an attribute is set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum XattrMode {
    /// It is made, or has another value from now on.
    Set,
    /// It is not there yet.
    Create,
    /// It is there.
    Replace,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_in_a_namespace_that_is_known() {
        for (name, why) in [
            (&b""[..], Refusal::Unsupported),
            (b"plain", Refusal::Unsupported),
            (b"system.posix_acl_access", Refusal::Unsupported),
            (b"security.capability", Refusal::Unsupported),
            (b"user.", Refusal::Invalid),
            (b"user.a\0b", Refusal::Invalid),
        ] {
            assert_eq!(XattrName::new(name), Err(why), "{name:?}");
        }
        assert_eq!(XattrName::new([b"user.".as_slice(), &[b'x'; 251]].concat()), Err(Refusal::NameTooLong));
        for (name, space) in [
            (&b"user.a"[..], XattrSpace::User),
            (b"trusted.a", XattrSpace::Trusted),
            (b"security.selinux", XattrSpace::Security),
        ] {
            assert_eq!(XattrName::new(name).map(|name| name.space()), Ok(space));
        }
    }
}
