//! What a group's log holds: the commands that change a shard, and what applying one gives. Time
//! and the region come with the command; nothing is asked of the world when it is applied.

mod codec;

#[cfg(test)]
mod tests;

pub use codec::{DecodeError, FORMAT};

use crate::state::Nonce;
use mooseng_core::id::{InodeId, ReplicaId, ServerId, SessionId, SliceId, Slot};
use mooseng_core::namespace::{Caller, Op, Outcome, Refusal};
use mooseng_core::time::{Stamp, WallTime};

/// One line of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// The leader's wall time: the times of files come from it.
    pub time: WallTime,
    pub stamp: Stamp,
    /// The region that makes the change, below 64: ids of new inodes name it.
    pub region: u8,
    pub kind: CommandKind,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandKind {
    Noop,
    OpenSession {
        nonce: Nonce,
        /// It keeps answers, and may be given leases.
        caches: bool,
    },
    CloseSession {
        session: SessionId,
    },
    /// The leader saw these run out.
    ExpireSessions {
        sessions: Vec<SessionId>,
    },
    /// Whether these may hold leases from now on.
    SetCaching {
        sessions: Vec<SessionId>,
        caches: bool,
    },
    Mutate {
        session: SessionId,
        /// The request's number in its session, from 1.
        sequence: u64,
        /// The lowest sequence whose answer the client still wants.
        low_water: u64,
        /// The slot the request was sent to.
        slot: Slot,
        op: Op,
        /// In whose name.
        caller: Caller,
    },
    /// These have no name, and the leader knows of nobody who has them open.
    Collect {
        orphans: Vec<InodeId>,
    },
    /// A server asks for a number for a new life as a member of the group.
    AllotReplica {
        server: ServerId,
        nonce: Nonce,
    },
    /// A chunk server listens there, and stands in that rack.
    RegisterServer {
        server: ServerId,
        address: Box<str>,
        rack: Box<str>,
    },
    /// A chunk server will not come back.
    RetireServer {
        server: ServerId,
    },
    /// The parts of condemned slices were deleted wherever they could be.
    ForgetSlices {
        slices: Vec<SliceId>,
    },
    /// A part of a live slice is at `target` now and not at `source` any more; `None` is nowhere.
    MovePart {
        slice: SliceId,
        index: u8,
        source: Option<ServerId>,
        target: Option<ServerId>,
    },
}

/// What applying a command gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// For whoever asked, if they still wait.
    pub reply: Reply,
    /// For the replica itself.
    pub effects: Vec<Effect>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    Done,
    Session {
        session: SessionId,
    },
    /// The op's outcome and the index at which it took effect, which of a retry is an earlier one.
    Outcome {
        outcome: Outcome,
        index: u64,
    },
    Replica {
        replica: ReplicaId,
    },
    /// Never opened, closed or run out; what it asked for was not carried out now.
    UnknownSession,
    /// The client had said that it wants this answer no more. Not carried out now.
    AnswerGone,
    /// Too far ahead of the client's oldest open request. Not carried out: the client waits for
    /// older answers, and asks again under the same sequence.
    TooManyInFlight,
    TooManySessions,
    /// What a server's own task asked for cannot be; nothing has changed.
    Refused(Refusal),
}

/// What a replica should know beyond the reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    SessionOpened(SessionId),
    SessionEnded(SessionId),
    SessionCaches(SessionId),
    SessionRests(SessionId),
}
