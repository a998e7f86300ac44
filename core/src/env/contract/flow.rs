//! Holding back, and futures that are dropped because something else was first.

use super::{
    A_WHILE, Env, MILLISECOND, SIZES, SenderOf, accept_from, accept_one, assert_received, dial_one, expected,
    frame, listen_at, pattern, sent,
};
use crate::env::{Address, FrameReceiver, FrameSender, Listener, Received, sleep, timeout};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::pin::pin;

/// The size of the frames that fill a link.
pub(super) const FILLER_BYTES: usize = 1 << 20;
/// No link takes more of them than this while nobody reads.
const FILLERS_MAX: u64 = 128;

pub(super) fn filler(index: u64) -> Received {
    Received { head: Bytes::new(), body: pattern(index, FILLER_BYTES) }
}

/// Sends fillers until the link is full and one is held back; gives how many were taken.
pub(super) async fn fill<E: Env>(env: &E, sender: &mut SenderOf<E>, finish: Finish<'_>) -> u64 {
    for index in 0..FILLERS_MAX {
        let mut send = pin!(sender.send(frame::<E>(Bytes::new(), filler(index).body)));
        match timeout(env, 3 * A_WHILE, send.as_mut()).await {
            Ok(sent) => assert_eq!(sent, Ok(()), "filler {index}"),
            Err(_) => {
                if let Finish::AfterCalling(address) = finish {
                    let _told = dial_one(env, address).await;
                    assert_eq!(send.await, Ok(()), "the send that was held back");
                    return index + 1;
                }
                return index;
            }
        }
    }
    panic!("{FILLERS_MAX} MiB were taken and nobody read any of them")
}

/// What becomes of the send that was held back.
pub(super) enum Finish<'a> {
    Dropped,
    /// A second connection tells the far end to read, then it is waited for.
    AfterCalling(&'a Address),
}

pub mod a_sender_waits_while_nobody_reads {
    use super::*;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let mut listener = listen_at(&env, &address).await;
        let (_sender, mut receiver) = accept_from::<E>(&mut listener).await;
        let _told = accept_from::<E>(&mut listener).await;
        let mut count = 0;
        while let Some(found) = receiver.recv().await.expect("all of it arrives") {
            assert_received(Ok(Some(found)), &filler(count), &format!("filler {count}"));
            count += 1;
        }
        assert!(count >= 2, "only {count} fillers arrived");
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let (mut sender, _receiver) = dial_one(&env, &address).await;
        let taken = fill(&env, &mut sender, Finish::AfterCalling(&address)).await;
        let last = frame::<E>(Bytes::new(), filler(taken).body);
        assert_eq!(sender.send(last).await, Ok(()), "the link flows again");
    }
}

pub mod a_dropped_recv_loses_no_frame {
    use super::*;

    const COUNT: usize = 2 * SIZES.len();

    pub async fn listen<E: Env>(env: E, address: Address) {
        let (_sender, mut receiver) = accept_one(&env, &address).await;
        let (mut count, mut dropped) = (0, 0);
        loop {
            match timeout(&env, MILLISECOND, receiver.recv()).await {
                Err(_) => dropped += 1,
                Ok(Ok(None)) => break,
                Ok(found) => {
                    assert_received(found, &expected(count), &format!("frame {count}"));
                    count += 1;
                }
            }
        }
        assert_eq!(count, COUNT);
        assert!(dropped > 0, "no recv was ever dropped, so the case has shown nothing");
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let (mut sender, _receiver) = dial_one(&env, &address).await;
        for index in 0..COUNT {
            assert_eq!(sender.send(sent::<E>(index)).await, Ok(()));
            sleep(&env, (index as u32 % 4) * MILLISECOND).await;
        }
    }
}

pub mod a_dropped_accept_loses_no_connection {
    use super::*;

    const CONNECTIONS: usize = 12;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let mut listener = listen_at(&env, &address).await;
        let (mut conns, mut dropped) = (Vec::new(), 0);
        while conns.len() < CONNECTIONS {
            match timeout(&env, MILLISECOND, listener.accept()).await {
                Err(_) => dropped += 1,
                Ok(accepted) => conns.push(accepted.expect("a connection comes in").conn),
            }
        }
        let mut callers = BTreeSet::new();
        for conn in conns {
            let (_sender, mut receiver) = super::super::Conn::split(conn);
            let found = receiver.recv().await.expect("arrives").expect("is there");
            assert!(callers.insert(found.head), "a caller was heard twice");
        }
        assert!(dropped > 0, "no accept was ever dropped, so the case has shown nothing");
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let mut kept = Vec::new();
        for index in 0..CONNECTIONS {
            let (mut sender, receiver) = dial_one(&env, &address).await;
            let name = Bytes::from(index.to_string());
            assert_eq!(sender.send(frame::<E>(name, Bytes::new())).await, Ok(()));
            kept.push((sender, receiver));
            sleep(&env, (index as u32 % 4) * MILLISECOND).await;
        }
        for (_, receiver) in &mut kept {
            assert_eq!(receiver.recv().await, Ok(None), "the far end was done and closed");
        }
    }
}
