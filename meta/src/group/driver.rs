//! The task of one group on one server: it moves values between the replica, the journal, the
//! network and the state, and decides nothing that they could decide.
//!
//! ```text
//!   inbox ──┐                ┌──> journal ──> durable ──┐
//!   ticks ──┼──> replica ────┼──> peers                 │
//!   durable ┘    ^  outputs  └──> state ──> answers     │
//!                └──────────────────────────────────────┘
//! ```
//!
//! It never waits while it holds work: everything slow (disks, peers, images) is a future it polls
//! or a helper task that reports through the inbox. So heartbeats go on while a disk stalls.

mod apply;
mod config;
pub mod inquire;
mod leading;
mod leasing;
mod peers;
mod persisting;
mod reads;
mod rooms;
pub mod snapshots;

pub use config::DriverConfig;
pub use peers::Channels;

use super::contacts::Contacts;
use super::handle::{Answering, Denied, Done, Handle, Input, Look};
use super::inbox::Inbox;
use super::leases::Leases;
use super::opens::Opens;
use super::replica::{Notice, Output, Refusal, Replica};
use super::room::Measured;
use super::trail::Trail;
use crate::state::State;
use leasing::{Leasing, Passage, Proposal};
use mooseng_core::env::{Clock, Env};
use mooseng_core::event::Event;
use mooseng_core::id::ReplicaId;
use mooseng_core::time::{HybridClock, Instant};
use mooseng_core::{plant, probe};
use mooseng_net::rpc::Load;
use mooseng_storage::{Journal, Manifest, StreamId};
use peers::Peers;
use persisting::{Durable, Persisting};
use reads::Reads;
use rooms::Rooms;
use snapshots::Snapshots;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// What a group's task begins with.
pub struct Beginning<E: Env> {
    pub replica: Replica,
    pub state: State,
    /// The snapshot the state came from.
    pub manifest: Option<Manifest>,
    pub journal: Journal<E>,
    pub channels: Channels<E>,
    /// Where snapshots lie.
    pub directory: String,
    /// What is free on the disk, and how long the journal's segments are.
    pub disk: Arc<Measured>,
    pub segment_bytes: u64,
    /// Shared by the groups of a journal that ends in doubt.
    pub doubt: Option<Doubt>,
}

/// How many groups have yet to account for the end of the journal they share.
#[derive(Clone, Debug)]
pub struct Doubt(Arc<AtomicUsize>);

