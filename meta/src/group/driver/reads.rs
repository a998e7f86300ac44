//! Linearizable reads: answered under the lease, or after the others have confirmed that this
//! replica still leads.

use super::Driver;
use crate::group::handle::{Asked, Denied, Read, Seen};
use crate::group::leases::Lent;
use crate::group::leases::touched::covering;
use crate::query::query;
use mooseng_core::env::Env;
use mooseng_core::event::Event;
use mooseng_core::id::SessionId;
use mooseng_core::namespace::{Answer, Outcome, Query};
use mooseng_core::time::Instant;
use mooseng_core::{plant, probe};
use std::collections::VecDeque;

/// Rounds of asking that may be under way at once; later reads wait for the next one.
const ROUNDS_MAX: usize = 8;

#[derive(Default)]
pub(super) struct Reads {
    waiting: Vec<Read>,
    /// How many of all of these only say that a session lives.
    pub(super) keep_alives: usize,
    /// Asked about under a ticket.
    asked: VecDeque<(u64, Vec<Read>)>,
    /// May be answered when this index is applied.
    confirmed: VecDeque<(u64, Vec<Read>)>,
}

impl Reads {
    pub(super) fn questions(&self) -> usize {
        let under_way = self.asked.iter().chain(&self.confirmed).map(|(_, reads)| reads.len());
        self.waiting.len() + under_way.sum::<usize>() - self.keep_alives
    }

    /// How much is under way that counts against the same limit.
    pub(super) fn like(&self, asked: &Asked) -> usize {
        if asked.is_vital() { self.keep_alives } else { self.questions() }
    }

    pub(super) fn push(&mut self, read: Read) {
        self.keep_alives += usize::from(read.asked.is_vital());
        self.waiting.push(read);
    }

    /// The replica led when these tickets were answered.
    pub(super) fn confirmed(&mut self, tickets: &[(u64, u64)]) {
        for (ticket, index) in tickets {
            // Rounds are answered in order: an answer to one answers those before it.
            while self.asked.front().is_some_and(|(asked, _)| asked <= ticket) {
                let Some((_, reads)) = self.asked.pop_front() else { return };
                self.confirmed.push_back((*index, reads));
            }
        }
    }

    pub(super) fn refuse(&mut self, denied: &Denied) {
        self.keep_alives = 0;
        let asked = std::mem::take(&mut self.asked).into_iter().flat_map(|(_, reads)| reads);
        let confirmed = std::mem::take(&mut self.confirmed).into_iter().flat_map(|(_, reads)| reads);
        for read in std::mem::take(&mut self.waiting).into_iter().chain(asked).chain(confirmed) {
            let _ = read.reply.send(Err(denied.clone()));
        }
    }
}

impl<E: Env> Driver<E> {
    /// Asks for what cannot be answered under the lease.
    pub(super) fn begin_reads(&mut self) {
        if self.reads.waiting.is_empty() || self.replica.leads().is_none() {
            return;
        }
        let now = self.lease_now();
        if self.replica.holds_lease(now) || self.serves_regardless() || self.reads.asked.len() >= ROUNDS_MAX {
            return;
        }
        probe!("lease read refused");
        if let Ok(ticket) = self.replica.read(now) {
            let reads = std::mem::take(&mut self.reads.waiting);
            self.reads.asked.push_back((ticket, reads));
        }
    }

    /// What only a planted bug does: believe in one's leadership without asking.
    fn serves_regardless(&self) -> bool {
        let keep_alives = self.reads.waiting.iter().all(|read| read.asked == Asked::KeepAlive);
        let deposed = plant!("stale-read-from-deposed-leader", false, true);
        deposed || (keep_alives && plant!("keepalive-by-deposed-leader", false, true))
    }

    /// Answers what may be answered by the state as it is now.
    pub(super) fn finish_reads(&mut self) {
        if self.replica.leads().is_none() {
            if !(self.reads.waiting.is_empty()
                && self.reads.asked.is_empty()
                && self.reads.confirmed.is_empty())
            {
                let denied = self.not_leader();
                self.reads.refuse(&denied);
            }
            return;
        }
        while self.reads.confirmed.front().is_some_and(|(index, _)| *index <= self.replica.applied()) {
            let Some((_, reads)) = self.reads.confirmed.pop_front() else { return };
            for read in reads {
                let seen = self.see(&read);
                let now = self.now();
                self.grant(read, seen, now);
            }
        }
        if !self.reads.waiting.is_empty() {
            self.answer_under_the_lease();
        }
    }

