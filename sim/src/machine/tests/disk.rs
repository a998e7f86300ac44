//! What a power cut leaves on a disk, and that it leaves nothing else.

use super::super::{Fault, SimEnv, SimFile};
use super::{LIMIT, world};
use bytes::Bytes;
use futures::FutureExt;
use mooseng_core::env::{Disk, DiskError, Env, File, OpenMode, sleep};
use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

pub(super) const SEEDS: u64 = 60;

pub(super) async fn create(env: &SimEnv, path: &str, byte: u8, len: usize) -> SimFile {
    let file = env.disk().open(path, OpenMode::New).await.unwrap();
    file.write_at(0, Bytes::from(vec![byte; len])).await.unwrap();
    file
}

pub(super) async fn create_durable(env: &SimEnv, path: &str, byte: u8, len: usize) -> SimFile {
    let file = create(env, path, byte, len).await;
    file.sync().await.unwrap();
    env.disk().sync_dir("").await.unwrap();
    file
}

pub(super) async fn read_all(env: &SimEnv, path: &str) -> Result<Vec<u8>, DiskError> {
    let file = env.disk().open(path, OpenMode::Existing).await?;
    file.read_at(0, 1 << 20).await.map(Vec::from)
}

/// Runs `before` on a node, injects a fault that restarts it, and runs `after`.
pub(super) fn around<F, G, T>(
    seed: u64,
    before: impl FnOnce(SimEnv) -> F,
    fault: Fault,
    after: impl FnOnce(SimEnv) -> G,
) -> T
where
    F: Future<Output = ()> + Send + 'static,
    G: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let (mut sim, nodes) = world(seed, &["a"]);
    let first = before(sim.env(nodes[0]));
    assert!(sim.run(nodes[0], LIMIT, first).is_some(), "seed {seed}");
    sim.apply(&fault).unwrap();
    sim.run_for(Duration::from_millis(100));
    let second = after(sim.env(nodes[0]));
    sim.run(nodes[0], LIMIT, second).expect("it runs again")
}

pub(super) fn crash() -> Fault {
    Fault::Crash { node: "a".into(), restart_ms: Some(10) }
}

#[test]
fn what_was_synced_is_kept_by_every_crash() {
    for seed in 0..SEEDS {
        let kept = around(
            seed,
            |env| async move { drop(create_durable(&env, "f", 3, 10_000).await) },
            crash(),
            |env| async move { read_all(&env, "f").await },
        );
        assert_eq!(kept, Ok(vec![3; 10_000]), "seed {seed}");
    }
}

#[test]
fn a_name_that_was_not_synced_may_be_lost() {
    let kept: BTreeSet<bool> = (0..SEEDS)
        .map(|seed| {
            let before = |env: SimEnv| async move {
                create(&env, "f", 3, 100).await.sync().await.unwrap();
            };
            let found = around(seed, before, crash(), |env| async move { read_all(&env, "f").await });
            if let Ok(bytes) = &found {
                assert_eq!(bytes, &[3; 100], "the file itself was synced");
            }
            found.is_ok()
        })
        .collect();
    assert_eq!(kept, BTreeSet::from([false, true]));
}

#[test]
fn a_removed_name_may_come_back_and_a_renamed_one_is_whole() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let before = |env: SimEnv| async move {
            create_durable(&env, "removed", 1, 100).await;
            create_durable(&env, "final", 2, 600).await;
            create(&env, "new", 3, 600).await.sync().await.unwrap();
            env.disk().rename("new", "final").await.unwrap();
            env.disk().remove("removed").await.unwrap();
        };
        let after = |env: SimEnv| async move {
            (env.disk().list("").await.unwrap(), read_all(&env, "final").await.unwrap())
        };
        let (names, bytes) = around(seed, before, crash(), after);
        assert!(bytes == [2; 600] || bytes == [3; 600], "seed {seed}: neither the old file nor the new one");
        seen.insert((names, bytes[0]));
    }
    let names = |list: &[&str]| list.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    assert!(seen.contains(&(names(&["final", "removed"]), 2)), "nothing may be kept: {seen:?}");
    assert!(seen.contains(&(names(&["final"]), 3)), "all may be kept: {seen:?}");
    assert!(seen.contains(&(names(&["final"]), 2)), "the later may be kept without the earlier: {seen:?}");
}

#[test]
fn unsynced_sectors_are_kept_or_lost_each_by_itself() {
    let (mut mixtures, mut corners) = (0, BTreeSet::new());
    for seed in 0..SEEDS {
        let before = |env: SimEnv| async move {
            let file = create_durable(&env, "f", 1, 8_192).await;
            file.write_at(0, Bytes::from(vec![2; 8_192])).await.unwrap();
        };
        let bytes = around(seed, before, crash(), |env| async move { read_all(&env, "f").await.unwrap() });
        assert_eq!(bytes.len(), 8_192);
        let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])), "torn within");
        let new = sectors.iter().filter(|sector| **sector == 2).count();
        corners.insert(new);
        mixtures += usize::from(sectors.windows(2).filter(|pair| pair[0] < pair[1]).count() > 1);
    }
    assert!(corners.contains(&0) && corners.contains(&16), "none and all are subsets: {corners:?}");
    assert!(mixtures > 10, "only {mixtures} of {SEEDS} crashes tore the write in several places");
}

