//! Changes on their way past the leases that stand against them, and sessions that wait to be told
//! which they have to give back.

use super::Driver;
use crate::command::{CommandKind, Reply};
use crate::group::handle::{Answering, Denied, Done, Dropped, Seen};
use crate::group::leases::{Changer, Leases, Lent, Polled};
use crate::group::opens::Saying;
use crate::sessions::{answered, is_given_up};
use mooseng_core::env::Env;
use mooseng_core::id::{InodeId, SessionId};
use mooseng_core::namespace::{Answer, DirEntry, Outcome};
use mooseng_core::probe;
use mooseng_core::time::Instant;
use std::collections::{BTreeMap, VecDeque};

/// What is to become an entry of the log.
pub(super) struct Proposal {
    pub(super) kind: CommandKind,
    pub(super) dropped: Dropped,
    pub(super) change: Passage,
    pub(super) reply: Answering<Done>,
}

/// What is to be done about a change when it is over.
#[derive(Clone, Copy)]
pub(super) struct Passage {
    /// What it makes is to be open.
    pub(super) open: Option<Saying>,
    /// What the leases know it by; 0 if they do not.
    number: u64,
    /// Who is given leases with the answer, under which epoch.
    session: SessionId,
    epoch: u64,
}

impl Passage {
    pub(super) const UNTOLD: Self = Self::opening(None);

    /// The leases know nothing of it.
    pub(super) const fn opening(open: Option<Saying>) -> Self {
        Self { open, number: 0, session: SessionId(0), epoch: 0 }
    }
}

pub(super) struct Leasing {
    pub(super) table: Leases,
    /// Changes that wait, in the order in which they came.
    parked: VecDeque<Proposal>,
    /// Some of them came before this leader knew everything.
    early: bool,
    waiting: BTreeMap<SessionId, Poll>,
    /// They wait until it is agreed on that they may hold leases, or until this leader knows whether it is.
    sleeping: BTreeMap<SessionId, Sleeper>,
}

struct Sleeper {
    poll: Poll,
    epoch: u64,
    acknowledged: u64,
    proposed: bool,
}

struct Poll {
    reply: Answering<Seen>,
    until: Instant,
}

impl Leasing {
    pub(super) fn new(table: Leases) -> Self {
        Self {
            table,
            parked: VecDeque::new(),
            early: false,
            waiting: BTreeMap::new(),
            sleeping: BTreeMap::new(),
        }
    }

    pub(super) fn parked(&self) -> usize {
        self.parked.len()
    }

    pub(super) fn polls(&self) -> usize {
        self.waiting.len() + self.sleeping.len()
    }

    /// It could not be proposed that these hold no leases any more.
    pub(super) fn stay(&mut self, sessions: &[SessionId]) {
        sessions.iter().for_each(|session| self.table.stays(*session));
    }

    /// Leadership is over: nothing of what waits was proposed.
    pub(super) fn refuse(&mut self, denied: &Denied) {
        self.table.forget();
        self.early = false;
        for proposal in std::mem::take(&mut self.parked) {
            let _ = proposal.reply.send(Err(denied.clone()));
        }
        let sleeping = std::mem::take(&mut self.sleeping).into_values().map(|sleeper| sleeper.poll);
        for poll in std::mem::take(&mut self.waiting).into_values().chain(sleeping) {
            let _ = poll.reply.send(Err(denied.clone()));
        }
    }
}

impl<E: Env> Driver<E> {
    /// Takes a change in: it is proposed when nobody holds a lease on what it touches. Where nobody may
    /// hold any, nothing is looked at.
    pub(super) fn admit(&mut self, proposal: Proposal) {
        // Refused with the others.
        if self.replica.leads().is_none() {
            return self.proposals.push(proposal);
        }
        if self.leasing.early || (self.is_of_client(&proposal) && !self.replica.knows_all()) {
            probe!("change waits until its leader knows everything");
            self.leasing.early = true;
            return self.leasing.parked.push_back(proposal);
        }
        if let Err(proposal) = self.consider(proposal) {
            self.leasing.parked.push_back(*proposal);
        }
    }

    fn is_of_client(&self, proposal: &Proposal) -> bool {
        matches!(proposal.kind, CommandKind::Mutate { .. })
    }

