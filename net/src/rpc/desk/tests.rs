//! What a server makes of each frame, sound or not.

use super::*;
use crate::rpc::config::Share;
use crate::rpc::room::Rooms;
use bytes::Bytes;
use mooseng_core::chance::{Dice, stream};
use prost::Message;
use std::time::Duration;

#[derive(Clone, Debug)]
struct Sealed;

impl Extent for Sealed {
    fn len(&self) -> u64 {
        0
    }
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn desk(calls_max: usize) -> Desk {
    let config = ServerConfig {
        clients: Share { connection_calls_max: calls_max, calls_max: 100, ..ServerConfig::default().clients },
        deadline_max: Duration::from_millis(500),
        drain_max: Duration::from_millis(50),
        idle_max: Duration::from_millis(1_000),
        ..ServerConfig::default()
    };
    Desk::new(Address::new("caller"), config, Rooms::new(&config).of(false), at(0))
}

/// A method that is refused no room.
const VITAL: u32 = 7;

fn frame(head: Head, message: &'static [u8]) -> Received {
    Received { head: Payload::from_bytes(message).into_head(&head), body: Bytes::new() }
}

fn call(number: u64, left_millis: u64) -> Received {
    let head = Head { method: 9, time_left_micros: left_millis * 1_000, ..Head::about(Kind::Call, number) };
    frame(head, b"ask")
}

fn take(desk: &mut Desk, now: u64, received: Received) -> Wish<Sealed> {
    desk.arrived(at(now), received, |method| method == VITAL, false).unwrap()
}

fn task(wish: Wish<Sealed>) -> Task {
    match wish {
        Wish::CarryOut(task) => task,
        other => panic!("not taken on: {other:?}"),
    }
}

/// The call that a frame refuses, and why.
fn refused(wish: Wish<Sealed>) -> (u64, Code) {
    let Wish::Send(frame) = wish else { panic!("not refused: {wish:?}") };
    let head = Head::decode(&frame.head).unwrap();
    assert_eq!(head.kind, Kind::Refusal);
    let detail = StatusDetail::decode(frame.head.slice(HEAD_BYTES..)).unwrap();
    (head.number, Status::from(detail).code)
}

#[test]
fn a_call_is_taken_on_with_the_time_it_has_left() {
    let mut desk = desk(9);
    let short = task(take(&mut desk, 1_000, call(4, 30)));
    assert_eq!((short.number, short.method, &short.incoming.message[..]), (4, 9, &b"ask"[..]));
    assert_eq!(short.incoming.call.deadline, at(1_030));
    let endless = task(take(&mut desk, 1_000, call(5, u64::MAX / 1_000)));
    assert_eq!(endless.incoming.call.deadline, at(1_500));
    assert_eq!(desk.due(), at(1_030));
}

#[test]
fn an_answer_carries_its_calls_number() {
    let mut desk = desk(9);
    task(take(&mut desk, 0, call(4, 30)));
    let reply = Reply::<Sealed>::from_bytes(b"reply", Body::Empty);
    let frame = desk.carried_out(4, Ok(reply.clone())).unwrap();
    assert_eq!(Head::decode(&frame.head), Ok(Head::about(Kind::Answer, 4)));
    assert_eq!(&frame.head[HEAD_BYTES..], b"reply");
    assert!(desk.carried_out(4, Ok(reply)).is_none());
}

#[test]
fn an_answer_too_large_for_a_frame_becomes_a_refusal() {
    let mut desk = desk(9);
    task(take(&mut desk, 0, call(4, 30)));
    let large = Reply::<Sealed>::from_bytes(&vec![0; 1 << 20], Body::Empty);
    let frame = desk.carried_out(4, Ok(large)).unwrap();
    assert_eq!(refused(Wish::Send(frame)), (4, Code::Internal));
}

#[test]
fn a_full_or_crowded_server_says_so() {
    let mut desk = desk(2);
    task(take(&mut desk, 0, call(1, 30)));
    task(take(&mut desk, 0, call(2, 30)));
    assert_eq!(refused(take(&mut desk, 0, call(3, 30))), (3, Code::Overloaded));
    let one_way = || frame(Head { method: 9, ..Head::of(Kind::Notify) }, b"");
    task(take(&mut desk, 0, one_way()));
    task(take(&mut desk, 0, one_way()));
    assert!(matches!(take(&mut desk, 0, one_way()), Wish::Nothing));
    let vital = frame(Head { method: VITAL, time_left_micros: 1, ..Head::about(Kind::Call, 4) }, b"ask");
    task(desk.arrived(at(0), vital, |method| method == VITAL, true).unwrap());
    desk.carried_out::<Sealed>(1, Err(Status::unimplemented(9)));
    assert_eq!(
        refused(desk.arrived(at(0), call(3, 30), |method| method == VITAL, true).unwrap()),
        (3, Code::Overloaded)
    );
    task(take(&mut desk, 0, call(3, 30)));
}

#[test]
fn who_only_waits_for_something_new_is_at_rest() {
    let mut desk = desk(2);
    let vital = frame(Head { method: VITAL, ..Head::about(Kind::Call, 1) }, b"ask");
    task(take(&mut desk, 5, vital));
    assert_eq!(desk.idle_since(), Some(at(5)));
    task(take(&mut desk, 6, call(2, 30)));
    assert_eq!(desk.idle_since(), None);
    desk.carried_out::<Sealed>(2, Err(Status::unimplemented(9)));
    assert_eq!(desk.idle_since(), Some(at(6)));
}

#[test]
fn a_cancelled_call_is_dropped_without_an_answer() {
    let mut desk = desk(9);
    let task = task(take(&mut desk, 0, call(4, 30)));
    assert!(matches!(take(&mut desk, 0, frame(Head::about(Kind::Cancel, 4), b"")), Wish::Nothing));
    assert!(task.abort.handle().is_aborted());
    assert!(desk.carried_out::<Sealed>(4, Ok(Reply::nothing())).is_none());
    // A cancel that crosses the answer is no fault.
    assert!(matches!(take(&mut desk, 0, frame(Head::about(Kind::Cancel, 4), b"")), Wish::Nothing));
}

#[test]
fn a_deadline_that_passes_here_is_answered() {
    let mut desk = desk(9);
    let task = task(take(&mut desk, 0, call(4, 30)));
    assert!(desk.expire::<Sealed>(at(29)).is_none());
    assert_eq!(refused(desk.expire(at(30)).unwrap()), (4, Code::Deadline));
    assert!(desk.expire::<Sealed>(at(30)).is_none());
    assert!(task.abort.handle().is_aborted());
}

#[test]
fn one_way_calls_are_not_answered_and_end_at_the_latest_deadline() {
    let mut desk = desk(9);
    let notify = || frame(Head { method: 9, ..Head::of(Kind::Notify) }, b"news");
    let first = task(take(&mut desk, 0, notify()));
    let second = task(take(&mut desk, 0, notify()));
    assert_ne!(first.number, second.number);
    assert!(desk.carried_out::<Sealed>(first.number, Ok(Reply::nothing())).is_none());
    assert!(matches!(desk.expire::<Sealed>(at(500)), Some(Wish::Nothing)));
}

#[test]
fn draining_finishes_what_is_under_way_and_takes_on_nothing() {
    let mut desk = desk(9);
    task(take(&mut desk, 0, call(1, 30)));
    desk.drain(at(10));
    assert_eq!(refused(take(&mut desk, 10, call(2, 30))), (2, Code::Unavailable));
    assert!(!desk.is_over(at(10), true));
    desk.carried_out::<Sealed>(1, Ok(Reply::nothing()));
    assert!(!desk.is_over(at(10), false) && desk.is_over(at(10), true) && desk.is_over(at(60), false));
}

#[test]
fn an_idle_connection_ends() {
    let mut desk = desk(9);
    take(&mut desk, 400, frame(Head::of(Kind::Ping), b""));
    assert_eq!(desk.due(), at(1_400));
    assert!(!desk.is_over(at(1_399), true) && desk.is_over(at(1_400), true));
}

#[test]
fn what_no_caller_sends_is_an_error() {
    let mut desk = desk(9);
    task(take(&mut desk, 0, call(1, 30)));
    let twice = desk.arrived::<Sealed>(at(0), call(1, 30), |method| method == VITAL, false).unwrap_err();
    assert_eq!(twice, "it uses call number 1 twice");
    for kind in [Kind::Hello, Kind::Answer, Kind::Refusal, Kind::Pong] {
        assert!(
            desk.arrived::<Sealed>(at(0), frame(Head::about(kind, 1), b""), |method| method == VITAL, false)
                .is_err(),
            "{kind:?}"
        );
    }
    let short = Received { head: Bytes::from_static(b"short"), body: Bytes::new() };
    assert!(desk.arrived::<Sealed>(at(0), short, |method| method == VITAL, false).is_err());
}

/// Any bytes at all: a wish or an error, never a panic, and never more calls than the limit.
#[test]
fn rubbish_never_panics() {
    let mut dice = stream(3, "rubbish heads", 0, 0);
    let (mut wishes, mut errors) = (0, 0);
    for _ in 0..200 {
        let mut desk = desk(8);
        let mut underway = 0;
        for now in 0..50 {
            let mut head = Head {
                kind: *dice.pick(&[Kind::Call, Kind::Notify, Kind::Cancel, Kind::Ping, Kind::Answer]),
                method: dice.word() as u32,
                number: dice.below(6),
                time_left_micros: dice.word(),
            }
            .encode();
            if dice.chance(200_000) {
                head[dice.below(24) as usize] = dice.word() as u8;
            }
            let length = if dice.chance(100_000) { dice.below(24) as usize } else { 24 };
            let received = Received { head: Bytes::copy_from_slice(&head[..length]), body: Bytes::new() };
            match desk.arrived::<Sealed>(at(now), received, |method| method == VITAL, dice.chance(50_000)) {
                Ok(wish) => {
                    wishes += 1;
                    underway += usize::from(matches!(wish, Wish::CarryOut(_)));
                }
                Err(_) => errors += 1,
            }
            while desk.expire::<Sealed>(at(now)).is_some() {}
        }
        assert!(underway <= 50);
    }
    assert!(wishes > 1_000 && errors > 1_000, "{wishes} wishes, {errors} errors");
}
