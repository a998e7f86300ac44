//! No message makes a replica panic, however it came about.

use super::super::*;
use super::group::Group;
use mooseng_core::chance::{self, Dice};
use raft::eraftpb::{ConfState, EntryType, Snapshot};

const KINDS: [MessageType; 19] = [
    MessageType::MsgHup,
    MessageType::MsgBeat,
    MessageType::MsgPropose,
    MessageType::MsgAppend,
    MessageType::MsgAppendResponse,
    MessageType::MsgRequestVote,
    MessageType::MsgRequestVoteResponse,
    MessageType::MsgSnapshot,
    MessageType::MsgHeartbeat,
    MessageType::MsgHeartbeatResponse,
    MessageType::MsgUnreachable,
    MessageType::MsgSnapStatus,
    MessageType::MsgCheckQuorum,
    MessageType::MsgTransferLeader,
    MessageType::MsgTimeoutNow,
    MessageType::MsgReadIndex,
    MessageType::MsgReadIndexResp,
    MessageType::MsgRequestPreVote,
    MessageType::MsgRequestPreVoteResponse,
];

/// A number that lies near something that matters.
fn number(dice: &mut impl Dice) -> u64 {
    match dice.below(120) {
        0 => u64::MAX,
        1 => u64::MAX - 1,
        2 => check::NUMBER_MAX,
        3 => dice.word(),
        _ => dice.below(14),
    }
}

fn conf(dice: &mut impl Dice) -> ConfState {
    let mut list = || (0..dice.below(4)).map(|_| dice.below(5)).collect::<Vec<u64>>();
    let (voters, learners, outgoing, next) = (list(), list(), list(), list());
    let mut conf = ConfState::default();
    conf.set_voters(voters);
    conf.set_learners(learners);
    if dice.below(2) == 0 {
        conf.set_voters_outgoing(outgoing);
        conf.set_learners_next(next);
        conf.set_auto_leave(dice.below(2) == 0);
    }
    conf
}

fn entry(dice: &mut impl Dice, index: u64) -> Entry {
    let mut entry = Entry::default();
    entry.set_index(if dice.below(20) == 0 { number(dice) } else { index });
    entry.set_term(dice.below(9));
    if dice.below(6) == 0 {
        entry.set_entry_type(EntryType::EntryConfChangeV2);
        entry.set_data((0..dice.below(20)).map(|_| dice.below(40) as u8).collect::<Vec<u8>>().into());
    }
    entry
}

fn rubbish(dice: &mut impl Dice, to: u64) -> Message {
    let mut message = Message::default();
    message.set_msg_type(*dice.pick(&KINDS));
    message.to = if dice.below(30) == 0 { number(dice) } else { to };
    message.from = dice.below(40).min(3 + dice.below(2));
    message.term = if dice.below(40) == 0 { number(dice) } else { dice.below(9) };
    message.log_term = number(dice).min(9 + dice.below(3));
    message.index = number(dice);
    message.commit = number(dice);
    message.commit_term = number(dice);
    message.reject = dice.below(3) == 0;
    message.reject_hint = number(dice);
    message.request_snapshot = if dice.below(10) == 0 { number(dice) } else { 0 };
    message.priority = dice.word() as i64;
    if dice.below(4) == 0 {
        let context = if dice.below(2) == 0 { raft::CAMPAIGN_TRANSFER } else { b"12345678" };
        message.set_context(Bytes::from_static(context));
    }
    let first = message.index;
    let entries: Vec<Entry> =
        (1..=dice.below(4)).map(|offset| entry(dice, first.wrapping_add(offset))).collect();
    message.set_entries(entries.into());
    if message.get_msg_type() == MessageType::MsgSnapshot || dice.below(20) == 0 {
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        metadata.set_index(number(dice));
        metadata.set_term(dice.below(9));
        metadata.set_conf_state(conf(dice));
        message.set_snapshot(snapshot);
    }
    message
}

