//! Names of things. The layout of an inode id is fixed for good: it is in every directory entry,
//! on every client and in every archive.
//!
//! ```text
//!  63      58 57  56 55         44 43                                              0
//! +----------+------+-------------+-------------------------------------------------+
//! |  region  | kind |    slot     |              counter of that slot               |
//! +----------+------+-------------+-------------------------------------------------+
//! ```
//!
//! `slot` is the slot that allotted the id. A file lives there for good. A directory lives in the
//! slot that its id hashes to, so that the children of one directory spread no further than one
//! slot and the directories of a tree spread over all of them. The kind says which of the two
//! holds, so an id alone is enough to find its inode.

use std::fmt;

/// How many slots the namespace is cut into, for good.
pub const SLOTS: u16 = 4096;

const COUNTER_BITS: u32 = 44;
const COUNTER_MASK: u64 = (1 << COUNTER_BITS) - 1;

/// One of the [`SLOTS`] parts of the namespace; slots belong to groups.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Slot(u16);

impl Slot {
    pub fn new(slot: u16) -> Option<Self> {
        (slot < SLOTS).then_some(Self(slot))
    }

    pub fn get(self) -> u16 {
        self.0
    }
}

/// What an inode number says about its inode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum IdKind {
    /// Anything but a directory: lives in the slot in its id.
    File = 0,
    /// A directory: lives in the slot its id hashes to.
    Directory = 1,
}

/// An inode's number, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct InodeId(u64);

impl InodeId {
    /// The root directory of region 0: directory number 1 of slot 0.
    pub const ROOT: InodeId = InodeId(1 << (COUNTER_BITS + 12) | 1);

    /// Puts an id together; `None` if a part does not fit its place.
    pub fn new(region: u8, kind: IdKind, slot: Slot, counter: u64) -> Option<Self> {
        if region >= 64 || counter > COUNTER_MASK || counter == 0 {
            return None;
        }
        Some(Self(u64::from(region) << 58 | (kind as u64) << 56 | u64::from(slot.0) << 44 | counter))
    }

    /// Takes an id that came from outside; `None` if no such id can exist.
    pub fn from_raw(raw: u64) -> Option<Self> {
        let known_kind = (raw >> 56) & 3 <= 1;
        (known_kind && raw & COUNTER_MASK != 0).then_some(Self(raw))
    }

    pub fn raw(self) -> u64 {
        self.0
    }

    pub fn region(self) -> u8 {
        (self.0 >> 58) as u8
    }

    pub fn kind(self) -> IdKind {
        if (self.0 >> 56) & 3 == 1 { IdKind::Directory } else { IdKind::File }
    }

    pub fn counter(self) -> u64 {
        self.0 & COUNTER_MASK
    }

    /// The slot that allotted the id.
    pub fn birth_slot(self) -> Slot {
        Slot(((self.0 >> COUNTER_BITS) & 0xfff) as u16)
    }

    /// The slot where the inode lives.
    pub fn slot(self) -> Slot {
        match self.kind() {
            IdKind::File => self.birth_slot(),
            IdKind::Directory => {
                let hash = blake3::hash(&self.0.to_le_bytes());
                Slot(u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]]) % SLOTS)
            }
        }
    }
}

impl fmt::Debug for InodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind() == IdKind::Directory { 'd' } else { 'f' };
        write!(f, "{kind}{}", self.counter())?;
        if self.birth_slot().0 != 0 || self.region() != 0 {
            write!(f, "@{}.{}", self.region(), self.birth_slot().0)?;
        }
        Ok(())
    }
}

/// A slice's number: a run of bytes that is written once and never changes. Laid out as an inode's
/// number is, with a kind of 0; the slot is that of the file it was granted for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SliceId(u64);

impl SliceId {
    /// Puts an id together; `None` if a part does not fit its place.
    pub fn new(region: u8, slot: Slot, counter: u64) -> Option<Self> {
        InodeId::new(region, IdKind::File, slot, counter).map(|id| Self(id.0))
    }

    /// Takes an id that came from outside; `None` if no such id can exist.
    pub fn from_raw(raw: u64) -> Option<Self> {
        ((raw >> 56) & 3 == 0 && raw & COUNTER_MASK != 0).then_some(Self(raw))
    }

    pub fn raw(self) -> u64 {
        self.0
    }

