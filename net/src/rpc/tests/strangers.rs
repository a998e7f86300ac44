//! Peers of another version, and peers that send rubbish.

use super::lab::{ECHO, Lab};
use crate::rpc::head::{Head, Kind};
use crate::rpc::hello::{Introduction, Versions};
use crate::rpc::{CallError, ChannelConfig, ServerConfig};
use bytes::Bytes;
use mooseng_core::env::{Body, Conn, Env, Frame, FrameReceiver, FrameSender, Listener, Net};

fn versions(oldest: u32, newest: u32) -> Versions {
    Versions { oldest, newest }
}

#[test]
fn neighbouring_versions_talk() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig { versions: versions(1, 2), ..ServerConfig::default() }).await;
        let channel = lab.channel(ChannelConfig { versions: versions(2, 3), ..ChannelConfig::default() });
        assert!(channel.call(&ECHO, Bytes::new(), Body::Empty, lab.within(100)).await.is_ok());
        assert!(lab.env.notes().is_empty());
    });
}

#[test]
fn versions_that_do_not_meet_get_one_line_on_either_side() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig { versions: versions(1, 2), build: "0.2", ..ServerConfig::default() }).await;
        let config = ChannelConfig { versions: versions(4, 5), build: "0.5", ..ChannelConfig::default() };
        let channel = lab.channel(config);
        for _ in 0..3 {
            let error = channel.call(&ECHO, Bytes::new(), Body::Empty, lab.within(500)).await.unwrap_err();
            assert!(matches!(&error, CallError::Unreachable(why) if why.contains("upgrade")), "{error}");
        }
        let callers_line = "server: it (build 0.2) speaks protocol versions 1 to 2, this build (0.5) 4 to 5: \
             upgrade the older of the two";
        let servers_line = "caller was cut off: it (build 0.5) speaks protocol versions 4 to 5, \
             this build (0.2) 1 to 2: upgrade the older of the two";
        let notes = lab.env.notes();
        assert_eq!(notes.iter().filter(|line| *line == callers_line).count(), 1, "{notes:?}");
        assert!(notes.iter().any(|line| line == servers_line), "{notes:?}");
    });
}

type TestSender = <<crate::testing::TestNet as Net>::Conn as Conn>::Sender;
type TestReceiver = <<crate::testing::TestNet as Net>::Conn as Conn>::Receiver;

async fn say(sender: &mut TestSender, head: Bytes) {
    sender.send(Frame { head, body: Body::Empty }).await.unwrap();
}

/// A connection to the server by hand, past the hellos.
async fn by_hand(lab: &Lab) -> (TestSender, TestReceiver) {
    let (mut sender, mut receiver) = lab.env.net().connect(&Lab::address()).await.unwrap().split();
    say(&mut sender, Introduction::new(Versions::default(), None, "by hand").head()).await;
    assert!(receiver.recv().await.unwrap().is_some(), "the server's hello");
    (sender, receiver)
}

fn bytes(head: Head) -> Bytes {
    Bytes::copy_from_slice(&head.encode())
}

#[test]
fn a_caller_that_sends_rubbish_is_cut_off_and_nobody_else() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let channel = lab.channel(ChannelConfig::default());
        assert!(lab.wait(&channel, 1, 100).await.is_ok());
        let rubbish = [
            Bytes::from_static(b"short"),
            Bytes::from(vec![0xff; 100]),
            bytes(Head::about(Kind::Answer, 1)),
            bytes(Head::of(Kind::Hello)),
            bytes(Head::of(Kind::Call)),
        ];
        for (index, head) in rubbish.into_iter().enumerate() {
            let (mut sender, mut receiver) = by_hand(&lab).await;
            say(&mut sender, head).await;
            assert!(!matches!(receiver.recv().await, Ok(Some(_))), "rubbish {index} was answered");
            assert_eq!(lab.env.notes().len(), index + 1, "{:?}", lab.env.notes());
        }
        assert!(lab.wait(&channel, 1, 100).await.is_ok());
        assert_eq!(lab.env.network().connected(), 6, "the good caller kept its connection");
    });
}

#[test]
fn a_stranger_at_the_door_is_cut_off() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let (mut sender, mut receiver) = lab.env.net().connect(&Lab::address()).await.unwrap().split();
        say(&mut sender, Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n")).await;
        while let Ok(Some(_)) = receiver.recv().await {}
        // And one that says nothing at all.
        let (_sender, mut receiver) = lab.env.net().connect(&Lab::address()).await.unwrap().split();
        assert!(!matches!(receiver.recv().await, Ok(Some(_))));
        assert_eq!(lab.now_millis(), 2_000);
        assert_eq!(
            lab.env.notes(),
            [
                "caller was cut off: it does not speak our protocol: a head has at least 24 bytes, this one 18",
                "caller was cut off: it did not say hello within 2s"
            ]
        );
    });
}

#[test]
fn strangers_without_end_are_told_of_within_limits() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        for _ in 0..100 {
            let (mut sender, mut receiver) = lab.env.net().connect(&Lab::address()).await.unwrap().split();
            say(&mut sender, Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n")).await;
            while let Ok(Some(_)) = receiver.recv().await {}
        }
        assert_eq!(lab.env.notes().len(), 5, "{:?}", lab.env.notes());
        lab.pause(10_000).await;
        let notes = lab.env.notes();
        assert_eq!(notes.len(), 6, "{notes:?}");
        assert!(
            notes[5].starts_with("95 more lines like this one within 10s: caller was cut off: "),
            "{notes:?}"
        );
    });
}

#[test]
fn a_server_that_sends_rubbish_is_cut_off() {
    let answers = [
        Bytes::from_static(b"short"),
        bytes(Head::about(Kind::Call, 1)),
        bytes(Head::about(Kind::Answer, 77)),
        Bytes::from([&Head::about(Kind::Refusal, 1).encode()[..], b"\xff\xff\xff"].concat()),
    ];
    for (index, rubbish) in answers.into_iter().enumerate() {
        let lab = Lab::new();
        lab.env.run(async {
            let mut listener = lab.env.net().listen(&Lab::address()).await.unwrap();
            let channel = lab.channel(ChannelConfig::default());
            let server = async {
                let (mut sender, mut receiver) = listener.accept().await.unwrap().conn.split();
                receiver.recv().await.unwrap();
                say(&mut sender, Introduction::new(Versions::default(), None, "by hand").head()).await;
                receiver.recv().await.unwrap();
                say(&mut sender, rubbish).await;
                while let Ok(Some(_)) = receiver.recv().await {}
            };
            let (error, ()) = futures::future::join(lab.wait(&channel, 1, 100), server).await;
            assert!(matches!(error, Err(CallError::Lost(_))), "rubbish {index}: {error:?}");
            assert_eq!(lab.env.notes().len(), 1, "{:?}", lab.env.notes());
        });
    }
}

#[test]
fn damage_on_the_wire_ends_the_connection_on_both_sides() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let channel = lab.channel(ChannelConfig::default());
        let (lost, ()) = futures::future::join(lab.wait(&channel, 500, 1_000), async {
            lab.pause(1).await;
            lab.env.network().corrupt();
        })
        .await;
        assert!(matches!(&lost, Err(CallError::Lost(why)) if why.contains("rubbish")), "{lost:?}");
        lab.pause(1).await;
        assert_eq!(lab.log(), ["waits 500 of 1000", "dropped 500"]);
        assert_eq!(lab.env.notes().len(), 2, "{:?}", lab.env.notes());
        assert!(lab.wait(&channel, 1, 1_000).await.is_ok(), "over a new connection");
    });
}
