//! Where the handles of a journal and its two tasks meet: the queue, the segments in stock and who
//! waits for what. A lock is held for a few instructions, never over a wait.

use super::batcher::{self, Next};
use super::layout::SegmentHead;
use super::pins::Pins;
use super::{Position, StreamId};
use crate::error::StorageError;
use bytes::Bytes;
use futures::channel::oneshot;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

pub(super) type Outcome = Result<Position, StorageError>;

/// How many prepared segments are kept in stock.
const STOCK: usize = 1;

/// What somebody wants written.
pub(super) enum What {
    Records { stream: StreamId, records: Vec<Bytes> },
    Settle,
}

/// One wish in the queue, and whom to tell.
pub(super) struct Item {
    pub(super) what: What,
    pub(super) bytes: usize,
    pub(super) done: oneshot::Sender<Outcome>,
}

impl Item {
    pub(super) fn new(what: What, done: oneshot::Sender<Outcome>) -> Self {
        let bytes = match &what {
            What::Records { records, .. } => batcher::append_bytes(records),
            What::Settle => 0,
        };
        Self { what, bytes, done }
    }
}

/// A segment that is ready to be written.
pub(super) struct Segment<F> {
    pub(super) file: F,
    pub(super) head: SegmentHead,
}

/// What the writer shall do next.
pub(super) enum Work {
    Batch,
    /// All handles are gone and everything is written.
    End,
}

/// What the keeper shall do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chore {
    /// Prepare this segment.
    Prepare {
        sequence: u64,
        base: Position,
        proven: Position,
    },
    /// These segments are needed no more.
    Retire(Vec<u64>),
    End,
}

pub(super) struct Shared<F> {
    append_bytes_max: usize,
    batch_bytes_max: usize,
    queue_bytes_max: usize,
    inside: Mutex<Inside<F>>,
}

struct Inside<F> {
    queue: VecDeque<Item>,
    queue_bytes: usize,
    /// Why nothing is acknowledged any more.
    stopped: Option<String>,
    closed: bool,
    pins: Pins,
    /// The segment being written, and where the log ends.
    active: u64,
    end: Position,
    proven: Position,
    /// The first needed segment: as it is, as it was last written down, as it was last synced and
    /// acted upon.
    first: u64,
    first_written: u64,
    first_retired: u64,
    stock: VecDeque<Segment<F>>,
    next_sequence: u64,
    next_base: Position,
    retire: Vec<u64>,
    writer: Option<Waker>,
    keeper: Option<Waker>,
    waiting_for_room: Vec<Waker>,
}

impl<F> Inside<F> {
    /// Nothing will be written any more.
    fn ends(&self) -> bool {
        self.stopped.is_some() || (self.closed && self.queue.is_empty())
    }
}

/// Where a journal stands when it has been opened.
pub(super) struct Standing<F> {
    pub(super) append_bytes_max: usize,
    pub(super) batch_bytes_max: usize,
    pub(super) queue_bytes_max: usize,
    pub(super) pins: Pins,
    pub(super) active: u64,
    pub(super) end: Position,
    pub(super) first: u64,
    pub(super) stock: VecDeque<Segment<F>>,
    pub(super) next_sequence: u64,
    pub(super) next_base: Position,
    pub(super) retire: Vec<u64>,
}

