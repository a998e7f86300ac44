//! Why an open file could not be read or written. Kinds that the edge turns into errno.

use crate::data::DataError;
use crate::error::ClientError;
use mooseng_core::namespace::Refusal;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FileError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nobody answered in time. What was asked for may still take effect, once, or never.
    #[error("the cluster did not answer in time: {what}")]
    TimedOut { what: String },
    /// What was written and not yet committed is gone with the session.
    #[error("the session was lost, and with it what was not yet written")]
    SessionLost,
    #[error("no space: {what}")]
    NoSpace { what: String },
    #[error("a file cannot be that long")]
    TooLarge,
    /// The bytes are lost, or never made sense.
    #[error("{what}")]
    Io { what: String },
}

impl From<ClientError> for FileError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::TimedOut { last } | ClientError::NotReached { last } => {
                FileError::TimedOut { what: last }
            }
            ClientError::NoSpace { what } => FileError::NoSpace { what },
            ClientError::SessionLost => FileError::SessionLost,
            refused @ ClientError::TooManyOpen => FileError::Io { what: refused.to_string() },
            ClientError::Refused { what } => FileError::Io { what },
        }
    }
}

impl From<DataError> for FileError {
    fn from(error: DataError) -> Self {
        let what = error.to_string();
        match error {
            DataError::Lost { .. } => FileError::Io { what },
            DataError::NoSpace { .. } => FileError::NoSpace { what },
            DataError::TimedOut { .. } => FileError::TimedOut { what },
        }
    }
}
