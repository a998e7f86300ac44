//! Changes of who belongs to a group: which of them a leader may propose, and the configuration entry that each
//! becomes. Its context names the newcomers:
//!
//! ```text
//!  any number of: u64 replica | u64 server | u8 seat wanted | u32 length | address
//! ```

use super::{MEMBERS_MAX, Members, SEAT_WANTED, decode_address};
use crate::group::wire::{Malformed, Reader, malformed, put_string};
use bytes::Bytes;
use mooseng_core::env::Address;
use mooseng_core::id::{ReplicaId, ServerId};
use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2};

/// A replica that is to be added as a learner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Newcomer {
    pub replica: ReplicaId,
    pub server: ServerId,
    pub address: Address,
    /// To become a voter, in the place of any older replica of its server.
    pub seat_wanted: bool,
}

/// A change of the configuration that a leader may propose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Add a learner, and drop the learners that its server left behind.
    Admit {
        newcomer: Newcomer,
        leftovers: Vec<ReplicaId>,
    },
    /// Make a learner a voter in the place of the older replicas of its server.
    Promote {
        learner: ReplicaId,
        replaced: Vec<ReplicaId>,
    },
    Remove(ReplicaId),
    /// Leave a joint configuration that is not left by itself, or whose leader was lost before.
    Settle,
}

impl Change {
    /// `leave`: whether a joint configuration is left by itself ([`ConfChangeTransition::Auto`]) or
    /// waits for a [`Change::Settle`] (`Explicit`).
    pub fn conf_change(&self, leave: ConfChangeTransition) -> ConfChangeV2 {
        let single = |kind, replica: ReplicaId| {
            let mut change = ConfChangeSingle::default();
            change.set_change_type(kind);
            change.set_node_id(replica.0);
            change
        };
        let removal = |replica: &ReplicaId| single(ConfChangeType::RemoveNode, *replica);
        let mut changes = Vec::new();
        let mut context = Vec::new();
        match self {
            Change::Admit { newcomer, leftovers } => {
                changes.push(single(ConfChangeType::AddLearnerNode, newcomer.replica));
                changes.extend(leftovers.iter().map(removal));
                context = encode_newcomers(std::slice::from_ref(newcomer));
            }
            Change::Promote { learner, replaced } => {
                changes.push(single(ConfChangeType::AddNode, *learner));
                changes.extend(replaced.iter().map(removal));
            }
            Change::Remove(replica) => changes.push(removal(replica)),
            Change::Settle => {}
        }
        let mut change = ConfChangeV2::default();
        change.set_transition(leave);
        change.set_changes(changes.into());
        change.set_context(context.into());
        change
    }
}

fn encode_newcomers(newcomers: &[Newcomer]) -> Vec<u8> {
    let mut out = Vec::new();
    for newcomer in newcomers {
        out.extend_from_slice(&newcomer.replica.0.to_le_bytes());
        out.extend_from_slice(&newcomer.server.0.to_le_bytes());
        out.push(u8::from(newcomer.seat_wanted));
        put_string(&mut out, newcomer.address.as_str().as_bytes());
    }
    out
}

/// The newcomers that a configuration entry's context names.
pub fn decode_newcomers(bytes: Bytes) -> Result<Vec<Newcomer>, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut newcomers = Vec::new();
    while !reader.is_empty() {
        let replica = ReplicaId(reader.long("newcomer.replica")?);
        let server = ServerId(reader.long("newcomer.server")?);
        let seat_wanted = reader.byte("newcomer.seat_wanted")? == 1;
        newcomers.push(Newcomer { replica, server, address: decode_address(&mut reader)?, seat_wanted });
        if newcomers.len() > MEMBERS_MAX {
            return malformed("newcomers", "too many");
        }
    }
    Ok(newcomers)
}

impl Members {
    /// What the leader should change next without being asked, if anything: leave a joint
    /// configuration, or give a learner that has caught up the seat it was admitted for.
    pub fn next_change(&self, leader: ReplicaId, caught_up: impl Fn(ReplicaId) -> bool) -> Option<Change> {
        if self.is_joint() {
            return Some(Change::Settle);
        }
        let (learner, member) = self.iter().find(|(replica, member)| {
            member.is_learner() && member.seats & SEAT_WANTED != 0 && caught_up(*replica)
        })?;
        let replaced: Vec<ReplicaId> = self
            .iter()
            .filter(|(replica, other)| {
                other.server == member.server && *replica != learner && *replica != leader
            })
            .map(|(replica, _)| replica)
            .collect();
        Some(Change::Promote { learner, replaced })
    }

    /// The change that admits a newcomer, or `None` if it is a member already.
    pub fn admit(&self, newcomer: Newcomer) -> Option<Change> {
        if self.get(newcomer.replica).is_some() {
            return None;
        }
        let leftovers = self
            .iter()
            .filter(|(_, member)| member.server == newcomer.server && member.is_learner())
            .map(|(replica, _)| replica)
            .collect();
        Some(Change::Admit { newcomer, leftovers })
    }
}
