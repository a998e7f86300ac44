//! Tasks, time and the life of processes.

use super::super::{Fault, MachineConfig, MachineEvent, NodeConfig, Seen, Sim};
use super::{LIMIT, millis, world};
use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use mooseng_core::chance::Dice;
use mooseng_core::env::{Clock, Env, sleep};
use mooseng_core::event::Event;
use mooseng_core::time::Instant;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

#[test]
fn the_seed_picks_who_runs_next() {
    let order = |seed| {
        let (mut sim, nodes) = world(seed, &["a"]);
        let order = Arc::new(Mutex::new(Vec::new()));
        for index in 0..6 {
            let order = order.clone();
            sim.spawn(nodes[0], "one", async move { order.lock().unwrap().push(index) });
        }
        sim.run_for(millis(1));
        order.lock().unwrap().clone()
    };
    assert_eq!(order(1), order(1));
    assert!((2..20).any(|seed| order(seed) != order(1)), "first come, first served explores nothing");
}

#[test]
fn time_jumps_to_the_next_event() {
    let (mut sim, nodes) = world(1, &["a"]);
    let env = sim.env(nodes[0]);
    let slept = sim.run(nodes[0], 1_000_000 * millis(1_000), async move {
        sleep(&env, 500_000 * millis(1_000)).await;
    });
    assert_eq!(slept, Some(()));
    assert!(sim.stats().happenings < 10, "a week costs nothing: {:?}", sim.stats());
}

#[test]
fn a_crash_drops_all_tasks_of_a_node_and_nobody_elses() {
    let (mut sim, nodes) = world(1, &["a", "b"]);
    let alive = Arc::new(());
    for node in &nodes {
        for _ in 0..3 {
            let (held, env) = (alive.clone(), sim.env(*node));
            sim.spawn(*node, "sleeper", async move {
                sleep(&env, LIMIT).await;
                drop(held);
            });
        }
    }
    sim.run_for(millis(10));
    assert_eq!(Arc::strong_count(&alive), 7);
    sim.apply(&Fault::Crash { node: "a".into(), restart_ms: None }).unwrap();
    sim.run_for(millis(10));
    assert_eq!(Arc::strong_count(&alive), 4);
    assert!(!sim.is_up(nodes[0]) && sim.is_up(nodes[1]));
}

#[test]
fn wakers_of_dead_tasks_are_inert() {
    let (mut sim, nodes) = world(1, &["a"]);
    let kept: Arc<Mutex<Option<Waker>>> = Arc::default();
    let polls = Arc::new(AtomicU32::new(0));
    let (keep, count) = (kept.clone(), polls.clone());
    sim.spawn(
        nodes[0],
        "doomed",
        futures::future::poll_fn(move |context| {
            count.fetch_add(1, Ordering::Relaxed);
            *keep.lock().unwrap() = Some(context.waker().clone());
            Poll::Pending
        }),
    );
    sim.run_for(millis(1));
    let waker = kept.lock().unwrap().take().unwrap();
    waker.wake_by_ref();
    sim.run_for(millis(1));
    assert_eq!(polls.load(Ordering::Relaxed), 2, "it wakes a task that lives");
    let again = kept.lock().unwrap().take().unwrap();
    sim.apply(&Fault::Crash { node: "a".into(), restart_ms: Some(1) }).unwrap();
    sim.run_for(millis(5));
    waker.wake();
    again.wake();
    sim.run_for(millis(5));
    assert_eq!(polls.load(Ordering::Relaxed), 2, "and no other");
}

/// What the dying process still does in its last poll has no effect.
#[test]
fn a_halted_server_does_nothing_more() {
    let mut sim = Sim::new(1, MachineConfig::calm());
    let node = sim.add_node("a", NodeConfig::default());
    let beyond = Arc::new(AtomicU32::new(0));
    let (seen, count) = (Arc::new(Mutex::new(Vec::new())), beyond.clone());
    let keep = seen.clone();
    sim.on_event(Box::new(move |observation, _| keep.lock().unwrap().push(observation.seen.clone())));
    sim.boot(node, move |env| {
        let count = count.clone();
        async move {
            let inner = count.clone();
            env.spawn("stillborn", async move { inner.store(1, Ordering::Relaxed) });
            env.halt("a sync failed".into());
            env.note(Event::Note("from the grave".into()));
            let inner = count.clone();
            env.spawn("ghost", async move { inner.store(1, Ordering::Relaxed) });
            sleep(&env, millis(1)).await;
            count.store(1, Ordering::Relaxed);
        }
    });
    sim.run_for(millis(100));
    assert_eq!(beyond.load(Ordering::Relaxed), 0);
    assert_eq!(sim.halted(node).as_deref(), Some("a sync failed"));
    let seen = seen.lock().unwrap().clone();
    let halted = Seen::Machine(MachineEvent::Halted { reason: "a sync failed".into() });
    assert_eq!(seen, [Seen::Machine(MachineEvent::Booted { life: 1 }), halted]);
    sim.apply(&Fault::Restart { node: "a".into() }).unwrap();
    sim.run_for(millis(1));
    assert_eq!(sim.stats().faults["restart"].struck, 1);
}

#[test]
fn a_restart_runs_the_same_process_again() {
    let mut sim = Sim::new(1, MachineConfig::calm());
    let node = sim.add_node("a", NodeConfig::default());
    let lives = Arc::new(AtomicU32::new(0));
    let count = lives.clone();
    sim.boot(node, move |env| {
        count.fetch_add(1, Ordering::Relaxed);
        async move { sleep(&env, LIMIT).await }
    });
    for _ in 0..3 {
        sim.apply(&Fault::Kill { node: "a".into(), restart_ms: Some(20) }).unwrap();
        sim.run_for(millis(19));
        assert!(!sim.is_up(node));
        sim.run_for(millis(2));
        assert!(sim.is_up(node));
    }
    assert_eq!(lives.load(Ordering::Relaxed), 4);
}

