//! Open files: written bytes that wait to be sent, reads that see them, errors that stick. Knows
//! nothing of names, permissions and handles' numbers ([`crate::mount`] does), nor of the chunk
//! servers ([`crate::data`] does).
//!
//! The decisions are plain: [`state`] (what is where, in which order), [`dirty`] (what was written),
//! [`pack`] (runs to slices), [`map`] (what a file is made of), [`ahead`] (how far to read ahead),
//! [`budget`] (who waits for memory). [`shared`], [`reading`] and
//! [`compacting`] carry them out.

mod ahead;
mod budget;
mod compacting;
mod dirty;
mod error;
mod grants;
mod map;
mod open;
mod pack;
mod reading;
mod service;
mod session;
mod shared;
mod state;

pub use error::FileError;
pub use open::OpenFile;
pub use service::{FileService, RangeMap, Size};
pub use session::Metadata;

use crate::data::Store;
use budget::Budget;
use grants::Grants;
use mooseng_core::class::StorageClass;
use mooseng_core::env::Env;
use mooseng_core::id::InodeId;
use mooseng_core::time::WallTime;
use shared::{Mounted, Shared};
use state::Known;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct FileConfig {
    /// So many dirty bytes of a file are sent without waiting for more.
    pub flush_bytes: usize,
    /// How long less than that waits for more.
    pub dirty_age: Duration,
    pub slice_bytes_max: usize,
    /// Batches of one file on their way at once.
    pub batches_max: usize,
    /// Bytes dirty or on their way, of one file and of all: whoever writes more waits.
    pub file_unwritten_max: usize,
    pub unwritten_max: usize,
    /// The farthest that is read ahead of a stream, and the bytes so held by all.
    pub ahead_bytes_max: u64,
    pub ahead_max: usize,
    /// How long what was read ahead is of use, if nobody is known to have changed the file. Long, or a
    /// slow reader has the same bytes read again and again.
    pub ahead_age: Duration,
    /// How old a file's map may grow before it is asked for again.
    pub map_age: Duration,
    /// Slices asked for at a time.
    pub grant_batch: u32,
    /// How long a read goes on when chunk servers do not answer.
    pub operation_timeout: Duration,
}

impl Default for FileConfig {
    fn default() -> Self {
        Self {
            flush_bytes: 4 << 20,
            dirty_age: Duration::from_secs(1),
            slice_bytes_max: 4 << 20,
            batches_max: 4,
            file_unwritten_max: 64 << 20,
            unwritten_max: 256 << 20,
            ahead_bytes_max: 8 << 20,
            ahead_max: 256 << 20,
            ahead_age: Duration::from_secs(10),
            map_age: Duration::from_secs(1),
            grant_batch: 16,
            operation_timeout: Duration::from_secs(60),
        }
    }
}

/// So many files are remembered that are open no more: what an answer says of one that was asked for before
/// the last handle went is older than what was known then.
const CLOSED_MAX: usize = 16_384;

struct Entry<E: Env, S: FileService> {
    file: Weak<Shared<E, S>>,
    known: Known,
}

struct Open<E: Env, S: FileService> {
    entries: BTreeMap<InodeId, Entry<E, S>>,
    /// With so many, those that are open no more are forgotten.
    full: usize,
}

impl<E: Env, S: FileService> Default for Open<E, S> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), full: CLOSED_MAX }
    }
}

impl<E: Env, S: FileService> Open<E, S> {
    fn find(&self, inode: InodeId) -> Option<Arc<Shared<E, S>>> {
        self.entries.get(&inode)?.file.upgrade()
    }

    fn add(
        &mut self,
        mounted: &Arc<Mounted<E, S>>,
        inode: InodeId,
        class: StorageClass,
        size: Size,
    ) -> Arc<Shared<E, S>> {
        let known = self.entries.get(&inode).map(|entry| entry.known.size());
        let size = known.filter(|known| known.version > size.version).unwrap_or(size);
        if self.entries.len() >= self.full {
            self.entries.retain(|_, entry| entry.file.strong_count() > 0);
            self.full = (self.entries.len() * 2).max(CLOSED_MAX);
        }
        let file = Arc::new(Shared::new(mounted.clone(), inode, class, size));
        let known = file.with(|state| state.known());
        self.entries.insert(inode, Entry { file: Arc::downgrade(&file), known });
        file
    }
}

/// The open files of a mount. A handle; clones share them.
pub struct Files<E: Env, S: FileService> {
    mounted: Arc<Mounted<E, S>>,
    open: Arc<Mutex<Open<E, S>>>,
}

impl<E: Env, S: FileService> Clone for Files<E, S> {
    fn clone(&self) -> Self {
        Self { mounted: self.mounted.clone(), open: self.open.clone() }
    }
}

impl<E: Env, S: FileService> Files<E, S> {
    pub fn new(env: &E, config: FileConfig, store: Store<E>, service: S) -> Self {
        assert!(
            config.flush_bytes <= config.file_unwritten_max.min(config.unwritten_max),
            "room for a batch"
        );
        assert!(config.batches_max > 0 && config.slice_bytes_max > 0, "batches and slices hold something");
        let mounted = Mounted {
            env: env.clone(),
            store,
            service,
            grants: Grants::default(),
            unwritten: Budget::new(config.unwritten_max),
            ahead: Budget::new(config.ahead_max),
            config,
        };
        Self { mounted: Arc::new(mounted), open: Arc::default() }
    }

    /// Opens a file whose attributes were just looked at: what was closed anywhere before that is
    /// seen.
    pub fn open(&self, inode: InodeId, class: StorageClass, size: Size) -> OpenFile<E, S> {
        let file = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            match open.find(inode) {
                Some(file) => {
                    file.learn(class, size);
                    file
                }
                None => open.add(&self.mounted, inode, class, size),
            }
        };
        OpenFile::new(self.clone(), file)
    }

    /// How long an open file is to this mount, if it is open.
    pub fn size(&self, inode: InodeId) -> Option<u64> {
        Some(self.find(inode)?.with(|state| state.size()))
    }

    /// The same, when the metadata service has just said how long it is there; and when it was last
    /// written to here, if not all of that is committed.
    pub fn told(&self, inode: InodeId, told: Size) -> Option<(u64, Option<WallTime>)> {
        Some(self.find(inode)?.with(|state| (state.size_told(told), state.unwritten_since())))
    }

    /// Is something newer known of the file than this? It was said before the last change of this mount was
    /// answered, or what is known was said after it.
    pub fn is_behind(&self, inode: InodeId, told: Size) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.entries.get(&inode).is_some_and(|entry| entry.known.size().version > told.version)
    }

    /// Waits until everything written to a file before now is committed, or has failed.
    pub async fn settle(&self, inode: InodeId) {
        if let Some(file) = self.find(inode) {
            file.settle().await;
        }
    }

    /// What was taken in and is not yet committed, of all files together.
    pub fn unwritten_bytes(&self) -> u64 {
        let Mounted { config, unwritten, .. } = &*self.mounted;
        config.unwritten_max.saturating_sub(unwritten.left()) as u64
    }

    fn find(&self, inode: InodeId) -> Option<Arc<Shared<E, S>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).find(inode)
    }

    /// Sends whatever is dirty in any file on its way: somebody waits for room.
    fn depart_all(&self) {
        let files: Vec<Arc<Shared<E, S>>> = {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.entries.values().filter_map(|entry| entry.file.upgrade()).collect()
        };
        for file in files {
            file.depart();
        }
    }
}
