//! Rot is found, and lost parts are made from others.

use crate::world::{Caller, World, address, bytes, name, part};
use bytes::Bytes;
use mooseng_core::class::StorageClass;
use mooseng_core::env::sleep;
use mooseng_core::erasure::{Codec, Layout, codec};
use mooseng_core::plant;
use mooseng_net::proto::chunk::*;
use mooseng_sim::machine::{Fault, Spot};
use std::time::Duration;

const LENGTH: u32 = 200_000;

fn rot(server: u64, prefix: &str) -> Fault {
    let spot = Spot { prefix: prefix.into(), from: Some(0), to: Some(40_000), newest: false };
    Fault::BitRot { node: name(server), spot, sectors: 1 }
}

/// The parts of a slice in a class of 2+2.
fn parts(class: StorageClass) -> Vec<Bytes> {
    let layout = Layout::new(class, LENGTH);
    let slice = bytes(part(1, 0), LENGTH as usize);
    let data: Vec<Bytes> = (0..class.data())
        .map(|index| {
            let start = layout.part_start(index) as usize;
            slice.slice(start..start + layout.part_bytes(index) as usize)
        })
        .collect();
    let mut parity = vec![vec![0; layout.part_bytes_max() as usize]; usize::from(class.parity())];
    let views: Vec<&[u8]> = data.iter().map(|part| &part[..]).collect();
    codec(class.data(), class.parity()).encode(&views, &mut parity);
    data.into_iter().chain(parity.into_iter().map(Bytes::from)).collect()
}

fn order(class: StorageClass, server: u64, index: u8, sources: &[u8]) -> RebuildPartRequest {
    let source = |index: &u8| PartSource {
        index: u32::from(*index),
        address: address(u64::from(*index) + 1).to_string(),
    };
    RebuildPartRequest {
        server,
        slice: part(1, 0).slice.raw(),
        index: u32::from(index),
        class: class.to_raw(),
        slice_length: LENGTH,
        sources: sources.iter().map(source).collect(),
    }
}

async fn rebuild(caller: &Caller, server: u64, order: RebuildPartRequest) -> RebuildPartReply {
    caller.client(server).rebuild(&order, caller.soon()).await.unwrap()
}

/// Server 5 makes part 1 from parts 0, 2 and 3, of which part 0 is rotten. Is it as it was?
fn made_right() -> bool {
    let class: StorageClass = "ec=2+2".parse().unwrap();
    let mut world = World::new(1, 5);
    let made = parts(class);
    let expected = made[1].clone();
    world.run(|caller| async move {
        for (index, data) in (0..).zip(made) {
            let outcome = caller.put(u64::from(index) + 1, part(1, index), data).await.unwrap();
            assert_eq!(outcome, PartOutcome::Done);
        }
    });
    world.apply(rot(1, "store/parts/"));
    world.run(|caller| async move {
        let reply = rebuild(&caller, 5, order(class, 5, 1, &[0, 2, 3])).await;
        let read = caller.read(5, part(1, 1), 0, LENGTH as usize).await.unwrap();
        reply.outcome() == PartOutcome::Done && reply.failed == [0] && read == Ok(expected)
    })
}

#[test]
fn a_lost_part_is_made_from_parts_that_are_good() {
    assert!(made_right());
    plant::activate(Some("chunk-rebuild-trusts-sources"));
    let blind = made_right();
    plant::activate(None);
    assert!(!blind, "a part made from rot is taken for good");
}

#[test]
fn a_copy_is_made_from_another_and_too_few_sources_are_an_answer() {
    let class: StorageClass = "copies=3".parse().unwrap();
    let mut world = World::new(2, 3);
    world.run(|caller| async move {
        let data = bytes(part(1, 0), LENGTH as usize);
        caller.put(1, part(1, 0), data.clone()).await.unwrap();
        let reply = rebuild(&caller, 2, order(class, 2, 1, &[2, 0])).await;
        assert_eq!((reply.outcome(), reply.root.len()), (PartOutcome::Done, 32));
        assert_eq!(caller.read(2, part(1, 1), 0, LENGTH as usize).await.unwrap(), Ok(data));
        let reply = rebuild(&caller, 3, order(class, 3, 0, &[2])).await;
        assert_eq!((reply.outcome(), reply.failed), (PartOutcome::TooFewSources, vec![2]));
        assert!(caller.inventory(3).await.is_empty());
    });
}