    /// The lease is looked at after the state was: had this replica been paused in between, the
    /// answer would be withheld.
    fn answer_under_the_lease(&mut self) {
        let reads = std::mem::take(&mut self.reads.waiting);
        let seen: Vec<Seen> = reads.iter().map(|read| self.see(read)).collect();
        let now = self.lease_now();
        self.reads.waiting = reads;
        if !self.replica.holds_lease(now) && !self.serves_regardless() {
            return;
        }
        self.note_lease();
        for (read, seen) in std::mem::take(&mut self.reads.waiting).into_iter().zip(seen) {
            self.grant(read, seen, now);
        }
    }

    /// A lease must be right while nobody asks, too: whoever watches need not wait for a read.
    pub(super) fn tell_lease(&self) {
        if self.replica.holds_lease(self.lease_now()) {
            self.note_lease();
        }
    }

    fn note_lease(&self) {
        let (group, replica) = (self.replica.group(), self.replica.id());
        let (term, applied) = (self.replica.term(), self.replica.applied());
        self.env.note(Event::LeaseRead { group, replica, term, applied });
    }

    /// The moment at which a lease must hold.
    fn lease_now(&self) -> Instant {
        plant!("lease-not-fenced-after-pause", self.now(), self.smooth)
    }

    fn see(&self, read: &Read) -> Seen {
        if !self.state.has_session(read.session) {
            return Seen::UnknownSession;
        }
        let applied = self.replica.applied();
        match &read.asked {
            Asked::KeepAlive | Asked::Recalls { .. } if self.contacts.is_ending(read.session) => {
                probe!("session kept alive too late");
                Seen::UnknownSession
            }
            Asked::KeepAlive | Asked::Recalls { .. } => Seen::Alive(self.contacts.lifetime()),
            Asked::Query { caller, query: question, .. } => {
                Seen::Outcome(query(&self.state, caller, question), applied, Lent::default())
            }
            Asked::Open { caller, inode, access, .. } => {
                let question = Query::Access { inode: *inode, access: *access };
                Seen::Outcome(query(&self.state, caller, &question), applied, Lent::default())
            }
            Asked::Release { .. } | Asked::Attach { .. } => {
                Seen::Outcome(Ok(Answer::Done), applied, Lent::default())
            }
        }
    }

    fn grant(&mut self, read: Read, seen: Seen, now: Instant) {
        self.reads.keep_alives -= usize::from(read.asked.is_vital());
        if matches!(seen, Seen::Alive(_)) {
            self.contacts.heard(read.session, now);
            if let Asked::Recalls { epoch, acknowledged } = read.asked {
                return self.polled(read.session, (epoch, acknowledged), read.reply);
            }
        }
        let seen = match seen {
            Seen::Outcome(outcome, applied, _) => {
                let outcome = outcome.and_then(|answer| self.hold(&read.asked, answer));
                let lent = self.lend_asked(read.session, &read.asked, &outcome);
                Seen::Outcome(outcome, applied, lent)
            }
            other => other,
        };
        let wanted = !self.opens.is_attached(read.session) && seen != Seen::UnknownSession;
        let seen = if wanted { Seen::Unattached(Box::new(seen), self.opens.term()) } else { seen };
        let _ = read.reply.send(Ok(seen));
    }

    fn lend_asked(&mut self, session: SessionId, asked: &Asked, outcome: &Outcome) -> Lent {
        match asked {
            Asked::Query { query, lease_wanted: true, attrs_wanted, .. } => match (query, outcome) {
                (Query::ReadDir { directory, .. }, Ok(Answer::Entries { entries, .. })) if *attrs_wanted => {
                    self.lend_listed(session, *directory, entries)
                }
                _ => self.lend_seen(session, covering(query, outcome), outcome),
            },
            Asked::Open { inode, .. } if outcome.is_ok() => {
                self.lend_seen(session, [Some(*inode), None], outcome)
            }
            _ => Lent::default(),
        }
    }

    /// What was asked may have been to have something open, or no more.
    fn hold(&mut self, asked: &Asked, answer: Answer) -> Outcome {
        match asked {
            Asked::KeepAlive | Asked::Query { .. } | Asked::Recalls { .. } => Ok(answer),
            Asked::Open { saying, inode, .. } => self.opens.open(*saying, *inode).map(|()| answer),
            Asked::Release { saying, inodes, made } => {
                self.opens.release(*saying, inodes, made);
                Ok(answer)
            }
            Asked::Attach { saying, inodes, meant } => {
                self.opens.attach(*saying, *meant, inodes).map(|()| answer)
            }
        }
    }
}
