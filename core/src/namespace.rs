//! The vocabulary of the namespace: what can be asked of it and what it answers. Shared by the
//! shard that applies it, the client that asks, and the model that judges both.

mod caller;
mod name;
mod permission;
mod xattr;

pub use caller::{Access, CALLER_GROUPS_MAX, Caller, SET_GID, SET_UID, without_set_id};
pub use name::{NAME_BYTES_MAX, Name, TARGET_BYTES_MAX, Target};
pub use permission::Rights;
pub use xattr::{
    XATTR_BYTES_MAX, XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX, XattrMode, XattrName, XattrSpace,
};

use crate::class::StorageClass;
use crate::id::{InodeId, SliceId, Slot};
use crate::time::WallTime;
use bytes::Bytes;

pub use crate::extent::{FileExtent, NewSlice, SliceInfo};

/// The most names one inode may have. ext4 allows 65,000; tools cope with that.
pub const LINKS_MAX: u32 = 65_000;

/// What kind of thing an inode is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FileKind {
    Regular,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
}

/// An inode's attributes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attr {
    pub inode: InodeId,
    pub kind: FileKind,
    /// Permission bits and set-id bits, 12 in all.
    pub mode: u16,
    pub links: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub atime: WallTime,
    pub mtime: WallTime,
    pub ctime: WallTime,
    /// Grows with every change of the inode: what caches compare.
    pub version: u64,
    /// How its bytes are to be stored: of a directory, those of files made in it.
    pub class: StorageClass,
    /// Blocks of 512 bytes that its data fills, holes not counted.
    pub blocks: u64,
    /// Of a device its number, else 0.
    pub rdev: u32,
}

/// The attributes a caller wants changed; `None` leaves one as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AttrChange {
    pub mode: Option<u16>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub atime: Option<NewTime>,
    pub mtime: Option<NewTime>,
    /// Asked through a file that is open for writing: what the caller could do when it was opened
    /// goes on, so a size and the time of now need no permission again.
    pub by_handle: bool,
}

/// What a time is set to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NewTime {
    /// When the change takes effect, by the clock of the server.
    Now,
    At(WallTime),
}

/// What a rename may do to its target.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RenameMode {
    /// Take its place, as rename(2).
    Replace,
    /// Refuse if it exists (RENAME_NOREPLACE).
    Keep,
    /// Change places with it (RENAME_EXCHANGE).
    Exchange,
}

/// A change of the namespace. What is made belongs to `uid` and `gid`, in a directory with the set-gid
/// bit to the directory's group; only root makes something in another's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    Mkdir {
        parent: InodeId,
        name: Name,
        mode: u16,
        uid: u32,
        gid: u32,
    },
    Create {
        parent: InodeId,
        name: Name,
        mode: u16,
        uid: u32,
        gid: u32,
    },
    Unlink {
        parent: InodeId,
        name: Name,
    },
    Rmdir {
        parent: InodeId,
        name: Name,
    },
    Rename {
        source_parent: InodeId,
        source_name: Name,
        target_parent: InodeId,
        target_name: Name,
        mode: RenameMode,
    },
    Link {
        inode: InodeId,
        parent: InodeId,
        name: Name,
    },
    SetAttr {
        inode: InodeId,
        change: AttrChange,
    },
    /// Asks for numbers of slices to write this file with: pending, and the session's own.
    GrantSlices {
        inode: InodeId,
        count: u32,
    },
    /// Gives pending slices back that will never be committed. All of one slot.
    AbandonSlices {
        slices: Vec<SliceId>,
    },
    /// Makes slices part of a file, over what is there: later extents over earlier ones. Every
    /// slice is pending, the session's own and of the file's slot, and appears in an extent. The
    /// file ends at its size or at the last extent's end, whichever is farther.
    Commit {
        inode: InodeId,
        slices: Vec<NewSlice>,
        extents: Vec<FileExtent>,
        mtime: WallTime,
    },
    /// Puts the same bytes into other slices: refused with [`Refusal::Conflict`] unless `replaced`
    /// is what the file holds from the first of them to the last. The new extents lie between
    /// those ends. Neither size nor times change.
    Compact {
        inode: InodeId,
        replaced: Vec<FileExtent>,
        slices: Vec<NewSlice>,
        extents: Vec<FileExtent>,
    },
    /// Makes a hole: a range reads as zeros from now on. The size stays.
    Punch {
        inode: InodeId,
        offset: u64,
        length: u64,
    },
    /// Chooses how bytes written from now on are stored, or, of a directory, those of files made
    /// in it from now on.
    SetClass {
        inode: InodeId,
        class: StorageClass,
    },
    Symlink {
        parent: InodeId,
        name: Name,
        target: Target,
        uid: u32,
        gid: u32,
    },
    /// Makes what is neither a directory nor a symbolic link: a regular file, a fifo, a socket or a
    /// device.
    Mknod {
        parent: InodeId,
        name: Name,
        kind: FileKind,
        mode: u16,
        /// Of a device its number, else 0.
        rdev: u32,
        uid: u32,
        gid: u32,
    },
    SetXattr {
        inode: InodeId,
        name: XattrName,
        value: Bytes,
        mode: XattrMode,
    },
    RemoveXattr {
        inode: InodeId,
        name: XattrName,
    },
}

