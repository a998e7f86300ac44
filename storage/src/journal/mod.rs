//! One log for many writers: preallocated, checksummed, in segments, with group commit.
//!
//! Streams (Raft groups, usually) append; one task gathers what was appended while the last batch
//! was being synced into the next batch, which costs one write and one sync however many streams
//! wait for it. [`layout`] has the bytes, [`recovery`] what they prove after a crash.
//!
//! The journal knows nothing of terms, indexes or entries. It keeps a record until its stream
//! releases it, and then for as long as an older record of any stream lies in the same segment or
//! before it. Releases are not written down: a journal that is opened again may give back records
//! that were released, and a stream must know by itself which of them it still wants. The records
//! of a stream that nobody owns any more stay until somebody releases them.

mod batcher;
mod keeper;
mod layout;
mod opening;
mod pins;
mod recovery;
mod shared;
mod writer;

#[cfg(test)]
mod tests;

use crate::error::StorageError;
use bytes::Bytes;
use mooseng_core::env::{Disk, Env};
use shared::{Item, Shared, What};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// The limits of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// How long a segment is: a multiple of `sector_bytes`, at least 8 KiB, at most 1 GiB.
    pub segment_bytes: u64,
    /// How much one batch gathers. A longer append is a batch of its own.
    pub batch_bytes_max: usize,
    /// How much may wait to be written before [`Journal::room`] says that there is none.
    pub queue_bytes_max: usize,
    /// What a disk writes whole or not at all: a power of two from 512 to 65,536.
    pub sector_bytes: u32,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            batch_bytes_max: 4 << 20,
            queue_bytes_max: 64 << 20,
            sector_bytes: 4096,
        }
    }
}

/// Whose record it is: one Raft group, usually.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// A place in the journal. Positions only grow over the journal's whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One recovered record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub position: Position,
    pub stream: StreamId,
    pub bytes: Bytes,
}

/// What the end of the journal looked like when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Everything that was ever acknowledged is there.
    Clean,
    /// Something was written after `after` and cannot be read; nobody can tell here whether it was
    /// ever acknowledged.
    Ambiguous { after: Position, why: String },
    /// Everything below `proven` was synced, and at `at` it is not there any more. Records from
    /// there on are lost here.
    Damaged { at: Position, proven: Position, why: String },
}

/// What a journal gives back when it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// In the order in which they were appended.
    pub records: Vec<Record>,
    pub tail: Tail,
}

type FileOf<E> = <<E as Env>::Disk as Disk>::File;

/// A handle on an open journal. The journal goes on until the last handle is gone and everything
/// appended through them is written.
pub struct Journal<E: Env> {
    shared: Arc<Shared<FileOf<E>>>,
    /// Tells the tasks when the last handle goes.
    _handles: Arc<shared::Closing<FileOf<E>>>,
}

impl<E: Env> Clone for Journal<E> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), _handles: self._handles.clone() }
    }
}

impl<E: Env> Journal<E> {
    /// Makes an empty journal in `directory`, which is created. Refused if there is one already.
    pub async fn format(env: &E, directory: &str, config: &JournalConfig) -> Result<(), StorageError> {
        opening::format(env, directory, config).await
    }

    /// Opens the journal in `directory` and gives back what it holds. After a tail that is not
    /// clean the journal takes appends as ever, and later opens report the same tail again until
    /// [`Journal::settle`] has returned.
    pub async fn open(
        env: &E,
        directory: &str,
        config: JournalConfig,
    ) -> Result<(Self, Recovered), StorageError> {
        opening::open(env, directory, config, |_| Ok(())).await
    }

    /// [`Journal::open`], if `check` has nothing against what lies there: it is shown every record
    /// that would be given back, and when it refuses nothing was changed on the disk.
    pub async fn open_checked(
        env: &E,
        directory: &str,
        config: JournalConfig,
        check: impl FnOnce(&[Record]) -> Result<(), StorageError> + Send,
    ) -> Result<(Self, Recovered), StorageError> {
        opening::open(env, directory, config, check).await
    }

    /// Appends records, recovered all or none. They are queued by the call itself, in the order of
    /// calls; the future resolves when they are durable, with the position of the first of them,
    /// and dropping it takes nothing back. Without records it resolves when everything queued
    /// before is durable.
    pub fn append(
        &self,
        stream: StreamId,
        records: Vec<Bytes>,
    ) -> impl Future<Output = Result<Position, StorageError>> + Send + 'static {
        let queued = self.shared.push(|done| Item::new(What::Records { stream, records }, done));
        async move { queued?.await.unwrap_or_else(|_| Err(shared::stopped("it ended before this was durable"))) }
    }

    /// The longest append, counting 16 bytes beside each record.
    pub fn append_bytes_max(&self) -> usize {
        self.shared.append_bytes_max()
    }

    /// Resolves when less than `queue_bytes_max` waits to be written, or the journal has stopped.
    /// Whoever appends without waiting for each append waits here now and then.
    pub fn room(&self) -> impl Future<Output = ()> + Send + 'static {
        self.shared.clone().room()
    }

    /// Records of `stream` below `below` are not needed any more. Segments nobody needs are used
    /// again. Forgotten when the journal closes: release again after opening.
    pub fn release(&self, stream: StreamId, below: Position) {
        self.shared.release(stream, below);
    }

    /// How many bytes of the journal are kept at least because `stream` has not released them.
    pub fn pinned_bytes(&self, stream: StreamId) -> u64 {
        self.shared.pinned_bytes(stream)
    }

    /// The groups have accounted for the tail that `open` reported. When this has returned, later
    /// opens no longer report it.
    pub async fn settle(&self) -> Result<(), StorageError> {
        let queued = self.shared.push(|done| Item::new(What::Settle, done))?;
        queued.await.unwrap_or_else(|_| Err(shared::stopped("it ended before this was durable"))).map(|_| ())
    }
}
