//! Giving space back: what is still needed of a segment that is mostly dead moves into another one,
//! verified before and after, and then the segment is removed. The old place goes only when the new
//! one is durable.

use super::index::{Entry, Place};
use super::keeper::{Chore, remove, table_name};
use super::layout::{Kill, Put, Record, SegmentHead};
use super::shared::{Answer, FileKey, What};
use super::table::Table;
use super::writer::bytes_of;
use super::{Store, StoreError, scan};
use crate::error::StorageError;
use crate::segment::{read, segment_name};
use futures::channel::oneshot;
use mooseng_core::checksum::{leaf_bad_first, root};
use mooseng_core::env::{Disk, DiskError, Env, File, OpenMode};
use mooseng_core::{plant, probe};

/// How much is on its way into the new segment at once.
const MOVING_BYTES_MAX: usize = 4 << 20;

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compacted {
    /// How many segments were removed: none, or one.
    pub segments: u32,
    pub parts_moved: u32,
    pub bytes_moved: u64,
}

type Wait = oneshot::Receiver<Result<Answer, StoreError>>;

/// What is needed elsewhere, on its way.
#[derive(Default)]
struct Onward {
    read: Vec<What>,
    read_bytes: usize,
    waits: Vec<Wait>,
    /// Of those that are waited for.
    sent_bytes: usize,
}

impl<E: Env> Store<E> {
    /// Removes the segment of which least is needed, if that is little enough.
    pub async fn compact(&self) -> Result<Compacted, StoreError> {
        let sequence = {
            let mut state = self.shared.lock();
            let open = state.active;
            let needed_bytes_max = self.shared.config.needed_bytes_max();
            let Some(sequence) = state.index.candidate(open, needed_bytes_max) else {
                return Ok(Compacted::default());
            };
            state.index.begin_move(sequence);
            sequence
        };
        let moving = Moving { store: self, sequence };
        moving.empty().await
    }
}

/// A segment that is being emptied. When it is dropped, it no longer is.
struct Moving<'a, E: Env> {
    store: &'a Store<E>,
    sequence: u32,
}

impl<E: Env> Drop for Moving<'_, E> {
    fn drop(&mut self) {
        self.store.shared.lock().index.end_move();
    }
}

