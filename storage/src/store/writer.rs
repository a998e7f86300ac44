//! The one task that writes segments: queue to batch, one write, one sync, everybody told. While a
//! batch is being synced the next one gathers, so many who wait share a sync.
//!
//! When a write or a sync fails the server stops: what reached the disk is unknown. A full disk is
//! an answer.

use super::FileOf;
use super::index::{Place, Verdict};
use super::keeper::Chore;
use super::layout::{BATCH_HEAD_BYTES, BatchEncoder, RECORD_BYTES, Record, area_bytes};
use super::shared::{Answer, Item, Segment, Shared, What};
use super::{StoreError, keeper};
use crate::error::StorageError;
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender};
use futures::channel::oneshot;
use mooseng_core::env::{DiskError, Env, File};
use mooseng_core::id::PartId;
use mooseng_core::{plant, probe};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Beyond this many records a batch takes no more: a table of them is kept in memory.
const BATCH_RECORDS_MAX: usize = 4096;

/// What a wish takes up in a batch.
pub(super) fn bytes_of(what: &What) -> usize {
    let area = match what {
        What::Put { data, .. } | What::Move { data, .. } => area_bytes(data.len() as u32),
        What::GiveUp { .. } | What::Keep(_) => 0,
    };
    RECORD_BYTES + area
}

/// New parts take no room that is kept for giving others up.
fn is_growth(what: &What) -> bool {
    matches!(what, What::Put { .. })
}

pub(super) struct Writer<E: Env> {
    pub(super) shared: Arc<Shared<E>>,
    pub(super) queue: UnboundedReceiver<Item>,
    pub(super) chores: UnboundedSender<Chore>,
    pub(super) segment: Segment<FileOf<E>>,
    /// Where the next batch goes.
    pub(super) end: u64,
    /// Everything the segment holds.
    pub(super) records: Vec<Record>,
    /// Taken off the queue, and not in a batch yet.
    pub(super) waiting: VecDeque<Item>,
}

type Done = oneshot::Sender<Result<Answer, StoreError>>;

/// What is to be told, and what is to be done to the index, when a batch is durable.
#[derive(Default)]
struct Effects {
    told: Vec<(Done, Answer)>,
    moved: BTreeMap<PartId, Place>,
    forgotten: Vec<PartId>,
}

impl<E: Env> Writer<E> {
    pub(super) async fn run(mut self) {
        while self.gather().await {
            if let Err(error) = self.commit().await {
                self.shared.halt(&error);
                return self.refuse_all();
            }
        }
    }

    /// Waits for something to write, and takes what else is there; false if nothing ever will be.
    async fn gather(&mut self) -> bool {
        if self.waiting.is_empty() {
            match self.queue.next().await {
                Some(item) => self.waiting.push_back(item),
                None => return false,
            }
        }
        let one_only = self.shared.env.buggify("store batch of one");
        let mut bytes: usize = self.waiting.iter().map(|item| item.bytes).sum();
        while !one_only
            && bytes < self.shared.config.batch_bytes_max
            && self.waiting.len() < BATCH_RECORDS_MAX
            && let Ok(item) = self.queue.try_recv()
        {
            bytes += item.bytes;
            self.waiting.push_back(item);
        }
        true
    }

