//! What a store does when nothing goes wrong, and when the disk is full.

use super::workload::{DIRECTORY, bytes, config, formatted, opened, part, put};
use crate::store::{Given, Health, Sealed, Store, StoreConfig, StoreError};
use crate::testing::{End, Faults};
use futures::future::join_all;
use mooseng_core::checksum::{leaves, root};
use mooseng_core::env::sleep;
use std::time::Duration;

#[test]
fn what_was_put_is_read_again_also_by_the_next_life() {
    let machine = formatted(1, &config());
    let lengths = [0, 1, 4_095, 4_096, 4_097, 6_000, 6_001, 12_288, 20_000];
    let env = machine.clone();
    machine.finish(async move {
        let store = opened(&env, &config()).await;
        for (number, length) in lengths.into_iter().enumerate() {
            put(&store, part(number as u64), length).await.unwrap();
        }
    });
    let env = machine.clone();
    machine.finish(async move {
        let store = opened(&env, &config()).await;
        for (number, length) in lengths.into_iter().enumerate() {
            let part = part(number as u64);
            let (data, sums) = store.read_whole(part).await.unwrap();
            assert_eq!((data.clone(), sums), (bytes(part, length), leaves(part, 0, &data)));
            assert_eq!(store.verify(part).await, Ok(Health::Good));
            let found = store.read(part, 4_096, 1).await.unwrap();
            assert_eq!(found.part_length as usize, length);
            assert_eq!(found.sums, leaves(part, 1, &data[data.len().min(4_096)..data.len().min(8_192)]));
            assert_eq!(found.data.is_some(), length > 4_096);
        }
        assert_eq!(store.usage().parts, lengths.len() as u64);
        assert_eq!(store.usage().bytes, lengths.iter().sum::<usize>() as u64);
    });
}

#[test]
fn a_part_is_put_once() {
    let machine = formatted(1, &config());
    let env = machine.clone();
    machine.finish(async move {
        let store = opened(&env, &config()).await;
        for length in [500, 10_000] {
            let part = part(length);
            let data = bytes(part, length as usize);
            let sums = leaves(part, 0, &data);
            let first = store.put(part, sums.clone(), data.clone()).await.unwrap();
            assert_eq!(first, Sealed { root: root(part, length, &sums), incarnation: first.incarnation });
            assert_eq!(store.put(part, sums.clone(), data.clone()).await, Ok(first), "the same again");
            let other = data.slice(..data.len() - 1);
            let refused = store.put(part, leaves(part, 0, &other), other).await;
            assert_eq!(refused, Err(StoreError::Conflict));
            assert_eq!(store.put(part, leaves(part, 1, &data), data).await, Err(StoreError::Mismatch));
        }
        assert_eq!(store.usage().parts, 2);
    });
}

#[test]
fn a_part_that_is_given_up_is_gone_and_may_come_back_as_another() {
    let machine = formatted(1, &config());
    let env = machine.clone();
    machine.finish(async move {
        let store = opened(&env, &config()).await;
        for (part, length) in [(part(1), 500), (part(2), 10_000)] {
            let first = put(&store, part, length).await.unwrap();
            assert_eq!(store.give_up(&[(part, first ^ 1)]).await, Ok(vec![Given::Other]));
            assert_eq!(store.give_up(&[(part, first), (part, 0)]).await.unwrap()[0], Given::Done);
            assert_eq!(store.give_up(&[(part, 0)]).await, Ok(vec![Given::Absent]));
            assert_eq!(store.read_whole(part).await, Err(StoreError::Absent));
            let second = put(&store, part, length).await.unwrap();
            assert_ne!(first, second);
            assert_eq!(store.give_up(&[(part, first)]).await, Ok(vec![Given::Other]), "a late request");
        }
        let (kept, complete) = store.inventory(Some(part(1)), 1);
        assert_eq!((kept.len(), kept[0].part, complete), (1, part(2), true));
    });
}

#[test]
fn many_who_wait_share_a_sync() {
    let config = StoreConfig { segment_bytes: 65_536, ..config() };
    let machine = formatted(1, &config);
    let (env, settings) = (machine.clone(), config.clone());
    machine.finish(async move {
        let _store = opened(&env, &settings).await;
        sleep(&env, Duration::from_secs(1)).await;
    });
    let opening = {
        let (env, settings) = (machine.clone(), config.clone());
        machine.finish(async move { drop(opened(&env, &settings).await) });
        machine.operations().1
    };
    let env = machine.clone();
    machine.finish(async move {
        let store = opened(&env, &config).await;
        let puts = join_all((0..40).map(|number| put(&store, part(number), 300))).await;
        assert!(puts.iter().all(Result::is_ok));
    });
    let syncs = machine.operations().1 - opening;
    assert!(syncs <= 6, "{syncs} syncs for 40 parts");
}

