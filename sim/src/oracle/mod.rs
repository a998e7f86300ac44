//! The oracles: one file each, named after the property it watches, each with a test that breaks
//! the property on purpose. All of them are on in every run, so all of them are cheap.
//!
//! They know what the clients saw and what the replicas said, never how the system works. The
//! cluster tells a [`Judge`] everything as it happens and shows it the final state at the end.

pub mod bounded;
pub mod close_to_open;
pub mod contents;
pub mod data;
pub mod durable;
pub mod exactly_once;
pub mod failover;
pub mod fsynced;
pub mod invented;
pub mod leaders;
pub mod linearizable;
pub mod mounts;
pub mod open_files;
pub mod parts;
pub mod progress;
pub mod promises;
pub mod replicas;
pub mod reported;
pub mod room;
pub mod sessions;
pub mod spin;
pub mod steady;
pub mod tree;

mod judge;
#[cfg(test)]
pub(crate) mod testing;

pub use judge::{Hardship, Judge, Settings};

use crate::history::{CommitLog, History};
use crate::model::Tree;
use crate::model::contents::Verdict;
use crate::plan::Member;
use mooseng_core::event::Event;
use mooseng_core::extent::SliceInfo;
use mooseng_core::id::{GroupId, InodeId, PartId, ReplicaId, ServerId, SessionId};
use mooseng_core::time::Instant;
use std::fmt;
use std::time::Duration;

/// The number of a promise in `docs/guarantees.md`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Promise(pub u8);

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "G{}", self.0)
    }
}

/// A promise was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    pub oracle: &'static str,
    pub promise: Promise,
    pub at: Instant,
    /// One line: what happened.
    pub what: String,
    /// The operation of the history that went wrong, where it is one.
    pub operation: Option<usize>,
    /// What the model expected of it.
    pub expected: Option<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}: {} {}: {}", self.at, self.promise, self.oracle, self.what)?;
        match &self.expected {
            None => Ok(()),
            Some(expected) => write!(f, "; the model expects {expected}"),
        }
    }
}

/// How a server stopped serving, as the machine did it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Down {
    Crashed,
    Paused,
    /// Cut off from every other server.
    CutOff,
    /// It stopped itself.
    Halted,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Sight<'a> {
    /// A node told of a change of its state.
    Event { node: Member, event: &'a Event },
    /// A call began; it is the last of the history.
    Called { number: usize },
    /// A call ended: the history says how.
    Ended { number: usize },
    /// A change is about to end as one that was not carried out for want of room.
    NoRoom { number: usize },
    /// A client has this session from now on, and nothing open in it.
    Session { client: usize, session: SessionId },
    /// A session has an inode open once more from now on, or once less.
    Holds { session: SessionId, inode: InodeId, open: bool },
    /// A client found nothing where it has something open, under a session that lives.
    OpenIsGone { client: usize, inode: InodeId },
    /// A server is out of service from now on.
    WentDown { node: Member, how: Down },
    /// A server runs again: restarted, resumed, or connected again.
    CameUp { node: Member },
    /// A fault may cost this server what it had synced, from now on; `silent`: so that nothing on
    /// the server can tell.
    Harmed { node: Member, silent: bool },
    /// A fault begins that is not the end of one server and may slow anything. If it `excuses`
    /// that, a leader may lose its office by it.
    FaultBegan { excuses: bool },
    /// All such faults are over.
    FaultsOver,
    /// The safety phase is over: nothing is broken any more, and nothing will be.
    Healed,
    /// How often the node's tasks have taken a turn, since the beginning.
    Worked { node: Member, turns: u64 },
    /// A client was told that its session is gone. By its own clock it was `told` then, and what the
    /// session was granted was good until `granted_until`.
    SessionLost { client: usize, told: Instant, granted_until: Instant },
    /// A client read bytes of a file. In the last look everything is healed and quiet.
    Read { client: usize, file: InodeId, verdict: &'a Verdict, last: bool },
    /// A client could not read a file, of which something was acknowledged if it is `promised`. `lost`:
    /// not for want of an answer.
    Unreadable { client: usize, file: InodeId, what: &'a str, promised: bool, lost: bool, last: bool },
    /// A mount answered `what`; `expected`: the model has something else for the only answer.
    Mounted { client: usize, what: &'a str, expected: Option<&'a str> },
    /// Something that must stay bounded, as it is now.
    Measured { node: Member, what: &'static str, value: u64, limit: u64 },
}

/// One thing that happened, and when by the clock of the simulation.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    pub at: Instant,
    pub sight: Sight<'a>,
    pub history: &'a History,
}

/// A replica as it is at the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FinalReplica {
    pub node: Member,
    pub group: GroupId,
    pub replica: ReplicaId,
    pub applied: u64,
    pub hash: u128,
    /// Takes part and is no learner that is still behind.
    pub serving: bool,
    pub tree: Tree,
    /// Where the parts of live slices are, as this replica has it.
    pub slices: Vec<SliceInfo>,
}

/// What a chunk server keeps at the end, as whoever reads all of it finds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FinalChunkServer {
    pub node: Member,
    pub server: ServerId,
    /// Each part, and whether its bytes are what its sums say.
    pub parts: Vec<(PartId, bool)>,
}

/// What is left when a run is over.
#[derive(Clone, Debug)]
pub struct End<'a> {
    pub at: Instant,
    pub history: &'a History,
    pub log: &'a CommitLog,
    pub replicas: &'a [FinalReplica],
    pub chunk_servers: &'a [FinalChunkServer],
    /// How many replicas have to serve, now that everything is healed.
    pub serving: usize,
    /// How many are enough to serve anybody.
    pub quorum: usize,
}

/// Watches over one property.
pub trait Oracle: Send {
    fn name(&self) -> &'static str;

    fn promise(&self) -> Promise;

    /// Something happened.
    fn observe(&mut self, _seen: &Observation<'_>) -> Result<(), Violation> {
        Ok(())
    }

    /// The run is over.
    fn finish(&mut self, _end: &End<'_>) -> Result<(), Violation> {
        Ok(())
    }

    /// A violation of this oracle's property.
    fn violation(&self, at: Instant, what: String) -> Violation {
        Violation { oracle: self.name(), promise: self.promise(), at, what, operation: None, expected: None }
    }
}

fn seconds(span: Duration) -> String {
    format!("{}.{:03} s", span.as_secs(), span.subsec_millis())
}