    async fn commit(&mut self) -> Result<(), StorageError> {
        let early =
            self.end > self.segment.head.data_start() && self.shared.env.buggify("store rotates early");
        let mut items = if early { Vec::new() } else { self.fitting() };
        if items.is_empty() && !self.rotate().await? {
            return Ok(());
        }
        if items.is_empty() {
            items = self.fitting();
        }
        self.shared.taken(items.iter().map(|item| item.bytes).sum());
        let head = self.segment.head.clone();
        let mut encoder = BatchEncoder::new(&head, self.end);
        let effects = self.resolve(items, &mut encoder);
        if encoder.is_empty() {
            self.finish(&[], effects);
            return Ok(());
        }
        let (bytes, records) = encoder.finish();
        let end = self.end + bytes.len() as u64;
        assert!(end <= head.segment_bytes, "the batch fits its segment");
        if plant!("chunk-ack-before-sync", false, true) {
            self.segment.file.write_at(self.end, bytes).await?;
            self.finish(&records, effects);
            self.segment.file.sync().await?;
        } else {
            match self.segment.file.write_durably(self.end, bytes).await {
                Ok(()) => self.finish(&records, effects),
                Err(DiskError::NoSpace { .. }) => {
                    probe!("store found no space inside a segment");
                    effects.told.into_iter().for_each(|(done, _)| drop(done.send(Err(StoreError::NoSpace))));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.end = end;
        self.records.extend(records);
        Ok(())
    }

    /// As many of those that wait, in order, as the segment and a batch have room for.
    fn fitting(&mut self) -> Vec<Item> {
        let left = (self.segment.head.segment_bytes - self.end) as usize;
        let mut sum = BATCH_HEAD_BYTES;
        let mut count = 0;
        for item in &self.waiting {
            sum += item.bytes;
            if sum > left || (count > 0 && sum > self.shared.config.batch_bytes_max) {
                break;
            }
            count += 1;
        }
        self.waiting.drain(..count).collect()
    }

    /// What each wish comes to. A part that is given up in this batch is not moved in it: the
    /// record says where the part can lie, and the new place would not be among them.
    fn resolve(&self, items: Vec<Item>, encoder: &mut BatchEncoder<'_>) -> Effects {
        let given_up: BTreeSet<PartId> = items
            .iter()
            .filter_map(|item| match item.what {
                What::GiveUp { part, .. } => Some(part),
                _ => None,
            })
            .collect();
        let state = self.shared.lock();
        let index = &state.index;
        let mut written: BTreeSet<PartId> = BTreeSet::new();
        let mut effects = Effects::default();
        for Item { what, done, .. } in items {
            let answer = match what {
                What::Put { part, incarnation, root, sums, data } => {
                    if index.get(part).is_some() || given_up.contains(&part) || !written.insert(part) {
                        Answer::Other
                    } else {
                        encoder.put(part, incarnation, root, &sums, data);
                        Answer::Done
                    }
                }
                What::Move { part, entry, root, sums, data } => {
                    if index.get(part) != Some(entry) || given_up.contains(&part) || !written.insert(part) {
                        Answer::Absent
                    } else {
                        encoder.put(part, entry.incarnation, root, &sums, data);
                        effects.moved.insert(part, entry.place());
                        Answer::Done
                    }
                }
                What::GiveUp { part, incarnation } => match index.kill(part, incarnation) {
                    Verdict::Absent | Verdict::Own(_) => Answer::Absent,
                    Verdict::Other => Answer::Other,
                    Verdict::Forget => {
                        effects.forgotten.push(part);
                        Answer::Done
                    }
                    Verdict::Kill(kill) => {
                        if written.insert(part) {
                            encoder.kill(kill);
                        }
                        Answer::Done
                    }
                },
                What::Keep(kill) => {
                    encoder.kill(kill);
                    Answer::Done
                }
            };
            effects.told.push((done, answer));
        }
        effects
    }

    /// The batch is durable.
    fn finish(&self, records: &[Record], effects: Effects) {
        let sequence = self.segment.head.sequence;
        let mut state = self.shared.lock();
        for record in records {
            match record {
                Record::Put(put) => match effects.moved.get(&put.part) {
                    Some(from) => {
                        let to = Place::Segment { sequence, offset: put.offset };
                        state.index.relocate(put.part, put.incarnation, *from, to);
                    }
                    None => state.index.insert_put(sequence, put),
                },
                Record::Kill(kill) => state.index.killed(sequence, kill),
            }
        }
        for part in effects.forgotten {
            state.index.remove(part);
        }
        drop(state);
        if effects.told.len() > 1 {
            probe!("store batch served more than one");
        }
        // Whoever dropped the future did not want to know.
        effects.told.into_iter().for_each(|(done, answer)| drop(done.send(Ok(answer))));
    }

    /// Goes on in the next segment. False if there is no space for one: then the first of those who
    /// wait is told so.
    async fn rotate(&mut self) -> Result<bool, StorageError> {
        let growth = self.waiting.front().is_some_and(|item| is_growth(&item.what));
        let segment = match keeper::next_segment(&self.shared, !growth).await {
            Ok(segment) => segment,
            Err(StorageError::Disk(DiskError::NoSpace { .. })) => {
                probe!("store found no space for a segment");
                let Some(item) = self.waiting.pop_front() else { return Ok(false) };
                self.shared.taken(item.bytes);
                let _ = item.done.send(Err(StoreError::NoSpace));
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        probe!("store segment rotated");
        let full = std::mem::replace(&mut self.segment, segment);
        let records = std::mem::take(&mut self.records);
        let used = std::mem::replace(&mut self.end, self.segment.head.data_start());
        {
            let mut state = self.shared.lock();
            state.active = self.segment.head.sequence;
            state.index.add_segment(self.segment.head.sequence);
        }
        let _ = self.chores.unbounded_send(Chore::Full { head: full.head, used, records });
        Ok(true)
    }

    fn refuse_all(&mut self) {
        while let Ok(item) = self.queue.try_recv() {
            self.waiting.push_back(item);
        }
        self.waiting.drain(..).for_each(|item| drop(item.done.send(Err(self.shared.ended()))));
    }
}
