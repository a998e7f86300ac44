//! The calls of one channel: which wait to be sent, which for an answer, and until when. A plain
//! state machine under the channel's lock: it knows neither the connection nor the clock.

use super::config::ChannelConfig;
use super::head::{Head, Kind};
use super::payload::Payload;
use super::status::CallError;
use bytes::Bytes;
use futures::channel::oneshot;
use mooseng_core::env::{Body, Extent, FRAME_BODY_BYTES_MAX, FRAME_HEAD_BYTES_MAX, Frame, Received};
use mooseng_core::time::Instant;
use mooseng_core::{plant, probe};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How a call ended.
pub(super) type Ending = Result<Received, CallError>;

pub(super) struct Table<X> {
    calls_max: usize,
    queue_frames_max: usize,
    queue_bytes_max: usize,
    /// Numbers are never used twice, not even on different connections.
    number_next: u64,
    waiting: BTreeMap<u64, Waiting>,
    deadlines: BTreeSet<(Instant, u64)>,
    queue: VecDeque<Outgoing<X>>,
    queue_bytes: usize,
}

struct Waiting {
    caller: oneshot::Sender<Ending>,
    deadline: Instant,
    /// From the moment it is taken from the queue: from then on nobody knows how far it got.
    sent: bool,
}

enum Outgoing<X> {
    Call { number: u64, method: u32, payload: Payload, body: Body<X> },
    Notify { method: u32, payload: Payload },
    Cancel { number: u64 },
    Ping,
}

/// What passing deadlines did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Expired {
    /// Calls that the peer had been sent and did not answer.
    pub(super) unanswered: usize,
}

impl<X: Extent> Table<X> {
    pub(super) fn new(config: &ChannelConfig) -> Self {
        Self {
            calls_max: config.calls_max,
            queue_frames_max: config.queue_frames_max,
            queue_bytes_max: config.queue_bytes_max,
            number_next: 1,
            waiting: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            queue: VecDeque::new(),
            queue_bytes: 0,
        }
    }

    /// Takes a call in; its ending will come through the receiver.
    pub(super) fn begin(
        &mut self,
        method: u32,
        payload: Payload,
        body: Body<X>,
        deadline: Instant,
    ) -> Result<(u64, oneshot::Receiver<Ending>), CallError> {
        if self.waiting.len() >= self.calls_max {
            return Err(CallError::Overloaded);
        }
        let number = self.fresh_number();
        self.enqueue(Outgoing::Call { number, method, payload, body })?;
        let (caller, ending) = oneshot::channel();
        self.waiting.insert(number, Waiting { caller, deadline, sent: false });
        self.deadlines.insert((deadline, number));
        Ok((number, ending))
    }

    pub(super) fn notify(&mut self, method: u32, payload: Payload) -> Result<(), CallError> {
        self.enqueue(Outgoing::Notify { method, payload })
    }

    pub(super) fn ping(&mut self) {
        // At most one between two silences, so it needs no limit.
        self.queue.push_front(Outgoing::Ping);
    }

    /// The next frame to send. A call's time left is what is left of it now.
    pub(super) fn next_frame(&mut self, now: Instant) -> Option<Frame<X>> {
        let outgoing = self.queue.pop_front()?;
        self.queue_bytes -= outgoing.bytes();
        let (head, body) = match outgoing {
            Outgoing::Call { number, method, payload, body } => {
                let waiting = self.waiting.get_mut(&number).expect("a queued call waits");
                waiting.sent = true;
                let left = waiting.deadline.since(now);
                let time_left_micros = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
                let head = Head { kind: Kind::Call, method, number, time_left_micros };
                (payload.into_head(&head), body)
            }
            Outgoing::Notify { method, payload } => {
                (payload.into_head(&Head { method, ..Head::of(Kind::Notify) }), Body::Empty)
            }
            Outgoing::Cancel { number } => (bare(Head::about(Kind::Cancel, number)), Body::Empty),
            Outgoing::Ping => (bare(Head::of(Kind::Ping)), Body::Empty),
        };
        Some(Frame { head, body })
    }

    /// The peer has ended a call. False if nobody waits for that one: it was given up.
    pub(super) fn end(&mut self, number: u64, ending: Ending) -> bool {
        let number = plant!(
            "answer-to-wrong-call",
            number,
            self.waiting.iter().find(|(_, call)| call.sent).map_or(number, |(oldest, _)| *oldest)
        );
        let Some(waiting) = self.waiting.remove(&number) else {
            probe!("rpc answer to a call that was given up");
            return false;
        };
        self.deadlines.remove(&(waiting.deadline, number));
        // A caller that is just going away need not hear it.
        waiting.caller.send(ending).ok();
        true
    }

