//! The simulated machine: hosts with processes, clocks, disks and a network between them, on one
//! thread and one seed. It is one of the two implementations of [`mooseng_core::env::Env`]; the
//! code that runs on it cannot tell.
//!
//! ```text
//!   Sim ── executor: tasks, the seed's pick among them, virtual time
//!    └── World (one lock, never held while others' code runs)
//!         ├── queue: what happens next      ├── nodes: clock, disk, process
//!         ├── network: links, connections   ├── trace, stats, triggers
//! ```
//!
//! It knows nothing of MooseNG but the door and the bytes of a frame: no cluster, no oracle, no
//! workload. Nothing here is global, so simulations run side by side on as many threads as wanted.

mod bench;
mod buggify;
mod clock;
mod config;
mod control;
mod disk;
mod env;
mod fault;
mod inject;
mod lane;
mod network;
mod node;
mod observe;
mod queue;
mod sim;
mod slab;
mod stats;
mod task;
mod trace;
mod trigger;
mod world;

#[cfg(test)]
mod tests;

pub use bench::{PingLoad, PingResult, bench};
pub use config::{ClockConfig, DiskConfig, MachineConfig, NetworkConfig, Span};
pub use control::{Control, Load};
pub use disk::{SimExtent, SimFile};
pub use env::SimEnv;
pub use fault::{Fault, Spot};
pub use inject::UnknownNode;
pub use network::{SimConn, SimListener, SimReceiver, SimSender};
pub use node::{NodeConfig, NodeId};
pub use observe::{MachineEvent, Observation, Observer, Seen};
pub use sim::{RunEnd, Sim};
pub use stats::{FaultCount, PointCount, Stats};
pub use trace::{TraceLine, TraceWhat};
pub use trigger::{Moment, OperationCounts, OperationKind, Trigger};
