//! What the machine tells whoever watches a run: changes of state that logic noted, and what
//! became of the machines themselves.

use super::control::Control;
use super::fault::Fault;
use super::node::NodeId;
use super::trigger::Trigger;
use mooseng_core::event::Event;
use mooseng_core::time::Instant;

/// Something happened, at a moment of true time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observation {
    pub time: Instant,
    pub node: Option<NodeId>,
    pub seen: Seen,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    Logic(Event),
    Machine(MachineEvent),
}

/// What became of a machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MachineEvent {
    /// Its process started; the count of its lives begins with 1.
    Booted {
        life: u32,
    },
    /// Its power failed.
    Crashed,
    /// Its process was killed.
    Killed,
    /// Its server stopped itself, for this reason.
    Halted {
        reason: String,
    },
    /// Its process's first task came to its end by itself.
    Finished,
    Paused,
    Resumed,
    Suspended,
    Woke,
    /// A fault was injected.
    Fault(Fault),
    /// A fault with a duration is over.
    FaultOver(Fault),
    /// A fault that waited for its occasion struck.
    Struck {
        kind: &'static str,
        what: String,
    },
    /// A trigger met its operation.
    Triggered(Trigger),
    /// All links, clocks and disks work again.
    Healed,
}

/// Called for every observation, at once, while no task of the machine runs on. It may inject
/// faults and arm triggers through the control it is given.
pub type Observer = Box<dyn FnMut(&Observation, &Control) + Send>;
