//! The runner behind `cargo sim`: sweeps over seeds, the scoreboard of planted bugs, the check of
//! determinism, and the stories that each show one property. What a run is, it leaves to
//! [`mooseng_sim`].

pub mod bench;
pub mod bugs;
pub mod determinism;
pub mod exhaustive;
pub mod output;
pub mod story;
pub mod sweep;
pub mod tally;

use mooseng_sim::plan::{Plan, Weights};

/// What seeds can be drawn for: everything about metadata; whole clusters, with the bytes of files; one
/// failure at a time at default settings, long or short; ten minutes of load on disks that stall; what
/// no replica can detect.
pub const SCENARIOS: [&str; 6] = ["swarm", "cluster", "failover", "flaps", "stalls", "beyond"];

/// What a seed means in one of the scenarios.
pub fn draw(scenario: &str, seed: u64) -> Plan {
    match scenario {
        "cluster" => Plan::draw(seed, &Weights::cluster()),
        "failover" => Plan::draw(seed, &Weights::failover()),
        "flaps" => Plan::draw(seed, &Weights::flaps()),
        "stalls" => Plan::draw(seed, &Weights::stalls()),
        "beyond" => Plan::draw(seed, &Weights::beyond()),
        _ => Plan::swarm(seed),
    }
}