impl Op {
    /// The slot that carries it out: that of the directory whose entry changes, or of the inode.
    pub fn slot(&self) -> Slot {
        match (self, self.inodes()) {
            (_, [Some(inode), _]) => inode.slot(),
            (Op::AbandonSlices { slices }, _) => slices.first().map_or(Slot::default(), |slice| slice.slot()),
            _ => Slot::default(),
        }
    }

    /// Does the tree grow by it? What was granted is committed all the same: its bytes are written.
    pub fn grows(&self) -> bool {
        match self {
            Op::Mkdir { .. }
            | Op::Create { .. }
            | Op::Symlink { .. }
            | Op::Mknod { .. }
            | Op::Link { .. }
            | Op::SetXattr { .. }
            | Op::GrantSlices { .. } => true,
            Op::Unlink { .. }
            | Op::Rmdir { .. }
            | Op::Rename { .. }
            | Op::SetAttr { .. }
            | Op::AbandonSlices { .. }
            | Op::Commit { .. }
            | Op::Compact { .. }
            | Op::Punch { .. }
            | Op::SetClass { .. }
            | Op::RemoveXattr { .. } => false,
        }
    }

    /// The inodes that it names by their numbers, the one whose slot carries it out first.
    pub fn inodes(&self) -> [Option<InodeId>; 2] {
        match self {
            Op::Mkdir { parent, .. }
            | Op::Create { parent, .. }
            | Op::Unlink { parent, .. }
            | Op::Rmdir { parent, .. }
            | Op::Symlink { parent, .. }
            | Op::Mknod { parent, .. } => [Some(*parent), None],
            Op::Rename { source_parent, target_parent, .. } => [Some(*source_parent), Some(*target_parent)],
            Op::Link { inode, parent, .. } => [Some(*parent), Some(*inode)],
            Op::SetAttr { inode, .. }
            | Op::GrantSlices { inode, .. }
            | Op::Commit { inode, .. }
            | Op::Compact { inode, .. }
            | Op::Punch { inode, .. }
            | Op::SetClass { inode, .. }
            | Op::SetXattr { inode, .. }
            | Op::RemoveXattr { inode, .. } => [Some(*inode), None],
            Op::AbandonSlices { .. } => [None, None],
        }
    }

    /// The names that it gives or takes, each with the directory it is in: of a rename the source first.
    pub fn names(&self) -> [Option<(InodeId, &Name)>; 2] {
        match self {
            Op::Mkdir { parent, name, .. }
            | Op::Create { parent, name, .. }
            | Op::Symlink { parent, name, .. }
            | Op::Mknod { parent, name, .. }
            | Op::Link { parent, name, .. }
            | Op::Unlink { parent, name }
            | Op::Rmdir { parent, name } => [Some((*parent, name)), None],
            Op::Rename { source_parent, source_name, target_parent, target_name, .. } => {
                [Some((*source_parent, source_name)), Some((*target_parent, target_name))]
            }
            Op::SetAttr { .. }
            | Op::GrantSlices { .. }
            | Op::AbandonSlices { .. }
            | Op::Commit { .. }
            | Op::Compact { .. }
            | Op::Punch { .. }
            | Op::SetClass { .. }
            | Op::SetXattr { .. }
            | Op::RemoveXattr { .. } => [None, None],
        }
    }

    /// Does it change nothing that anybody is told of? Slices that are pending are nobody's but the
    /// session's.
    pub fn is_of_pending(&self) -> bool {
        matches!(self, Op::GrantSlices { .. } | Op::AbandonSlices { .. })
    }
}

/// The most inodes one session may have open.
pub const OPENS_MAX: usize = 65_536;

