//! A plan: everything a run depends on, in a file that a person can read, edit and replay. A seed
//! expands into one ([`Plan::draw`]); seeds mean something else when code changes, plans stay.
//!
//! Knows what is to be done and when, and nothing of how a cluster does it.

mod budget;
mod data;
mod draw;
mod fault;
mod knobs;
mod member;
mod place;
mod text;
mod weights;
mod workload;

#[cfg(test)]
mod tests;

pub(crate) use budget::harm;
pub use budget::{Budget, EXCLUDED, Exclusion, Harm};
pub use data::DataKnobs;
pub use fault::{Milestone, Operations, PlannedFault, When, renamed};
pub use knobs::{Differences, Knobs, Topology};
pub use member::Member;
pub use place::{Base, Place};
pub use text::BadPlan;
pub use weights::Weights;
pub use workload::{Action, Step};

use crate::machine::MachineConfig;
use std::time::Duration;

/// The version of the file format that this code writes.
pub const VERSION: u32 = 1;

/// The version of the protocol between nodes that everybody speaks unless a fault says otherwise. A
/// build of some version also speaks the one before.
pub const WIRE_VERSION: u32 = 2;

/// See the module.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// The story it belongs to; `swarm` for what a seed drew.
    pub story: String,
    /// What all chance in the run comes from, but for the order of tasks.
    pub seed: u64,
    /// What the order of tasks comes from. A plan fails if it fails under any of them.
    pub schedules: Vec<u64>,
    /// The planted bug that is switched on.
    pub planted: Option<String>,
    pub budget: Budget,
    pub topology: Topology,
    /// The safety phase lasts till then, in true time from the start: faults strike, and whatever
    /// lasts is healed at its end.
    pub faults_end: Duration,
    /// The liveness phase lasts till then.
    pub end: Duration,
    pub knobs: Knobs,
    pub machine: MachineConfig,
    pub faults: Vec<PlannedFault>,
    /// What each client does, one thing after the other.
    pub clients: Vec<Vec<Step>>,
}

impl Plan {
    /// A plan in which nobody does anything and nothing goes wrong: what stories start from.
    pub fn quiet(story: &str, seed: u64) -> Self {
        Self {
            story: story.to_owned(),
            seed,
            schedules: vec![0],
            planted: None,
            budget: Budget::Within,
            topology: Topology::default(),
            faults_end: Duration::from_secs(10),
            end: Duration::from_secs(20),
            knobs: Knobs::default(),
            machine: MachineConfig::calm(),
            faults: Vec::new(),
            clients: Vec::new(),
        }
    }

    /// What a seed means to the swarm.
    pub fn swarm(seed: u64) -> Self {
        Self::draw(seed, &Weights::swarm())
    }

    /// The same, with a planted bug switched on.
    #[must_use]
    pub fn with_bug(self, name: &str) -> Self {
        Self { planted: Some(name.to_owned()), ..self }
    }

    /// Default settings on a good day: what timings are promised for.
    pub fn is_ordinary(&self) -> bool {
        // Clients that keep what they are told are as usual as those that do not.
        let knobs = Knobs { clients_caching: 0, ..self.knobs.clone() };
        knobs == Knobs::default() && self.machine == MachineConfig::calm()
    }

    /// What a person has to read: operations and faults, counted.
    pub fn events(&self) -> usize {
        self.faults.len() + self.clients.iter().map(Vec::len).sum::<usize>()
    }
}
