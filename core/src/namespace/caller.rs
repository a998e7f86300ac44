//! Who asks, and what they may be asked for: the vocabulary of permissions. The rules are the
//! server's.

/// The most supplementary groups of a caller.
pub const CALLER_GROUPS_MAX: usize = 1_024;

/// In whose name something is asked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Caller {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, in no order; at most [`CALLER_GROUPS_MAX`].
    pub groups: Vec<u32>,
}

impl Caller {
    /// Who may do everything.
    pub const ROOT: Caller = Caller { uid: 0, gid: 0, groups: Vec::new() };

    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    pub fn in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}

/// The bits of a mode that make a program run as its file's owner, or its group.
pub const SET_UID: u16 = 0o4000;
pub const SET_GID: u16 = 0o2000;
const GROUP_EXECUTE: u16 = 0o0010;

/// A mode without what must not outlive a write by somebody else. The set-gid bit of what no group may
/// execute means something else, and stays.
pub fn without_set_id(mode: u16) -> u16 {
    let group = if mode & GROUP_EXECUTE != 0 { SET_GID } else { 0 };
    mode & !(SET_UID | group)
}

/// What one wants to do with an inode: the three bits of access(2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Access(u8);

impl Access {
    pub const EXECUTE: Access = Access(1);
    pub const WRITE: Access = Access(2);
    pub const READ: Access = Access(4);

    /// `None` if it has more than the three bits.
    pub fn new(bits: u8) -> Option<Self> {
        (bits <= 7).then_some(Self(bits))
    }

    pub fn bits(self) -> u8 {
        self.0
    }

    pub fn and(self, other: Access) -> Self {
        Self(self.0 | other.0)
    }

    pub fn wants(self, other: Access) -> bool {
        self.0 & other.0 == other.0
    }
}