/// The second fault's restart counts, not the one that the first had promised.
#[test]
fn a_fault_that_strikes_a_node_again_puts_its_restart_off() {
    let (mut sim, nodes) = world(1, &["a"]);
    sim.apply(&Fault::Kill { node: "a".into(), restart_ms: Some(100) }).unwrap();
    sim.run_for(millis(50));
    sim.apply(&Fault::Crash { node: "a".into(), restart_ms: Some(500) }).unwrap();
    sim.run_for(millis(499));
    assert!(!sim.is_up(nodes[0]));
    sim.run_for(millis(2));
    assert!(sim.is_up(nodes[0]));
}

#[test]
fn a_paused_node_runs_nothing_while_its_clock_goes_on() {
    let (mut sim, nodes) = world(1, &["a"]);
    let env = sim.env(nodes[0]);
    let (note, mut notes) = mpsc::unbounded();
    sim.spawn(nodes[0], "ticks", async move {
        loop {
            sleep(&env, millis(10)).await;
            let _ = note.unbounded_send(env.clock().now());
        }
    });
    sim.run_for(millis(100));
    sim.apply(&Fault::Pause { node: "a".into(), for_ms: Some(500) }).unwrap();
    sim.run_for(millis(1_000));
    let ticks: Vec<Instant> = std::iter::from_fn(|| notes.try_recv().ok()).collect();
    let gaps: Vec<u64> = ticks.windows(2).map(|pair| pair[1].since(pair[0]).as_millis() as u64).collect();
    assert_eq!(gaps.iter().filter(|gap| **gap > 20).count(), 1, "{gaps:?}");
    assert!(gaps.iter().any(|gap| (495..=515).contains(gap)), "{gaps:?}");
}

#[test]
fn who_spins_is_named() {
    let (mut sim, nodes) = world(1, &["a"]);
    sim.spawn(
        nodes[0],
        "spinner",
        futures::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        }),
    );
    let run = std::panic::AssertUnwindSafe(|| sim.run_for(millis(1)));
    let panic = std::panic::catch_unwind(run).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("a/spinner"), "{message}");
}

#[test]
fn who_sleeps_without_waiting_is_stopped() {
    let (mut sim, nodes) = world(1, &["a"]);
    let env = sim.env(nodes[0]);
    sim.spawn(nodes[0], "restless", async move {
        loop {
            sleep(&env, Duration::ZERO).await;
        }
    });
    let run = std::panic::AssertUnwindSafe(|| sim.run_for(millis(1)));
    assert!(std::panic::catch_unwind(run).is_err());
    assert_eq!(sim.polling(), Some((nodes[0], "restless")));
}

/// Foreign wakers and destructors run in the middle of everything; none may find the lock held.
#[test]
fn tasks_may_be_dropped_with_whatever_they_hold() {
    let (mut sim, nodes) = world(1, &["a"]);
    let env = sim.env(nodes[0]);
    sim.spawn(nodes[0], "crowd", async move {
        let mut crowd: futures::stream::FuturesUnordered<_> =
            (1..50_u64).map(|index| sleep_boxed(env.clone(), index)).collect();
        while crowd.next().await.is_some() {}
    });
    sim.run_for(millis(20));
    sim.apply(&Fault::Crash { node: "a".into(), restart_ms: None }).unwrap();
    sim.run_for(millis(100));
    drop(sim);
}

fn sleep_boxed(env: super::super::SimEnv, index: u64) -> futures::future::BoxFuture<'static, ()> {
    Box::pin(async move { sleep(&env, millis(index)).await })
}

#[test]
fn heavy_work_is_charged_and_a_slow_processor_takes_longer() {
    let took = |slow: bool| {
        let (mut sim, nodes) = world(1, &["a"]);
        if slow {
            sim.apply(&Fault::SlowCpu { node: "a".into(), factor: 10, for_ms: None }).unwrap();
        }
        let env = sim.env(nodes[0]);
        let (done, result) = oneshot::channel();
        sim.run(nodes[0], LIMIT, async move {
            let sum = env.compute(1 << 20, || 42).await;
            let _ = done.send(sum);
        });
        assert_eq!(result.now_or_never_value(), Some(42));
        sim.now().as_nanos()
    };
    let (fast, slow) = (took(false), took(true));
    assert!(slow > 9 * fast && slow < 11 * fast, "{fast} and {slow}");
}

#[test]
fn a_process_comes_back_with_another_version_and_fresh_dice() {
    let mut sim = Sim::new(1, MachineConfig::calm());
    let node = sim.add_node("a", NodeConfig { wire_version: 3, ..NodeConfig::default() });
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = seen.clone();
    sim.boot(node, move |env| {
        keep.lock().unwrap().push((env.wire_version(), env.rng("nonce", 0).word()));
        async move {}
    });
    let fault = Fault::Version { node: "a".into(), wire_version: 4, restart_ms: Some(1) };
    sim.apply(&fault).unwrap();
    sim.run_for(millis(5));
    let seen = seen.lock().unwrap().clone();
    assert_eq!([seen[0].0, seen[1].0], [3, 4]);
    assert_ne!(seen[0].1, seen[1].1);
}

/// Simulations are handed to threads whole.
#[test]
fn a_simulation_can_be_moved_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<Sim>();
}

/// The value of a channel that must have it by now.
trait NowOrNever<T> {
    fn now_or_never_value(self) -> Option<T>;
}

impl<T> NowOrNever<T> for oneshot::Receiver<T> {
    fn now_or_never_value(mut self) -> Option<T> {
        self.try_recv().ok().flatten()
    }
}
