//! Does a run depend on anything but its seed? The same seed is run again where the order of hash
//! maps, the time of day and the dice of every thread are others, and must leave the same trail.
//! Controls that ask the world on purpose must be seen to.
//!
//! What is not seen: madsim gives every ambient clock the same pace, so that logic which measures by one
//! and never looks at the hour leaves the same trail. Clippy's list of banned calls keeps that out.

use crate::stories::{LIMIT, story};
use crate::trouble::Trouble;
use mooseng_core::chance::Dice;
use mooseng_madsim::{Surroundings, World, run};
use raft::storage::MemStorage;
use raft::{Config, RawNode};
use std::future::Future;
use std::time::{Duration, SystemTime};

const SEEDS: u64 = 6;
const STRANGE: Surroundings = Surroundings::Strange { later: Duration::from_secs(123_457) };

/// The hash of a run's trail.
fn hash<F: Future<Output = ()> + 'static>(
    seed: u64,
    surroundings: Surroundings,
    story: impl FnOnce(World) -> F + Send + 'static,
) -> String {
    run(seed, surroundings, LIMIT, |world| async move {
        story(world.clone()).await;
        world.trail(|trail| trail.hash())
    })
}

/// How many of the seeds leave another trail in strange surroundings.
fn differing<F: Future<Output = ()> + 'static>(
    story: impl FnOnce(World) -> F + Copy + Send + 'static,
) -> u64 {
    let differs = |seed: &u64| hash(*seed, Surroundings::Seeded, story) != hash(*seed, STRANGE, story);
    (0..SEEDS).filter(differs).count() as u64
}

/// The leader dies halfway, so that elections, recovery and retries are among what is compared.
async fn troubled(world: World) {
    story(world, Trouble::LeaderDies, 25).await;
}

#[test]
fn the_real_logic_depends_on_nothing_but_its_seed() {
    assert_eq!(differing(troubled), 0);
}

#[test]
fn another_seed_is_another_run() {
    let first = hash(0, Surroundings::Seeded, troubled);
    assert_ne!(first, hash(1, Surroundings::Seeded, troubled));
}

/// madsim's own check: the second run makes the same draws at the same moments.
#[test]
fn madsim_finds_no_draw_out_of_place() {
    for seed in 0..3 {
        madsim::runtime::Runtime::check_determinism(seed, madsim::Config::default(), || async {
            troubled(World::new()).await;
        });
    }
}

/// A control: raft-rs draws its election timeouts from the thread's dice, which is why ours are put
/// in their place.
#[test]
fn raft_rolls_dice_of_its_own() {
    let timeout = |world: World| async move {
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let storage = MemStorage::new_with_conf_state((vec![1, 2, 3], vec![]));
        let config = Config { id: 1, election_tick: 1_000, heartbeat_tick: 1, ..Config::default() };
        let node = RawNode::new(&config, storage, &logger).expect("a node that could be");
        world.note(format!("stands after {} ticks", node.raft.randomized_election_timeout()));
    };
    assert!(differing(timeout) > SEEDS / 2);
}

#[test]
fn the_time_of_day_is_seen() {
    #[allow(clippy::disallowed_methods, reason = "a control asks the world on purpose")]
    let leak = |world: World| async move { world.note(format!("{:?}", SystemTime::now())) };
    assert_eq!(differing(leak), SEEDS);
}

#[test]
fn the_order_of_a_hash_map_is_seen() {
    #[allow(clippy::disallowed_types, reason = "a control asks the world on purpose")]
    let leak = |world: World| async move {
        let set: std::collections::HashSet<u32> = (0..20).collect();
        world.note(format!("{set:?}"));
    };
    assert_eq!(differing(leak), SEEDS);
}

/// The order of tasks, and the dice of the run, are no leaks.
#[test]
fn what_follows_from_the_seed_is_not_reported() {
    let story = |world: World| async move {
        let host = world.host("one");
        let env = host.start();
        let tasks: Vec<_> = (0..20)
            .map(|task| {
                let (world, env) = (world.clone(), env.clone());
                host.spawn(async move {
                    mooseng_core::env::sleep(&env, Duration::from_millis(5)).await;
                    world.note(format!("{task} drew {}", world.dice("word").word()));
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("it ends");
        }
    };
    assert_eq!(differing(story), 0);
    assert_ne!(hash(0, Surroundings::Seeded, story), hash(1, Surroundings::Seeded, story));
}
