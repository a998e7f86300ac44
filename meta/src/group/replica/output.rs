//! What a replica wants of the world, and what it says of what came in: values, carried out elsewhere.

use bytes::Bytes;
use mooseng_core::event::Event;
use mooseng_core::id::{GroupId, ReplicaId};
use raft::eraftpb::{Message, MessageType};

/// What leaves for another replica.
#[derive(Clone, PartialEq, Debug)]
pub struct Envelope {
    pub target: ReplicaId,
    pub message: Message,
    /// This replica's clock, nanoseconds.
    pub sent: u64,
    /// The last `sent` that the target, as leader of this term, was heard with.
    pub echo: u64,
}

/// Something to apply. Configurations have taken effect here already.
#[derive(Clone, PartialEq, Debug)]
pub struct Committed {
    pub index: u64,
    pub term: u64,
    pub context: Bytes,
    /// Empty for what raft commits for itself.
    pub data: Bytes,
}

impl Envelope {
    /// What its sender must not forget once this has left it, as an event.
    pub fn promise(&self, group: GroupId, replica: ReplicaId) -> Option<Event> {
        let Message { term, index, reject, .. } = self.message;
        match self.message.get_msg_type() {
            MessageType::MsgRequestVote => Some(Event::Voted { group, replica, term, candidate: replica }),
            MessageType::MsgRequestVoteResponse if !reject => {
                Some(Event::Voted { group, replica, term, candidate: self.target })
            }
            // Index 0 only tells a leader of an earlier term that there is a later one.
            MessageType::MsgAppendResponse if !reject && index > 0 => {
                Some(Event::Acknowledged { group, replica, term, leader: self.target, index })
            }
            _ => None,
        }
    }
}

/// Something that came about.
#[derive(Clone, PartialEq, Debug)]
pub enum Notice {
    Elected {
        term: u64,
    },
    SteppedDown {
        term: u64,
    },
    /// As leader of `term` it counted a majority up to `index`, an entry of the term `counted`.
    Committed {
        term: u64,
        index: u64,
        counted: u64,
    },
    Cleared {
        end: u64,
        vouched: bool,
    },
    Members,
}

/// What a replica wants of the world.
#[derive(Debug, Default)]
pub struct Output {
    /// To be made durable, all or none, in the order of the outputs. When they are,
    /// [`persisted`](super::Replica::persisted) is called once.
    pub records: Vec<Bytes>,
    pub send: Vec<Envelope>,
    /// The state is to be taken from the snapshot that [`snapshot_ready`](super::Replica::snapshot_ready) announced.
    pub installed: Option<u64>,
    /// To be applied before the replica is called again.
    pub committed: Vec<Committed>,
    /// Reads that may be answered by a state that has applied this index: (ticket, index).
    pub reads: Vec<(u64, u64)>,
    pub notices: Vec<Notice>,
}

/// A leader's snapshot that must be fetched.
#[derive(Clone, PartialEq, Debug)]
pub struct Fetch {
    pub source: ReplicaId,
    pub index: u64,
    pub term: u64,
    pub manifest: Bytes,
}

/// What became of a message.
#[derive(Clone, PartialEq, Debug)]
pub enum Stepped {
    Taken,
    /// Taken when the snapshot it speaks of is here and durable.
    Fetch(Fetch),
}

/// Why a leader's service was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    NotLeader,
    /// Nothing was proposed: too much is under way, or leadership is being handed over.
    Busy,
}