    /// Proposes it, unless it has to wait.
    fn consider(&mut self, mut proposal: Proposal) -> Result<(), Box<Proposal>> {
        let CommandKind::Mutate { session, sequence, op, .. } = &proposal.kind else {
            self.proposals.push(proposal);
            return Ok(());
        };
        let (session, sequence) = (*session, *sequence);
        // It was asked before and has waited, or was late: its client may well keep again what it dropped
        // for it, and rightly, because nothing changes any more.
        if let Some(Reply::Outcome { outcome, index }) = answered(&self.state, session, sequence) {
            self.leasing.table.over(proposal.change.number);
            let done = Done::told(Reply::Outcome { outcome, index }, index);
            let _ = proposal.reply.send(Ok(done));
            return Ok(());
        }
        if self.leasing.table.is_idle() || is_given_up(&self.state, session, sequence) {
            self.leasing.table.over(proposal.change.number);
            proposal.change = Passage::opening(proposal.change.open);
            self.proposals.push(proposal);
            return Ok(());
        }
        if proposal.change.number == 0 {
            let epoch = proposal.dropped.epoch;
            let (open, number) = (proposal.change.open, self.leasing.table.enter(op));
            proposal.change = Passage { open, number, session, epoch };
        }
        let now = self.now();
        let changer =
            Changer { session, op, epoch: proposal.dropped.epoch, dropped: &proposal.dropped.inodes };
        if self.leasing.table.may_go(proposal.change.number, &changer, &self.state, now) {
            self.proposals.push(proposal);
            return Ok(());
        }
        Err(Box::new(proposal))
    }

    /// Looks again at the changes that wait, if they may have less to wait for. True if some go.
    pub(super) fn go_on(&mut self) -> bool {
        let late = self.leasing.early && self.replica.knows_all();
        if self.leasing.parked.is_empty() || !(self.leasing.table.take_stirred() || late) {
            return false;
        }
        if !self.replica.knows_all() {
            return false;
        }
        self.leasing.early = false;
        for proposal in std::mem::take(&mut self.leasing.parked) {
            if let Err(proposal) = self.consider(proposal) {
                self.leasing.parked.push_back(*proposal);
            }
        }
        !self.proposals.is_empty()
    }

    /// What an applied change was answered with, and what its session holds leases on from now on.
    pub(super) fn lend_changed(&mut self, change: Passage, reply: &Reply) -> Lent {
        let touched = self.leasing.table.over(change.number);
        let (Reply::Outcome { outcome: Ok(answer), .. }, false) = (reply, change.epoch == 0) else {
            return Lent::default();
        };
        if change.epoch != self.leasing.table.epoch(change.session) {
            return Lent::default();
        }
        let told = if let Answer::Attr(attr) = answer { Some(attr.inode) } else { None };
        let made = told.filter(|told| !touched.contains(told));
        let mut inodes: Vec<InodeId> = touched.into_iter().chain(made).collect();
        inodes.retain(|inode| self.state.attr(*inode).is_some());
        let mut lent = self.lend(change.session, inodes);
        let untold = lent.inodes.iter().filter(|inode| told != Some(**inode));
        lent.attrs = untold.filter_map(|inode| self.state.attr(*inode)).collect();
        lent
    }

    /// Leases on what an answer tells of.
    pub(super) fn lend_seen(
        &mut self,
        session: SessionId,
        inodes: [Option<InodeId>; 2],
        outcome: &Outcome,
    ) -> Lent {
        if self.leasing.table.is_idle() {
            return Lent::default();
        }
        let there = |inode: &InodeId| outcome.is_ok() || self.state.attr(*inode).is_some();
        let inodes: Vec<InodeId> = inodes.into_iter().flatten().filter(there).collect();
        self.lend(session, inodes)
    }

    /// Leases on a directory and on what was listed of it, and what that is like: mostly it is asked next.
    pub(super) fn lend_listed(
        &mut self,
        session: SessionId,
        directory: InodeId,
        entries: &[DirEntry],
    ) -> Lent {
        if self.leasing.table.is_idle() {
            return Lent::default();
        }
        let inodes =
            entries.iter().map(|entry| entry.inode).filter(|inode| self.state.attr(*inode).is_some());
        let inodes = std::iter::once(directory).chain(inodes).collect();
        let mut lent = self.lend(session, inodes);
        let listed = lent.inodes.iter().filter(|inode| **inode != directory);
        lent.attrs = listed.filter_map(|inode| self.state.attr(*inode)).collect();
        assert!(lent.attrs.len() <= entries.len(), "what is told beside fits the answer");
        lent
    }

    fn lend(&mut self, session: SessionId, mut inodes: Vec<InodeId>) -> Lent {
        if inodes.is_empty() || self.env.buggify("lease kept back") {
            return Lent::default();
        }
        // What is being collected goes without a change of anybody.
        inodes.retain(|inode| !self.opens.is_condemned(*inode));
        let (applied, now) = (self.replica.applied(), self.now());
        self.leasing.table.grant(session, inodes, applied, now)
    }

