//! The table's promises: what ends how, what is sent when, and that nothing outgrows its limit.

use super::*;
use mooseng_core::chance::{Dice, stream};

#[derive(Clone, Debug)]
struct Sealed(u64);

impl Extent for Sealed {
    fn len(&self) -> u64 {
        self.0
    }
}

fn config() -> ChannelConfig {
    ChannelConfig { calls_max: 3, queue_frames_max: 4, queue_bytes_max: 1_000, ..ChannelConfig::default() }
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn table() -> Table<Sealed> {
    Table::new(&config())
}

fn begin(table: &mut Table<Sealed>, deadline: u64) -> (u64, oneshot::Receiver<Ending>) {
    table.begin(7, Payload::from_bytes(b"ask"), Body::Empty, at(deadline)).unwrap()
}

fn sent(table: &mut Table<Sealed>, now: u64) -> Option<Head> {
    table.next_frame(at(now)).map(|frame| Head::decode(&frame.head).unwrap())
}

fn answer(bytes: &'static [u8]) -> Ending {
    Ok(Received { head: Bytes::from_static(bytes), body: Bytes::new() })
}

fn ended(receiver: &mut oneshot::Receiver<Ending>) -> Option<Ending> {
    receiver.try_recv().unwrap()
}

#[test]
fn answers_find_their_calls_in_any_order() {
    let mut table = table();
    let (first, mut first_end) = begin(&mut table, 100);
    let (second, mut second_end) = begin(&mut table, 50);
    assert!(table.was_never_sent(first));
    assert_eq!(sent(&mut table, 10).map(|head| (head.number, head.time_left_micros)), Some((first, 90_000)));
    assert_eq!(sent(&mut table, 10).map(|head| (head.number, head.time_left_micros)), Some((second, 40_000)));
    assert_eq!(sent(&mut table, 10), None);
    assert!(table.end(second, answer(b"second")));
    assert!(table.end(first, answer(b"first")));
    assert_eq!(ended(&mut first_end), Some(answer(b"first")));
    assert_eq!(ended(&mut second_end), Some(answer(b"second")));
    assert!(!table.end(first, answer(b"again")));
    assert_eq!(table.due(), None);
}

#[test]
fn a_deadline_counts_from_when_the_call_leaves() {
    let mut table = table();
    let _first = begin(&mut table, 100);
    assert_eq!(sent(&mut table, 99).map(|head| head.time_left_micros), Some(1_000));
    let _second = begin(&mut table, 100);
    assert_eq!(sent(&mut table, 200).map(|head| head.time_left_micros), Some(0));
}

#[test]
fn deadlines_end_calls_sent_or_not() {
    let mut table = table();
    let (_, mut sent_end) = begin(&mut table, 10);
    let (_, mut unsent_end) = begin(&mut table, 20);
    let (_, mut late_end) = begin(&mut table, 30);
    sent(&mut table, 0);
    assert_eq!(table.due(), Some(at(10)));
    assert_eq!(table.expire(at(9)), Expired { unanswered: 0 });
    assert_eq!(table.expire(at(20)), Expired { unanswered: 1 });
    assert_eq!(ended(&mut sent_end), Some(Err(CallError::Deadline)));
    assert_eq!(ended(&mut unsent_end), Some(Err(CallError::too_late())));
    assert_eq!(ended(&mut late_end), None);
    // The expired call that had not been sent is not sent any more.
    assert_eq!(sent(&mut table, 20).map(|head| head.number), Some(3));
    assert_eq!(sent(&mut table, 20), None);
}

#[test]
fn a_lost_connection_tells_what_was_sent_from_what_was_not() {
    let mut table = table();
    let (_, mut sent_end) = begin(&mut table, 10);
    let (_, mut unsent_end) = begin(&mut table, 10);
    sent(&mut table, 0);
    assert!(table.lose("gone"));
    assert_eq!(ended(&mut sent_end), Some(Err(CallError::Lost("gone".into()))));
    assert_eq!(ended(&mut unsent_end), Some(Err(CallError::Unreachable("gone".into()))));
    assert_eq!((sent(&mut table, 0), table.due(), table.lose("again")), (None, None, false));
}

#[test]
fn a_cancel_is_sent_only_for_what_was_sent() {
    let mut table = table();
    let (first, _first_end) = begin(&mut table, 10);
    let (second, _second_end) = begin(&mut table, 10);
    sent(&mut table, 0);
    assert!(!table.abandon(second, true));
    assert!(table.abandon(first, true));
    assert!(!table.abandon(first, true));
    assert_eq!(sent(&mut table, 0), Some(Head::about(Kind::Cancel, first)));
    assert_eq!(sent(&mut table, 0), None);
    let (third, _third_end) = begin(&mut table, 10);
    sent(&mut table, 0);
    assert!(!table.abandon(third, false));
    assert_eq!(sent(&mut table, 0), None);
}

#[test]
fn calls_frames_and_bytes_are_limited() {
    let mut table = table();
    let ends: Vec<_> = (0..3).map(|_| begin(&mut table, 10)).collect();
    let more = |table: &mut Table<Sealed>, bytes: u64| {
        table.begin(7, Payload::empty(), Body::Extent(Sealed(bytes)), at(10)).map(|(number, _)| number)
    };
    assert_eq!(more(&mut table, 0), Err(CallError::Overloaded), "a fourth call");
    assert_eq!(table.notify(1, Payload::empty()), Ok(()));
    assert_eq!(table.notify(1, Payload::empty()), Err(CallError::Overloaded), "a fifth frame");
    while sent(&mut table, 0).is_some() {}
    table.abandon(ends[0].0, false);
    assert_eq!(more(&mut table, 977), Err(CallError::Overloaded), "1,001 bytes with the head");
    let number = more(&mut table, 976).unwrap();
    assert_eq!(table.notify(1, Payload::empty()), Err(CallError::Overloaded), "24 bytes more");
    // Giving the call up before it is sent gives its room back.
    table.abandon(number, true);
    assert!(more(&mut table, 976).is_ok());
}

#[test]
fn pings_go_first() {
    let mut table = table();
    let _call = begin(&mut table, 10);
    table.ping();
    assert_eq!(sent(&mut table, 0), Some(Head::of(Kind::Ping)));
}

/// Whatever happens in whatever order, every call ends exactly once and nothing is left behind.
#[test]
fn every_call_ends_once() {
    let mut dice = stream(1, "table", 0, 0);
    for _ in 0..200 {
        let mut table = table();
        let mut calls: Vec<(u64, oneshot::Receiver<Ending>)> = Vec::new();
        for now in 0..60 {
            match dice.below(6) {
                0 | 1 => {
                    let deadline = at(now + dice.between(1, 30));
                    if let Ok(call) = table.begin(1, Payload::empty(), Body::Empty, deadline) {
                        calls.push(call);
                    }
                }
                2 => drop(table.next_frame(at(now))),
                3 if !calls.is_empty() => {
                    let number = calls[dice.below(calls.len() as u64) as usize].0;
                    if !table.was_never_sent(number) {
                        table.end(number, answer(b""));
                    }
                }
                4 if !calls.is_empty() => {
                    let (number, _) = calls.swap_remove(dice.below(calls.len() as u64) as usize);
                    table.abandon(number, true);
                }
                _ => drop(table.expire(at(now))),
            }
        }
        table.lose("over");
        for (number, mut ending) in calls {
            assert!(ended(&mut ending).is_some(), "call {number} never ended");
        }
        assert!(table.waiting.is_empty() && table.deadlines.is_empty() && table.queue_bytes == 0);
    }
}
