//! The one task that writes: queue to batch, one write, one sync, everybody told. While a batch is
//! being synced the next one gathers, so many waiting streams share a sync without anybody waiting
//! on purpose.
//!
//! When a write or a sync fails the server stops: what reached the disk is unknown, and a page
//! cache that lost a write reports the error once and then forgets it.

use super::batcher;
use super::layout::{BatchEncoder, Doubt, State};
use super::shared::{Item, Outcome, Segment, Shared, What, Work};
use super::{Position, StreamId};
use crate::error::StorageError;
use bytes::Bytes;
use futures::channel::oneshot;
use futures::future::{Either, select};
use mooseng_core::env::{DiskError, Env, File, sleep};
use mooseng_core::{plant, probe};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long nothing comes before the last sync is proved by a batch without records.
const IDLE: Duration = Duration::from_millis(20);

type Alarm = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Writer<E: Env, F> {
    pub(super) env: E,
    pub(super) directory: String,
    pub(super) shared: Arc<Shared<F>>,
    pub(super) segment: Segment<F>,
    /// Where the next batch goes.
    pub(super) end: Position,
    /// The end of what is known to be durable.
    pub(super) proven: Position,
    /// The highest `proven` that any batch carries.
    pub(super) carried: Position,
    pub(super) doubt: Option<Doubt>,
    /// Goes off when nothing may have come for a while: `proven` as it was set, and the alarm.
    pub(super) alarm: Option<(Position, Alarm)>,
}

/// What a batch has in it beside its bytes.
struct Batch {
    bytes: Bytes,
    /// Whom to tell, with the position that answers.
    waiting: Vec<(oneshot::Sender<Outcome>, Position)>,
    records: Vec<(StreamId, Position)>,
    /// The state record, if it has one.
    state: Option<State>,
}

impl<E: Env, F: File> Writer<E, F> {
    pub(super) async fn run(mut self) {
        loop {
            let done = match self.next_work().await {
                Some(Work::Batch) => self.commit().await,
                Some(Work::End) => Ok(false),
                None => self.mark().await.map(|()| true),
            };
            match done {
                Ok(true) => {}
                Ok(false) => return self.shared.stop("it was closed"),
                Err(error) => return self.fail(&error),
            }
        }
    }

    /// The next work; `None` if there was none for a while and the last sync is unproved. One alarm
    /// serves all commits that come while it runs: setting one for each would cost more than the
    /// commit's own bookkeeping.
    async fn next_work(&mut self) -> Option<Work> {
        loop {
            let has_room = batcher::left(&self.segment.head, self.offset()) > 0;
            if self.proven <= self.carried || !has_room {
                return Some(self.shared.work().await);
            }
            let (proven, alarm) = self.alarm.get_or_insert_with(|| {
                let env = self.env.clone();
                (self.proven, Box::pin(async move { sleep(&env, IDLE).await }))
            });
            match select(self.shared.work(), alarm).await {
                Either::Left((work, _)) => return Some(work),
                Either::Right(((), _)) => {
                    let idle = *proven == self.proven;
                    self.alarm = None;
                    if idle {
                        return None;
                    }
                }
            }
        }
    }

    fn offset(&self) -> u64 {
        self.end.0 - self.segment.head.base.0
    }

    /// Writes and syncs the next batch; false if the journal ends before there is room for it.
    async fn commit(&mut self) -> Result<bool, DiskError> {
        if self.end > self.segment.head.data_start()
            && self.env.buggify("journal rotates early")
            && !self.rotate().await?
        {
            return Ok(false);
        }
        let one_only = self.env.buggify("journal batch of one");
        let items = loop {
            match self.shared.take(batcher::left(&self.segment.head, self.offset()), one_only) {
                Some(items) => break items,
                None if self.rotate().await? => {}
                None => return Ok(false),
            }
        };
        let batch = self.encode(items);
        self.carried = self.proven;
        if plant!("journal-ack-before-sync", false, true) {
            self.segment.file.write_at(self.offset(), batch.bytes.clone()).await?;
            self.acknowledge(batch);
            self.segment.file.sync().await?;
            return Ok(true);
        }
        heed(self.segment.file.write_durably(self.offset(), batch.bytes.clone()).await)?;
        self.acknowledge(batch);
        Ok(true)
    }

