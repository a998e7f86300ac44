//! Peers that are not there, go away, fall silent, come back.

use super::lab::{ECHO, Lab, NEWS};
use crate::rpc::backoff::BackoffConfig;
use crate::rpc::breaker::BreakerConfig;
use crate::rpc::hello::{Introduction, Versions};
use crate::rpc::liveness::LivenessConfig;
use crate::rpc::{CallError, Channel, ChannelConfig, Code, Rooms, ServerConfig, serve};
use crate::testing::TestEnv;
use bytes::Bytes;
use futures::future::{join, join3};
use mooseng_core::env::{Body, Conn, Env, Frame, FrameReceiver, FrameSender, Listener, Net};
use std::time::Duration;

async fn echo(lab: &Lab, channel: &Channel<TestEnv>) -> Result<(), CallError> {
    channel.call(&ECHO, Bytes::from_static(b"x"), Body::Empty, lab.within(1_000)).await.map(|_| ())
}

#[test]
fn a_lost_connection_tells_what_may_have_been_done_from_what_was_not() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let channel = lab.channel(ChannelConfig::default());
        assert_eq!(echo(&lab, &channel).await, Ok(()));
        let (sent, unsent, ()) = join3(
            lab.wait(&channel, 500, 1_000),
            async {
                lab.pause(1).await;
                // The link takes the first of these and is stuck with it; the second stays queued.
                join(lab.wait(&channel, 600, 1_000), lab.wait(&channel, 700, 1_000)).await
            },
            async {
                lab.pause(1).await;
                lab.env.network().stall(true);
                lab.pause(1).await;
                lab.env.network().reset();
            },
        )
        .await;
        let (stuck, unsent) = unsent;
        for lost in [sent.unwrap_err(), stuck.unwrap_err()] {
            assert!(matches!(lost, CallError::Lost(_)) && lost.maybe_carried_out(), "{lost}");
        }
        let unsent = unsent.unwrap_err();
        assert!(matches!(&unsent, CallError::Unreachable(_)) && !unsent.maybe_carried_out(), "{unsent}");
        assert_eq!(unsent.to_string(), "cannot be reached: server: the connection was closed: reset");
        // What the server did for the first is dropped with its connection.
        lab.pause(1).await;
        assert_eq!(lab.log(), ["waits 500 of 1000", "dropped 500"]);
        // The next call makes another connection.
        assert_eq!(echo(&lab, &channel).await, Ok(()));
        assert_eq!(lab.env.network().connected(), 2);
    });
}

#[test]
fn a_peer_that_is_not_there_is_asked_less_and_less_and_found_when_it_comes() {
    let lab = Lab::new();
    lab.env.run(async {
        let channel = lab.channel(ChannelConfig {
            backoff: BackoffConfig { first: Duration::from_millis(10), max: Duration::from_millis(80) },
            breaker: BreakerConfig { failures_max: 1_000, ..BreakerConfig::default() },
            ..ChannelConfig::default()
        });
        let mut waits = Vec::new();
        for _ in 0..6 {
            let before = lab.now_millis();
            assert!(matches!(echo(&lab, &channel).await, Err(CallError::Unreachable(_))));
            waits.push(lab.now_millis() - before);
        }
        // Each waits from half to the whole of what it may, in milliseconds cut off.
        let whole = [0, 10, 20, 40, 80, 80];
        assert!(
            waits.iter().zip(whole).all(|(wait, whole)| (whole / 2 - whole.min(1)..=whole).contains(wait)),
            "{waits:?}"
        );
        lab.open(ServerConfig::default()).await;
        assert_eq!(echo(&lab, &channel).await, Ok(()));
    });
}

#[test]
fn the_breaker_opens_and_one_probe_finds_the_peer_again() {
    let lab = Lab::new();
    lab.env.run(async {
        let channel = lab.channel(ChannelConfig {
            backoff: BackoffConfig { first: Duration::from_millis(1), max: Duration::from_millis(1) },
            breaker: BreakerConfig {
                failures_max: 3,
                rest_first: Duration::from_millis(100),
                rest_max: Duration::from_millis(100),
            },
            ..ChannelConfig::default()
        });
        for _ in 0..3 {
            assert!(matches!(echo(&lab, &channel).await, Err(CallError::Unreachable(_))));
        }
        let before = lab.now_millis();
        let refused = echo(&lab, &channel).await.unwrap_err();
        assert!(refused.to_string().contains("left alone"), "{refused}");
        assert!(matches!(channel.notify(&NEWS, Bytes::new()), Err(CallError::Unreachable(_))));
        assert_eq!(lab.now_millis(), before, "refused at once");
        lab.open(ServerConfig::default()).await;
        assert!(echo(&lab, &channel).await.is_err(), "still resting");
        lab.pause(100).await;
        let (probe, other) = join(echo(&lab, &channel), echo(&lab, &channel)).await;
        assert_eq!(probe, Ok(()));
        assert!(matches!(other, Err(CallError::Unreachable(_))), "one probe at a time");
        assert_eq!(echo(&lab, &channel).await, Ok(()));
    });
}

