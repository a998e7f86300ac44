//! What can be asked of a replica without changing it.

use super::{GroupId, Members, Mode, Replica, ReplicaId};
use mooseng_core::time::Instant;

impl Replica {
    pub fn group(&self) -> GroupId {
        self.group
    }

    pub fn id(&self) -> ReplicaId {
        self.own
    }

    pub fn members(&self) -> &Members {
        &self.members
    }

    pub fn term(&self) -> u64 {
        self.node.raft.term
    }

    /// Whom it gave its vote in this term.
    pub fn vote(&self) -> Option<ReplicaId> {
        Some(self.node.raft.vote).filter(|id| *id != raft::INVALID_ID).map(ReplicaId)
    }

    /// The term it leads, if it does.
    pub fn leads(&self) -> Option<u64> {
        self.led
    }

    /// Whom it takes for the leader.
    pub fn leader(&self) -> Option<ReplicaId> {
        Some(self.node.raft.leader_id).filter(|id| *id != raft::INVALID_ID).map(ReplicaId)
    }

    /// The leader, if it was heard of so lately that it is worth asking.
    pub fn live_leader(&self, now: Instant) -> Option<ReplicaId> {
        let live = self.promise.heard_within(self.config.silence(), now);
        self.leader().filter(|leader| *leader == self.own || live)
    }

    pub fn last(&self) -> u64 {
        self.node.raft.raft_log.last_index()
    }

    pub fn committed(&self) -> u64 {
        self.node.raft.raft_log.committed
    }

    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// The index of the snapshot the journal points to.
    pub fn checkpoint(&self) -> u64 {
        self.checkpoint.0
    }

    pub fn is_mute(&self) -> bool {
        matches!(self.mode, Mode::Mute(_))
    }

    /// A leader that has applied an entry of its own term knows all that was ever committed.
    pub fn knows_all(&self) -> bool {
        self.led.is_some() && self.node.raft.apply_to_current_term()
    }

    /// Does the lease hold, and will it not hold in half its time unless somebody is heard?
    pub fn lease_fades(&self, now: Instant) -> bool {
        self.holds_lease(now) && !self.holds_lease(now + self.config.lease / 2)
    }

    /// A voter that is not behind, to hand leadership to.
    pub fn successor(&self) -> Option<ReplicaId> {
        let raft = &self.node.raft;
        let matched = |replica: &ReplicaId| {
            raft.prs().get(replica.0).filter(|progress| progress.recent_active).map(|p| p.matched)
        };
        let others = self.members.voters().into_iter().filter(|replica| *replica != self.own);
        others.filter_map(|replica| Some((matched(&replica)?, replica))).max().map(|(_, replica)| replica)
    }
}