    fn acknowledge(&mut self, batch: Batch) {
        let end = Position(self.end.0 + batch.bytes.len() as u64);
        (self.end, self.proven) = (end, end);
        let first = batch.state.map(|state| {
            self.doubt = state.doubt;
            state.first
        });
        self.shared.synced(end, &batch.records, first);
        for (done, position) in batch.waiting {
            // Whoever dropped the future did not want to know.
            let _ = done.send(Ok(position));
        }
    }

    fn encode(&self, items: Vec<Item>) -> Batch {
        let head = &self.segment.head;
        let capacity = items.iter().map(|item| item.bytes).sum();
        let mut encoder = BatchEncoder::new(head, self.end, self.proven, capacity);
        let settles = items.iter().any(|item| matches!(item.what, What::Settle));
        let (first, unwritten) = self.shared.first();
        let state = (settles || unwritten || self.end == head.data_start())
            .then(|| State { first, doubt: if settles { None } else { self.doubt.clone() } });
        if let Some(state) = &state {
            encoder.state(state);
        }
        let mut waiting = Vec::with_capacity(items.len());
        let mut written: Vec<(StreamId, Position)> = Vec::new();
        for Item { what, done, .. } in items {
            waiting.push((done, encoder.position()));
            if let What::Records { stream, records } = what {
                written.extend(records.iter().map(|record| (stream, encoder.record(stream, record))));
            }
        }
        let bytes = encoder.finish(head.sector_bytes);
        assert!(bytes.len() as u64 <= batcher::left(head, self.offset()), "the batch fits its segment");
        Batch { bytes, waiting, records: written, state }
    }

    /// Goes on in the next segment; false if there will be none. A segment is left only when all
    /// of it is synced: the sync of the next one says nothing about this one.
    async fn rotate(&mut self) -> Result<bool, DiskError> {
        if self.end > self.proven {
            heed(self.segment.file.sync().await)?;
            self.proven = self.end;
        }
        let Some(segment) = self.shared.next_segment().await else { return Ok(false) };
        probe!("journal segment rotated");
        assert!(segment.head.base >= self.end, "positions only grow");
        self.end = segment.head.data_start();
        self.segment = segment;
        Ok(true)
    }

    /// Proves the last sync with an empty batch. Nobody waits for it, so it is not synced: it
    /// costs a write when there is nothing else to do.
    async fn mark(&mut self) -> Result<(), DiskError> {
        let head = &self.segment.head;
        let bytes = BatchEncoder::new(head, self.end, self.proven, 0).finish(head.sector_bytes);
        let end = Position(self.end.0 + bytes.len() as u64);
        self.segment.file.write_at(self.offset(), bytes).await?;
        probe!("journal marked while idle");
        self.carried = self.proven;
        self.end = end;
        Ok(())
    }

    fn fail(&self, error: &DiskError) {
        let why = format!("journal {}: {error}", self.directory);
        self.shared.stop(&why);
        self.env.halt(format!("{why}; what reached the disk is unknown, so this server stops"));
    }
}

/// What a sync says is heeded.
fn heed(synced: Result<(), DiskError>) -> Result<(), DiskError> {
    plant!("journal-sync-error-ignored", synced, synced.or(Ok(())))
}

/// The same for whoever prepares segments.
pub(super) fn halt<E: Env, F>(env: &E, shared: &Shared<F>, directory: &str, error: &StorageError) {
    let why = format!("journal {directory}: {error}");
    shared.stop(&why);
    env.halt(format!("{why}; no segment can be prepared, so this server stops"));
}
