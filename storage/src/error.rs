//! What can go wrong with stored state, told apart by what the caller must do about it.

use mooseng_core::env::DiskError;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk answered; what its answer asks for is up to the caller.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Nothing has been formatted here yet.
    #[error("{file}: not there; format the data directory first")]
    Absent { file: String },
    /// What lies there is not for this program to touch: nothing was changed, and a person decides.
    #[error("{file}: {why}; {remedy}")]
    Refused { file: String, why: String, remedy: &'static str },
    /// What was stored here no longer reads as it was written. Another replica has it.
    #[error("{file}: {why}; only another replica still has it")]
    Damaged { file: String, why: String },
    /// The request can never be carried out as it is.
    #[error("{bytes} bytes in one append, but a segment holds {bytes_max}; cut it or raise segment_bytes")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// A limit was set to what cannot work.
    #[error("{field}: {why}")]
    Config { field: &'static str, why: String },
    /// A write or a sync failed earlier. Nothing is acknowledged any more and the server stops.
    #[error("the journal has stopped: {why}")]
    Stopped { why: String },
}
