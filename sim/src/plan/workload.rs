//! What clients do, step by step.

mod text;

pub(super) use text::{read_span, write_span};

use super::place::Place;
use mooseng_core::class::StorageClass;
use mooseng_core::namespace::{Access, AttrChange, Caller, RenameMode, Target, XattrMode};
use std::time::Duration;

const MODE_DIRECTORY: u16 = 0o755;
const MODE_FILE: u16 = 0o644;

/// Something a client does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    Mkdir {
        at: Place,
        mode: u16,
    },
    Create {
        at: Place,
        mode: u16,
    },
    Unlink {
        at: Place,
    },
    Rmdir {
        at: Place,
    },
    Rename {
        source: Place,
        target: Place,
        mode: RenameMode,
    },
    Link {
        inode: Place,
        at: Place,
    },
    SetAttr {
        inode: Place,
        change: AttrChange,
    },
    Symlink {
        at: Place,
        target: Target,
    },
    /// A fifo, or with a number a character device.
    Mknod {
        at: Place,
        rdev: Option<u32>,
    },
    /// One slice of its own over a run of the file's bytes.
    Write {
        file: Place,
        offset: u64,
        length: u32,
    },
    Punch {
        file: Place,
        offset: u64,
        length: u64,
    },
    /// Puts what the first chunk of the file is made of into one slice.
    Compact {
        file: Place,
    },
    SetClass {
        inode: Place,
        class: StorageClass,
    },
    /// Opens a file as a program does, or opens it again; what follows of it goes through what is open.
    OpenFile {
        file: Place,
    },
    /// Writes bytes through the open file: its own, so that it can be told whose they are.
    Put {
        file: Place,
        offset: u64,
        length: u32,
    },
    /// Reads through the open file, or opens it for that.
    Get {
        file: Place,
        offset: u64,
        length: u32,
    },
    Fsync {
        file: Place,
    },
    CloseFile {
        file: Place,
    },
    /// Sets the length through the open file.
    Cut {
        file: Place,
        size: u64,
    },
    /// Through a mount: writes where the file ends to it.
    Append {
        file: Place,
        length: u32,
    },
    /// Through a mount: as close(2) does, and the file stays open.
    Flush {
        file: Place,
    },
    /// Through a mount: the file is at least as long as the range reaches.
    Reserve {
        file: Place,
        offset: u64,
        length: u64,
    },
    /// Through a mount: looks for data from an offset on, or for a hole.
    Seek {
        file: Place,
        offset: u64,
        hole: bool,
    },
    /// Through a mount: reads on in its listing of a directory, so many lines with what they stand for, or
    /// begins one.
    ListOn {
        directory: Place,
        lines: u32,
    },
    /// Gives its session up, and goes on in another one.
    Leave,
    /// As an operator: starts a spare metadata server, which asks to take part.
    AddServer {
        server: u32,
    },
    /// As an operator: takes a metadata server out of its group, if enough others vote, and switches it
    /// off for good.
    RemoveServer {
        server: u32,
    },
    Map {
        file: Place,
        offset: u64,
        length: u64,
    },
    Lookup {
        at: Place,
    },
    GetAttr {
        inode: Place,
    },
    /// The whole directory, in pages of at most so many entries.
    ReadDir {
        directory: Place,
        page: u32,
    },
    ReadLink {
        inode: Place,
    },
    /// Sets an attribute to a text without spaces, or to as many bytes of it as it says behind a `*`.
    SetXattr {
        inode: Place,
        name: String,
        value: String,
        mode: XattrMode,
    },
    RemoveXattr {
        inode: Place,
        name: String,
    },
    GetXattr {
        inode: Place,
        name: String,
    },
    ListXattr {
        inode: Place,
    },
    Open {
        inode: Place,
    },
    /// Gives back what this client has had open for longest.
    Close,
    /// Looks at everything this client has open, by number.
    LookAtOpen,
    Access {
        inode: Place,
        access: Access,
    },
}

/// One thing after the other: first the waiting, then the action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// How long after the answer to the step before; whole microseconds.
    pub wait: Duration,
    pub action: Action,
    /// In whose name.
    pub caller: Caller,
    /// What it makes is remembered under this number.
    pub label: Option<u32>,
    /// It is interrupted after this long, as by a signal: what it asked for may come to be or not.
    pub within: Option<Duration>,
}

impl Action {
    pub fn mkdir(at: Place) -> Self {
        Action::Mkdir { at, mode: MODE_DIRECTORY }
    }

    pub fn create(at: Place) -> Self {
        Action::Create { at, mode: MODE_FILE }
    }

    /// Is it done to the bytes of an open file, which lie on chunk servers?
    pub fn is_of_open_file(&self) -> bool {
        matches!(
            self,
            Action::OpenFile { .. }
                | Action::Put { .. }
                | Action::Get { .. }
                | Action::Fsync { .. }
                | Action::CloseFile { .. }
                | Action::Cut { .. }
        )
    }

    /// Is it done through a mount, and by nobody else?
    pub fn is_of_mount(&self) -> bool {
        matches!(
            self,
            Action::Append { .. }
                | Action::Flush { .. }
                | Action::Reserve { .. }
                | Action::Seek { .. }
                | Action::ListOn { .. }
        )
    }

    /// Is it nothing that a mount does?
    pub fn is_beneath_mounts(&self) -> bool {
        matches!(
            self,
            Action::Write { .. }
                | Action::Compact { .. }
                | Action::SetClass { .. }
                | Action::Map { .. }
                | Action::Open { .. }
                | Action::Close
                | Action::LookAtOpen
                | Action::Leave
        )
    }

    /// The metadata server that an operator is to add or take away.
    pub fn server(&self) -> Option<u32> {
        match self {
            Action::AddServer { server } | Action::RemoveServer { server } => Some(*server),
            _ => None,
        }
    }

    /// Does it ask only?
    pub fn is_question(&self) -> bool {
        matches!(
            self,
            Action::Lookup { .. }
                | Action::GetAttr { .. }
                | Action::ReadDir { .. }
                | Action::ReadLink { .. }
                | Action::GetXattr { .. }
                | Action::ListXattr { .. }
                | Action::Open { .. }
                | Action::Close
                | Action::LookAtOpen
                | Action::Access { .. }
                | Action::Map { .. }
                | Action::Seek { .. }
                | Action::ListOn { .. }
        )
    }
}