#[test]
fn a_killed_process_leaves_what_it_wrote() {
    for seed in 0..10 {
        let before = |env: SimEnv| async move { drop(create(&env, "f", 4, 5_000).await) };
        let kill = Fault::Kill { node: "a".into(), restart_ms: Some(1) };
        let kept = around(seed, before, kill, |env| async move { read_all(&env, "f").await });
        assert_eq!(kept, Ok(vec![4; 5_000]), "seed {seed}: its kernel lives");
    }
}

#[test]
fn a_write_under_way_may_land_in_part() {
    let mut lengths = BTreeSet::new();
    for seed in 0..SEEDS {
        let before = |env: SimEnv| async move {
            let file = create_durable(&env, "f", 1, 4_096).await;
            let env = env.clone();
            env.clone().spawn("writes", async move {
                let _ = file.write_at(0, Bytes::from(vec![2; 4_096])).await;
                env.halt("the write came back before the crash".into());
            });
            // One poll of the write, and the node is gone.
            futures::pending!();
        };
        let (mut sim, nodes) = world(seed, &["a"]);
        let first = before(sim.env(nodes[0]));
        sim.spawn(nodes[0], "before", first);
        while sim.counts(nodes[0]).of(super::super::OperationKind::Write) < 2 {
            assert!(sim.step(sim.now() + LIMIT));
        }
        sim.apply(&crash()).unwrap();
        sim.run_for(Duration::from_millis(20));
        let env = sim.env(nodes[0]);
        let bytes = sim.run(nodes[0], LIMIT, async move { read_all(&env, "f").await.unwrap() }).unwrap();
        assert!(bytes.iter().all(|byte| matches!(byte, 1 | 2)));
        lengths.insert(bytes.iter().filter(|byte| **byte == 2).count() / 512);
    }
    assert!(lengths.contains(&0) && lengths.len() > 3, "{lengths:?}");
}

#[test]
fn a_dropped_write_may_land_after_a_newer_one_or_never() {
    let mut ends = BTreeSet::new();
    for seed in 0..SEEDS {
        let (mut sim, nodes) = world(seed, &["a"]);
        let env = sim.env(nodes[0]);
        let end = sim.run(nodes[0], LIMIT, async move {
            let file = create_durable(&env, "f", 1, 512).await;
            let dropped = file.write_at(0, Bytes::from(vec![2; 512])).now_or_never();
            assert!(dropped.is_none(), "it takes its time");
            file.write_at(0, Bytes::from(vec![3; 512])).await.unwrap();
            file.sync().await.unwrap();
            let soon = file.read_at(0, 1).await.unwrap()[0];
            sleep(&env, Duration::from_secs(2)).await;
            (soon, file.read_at(0, 1).await.unwrap()[0])
        });
        ends.extend(end);
    }
    assert!(ends.contains(&(3, 3)), "{ends:?}");
    assert!(ends.contains(&(3, 2)), "it came back after the newer one was durable: {ends:?}");
}

#[test]
fn growth_that_was_not_synced_may_be_lost_and_holds_no_rubbish() {
    let mut lengths = BTreeSet::new();
    for seed in 0..SEEDS {
        let before = |env: SimEnv| async move {
            let file = create_durable(&env, "f", 1, 700).await;
            file.set_len(100).await.unwrap();
            file.write_at(900, Bytes::from(vec![2; 300])).await.unwrap();
        };
        let bytes = around(seed, before, crash(), |env| async move { read_all(&env, "f").await.unwrap() });
        lengths.insert(bytes.len());
        assert!(bytes.iter().all(|byte| matches!(byte, 0..=2)), "seed {seed}");
        assert!(bytes.iter().take(100).all(|byte| *byte == 1), "seed {seed}: nobody touched these");
    }
    assert_eq!(lengths, BTreeSet::from([700, 1_200]));
}

#[test]
fn an_extent_holds_the_space_of_a_removed_file() {
    let (mut sim, nodes) = world(1, &["a"]);
    let env = sim.env(nodes[0]);
    let used = sim.run(nodes[0], LIMIT, async move {
        let disk = env.disk();
        let used = async || {
            let space = disk.space().await.unwrap();
            space.total - space.free
        };
        let extent = create(&env, "f", 1, 40_000).await.extent(0, 40_000).await.unwrap();
        let full = used().await;
        disk.remove("f").await.unwrap();
        let held = used().await;
        drop(extent);
        (full, held, used().await)
    });
    assert_eq!(used, Some((40_960, 40_960, 0)));
}