impl<E: Env> Moving<'_, E> {
    async fn empty(&self) -> Result<Compacted, StoreError> {
        let shared = &self.store.shared;
        let Ok(records) = self.records().await else {
            // Nobody knows what is needed of it, and it must not stand in the way of the others.
            shared.lock().index.add_unreadable(self.sequence);
            shared.note(format!("segment {} cannot be read: it stays as it is", self.sequence));
            return Ok(Compacted { segments: 1, ..Compacted::default() });
        };
        let mut done = Compacted { segments: 1, ..Compacted::default() };
        let mut moved: Vec<(Put, Entry)> = Vec::new();
        let mut onward = Onward::default();
        for record in &records {
            let what = match record {
                Record::Put(put) => self.carry(put).await?,
                Record::Kill(kill) => self.keep(kill),
            };
            let Some(what) = what else { continue };
            if let (Record::Put(put), What::Move { entry, .. }) = (record, &what) {
                moved.push((*put, *entry));
                done.parts_moved += 1;
                done.bytes_moved += u64::from(put.length);
            }
            onward.read_bytes += bytes_of(&what);
            onward.read.push(what);
            if onward.read_bytes >= shared.config.batch_bytes_max.min(MOVING_BYTES_MAX) {
                self.send(&mut onward)?;
            }
            if onward.sent_bytes >= MOVING_BYTES_MAX {
                self.wait(&mut onward).await?;
            }
        }
        self.send(&mut onward)?;
        if plant!("chunk-compaction-frees-before-durable", true, false) {
            self.wait(&mut onward).await?;
            self.check(&moved).await?;
        }
        let stranded = shared.lock().index.strand(self.sequence);
        for part in stranded {
            probe!("stored part missing from its segment");
            shared.note(format!("part {part} is not to be found in its segment: it is set aside"));
        }
        self.remove().await?;
        Ok(done)
    }

    /// What the segment holds, from its table or from itself.
    async fn records(&self) -> Result<Vec<Record>, StoreError> {
        let shared = &self.store.shared;
        if let Ok(Some(table)) = read_table(&shared.env, &shared.path(&table_name(self.sequence))).await
            && table.sequence == self.sequence
            && table.store == shared.store
        {
            return Ok(table.records);
        }
        let path = shared.segment_path(self.sequence);
        let file = shared.env.disk().open(&path, OpenMode::Existing).await.map_err(StorageError::from)?;
        let (head, image) = read_segment(&file).await?.ok_or(StoreError::Damaged)?;
        let name = segment_name(u64::from(self.sequence));
        Ok(scan::scan(&head, &image, &name).records)
    }

    /// What moves a part, if it still lives here and is whole.
    async fn carry(&self, put: &Put) -> Result<Option<What>, StoreError> {
        let shared = &self.store.shared;
        let here = Place::Segment { sequence: self.sequence, offset: put.offset };
        let Some(entry) = shared.entry(put.part)?.filter(|entry| entry.place() == here) else {
            return Ok(None);
        };
        if entry.incarnation != put.incarnation {
            return Ok(None);
        }
        let Ok((data, sums)) = self.store.raw(put.part, &entry).await else {
            self.leave(put, &entry, "cannot be read and was not moved");
            return Ok(None);
        };
        let (sums, whole) = plant!(
            "chunk-compaction-blesses-rot",
            {
                let whole = root(put.part, u64::from(put.length), &sums) == put.root
                    && leaf_bad_first(put.part, 0, &data, &sums).is_none();
                (sums, whole && !entry.damaged)
            },
            (mooseng_core::checksum::leaves(put.part, 0, &data), true)
        );
        if !whole {
            self.leave(put, &entry, "is damaged and was not moved");
            return Ok(None);
        }
        let root = root(put.part, u64::from(put.length), &sums);
        Ok(Some(What::Move { part: put.part, entry, root, sums, data }))
    }

    /// The part goes with its segment.
    fn leave(&self, put: &Put, entry: &Entry, why: &str) {
        self.store.set_aside(put.part, entry, why);
        self.store.shared.lock().index.relocate(put.part, put.incarnation, entry.place(), Place::Gone);
    }

    fn keep(&self, kill: &Kill) -> Option<What> {
        let needed = self.store.shared.lock().index.is_needed_without(kill, self.sequence);
        needed.then_some(What::Keep(*kill))
    }

    /// What was read goes to the writer at once, and so into one batch: one by one, small parts would
    /// take a sector each, and their new segment would be as empty as the old one.
    fn send(&self, onward: &mut Onward) -> Result<(), StoreError> {
        onward.sent_bytes += std::mem::take(&mut onward.read_bytes);
        for what in onward.read.drain(..) {
            onward.waits.push(self.store.shared.push(&self.store.queue, what)?);
        }
        Ok(())
    }

    async fn wait(&self, onward: &mut Onward) -> Result<(), StoreError> {
        onward.sent_bytes = 0;
        for wait in onward.waits.drain(..) {
            wait.await.unwrap_or_else(|_| Err(self.store.shared.ended()))?;
        }
        Ok(())
    }

    /// Looks whether all that moved is whole where it is now. If not, it is still here.
    async fn check(&self, moved: &[(Put, Entry)]) -> Result<(), StoreError> {
        let shared = &self.store.shared;
        for (put, old) in moved {
            let Some(entry) = shared.entry(put.part)?.filter(|entry| entry.incarnation == put.incarnation)
            else {
                continue;
            };
            let bad = match self.store.raw(put.part, &entry).await {
                Ok((data, sums)) => leaf_bad_first(put.part, 0, &data, &sums).is_some(),
                // It was given up and its new segment removed meanwhile.
                Err(StoreError::Absent) => false,
                Err(_) => true,
            };
            if bad {
                probe!("stored part damaged on the move");
                shared.lock().index.relocate(put.part, put.incarnation, entry.place(), old.place());
                return Err(StoreError::Busy("a part was damaged on the move; its old place is kept"));
            }
        }
        Ok(())
    }

    async fn remove(&self) -> Result<(), StoreError> {
        let shared = &self.store.shared;
        let _alone = shared.housekeeping.lock().await;
        if let Err(error) = self.remove_names().await {
            shared.halt(&error);
            return Err(error.into());
        }
        let mut state = shared.lock();
        state.index.segment_gone(self.sequence);
        state.forget_file(FileKey::Segment(self.sequence));
        drop(state);
        let _ = self.store.chores.unbounded_send(Chore::Prepare);
        probe!("store segment removed");
        Ok(())
    }

    /// The table goes first: without a segment it would tell of parts that are lost.
    async fn remove_names(&self) -> Result<(), StorageError> {
        let shared = &self.store.shared;
        let directory = &shared.directory;
        remove(&shared.env, &shared.path(&table_name(self.sequence))).await?;
        shared.env.disk().sync_dir(directory).await?;
        remove(&shared.env, &shared.segment_path(self.sequence)).await?;
        shared.env.disk().sync_dir(directory).await?;
        Ok(())
    }
}

/// A table, if there is one that reads well.
pub(super) async fn read_table<E: Env>(env: &E, path: &str) -> Result<Option<Table>, StorageError> {
    let file = match env.disk().open(path, OpenMode::Existing).await {
        Ok(file) => file,
        Err(DiskError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let length = file.length().await?.min(super::table::TABLE.bytes_max as u64);
    let bytes = read(&file, 0, length).await?;
    match Table::decode(&bytes) {
        Ok(table) => Ok(Some(table)),
        Err(fault @ crate::envelope::Fault::Version(_)) => Err(super::table::TABLE.explain(fault, path)),
        Err(_) => Ok(None),
    }
}

/// A segment's head and image, if its head reads well.
pub(super) async fn read_segment<F: File>(
    file: &F,
) -> Result<Option<(SegmentHead, bytes::Bytes)>, StorageError> {
    let start = read(file, 0, u64::from(super::layout::SECTOR_BYTES_MIN)).await?;
    let Ok(head) = SegmentHead::decode(&start) else { return Ok(None) };
    let image = read(file, 0, head.segment_bytes).await?;
    Ok(Some((head, image)))
}
