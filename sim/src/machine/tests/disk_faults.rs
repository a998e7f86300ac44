//! Each fault of a disk does what it says, and a plan can aim it.

use super::super::{Fault, NodeId, Sim, SimEnv, Spot};
use super::disk::{SEEDS, around, crash, create, create_durable, read_all};
use super::{LIMIT, millis, world};
use bytes::Bytes;
use mooseng_core::env::{Clock, Disk, DiskError, Env, File, OpenMode};
use std::collections::BTreeSet;

fn a() -> String {
    "a".into()
}

fn is_io<T>(result: &Result<T, DiskError>) -> bool {
    matches!(result, Err(DiskError::Io { .. }))
}

/// After the failure the file reads as written, a second sync is content, and still the data may
/// be gone: only those who stop at the first failure are safe.
#[test]
fn a_failed_sync_is_told_once_and_its_data_cannot_be_trusted() {
    let mut kept = BTreeSet::new();
    for seed in 0..SEEDS {
        let (mut sim, nodes) = world(seed, &["a"]);
        let env = sim.env(nodes[0]);
        let control = sim.control().clone();
        sim.run(nodes[0], LIMIT, async move {
            let file = create_durable(&env, "f", 1, 512).await;
            let other = create_durable(&env, "other", 1, 512).await;
            control.apply(&Fault::SyncFails { node: a(), prefix: "f".into() }).unwrap();
            file.write_at(0, Bytes::from(vec![2; 512])).await.unwrap();
            assert_eq!(other.sync().await, Ok(()), "it is aimed elsewhere");
            assert!(is_io(&file.sync().await));
            assert_eq!(file.read_at(0, 1).await.unwrap()[0], 2);
            assert_eq!(file.sync().await, Ok(()));
        })
        .unwrap();
        assert_eq!(sim.stats().faults["sync-fails"].struck, 1);
        sim.apply(&crash()).unwrap();
        sim.run_for(millis(20));
        let env = sim.env(nodes[0]);
        kept.extend(sim.run(nodes[0], LIMIT, async move { read_all(&env, "f").await.unwrap()[0] }));
    }
    assert_eq!(kept, BTreeSet::from([1, 2]));
}

#[test]
fn a_lying_sync_is_believed_and_its_data_may_be_lost() {
    let kept: BTreeSet<u8> = (0..SEEDS)
        .map(|seed| {
            let (mut sim, nodes) = world(seed, &["a"]);
            let (env, control) = (sim.env(nodes[0]), sim.control().clone());
            sim.run(nodes[0], LIMIT, async move {
                let file = create_durable(&env, "f", 1, 512).await;
                control.apply(&Fault::SyncLies { node: a(), for_ms: None }).unwrap();
                file.write_at(0, Bytes::from(vec![2; 512])).await.unwrap();
                assert_eq!(file.sync().await, Ok(()));
            })
            .unwrap();
            sim.apply(&crash()).unwrap();
            sim.run_for(millis(20));
            let env = sim.env(nodes[0]);
            sim.run(nodes[0], LIMIT, async move { read_all(&env, "f").await.unwrap()[0] }).unwrap()
        })
        .collect();
    assert_eq!(kept, BTreeSet::from([1, 2]));
}