#[test]
fn a_peer_that_never_answers_in_time_opens_the_breaker() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let breaker = BreakerConfig { failures_max: 3, ..BreakerConfig::default() };
        let liveness =
            LivenessConfig { ping_after: Duration::from_secs(5), silence_max: Duration::from_secs(9) };
        let channel = lab.channel(ChannelConfig { breaker, liveness, ..ChannelConfig::default() });
        assert_eq!(echo(&lab, &channel).await, Ok(()));
        lab.env.network().silence(true);
        for _ in 0..3 {
            assert_eq!(lab.wait(&channel, 500, 10).await, Err(CallError::Deadline));
        }
        assert!(matches!(echo(&lab, &channel).await, Err(CallError::Unreachable(_))));
        lab.env.network().silence(false);
        assert_eq!(channel.notify(&NEWS, Bytes::new()), Ok(()), "the connection stands");
        lab.pause(50).await;
        assert_eq!(lab.log(), ["news "]);
        assert_eq!(echo(&lab, &channel).await, Ok(()));
        assert_eq!(echo(&lab, &channel).await, Ok(()));
    });
}

/// Saying hello is not answering.
#[test]
fn a_server_that_falls_over_at_every_call_opens_the_breaker() {
    let lab = Lab::new();
    lab.env.run(async {
        let mut listener = lab.env.net().listen(&Lab::address()).await.unwrap();
        lab.env.spawn("falls over", async move {
            while let Ok(accepted) = listener.accept().await {
                let (mut sender, mut receiver) = accepted.conn.split();
                let head = Introduction::new(Versions::default(), None, "falls over").head();
                sender.send(Frame { head, body: Body::Empty }).await.unwrap();
                receiver.recv().await.unwrap();
                receiver.recv().await.unwrap();
            }
        });
        let breaker = BreakerConfig { failures_max: 3, ..BreakerConfig::default() };
        let channel = lab.channel(ChannelConfig { breaker, ..ChannelConfig::default() });
        for _ in 0..3 {
            assert!(matches!(echo(&lab, &channel).await, Err(CallError::Lost(_))));
        }
        assert!(matches!(echo(&lab, &channel).await, Err(CallError::Unreachable(_))));
    });
}

#[test]
fn a_peer_that_falls_silent_is_given_up() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let channel = lab.channel(ChannelConfig::default());
        assert_eq!(echo(&lab, &channel).await, Ok(()));
        lab.env.network().silence(true);
        let before = lab.now_millis();
        let lost = lab.wait(&channel, 1, 10_000).await.unwrap_err();
        assert!(matches!(&lost, CallError::Lost(why) if why.contains("nothing was heard")), "{lost}");
        assert_eq!(lab.now_millis() - before, 600);
        assert_eq!(echo(&lab, &channel).await, Ok(()), "over a new connection");
    });
}

#[test]
fn a_peer_that_takes_its_time_is_not() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let channel = lab.channel(ChannelConfig::default());
        assert!(lab.wait(&channel, 9_000, 10_000).await.is_ok());
        // One-way messages are answered by nobody; the pings are.
        for _ in 0..100 {
            assert_eq!(channel.notify(&NEWS, Bytes::new()), Ok(()));
            lab.pause(50).await;
        }
        assert_eq!(lab.env.network().connected(), 1);
    });
}

#[test]
fn an_idle_connection_is_closed_and_made_again() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig { idle_max: Duration::from_secs(5), ..ServerConfig::default() }).await;
        let channel = lab.channel(ChannelConfig::default());
        assert_eq!(echo(&lab, &channel).await, Ok(()));
        lab.pause(4_999).await;
        assert_eq!(echo(&lab, &channel).await, Ok(()));
        lab.pause(5_001).await;
        assert_eq!(lab.env.tasks(), 1, "only the server is left");
        assert_eq!(echo(&lab, &channel).await, Ok(()));
        assert_eq!(lab.env.network().connected(), 2);
    });
}

#[test]
fn a_server_that_stops_finishes_what_is_under_way() {
    let lab = Lab::new();
    lab.env.run(async {
        let listener = lab.env.net().listen(&Lab::address()).await.unwrap();
        let server = serve(
            lab.env.clone(),
            listener,
            lab.clone(),
            ServerConfig::default(),
            Rooms::new(&ServerConfig::default()),
        );
        let channel = lab.channel(ChannelConfig::default());
        let serving = async {
            let stop = std::pin::pin!(lab.pause(10));
            futures::future::select(std::pin::pin!(server), stop).await;
        };
        let late = async {
            lab.pause(20).await;
            lab.wait(&channel, 1, 1_000).await
        };
        let (underway, late, ()) = join3(lab.wait(&channel, 50, 1_000), late, serving).await;
        assert!(underway.is_ok(), "{underway:?}");
        assert!(matches!(late, Err(CallError::Status(status)) if status.code == Code::Unavailable));
        assert_eq!(lab.now_millis(), 50);
        lab.pause(1).await;
        assert_eq!(lab.env.tasks(), 0, "neither end holds on to the connection");
    });
}

#[test]
fn a_connection_may_break_after_any_frame() {
    let lab = Lab::new();
    lab.env.buggify_at("rpc-connection-lost-after-a-send");
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let channel = lab.channel(ChannelConfig::default());
        assert!(matches!(echo(&lab, &channel).await, Err(CallError::Lost(_))));
    });
}