/// A message that was delivered once, with a part of it changed.
fn mutant(dice: &mut impl Dice, t: &Group, to: u64) -> Message {
    let real: Vec<&Message> =
        t.delivered.iter().map(|(_, envelope)| &envelope.message).filter(|m| m.to == to).collect();
    if real.is_empty() {
        return rubbish(dice, to);
    }
    let mut message = (*dice.pick(&real)).clone();
    match dice.below(8) {
        0 => message.term = number(dice),
        1 => message.log_term = number(dice),
        2 => message.index = number(dice),
        3 => message.commit = number(dice),
        4 => message.reject = !message.reject,
        5 => message.from = dice.below(5),
        6 => message.set_msg_type(*dice.pick(&KINDS)),
        _ => message.term += dice.below(3),
    }
    message
}

/// Whatever a peer says its snapshot holds, for replicas 0 to 4.
fn arrive(t: &mut Group, own: u64, fetch: &Fetch, conf: &ConfState) {
    let known: Vec<_> = (1..5).map(|id| Group::newcomer(id, id)).collect();
    match Members::default().after(conf, &known) {
        Some(members) => t.arrive(own, fetch, members),
        None => t.replica(own).snapshot_failed(fetch.index),
    }
}

/// One replica, in whatever state, fed rubbish between ticks. What it wishes is carried out, with
/// disks that take their time now and then; snapshots it asks for arrive with what they promised.
fn feed(seed: u64, rounds: usize) -> usize {
    let mut dice = chance::stream(seed, "rubbish", 0, 0);
    let mut t = Group::new(1 + seed % 3);
    if seed.is_multiple_of(2) {
        let leader = t.elect();
        t.put(leader, "a");
    }
    let own = 1;
    let mut taken = 0;
    for _ in 0..rounds {
        let message = if dice.below(2) == 0 { rubbish(&mut dice, own) } else { mutant(&mut dice, &t, own) };
        let conf = message.get_snapshot().get_metadata().get_conf_state().clone();
        let (now, sent, echo) = (t.now, number(&mut dice), number(&mut dice));
        match t.replica(own).step(message, sent, echo, now) {
            Ok(Stepped::Taken) => taken += 1,
            Ok(Stepped::Fetch(fetch)) => arrive(&mut t, own, &fetch, &conf),
            Err(_) => {}
        }
        t.node(own).stalled = dice.below(3) == 0;
        match dice.below(8) {
            0 => t.ticks(1 + dice.below(12) as usize),
            1..4 => t.settle(),
            _ => {}
        }
    }
    taken
}

#[test]
fn rubbish_never_makes_a_replica_panic() {
    let taken: usize = (0..400).map(|seed| feed(seed, 120)).sum();
    assert!(taken > 5_000, "only {taken} messages came through: the rubbish is too easy to refuse");
}

/// Snapshots that pass the check must be ones raft-rs can install.
#[test]
fn configurations_that_pass_the_check_can_be_installed() {
    let mut dice = chance::stream(1, "configurations", 0, 0);
    let mut installed = 0;
    for round in 0..4_000 {
        let mut t = Group::new(3);
        let mut message = rubbish(&mut dice, 1);
        message.set_msg_type(MessageType::MsgSnapshot);
        (message.to, message.from, message.term) = (1, 2, 5);
        (message.index, message.commit, message.commit_term, message.log_term) = (0, 0, 0, 0);
        (message.reject_hint, message.request_snapshot) = (0, 0);
        let mut snapshot = Snapshot::default();
        snapshot.mut_metadata().set_index(20 + round);
        snapshot.mut_metadata().set_term(4);
        snapshot.mut_metadata().set_conf_state(conf(&mut dice));
        let conf_state = snapshot.get_metadata().get_conf_state().clone();
        message.set_snapshot(snapshot);
        let now = t.now;
        let Ok(Stepped::Fetch(fetch)) = t.replica(1).step(message, 1, 0, now) else { continue };
        let known: Vec<_> = (1..5).map(|id| Group::newcomer(id, id)).collect();
        let members = Members::default().after(&conf_state, &known).expect("all four are known");
        assert!(t.replica(1).snapshot_ready(fetch.index, members, now));
        let output = t.replica(1).take(now).expect("it is installed");
        assert_eq!(output.installed, Some(20 + round));
        installed += 1;
    }
    assert!(installed > 20, "only {installed} configurations passed");
}
