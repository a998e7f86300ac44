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

use mooseng_sim::plan::{Budget, Plan, Weights};

/// What seeds can be drawn for: everything about metadata; whole clusters, with the bytes of files; the same
/// through mounts, one of which does something at a time; files
/// of every class, and as much of them lost as they are made for; one failure at a time at default
/// settings, long or short; ten minutes of load on disks that stall; what no replica can detect; more
/// lost of files than they are made for.
pub const SCENARIOS: [&str; 9] =
    ["swarm", "cluster", "mounts", "stripes", "failover", "flaps", "stalls", "beyond", "cluster-beyond"];

/// What a seed means in one of the scenarios.
pub fn draw(scenario: &str, seed: u64) -> Plan {
    match scenario {
        "cluster" => Plan::draw(seed, &Weights::cluster()),
        "mounts" => Plan::draw(seed, &Weights::mounts()),
        "stripes" => Plan::stripes(seed, Budget::Within),
        "cluster-beyond" => Plan::stripes(seed, Budget::Beyond),
        "failover" => Plan::draw(seed, &Weights::failover()),
        "flaps" => Plan::draw(seed, &Weights::flaps()),
        "stalls" => Plan::draw(seed, &Weights::stalls()),
        "beyond" => Plan::draw(seed, &Weights::beyond()),
        _ => Plan::swarm(seed),
    }
}
