//! Faults that wait for an operation, observers that arm them, and buggify points.

use super::super::{
    Fault, MachineConfig, MachineEvent, Moment, NodeConfig, OperationKind, Seen, Sim, Trigger,
};
use super::disk::{SEEDS, create_durable, read_all};
use super::{LIMIT, millis, world, world_of};
use bytes::Bytes;
use mooseng_core::env::{Env, File, sleep};
use mooseng_core::event::Event;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

fn trigger(kind: OperationKind, count: u32, moment: Moment, prefix: &str) -> Trigger {
    let faults = vec![Fault::Crash { node: "a".into(), restart_ms: Some(10) }];
    Trigger { node: "a".into(), kind, count, moment, prefix: prefix.into(), faults }
}

/// Writes versions 2, 3, 4 … of a file, each synced; crashes at the second of these syncs; gives
/// the version that was last acknowledged and the one found afterwards.
fn crash_at_second_sync(seed: u64, moment: Moment) -> (u8, u8) {
    let (mut sim, nodes) = world(seed, &["a"]);
    let acknowledged = Arc::new(Mutex::new(0));
    let (env, control, last) = (sim.env(nodes[0]), sim.control().clone(), acknowledged.clone());
    let done = sim.run(nodes[0], LIMIT, async move {
        let file = create_durable(&env, "log", 1, 512).await;
        create_durable(&env, "other", 1, 512).await;
        control.arm(trigger(OperationKind::Sync, 2, moment, "log")).unwrap();
        for version in 2..9 {
            file.write_at(0, Bytes::from(vec![version; 512])).await.unwrap();
            file.sync().await.unwrap();
            *last.lock().unwrap() = version;
        }
    });
    assert_eq!(done, None, "the node is gone");
    let env = sim.env(nodes[0]);
    let found = sim.run(nodes[0], LIMIT, async move { read_all(&env, "log").await.unwrap()[0] });
    let acknowledged = *acknowledged.lock().unwrap();
    (acknowledged, found.unwrap())
}

#[test]
fn a_crash_comes_at_the_operation_it_waits_for() {
    for (moment, expected) in
        [(Moment::Before, vec![2, 3]), (Moment::During, vec![2, 3]), (Moment::After, vec![3])]
    {
        let ends: BTreeSet<(u8, u8)> = (0..SEEDS).map(|seed| crash_at_second_sync(seed, moment)).collect();
        let acknowledged: BTreeSet<u8> = ends.iter().map(|(acknowledged, _)| *acknowledged).collect();
        assert_eq!(acknowledged, BTreeSet::from([2]), "{moment:?}: nobody heard of the second sync");
        let found: Vec<u8> = ends.iter().map(|(_, found)| *found).collect();
        assert_eq!(found, expected, "{moment:?}");
    }
}

#[test]
fn an_observer_arms_a_trigger_in_the_midst_of_a_poll() {
    let mut sim = Sim::new(1, MachineConfig::calm());
    let node = sim.add_node("a", NodeConfig::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = seen.clone();
    sim.on_event(Box::new(move |observation, control| {
        keep.lock().unwrap().push(observation.seen.clone());
        if observation.seen == Seen::Logic(Event::Note("elected".into())) {
            control.arm(trigger(OperationKind::Write, 1, Moment::Before, "")).unwrap();
        }
    }));
    sim.boot(node, |env| async move {
        let path = format!("life {}", env.true_time().as_nanos());
        let file = create_durable(&env, &path, 1, 10).await;
        env.note(Event::Note("elected".into()));
        // No other task runs between the note and this write.
        let _ = file.write_at(0, Bytes::from_static(b"x")).await;
        env.note(Event::Note("unreachable".into()));
    });
    sim.run_for(millis(5));
    let seen = seen.lock().unwrap().clone();
    assert!(seen.contains(&Seen::Machine(MachineEvent::Crashed)), "{seen:?}");
    assert!(!seen.contains(&Seen::Logic(Event::Note("unreachable".into()))));
    assert!(!sim.is_up(node));
    assert_eq!(sim.counts(node).of(OperationKind::Write), 2);
}

#[test]
fn operations_are_counted_and_unknown_names_refused() {
    let (mut sim, nodes) = world(1, &["a"]);
    let env = sim.env(nodes[0]);
    sim.run(nodes[0], LIMIT, async move { drop(create_durable(&env, "f", 1, 10).await) }).unwrap();
    let counts = sim.counts(nodes[0]);
    let kinds = [OperationKind::Names, OperationKind::Write, OperationKind::Sync, OperationKind::SyncDir];
    assert_eq!(kinds.map(|kind| counts.of(kind)), [1, 1, 1, 1]);
    let mut wrong = trigger(OperationKind::Sync, 1, Moment::Before, "");
    wrong.node = "nobody".into();
    let refused = sim.arm(wrong).map_err(|error| error.to_string());
    assert_eq!(refused, Err("no node is called \"nobody\"".into()));
    assert!(sim.apply(&Fault::Isolate { node: "none".into(), for_ms: None }).is_err());
}

const POINTS: [&str; 8] = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"];

fn buggified(seed: u64, points: &'static [&'static str]) -> Vec<(&'static str, Vec<bool>)> {
    let mut config = MachineConfig::calm();
    config.buggify_point_ppm = 500_000;
    config.buggify_fire_ppm = 200_000;
    let (mut sim, nodes) = world_of(seed, config, &["a"]);
    let env = sim.env(nodes[0]);
    let fired: Option<Vec<(_, Vec<bool>)>> = sim.run(nodes[0], LIMIT, async move {
        let mut fired: Vec<_> = points.iter().map(|point| (*point, Vec::new())).collect();
        for _ in 0..200 {
            for (point, fires) in &mut fired {
                fires.push(env.buggify(point));
            }
            sleep(&env, millis(1)).await;
        }
        fired
    });
    let fired = fired.unwrap();
    for (point, fires) in &fired {
        let count = sim.stats().points[point];
        let count_fired = fires.iter().filter(|fires| **fires).count() as u64;
        assert_eq!((count.asked, count.fired), (200, count_fired), "{point}");
    }
    fired
}

#[test]
fn a_seed_switches_points_on_and_they_fire_at_their_rate() {
    let mut on = 0;
    for seed in 0..20 {
        for (point, fires) in buggified(seed, &POINTS) {
            let count = fires.iter().filter(|fires| **fires).count();
            assert!(count == 0 || (15..70).contains(&count), "seed {seed}, {point}: {count} of 200");
            on += usize::from(count > 0);
        }
    }
    assert!((50..110).contains(&on), "{on} of 160 points were on");
}

#[test]
fn points_are_independent() {
    for seed in 0..5 {
        let all = buggified(seed, &POINTS);
        let some = buggified(seed, &["p5", "p2"]);
        for (point, fires) in some {
            assert!(all.contains(&(point, fires)), "seed {seed}: {point} depends on others");
        }
    }
}

#[test]
fn nothing_is_buggified_on_a_calm_day() {
    let (sim, nodes) = world(1, &["a"]);
    let env = sim.env(nodes[0]);
    assert!((0..1_000).all(|_| !env.buggify("p0")));
}