#[test]
fn an_honest_sync_after_lies_makes_everything_durable() {
    for seed in 0..SEEDS {
        let (mut sim, nodes) = world(seed, &["a"]);
        let (env, control) = (sim.env(nodes[0]), sim.control().clone());
        sim.run(nodes[0], LIMIT, async move {
            let file = create_durable(&env, "f", 1, 9_000).await;
            control.apply(&Fault::SyncLies { node: a(), for_ms: None }).unwrap();
            file.write_at(100, Bytes::from(vec![2; 5_000])).await.unwrap();
            file.sync().await.unwrap();
            control.heal();
            file.write_at(8_000, Bytes::from(vec![3; 9_000])).await.unwrap();
            file.sync().await.unwrap();
        })
        .unwrap();
        sim.apply(&crash()).unwrap();
        sim.run_for(millis(20));
        let env = sim.env(nodes[0]);
        let bytes = sim.run(nodes[0], LIMIT, async move { read_all(&env, "f").await.unwrap() }).unwrap();
        let wanted = [vec![1; 100], vec![2; 5_000], vec![1; 2_900], vec![3; 9_000]].concat();
        assert!(bytes == wanted, "seed {seed}");
    }
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let (mut sim, nodes) = world(1, &["a"]);
    let (env, control) = (sim.env(nodes[0]), sim.control().clone());
    sim.run(nodes[0], LIMIT, async move {
        let file = create(&env, "f", 1, 4_096).await;
        control.apply(&Fault::DiskFull { node: a(), free_bytes: 8_192, for_ms: None }).unwrap();
        assert_eq!(env.disk().space().await.unwrap().free, 8_192);
        let refused = file.write_at(4_096, Bytes::from(vec![1; 12_288])).await;
        assert_eq!(refused, Err(DiskError::NoSpace { path: "f".into() }));
        assert_eq!(file.length().await, Ok(4_096), "nothing was written");
        assert_eq!(file.write_at(0, Bytes::from(vec![2; 4_096])).await, Ok(()), "overwriting needs no space");
        assert_eq!(file.write_at(4_096, Bytes::from(vec![1; 8_192])).await, Ok(()), "what fits, fits");
        assert_eq!(env.disk().space().await.unwrap().free, 0);
        file.set_len(8_192).await.unwrap();
        assert_eq!(env.disk().space().await.unwrap().free, 4_096, "what is given back can be used");
        control.heal();
        assert_eq!(file.write_at(12_288, Bytes::from(vec![1; 12_288])).await, Ok(()));
    })
    .unwrap();
    assert_eq!(sim.stats().faults["disk-full"].struck, 1);
}

#[test]
fn a_sector_that_cannot_be_read_is_repaired_by_writing_it() {
    let (mut sim, nodes) = world(1, &["a"]);
    let (env, control) = (sim.env(nodes[0]), sim.control().clone());
    sim.run(nodes[0], LIMIT, async move {
        let file = create_durable(&env, "data", 1, 8_192).await;
        create_durable(&env, "other", 1, 8_192).await;
        let spot = Spot { prefix: "data".into(), from: Some(1_024), to: Some(2_048), newest: false };
        control.apply(&Fault::LatentError { node: a(), spot, sectors: 9 }).unwrap();
        assert!(is_io(&file.read_at(0, 1_025).await));
        assert!(is_io(&file.read_at(2_047, 1).await));
        assert_eq!(file.read_at(0, 1_024).await.map(|bytes| bytes.len()), Ok(1_024));
        assert_eq!(file.read_at(2_048, 100).await.map(|bytes| bytes.len()), Ok(100));
        assert!(read_all(&env, "other").await.is_ok());
        file.write_at(1_024, Bytes::from(vec![2; 1_024])).await.unwrap();
        assert!(file.read_at(0, 8_192).await.is_ok());
    })
    .unwrap();
    assert_eq!(sim.stats().faults["latent-error"].struck, 1);
}

#[test]
fn rot_flips_one_bit_for_good() {
    for seed in 0..10 {
        let (mut sim, nodes) = world(seed, &["a"]);
        let (env, control) = (sim.env(nodes[0]), sim.control().clone());
        let rotten = sim.run(nodes[0], LIMIT, async move {
            create_durable(&env, "f", 1, 5_000).await;
            let spot = Spot { prefix: String::new(), from: Some(4_096), to: None, newest: false };
            control.apply(&Fault::BitRot { node: a(), spot, sectors: 1 }).unwrap();
            read_all(&env, "f").await.unwrap()
        });
        let rotten = rotten.unwrap();
        let flipped: u32 = rotten.iter().map(|byte| (byte ^ 1).count_ones()).sum();
        assert_eq!((flipped, rotten.len()), (1, 5_000), "seed {seed}");
        assert!(rotten[..4_096].iter().all(|byte| *byte == 1), "it was aimed behind");
        sim.apply(&crash()).unwrap();
        sim.run_for(millis(20));
        let env = sim.env(nodes[0]);
        let again = sim.run(nodes[0], LIMIT, async move { read_all(&env, "f").await.unwrap() });
        assert!(again == Some(rotten), "seed {seed}");
    }
}

#[test]
fn damage_can_be_aimed_at_what_was_synced_last() {
    let (mut sim, nodes) = world(1, &["a"]);
    let (env, control) = (sim.env(nodes[0]), sim.control().clone());
    sim.run(nodes[0], LIMIT, async move {
        let file = create_durable(&env, "data-1", 1, 16_384).await;
        create_durable(&env, "data-2", 1, 16_384).await;
        file.write_at(8_192, Bytes::from(vec![2; 1_024])).await.unwrap();
        file.sync().await.unwrap();
        let spot = Spot { prefix: "data".into(), newest: true, ..Spot::default() };
        control.apply(&Fault::LatentError { node: a(), spot, sectors: 99 }).unwrap();
        assert!(is_io(&file.read_at(8_192, 1).await) && is_io(&file.read_at(9_215, 1).await));
        assert!(file.read_at(0, 8_192).await.is_ok() && file.read_at(9_216, 7_168).await.is_ok());
        assert!(read_all(&env, "data-2").await.is_ok());
    })
    .unwrap();
}

