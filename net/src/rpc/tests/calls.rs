//! Calls that go as calls should: side by side, in time, within limits.

use super::lab::few;
use super::lab::{ECHO, LEAD, Lab, NEWS, WAIT};
use crate::rpc::{CallError, ChannelConfig, Code, Method, ServerConfig};
use bytes::Bytes;
use futures::future::{join, join_all};
use mooseng_core::env::{Address, Body, FRAME_HEAD_BYTES_MAX, timeout};
use std::time::Duration;

#[test]
fn messages_and_bodies_go_there_and_back() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let channel = lab.channel(ChannelConfig::default());
        let body = Body::Bytes(Bytes::from_static(b"body"));
        let answer =
            channel.call(&ECHO, Bytes::from_static(b"message"), body, lab.within(100)).await.unwrap();
        assert_eq!((&answer.head[..], &answer.body[..]), (&b"message"[..], &b"body"[..]));
        let answer = channel.call(&ECHO, Bytes::new(), Body::Empty, lab.within(100)).await.unwrap();
        assert!(answer.head.is_empty() && answer.body.is_empty());
        assert_eq!(lab.env.network().connected(), 1, "one connection for all calls");
    });
}

#[test]
fn many_calls_share_a_connection_and_answer_as_they_are_done() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let channel = lab.channel(ChannelConfig::default());
        let done = std::sync::Mutex::new(Vec::new());
        let calls = [30, 10, 20, 5].map(|millis| {
            let (lab, channel, done) = (&lab, &channel, &done);
            async move {
                let answer = lab.wait(channel, millis, 1_000).await.unwrap();
                assert_eq!(answer.head, millis.to_string());
                done.lock().unwrap().push(millis);
            }
        });
        join_all(calls).await;
        assert_eq!(*done.lock().unwrap(), [5, 10, 20, 30]);
        assert_eq!(lab.now_millis(), 30, "they did not wait for each other");
        assert_eq!(lab.env.network().connected(), 1);
    });
}

#[test]
fn a_refusal_says_what_to_do() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let channel = lab.channel(ChannelConfig::default());
        let refusal = channel.call(&LEAD, Bytes::new(), Body::Empty, lab.within(100)).await.unwrap_err();
        let CallError::Status(status) = refusal else { panic!("{refusal}") };
        assert_eq!((status.code, status.leader), (Code::NotLeader, Some(Address::new("elsewhere"))));
        static UNKNOWN: Method = Method { number: 99, name: "Lab.Unknown", one_way: false };
        let refusal = channel.call(&UNKNOWN, Bytes::new(), Body::Empty, lab.within(100)).await.unwrap_err();
        assert!(matches!(refusal, CallError::Status(status) if status.code == Code::Unimplemented));
        let large = Bytes::from(vec![0; FRAME_HEAD_BYTES_MAX]);
        let refusal = channel.call(&ECHO, large, Body::Empty, lab.within(100)).await.unwrap_err();
        assert!(matches!(refusal, CallError::Status(status) if status.code == Code::Invalid));
        // None of this has hurt the connection.
        assert!(channel.call(&ECHO, Bytes::new(), Body::Empty, lab.within(100)).await.is_ok());
        assert_eq!(lab.env.network().connected(), 1);
    });
}

#[test]
fn the_deadline_travels_and_ends_the_call_on_both_sides() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let channel = lab.channel(ChannelConfig::default());
        assert_eq!(lab.wait(&channel, 500, 40).await, Err(CallError::Deadline));
        assert_eq!(lab.now_millis(), 40);
        lab.pause(1).await;
        assert_eq!(lab.log(), ["waits 500 of 40", "dropped 500"]);
        // What is over before it begins is not even sent.
        let past = channel.call(&WAIT, Bytes::from_static(b"1"), Body::Empty, lab.within(0)).await;
        assert_eq!((past, lab.log().len()), (Err(CallError::too_late()), 2));
    });
}

#[test]
fn a_servers_own_limit_ends_a_call_that_would_wait_forever() {
    let lab = Lab::new();
    lab.env.run(async {
        let deadline_max = Duration::from_millis(70);
        lab.open(ServerConfig { deadline_max, ..ServerConfig::default() }).await;
        let channel = lab.channel(ChannelConfig::default());
        assert_eq!(lab.wait(&channel, 100_000, 1_000_000).await, Err(CallError::Deadline));
        assert_eq!(
            (lab.now_millis(), lab.log()),
            (70, vec!["waits 100000 of 70".into(), "dropped 100000".into()])
        );
    });
}

