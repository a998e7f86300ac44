//! Putting, reading, giving up, listing.

use crate::world::{LEAF, World, bytes, config, part};
use mooseng_chunk::{ChunkServerConfig, run};
use mooseng_core::env::{Body, sleep};
use mooseng_core::id::{ClusterId, ServerId};
use mooseng_net::proto::chunk::*;
use mooseng_net::rpc::{CallError, Code};
use mooseng_sim::machine::Fault;
use std::time::Duration;

#[test]
fn a_part_comes_back_as_it_was_put() {
    let mut world = World::new(1, 1);
    world.run(|caller| async move {
        for (number, length) in [0, 1, 4_096, 10_000, 70_000].into_iter().enumerate() {
            let part = part(number as u64 + 1, 2);
            let data = bytes(part, length);
            assert_eq!(caller.put(1, part, data.clone()).await.unwrap(), PartOutcome::Done);
            assert_eq!(caller.put(1, part, data.clone()).await.unwrap(), PartOutcome::Done, "asked again");
            assert_eq!(caller.read(1, part, 0, length).await.unwrap(), Ok(data.clone()));
            if length > LEAF {
                let end = length.min(3 * LEAF);
                let read = caller.read(1, part, LEAF, LEAF + 1).await.unwrap();
                assert_eq!(read, Ok(data.slice(LEAF..end)), "whole leaves");
            }
            let other = bytes(crate::world::part(99, 0), length.max(1));
            assert_eq!(caller.put(1, part, other).await.unwrap(), PartOutcome::Conflict);
        }
        let status = caller.client(1).status(&ChunkStatusRequest {}, caller.soon()).await.unwrap();
        assert_eq!((status.cluster, status.server, status.parts, status.bytes), (7, 1, 5, 84_097));
    });
}

#[test]
fn runs_may_come_in_any_order_and_are_sealed_when_all_are_there() {
    let mut world = World::new(2, 1);
    world.run(|caller| async move {
        for length in [12_000, 50_000] {
            let part = part(length as u64, 0);
            let data = bytes(part, length);
            let run = |at: usize| (at, data.slice(at..length.min(at + 2 * LEAF)));
            let (last, rest) = run(length / (2 * LEAF) * 2 * LEAF);
            let early = caller.put_run(1, part, last, rest.clone(), Some(length)).await.unwrap();
            assert_eq!(early.outcome(), PartOutcome::Incomplete);
            for at in (0..last).step_by(2 * LEAF).rev() {
                let (at, piece) = run(at);
                let reply = caller.put_run(1, part, at, piece.clone(), None).await.unwrap();
                assert_eq!(reply.outcome(), PartOutcome::Done);
                let again = caller.put_run(1, part, at, piece, None).await.unwrap();
                assert_eq!(again.outcome(), PartOutcome::Done);
            }
            assert_eq!(caller.read(1, part, 0, length).await.unwrap(), Err(PartOutcome::Absent));
            let sealed = caller.put_run(1, part, last, rest, Some(length)).await.unwrap();
            assert_eq!((sealed.outcome(), sealed.root.len()), (PartOutcome::Done, 32));
            assert_eq!(caller.read(1, part, 0, length).await.unwrap(), Ok(data));
        }
    });
}

#[test]
fn bytes_that_do_not_have_their_sums_are_not_kept() {
    let mut world = World::new(3, 1);
    world.run(|caller| async move {
        let part = part(1, 0);
        let request = PutPartRequest {
            server: 1,
            slice: part.slice.raw(),
            sums: vec![1, 2, 3, 4].into(),
            seal: true,
            length: 3,
            ..PutPartRequest::default()
        };
        let put = |request: PutPartRequest| {
            let caller = caller.clone();
            async move { caller.client(1).put(&request, Body::Bytes("abc".into()), caller.soon()).await }
        };
        assert_eq!(put(request.clone()).await.unwrap().outcome(), PartOutcome::Mismatch);
        let code = |answer: Result<PutPartReply, CallError>| match answer {
            Err(CallError::Status(status)) => status.code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(put(PutPartRequest { server: 2, ..request.clone() }).await), Code::NotHere);
        assert_eq!(code(put(PutPartRequest { offset: 1, ..request.clone() }).await), Code::Invalid);
        assert_eq!(code(put(PutPartRequest { slice: 0, ..request.clone() }).await), Code::Invalid);
        assert_eq!(code(put(PutPartRequest { index: 256, ..request }).await), Code::Invalid);
        assert!(caller.inventory(1).await.is_empty());
    });
}

#[test]
fn a_late_deletion_does_not_hit_what_came_back() {
    let mut world = World::new(4, 1);
    world.run(|caller| async move {
        for length in [500, 40_000] {
            let part = part(length, 0);
            let data = bytes(part, length as usize);
            let first = caller.put_run(1, part, 0, data.clone(), Some(data.len())).await.unwrap().incarnation;
            assert_eq!(caller.delete(1, &[(part, first)]).await, [PartOutcome::Done]);
            assert_eq!(caller.delete(1, &[(part, first)]).await, [PartOutcome::Absent]);
            assert_eq!(caller.put(1, part, data.clone()).await.unwrap(), PartOutcome::Done);
            assert_eq!(caller.delete(1, &[(part, first)]).await, [PartOutcome::Conflict]);
            assert_eq!(caller.read(1, part, 0, data.len()).await.unwrap(), Ok(data));
        }
        let all: Vec<_> = caller.inventory(1).await.iter().map(|entry| entry.length).collect();
        assert_eq!(all, [500, 40_000]);
    });
}

#[test]
fn what_nobody_finishes_is_forgotten() {
    let mut world = World::new(5, 1);
    world.run(|caller| async move {
        for (number, length) in [(1, 2 * LEAF), (2, 20 * LEAF)] {
            let part = part(number, 0);
            caller.put_run(1, part, 0, bytes(part, length), None).await.unwrap();
        }
        let uploads = || {
            let caller = caller.clone();
            async move {
                caller.client(1).status(&ChunkStatusRequest {}, caller.soon()).await.unwrap().uploads
            }
        };
        assert_eq!(uploads().await, 2);
        sleep(&caller.env, Duration::from_secs(60)).await;
        assert_eq!(uploads().await, 0);
        let data = bytes(part(2, 0), 21 * LEAF);
        let late = caller.put_run(1, part(2, 0), 20 * LEAF, data.slice(20 * LEAF..), Some(data.len())).await;
        assert_eq!(late.unwrap().outcome(), PartOutcome::Incomplete);
    });
}

#[test]
fn another_clusters_or_servers_disk_is_refused() {
    for (server, cluster, line) in [
        (
            1,
            8,
            "identity: the data directory belongs to cluster-7, another cluster; point the server at its own",
        ),
        (2, 7, "identity: the data directory belongs to s1, not to s2; point each server at its own"),
    ] {
        let mut world = World::new(6, 1);
        world.run(|caller| async move { assert!(caller.inventory(1).await.is_empty()) });
        let node = world.sim.node("chunk-1").unwrap();
        world.apply(Fault::Kill { node: "chunk-1".into(), restart_ms: None });
        world.sim.boot_idle(node);
        let env = world.sim.env(node);
        let config =
            ChunkServerConfig { cluster: Some(ClusterId(cluster)), server: ServerId(server), ..config(1) };
        let refused = world.sim.run(node, Duration::from_secs(5), run(env, config)).unwrap();
        assert_eq!(refused.unwrap_err().to_string(), line);
    }
}
