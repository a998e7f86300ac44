//! Listening and reaching somebody who listens.

use super::{
    Env, ReceiverOf, SenderOf, accept_from, assert_received, dial_one, expected, frame, listen_at, sent,
};
use crate::env::{Address, FrameReceiver, FrameSender, Listener, Net, NetError};
use bytes::Bytes;

/// Waits until the other side has said that it is ready.
async fn wait_for_word<E: Env>(receiver: &mut ReceiverOf<E>) {
    let word = receiver.recv().await.expect("arrives");
    assert!(word.is_some(), "the other side is gone");
}

async fn give_word<E: Env>(sender: &mut SenderOf<E>) {
    assert_eq!(sender.send(frame::<E>(Bytes::new(), Bytes::new())).await, Ok(()));
}

async fn assert_unreachable<E: Env>(env: &E, address: &Address) {
    match env.net().connect(address).await {
        Err(NetError::Unreachable { address: named, what }) => {
            assert_eq!(&named, address, "the error names the address");
            assert!(!what.is_empty(), "and says why");
        }
        Err(other) => panic!("{address}: {other}"),
        Ok(_) => panic!("{address} was reached, though nobody listens there"),
    }
}

pub mod a_port_of_zero_becomes_a_real_one {
    use super::*;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let (host, _) = address.as_str().rsplit_once(':').expect("an address is host:port");
        let any = Address::new(format!("{host}:0"));
        let (mut one, mut two) = (listen_at(&env, &any).await, listen_at(&env, &any).await);
        assert_ne!(one.address(), two.address(), "each has a port of its own");
        let mut known = listen_at(&env, &address).await;
        assert_eq!(known.address(), address, "a port that was asked for stays as it is");
        let (mut sender, _receiver) = accept_from::<E>(&mut known).await;
        for listener in [&mut one, &mut two] {
            let name = Bytes::from(listener.address().as_str().to_owned());
            assert_eq!(sender.send(frame::<E>(name, Bytes::new())).await, Ok(()));
            let (_sender, mut receiver) = accept_from::<E>(listener).await;
            assert_received(receiver.recv().await, &expected(1), "at the port it was given");
        }
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let (_sender, mut receiver) = dial_one(&env, &address).await;
        for _ in 0..2 {
            let told = receiver.recv().await.expect("arrives").expect("is there");
            let found = Address::new(std::str::from_utf8(&told.head).expect("an address is text"));
            let (mut sender, _receiver) = dial_one(&env, &found).await;
            assert_eq!(sender.send(sent::<E>(1)).await, Ok(()));
        }
    }
}

pub mod a_taken_address_is_refused {
    use super::*;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let mut first = listen_at(&env, &address).await;
        match env.net().listen(&address).await.map(|_| ()) {
            Err(NetError::Listen { address: named, what }) => {
                assert_eq!(named, address, "the error names the address");
                assert!(!what.is_empty() && !what.contains('\n'), "one line says why: {what:?}");
            }
            other => panic!("the address was taken twice: {other:?}"),
        }
        let (_sender, mut receiver) = accept_from::<E>(&mut first).await;
        assert_received(receiver.recv().await, &expected(1), "the first listener goes on");
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let (mut sender, _receiver) = dial_one(&env, &address).await;
        assert_eq!(sender.send(sent::<E>(1)).await, Ok(()));
    }
}

pub mod nobody_listening_is_unreachable {
    use super::*;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let _ = (env, address);
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        assert_unreachable(&env, &address).await;
    }
}

pub mod a_dropped_listener_is_gone_and_its_connections_live {
    use super::*;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let mut listener = listen_at(&env, &address).await;
        let (mut sender, mut receiver) = accept_from::<E>(&mut listener).await;
        drop(listener);
        give_word::<E>(&mut sender).await;
        wait_for_word::<E>(&mut receiver).await;
        let mut again = listen_at(&env, &address).await;
        give_word::<E>(&mut sender).await;
        let (_sender, mut fresh) = accept_from::<E>(&mut again).await;
        assert_received(fresh.recv().await, &expected(2), "through the second listener");
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let (mut sender, mut receiver) = dial_one(&env, &address).await;
        wait_for_word::<E>(&mut receiver).await;
        assert_unreachable(&env, &address).await;
        give_word::<E>(&mut sender).await;
        wait_for_word::<E>(&mut receiver).await;
        let (mut fresh, _receiver) = dial_one(&env, &address).await;
        assert_eq!(fresh.send(sent::<E>(2)).await, Ok(()));
    }
}
