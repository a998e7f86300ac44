//! What happens with time: ticks, and what a leader looks after without being asked.

use super::{Driver, Passage, Proposal, Waiter};
use crate::command::CommandKind;
use crate::group::handle::{Answering, Denied, Dropped, Wish};
use crate::group::members::Change;
use crate::group::replica::Refusal;
use bytes::Bytes;
use futures::channel::oneshot;
use mooseng_core::env::Env;
use mooseng_core::event::Event;
use mooseng_core::id::ReplicaId;
use mooseng_core::time::Instant;
use mooseng_core::{plant, probe};
use raft::eraftpb::ConfChangeTransition;

/// Sessions or inodes that one command is about.
const NAMED_AT_ONCE_MAX: usize = 1_024;
/// More than one takes in a command.
const NAMED_BYTES: usize = 16;
/// How often what was proposed and is still there is proposed again.
const PROPOSED_AGAIN_CHORES: u64 = 32;
/// Of so many ticks one at most is left out on a whim.
const LEFT_OUT_ONE_IN: u64 = 5;
/// How often a leader may be made to step down for no reason.
const WHIM_TICKS: u64 = 32;

impl<E: Env> Driver<E> {
    pub(super) fn tick(&mut self) {
        self.ticks += 1;
        if self.ticks.is_multiple_of(LEFT_OUT_ONE_IN) && self.env.buggify("tick left out") {
            return;
        }
        let now = self.now();
        if now > self.last_tick + self.config.group.absence() {
            self.contacts.wake(now);
        }
        self.smooth = now.min(self.smooth + self.config.group.tick * 2);
        self.last_tick = now;
        self.replica.tick(now);
        self.inquire();
        self.measure();
        if self.replica.leads().is_none() {
            return;
        }
        self.tell_lease();
        self.wait_no_longer();
        if self.ticks.is_multiple_of(self.config.chores_ticks) {
            // Also of one that cannot commit yet: a majority may be waiting for a snapshot.
            self.offer_again();
            if self.replica.knows_all() {
                self.end_sessions();
                self.rest_sessions();
                self.collect_orphans();
                self.change_members();
            }
        }
        let compares = self.ticks.is_multiple_of(self.config.compare_ticks) && !self.is_full();
        if compares && self.compared < self.replica.applied() {
            self.propose_own(CommandKind::Noop);
        }
        let whim =
            self.ticks.is_multiple_of(WHIM_TICKS) && self.env.buggify("leader hands over for no reason");
        // When it has not been heard of for a while it may be cut off already.
        let fading =
            self.replica.lease_fades(now) && self.env.buggify("leader hands over as its lease fades");
        let restless = plant!("leader-hands-over-for-nothing", false, self.ticks.is_multiple_of(WHIM_TICKS));
        if whim || fading || restless {
            self.hand_over();
        }
    }

    /// Proposes something nobody waits for.
    pub(super) fn propose_own(&mut self, kind: CommandKind) {
        let (reply, _) = oneshot::channel();
        let (dropped, change) = (Dropped::default(), Passage::UNTOLD);
        self.proposals.push(Proposal { kind, dropped, change, reply });
    }

    /// Is as much under way as may be? What a journal that stands still has not taken leaves room for what
    /// needs no journal.
    pub(super) fn is_full(&self) -> bool {
        self.under_way() >= self.config.requests_max || self.persisting.len() > self.config.persisting_max / 2
    }

    pub(super) fn under_way(&self) -> usize {
        self.waiting.len() + self.proposals.len() + self.leasing.parked()
    }

    /// So many fit a command.
    pub(super) fn named_at_once(&self) -> usize {
        (self.config.group.entry_bytes_max() / NAMED_BYTES).clamp(1, NAMED_AT_ONCE_MAX)
    }

    fn end_sessions(&mut self) {
        if self.is_full() {
            return;
        }
        let now = self.now();
        let sessions = self.contacts.run_out(now, self.named_at_once(), |session| {
            // Its client may still answer from what it was told.
            self.leasing.table.is_alive(session, now)
        });
        if !sessions.is_empty() {
            probe!("sessions run out");
            self.propose_own(CommandKind::ExpireSessions { sessions });
        }
    }

