//! Why data could not be written or read, and what that asks of the caller.

use mooseng_core::id::SliceId;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DataError {
    /// Fewer parts are left than the slice is made of: look at a newer map, and if that names no
    /// other places, the bytes are lost.
    #[error("slice {slice} is lost: {what}")]
    Lost { slice: SliceId, what: String },
    /// Too few servers take the parts: they are full, or too few of them are alive.
    #[error("slice {slice} cannot be placed: {what}")]
    NoSpace { slice: SliceId, what: String },
    /// The servers that are needed did not answer in time. They may, later.
    #[error("slice {slice}: the chunk servers did not answer in time: {what}")]
    TimedOut { slice: SliceId, what: String },
}
