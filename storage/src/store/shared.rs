//! Where the handles of a store and its tasks meet: the index, the open files, the segments in
//! stock. A lock is held for a few instructions, never over a wait.

use super::index::{Entry, Index, Place};
use super::layout::SegmentHead;
use super::table::OwnFile;
use super::{FileOf, StoreConfig, StoreError};
use crate::error::StorageError;
use crate::field::join;
use crate::segment::segment_name;
use bytes::Bytes;
use futures::channel::mpsc::UnboundedSender;
use futures::channel::oneshot;
use mooseng_core::chance::{Dice, mix};
use mooseng_core::env::{Clock, Disk, DiskError, Env, OpenMode};
use mooseng_core::event::Event;
use mooseng_core::id::PartId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The directory of large parts, inside the store's.
pub(super) const OWN_DIRECTORY: &str = "parts";

/// What the writer shall write.
pub(super) enum What {
    Put {
        part: PartId,
        incarnation: u64,
        root: [u8; 32],
        sums: Vec<u32>,
        data: Bytes,
    },
    /// The same part in another segment.
    Move {
        part: PartId,
        entry: Entry,
        root: [u8; 32],
        sums: Vec<u32>,
        data: Bytes,
    },
    GiveUp {
        part: PartId,
        incarnation: u64,
    },
    /// A record that an emptied segment held and that is still needed.
    Keep(super::layout::Kill),
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    Done,
    Absent,
    Other,
}

pub(super) struct Item {
    pub(super) what: What,
    pub(super) bytes: usize,
    pub(super) done: oneshot::Sender<Result<Answer, StoreError>>,
}

/// A segment that is ready to be written.
pub(super) struct Segment<F> {
    pub(super) file: F,
    pub(super) head: SegmentHead,
}

pub(super) struct Shared<E: Env> {
    pub(super) env: E,
    pub(super) directory: String,
    pub(super) config: StoreConfig,
    /// Drawn when the store was formatted.
    pub(super) store: [u8; 16],
    /// Held while a segment is prepared.
    pub(super) preparing: futures::lock::Mutex<()>,
    /// Held while tables are written and segments are removed.
    pub(super) housekeeping: futures::lock::Mutex<()>,
    state: Mutex<State<FileOf<E>>>,
}

/// A file that parts are read from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum FileKey {
    Segment(u32),
    Own(PartId, u64),
}

pub(super) struct State<F> {
    pub(super) index: Index,
    /// Prepared segments, in order.
    pub(super) stock: VecDeque<Segment<F>>,
    pub(super) next_sequence: u32,
    /// The segment being written.
    pub(super) active: u32,
    queued_bytes: usize,
    /// Parts that are being put or given up.
    reserved: BTreeSet<PartId>,
    /// Why nothing is kept any more.
    stopped: Option<String>,
    /// Open files, each with the turn at which it was used last.
    files: BTreeMap<FileKey, (F, u64)>,
    turns: u64,
}

impl<F> State<F> {
    pub(super) fn new(index: Index, stock: VecDeque<Segment<F>>, next_sequence: u32, active: u32) -> Self {
        Self {
            index,
            stock,
            next_sequence,
            active,
            queued_bytes: 0,
            reserved: BTreeSet::new(),
            stopped: None,
            files: BTreeMap::new(),
            turns: 0,
        }
    }

    pub(super) fn count(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    pub(super) fn forget_file(&mut self, key: FileKey) {
        self.files.remove(&key);
    }
}

/// A part that nobody else puts or gives up meanwhile.
pub(super) struct Reserved<E: Env> {
    shared: Arc<Shared<E>>,
    part: PartId,
}

impl<E: Env> Drop for Reserved<E> {
    fn drop(&mut self) {
        self.shared.lock().reserved.remove(&self.part);
    }
}

impl<E: Env> Shared<E> {
    pub(super) fn new(
        env: E,
        directory: String,
        config: StoreConfig,
        store: [u8; 16],
        state: State<FileOf<E>>,
    ) -> Self {
        let (preparing, housekeeping) = (futures::lock::Mutex::new(()), futures::lock::Mutex::new(()));
        Self { env, directory, config, store, preparing, housekeeping, state: Mutex::new(state) }
    }

    /// A panic elsewhere leaves nothing half done in here: every change under the lock is whole.
    pub(super) fn lock(&self) -> MutexGuard<'_, State<FileOf<E>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn entry(&self, part: PartId) -> Result<Option<Entry>, StoreError> {
        let state = self.lock();
        match &state.stopped {
            Some(why) => Err(stopped(why)),
            None => Ok(state.index.get(part)),
        }
    }

