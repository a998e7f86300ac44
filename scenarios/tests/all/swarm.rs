//! Thousands of seeds, everything drawn: topology, limits, timings, faults and work.

use mooseng_scenarios::sweep::Sweep;
use mooseng_scenarios::tally::{Tally, percentile};
use mooseng_sim::bugs::{CLUSTER_PROBES, MOUNT_PROBES};
use mooseng_sim::plan::{Budget, Plan, Weights};

const SEEDS: u64 = 3_000;

fn sweep(count: u64, weights: &Weights) -> Tally {
    sweep_of(count, &weights.story, &|seed| Plan::draw(seed, weights))
}

fn sweep_of(count: u64, scenario: &str, plan: &(dyn Fn(u64) -> Plan + Sync)) -> Tally {
    let sweep = Sweep {
        first: 0,
        count,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        until_found: false,
        progress: false,
        plan,
        replay_line: &|seed, failure| {
            let (promise, oracle) = (&failure.promise, &failure.oracle);
            format!("cargo sim replay {scenario} --seed {seed:#x}   # {promise} {oracle}")
        },
    };
    sweep.run()
}

#[test]
fn thousands_of_disasters_break_no_promise() {
    let tally = sweep(SEEDS, &Weights::swarm());
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

#[test]
fn files_of_whole_clusters_keep_every_byte_that_was_promised() {
    const SEEDS: u64 = 1_000;
    let tally = sweep(SEEDS, &Weights::cluster());
    println!("{tally}");
    assert_eq!(tally.seeds, SEEDS);
    assert!(tally.findings.is_empty(), "{tally}");
    assert!(tally.faults_missing().is_empty(), "never struck: {:?}", tally.faults_missing());
    let reached = |probe: &&&str| tally.probes.get(**probe).is_some_and(|count| *count > 0);
    let missing: Vec<_> = CLUSTER_PROBES.iter().filter(|probe| !reached(probe)).collect();
    assert!(missing.is_empty(), "never reached: {missing:?}");
}

#[test]
fn mounts_show_what_the_others_have_done() {
    let tally = sweep(700, &Weights::mounts());
    println!("{tally}");
    assert!(tally.findings.is_empty(), "{tally}");
    assert!(percentile(&tally.acknowledged_each, 50) > 300, "hardly anything was judged: {tally}");
    let reached = |probe: &&&str| tally.probes.get(**probe).is_some_and(|count| *count > 0);
    let missing: Vec<_> = MOUNT_PROBES.iter().filter(|probe| !reached(probe)).collect();
    assert!(missing.is_empty(), "never reached: {missing:?}");
}

#[test]
fn every_class_survives_what_it_is_made_for() {
    let tally = sweep_of(150, "stripes", &|seed| Plan::stripes(seed, Budget::Within));
    assert!(tally.findings.is_empty(), "{tally}");
    assert!(tally.faults["empty"] > 50 && tally.faults["bit-rot"] > 50, "{tally}");
}

#[test]
fn what_no_class_survives_is_lost_alone_and_said_to_be() {
    let tally = sweep_of(150, "cluster-beyond", &|seed| Plan::stripes(seed, Budget::Beyond));
    assert!(tally.findings.is_empty(), "{tally}");
    let said = tally.probes.get("a slice has too few parts to be read");
    assert!(said.is_some_and(|count| *count > 20), "{tally}");
}

#[test]
fn a_lost_leader_is_replaced_within_a_second() {
    let tally = sweep(100, &Weights::failover());
    assert!(tally.findings.is_empty(), "{tally}");
    assert!(tally.failovers_ms.len() >= 90, "only {} were measured", tally.failovers_ms.len());
    assert!(percentile(&tally.failovers_ms, 99) < 1_000.0, "{tally}");
    let tally = sweep(100, &Weights::flaps());
    assert!(tally.findings.is_empty(), "{tally}");
}

#[test]
fn disks_that_stall_cost_no_leader_its_office() {
    let tally = sweep(2, &Weights::stalls());
    assert!(tally.findings.is_empty(), "{tally}");
    assert_eq!(tally.elections, 2);
    assert!(tally.simulated_seconds > 1_200.0 && tally.faults["disk-stall"] == 2_400, "{tally}");
}
