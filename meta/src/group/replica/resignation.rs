//! A leader that has heard of no quorum for an election timeout steps down. It may have been cut
//! off for just that long: then the others have heard of it again, wait a whole timeout more, and
//! nobody leads meanwhile. So its last word goes to the voter that knows most of the log: stand
//! now. Where that word is late somebody else leads in a later term, and it is not heeded.
//!
//! The lease ends with the leadership, so a vote that does not wait for promises is safe.

use super::{Replica, ReplicaId};
use mooseng_core::plant;
use raft::StateRole;
use raft::eraftpb::{Message, MessageType};

impl Replica {
    /// Who shall stand if this leader steps down at its next tick: whoever has most of the log,
    /// of several whoever was heard last.
    pub(super) fn heir(&self) -> Option<ReplicaId> {
        let raft = &self.node.raft;
        let asks = raft.state == StateRole::Leader && raft.election_elapsed + 1 >= raft.election_timeout();
        if !asks {
            return None;
        }
        let voters = self.members.voters().into_iter().filter(|voter| *voter != self.own);
        let known = voters.filter_map(|voter| Some((raft.prs().get(voter.0)?.matched, voter)));
        known
            .max_by_key(|(matched, voter)| (*matched, self.lease.echo(*voter), *voter))
            .map(|(_, voter)| voter)
    }

    /// Leaves the last word, if the leadership was lost to nobody.
    pub(super) fn resign(&mut self, heir: Option<ReplicaId>) {
        let raft = &self.node.raft;
        let (Some(heir), Some(term)) = (heir, self.led) else { return };
        if raft.state == StateRole::Leader || raft.term != term {
            return;
        }
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgTimeoutNow);
        (message.to, message.from, message.term) = (heir.0, self.own.0, term);
        plant!("leader-never-resigns", self.parting = Some(message), {});
    }
}
