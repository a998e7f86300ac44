//! What logic tells the machine it runs on: one value per change of state. The daemons turn events
//! into a log and metrics, the simulator into its trace and its oracles. Telling never blocks and
//! never changes what happens next.

use crate::id::{GroupId, InodeId, ReplicaId, SessionId};

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A replica took part in nothing yet; it recovered this much and, if `waits`, stays mute
    /// until its group has shown that nothing it acknowledged is missing.
    Recovered {
        group: GroupId,
        replica: ReplicaId,
        term: u64,
        /// Whom it gave its vote in this term.
        vote: Option<ReplicaId>,
        last: u64,
        applied: u64,
        waits: bool,
    },
    /// A mute replica was shown that nothing is missing and takes part again; or, if it is not vouched for,
    /// too many were in doubt for anybody to know.
    Cleared {
        group: GroupId,
        replica: ReplicaId,
        end: u64,
        vouched: bool,
    },
    Elected {
        group: GroupId,
        replica: ReplicaId,
        term: u64,
    },
    SteppedDown {
        group: GroupId,
        replica: ReplicaId,
        term: u64,
    },
    /// The replica gives its vote for a term, its own candidature included: this leaves it now, and
    /// a crash must not make it forget.
    Voted {
        group: GroupId,
        replica: ReplicaId,
        term: u64,
        candidate: ReplicaId,
    },
    /// The replica tells the leader of a term that it holds the log up to this index: this leaves it
    /// now, and a crash must not make it forget.
    Acknowledged {
        group: GroupId,
        replica: ReplicaId,
        term: u64,
        leader: ReplicaId,
        index: u64,
    },
    /// The leader of a term counted a majority for the log up to this index, where an entry of the
    /// term `counted` stands.
    Committed {
        group: GroupId,
        replica: ReplicaId,
        term: u64,
        index: u64,
        counted: u64,
    },
    /// The leader has begun to hand its office over, and with that given up its lease.
    HandingOver {
        group: GroupId,
        replica: ReplicaId,
        term: u64,
        target: ReplicaId,
    },
    /// The replica applied the entry and its state then had this hash. `request` is the session and
    /// sequence of the change in it, if it was one and took effect here (it was not a retry that the
    /// table answered).
    Applied {
        group: GroupId,
        replica: ReplicaId,
        index: u64,
        term: u64,
        hash: u128,
        request: Option<(SessionId, u64)>,
    },
    /// The replica serves reads under a lease of its own at this moment, or would if it were asked.
    LeaseRead {
        group: GroupId,
        replica: ReplicaId,
        term: u64,
        applied: u64,
    },
    SnapshotTaken {
        group: GroupId,
        replica: ReplicaId,
        index: u64,
        hash: u128,
    },
    SnapshotInstalled {
        group: GroupId,
        replica: ReplicaId,
        index: u64,
        hash: u128,
    },
    /// The voters of the group as this replica now knows them.
    Members {
        group: GroupId,
        replica: ReplicaId,
        voters: Vec<ReplicaId>,
        learners: Vec<ReplicaId>,
    },
    /// Synced state is missing, older or damaged: the replica takes part no more.
    Fenced {
        group: GroupId,
        replica: ReplicaId,
        reason: String,
    },
    /// A mount could not keep what was written to a file: whoever has it open is told.
    WriteBackFailed {
        file: InodeId,
        why: String,
    },
    /// The disk is too full for this replica's tree to grow any more, or not so any more.
    Room {
        group: GroupId,
        replica: ReplicaId,
        short: bool,
        /// How much is free, and how much of that is kept for snapshots and the journal.
        free_bytes: u64,
        kept_bytes: u64,
    },
    /// Something worth a line for an operator that no oracle counts.
    Note(String),
}
