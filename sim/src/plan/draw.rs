//! A seed expands into a plan. Every decision has a stream of dice of its own, so that none shifts
//! another.

mod faults;
mod files;
mod mounts;
mod scenes;
mod spares;
mod steps;
mod stripes;

use super::{Budget, DataKnobs, Knobs, Plan, Topology, Weights};
use crate::machine::MachineConfig;
use mooseng_core::chance::{self, Dice};

/// No journal has segments shorter than this but in a simulator: the longest change does not fit them.
const LONG_SEGMENT_BYTES: u64 = 256 << 10;

impl Plan {
    /// What this seed means, as long as neither the weights nor the drawing change.
    pub fn draw(seed: u64, weights: &Weights) -> Self {
        let dice = |purpose: &str| chance::stream(seed, purpose, 0, 0);
        let servers: Vec<u32> = weights.servers.iter().map(|(_, weight)| *weight).collect();
        let servers = weights.servers[dice("plan: servers").weighted(&servers)].0;
        let mut knob_dice = dice("plan: knobs");
        let mut machine_dice = dice("plan: machine");
        let mut plan = Self {
            topology: Topology { servers, ..chunk_servers(seed, weights) },
            budget: weights.budget,
            schedules: vec![chance::once(seed, "plan: schedule", 0, 0)],
            faults_end: weights.faults_end,
            end: weights.end,
            ..Self::quiet(&weights.story, seed)
        };
        let ordinary = dice("plan: ordinary").chance(weights.ordinary);
        if !ordinary && !knob_dice.chance(weights.usual_knobs) {
            plan.knobs = Knobs::draw(&mut knob_dice);
        }
        if !ordinary && !machine_dice.chance(weights.calm_machine) {
            plan.machine = MachineConfig::draw(&mut machine_dice);
        }
        if weights.budget == Budget::Beyond {
            // What a disk is rolled back to.
            let every = [250_000_000, 1_000_000_000, 3_000_000_000];
            plan.machine.disk.checkpoint_every_ns = *dice("plan: checkpoints").pick(&every);
        }
        if plan.topology.chunk_servers > 0 {
            plan.knobs.data = DataKnobs::draw(&mut dice("plan: data knobs"));
            plan.clients =
                if weights.mounts { mounts::draw(seed, weights) } else { files::draw(seed, weights) };
        } else {
            plan.clients = steps::draw(seed, weights);
            if plan.knobs.segment_bytes < LONG_SEGMENT_BYTES {
                steps::shorten_values(&mut plan.clients);
            }
        }
        let clients = plan.clients.len() as u64;
        plan.knobs.draw_caching(clients, ordinary, &mut dice("plan: caching"));
        if !ordinary {
            spares::draw(&mut plan, weights);
        }
        if weights.mounts {
            mounts::patient(&mut plan, &mut dice("plan: mounts"));
        }
        plan.knobs.sessions_max = sessions_max(&plan, &mut dice("plan: sessions"));
        plan.faults = faults::draw(seed, weights, &plan);
        plan
    }
}

fn chunk_servers(seed: u64, weights: &Weights) -> Topology {
    let mut dice = chance::stream(seed, "plan: chunk servers", 0, 0);
    let count = dice.between(u64::from(weights.chunk_servers_min), u64::from(weights.chunk_servers_max));
    let racks = *dice.pick(&[1, 2, 3, 6]);
    let usual = Topology::default();
    let mounts = weights.mounts;
    if count == 0 { usual } else { Topology { chunk_servers: count as u32, racks, mounts, ..usual } }
}

/// Where sessions run out soon, there may be hardly more of them than clients: those that were lost
/// make room in time.
fn sessions_max(plan: &Plan, dice: &mut impl Dice) -> u64 {
    const LIFETIME_SHORT_MS: u64 = 2_000;
    // Whoever looks at it all in the end is a mount beside the others.
    let clients = plan.clients.len() as u64 + u64::from(plan.topology.mounts);
    if plan.knobs.session_lifetime_ms > LIFETIME_SHORT_MS || dice.chance(500_000) {
        return plan.knobs.sessions_max;
    }
    clients + dice.below(3)
}

/// A subset of the kinds, each of its weight or of none. Never none of them all.
fn swarm_of(kinds: &[(&'static str, u32)], dice: &mut impl Dice) -> (Vec<&'static str>, Vec<u32>) {
    let mut weights: Vec<u32> =
        kinds.iter().map(|(_, weight)| if dice.chance(500_000) { *weight } else { 0 }).collect();
    if weights.iter().all(|weight| *weight == 0) {
        weights = kinds.iter().map(|(_, weight)| *weight).collect();
    }
    (kinds.iter().map(|(kind, _)| *kind).collect(), weights)
}