#[test]
fn dropping_a_call_drops_what_the_server_does_for_it() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let channel = lab.channel(ChannelConfig::default());
        let impatient = timeout(&lab.env, Duration::from_millis(10), lab.wait(&channel, 500, 1_000)).await;
        assert!(impatient.is_err());
        lab.pause(1).await;
        assert_eq!(
            (lab.now_millis(), lab.log()),
            (11, vec!["waits 500 of 1000".into(), "dropped 500".into()])
        );
    });
}

/// The cancel is a courtesy. Without it the deadline does it.
#[test]
fn a_cancel_that_is_not_sent_leaves_the_deadline() {
    let lab = Lab::new();
    lab.env.buggify_at("rpc-cancel-not-sent");
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let channel = lab.channel(ChannelConfig::default());
        let impatient = timeout(&lab.env, Duration::from_millis(10), lab.wait(&channel, 500, 100)).await;
        assert!(impatient.is_err());
        lab.pause(80).await;
        assert_eq!(lab.log(), ["waits 500 of 100"]);
        lab.pause(20).await;
        assert_eq!(lab.log(), ["waits 500 of 100", "dropped 500"]);
    });
}

#[test]
fn a_server_with_too_much_to_do_says_so_at_once() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(few(|share| share.connection_calls_max = 2)).await;
        let channel = lab.channel(ChannelConfig::default());
        let calls = (0..3).map(|_| lab.wait(&channel, 50, 1_000));
        let ends = join(join_all(calls), async {
            lab.pause(1).await;
            lab.wait(&channel, 1, 1_000).await
        });
        let (first, late) = ends.await;
        assert_eq!(first.iter().filter(|end| end.is_ok()).count(), 2);
        assert_eq!(first[2], Err(CallError::Overloaded));
        assert_eq!(late, Err(CallError::Overloaded));
        assert!(lab.wait(&channel, 1, 1_000).await.is_ok(), "room again");
    });
}

#[test]
fn the_limit_on_all_calls_holds_across_connections() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(few(|share| share.calls_max = 2)).await;
        let channels: Vec<_> = (0..3).map(|_| lab.channel(ChannelConfig::default())).collect();
        let ends = join_all(channels.iter().map(|channel| lab.wait(channel, 50, 1_000))).await;
        assert_eq!(ends.iter().filter(|end| end.is_ok()).count(), 2);
        assert_eq!(ends.iter().filter(|end| **end == Err(CallError::Overloaded)).count(), 1);
    });
}

#[test]
fn one_way_messages_arrive_in_order_and_are_dropped_when_the_queue_is_full() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let channel = lab.channel(ChannelConfig { queue_frames_max: 3, ..ChannelConfig::default() });
        let sent: Vec<_> = (0..5).map(|news| channel.notify(&NEWS, Bytes::from(news.to_string()))).collect();
        let full = Err(CallError::Overloaded);
        assert_eq!(sent, [Ok(()), Ok(()), Ok(()), full.clone(), full]);
        lab.pause(10).await;
        assert_eq!(lab.log(), ["news 0", "news 1", "news 2"]);
        assert_eq!(channel.notify(&NEWS, Bytes::from_static(b"5")), Ok(()));
        lab.pause(10).await;
        assert_eq!(lab.log().last().map(String::as_str), Some("news 5"));
    });
}

#[test]
fn a_caller_that_does_not_read_is_not_read_from() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(few(|share| share.connection_calls_max = 4)).await;
        let channel = lab.channel(ChannelConfig::default());
        let echo = || channel.call(&ECHO, Bytes::new(), Body::Empty, lab.within(500));
        assert!(echo().await.is_ok());
        let ends = join(join_all((0..40).map(|_| echo())), async {
            lab.env.network().stall(true);
            lab.pause(100).await;
            lab.env.network().stall(false);
        });
        let (ends, ()) = ends.await;
        assert!(ends.iter().all(|end| end.is_ok() || *end == Err(CallError::Overloaded)), "{ends:?}");
        assert!(ends.iter().any(|end| end.is_ok()));
    });
}

#[test]
fn the_connection_closes_with_the_last_clone_of_the_channel() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let channel = lab.channel(ChannelConfig::default());
        let clone = channel.clone();
        assert!(lab.wait(&channel, 1, 100).await.is_ok());
        assert_eq!(lab.env.tasks(), 3, "the server, its connection and the caller's link");
        drop(channel);
        assert!(lab.wait(&clone, 1, 100).await.is_ok());
        drop(clone);
        lab.pause(1).await;
        assert_eq!(lab.env.tasks(), 1, "the server");
    });
}
