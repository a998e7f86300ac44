//! How fast the simulator looks, as ratios to the bare executor in the same run, so that the
//! figures hold on any machine.

use crate::sweep::{Sweep, thread_time};
use mooseng_sim::machine;
use mooseng_sim::plan::Plan;
use serde::Serialize;
use std::fmt;

#[derive(Clone, Debug, Serialize)]
pub struct Speed {
    /// 20 hosts pinging on the bare executor: simulated seconds per second of one core.
    pub executor: f64,
    pub seeds_per_core_hour: f64,
    /// The swarm's clusters: simulated seconds per second of one core.
    pub cluster: f64,
    pub acknowledged_median: u64,
    pub faults_median: u64,
    pub findings: usize,
}

pub fn measure(seeds: u64, threads: usize) -> Speed {
    let load = machine::PingLoad::standard();
    let pinged = machine::bench(0, load, thread_time);
    let executor = load.simulated.as_secs_f64() / pinged.wall.as_secs_f64();
    let sweep = Sweep {
        first: 0,
        count: seeds,
        threads,
        until_found: false,
        progress: false,
        plan: &|seed| Plan::swarm(seed),
        replay_line: &|seed, failure| format!("seed {seed:#x}: {}", failure.what),
    };
    let tally = sweep.run();
    Speed {
        executor,
        seeds_per_core_hour: tally.seeds_per_core_hour(),
        cluster: tally.speed(),
        acknowledged_median: crate::tally::percentile(&tally.acknowledged_each, 50),
        faults_median: crate::tally::percentile(&tally.faults_each, 50),
        findings: tally.findings.len(),
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "bare executor, 20 hosts pinging   {:>10.0} simulated s per core s", self.executor)?;
        writeln!(f, "clusters of the swarm             {:>10.0} simulated s per core s", self.cluster)?;
        writeln!(f, "their ratio                       {:>10.4}", self.cluster / self.executor)?;
        writeln!(f, "seeds per core-hour               {:>10.0}", self.seeds_per_core_hour)?;
        writeln!(f, "acknowledged a seed, median       {:>10}", self.acknowledged_median)?;
        writeln!(f, "faults a seed, median             {:>10}", self.faults_median)?;
        write!(f, "findings                          {:>10}", self.findings)
    }
}
