//! Slices to chunk servers and back, whatever the servers do.

use crate::chunk::World;
use bytes::Bytes;
use mooseng_client::data::{DataError, StoreConfig};
use mooseng_core::chance::{Dice, stream};
use mooseng_core::class::StorageClass;
use mooseng_core::env::Env;
use mooseng_core::extent::NewSlice;
use mooseng_core::id::{PartId, ServerId, SliceId, Slot};
use mooseng_sim::machine::Fault;
use std::collections::BTreeSet;
use std::time::Duration;

pub(crate) fn slice(number: u64) -> SliceId {
    SliceId::new(0, Slot::default(), number).unwrap()
}

pub(crate) fn bytes(length: usize) -> Bytes {
    let mut dice = stream(9, "bytes", 0, length as u64);
    (0..length).map(|_| dice.word() as u8).collect::<Vec<u8>>().into()
}

pub(crate) fn write(
    world: &mut World,
    number: u64,
    class: &str,
    data: &Bytes,
) -> Result<NewSlice, DataError> {
    let (class, data) = (class.parse::<StorageClass>().unwrap(), data.clone());
    world.run(|store| async move { store.write_slice(slice(number), class, data).await })
}

pub(crate) fn read(world: &mut World, info: &NewSlice, offset: u32, length: u32) -> Result<Bytes, DataError> {
    let info = info.clone();
    world.run(|store| async move { store.read(&info, offset, length).await })
}

pub(crate) fn places(info: &NewSlice) -> Vec<ServerId> {
    info.parts.iter().copied().flatten().collect()
}

pub(crate) fn part(info: &NewSlice, index: u8) -> PartId {
    PartId { slice: info.slice, index }
}

#[test]
fn what_is_written_is_read_back() {
    let mut world = World::new(1, 8);
    let lengths = [0, 1, 4_096, 100_000, 262_144, 300_001, 2_500_000, 5 << 20];
    for (number, length) in (1..).zip(lengths) {
        for (step, class) in ["copies=1", "copies=3", "ec=4+2"].into_iter().enumerate() {
            let data = bytes(length);
            let info = write(&mut world, number * 10 + step as u64, class, &data).unwrap();
            assert_eq!(info.class, class.parse::<StorageClass>().unwrap().for_length(length as u32));
            assert_eq!(places(&info).len(), usize::from(info.class.parts()), "no deficit");
            assert_eq!(places(&info).iter().collect::<BTreeSet<_>>().len(), places(&info).len());
            assert_eq!(read(&mut world, &info, 0, u32::MAX).unwrap(), data);
            let middle = length / 3;
            let some = read(&mut world, &info, middle as u32, 5_000).unwrap();
            assert_eq!(some, data[middle..length.min(middle + 5_000)]);
        }
    }
}

/// A server dies, another falls silent and a third is full: the parts go elsewhere.
#[test]
fn a_server_that_fails_while_it_is_written_to_is_replaced() {
    let mut world = World::new(2, 10);
    world.sim.run_for(Duration::from_millis(10));
    world.kill(1);
    world.servers[&2].kept().puts_left = Some(1);
    world.servers[&3].kept().full = true;
    let data = bytes(6 << 20);
    for number in 1..12 {
        let info = write(&mut world, number, "ec=4+2", &data).unwrap();
        let places = places(&info);
        assert_eq!(places.len(), 6, "no deficit");
        assert!(!places.contains(&ServerId(1)) && !places.contains(&ServerId(3)), "{places:?}");
        for (index, server) in places.iter().enumerate() {
            assert!(world.server(*server).kept().sealed.contains_key(&part(&info, index as u8)));
        }
        assert_eq!(read(&mut world, &info, 0, u32::MAX).unwrap(), data);
    }
}

#[test]
fn too_few_servers_are_a_deficit_or_no_space() {
    let config = StoreConfig { write_max: Duration::from_secs(5), ..StoreConfig::default() };
    let mut world = World::with(3, 5, config);
    let data = bytes(1 << 20);
    let info = write(&mut world, 1, "ec=4+2", &data).unwrap();
    assert_eq!((places(&info).len(), info.parts.len()), (5, 6));
    assert_eq!(read(&mut world, &info, 0, u32::MAX).unwrap(), data);
    assert!(matches!(write(&mut world, 2, "ec=4+2,strict", &data), Err(DataError::NoSpace { .. })));
    for server in world.servers.values().take(2) {
        server.kept().full = true;
    }
    assert!(matches!(write(&mut world, 3, "ec=4+2", &data), Err(DataError::NoSpace { .. })));
    assert_eq!(places(&write(&mut world, 4, "copies=3", &data).unwrap()).len(), 3);
}

#[test]
fn servers_that_do_not_answer_are_waited_for_so_long_and_not_longer() {
    let config = StoreConfig { write_max: Duration::from_secs(6), ..StoreConfig::default() };
    let mut world = World::with(4, 3, config);
    let data = bytes(10_000);
    let info = write(&mut world, 1, "copies=2", &data).unwrap();
    (1..=3).for_each(|server| world.kill(server));
    let begun = world.sim.now();
    assert!(matches!(write(&mut world, 2, "copies=2", &data), Err(DataError::TimedOut { .. })));
    assert!(matches!(read(&mut world, &info, 0, 10), Err(DataError::TimedOut { .. })));
    assert!(world.sim.now().since(begun) < Duration::from_secs(20));
    // They come back, and the next try finds them.
    for server in 1..=3 {
        world.sim.apply(&Fault::Restart { node: format!("chunk-{server}") }).unwrap();
    }
    assert_eq!(read(&mut world, &info, 0, 10).unwrap(), data[..10]);
    assert_eq!(places(&write(&mut world, 3, "copies=2", &data).unwrap()).len(), 2);
}

