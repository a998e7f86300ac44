//! Snapshots: whole images of a group's state at a log index, each a file of its own beside the
//! journal. They are written while the log goes on, and appear under their name only when all of
//! them is durable: `<index, 20 digits>.snapshot`, from `<index>.snapshot.partial`.
//!
//! ```text
//! +----------+----------+----------+-- ... --+----------+---------+
//! |  head    | block 0  | block 1  |         | block n  |  foot   |
//! +----------+----------+----------+-- ... --+----------+---------+
//! ```
//!
//! The head is an envelope (see `envelope`) with the magic `MOOSESNP`, the foot one with
//! `MOOSESNE`; [`layout`] draws them. Blocks hold 64 KiB of the image each, the last one what is
//! left, behind 8 bytes of length and checksum, so any part of the image is found and checked
//! without reading the rest. A Blake3 root covers the image and what it says it is.
//!
//! What the bytes mean is the group's business.

mod layout;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use layout::Manifest;
pub use reader::SnapshotReader;
pub use writer::SnapshotWriter;

use crate::error::StorageError;
use crate::field::{ancestors, join};
use mooseng_core::env::{Disk, DiskError, Env};
use mooseng_core::probe;

const SUFFIX: &str = ".snapshot";
const PARTIAL_SUFFIX: &str = ".snapshot.partial";

fn path(directory: &str, index: u64) -> String {
    join(directory, &format!("{index:020}{SUFFIX}"))
}

fn partial_path(directory: &str, index: u64) -> String {
    join(directory, &format!("{index:020}{PARTIAL_SUFFIX}"))
}

/// `00000000000000000007.snapshot` is 7 with the suffix `.snapshot`.
fn index_of(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// Makes the directory if it is not there, and removes what unfinished writers left in it. Call it
/// once, before the first writer.
pub async fn open_directory<E: Env>(env: &E, directory: &str) -> Result<(), StorageError> {
    let disk = env.disk();
    disk.create_dir(directory).await?;
    for above in ancestors(directory) {
        disk.sync_dir(above).await?;
    }
    for name in disk.list(directory).await? {
        if index_of(&name, PARTIAL_SUFFIX).is_some() {
            disk.remove(&join(directory, &name)).await?;
            probe!("snapshot torn temp cleaned");
        }
    }
    Ok(())
}

/// Removes what an unfinished writer left, so that a full disk is not filled further by attempts
/// that came to nothing. What cannot be removed now is removed when the directory is opened.
pub async fn discard<E: Env>(env: &E, directory: &str, index: u64) {
    let _ = env.disk().remove(&partial_path(directory, index)).await;
}

/// The indexes of the finished snapshots, in order.
pub async fn list<E: Env>(env: &E, directory: &str) -> Result<Vec<u64>, StorageError> {
    match env.disk().list(directory).await {
        Ok(names) => Ok(names.iter().filter_map(|name| index_of(name, SUFFIX)).collect()),
        Err(DiskError::NotFound { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Removes a snapshot; no error if it is not there. Readers that have it open go on. Removing is
/// not made durable: a snapshot that comes back is an old one.
pub async fn remove<E: Env>(env: &E, directory: &str, index: u64) -> Result<(), StorageError> {
    match env.disk().remove(&path(directory, index)).await {
        Ok(()) | Err(DiskError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
