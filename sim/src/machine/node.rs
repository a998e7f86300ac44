//! A node: one host with its process, clock and disk. Holds what is true of it now; what its code
//! does is the executor's business.

use super::clock::NodeClock;
use super::disk::Disk;
use super::env::SimEnv;
use super::lane::Lane;
use super::slab::Key;
use super::trigger::OperationCounts;
use futures::future::BoxFuture;
use std::sync::Arc;

/// A node's number, in the order in which nodes were added.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub u32);

/// What makes a node different from others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NodeConfig {
    /// The version of messages that it speaks, for code that asks [`SimEnv::wire_version`].
    pub wire_version: u32,
    /// The rate of its clock; drawn within the configured bound if not given.
    pub drift_ppm: Option<i32>,
    /// The size of its disk, if not the configured one.
    pub capacity_bytes: Option<u64>,
}

/// Makes the first task of a process; called again at each boot.
pub(crate) type BootProcess = Arc<dyn Fn(SimEnv) -> BoxFuture<'static, ()> + Send + Sync>;

/// Why a process stops.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// The power fails.
    Power,
    /// The process is killed; its kernel lives.
    Kill,
    /// The server stops itself.
    Halt(String),
}

pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) config: NodeConfig,
    /// Handles of another epoch belong to a process that is gone, and do nothing.
    pub(crate) epoch: u32,
    pub(crate) life: u32,
    pub(crate) up: bool,
    pub(crate) powered: bool,
    /// How many faults hold it paused, and how many asleep.
    pub(crate) pauses: u32,
    pub(crate) sleeps: u32,
    pub(crate) clock: NodeClock,
    pub(crate) disk: Disk,
    /// Whose disk that is, if everybody has his own.
    pub(crate) disk_of: NodeId,
    /// Disk operations that were done while the machine slept.
    pub(crate) held: Vec<Key>,
    pub(crate) cpu_factor: u32,
    pub(crate) counts: OperationCounts,
    /// How often its tasks took a turn, over all its lives.
    pub(crate) polls: u64,
    pub(crate) boot: Option<BootProcess>,
    /// Why its server stopped itself, until it boots again.
    pub(crate) halted: Option<String>,
    pub(crate) lane: Lane,
}

impl Node {
    /// Do its tasks run?
    pub(crate) fn runs(&self) -> bool {
        self.pauses == 0 && self.sleeps == 0
    }

    /// Does its kernel work: answer packets, finish disk operations?
    pub(crate) fn awake(&self) -> bool {
        self.powered && self.sleeps == 0
    }
}
