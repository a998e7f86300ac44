//! A replica in doubt, and one that is fenced: see [`super::super::ambiguity`].

use super::{Answer, End, Mode, Notice, Replica, Standing};
use mooseng_core::id::ReplicaId;
use mooseng_core::probe;
use mooseng_core::time::Instant;
use protobuf::Message as _;
use raft::GetEntriesContext;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType};

/// How much of what is not applied yet is looked at.
const UNAPPLIED_BYTES_MAX: u64 = 1 << 20;

impl Replica {
    /// A member said that it is in doubt: what it acknowledged to this leader may be gone. Its log
    /// is found anew, and nothing it acknowledged before counts any more.
    pub fn doubted(&mut self, replica: ReplicaId, now: Instant) {
        let last = self.node.raft.raft_log.last_index();
        if self.led.is_none() || replica == self.own {
            return;
        }
        if let Some(progress) = self.node.raft.mut_prs().get_mut(replica.0) {
            progress.become_probe();
            progress.matched = 0;
            progress.next_idx = last + 1;
        }
        self.after(now);
    }

    /// Whom a replica in doubt has to ask: those who have not answered, and then those whose logs
    /// it has not reached.
    pub fn inquiries(&self) -> Vec<ReplicaId> {
        match &self.mode {
            Mode::Mute(inquiry) => inquiry.open(),
            Mode::Watchful { inquiry, .. } => inquiry.ahead_of(self.end()),
            _ => Vec::new(),
        }
    }

    /// The members a replica in doubt has heard of; they may be newer than its own.
    pub fn inquired_members(&self) -> Option<&super::Members> {
        match &self.mode {
            Mode::Mute(inquiry) | Mode::Watchful { inquiry, .. } => Some(inquiry.members()),
            _ => None,
        }
    }

    /// Somebody answered.
    pub fn answered(&mut self, asked: ReplicaId, answer: &Answer, now: Instant) {
        let (term, own) = (self.node.raft.term, self.end());
        match &mut self.mode {
            Mode::Mute(inquiry) => {
                inquiry.answered(asked, answer);
                self.conclude(now);
            }
            Mode::Watchful { inquiry, phantom } => {
                inquiry.answered(asked, answer);
                *phantom = inquiry.greatest(term, own).phantom;
                self.after(now);
            }
            _ => {}
        }
    }

    /// Leaves muteness if nobody is left to ask; a replica that is alone has nobody from the start.
    pub fn conclude(&mut self, now: Instant) {
        let own = self.end();
        let Mode::Mute(inquiry) = &self.mode else { return };
        let Some(verdict) = inquiry.verdict(self.node.raft.term, own) else { return };
        let inquiry = inquiry.clone();
        if verdict.phantom > own {
            probe!("mute replica ends before the phantom end");
        }
        let raft = &mut self.node.raft;
        if verdict.term > raft.term {
            raft.become_follower(verdict.term, raft::INVALID_ID);
        }
        // A vote for itself that it never asks anybody to share: the term's vote is used up.
        if raft.vote == raft::INVALID_ID {
            raft.vote = raft.id;
        }
        self.mode = Mode::Watchful { inquiry, phantom: verdict.phantom };
        self.after(now);
    }

    /// Ends the doubt when the log has reached the phantom end and everything is durable.
    pub(super) fn clear_if_whole(&mut self) {
        let Mode::Watchful { phantom, inquiry } = &self.mode else { return };
        let (phantom, vouched) = (*phantom, inquiry.is_vouched_for());
        let settled = self.pending.is_empty() && !self.node.has_ready() && self.all_durable();
        if settled && self.end() >= phantom {
            probe!("mute replica cleared");
            self.mode = Mode::Serving;
            let end = self.node.raft.raft_log.last_index();
            self.notices.push(Notice::Cleared { end, vouched });
        }
    }

    /// It takes part no more, under this number.
    pub fn fence(&mut self, reason: String) {
        self.mode = Mode::Fenced(reason);
        self.led = None;
        self.lease.end();
    }

    pub fn fenced(&self) -> Option<&str> {
        match &self.mode {
            Mode::Fenced(reason) => Some(reason),
            _ => None,
        }
    }

    /// The end of its log.
    pub fn end(&self) -> End {
        let log = &self.node.raft.raft_log;
        End { term: log.last_term(), index: log.last_index() }
    }

    /// May anything that its log ends with have been acknowledged to a client by its help? Nobody counts
    /// a learner; one that was made a voter and does not know has that in its log.
    fn may_have_counted(&self) -> bool {
        if self.members.votes(self.own) {
            return true;
        }
        let log = &self.node.raft.raft_log;
        let (next, last) = (self.applied + 1, log.last_index());
        if next >= last {
            return false;
        }
        // What follows the change counts, not the change.
        let Ok(unapplied) = log.slice(next, last, UNAPPLIED_BYTES_MAX, GetEntriesContext::empty(false))
        else {
            return true;
        };
        (unapplied.len() as u64) < last - next || unapplied.iter().any(is_decisive)
    }

    /// What it answers to an inquiry.
    pub fn answer(&self) -> Answer {
        let standing = match &self.mode {
            Mode::Serving => Standing::Serving,
            Mode::Mute(_) | Mode::Watchful { .. } => Standing::Waiting,
            Mode::Fenced(_) => Standing::Damaged,
        };
        Answer {
            replica: Some(self.own),
            standing,
            term: self.node.raft.term,
            end: self.end(),
            counted: self.may_have_counted(),
            commit: self.applied,
            members: self.members.clone(),
        }
    }
}

/// May others decide from here on than did so before?
fn is_decisive(entry: &Entry) -> bool {
    let mut change = ConfChangeV2::default();
    entry.get_entry_type() != EntryType::EntryNormal
        && change.merge_from_bytes(&entry.data).is_ok()
        && change.enter_joint().is_none()
}
