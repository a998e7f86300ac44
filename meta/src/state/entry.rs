//! A name in a directory, and where it stands: 32 bytes beside the 16 of its key, unless the name
//! has more than 21 bytes, which then lie elsewhere.
//!
//! ```text
//!   key     directory (64 bits), cookie (63 bits)
//!   cookie  hash of the name (`name_hash_bits`), then a number from 1 that tells equal hashes apart
//! ```
//!
//! One index serves a lookup, which knows the hash, and a listing, which follows the cookies. A name
//! keeps its cookie for as long as it stands, whatever comes and goes around it, so a listing that
//! continues after a cookie neither skips nor repeats it. No cookie is 0.

use super::inode::{kind_number, take_id, take_kind};
use super::record::{Reader, Record, Sink};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{FileKind, Name};
use std::ops::RangeInclusive;

const COOKIE_BITS: u32 = 63;
const SHORT_BYTES: usize = 21;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct EntryKey {
    pub(crate) directory: InodeId,
    pub(crate) cookie: u64,
}

/// The inode a name stands for, its kind, and the name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    Short { kind: FileKind, length: u8, name: [u8; SHORT_BYTES], inode: InodeId },
    Long { kind: FileKind, name: Box<[u8]>, inode: InodeId },
}

const _: () = assert!(size_of::<(EntryKey, Entry)>() == 48);

/// Where a name stands, or would.
pub(crate) enum Place {
    Taken(EntryKey, InodeId),
    Free(EntryKey),
    /// As many names with this hash as can be told apart.
    Full,
}

/// The cookies a name may have.
pub(super) fn bucket(name: &[u8], hash_bits: u32) -> RangeInclusive<u64> {
    assert!(hash_bits < COOKIE_BITS, "some bits tell names with equal hashes apart");
    let hash = blake3::hash(name);
    let word = u64::from_le_bytes(std::array::from_fn(|index| hash.as_bytes()[index]));
    let others = (1 << (COOKIE_BITS - hash_bits)) - 1;
    let first = (word >> 1) & !others;
    first + 1..=first | others
}

impl Entry {
    pub(crate) fn new(name: &Name, inode: InodeId, kind: FileKind) -> Self {
        Self::of(name.as_bytes(), inode, kind)
    }

    fn of(bytes: &[u8], inode: InodeId, kind: FileKind) -> Self {
        if bytes.len() > SHORT_BYTES {
            return Self::Long { kind, name: bytes.into(), inode };
        }
        let mut name = [0; SHORT_BYTES];
        name[..bytes.len()].copy_from_slice(bytes);
        Self::Short { kind, length: bytes.len() as u8, name, inode }
    }

    pub(crate) fn name(&self) -> &[u8] {
        match self {
            Self::Short { length, name, .. } => &name[..usize::from(*length)],
            Self::Long { name, .. } => name,
        }
    }

    pub(crate) fn inode(&self) -> InodeId {
        match self {
            Self::Short { inode, .. } | Self::Long { inode, .. } => *inode,
        }
    }

    pub(crate) fn kind(&self) -> FileKind {
        match self {
            Self::Short { kind, .. } | Self::Long { kind, .. } => *kind,
        }
    }

    /// Lets the name stand for another inode.
    pub(crate) fn point_to(&mut self, to: InodeId, to_kind: FileKind) {
        match self {
            Self::Short { inode, kind, .. } | Self::Long { inode, kind, .. } => {
                (*inode, *kind) = (to, to_kind)
            }
        }
    }
}

impl Record for Entry {
    type Key = EntryKey;
    const TABLE: u8 = 2;

    fn put<S: Sink>(&self, key: &EntryKey, sink: &mut S) {
        sink.u64(key.directory.raw());
        sink.u64(key.cookie);
        sink.u64(self.inode().raw());
        sink.u8(kind_number(self.kind()));
        sink.bytes(self.name());
    }

    fn take(reader: &mut Reader<'_>) -> Result<(EntryKey, Self), &'static str> {
        let directory = take_id(reader, "directory")?;
        let cookie = reader.u64("cookie")?;
        if cookie == 0 || cookie >> COOKIE_BITS != 0 {
            return Err("cookie");
        }
        let inode = take_id(reader, "inode of an entry")?;
        let kind = take_kind(reader, inode)?;
        let name = reader.bytes("name")?;
        Name::new(name.to_vec()).map_err(|_| "name")?;
        Ok((EntryKey { directory, cookie }, Self::of(name, inode, kind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_length_come_back() {
        for length in [1, 20, 21, 22, 255] {
            let bytes = vec![b'n'; length];
            let mut entry =
                Entry::new(&Name::new(bytes.clone()).unwrap(), InodeId::ROOT, FileKind::Directory);
            assert_eq!((entry.name(), entry.inode()), (&bytes[..], InodeId::ROOT));
            let file = InodeId::from_raw(9).unwrap();
            entry.point_to(file, FileKind::Fifo);
            assert_eq!((entry.name(), entry.inode(), entry.kind()), (&bytes[..], file, FileKind::Fifo));
        }
    }

    #[test]
    fn cookies_are_never_zero_and_fit_a_signed_offset() {
        for bits in [0, 1, 7, 55, 60] {
            for name in [&b"a"[..], b"b", b"some name"] {
                let bucket = bucket(name, bits);
                assert!(*bucket.start() > 0 && *bucket.end() <= i64::MAX as u64 && !bucket.is_empty());
                assert_eq!(bucket.end() - bucket.start() + 2, 1 << (63 - bits));
            }
        }
    }
}