    /// A session waits for recalls, and acknowledges those before.
    pub(super) fn polled(
        &mut self,
        session: SessionId,
        (epoch, acknowledged): (u64, u64),
        reply: Answering<Seen>,
    ) {
        let now = self.now();
        let until = now + self.leasing.table.config().hold();
        // Before it knows everything, it may be in the log that the session holds no leases.
        let polled = match self.replica.knows_all() {
            true => self.leasing.table.poll(session, epoch, acknowledged, now),
            false => Polled::Sleeps,
        };
        if polled == Polled::Sleeps {
            let sleeper = Sleeper { poll: Poll { reply, until }, epoch, acknowledged, proposed: false };
            return self.fall_asleep(session, sleeper);
        }
        // It may have waited for that under several polls.
        if epoch == 0 && !self.is_full() && self.env.buggify("agreed twice that a session may hold leases") {
            self.propose_own(CommandKind::SetCaching { sessions: vec![session], caches: true });
        }
        if let Some(older) = self.leasing.waiting.remove(&session) {
            probe!("a session waits twice");
            let nothing = self.leasing.table.answer(session, now).empty();
            let _ = older.reply.send(Ok(Seen::Recalls(nothing)));
        }
        self.leasing.waiting.insert(session, Poll { reply, until });
        if polled == Polled::Answer {
            self.tell(session);
        }
    }

    fn fall_asleep(&mut self, session: SessionId, sleeper: Sleeper) {
        let proposed = self.leasing.sleeping.get(&session).is_some_and(|older| older.proposed);
        let older = self.leasing.sleeping.insert(session, Sleeper { proposed, ..sleeper });
        if let Some(older) = older {
            let _ = older.poll.reply.send(Err(not_awake()));
        }
    }

    /// Has it agreed on that those who wait for leases may hold some, and goes on with those that may.
    /// True if something is to be proposed.
    pub(super) fn wake_up(&mut self) -> bool {
        if self.leasing.sleeping.is_empty() || !self.replica.knows_all() {
            return false;
        }
        let (awake, asleep): (Vec<SessionId>, Vec<SessionId>) =
            self.leasing.sleeping.keys().partition(|session| self.leasing.table.knows(**session));
        for session in awake {
            if let Some(Sleeper { poll, epoch, acknowledged, .. }) = self.leasing.sleeping.remove(&session) {
                self.polled(session, (epoch, acknowledged), poll.reply);
            }
        }
        if self.is_full() {
            return false;
        }
        let mut fresh = Vec::new();
        let at_once = self.named_at_once();
        for session in asleep {
            if fresh.len() < at_once
                && let Some(sleeper) = self.leasing.sleeping.get_mut(&session)
                && !std::mem::replace(&mut sleeper.proposed, true)
            {
                fresh.push(session);
            }
        }
        if fresh.is_empty() {
            return false;
        }
        probe!("a session may hold leases again");
        self.propose_own(CommandKind::SetCaching { sessions: fresh, caches: true });
        true
    }

    /// A session may hold leases, by an entry of the log.
    pub(super) fn may_cache(&mut self, session: SessionId, here: bool, index: u64) {
        if self.replica.leads().is_some() {
            let (last, now) = (self.replica.last().max(index), self.now());
            self.leasing.table.began(session, here, last, now);
        }
    }

    /// Tells sessions what was recalled from them.
    pub(super) fn tell_recalls(&mut self) {
        for session in self.leasing.table.take_called() {
            // It is told when it has waited long enough.
            if !self.env.buggify("recall told late") {
                self.tell(session);
            }
        }
    }

    /// Those that have waited long enough are answered, and changes look whether leases have run out.
    pub(super) fn wait_no_longer(&mut self) {
        let now = self.now();
        let Leasing { table, parked, waiting, sleeping, .. } = &mut self.leasing;
        for (session, poll) in waiting.extract_if(.., |_, poll| poll.until <= now) {
            let _ = poll.reply.send(Ok(Seen::Recalls(table.answer(session, now))));
        }
        for (_, sleeper) in sleeping.extract_if(.., |_, sleeper| sleeper.poll.until <= now) {
            let _ = sleeper.poll.reply.send(Err(not_awake()));
        }
        if !parked.is_empty() {
            table.stir();
        }
    }

    fn tell(&mut self, session: SessionId) {
        let Some(poll) = self.leasing.waiting.remove(&session) else { return };
        let now = self.now();
        let recalls = self.leasing.table.answer(session, now);
        let _ = poll.reply.send(Ok(Seen::Recalls(recalls)));
    }

    /// A session is over, and with it what it waits for.
    pub(super) fn lease_no_more(&mut self, session: SessionId) {
        self.leasing.table.ended(session);
        let sleeper = self.leasing.sleeping.remove(&session).map(|sleeper| sleeper.poll);
        for poll in self.leasing.waiting.remove(&session).into_iter().chain(sleeper) {
            let _ = poll.reply.send(Ok(Seen::UnknownSession));
        }
    }
}

fn not_awake() -> Denied {
    Denied::Unavailable("it is not agreed on yet that the session may hold leases".into())
}