/// A part lies at server 2 all the while; somebody lists it, has it made there again, and then takes it
/// away for having been listed. What becomes of it, and what a second try says that listed it since?
fn taken_away_after_a_rebuild() -> (PartOutcome, PartOutcome) {
    let class: StorageClass = "copies=2".parse().unwrap();
    let mut world = World::new(4, 2);
    world.run(|caller| async move {
        let data = bytes(part(1, 0), LENGTH as usize);
        caller.put(1, part(1, 1), data.clone()).await.unwrap();
        caller.put(2, part(1, 0), data).await.unwrap();
        let list = async || {
            let reply =
                caller.client(2).inventory(&InventoryRequest::default(), caller.soon()).await.unwrap();
            (reply.parts.first().map_or(0, |entry| entry.incarnation), reply.moment)
        };
        let take = async |(incarnation, moment)| {
            let name = PartName { slice: part(1, 0).slice.raw(), index: 0, incarnation };
            let request = DeletePartsRequest { server: 2, parts: vec![name], moment };
            let reply = caller.client(2).delete(&request, caller.soon()).await.unwrap();
            reply.outcomes().next().unwrap()
        };
        let before = list().await;
        let source = PartSource { index: 1, address: address(1).to_string() };
        let order = RebuildPartRequest { sources: vec![source], ..order(class, 2, 0, &[]) };
        let made = rebuild(&caller, 2, order).await;
        assert_eq!((made.outcome(), made.incarnation), (PartOutcome::Done, before.0), "as it was");
        let first = take(before).await;
        let other_life = before.1.map(|moment| Moment { life: moment.life ^ 1, ..moment });
        assert_ne!(take((before.0, other_life)).await, PartOutcome::Done);
        (first, take(list().await).await)
    })
}

#[test]
fn a_part_that_a_rebuild_was_answered_with_stays_whoever_looked_before() {
    assert_eq!(taken_away_after_a_rebuild(), (PartOutcome::Conflict, PartOutcome::Done));
    plant::activate(Some("chunk-delete-forgets-rebuilds"));
    let forgetful = taken_away_after_a_rebuild();
    plant::activate(None);
    assert_eq!(forgetful.0, PartOutcome::Done, "a part goes that somebody was just told of");
}

#[test]
fn scrubbing_finds_rot_before_anybody_reads_it() {
    for (length, prefix) in [(8_000, "store/0"), (36_000, "store/parts/")] {
        let mut world = World::new(length as u64, 1);
        world.run(|caller| async move {
            for number in 1..=4 {
                let part = part(number, 0);
                assert_eq!(caller.put(1, part, bytes(part, length)).await.unwrap(), PartOutcome::Done);
            }
        });
        for _ in 0..3 {
            world.apply(rot(1, prefix));
        }
        world.run(|caller| async move {
            sleep(&caller.env, Duration::from_secs(30)).await;
            let damaged: Vec<_> =
                caller.inventory(1).await.into_iter().filter(|entry| entry.damaged).collect();
            assert!((1..=3).contains(&damaged.len()), "{damaged:?}");
            for entry in damaged {
                let slice = mooseng_core::id::SliceId::from_raw(entry.slice).unwrap();
                let part = part(slice.counter(), 0);
                assert_eq!(caller.read(1, part, 0, length).await.unwrap(), Err(PartOutcome::Damaged));
                assert_eq!(caller.put(1, part, bytes(part, length)).await.unwrap(), PartOutcome::Done);
                assert_eq!(caller.read(1, part, 0, length).await.unwrap(), Ok(bytes(part, length)));
            }
            let status = caller.client(1).status(&ChunkStatusRequest {}, caller.soon()).await.unwrap();
            assert!(status.damaged == 0 && status.scrubs > 1, "{status:?}");
        });
    }
}

#[test]
fn a_report_is_looked_into_and_not_believed() {
    let mut world = World::new(9, 1);
    let report = |leaf| ReportBadRequest { slice: part(1, 0).slice.raw(), index: 0, leaf };
    world.run(move |caller| async move {
        caller.put(1, part(1, 0), bytes(part(1, 0), 36_000)).await.unwrap();
        let reply = caller.client(1).report_bad(&report(3), caller.soon()).await.unwrap();
        assert_eq!(reply.outcome(), PartOutcome::Done);
    });
    world.apply(rot(1, "store/parts/"));
    world.run(move |caller| async move {
        let reply = caller.client(1).report_bad(&report(0), caller.soon()).await.unwrap();
        assert_eq!(reply.outcome(), PartOutcome::Damaged);
        assert_eq!(caller.read(1, part(1, 0), 0, 1).await.unwrap(), Err(PartOutcome::Damaged));
    });
}
