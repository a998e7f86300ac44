//! Everything MooseNG keeps on a disk, and every format it keeps it in: the journal that all Raft
//! groups of a server share, snapshots beside it, and the identity of a data directory.
//!
//! It stores bytes and proves that they are the bytes that were stored; what they mean is known
//! above. Every byte goes through [`mooseng_core::env`].

mod envelope;
mod error;
mod field;
mod identity;
pub mod journal;
mod segment;
pub mod snapshot;
pub mod store;

pub use error::StorageError;
pub use identity::{Identity, Role};
pub use journal::{Journal, JournalConfig, Position, Record, Recovered, StreamId, Tail};
pub use snapshot::{Manifest, SnapshotReader, SnapshotWriter};
pub use store::{Store, StoreConfig, StoreError};

#[cfg(test)]
mod testing;