    pub(super) fn reserve(self: &Arc<Self>, part: PartId) -> Result<Reserved<E>, StoreError> {
        if !self.lock().reserved.insert(part) {
            return Err(StoreError::Busy("the part is being put or given up"));
        }
        Ok(Reserved { shared: self.clone(), part })
    }

    /// A number that no part of this server had before, as far as dice can promise.
    pub(super) fn incarnation(&self) -> u64 {
        let turn = self.lock().count();
        let moment = self.env.clock().now().as_nanos();
        self.env.rng("part incarnation", mix(moment) ^ turn).word().max(1)
    }

    pub(super) fn push(
        &self,
        queue: &UnboundedSender<Item>,
        what: What,
    ) -> Result<oneshot::Receiver<Result<Answer, StoreError>>, StoreError> {
        let bytes = super::writer::bytes_of(&what);
        {
            let mut state = self.lock();
            if let Some(why) = &state.stopped {
                return Err(stopped(why));
            }
            if state.queued_bytes > 0 && state.queued_bytes + bytes > self.config.queue_bytes_max {
                return Err(StoreError::Busy("too much waits to be written"));
            }
            state.queued_bytes += bytes;
        }
        let (done, receiver) = oneshot::channel();
        queue.unbounded_send(Item { what, bytes, done }).map_err(|_| self.ended())?;
        Ok(receiver)
    }

    pub(super) fn taken(&self, bytes: usize) {
        self.lock().queued_bytes -= bytes;
    }

    /// Nothing is kept from now on, and the server stops: what reached the disk is unknown.
    pub(super) fn halt(&self, error: &StorageError) {
        let why = format!("chunk store {}: {error}", self.directory);
        self.lock().stopped.get_or_insert_with(|| why.clone());
        self.env.halt(format!("{why}; what reached the disk is unknown, so this server stops"));
    }

    /// What whoever waited is told when the store ends.
    pub(super) fn ended(&self) -> StoreError {
        let why = self.lock().stopped.clone();
        stopped(why.as_deref().unwrap_or("it ended before this was durable"))
    }

    pub(super) fn note(&self, what: String) {
        self.env.note(Event::Note(what));
    }

    pub(super) fn path(&self, name: &str) -> String {
        join(&self.directory, name)
    }

    pub(super) fn segment_path(&self, sequence: u32) -> String {
        self.path(&segment_name(u64::from(sequence)))
    }

    pub(super) fn own_directory(&self) -> String {
        self.path(OWN_DIRECTORY)
    }

    pub(super) fn own_path(&self, own: &OwnFile) -> String {
        join(&self.own_directory(), &own.name())
    }

    /// The file a part lies in, open, and where in it. `Absent` if it is not there any more.
    pub(super) async fn file(&self, part: PartId, entry: &Entry) -> Result<FileOf<E>, StoreError> {
        let (key, path) = match entry.place() {
            Place::Gone => return Err(StoreError::Damaged),
            Place::Segment { sequence, .. } => (FileKey::Segment(sequence), self.segment_path(sequence)),
            Place::Own => {
                let own = own_file(part, entry);
                (FileKey::Own(part, entry.incarnation), self.own_path(&own))
            }
        };
        {
            let mut state = self.lock();
            let turn = state.count();
            if let Some((file, used)) = state.files.get_mut(&key) {
                *used = turn;
                return Ok(file.clone());
            }
        }
        let file = match self.env.disk().open(&path, OpenMode::Existing).await {
            Ok(file) => file,
            Err(DiskError::NotFound { .. }) => return Err(StoreError::Absent),
            Err(error) => return Err(StorageError::from(error).into()),
        };
        let mut state = self.lock();
        let turn = state.count();
        if state.files.len() >= self.config.files_open_max
            && let Some(oldest) = state.files.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key)
        {
            state.files.remove(&oldest);
        }
        state.files.insert(key, (file.clone(), turn));
        Ok(file)
    }
}

pub(super) fn own_file(part: PartId, entry: &Entry) -> OwnFile {
    OwnFile { part, incarnation: entry.incarnation, length: entry.length }
}

pub(super) fn stopped(why: &str) -> StoreError {
    StorageError::Stopped { why: why.to_owned() }.into()
}
