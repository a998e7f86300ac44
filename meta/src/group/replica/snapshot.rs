//! Snapshots as a replica sees them: taken of its own state, offered, fetched from a leader,
//! installed. Where their bytes lie is for others to know.
//!
//! A snapshot that a leader offers enters raft only when it is durable here; from then on
//! everything is one record: the checkpoint that puts the snapshot in the place of the log. A crash
//! before that record leaves a file that nobody points to; a crash after it finds both.

use super::{Fetch, Members, Offer, Output, Refused, Replica, Stepped};
use crate::group::records::{self, Checkpoint};
use bytes::Bytes;
use mooseng_core::probe;
use mooseng_core::time::Instant;
use raft::eraftpb::{HardState, Message};

/// How much more than usual of the log is kept while somebody fetches a snapshot: so many times the
/// trailing entries and these.
const HELD_TIMES: u64 = 4;
const HELD_MORE: u64 = 64;

impl Replica {
    /// Does this snapshot hold what the log has not?
    pub(super) fn is_news(&self, message: &Message) -> bool {
        let metadata = message.get_snapshot().get_metadata();
        let log = &self.node.raft.raft_log;
        let held = log.match_term(metadata.index, metadata.term);
        metadata.index > log.committed && !held && message.term >= self.node.raft.term
    }

    /// What is held already raft-rs only acknowledges; anything else it would install.
    pub(super) fn admit_known_snapshot(&self, message: &Message) -> Result<(), Refused> {
        let metadata = message.get_snapshot().get_metadata();
        let log = &self.node.raft.raft_log;
        let known = metadata.index < log.committed || log.match_term(metadata.index, metadata.term);
        if known { Ok(()) } else { Err("a snapshot against what is committed") }
    }

    pub(super) fn begin_fetch(&mut self, message: Message) -> Result<Stepped, Refused> {
        let metadata = message.get_snapshot().get_metadata();
        let index = metadata.index;
        if self.incoming.as_ref().is_some_and(|other| other.get_snapshot().get_metadata().index == index) {
            self.incoming = Some(message);
            return Err("is being fetched");
        }
        let fetch = Fetch {
            source: mooseng_core::id::ReplicaId(message.from),
            index,
            term: metadata.term,
            manifest: Bytes::copy_from_slice(message.get_snapshot().get_data()),
        };
        self.incoming = Some(message);
        Ok(Stepped::Fetch(fetch))
    }

    /// The snapshot of this index is here, whole and durable. Is it still wanted? If so an output
    /// will say that it is installed.
    pub fn snapshot_ready(&mut self, index: u64, members: Members, now: Instant) -> bool {
        let Some(mut message) = self.take_incoming(index) else { return false };
        let raft = &self.node.raft;
        // What is in a snapshot is committed, so whoever leads by now holds it and may be answered.
        let follows = raft.state == raft::StateRole::Follower && raft.leader_id != raft::INVALID_ID;
        if message.term < raft.term && follows {
            message.term = raft.term;
            message.from = raft.leader_id;
        }
        let of_members = members.conf_state();
        let metadata = message.get_snapshot().get_metadata();
        let same = raft_conf_eq(&of_members, metadata.get_conf_state());
        if !same || !self.is_news(&message) || self.installing.is_some() {
            return false;
        }
        self.announced = Some(members);
        let _ = self.node.step(message);
        let taken = self.node.snap().is_some_and(|snapshot| snapshot.get_metadata().index == index);
        if !taken {
            self.announced = None;
        }
        self.after(now);
        taken
    }

    /// The snapshot could not be had.
    pub fn snapshot_failed(&mut self, index: u64) {
        self.take_incoming(index);
    }

    fn take_incoming(&mut self, index: u64) -> Option<Message> {
        let message = self.incoming.take()?;
        if message.get_snapshot().get_metadata().index == index {
            return Some(message);
        }
        self.incoming = Some(message);
        None
    }

    /// raft-rs has gone over to a snapshot: log and members follow.
    pub(super) fn install(
        &mut self,
        ready: u64,
        index: u64,
        term: u64,
        hard_state: &HardState,
        output: &mut Output,
    ) {
        let members = self.announced.take().expect("only an announced snapshot is stepped");
        assert!(index > self.applied, "a snapshot of what was applied is not news");
        self.node.mut_store().install(index, term);
        self.node.mut_store().set_conf_state(members.conf_state());
        self.set_members(members);
        self.applied = index;
        self.installing = Some((ready, index));
        output.records.push(self.encode_checkpoint(index, term, hard_state.clone()));
        output.installed = Some(index);
        output.notices.push(super::Notice::Members);
        probe!("snapshot installed");
    }

