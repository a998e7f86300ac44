//! The same plan is the same run, to the last event.

use mooseng_sim::plan::{Plan, Weights};
use mooseng_sim::run::{RunOptions, run};

#[test]
fn a_seed_means_one_run() {
    for seed in 0..20 {
        let plan = Plan::swarm(seed);
        let [first, second] = [0, 1].map(|_| run(&plan, &RunOptions::default()));
        assert_eq!((first.trace_hash, first.events), (second.trace_hash, second.events), "seed {seed}");
        assert_eq!(first.operations, second.operations, "seed {seed}");
    }
}

#[test]
fn a_plan_that_was_written_down_is_the_same_run() {
    for seed in 0..20 {
        let plan = Plan::swarm(seed);
        let again = Plan::from_text(&plan.to_text()).expect("a plan that was written can be read");
        let [first, second] = [&plan, &again].map(|plan| run(plan, &RunOptions::default()));
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
    }
}

#[test]
fn a_seed_of_mounts_means_one_run() {
    for seed in 0..20 {
        let plan = Plan::draw(seed, &Weights::mounts());
        let again = Plan::from_text(&plan.to_text()).expect("a plan that was written can be read");
        let [first, second] = [&plan, &again].map(|plan| run(plan, &RunOptions::default()));
        assert_eq!((first.trace_hash, first.events), (second.trace_hash, second.events), "seed {seed}");
        assert_eq!(first.operations, second.operations, "seed {seed}");
    }
}

#[test]
fn another_thread_and_a_recorded_trace_change_nothing() {
    let plan = Plan::swarm(7);
    let here = run(&plan, &RunOptions::default()).trace_hash;
    let there = std::thread::scope(|scope| {
        let traced = scope.spawn(|| run(&plan, &RunOptions { trace: true }).trace_hash);
        traced.join().expect("the run does not panic")
    });
    assert_eq!(here, there);
}

#[test]
fn different_seeds_are_different_runs() {
    let hash = |seed| run(&Plan::swarm(seed), &RunOptions::default()).trace_hash;
    assert_ne!(hash(1), hash(2));
}