    pub fn region(self) -> u8 {
        (self.0 >> 58) as u8
    }

    pub fn slot(self) -> Slot {
        Slot(((self.0 >> COUNTER_BITS) & 0xfff) as u16)
    }

    pub fn counter(self) -> u64 {
        self.0 & COUNTER_MASK
    }

    /// The id `count` further on, as ids granted together follow one another; `None` where the
    /// numbers of its slot end.
    pub fn plus(self, count: u64) -> Option<Self> {
        let counter = self.counter().checked_add(count)?;
        (counter <= COUNTER_MASK).then_some(Self(self.0 & !COUNTER_MASK | counter))
    }
}

impl fmt::Debug for SliceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "x{}", self.counter())?;
        if self.slot().0 != 0 || self.region() != 0 {
            write!(f, "@{}.{}", self.region(), self.slot().0)?;
        }
        Ok(())
    }
}

impl fmt::Display for SliceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One of the parts that a slice is kept as: a copy of it, or a data or parity part of its stripe.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartId {
    pub slice: SliceId,
    pub index: u8,
}

impl fmt::Debug for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}#{}", self.slice, self.index)
    }
}

impl fmt::Display for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

macro_rules! plain_id {
    ($($(#[$doc:meta])* $name:ident($prefix:literal);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }
    )*};
}

plain_id! {
    /// A cluster, named by a draw when it is formatted: a disk of another one is refused by name.
    ClusterId("cluster-");
    /// A server (a process with its disks), named once by its operator or by `mooseng up`.
    ServerId("s");
    /// A Raft group.
    GroupId("g");
    /// One life of a member of a group. A server that lost synced state comes back as another
    /// replica, never under the old number. Raft's node id; never 0.
    ReplicaId("r");
    /// A mount's session, allotted by the group and never reused.
    SessionId("n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_out() {
        let slot = Slot::new(4095).unwrap();
        let id = InodeId::new(63, IdKind::File, slot, COUNTER_MASK).unwrap();
        assert_eq!((id.region(), id.kind(), id.slot(), id.counter()), (63, IdKind::File, slot, COUNTER_MASK));
        assert_eq!(InodeId::from_raw(id.raw()), Some(id));
        assert_eq!(InodeId::new(0, IdKind::File, slot, COUNTER_MASK + 1), None);
        assert_eq!(InodeId::new(64, IdKind::File, slot, 1), None);
    }

    #[test]
    fn what_cannot_be_an_id_is_refused() {
        assert_eq!(InodeId::from_raw(0), None);
        assert_eq!(InodeId::from_raw(3 << 56 | 9), None);
    }

    /// Fixed for good: these numbers are on disks.
    #[test]
    fn the_layout_is_pinned() {
        assert_eq!(InodeId::ROOT.raw(), 0x0100_0000_0000_0001);
        assert_eq!(InodeId::ROOT.kind(), IdKind::Directory);
        let id = InodeId::new(2, IdKind::Directory, Slot::new(0xabc).unwrap(), 0x123).unwrap();
        assert_eq!(id.raw(), 0x09ab_c000_0000_0123);
        assert_eq!((InodeId::ROOT.slot().get(), id.slot().get()), PINNED_SLOTS);
    }

    #[test]
    fn a_slice_is_numbered_like_a_file_and_never_like_a_directory() {
        let slot = Slot::new(0xabc).unwrap();
        let id = SliceId::new(2, slot, 0x123).unwrap();
        assert_eq!(id.raw(), 0x08ab_c000_0000_0123);
        assert_eq!((id.region(), id.slot(), id.counter()), (2, slot, 0x123));
        assert_eq!(SliceId::from_raw(id.raw()), Some(id));
        assert_eq!(SliceId::from_raw(InodeId::ROOT.raw()), None);
        assert_eq!((SliceId::from_raw(0), SliceId::new(0, slot, 0)), (None, None));
    }

    #[test]
    fn slices_granted_together_stay_in_their_slot() {
        let slot = Slot::new(7).unwrap();
        let id = SliceId::new(1, slot, COUNTER_MASK - 1).unwrap();
        assert_eq!(id.plus(1), SliceId::new(1, slot, COUNTER_MASK));
        assert_eq!((id.plus(2), id.plus(u64::MAX)), (None, None));
    }

    const PINNED_SLOTS: (u16, u16) = (1317, 2367);
}