    /// A peer may only end calls that it was sent.
    pub(super) fn was_never_sent(&self, number: u64) -> bool {
        number >= self.number_next || self.waiting.get(&number).is_some_and(|waiting| !waiting.sent)
    }

    /// The caller no longer waits. `tell`: let the peer know. True if there is now something to send.
    pub(super) fn abandon(&mut self, number: u64, tell: bool) -> bool {
        let Some(waiting) = self.waiting.remove(&number) else { return false };
        self.deadlines.remove(&(waiting.deadline, number));
        if !waiting.sent {
            probe!("rpc call cancelled before it was sent");
            self.unqueue(number);
            return false;
        }
        if tell {
            probe!("rpc call cancelled after it was sent");
            // No more of these than calls were sent: the limit on those holds for them.
            self.queue.push_back(Outgoing::Cancel { number });
        }
        tell
    }

    /// Does somebody wait for an answer?
    pub(super) fn expects_answers(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The earliest deadline.
    pub(super) fn due(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Ends the calls whose deadline has passed.
    pub(super) fn expire(&mut self, now: Instant) -> Expired {
        let mut expired = Expired::default();
        while let Some((deadline, number)) = self.deadlines.first().copied() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            let waiting = self.waiting.remove(&number).expect("a deadline belongs to a call");
            let ending = if waiting.sent {
                expired.unanswered += 1;
                CallError::Deadline
            } else {
                self.unqueue(number);
                CallError::too_late()
            };
            waiting.caller.send(Err(ending)).ok();
        }
        expired
    }

    /// The connection is gone, or there never was one: ends every call and forgets every frame.
    /// True if any call met this end.
    pub(super) fn lose(&mut self, why: &str) -> bool {
        let any = !self.waiting.is_empty();
        self.queue.clear();
        self.queue_bytes = 0;
        self.deadlines.clear();
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            let unsent = CallError::Unreachable(why.to_owned());
            let ending = if waiting.sent {
                plant!("lost-call-reported-unsent", CallError::Lost(why.to_owned()), unsent)
            } else {
                unsent
            };
            waiting.caller.send(Err(ending)).ok();
        }
        any
    }

    fn fresh_number(&mut self) -> u64 {
        let number = plant!(
            "call-number-reused",
            self.number_next,
            (1..).find(|number| !self.waiting.contains_key(number)).unwrap_or(self.number_next)
        );
        self.number_next = self.number_next.max(number + 1);
        number
    }

    fn enqueue(&mut self, outgoing: Outgoing<X>) -> Result<(), CallError> {
        let bytes = outgoing.bytes();
        let bytes_after = self.queue_bytes.saturating_add(bytes);
        if self.queue.len() >= self.queue_frames_max || bytes_after > self.queue_bytes_max {
            probe!("rpc send queue full");
            return Err(CallError::Overloaded);
        }
        self.queue_bytes = bytes_after;
        self.queue.push_back(outgoing);
        Ok(())
    }

    /// Rare, and the queue is short, so looking through it is cheaper than keeping an index.
    fn unqueue(&mut self, wanted: u64) {
        let place = self
            .queue
            .iter()
            .position(|outgoing| matches!(outgoing, Outgoing::Call { number, .. } if *number == wanted));
        let outgoing = place.and_then(|place| self.queue.remove(place)).expect("an unsent call is queued");
        self.queue_bytes -= outgoing.bytes();
    }
}

/// Does it fit a frame?
pub(super) fn fits<X: Extent>(payload: &Payload, body: &Body<X>) -> bool {
    payload.head_bytes() <= FRAME_HEAD_BYTES_MAX && body.len() <= FRAME_BODY_BYTES_MAX as u64
}

impl<X: Extent> Outgoing<X> {
    fn bytes(&self) -> usize {
        match self {
            // Sizes were checked before it was queued, so a body's fits a usize.
            Outgoing::Call { payload, body, .. } => payload.head_bytes() + body.len() as usize,
            Outgoing::Notify { payload, .. } => payload.head_bytes(),
            Outgoing::Cancel { .. } | Outgoing::Ping => 0,
        }
    }
}

pub(super) fn bare(head: Head) -> Bytes {
    Bytes::copy_from_slice(&head.encode())
}

#[cfg(test)]
mod tests;
