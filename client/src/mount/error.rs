//! Why an operation of a mount has no result. Kinds, not numbers: errno is the edge's word.

use crate::ClientError;
use crate::file::FileError;
use mooseng_core::namespace::Refusal;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FsError {
    /// Nothing has changed, and asking again gives the same until something else changes.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nobody answered in time. A change may still take effect, once, or never.
    #[error("the cluster did not answer in time; the last failure was: {last}")]
    TimedOut { last: String },
    /// What the session held is gone. The mount goes on under another one.
    #[error("the session was lost, and with it what this change or file depended on")]
    SessionLost,
    /// The caller names a handle that is not open, or not open for this.
    #[error("no such open file, or it is not open for that")]
    BadHandle,
    /// The mount holds all the handles it may hold.
    #[error("too many open files on this mount")]
    TooManyHandles,
    #[error("not supported")]
    Unsupported,
    #[error("no space: {what}")]
    NoSpace { what: String },
    #[error("a file cannot be that long")]
    TooLarge,
    #[error("{what}")]
    Io { what: String },
}

impl From<ClientError> for FsError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::TimedOut { last } | ClientError::NotReached { last } => FsError::TimedOut { last },
            ClientError::NoSpace { what } => FsError::NoSpace { what },
            ClientError::SessionLost => FsError::SessionLost,
            ClientError::TooManyOpen => FsError::TooManyHandles,
            ClientError::Refused { what } => FsError::Io { what },
        }
    }
}

impl From<FileError> for FsError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Refused(refusal) => FsError::Refused(refusal),
            FileError::TimedOut { what } => FsError::TimedOut { last: what },
            FileError::SessionLost => FsError::SessionLost,
            FileError::NoSpace { what } => FsError::NoSpace { what },
            FileError::TooLarge => FsError::TooLarge,
            FileError::Io { what } => FsError::Io { what },
        }
    }
}
