//! The hand that reaches into a running machine: faults, triggers and questions, for those who
//! drive a run and for observers in the midst of it. Tasks that a fault kills are gone before any
//! of them runs again.

use super::fault::Fault;
use super::inject::UnknownNode;
use super::node::NodeId;
use super::observe::MachineEvent;
use super::stats::Stats;
use super::trigger::{OperationCounts, Trigger};
use super::world::Shared;
use mooseng_core::time::Instant;
use std::sync::Arc;

/// What a machine keeps for its processes: none of it may grow without bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    pub timers: usize,
    pub connections: usize,
    pub disk_operations: usize,
}

#[derive(Clone)]
pub struct Control {
    pub(crate) shared: Arc<Shared>,
}

impl Control {
    /// True time.
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.shared.lock().now)
    }

    /// Injects a fault now.
    pub fn apply(&self, fault: &Fault) -> Result<(), UnknownNode> {
        let mut world = self.shared.lock();
        world.check_names(fault)?;
        world.inject(fault);
        Ok(())
    }

    /// Injects faults when an operation is met.
    pub fn arm(&self, trigger: Trigger) -> Result<(), UnknownNode> {
        let mut world = self.shared.lock();
        trigger.faults.iter().try_for_each(|fault| world.check_names(fault))?;
        let node = world.find(&trigger.node)?;
        world.triggers.arm(node, trigger);
        Ok(())
    }

    /// Ends every fault that lasts or waits, and what chance does by itself, for good: links,
    /// clocks, disks and processors work as they should, what was paused runs. Damage stays damage,
    /// and a node that is down stays down.
    pub fn heal(&self) {
        let mut world = self.shared.lock();
        world.heal();
        world.tell(None, MachineEvent::Healed);
    }

    pub fn node(&self, name: &str) -> Option<NodeId> {
        self.shared.lock().names.get(name).copied()
    }

    pub fn name(&self, node: NodeId) -> Arc<str> {
        self.shared.lock().node(node).name.clone()
    }

    /// Does its process live?
    pub fn is_up(&self, node: NodeId) -> bool {
        self.shared.lock().node(node).up
    }

    /// Has it ever been started?
    pub fn has_lived(&self, node: NodeId) -> bool {
        self.shared.lock().node(node).life > 0
    }

    /// Why its server stopped itself, if it did and has not booted since.
    pub fn halted(&self, node: NodeId) -> Option<String> {
        self.shared.lock().node(node).halted.clone()
    }

    /// What the machine keeps for its processes now.
    pub fn load(&self) -> Load {
        let world = self.shared.lock();
        Load {
            timers: world.timers.len(),
            connections: world.network.open_connections(),
            disk_operations: world.operations.len(),
        }
    }

    /// The operations the node has begun so far.
    pub fn counts(&self, node: NodeId) -> OperationCounts {
        self.shared.lock().node(node).counts
    }

    /// How often the node's tasks took a turn so far, over all its lives.
    pub fn polls(&self, node: NodeId) -> u64 {
        self.shared.lock().node(node).polls
    }

    pub fn stats(&self) -> Stats {
        self.shared.lock().stats()
    }

    /// The rolling hash over everything that happened.
    pub fn trace_hash(&self) -> u128 {
        self.shared.lock().trace.hash()
    }
}
