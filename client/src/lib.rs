//! What a mount does, without FUSE: sessions with the metadata service that survive the loss of
//! its leader, retries that take effect once, errors that say what to do.
//!
//! It knows the messages of [`mooseng_net`] and the vocabulary of [`mooseng_core`], and nothing of
//! how a metadata server or a disk works.

pub mod cache;
pub mod data;
mod error;
pub mod file;
mod holds;
pub mod mount;
mod session;
mod window;

pub use error::ClientError;
pub use session::{Answered, Change, Hold, Loss, Session, SessionConfig};
