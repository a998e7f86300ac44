//! Frames: each whole, in order, as large as allowed.

use super::{
    Env, SIZES, accept_from, accept_one, assert_received, assert_same, dial_one, expected, frame, listen_at,
    pattern, sent,
};
use crate::env::{
    Address, FRAME_BODY_BYTES_MAX, FRAME_HEAD_BYTES_MAX, FrameReceiver, FrameSender, NetError, Received,
};
use bytes::Bytes;
use futures::future::join_all;
use std::collections::BTreeSet;

/// How many frames a case sends: every size, several times.
const COUNT: usize = 5 * SIZES.len();

pub mod frames_arrive_whole_and_in_order {
    use super::*;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let (_sender, mut receiver) = accept_one(&env, &address).await;
        for index in 0..COUNT {
            assert_received(receiver.recv().await, &expected(index), &format!("frame {index}"));
        }
        assert_eq!(receiver.recv().await, Ok(None), "the sender is gone");
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let (mut sender, _receiver) = dial_one(&env, &address).await;
        for index in 0..COUNT {
            assert_eq!(sender.send(sent::<E>(index)).await, Ok(()), "frame {index}");
        }
    }
}

fn largest() -> Received {
    Received { head: pattern(1, FRAME_HEAD_BYTES_MAX), body: pattern(2, FRAME_BODY_BYTES_MAX) }
}

pub mod the_largest_frame_passes {
    use super::*;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let (mut sender, mut receiver) = accept_one(&env, &address).await;
        assert_received(receiver.recv().await, &largest(), "there");
        let Received { head, body } = largest();
        assert_eq!(sender.send(frame::<E>(head, body)).await, Ok(()));
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let (mut sender, mut receiver) = dial_one(&env, &address).await;
        let Received { head, body } = largest();
        assert_eq!(sender.send(frame::<E>(head, body)).await, Ok(()));
        assert_received(receiver.recv().await, &largest(), "and back");
    }
}

pub mod a_frame_too_large_is_refused_and_nothing_is_sent {
    use super::*;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let (_sender, mut receiver) = accept_one(&env, &address).await;
        for index in 0..3 {
            assert_received(receiver.recv().await, &expected(index), &format!("frame {index}"));
        }
        assert_eq!(receiver.recv().await, Ok(None));
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let (mut sender, _receiver) = dial_one(&env, &address).await;
        let head = |len| frame::<E>(vec![1; len], Bytes::new());
        let body = |len| frame::<E>(Bytes::new(), Bytes::from(vec![1; len]));
        let bad = [head(FRAME_HEAD_BYTES_MAX + 1), body(FRAME_BODY_BYTES_MAX + 1)];
        for (index, bad) in bad.into_iter().enumerate() {
            assert_eq!(sender.send(sent::<E>(index)).await, Ok(()));
            let refused = sender.send(bad).await;
            assert!(matches!(refused, Err(NetError::TooLarge { .. })), "{refused:?}");
        }
        assert_eq!(sender.send(sent::<E>(2)).await, Ok(()), "the connection is still usable");
    }
}

pub mod what_is_sent_stays_the_callers {
    use super::*;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let (_sender, mut receiver) = accept_one(&env, &address).await;
        let whole = pattern(1, 90_000);
        let mut kept = Vec::new();
        for start in [0, 1, 30_000] {
            let received = receiver.recv().await.expect("arrives").expect("is there");
            kept.push((start, received));
        }
        assert_eq!(receiver.recv().await, Ok(None));
        for (start, received) in kept {
            assert_same(&received.head, &whole.slice(start..start + 5_000), "head, after later frames");
            assert_same(&received.body, &whole.slice(start..start + 60_000), "body, after later frames");
        }
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let (mut sender, _receiver) = dial_one(&env, &address).await;
        let whole = pattern(1, 90_000);
        for start in [0, 1, 30_000] {
            let (head, body) = (whole.slice(start..start + 5_000), whole.slice(start..start + 60_000));
            assert_eq!(sender.send(frame::<E>(head, body)).await, Ok(()));
        }
        assert_same(&whole, &pattern(1, 90_000), "sending changes nothing");
    }
}

/// Neither side reads before it has begun to write more than any link holds.
pub mod both_directions_flow_at_once {
    use super::*;

    const FRAMES: u64 = 24;
    const BYTES: usize = 1 << 20;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let (sender, receiver) = accept_one(&env, &address).await;
        exchange::<E>(sender, receiver, [1, 2]).await;
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let (sender, receiver) = dial_one(&env, &address).await;
        exchange::<E>(sender, receiver, [2, 1]).await;
    }

    async fn exchange<E: Env>(
        mut sender: super::super::SenderOf<E>,
        mut receiver: super::super::ReceiverOf<E>,
        [mine, theirs]: [u64; 2],
    ) {
        let send = async {
            for index in 0..FRAMES {
                let body = pattern(mine << 8 | index, BYTES);
                assert_eq!(sender.send(frame::<E>(Bytes::new(), body)).await, Ok(()));
            }
        };
        let recv = async {
            for index in 0..FRAMES {
                let wanted = Received { head: Bytes::new(), body: pattern(theirs << 8 | index, BYTES) };
                assert_received(receiver.recv().await, &wanted, &format!("frame {index}"));
            }
        };
        futures::join!(send, recv);
    }
}

pub mod many_connections_live_at_once {
    use super::*;

    const CONNECTIONS: usize = 60;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let mut listener = listen_at(&env, &address).await;
        let mut conns = Vec::new();
        for _ in 0..CONNECTIONS {
            conns.push(accept_from::<E>(&mut listener).await);
        }
        let answers = conns.into_iter().map(|(mut sender, mut receiver)| async move {
            let asked = receiver.recv().await.expect("arrives").expect("is there");
            let answer = frame::<E>(asked.body.clone(), asked.head);
            assert_eq!(sender.send(answer).await, Ok(()));
            assert_eq!(receiver.recv().await, Ok(None));
            asked.body
        });
        let callers: BTreeSet<Bytes> = join_all(answers).await.into_iter().collect();
        assert_eq!(callers.len(), CONNECTIONS, "two connections heard the same caller");
    }

    /// Every connection is made before the first of them is used.
    pub async fn dial<E: Env>(env: E, address: Address) {
        let conns = join_all((0..CONNECTIONS).map(|_| dial_one(&env, &address))).await;
        let calls = conns.into_iter().enumerate().map(|(index, (mut sender, mut receiver))| async move {
            let (head, body) = (pattern(1, 100), pattern(index as u64 + 2, 1_000 + index));
            assert_eq!(sender.send(frame::<E>(head.clone(), body.clone())).await, Ok(()));
            let wanted = Received { head: body, body: head };
            assert_received(receiver.recv().await, &wanted, &format!("connection {index}"));
        });
        join_all(calls).await;
    }
}