#[test]
fn misdirected_operations_go_elsewhere_once() {
    let (mut sim, nodes) = world(1, &["a"]);
    let (env, control) = (sim.env(nodes[0]), sim.control().clone());
    sim.run(nodes[0], LIMIT, async move {
        let file = create_durable(&env, "f", 1, 16_384).await;
        file.write_at(8_192, Bytes::from(vec![5; 4_096])).await.unwrap();
        control.apply(&Fault::MisdirectedRead { node: a(), prefix: "f".into() }).unwrap();
        assert_ne!(file.read_at(8_192, 1).await.unwrap()[0], 5);
        assert_eq!(file.read_at(8_192, 1).await.unwrap()[0], 5);
        control.apply(&Fault::MisdirectedWrite { node: a(), prefix: "f".into() }).unwrap();
        file.write_at(8_192, Bytes::from(vec![6; 4_096])).await.unwrap();
        let bytes = file.read_at(0, 16_384).await.unwrap();
        assert_eq!(bytes[8_192], 5, "the right place was not written");
        assert_eq!(bytes.iter().filter(|byte| **byte == 6).count(), 4_096, "another one was");
    })
    .unwrap();
    let faults = sim.stats().faults;
    assert_eq!((faults["misdirected-read"].struck, faults["misdirected-write"].struck), (1, 1));
}

#[test]
fn a_disk_comes_back_as_it_was() {
    for seed in 0..10 {
        let (mut sim, nodes) = world(seed, &["a"]);
        let (env, control) = (sim.env(nodes[0]), sim.control().clone());
        sim.run(nodes[0], LIMIT, async move {
            env.disk().create_dir("d/e").await.unwrap();
            let file = create_durable(&env, "f", 1, 600).await;
            control.apply(&Fault::Checkpoint { node: a() }).unwrap();
            file.write_at(0, Bytes::from(vec![2; 600])).await.unwrap();
            create_durable(&env, "g", 2, 600).await;
            file.sync().await.unwrap();
        })
        .unwrap();
        sim.apply(&Fault::Rollback { node: a(), restart_ms: Some(5) }).unwrap();
        sim.run_for(millis(10));
        let env = sim.env(nodes[0]);
        sim.run(nodes[0], LIMIT, async move {
            assert_eq!(read_all(&env, "f").await.unwrap(), [1; 600]);
            assert_eq!(env.disk().list("").await.unwrap(), ["d", "f"]);
            assert!(env.disk().open("g", OpenMode::New).await.is_ok());
            let space = env.disk().space().await.unwrap();
            assert_eq!(space.total - space.free, 4_096, "only what is there is counted");
        })
        .unwrap();
    }
}

fn first_bytes(sim: &mut Sim, nodes: &[NodeId]) -> Vec<u8> {
    let read = |node: &NodeId| {
        let env = sim.env(*node);
        let bytes = sim.run(*node, LIMIT, async move { read_all(&env, "f").await });
        bytes.expect("in time").expect("it can be read")[0]
    };
    nodes.iter().map(read).collect()
}

#[test]
fn disks_come_back_to_whom_they_belong() {
    let (mut sim, nodes) = world(1, &["a", "b", "c"]);
    for (node, byte) in nodes.iter().zip([1, 2, 3]) {
        let env = sim.env(*node);
        sim.run(*node, LIMIT, async move { drop(create_durable(&env, "f", byte, 10).await) }).unwrap();
    }
    let swap = |left: &str, right: &str, for_ms| {
        let (left, right) = (left.to_owned(), right.to_owned());
        Fault::SwapDisks { left, right, restart_ms: Some(5), for_ms: Some(for_ms) }
    };
    sim.apply(&swap("a", "b", 100)).unwrap();
    sim.run_for(millis(10));
    sim.apply(&swap("b", "c", 1_000)).unwrap();
    sim.run_for(millis(10));
    assert_eq!(first_bytes(&mut sim, &nodes), [2, 3, 1]);
    // The first two have their own again, and so has whoever is left.
    sim.run_for(millis(100));
    assert_eq!(first_bytes(&mut sim, &nodes), [1, 2, 3]);
    sim.apply(&swap("a", "c", 1_000)).unwrap();
    sim.run_for(millis(10));
    assert_eq!(first_bytes(&mut sim, &nodes), [3, 2, 1]);
    sim.heal();
    sim.run_for(millis(10));
    assert_eq!(first_bytes(&mut sim, &nodes), [1, 2, 3]);
}

