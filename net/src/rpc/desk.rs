//! What a server decides about each frame of a connection. A plain state machine: frames and time go
//! in, frames to send and calls to carry out come back.

use super::config::ServerConfig;
use super::head::{CALL_NUMBER_END, HEAD_BYTES, Head, Kind};
use super::ledger::{Ledger, Refused, Weight, is_one_way};
use super::method::{Call, Incoming, Reply};
use super::payload::Payload;
use super::room::Room;
use super::status::{Code, Status};
use super::table::{bare, fits};
use crate::proto::rpc::StatusDetail;
use futures::future::{AbortHandle, AbortRegistration};
use mooseng_core::env::{Address, Body, Extent, Frame, Received};
use mooseng_core::probe;
use mooseng_core::time::Instant;

/// A call longer than this is not light, whatever its method says.
const VITAL_BYTES_MAX: usize = 4_096;

pub(super) struct Desk {
    peer: Address,
    config: ServerConfig,
    ledger: Ledger,
    one_way_next: u64,
    heard: Instant,
    drain_until: Option<Instant>,
}

/// A call that was taken on. Aborting it makes its end not worth reporting.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) number: u64,
    pub(super) method: u32,
    pub(super) incoming: Incoming,
    pub(super) abort: AbortRegistration,
}

/// What to do about a frame.
#[derive(Debug)]
pub(super) enum Wish<X> {
    Nothing,
    Send(Frame<X>),
    CarryOut(Task),
}

impl Desk {
    pub(super) fn new(peer: Address, config: ServerConfig, room: &Room, now: Instant) -> Self {
        let ledger = Ledger::new(room.limits.clone());
        Self { peer, config, ledger, one_way_next: CALL_NUMBER_END, heard: now, drain_until: None }
    }

    /// A frame arrived. An error is a line about what no sound caller sends. `vital` says which methods
    /// are carried out beside the limits of others; `crowded`: act as if there were no room for those.
    pub(super) fn arrived<X: Extent>(
        &mut self,
        now: Instant,
        received: Received,
        vital: impl Fn(u32) -> bool,
        crowded: bool,
    ) -> Result<Wish<X>, String> {
        self.heard = now;
        let head = Head::decode(&received.head).map_err(|error| error.to_string())?;
        match head.kind {
            Kind::Call => {
                let light = received.head.len() + received.body.len() <= VITAL_BYTES_MAX;
                let weight = if light && vital(head.method) { Weight::Vital } else { Weight::Ordinary };
                self.called(now, head, received, weight, crowded)
            }
            Kind::Notify => Ok(self.notified(now, head, received, crowded)),
            Kind::Cancel => {
                if self.ledger.cancel(head.number) {
                    probe!("rpc server drops a cancelled call");
                }
                Ok(Wish::Nothing)
            }
            Kind::Ping => Ok(Wish::Send(Frame { head: bare(Head::of(Kind::Pong)), body: Body::Empty })),
            Kind::Hello | Kind::Answer | Kind::Refusal | Kind::Pong => {
                Err(format!("a caller does not send a {:?}", head.kind))
            }
        }
    }

    fn called<X: Extent>(
        &mut self,
        now: Instant,
        head: Head,
        received: Received,
        weight: Weight,
        crowded: bool,
    ) -> Result<Wish<X>, String> {
        let number = head.number;
        let overloaded = || Wish::Send(refuse(number, &Status::overloaded("this server has too much to do")));
        if self.drain_until.is_some() {
            let status = Status::new(Code::Unavailable, "this server is stopping");
            return Ok(Wish::Send(refuse(number, &status)));
        }
        if crowded && weight != Weight::Vital {
            return Ok(overloaded());
        }
        match self.take_on(now, number, head, received, weight) {
            Ok(task) => Ok(Wish::CarryOut(task)),
            Err(Refused::Overloaded) => {
                probe!("rpc server overloaded");
                Ok(overloaded())
            }
            Err(Refused::NumberInUse) => Err(format!("it uses call number {number} twice")),
        }
    }

    fn notified<X: Extent>(
        &mut self,
        now: Instant,
        head: Head,
        received: Received,
        crowded: bool,
    ) -> Wish<X> {
        if self.drain_until.is_some() || crowded {
            return Wish::Nothing;
        }
        let number = self.one_way_next;
        self.one_way_next += 1;
        let unlimited = Head { time_left_micros: u64::MAX, ..head };
        match self.take_on(now, number, unlimited, received, Weight::OneWay) {
            Ok(task) => Wish::CarryOut(task),
            Err(_) => {
                probe!("rpc server drops a one-way call");
                Wish::Nothing
            }
        }
    }

    fn take_on(
        &mut self,
        now: Instant,
        number: u64,
        head: Head,
        received: Received,
        weight: Weight,
    ) -> Result<Task, Refused> {
        let deadline = now + head.time_left().min(self.config.deadline_max);
        let bytes = received.head.len() + received.body.len();
        let (handle, abort) = AbortHandle::new_pair();
        self.ledger.enter(number, weight, deadline, bytes, handle)?;
        let message = received.head.slice(HEAD_BYTES..);
        let call = Call { peer: self.peer.clone(), deadline };
        let incoming = Incoming { call, message, body: received.body };
        Ok(Task { number, method: head.method, incoming, abort })
    }

    /// A call was carried out: the frame to send, if anybody waits for one.
    pub(super) fn carried_out<X: Extent>(
        &mut self,
        number: u64,
        result: Result<Reply<X>, Status>,
    ) -> Option<Frame<X>> {
        if !self.ledger.finish(number) || is_one_way(number) {
            return None;
        }
        Some(match result {
            Ok(reply) if fits(&reply.payload, &reply.body) => {
                let head = reply.payload.into_head(&Head::about(Kind::Answer, number));
                Frame { head, body: reply.body }
            }
            Ok(_) => refuse(number, &Status::new(Code::Internal, "the answer is too large for a frame")),
            Err(status) => refuse(number, &status),
        })
    }

    /// Since when nothing is asked of it; `None` while a call is under way. Vital ones do not count: who
    /// only waits for something new takes turns with others.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.ledger.is_at_rest().then_some(self.heard)
    }

    /// When to look at the clock again.
    pub(super) fn due(&self) -> Instant {
        let other = self.drain_until.unwrap_or(self.heard + self.config.idle_max);
        self.ledger.due().map_or(other, |deadline| deadline.min(other))
    }

    /// One call whose deadline has passed: it is dropped, and this is its answer.
    pub(super) fn expire<X: Extent>(&mut self, now: Instant) -> Option<Wish<X>> {
        let number = self.ledger.expire(now)?;
        probe!("rpc deadline passed at the server");
        if is_one_way(number) {
            return Some(Wish::Nothing);
        }
        Some(Wish::Send(refuse(number, &Status::new(Code::Deadline, "the deadline passed here"))))
    }

    /// Takes on nothing more.
    pub(super) fn drain(&mut self, now: Instant) {
        self.drain_until.get_or_insert(now + self.config.drain_max);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drain_until.is_some()
    }

    /// Is there no reason to go on? `sent`: every answer is on its way.
    pub(super) fn is_over(&self, now: Instant, sent: bool) -> bool {
        match self.drain_until {
            Some(until) => now >= until || (sent && self.ledger.is_empty()),
            None => now >= self.heard + self.config.idle_max,
        }
    }
}

fn refuse<X>(number: u64, status: &Status) -> Frame<X> {
    let payload = Payload::of(&StatusDetail::from(status));
    Frame { head: payload.into_head(&Head::about(Kind::Refusal, number)), body: Body::Empty }
}

#[cfg(test)]
mod tests;
