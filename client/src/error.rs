//! Why an operation has no outcome. What the namespace itself refuses is an outcome, not an error.

/// What the caller can do about it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answered in time. A change may still take effect, once, or never.
    #[error("the metadata service did not answer in time; the last failure was: {last}")]
    TimedOut { last: String },
    /// Nobody could be asked in time: nothing was carried out, and nothing will be.
    #[error(
        "the metadata service could not be reached in time, and nothing was done; the last failure was: {last}"
    )]
    NotReached { last: String },
    /// The metadata servers have no room for what makes the tree grow. Nothing was carried out, and
    /// nothing will be.
    #[error("no room on the metadata servers' disks: {what}")]
    NoSpace { what: String },
    /// The service knows this session no more: what it held is gone, open another.
    #[error("the session was evicted; open another one")]
    SessionLost,
    /// As many files are open as may be.
    #[error("too many files are open under this session")]
    TooManyOpen,
    /// The service understood the request and will never carry it out.
    #[error("the metadata service refused the request: {what}")]
    Refused { what: String },
}