impl Doubt {
    pub fn of(groups: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(groups)))
    }

    /// One group has; says whether it was the last.
    pub fn account(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

enum Waiter {
    Command(Answering<Done>, Passage),
    Wish(Answering<u64>),
}

pub struct Driver<E: Env> {
    env: E,
    config: Arc<DriverConfig>,
    replica: Replica,
    state: State,
    journal: Journal<E>,
    stream: StreamId,
    inbox: Arc<Inbox<Input>>,
    peers: Peers<E>,
    persisting: Persisting,
    proposals: Vec<Proposal>,
    /// Proposed under (index, term) and not applied yet.
    waiting: VecDeque<(u64, u64, Waiter)>,
    reads: Reads,
    contacts: Contacts,
    opens: Opens,
    leasing: Leasing,
    trail: Trail,
    clock: HybridClock,
    snapshots: Snapshots,
    rooms: Rooms,
    doubt: Option<Doubt>,
    ticks: u64,
    last_tick: Instant,
    /// A clock that is not believed when it jumps: only a planted bug looks at it.
    smooth: Instant,
    /// The applied index that was compared last.
    compared: u64,
    fenced: Option<String>,
    /// The machine was asked to stop this server: nothing is done any more.
    halted: bool,
    /// The reason to end.
    ended: Option<String>,
}

enum Wake {
    Tick,
    Durable(Durable, u64),
    Inbox,
}

impl<E: Env> Driver<E> {
    pub fn new(env: E, config: Arc<DriverConfig>, beginning: Beginning<E>) -> (Self, Handle) {
        let Beginning { replica, state, manifest, journal, channels, directory, disk, segment_bytes, doubt } =
            beginning;
        let inbox = Arc::new(Inbox::new(config.requests_max, config.messages_max));
        let handle = Handle::new(replica.group(), inbox.clone());
        let peers = Peers::new(env.clone(), channels, replica.group(), replica.id());
        let leasing = Leasing::new(Leases::new(config.leases, config.group.drift_ppm));
        let contacts = Contacts::new(config.session_lifetime, config.group.drift_ppm);
        let mut trail = Trail::default();
        trail.begin(replica.applied(), state.hash());
        let last_tick = env.clock().now();
        let driver = Self {
            stream: StreamId(replica.group().0),
            snapshots: Snapshots::new(directory, manifest),
            env,
            config,
            replica,
            state,
            journal,
            inbox,
            peers,
            persisting: Persisting::default(),
            proposals: Vec::new(),
            waiting: VecDeque::new(),
            reads: Reads::default(),
            contacts,
            opens: Opens::default(),
            leasing,
            trail,
            clock: HybridClock::default(),
            rooms: Rooms::new(disk, segment_bytes),
            doubt,
            ticks: 0,
            last_tick,
            smooth: last_tick,
            compared: 0,
            fenced: None,
            halted: false,
            ended: None,
        };
        (driver, handle)
    }

    /// The clock that leases are counted by.
    fn now(&self) -> Instant {
        let clock = self.env.clock();
        plant!(
            "lease-on-wall-clock",
            clock.now(),
            Instant::from_nanos(u64::try_from(clock.wall().0).unwrap_or(0))
        )
    }

    /// Takes part until the replica is fenced; gives the reason.
    pub async fn run(mut self) -> String {
        let env = self.env.clone();
        self.begin();
        let tick = self.config.group.tick;
        let mut alarm = pin!(env.clock().sleep_until(env.clock().now() + tick));
        loop {
            self.pump();
            if self.halted {
                return futures::future::pending().await;
            }
            if let Some(reason) = self.ended.take() {
                return reason;
            }
            match poll_fn(|context| self.poll(context, alarm.as_mut())).await {
                Wake::Tick => {
                    self.tick();
                    alarm.set(env.clock().sleep_until(env.clock().now() + tick));
                }
                Wake::Durable(durable, position) => self.durable(durable, position),
                Wake::Inbox => {}
            }
            self.drain();
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, alarm: Pin<&mut impl Future<Output = ()>>) -> Poll<Wake> {
        match self.persisting.poll(context) {
            Poll::Ready(Ok((durable, position))) => return Poll::Ready(Wake::Durable(durable, position)),
            Poll::Ready(Err(why)) => {
                self.halt(why);
                return Poll::Pending;
            }
            Poll::Pending => {}
        }
        if alarm.poll(context).is_ready() {
            return Poll::Ready(Wake::Tick);
        }
        if self.persisting.len() < self.config.persisting_max && self.inbox.poll(context).is_ready() {
            return Poll::Ready(Wake::Inbox);
        }
        Poll::Pending
    }

    fn begin(&mut self) {
        let now = self.now();
        self.peers.learn(self.replica.members());
        self.env.note(Event::Recovered {
            group: self.replica.group(),
            replica: self.replica.id(),
            term: self.replica.term(),
            vote: self.replica.vote(),
            last: self.replica.last(),
            applied: self.replica.applied(),
            waits: self.replica.is_mute(),
        });
        self.note_members();
        self.offer_recovered();
        self.release();
        self.replica.conclude(now);
    }

    /// Takes what waits in the inbox, up to a limit.
    fn drain(&mut self) {
        let tiny = self.env.buggify("group takes one input at a time");
        let count_max = if tiny { 1 } else { self.config.batch_inputs_max };
        for _ in 0..count_max {
            let Some(input) = self.inbox.take() else { break };
            self.input(input);
        }
    }

    fn input(&mut self, input: Input) {
        let now = self.now();
        match input {
            // Nothing may be written behind the fence.
            Input::Step { .. } | Input::Answered { .. } | Input::Taken(_) | Input::Fetched { .. }
                if self.fenced.is_some() => {}
            Input::Wish { reply, .. } if self.fenced.is_some() => drop(reply.send(Err(self.not_leader()))),
            Input::Transfer { reply, .. } if self.fenced.is_some() => {
                drop(reply.send(Err(self.not_leader())));
            }
            Input::Step { message, sent, echo, full } => {
                self.peers.told(ReplicaId(message.from), full);
                self.step(message, sent, echo, now);
            }
            Input::Inquire { asker, reply } => {
                let _ = reply.send(self.replica.answer());
                if self.fenced.is_none() {
                    self.replica.doubted(asker, now);
                }
            }
            Input::Propose { kind, dropped, open, reply } => self.proposed(kind, dropped, open, reply),
            Input::Read(read) if self.reads.like(&read.asked) >= self.config.requests_max => {
                probe!("too many questions under way");
                drop(read.reply.send(Err(Denied::Overloaded)));
            }
            Input::Read(read) => self.reads.push(read),
            Input::Wish { wish, reply } => self.wish(wish, reply),
            Input::Transfer { target, reply } => {
                let begun = self.hand_over_to(target, now).map_err(|refusal| self.denied(refusal));
                let _ = reply.send(begun);
            }
            Input::Look { reply } => {
                let _ = reply.send(self.look());
            }
            Input::Copy { reply } => {
                let _ = reply.send((self.look(), self.state.clone()));
            }
            Input::Serving { index } => self.snapshots.serving(index, now),
            Input::Spoiled { index } => self.snapshots.spoiled(index),
            Input::Answered { asked, answer } => self.answered(asked, answer),
            Input::Taken(result) => self.snapshot_taken(result),
            Input::Fetched { index, result } => self.snapshot_fetched(index, *result),
        }
    }

    /// Carries out the replica's wishes until it has none.
    fn pump(&mut self) {
        if self.fenced.is_some() {
            return self.refuse_all();
        }
        self.flush_proposals();
        self.begin_reads();
        loop {
            while let Some(output) = self.replica.take(self.now()) {
                self.carry_out(output);
                if self.halted {
                    return;
                }
                if self.fenced.is_some() {
                    return self.refuse_all();
                }
            }
            if !self.wake_up() && !self.go_on() {
                self.finish_reads();
                // What was given back with a question may be what a change waited for.
                if !self.wake_up() && !self.go_on() {
                    break;
                }
            }
            self.flush_proposals();
        }
        self.tell_recalls();
        self.report_unreachable();
        self.snapshot_if_due();
    }

    fn carry_out(&mut self, output: Output) {
        if !output.records.is_empty() {
            self.write(output.records, Durable::Output);
        }
        self.send(output.send);
        for notice in &output.notices {
            self.notice(notice);
        }
        if let Some(index) = output.installed {
            self.installed(index);
        }
        for committed in output.committed {
            self.apply(committed);
        }
        self.reads.confirmed(&output.reads);
    }

    fn write(&mut self, records: Vec<bytes::Bytes>, durable: Durable) {
        self.persisting.begin(&self.env, &self.journal, self.stream, records, durable);
    }

    fn durable(&mut self, durable: Durable, position: u64) {
        match durable {
            Durable::Output => {
                let now = self.now();
                let send = self.replica.persisted(position, now);
                self.send(send);
            }
            Durable::Checkpoint { index } => self.snapshot_pointed_to(index, position),
            Durable::Fence => self.ended = self.fenced.clone(),
        }
    }

    fn notice(&mut self, notice: &Notice) {
        let (group, replica) = (self.replica.group(), self.replica.id());
        match notice {
            Notice::Elected { term } => {
                self.env.note(Event::Elected { group, replica, term: *term });
                self.clock.witness(self.state.stamp());
                let now = self.now();
                self.contacts.lead(self.state.sessions(), now);
                self.opens.lead(*term, self.state.sessions());
                self.leasing.table.lead(*term, self.state.caching_sessions(), now);
            }
            Notice::SteppedDown { term } => {
                self.env.note(Event::SteppedDown { group, replica, term: *term });
                self.disappoint();
                let denied = self.not_leader();
                self.leasing.refuse(&denied);
            }
            Notice::Committed { term, index, counted } => {
                let (term, index, counted) = (*term, *index, *counted);
                self.env.note(Event::Committed { group, replica, term, index, counted });
            }
            Notice::Cleared { end, vouched } => {
                self.env.note(Event::Cleared { group, replica, end: *end, vouched: *vouched });
                self.settle();
            }
            Notice::Members => {
                self.peers.learn(self.replica.members());
                self.note_members();
            }
        }
    }

    fn note_members(&self) {
        let (group, replica) = (self.replica.group(), self.replica.id());
        let members = self.replica.members();
        let (voters, learners) = (members.voters(), members.learners());
        self.env.note(Event::Members { group, replica, voters, learners });
    }

    /// The doubt about the journal's end is over; the journal may say so from now on.
    fn settle(&mut self) {
        if !self.doubt.take().is_some_and(|doubt| doubt.account()) {
            return;
        }
        let (journal, env) = (self.journal.clone(), self.env.clone());
        self.env.spawn("journal settled", async move {
            if let Err(error) = journal.settle().await {
                env.halt(error.to_string());
            }
        });
    }

    /// This replica differs from its group: it takes part no more under its number.
    fn fence(&mut self, reason: String) {
        let (group, replica) = (self.replica.group(), self.replica.id());
        if let Some(term) = self.replica.leads() {
            self.env.note(Event::SteppedDown { group, replica, term });
        }
        self.env.note(Event::Fenced { group, replica, reason: reason.clone() });
        self.replica.fence(reason.clone());
        self.write(vec![super::records::encode_fenced(&reason)], Durable::Fence);
        self.fenced = Some(reason);
    }

    fn halt(&mut self, why: impl std::fmt::Display) {
        self.halted = true;
        self.env.halt(format!("{}: {why}", self.replica.group()));
    }

    fn look(&self) -> Look {
        let leader = self.replica.leader();
        Look {
            answer: self.replica.answer(),
            leader: leader.map(|leader| (leader, self.peers.address(leader))),
            committed: self.replica.committed(),
            applied: self.replica.applied(),
            snapshot: self.replica.checkpoint(),
            sessions: self.state.sessions_count() as u64,
            state_hash: self.state.hash(),
            room: self.rooms.room(),
            loads: self.loads(),
        }
    }

    fn loads(&self) -> Vec<Load> {
        let state = &self.state;
        let requests_max = self.config.requests_max as u64;
        let (requests, messages) = self.inbox.waiting();
        [
            ("sessions", state.sessions_count() as u64, state.config().sessions_max),
            ("answers kept for retries", state.answers_count() as u64, state.answers_max()),
            ("requests that wait for their turn", requests as u64, requests_max),
            ("messages that wait for their turn", messages as u64, self.config.messages_max as u64),
            ("changes under way", self.under_way() as u64, requests_max),
            ("sessions that wait for recalls", self.leasing.polls() as u64, state.config().sessions_max),
            ("questions under way", self.reads.questions() as u64, requests_max),
            ("sessions being kept alive", self.reads.keep_alives as u64, requests_max),
        ]
        .map(|(what, value, limit)| Load { what, value, limit })
        .to_vec()
    }

    fn not_leader(&self) -> Denied {
        // Sent to a leader that is gone, a client would only find that out the slow way.
        let leader = self.replica.live_leader(self.now()).filter(|leader| *leader != self.replica.id());
        Denied::NotLeader(leader.and_then(|leader| self.peers.address(leader)))
    }

    fn denied(&self, refusal: Refusal) -> Denied {
        match refusal {
            Refusal::NotLeader => self.not_leader(),
            Refusal::Busy => Denied::Overloaded,
        }
    }
}
