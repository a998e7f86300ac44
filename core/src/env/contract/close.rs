//! How connections end.

use super::flow::{Finish, fill, filler};
use super::{
    A_WHILE, Env, MILLISECOND, accept_from, accept_one, assert_received, dial_one, expected, frame,
    listen_at, sent,
};
use crate::env::{Address, FrameReceiver, FrameSender, NetError, sleep};
use bytes::Bytes;

/// More sends than this to a connection that is no more would mean that nobody notices.
const SENDS_MAX: usize = 1_000;

async fn assert_send_fails<E: Env>(env: &E, sender: &mut super::SenderOf<E>) {
    for _ in 0..SENDS_MAX {
        match sender.send(sent::<E>(4)).await {
            Ok(()) => sleep(env, MILLISECOND).await,
            Err(error) => {
                assert!(matches!(error, NetError::Closed { .. }), "{error}");
                return;
            }
        }
    }
    panic!("{SENDS_MAX} frames were taken by a connection that is over")
}

pub mod a_dropped_sender_ends_one_direction {
    use super::*;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let (mut sender, mut receiver) = accept_one(&env, &address).await;
        assert_received(receiver.recv().await, &expected(6), "the last frame");
        assert_eq!(receiver.recv().await, Ok(None), "nothing more comes");
        sleep(&env, A_WHILE).await;
        for index in 0..20 {
            assert_eq!(sender.send(sent::<E>(index)).await, Ok(()), "the other direction stands");
        }
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let (mut sender, mut receiver) = dial_one(&env, &address).await;
        assert_eq!(sender.send(sent::<E>(6)).await, Ok(()));
        drop(sender);
        for index in 0..20 {
            assert_received(receiver.recv().await, &expected(index), &format!("answer {index}"));
        }
        assert_eq!(receiver.recv().await, Ok(None));
    }
}

pub mod a_closed_connection_takes_no_more {
    use super::*;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let (mut sender, mut receiver) = accept_one(&env, &address).await;
        assert_received(receiver.recv().await, &expected(3), "the only frame");
        assert_eq!(receiver.recv().await, Ok(None));
        assert_send_fails(&env, &mut sender).await;
        let again = sender.send(sent::<E>(0)).await;
        assert!(matches!(again, Err(NetError::Closed { .. })), "closed for good: {again:?}");
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let (mut sender, receiver) = dial_one(&env, &address).await;
        assert_eq!(sender.send(sent::<E>(3)).await, Ok(()));
        drop((sender, receiver));
    }
}

/// The far end gets what was taken, from the first on and each whole, and then an error: half a
/// frame is neither a frame nor an orderly end.
pub mod a_send_dropped_midway_closes_the_connection {
    use super::*;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let mut listener = listen_at(&env, &address).await;
        let (_sender, mut receiver) = accept_from::<E>(&mut listener).await;
        let (mut told, mut wait) = accept_from::<E>(&mut listener).await;
        assert_eq!(wait.recv().await.map(|found| found.is_some()), Ok(true), "the send was dropped");
        let mut count = 0;
        let end = loop {
            match receiver.recv().await {
                Ok(Some(found)) => assert_received(Ok(Some(found)), &filler(count), "a filler"),
                other => break other,
            }
            count += 1;
        };
        assert!(matches!(end, Err(NetError::Closed { .. })), "after {count} frames: {end:?}");
        let count = Bytes::from(count.to_string());
        assert_eq!(told.send(frame::<E>(count, Bytes::new())).await, Ok(()));
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let (mut sender, receiver) = dial_one(&env, &address).await;
        let (mut tell, mut wait) = dial_one(&env, &address).await;
        let taken = fill(&env, &mut sender, Finish::Dropped).await;
        let after = sender.send(sent::<E>(0)).await;
        assert!(matches!(after, Err(NetError::Closed { .. })), "no frame follows half a frame: {after:?}");
        assert_eq!(tell.send(frame::<E>(Bytes::new(), Bytes::new())).await, Ok(()));
        let answer = wait.recv().await.expect("arrives").expect("is there");
        let count = std::str::from_utf8(&answer.head).ok().and_then(|count| count.parse::<u64>().ok());
        let count = count.expect("the far end counts");
        assert!(count <= taken, "{count} frames arrived, {taken} were taken");
        drop((sender, receiver));
    }
}
