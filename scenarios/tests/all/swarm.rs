//! Thousands of seeds, everything drawn: topology, limits, timings, faults and work.

use mooseng_scenarios::sweep::Sweep;
use mooseng_sim::plan::Plan;

const SEEDS: u64 = 3_000;

#[test]
fn thousands_of_disasters_break_no_promise() {
    let sweep = Sweep {
        first: 0,
        count: SEEDS,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        until_found: false,
        progress: false,
        plan: &|seed| Plan::swarm(seed),
        replay_line: &|seed, failure| {
            format!("cargo sim replay swarm --seed {seed:#x}   # {} {}", failure.promise, failure.oracle)
        },
    };
    let tally = sweep.run();
    println!("{tally}");
    assert_eq!(tally.seeds, SEEDS);
    assert!(tally.findings.is_empty(), "{tally}");
    assert!(
        tally.faults_missing().is_empty(),
        "kinds of fault that never struck: {:?}",
        tally.faults_missing()
    );
    assert!(tally.probes_missing().is_empty(), "never reached: {:?}", tally.probes_missing());
}
