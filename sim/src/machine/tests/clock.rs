//! Clocks that drift, jump, step and freeze.

use super::super::{Fault, MachineConfig, NodeConfig, Sim};
use super::{LIMIT, millis, world};
use mooseng_core::env::{Clock, Env, sleep};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn a() -> String {
    "a".into()
}

#[test]
fn clocks_run_apart_within_their_bound() {
    let mut config = MachineConfig::calm();
    config.clock.drift_ppm_max = 10_000;
    let mut sim = Sim::new(1, config);
    let nodes: Vec<_> =
        (0..20).map(|index| sim.add_node(&format!("n{index}"), NodeConfig::default())).collect();
    nodes.iter().for_each(|node| sim.boot_idle(*node));
    let begins: Vec<_> = nodes.iter().map(|node| sim.env(*node).clock().now()).collect();
    sim.run_for(1_000 * SECOND);
    let passed: Vec<f64> = nodes
        .iter()
        .zip(begins)
        .map(|(node, begin)| sim.env(*node).clock().now().since(begin).as_secs_f64())
        .collect();
    assert!(passed.iter().all(|seconds| (990.0..=1_010.0).contains(seconds)), "{passed:?}");
    assert!(passed.iter().any(|seconds| *seconds < 996.0) && passed.iter().any(|seconds| *seconds > 1_004.0));
}

#[test]
fn a_sleep_follows_its_nodes_clock_when_that_changes_its_pace() {
    for (ppm, after_ms) in [(100_000, 1_000 + 8_181), (-100_000, 1_000 + 10_000)] {
        let (mut sim, nodes) = world(1, &["a"]);
        let env = sim.env(nodes[0]);
        sim.apply(&Fault::Drift { node: a(), ppm: 0 }).unwrap();
        let (done, mut ended) = futures::channel::oneshot::channel();
        sim.spawn(nodes[0], "sleeps", async move {
            sleep(&env, 10 * SECOND).await;
            let _ = done.send(env.true_time());
        });
        sim.run_for(SECOND);
        sim.apply(&Fault::Drift { node: a(), ppm }).unwrap();
        sim.run_for(LIMIT);
        let ended = ended.try_recv().unwrap().unwrap().as_nanos() / 1_000_000;
        assert!(ended.abs_diff(after_ms) <= 1, "{ppm}: after {ended} ms");
    }
}

#[test]
fn a_jump_ends_sleeps_at_once() {
    let (mut sim, nodes) = world(1, &["a"]);
    let env = sim.env(nodes[0]);
    let before = env.clock().now();
    let (done, mut ended) = futures::channel::oneshot::channel();
    let inner = env.clone();
    sim.spawn(nodes[0], "sleeps", async move {
        sleep(&inner, 100 * SECOND).await;
        let _ = done.send(inner.true_time());
    });
    sim.run_for(SECOND);
    sim.apply(&Fault::ClockJump { node: a(), by_ms: 200_000 }).unwrap();
    sim.run_for(millis(1));
    assert!(ended.try_recv().unwrap().is_some());
    assert!(env.clock().now().since(before) >= 201 * SECOND);
}

#[test]
fn wall_time_steps_and_freezes_and_monotonic_time_does_not_care() {
    let (mut sim, nodes) = world(1, &["a"]);
    let env = sim.env(nodes[0]);
    let (begin, wall) = (env.clock().now(), env.clock().wall().0);
    sim.apply(&Fault::WallStep { node: a(), by_ms: -3_600_000 }).unwrap();
    assert_eq!(env.clock().wall().0, wall - 3_600_000_000_000);
    sim.apply(&Fault::WallFreeze { node: a(), for_ms: Some(2_000) }).unwrap();
    let frozen = env.clock().wall();
    sim.run_for(SECOND);
    assert_eq!(env.clock().wall(), frozen);
    assert!(env.clock().now().since(begin) >= millis(990));
    sim.run_for(2 * SECOND);
    assert!(env.clock().wall().0 > frozen.0 + 2_900_000_000);
}

#[test]
fn healing_brings_a_clock_back_within_its_bound() {
    let (mut sim, nodes) = world(1, &["a"]);
    sim.apply(&Fault::Drift { node: a(), ppm: 300_000 }).unwrap();
    sim.run_for(SECOND);
    sim.heal();
    let env = sim.env(nodes[0]);
    let begin = env.clock().now();
    sim.run_for(10 * SECOND);
    let passed = env.clock().now().since(begin);
    assert!((millis(9_990)..millis(10_010)).contains(&passed), "{passed:?}");
}

#[test]
fn a_power_cut_restarts_the_clock_and_a_kill_does_not() {
    let mut config = MachineConfig::calm();
    config.clock.uptime_ns = super::super::Span::new(0, 1_000_000_000);
    let (mut sim, nodes) = super::world_of(1, config, &["a"]);
    sim.run_for(100 * SECOND);
    let before = sim.env(nodes[0]).clock().now();
    sim.apply(&Fault::Kill { node: a(), restart_ms: Some(1) }).unwrap();
    sim.run_for(millis(10));
    assert!(sim.env(nodes[0]).clock().now() > before);
    let wall = sim.env(nodes[0]).clock().wall().0;
    sim.apply(&Fault::Crash { node: a(), restart_ms: Some(1) }).unwrap();
    sim.run_for(millis(10));
    assert!(sim.env(nodes[0]).clock().now() < before);
    assert!((sim.env(nodes[0]).clock().wall().0 - wall).abs() < 20_000_000, "wall time goes on");
}