/// Segments come and go, and the space of what was given up comes back.
#[test]
fn space_comes_back() {
    let machine = formatted(1, &config());
    let env = machine.clone();
    machine.finish(async move {
        let store = opened(&env, &config()).await;
        for round in 0..30 {
            for number in 0..8 {
                put(&store, part(round * 8 + number), 3_000).await.unwrap();
                put(&store, part(10_000 + round * 8 + number), 9_000).await.unwrap();
            }
            let kept_on = |number: &u64| round % 5 > 0 || *number > 0;
            let gone: Vec<_> = (0..8)
                .filter(kept_on)
                .flat_map(|number| [part(round * 8 + number), part(10_000 + round * 8 + number)])
                .map(|part| (part, 0))
                .collect();
            store.give_up(&gone).await.unwrap();
            while store.compact().await.unwrap().segments > 0 {}
        }
        assert_eq!(store.usage().parts, 12);
        assert!(store.usage().segments <= 6, "{:?}", store.usage());
        sleep(&env, Duration::from_secs(1)).await;
    });
    let names: Vec<String> = machine.with_images(|images| images.dump()).into_keys().collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(".part")).count(), 6, "{names:?}");
    assert!(names.len() < 24, "{names:?}");
    let env = machine.clone();
    assert_eq!(machine.finish(async move { opened(&env, &config()).await.usage().parts }), 12);
}

#[test]
fn a_full_disk_is_an_answer_and_giving_up_makes_room() {
    let machine = formatted(1, &config());
    let env = machine.clone();
    machine.finish(async move {
        let store = opened(&env, &config()).await;
        sleep(&env, Duration::from_secs(1)).await;
        let used: usize = env.with_images(|images| images.dump()).values().map(Vec::len).sum();
        env.with_images(|images| images.bytes_max = Some(used + 30_000));
        let mut kept = Vec::new();
        let mut refused = 0;
        for number in 0..40 {
            match put(&store, part(number), if number % 2 == 0 { 5_000 } else { 7_000 }).await {
                Ok(_) => kept.push((part(number), 0)),
                Err(StoreError::NoSpace) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(kept.len() > 4 && refused > 10, "{} kept, {refused} refused", kept.len());
        for (part, _) in &kept {
            assert_eq!(store.verify(*part).await, Ok(Health::Good));
        }
        let given = store.give_up(&kept).await.unwrap();
        assert!(given.iter().all(|given| *given == Given::Done));
        while store.compact().await.unwrap().segments > 0 {}
        sleep(&env, Duration::from_secs(1)).await;
        for number in 100..103 {
            put(&store, part(number), 5_000).await.unwrap();
        }
    });
}

/// Parts of which no two fit a segment, and small ones that came one by one.
#[test]
fn emptying_segments_comes_to_an_end() {
    let large = StoreConfig { segment_bytes: 16 << 10, small_bytes_max: 8 << 10, ..config() };
    let small = StoreConfig { segment_bytes: 64 << 10, ..config() };
    for (config, length, moves_max) in [(large, 7_900, 2), (small, 40, 20)] {
        let machine = formatted(1, &config);
        let env = machine.clone();
        machine.finish(async move {
            let store = opened(&env, &config).await;
            for number in 0..400 {
                put(&store, part(number), length).await.unwrap();
            }
            let mut moves = 0;
            while store.compact().await.unwrap().segments > 0 {
                moves += 1;
                assert!(moves <= moves_max, "segments of {length}-byte parts are emptied for ever");
            }
            assert_eq!(store.usage().parts, 400);
        });
    }
}

#[test]
fn a_store_is_made_once_and_not_by_opening() {
    let machine = formatted(1, &config());
    let env = machine.clone();
    machine.finish(async move {
        let again = Store::format(&env, DIRECTORY, &config()).await.unwrap_err();
        assert!(again.to_string().contains("there is a chunk store already; open it"), "{again}");
        let Err(nothing) = Store::open(&env, "elsewhere", config()).await else { panic!("made by opening") };
        assert!(nothing.to_string().ends_with("not there; format the data directory first"), "{nothing}");
        let odd = StoreConfig { small_bytes_max: 20_000, ..config() };
        let Err(refused) = Store::open(&env, DIRECTORY, odd).await else { panic!("opened") };
        assert!(refused.to_string().starts_with("small_bytes_max: a part of 20000 bytes"), "{refused}");
    });
}

#[test]
fn a_failed_sync_stops_the_server() {
    for length in [500, 10_000] {
        let machine = formatted(1, &config());
        let env = machine.clone();
        machine.finish(async move {
            let store = opened(&env, &config()).await;
            sleep(&env, Duration::from_secs(1)).await;
            drop(store);
        });
        let env = machine.clone();
        let faults = Faults { fail_sync_at: Some(3), ..Faults::default() };
        let end = machine.run(faults, async move {
            let store = opened(&env, &config()).await;
            loop {
                for number in 0.. {
                    put(&store, part(number), length).await.unwrap();
                }
            }
        });
        let End::Halted(why) = end else { panic!("{length}: went on") };
        assert!(why.contains("so this server stops"), "{why}");
    }
}