pub(super) fn stopped(why: &str) -> StorageError {
    StorageError::Stopped { why: why.to_owned() }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// Remembers whom to wake, without a clone if it is the same as ever.
fn park<T>(waker: &mut Option<Waker>, context: &Context<'_>) -> Poll<T> {
    match waker {
        Some(known) => known.clone_from(context.waker()),
        None => *waker = Some(context.waker().clone()),
    }
    Poll::Pending
}

impl<F> Shared<F> {
    pub(super) fn new(standing: Standing<F>) -> Self {
        let inside = Inside {
            queue: VecDeque::new(),
            queue_bytes: 0,
            stopped: None,
            closed: false,
            pins: standing.pins,
            active: standing.active,
            end: standing.end,
            proven: standing.end,
            first: standing.first,
            first_written: standing.first,
            first_retired: standing.first,
            stock: standing.stock,
            next_sequence: standing.next_sequence,
            next_base: standing.next_base,
            retire: standing.retire,
            writer: None,
            keeper: None,
            waiting_for_room: Vec::new(),
        };
        Self {
            append_bytes_max: standing.append_bytes_max,
            batch_bytes_max: standing.batch_bytes_max,
            queue_bytes_max: standing.queue_bytes_max,
            inside: Mutex::new(inside),
        }
    }

    /// A panic elsewhere leaves nothing half done in here: every change under the lock is whole.
    fn lock(&self) -> MutexGuard<'_, Inside<F>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn append_bytes_max(&self) -> usize {
        self.append_bytes_max
    }

    pub(super) fn push(
        &self,
        item: impl FnOnce(oneshot::Sender<Outcome>) -> Item,
    ) -> Result<oneshot::Receiver<Outcome>, StorageError> {
        let (done, receiver) = oneshot::channel();
        let item = item(done);
        if item.bytes > self.append_bytes_max {
            return Err(StorageError::TooLarge { bytes: item.bytes, bytes_max: self.append_bytes_max });
        }
        let mut inside = self.lock();
        if let Some(why) = &inside.stopped {
            return Err(stopped(why));
        }
        inside.queue_bytes += item.bytes;
        inside.queue.push_back(item);
        wake(&mut inside.writer);
        Ok(receiver)
    }

    pub(super) async fn room(self: Arc<Self>) {
        poll_fn(|context| {
            let mut inside = self.lock();
            if inside.queue_bytes < self.queue_bytes_max || inside.stopped.is_some() {
                return Poll::Ready(());
            }
            inside.waiting_for_room.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(super) fn release(&self, stream: StreamId, below: Position) {
        let mut inside = self.lock();
        let below = below.min(inside.end);
        inside.pins.release(stream, below);
        let active = inside.active;
        let first = inside.pins.first_needed(active).max(inside.first);
        if first > inside.first {
            inside.first = first;
            wake(&mut inside.writer);
        }
    }

    pub(super) fn pinned_bytes(&self, stream: StreamId) -> u64 {
        let inside = self.lock();
        inside.pins.pinned_bytes(stream, inside.end)
    }

    /// Resolves when there is something to write, or nothing ever will be.
    pub(super) fn work(&self) -> impl Future<Output = Work> + Send + '_
    where
        F: Send,
    {
        poll_fn(|context| {
            let mut inside = self.lock();
            if !inside.queue.is_empty() {
                Poll::Ready(Work::Batch)
            } else if inside.closed {
                Poll::Ready(Work::End)
            } else if inside.first > inside.first_written {
                Poll::Ready(Work::Batch)
            } else {
                park(&mut inside.writer, context)
            }
        })
    }

    /// Takes the next batch off the queue if it fits into what is `left` of the segment.
    pub(super) fn take(&self, left: u64, one_only: bool) -> Option<Vec<Item>> {
        let mut inside = self.lock();
        let batch_bytes_max = if one_only { 0 } else { self.batch_bytes_max };
        let lengths = inside.queue.iter().map(|item| item.bytes);
        let Next::Take(count) = batcher::next(lengths, batch_bytes_max, left) else { return None };
        let items: Vec<Item> = inside.queue.drain(..count).collect();
        inside.queue_bytes -= items.iter().map(|item| item.bytes).sum::<usize>();
        if inside.queue_bytes < self.queue_bytes_max {
            inside.waiting_for_room.drain(..).for_each(Waker::wake);
        }
        Some(items)
    }

    /// The first needed segment, and whether that has yet to be written down.
    pub(super) fn first(&self) -> (u64, bool) {
        let inside = self.lock();
        (inside.first, inside.first > inside.first_written)
    }

    /// The log ends at `end`, synced; `records` are new in it, and the state in it, if it was
    /// written, had this `first`.
    pub(super) fn synced(&self, end: Position, records: &[(StreamId, Position)], first: Option<u64>) {
        let mut inside = self.lock();
        let active = inside.active;
        for (stream, position) in records {
            inside.pins.add(active, *stream, *position);
        }
        inside.end = end;
        inside.proven = end;
        if let Some(first) = first {
            inside.first_written = first;
            let retired: Vec<u64> = (inside.first_retired..first).collect();
            if !retired.is_empty() {
                inside.first_retired = first;
                inside.retire.extend(retired);
                wake(&mut inside.keeper);
            }
        }
    }

    /// Resolves with the next segment in stock; `None` if the journal ends instead.
    pub(super) fn next_segment(&self) -> impl Future<Output = Option<Segment<F>>> + Send + '_
    where
        F: Send,
    {
        poll_fn(|context| {
            let mut inside = self.lock();
            if let Some(segment) = inside.stock.pop_front() {
                inside.active = segment.head.sequence;
                wake(&mut inside.keeper);
                return Poll::Ready(Some(segment));
            }
            if inside.ends() { Poll::Ready(None) } else { park(&mut inside.writer, context) }
        })
    }

    /// Resolves with the keeper's next chore.
    pub(super) fn chore(&self) -> impl Future<Output = Chore> + Send + '_
    where
        F: Send,
    {
        poll_fn(|context| {
            let mut inside = self.lock();
            if inside.ends() {
                return Poll::Ready(Chore::End);
            }
            if !inside.retire.is_empty() {
                return Poll::Ready(Chore::Retire(std::mem::take(&mut inside.retire)));
            }
            if inside.stock.len() < STOCK {
                let (sequence, base, proven) = (inside.next_sequence, inside.next_base, inside.proven);
                return Poll::Ready(Chore::Prepare { sequence, base, proven });
            }
            park(&mut inside.keeper, context)
        })
    }

    /// A segment has been prepared.
    pub(super) fn stock(&self, segment: Segment<F>) {
        let mut inside = self.lock();
        assert_eq!(segment.head.sequence, inside.next_sequence, "segments are prepared in order");
        inside.next_sequence += 1;
        inside.next_base = segment.head.end();
        inside.stock.push_back(segment);
        wake(&mut inside.writer);
    }

    /// Nothing is acknowledged from now on; all that wait are told.
    pub(super) fn stop(&self, why: &str) {
        let mut inside = self.lock();
        inside.stopped.get_or_insert_with(|| why.to_owned());
        let queue = std::mem::take(&mut inside.queue);
        inside.queue_bytes = 0;
        inside.waiting_for_room.drain(..).for_each(Waker::wake);
        wake(&mut inside.keeper);
        wake(&mut inside.writer);
        drop(inside);
        for item in queue {
            let _ = item.done.send(Err(stopped(why)));
        }
    }

    fn close(&self) {
        let mut inside = self.lock();
        inside.closed = true;
        wake(&mut inside.writer);
        wake(&mut inside.keeper);
    }
}

/// Lives as long as any handle does.
pub(super) struct Closing<F>(pub(super) Arc<Shared<F>>);

impl<F> Drop for Closing<F> {
    fn drop(&mut self) {
        self.0.close();
    }
}
