//! Each fault does what it says, and the same seed is the same run.

mod clock;
mod contract;
mod determinism;
mod disk;
mod disk_faults;
mod executor;
mod fuzz;
mod network;
mod trigger;

use super::{MachineConfig, NodeConfig, NodeId, Sim};
use bytes::Bytes;
use mooseng_core::env::{Body, Frame};
use std::time::Duration;

/// Nothing in these tests takes this long.
const LIMIT: Duration = Duration::from_secs(600);

/// A calm world of as many nodes as there are names, each with a process whose tasks come from
/// the test.
fn world(seed: u64, names: &[&str]) -> (Sim, Vec<NodeId>) {
    world_of(seed, MachineConfig::calm(), names)
}

fn world_of(seed: u64, config: MachineConfig, names: &[&str]) -> (Sim, Vec<NodeId>) {
    let mut sim = Sim::new(seed, config);
    let nodes = names
        .iter()
        .map(|name| {
            let node = sim.add_node(name, NodeConfig::default());
            sim.boot_idle(node);
            node
        })
        .collect();
    (sim, nodes)
}

fn frame(text: &str) -> Frame<super::SimExtent> {
    Frame { head: Bytes::copy_from_slice(text.as_bytes()), body: Body::Empty }
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