#[test]
fn rotten_bytes_are_never_read_and_are_reported() {
    let mut world = World::new(5, 6);
    let data = bytes(40_000);
    let info = write(&mut world, 1, "copies=2", &data).unwrap();
    let servers = places(&info);
    world.server(servers[0]).rot(part(&info, 0), 9_000);
    world.server(servers[1]).rot(part(&info, 1), 39_999);
    // Neither copy is whole, but every place of the slice is whole in one of them.
    assert_eq!(read(&mut world, &info, 0, u32::MAX).unwrap(), data);
    world.sim.run_for(Duration::from_secs(1));
    let reports: usize = world.servers.values().map(|server| server.kept().reported.len()).sum();
    assert!((1..=2).contains(&reports), "each bad part is reported once, if it was read");
    world.server(servers[1]).rot(part(&info, 1), 9_001);
    let lost = read(&mut world, &info, 0, u32::MAX).unwrap_err();
    assert!(matches!(&lost, DataError::Lost { what, .. } if what.contains("bad leaves")), "{lost}");
    // What is not damaged in both can still be read.
    assert_eq!(read(&mut world, &info, 20_000, 20_000).unwrap(), data[20_000..]);
}

#[test]
fn a_stripe_survives_as_many_losses_as_it_was_made_for() {
    let mut world = World::new(6, 6);
    let data = bytes(1_000_000);
    let info = write(&mut world, 1, "ec=4+2", &data).unwrap();
    let servers = places(&info);
    world.kill(servers[1].0);
    world.server(servers[2]).kept().sealed.remove(&part(&info, 2));
    assert_eq!(read(&mut world, &info, 0, u32::MAX).unwrap(), data);
    assert_eq!(read(&mut world, &info, 299_990, 20).unwrap(), data[299_990..300_010]);
    world.server(servers[5]).kept().sealed.clear();
    let error = read(&mut world, &info, 0, u32::MAX).unwrap_err();
    assert!(matches!(error, DataError::TimedOut { .. }), "one of the three may come back: {error}");
    world.server(servers[0]).kept().sealed.clear();
    world.sim.apply(&Fault::Restart { node: format!("chunk-{}", servers[1].0) }).unwrap();
    let error = read(&mut world, &info, 0, u32::MAX).unwrap_err();
    assert!(matches!(error, DataError::Lost { .. }), "{error}");
}

/// A server that stands still costs a read a few milliseconds, not its whole time-out.
#[test]
fn a_slow_copy_is_read_past() {
    let mut world = World::new(7, 2);
    let data = bytes(200_000);
    let info = write(&mut world, 1, "copies=2", &data).unwrap();
    let mut slowest = Duration::ZERO;
    for server in [1, 2] {
        let node = format!("chunk-{server}");
        world.sim.apply(&Fault::Pause { node, for_ms: Some(500) }).unwrap();
        let begun = world.sim.now();
        assert_eq!(read(&mut world, &info, 0, u32::MAX).unwrap(), data);
        slowest = slowest.max(world.sim.now().since(begun));
        world.sim.run_for(Duration::from_secs(1));
    }
    assert!(slowest < Duration::from_millis(100), "{slowest:?}");
}

/// Bytes that are flipped on the way look like rot, and are asked for again.
#[test]
fn a_flipped_bit_on_the_way_costs_nothing_but_another_try() {
    let mut world = World::new(8, 1);
    let data = bytes(300_000);
    let info = write(&mut world, 1, "copies=1", &data).unwrap();
    for _ in 0..20 {
        let corrupt = Fault::Corrupt { source: "chunk-1".into(), target: "client".into(), frames: 1 };
        world.sim.apply(&corrupt).unwrap();
        assert_eq!(read(&mut world, &info, 0, u32::MAX).unwrap(), data);
    }
}

/// Many readers and writers at once, with servers dying and returning all the time.
#[test]
fn everything_heals_under_load() {
    let mut world = World::new(9, 8);
    let store = world.store.clone();
    let env = world.sim.env(world.client);
    let tasks = futures::future::join_all((1..40u64).map(|number| {
        let (store, env) = (store.clone(), env.clone());
        async move {
            let mut dice = env.rng("load", number);
            let class = ["copies=2", "copies=3", "ec=4+2"][number as usize % 3].parse().unwrap();
            let data = bytes(dice.between(1, 800_000) as usize);
            let info = store.write_slice(slice(number), class, data.clone()).await.unwrap();
            for _ in 0..4 {
                let offset = dice.below(data.len() as u64) as u32;
                let length = dice.between(1, 300_000) as u32;
                let end = data.len().min((offset + length) as usize);
                // Two servers are away at times: more than two copies can lose.
                let read = loop {
                    match store.read(&info, offset, length).await {
                        Ok(read) => break read,
                        Err(DataError::TimedOut { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                };
                assert_eq!(read, data[offset as usize..end]);
            }
        }
    }));
    let task = async move { drop(tasks.await) };
    let faults =
        (1..=8u64).map(|server| Fault::Kill { node: format!("chunk-{server}"), restart_ms: Some(150) });
    for (fault, round) in faults.zip(0u64..) {
        let at = Duration::from_millis(3 + round * 40);
        let control = world.sim.control().clone();
        let env = env.clone();
        let node = world.client;
        world.sim.spawn(node, "fault", async move {
            mooseng_core::env::sleep(&env, at).await;
            control.apply(&fault).unwrap();
        });
    }
    world.run(|_| task);
}