    fn encode_checkpoint(&self, index: u64, term: u64, hard_state: HardState) -> Bytes {
        let members = self.members.clone();
        let (group, replica) = (self.group, self.own);
        let checkpoint = Checkpoint { group, replica, hard_state, index, term, members, installed: true };
        records::encode_checkpoint(&checkpoint)
    }

    /// A snapshot of this replica's own state, as of what is applied now, is to be taken: its
    /// index, its term and the members it speaks of. `None` while there is nothing new to take.
    pub fn snapshot_point(&self) -> Option<(u64, u64, Members)> {
        // One that is being installed overtakes any other.
        if self.installing.is_some() {
            return None;
        }
        let term = self.node.raft.raft_log.term(self.applied).ok().filter(|term| *term != 0)?;
        Some((self.applied, term, self.members.clone()))
    }

    /// The snapshot taken at (index, term) is durable. Gives the record that lets the journal
    /// forget what came before, or `None` if a newer one has overtaken it.
    pub fn snapshot_taken(&mut self, offer: Offer, members: &Members) -> Option<Bytes> {
        if offer.index <= self.checkpoint.0 || self.installing.is_some() {
            return None;
        }
        let hard_state = self.node.raft.hard_state();
        let (group, replica) = (self.group, self.own);
        let (index, term) = (offer.index, offer.term);
        self.node.mut_store().offer(offer);
        let members = members.clone();
        let checkpoint = Checkpoint { group, replica, hard_state, index, term, members, installed: false };
        Some(records::encode_checkpoint(&checkpoint))
    }

    /// An installed or recovered snapshot may be passed on.
    pub fn offer(&mut self, offer: Offer) {
        self.node.mut_store().offer(offer);
    }

    /// The record of [`Replica::snapshot_taken`] is durable. Entries before the snapshot are
    /// forgotten but for the last `trailing`, kept for those who are a little behind.
    pub fn compacted(&mut self, index: u64, position: u64, trailing: u64) {
        if index <= self.checkpoint.0 {
            return;
        }
        self.checkpoint = (index, position);
        while self.spans.front().is_some_and(|span| span.last <= index) {
            self.spans.pop_front();
        }
        let keep = index.saturating_sub(trailing).min(self.held_for_receivers(index, trailing));
        let store = self.node.mut_store();
        if keep > store.base() {
            store.compact(keep);
        }
    }

    /// What follows a snapshot that somebody is fetching is kept a little longer, or it would be
    /// of no use when it is there.
    fn held_for_receivers(&self, index: u64, trailing: u64) -> u64 {
        let progress = |replica| self.node.raft.prs().get(replica);
        let receivers = self.snapshot_receivers().into_iter();
        let oldest = receivers.filter_map(|replica| Some(progress(replica.0)?.pending_snapshot)).min();
        oldest
            .map_or(u64::MAX, |oldest| oldest.max(index.saturating_sub(HELD_TIMES * (trailing + HELD_MORE))))
    }

    /// The journal need not keep this group's records before this position.
    pub fn releasable(&self) -> u64 {
        let first = self.spans.iter().find(|span| span.last > self.checkpoint.0);
        first.map_or(self.checkpoint.1, |span| span.position.min(self.checkpoint.1))
    }

    /// Did somebody need a snapshot that there is not?
    pub fn snapshot_wanted(&self) -> bool {
        self.node.store().take_wanted()
    }

    /// To whom a snapshot was offered that is not acknowledged yet.
    pub fn snapshot_receivers(&self) -> Vec<mooseng_core::id::ReplicaId> {
        let waits = |replica: &mooseng_core::id::ReplicaId| {
            let progress = self.node.raft.prs().get(replica.0);
            progress.is_some_and(|progress| progress.state == raft::ProgressState::Snapshot)
        };
        if self.led.is_none() {
            return Vec::new();
        }
        self.members.iter().map(|(replica, _)| replica).filter(waits).collect()
    }
}

fn raft_conf_eq(one: &raft::eraftpb::ConfState, other: &raft::eraftpb::ConfState) -> bool {
    let sorted = |list: &[u64]| {
        let mut list = list.to_vec();
        list.sort_unstable();
        list
    };
    sorted(one.get_voters()) == sorted(other.get_voters())
        && sorted(one.get_learners()) == sorted(other.get_learners())
        && sorted(one.get_voters_outgoing()) == sorted(other.get_voters_outgoing())
        && sorted(one.get_learners_next()) == sorted(other.get_learners_next())
        && one.auto_leave == other.auto_leave
}