/// A question that changes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Query {
    Lookup {
        parent: InodeId,
        name: Name,
    },
    GetAttr {
        inode: InodeId,
    },
    /// Entries after `cookie` (0: from the start), at most `limit` of them. What exists throughout
    /// a whole listing is listed exactly once, whatever else changes meanwhile. `.` and `..` are
    /// the client's business.
    ReadDir {
        directory: InodeId,
        cookie: u64,
        limit: u32,
    },
    /// What a range of a file is made of.
    Map {
        inode: InodeId,
        offset: u64,
        length: u64,
    },
    /// What a symbolic link says.
    ReadLink {
        inode: InodeId,
    },
    /// May the caller do all this? Answered with the attributes.
    Access {
        inode: InodeId,
        access: Access,
    },
    /// The value of an extended attribute.
    GetXattr {
        inode: InodeId,
        name: XattrName,
    },
    /// The extended attributes that the caller may know of.
    ListXattr {
        inode: InodeId,
    },
}

impl Query {
    /// The slot that answers it.
    pub fn slot(&self) -> Slot {
        self.inode().slot()
    }

    /// The inode that it is asked of.
    pub fn inode(&self) -> InodeId {
        match self {
            Query::Lookup { parent: inode, .. }
            | Query::ReadDir { directory: inode, .. }
            | Query::GetAttr { inode }
            | Query::ReadLink { inode }
            | Query::Access { inode, .. }
            | Query::GetXattr { inode, .. }
            | Query::ListXattr { inode }
            | Query::Map { inode, .. } => *inode,
        }
    }
}

/// One line of a directory listing. `cookie` continues after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    pub cookie: u64,
    pub name: Name,
    pub inode: InodeId,
    pub kind: FileKind,
}

/// What an [`Op`] or a [`Query`] that was carried out gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Of Mkdir, Create, Link, SetAttr, Symlink, Mknod, Commit, Compact, Punch, SetClass, Lookup,
    /// GetAttr and Access.
    Attr(Attr),
    /// Of Unlink, Rmdir, Rename, AbandonSlices, SetXattr and RemoveXattr.
    Done,
    /// Of ReadDir. `end`: nothing follows the last of them.
    Entries { entries: Vec<DirEntry>, end: bool },
    /// Of GrantSlices: `count` slices with ascending numbers from `first` on.
    Slices { first: SliceId, count: u32 },
    /// Of Map: the extents of the range in order, cut to it, none over another; what none covers
    /// reads as zeros. `slices` are those that appear, each once. All of it speaks for the range up
    /// to `end`: where that is less than was asked for, the rest is to be asked for again.
    Map { attr: Attr, extents: Vec<FileExtent>, slices: Vec<SliceInfo>, end: u64 },
    /// Of ReadLink.
    Target(Target),
    /// Of GetXattr.
    Value(Bytes),
    /// Of ListXattr, in their order.
    XattrNames(Vec<XattrName>),
}

/// Why something was not carried out; nothing has changed. Each has one errno at the FUSE edge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("no such entry")]
    NotFound,
    #[error("the name is taken")]
    Exists,
    #[error("not a directory")]
    NotDirectory,
    #[error("it is a directory")]
    IsDirectory,
    #[error("the directory is not empty")]
    NotEmpty,
    #[error("a directory cannot be moved into itself, and what was asked makes no sense here")]
    Invalid,
    #[error("the name is longer than 255 bytes")]
    NameTooLong,
    #[error("the inode has all the names it may have")]
    TooManyLinks,
    /// Only the owner, or root, may do that, or nobody (EPERM).
    #[error("not permitted")]
    NotPermitted,
    /// No such inode any more: the handle outlived it.
    #[error("the inode is gone")]
    Stale,
    #[error("no space, or no inode number, is left")]
    NoSpace,
    /// Committed already, given back, or granted to another session or one that has ended.
    #[error("a slice is not pending for this session")]
    NotPending,
    /// The session commits or gives back some first.
    #[error("the session has as many pending slices as it may have")]
    TooManyPending,
    /// The client writes a longer run of the chunk anew, with Compact or a longer Commit.
    #[error("the chunk has as many extents as it may have")]
    TooFragmented,
    /// The client looks again at what is there.
    #[error("what was to be replaced is not what is there")]
    Conflict,
    /// The permission bits forbid it (EACCES).
    #[error("access denied")]
    AccessDenied,
    #[error("no such extended attribute")]
    NoAttribute,
    #[error("the value is longer than 64 KiB")]
    TooBig,
    #[error("no such thing is supported here")]
    Unsupported,
}

/// The outcome of an [`Op`] or a [`Query`].
pub type Outcome = Result<Answer, Refusal>;
