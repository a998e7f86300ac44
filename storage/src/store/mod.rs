//! The chunk store: keeps the parts of slices, each with its identity, the sums of its leaves and a
//! root over them, and proves that what it gives back is what was put.
//!
//! A part is put once and never changes. Small parts lie together in segments, where one sync
//! serves everybody who waits ([`layout`] draws the bytes); a large one has a file of its own,
//! which gets its name when all of it is durable ([`table`]). Which parts there are is rebuilt from
//! the disk at each start ([`index`], [`opening`]). Segments of which little is needed are emptied
//! into others and removed ([`compaction`]).
//!
//! What is damaged is set aside, never handed out and never hidden. The store knows no slice's
//! meaning: it gives up a part when it is told to, and nothing else is garbage to it.

mod aside;
mod compaction;
mod config;
mod disposal;
mod index;
mod keeper;
mod large;
mod layout;
mod opening;
mod reading;
mod scan;
mod shared;
mod table;
mod writer;

#[cfg(test)]
mod tests;

pub use compaction::Compacted;
pub use config::StoreConfig;
pub use large::Upload;
pub use opening::Opened;
pub use reading::{Found, Health};
pub use scan::Damage;

use crate::error::StorageError;
use bytes::Bytes;
use futures::channel::mpsc::UnboundedSender;
use keeper::Chore;
use mooseng_core::checksum;
use mooseng_core::env::{Disk, Env, Space};
use mooseng_core::id::PartId;
use shared::{Answer, Item, Shared, What};
use std::sync::Arc;

/// Why the store did not do what it was asked for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was kept; giving parts up makes room.
    #[error("no space left for parts")]
    NoSpace,
    #[error("no such part")]
    Absent,
    /// It was there, and is no longer what was put.
    #[error("the part is damaged")]
    Damaged,
    /// Other bytes are kept under that name.
    #[error("other bytes are kept under that name")]
    Conflict,
    /// The same part is being put or given up, or too much waits to be written: ask again.
    #[error("busy: {0}")]
    Busy(&'static str),
    /// The bytes are not what their sums say.
    #[error("the bytes do not have these sums")]
    Mismatch,
    /// The disk does not do what it should; the server stops.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What a part that is kept is known by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sealed {
    pub root: [u8; 32],
    /// Drawn when the part was put here; never 0. Put anew it has another.
    pub incarnation: u64,
}

/// A part in the inventory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    pub part: PartId,
    pub length: u32,
    pub incarnation: u64,
    /// It is set aside.
    pub damaged: bool,
}

/// What became of a part that was to be given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Given {
    Done,
    Absent,
    /// Another incarnation is there, and stays.
    Other,
}

/// How much is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    pub parts: u64,
    pub bytes: u64,
    pub damaged: u64,
    pub segments: u64,
}

type FileOf<E> = <<E as Env>::Disk as Disk>::File;
type ExtentOf<E> = <<E as Env>::Disk as Disk>::Extent;

/// A handle on an open store. The store goes on until the last handle is gone and everything that
/// was asked through them is written.
pub struct Store<E: Env> {
    shared: Arc<Shared<E>>,
    queue: UnboundedSender<Item>,
    chores: UnboundedSender<Chore>,
}

impl<E: Env> Clone for Store<E> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), queue: self.queue.clone(), chores: self.chores.clone() }
    }
}

impl<E: Env> Store<E> {
    /// Makes an empty store in `directory`, which is created. Refused if there is one already.
    pub async fn format(env: &E, directory: &str, config: &StoreConfig) -> Result<(), StorageError> {
        opening::format(env, directory, config).await
    }

    /// Opens the store in `directory` and says what it found.
    pub async fn open(env: &E, directory: &str, config: StoreConfig) -> Result<(Self, Opened), StorageError> {
        opening::open(env, directory, config).await
    }

    /// Keeps a whole part; when this returns, it is durable. A part that is kept already, the same
    /// bytes under the same name, is answered again.
    pub async fn put(&self, part: PartId, sums: Vec<u32>, data: Bytes) -> Result<Sealed, StoreError> {
        if checksum::leaf_bad_first(part, 0, &data, &sums).is_some()
            || sums.len() != layout::leaf_count(data.len() as u32)
        {
            return Err(StoreError::Mismatch);
        }
        if data.len() > self.shared.config.small_bytes_max as usize {
            let upload = self.upload().await?;
            let length = data.len() as u32;
            upload.write(0, data).await?;
            return upload.seal(part, length, sums).await;
        }
        if let Some(sealed) = self.known(part, data.len() as u32, &sums).await? {
            return Ok(sealed);
        }
        let root = checksum::root(part, data.len() as u64, &sums);
        let incarnation = self.shared.incarnation();
        let _reserved = self.shared.reserve(part)?;
        match self.ask(What::Put { part, incarnation, root, sums, data }).await? {
            Answer::Done => Ok(Sealed { root, incarnation }),
            Answer::Absent | Answer::Other => Err(StoreError::Busy("the part was put by somebody else")),
        }
    }

    /// The part as it is kept, if it is kept with these sums. Damaged ones are given up first.
    async fn known(&self, part: PartId, length: u32, sums: &[u32]) -> Result<Option<Sealed>, StoreError> {
        let Some(entry) = self.shared.entry(part)? else { return Ok(None) };
        if !entry.damaged {
            if entry.length == length && self.sums(part, &entry).await.as_deref() == Ok(sums) {
                let root = checksum::root(part, u64::from(length), sums);
                return Ok(Some(Sealed { root, incarnation: entry.incarnation }));
            }
            if self.verify(part).await? == Health::Good {
                return Err(StoreError::Conflict);
            }
        }
        self.give_up(&[(part, entry.incarnation)]).await?;
        Ok(None)
    }

    /// The parts behind `after`, at most so many, and whether these are all.
    pub fn inventory(&self, after: Option<PartId>, limit: usize) -> (Vec<Kept>, bool) {
        let (page, complete) = self.shared.lock().index.page(after, limit);
        let kept = page.into_iter().map(|(part, entry)| Kept {
            part,
            length: entry.length,
            incarnation: entry.incarnation,
            damaged: entry.damaged,
        });
        (kept.collect(), complete)
    }

    /// Parts that are set aside, those found first coming first: up to `limit` behind number `after`,
    /// each with its number. Numbers begin at 1, and anew with each opening.
    pub fn set_aside_since(&self, after: u64, limit: usize) -> Vec<(u64, PartId)> {
        self.shared.lock().index.aside.behind(after, limit)
    }

    pub fn usage(&self) -> Usage {
        let state = self.shared.lock();
        let index = &state.index;
        Usage {
            parts: index.len() as u64,
            bytes: index.bytes,
            damaged: index.aside.len(),
            segments: index.segments() as u64,
        }
    }

    /// Bytes of the whole disk.
    pub async fn space(&self) -> Result<Space, StoreError> {
        Ok(self.shared.env.disk().space().await.map_err(StorageError::from)?)
    }

    /// Has the writer do something, and waits until that is durable.
    async fn ask(&self, what: What) -> Result<Answer, StoreError> {
        self.shared.push(&self.queue, what)?.await.unwrap_or_else(|_| Err(self.shared.ended()))
    }
}