#[test]
fn disks_are_swapped_and_emptied() {
    let (mut sim, nodes) = world(1, &["a", "b"]);
    for (node, byte) in nodes.iter().zip([1, 2]) {
        let env = sim.env(*node);
        sim.run(*node, LIMIT, async move { drop(create_durable(&env, "f", byte, 10).await) }).unwrap();
    }
    let swap = |for_ms| Fault::SwapDisks { left: a(), right: "b".into(), restart_ms: Some(5), for_ms };
    sim.apply(&swap(None)).unwrap();
    sim.run_for(millis(10));
    assert_eq!(first_bytes(&mut sim, &nodes), [2, 1]);
    sim.apply(&Fault::Empty { node: a(), restart_ms: Some(5) }).unwrap();
    sim.run_for(millis(10));
    let env = sim.env(nodes[0]);
    let names = sim.run(nodes[0], LIMIT, async move { env.disk().list("").await });
    assert_eq!(names, Some(Ok(Vec::new())));
}

#[test]
fn a_disk_is_slow_or_stalls() {
    let took = |fault: Option<Fault>| {
        let (mut sim, nodes) = world(1, &["a"]);
        let (env, control) = (sim.env(nodes[0]), sim.control().clone());
        sim.run(nodes[0], LIMIT, async move {
            let file = create_durable(&env, "f", 1, 10).await;
            if let Some(fault) = fault {
                control.apply(&fault).unwrap();
            }
            let begin = env.clock().now();
            file.sync().await.unwrap();
            env.clock().now().since(begin)
        })
        .unwrap()
    };
    let ordinary = took(None);
    assert!(ordinary < millis(1), "{ordinary:?}");
    let slow = took(Some(Fault::DiskSlow { node: a(), factor: 100, for_ms: None }));
    assert!(slow > 90 * ordinary && slow < 110 * ordinary, "{slow:?}");
    let stalled = took(Some(Fault::DiskStall { node: a(), for_ms: 200 }));
    assert!(stalled >= millis(199) && stalled < millis(210), "{stalled:?}");
}

/// What was half written when the power failed is read back as old or new, sector by sector, also
/// through the pages that the machine wrote back by itself.
#[test]
fn the_machine_may_write_back_by_itself() {
    let mut versions = BTreeSet::new();
    for seed in 0..SEEDS {
        let before = |env: SimEnv| async move {
            let file = create_durable(&env, "f", 0, 4_096).await;
            for version in 1..200_u8 {
                file.write_at(0, Bytes::from(vec![version; 4_096])).await.unwrap();
            }
        };
        let bytes = around(seed, before, crash(), |env| async move { read_all(&env, "f").await.unwrap() });
        versions.extend(bytes.chunks(512).map(|sector| sector[0]));
    }
    assert!(versions.contains(&199) && versions.len() > 5, "versions in between are kept: {versions:?}");
}

#[test]
fn a_failed_sync_of_a_directory_may_lose_names_for_good() {
    let mut kept = BTreeSet::new();
    for seed in 0..SEEDS {
        let (mut sim, nodes) = world(seed, &["a"]);
        let (env, control) = (sim.env(nodes[0]), sim.control().clone());
        sim.run(nodes[0], LIMIT, async move {
            env.disk().create_dir("d").await.unwrap();
            env.disk().sync_dir("").await.unwrap();
            create(&env, "d/f", 1, 10).await.sync().await.unwrap();
            control.apply(&Fault::SyncFails { node: a(), prefix: "d".into() }).unwrap();
            assert!(is_io(&env.disk().sync_dir("d").await));
            assert_eq!(env.disk().list("d").await.unwrap(), ["f"]);
            assert_eq!(env.disk().sync_dir("d").await, Ok(()));
        })
        .unwrap();
        sim.apply(&crash()).unwrap();
        sim.run_for(millis(20));
        let env = sim.env(nodes[0]);
        kept.extend(sim.run(nodes[0], LIMIT, async move { env.disk().list("d").await.unwrap().len() }));
    }
    assert_eq!(kept, BTreeSet::from([0, 1]));
}