    fn rest_sessions(&mut self) {
        if self.is_full() {
            return;
        }
        let sessions = self.leasing.table.rest(self.now(), self.named_at_once());
        if plant!("sessions-never-rest", !sessions.is_empty(), false) {
            probe!("sessions hold leases no more");
            self.propose_own(CommandKind::SetCaching { sessions, caches: false });
        }
    }

    fn collect_orphans(&mut self) {
        if self.is_full() {
            return;
        }
        let now = self.now();
        let at_once = self.named_at_once();
        let (state, leases) = (&self.state, &mut self.leasing.table);
        self.opens.forget_collected(|inode| state.is_orphan(inode));
        let orphans = plant!("orphan-kept-for-ever", state.orphans_from(None), {
            state.orphans_from(state.orphans_from(None).next())
        });
        // Who was told of it may say so until it is recalled.
        let orphans = orphans.filter(|orphan| leases.is_idle() || leases.is_free(*orphan, now));
        let mut free = self.opens.condemn(orphans, at_once);
        if free.is_empty() && self.ticks.is_multiple_of(self.config.chores_ticks * PROPOSED_AGAIN_CHORES) {
            // A proposal may have been refused; one that is carried out twice does no harm.
            free.extend(self.opens.condemned().take(at_once));
        }
        if !free.is_empty() {
            self.propose_own(CommandKind::Collect { orphans: free });
        }
    }

    fn change_members(&mut self) {
        let Some(change) = self.replica.next_change() else { return };
        let now = self.now();
        // Then another leader may have to leave it: what is rare otherwise.
        let by_hand = change != Change::Settle && self.env.buggify("joint configuration left by hand");
        let leave = if by_hand { ConfChangeTransition::Explicit } else { ConfChangeTransition::Auto };
        let proposed = self.replica.propose_change_left(&change, leave, now).is_ok();
        if proposed && matches!(change, Change::Promote { .. }) {
            probe!("learner promoted");
        }
        if proposed && change == Change::Settle {
            probe!("joint configuration settled");
        }
    }

    fn hand_over(&mut self) {
        let now = self.now();
        if let Some(successor) = self.replica.successor()
            && self.hand_over_to(successor, now).is_ok()
        {
            probe!("leadership handed over");
        }
    }

    pub(super) fn hand_over_to(&mut self, target: ReplicaId, now: Instant) -> Result<(), Refusal> {
        self.replica.transfer(target, now)?;
        let (group, replica, term) = (self.replica.group(), self.replica.id(), self.replica.term());
        self.env.note(Event::HandingOver { group, replica, term, target });
        Ok(())
    }

    pub(super) fn wish(&mut self, wish: Wish, reply: Answering<u64>) {
        if self.is_full() {
            return drop(reply.send(Err(Denied::Overloaded)));
        }
        let change = match wish {
            Wish::Admit(newcomer) => match self.replica.members().admit(newcomer) {
                Some(change) => change,
                None => return self.confirm(reply),
            },
            Wish::Remove(replica) if self.replica.members().get(replica).is_none() => {
                return self.confirm(reply);
            }
            Wish::Remove(replica) => Change::Remove(replica),
        };
        let (now, term) = (self.now(), self.replica.term());
        if !self.replica.knows_all() && self.replica.leads().is_some() {
            return drop(reply.send(Err(Denied::Overloaded)));
        }
        match self.replica.propose_change(&change, now) {
            Ok(index) => self.waiting.push_back((index, term, Waiter::Wish(reply))),
            Err(refusal) => drop(reply.send(Err(self.denied(refusal)))),
        }
    }

    /// Nothing is left to do; when an entry of this leader's is committed after it saw that, it is
    /// known to be so.
    fn confirm(&mut self, reply: Answering<u64>) {
        let entry = (Bytes::new(), self.stamp(CommandKind::Noop));
        let (now, term) = (self.now(), self.replica.term());
        match self.replica.propose(vec![entry], now) {
            Ok(index) => self.waiting.push_back((index, term, Waiter::Wish(reply))),
            Err(refusal) => drop(reply.send(Err(self.denied(refusal)))),
        }
    }
}
