//! The table of leases by itself, told the time.

use super::touched::{covering, keys, touched};
use super::{Changer, LEASES_MAX, Leases, LeasesConfig, Polled, RECALLS_MAX};
use crate::apply::apply;
use crate::command::{Command, CommandKind};
use crate::state::{State, StateConfig};
use mooseng_core::id::{InodeId, SessionId};
use mooseng_core::namespace::{Answer, Caller, Name, Op, Query, Refusal, RenameMode, XattrMode, XattrName};
use mooseng_core::time::{Instant, Stamp, WallTime};
use std::time::Duration;

const ONE: SessionId = SessionId(1);
const TWO: SessionId = SessionId(2);

fn at(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes().to_vec()).unwrap()
}

fn inode(raw: u64) -> InodeId {
    InodeId::from_raw(raw).unwrap()
}

/// Leases of 1,000 ms, and 100 ms of rest after a recall.
fn config() -> LeasesConfig {
    LeasesConfig {
        lease: Duration::from_millis(1_000),
        hold: Duration::from_millis(50),
        contended: Duration::from_millis(100),
    }
}

/// Two sessions that have confirmed an epoch at the beginning.
fn led() -> Leases {
    let mut leases = Leases::new(config(), 0);
    leases.lead(3, std::iter::empty(), at(0));
    for session in [ONE, TWO] {
        leases.began(session, true, 0, at(0));
        confirm(&mut leases, session, 0);
    }
    leases
}

/// Asks for an epoch, takes it on, and waits.
fn confirm(leases: &mut Leases, session: SessionId, now: u64) -> u64 {
    assert_eq!(leases.poll(session, 0, 0, at(now)), Polled::Answer);
    let recalls = leases.answer(session, at(now));
    assert_eq!((recalls.inodes.len(), recalls.lease), (0, Duration::from_millis(1_000)));
    assert_eq!(leases.poll(session, recalls.epoch, recalls.number, at(now)), Polled::Wait);
    recalls.epoch
}

fn grant(leases: &mut Leases, session: SessionId, raw: u64, now: u64) -> bool {
    !leases.grant(session, [inode(raw)], 100, at(now)).inodes.is_empty()
}

/// `d/`, and in it the files `a` and `b`; what they are.
fn state() -> (State, InodeId, InodeId, InodeId) {
    let mut state = State::new(StateConfig::default());
    let mut last = 0;
    let mut run = |state: &mut State, kind| {
        last += 1;
        let command = Command { time: WallTime(1), stamp: Stamp(last), region: 1, kind };
        apply(state, last, &command)
    };
    run(&mut state, CommandKind::OpenSession { nonce: [1; 16], caches: true });
    let mut sequence = 0;
    let mut change = |state: &mut State, op: Op| {
        sequence += 1;
        let (session, low_water, slot, caller) = (ONE, 1, op.slot(), Caller::ROOT);
        run(state, CommandKind::Mutate { session, sequence, low_water, slot, op, caller });
    };
    let (mode, uid, gid) = (0o755, 0, 0);
    change(&mut state, Op::Mkdir { parent: InodeId::ROOT, name: name("d"), mode, uid, gid });
    let directory = state.find(InodeId::ROOT, &name("d")).unwrap().1;
    for file in ["a", "b"] {
        change(&mut state, Op::Create { parent: directory, name: name(file), mode, uid, gid });
    }
    let [a, b] = ["a", "b"].map(|file| state.find(directory, &name(file)).unwrap().1);
    (state, directory, a, b)
}

fn rename(directory: InodeId, source: &str, target: &str) -> Op {
    let (source_name, target_name) = (name(source), name(target));
    let (source_parent, target_parent) = (directory, directory);
    Op::Rename { source_parent, source_name, target_parent, target_name, mode: RenameMode::Replace }
}

fn set_xattr(inode: InodeId) -> Op {
    let (name, value) = (XattrName::new(&b"user.a"[..]).unwrap(), bytes::Bytes::new());
    Op::SetXattr { inode, name, value, mode: XattrMode::Set }
}

/// Somebody's change, who has dropped nothing.
fn of(session: SessionId, op: &Op) -> Changer<'_> {
    Changer { session, op, epoch: 0, dropped: &[] }
}

#[test]
fn a_change_waits_until_the_lease_is_given_back() {
    let (state, directory, a, _) = state();
    let mut leases = led();
    assert_eq!(leases.grant(TWO, [directory, a], 100, at(10)).inodes, [directory, a]);
    let op = Op::Unlink { parent: directory, name: name("a") };
    let change = leases.enter(&op);
    assert!(!leases.may_go(change, &of(ONE, &op), &state, at(20)));
    assert_eq!(leases.take_called().into_iter().collect::<Vec<_>>(), [TWO]);
    let recalls = leases.answer(TWO, at(20));
    assert_eq!((recalls.inodes, recalls.number), (touched_once(&[directory, a]), 2));
    assert_eq!(leases.poll(TWO, recalls.epoch, 1, at(30)), Polled::Answer, "the answer was lost in part");
    assert!(!leases.may_go(change, &of(ONE, &op), &state, at(30)));
    assert_eq!(leases.poll(TWO, recalls.epoch, 2, at(40)), Polled::Wait);
    assert!(leases.take_stirred());
    assert!(leases.may_go(change, &of(ONE, &op), &state, at(40)));
    assert_eq!(leases.over(change), touched_once(&[directory, a]));
}

#[test]
fn a_change_waits_no_longer_than_the_leases_last() {
    let (state, _, a, _) = state();
    let mut leases = led();
    assert!(grant(&mut leases, TWO, a.raw(), 10));
    let epoch = leases.epoch(TWO);
    let op = set_xattr(a);
    let change = leases.enter(&op);
    assert!(!leases.may_go(change, &of(ONE, &op), &state, at(999)));
    assert!(leases.is_alive(TWO, at(999)) && !leases.is_alive(TWO, at(1_000)));
    assert!(leases.may_go(change, &of(ONE, &op), &state, at(1_000)));
    leases.over(change);
    assert_eq!(leases.poll(TWO, epoch, 9, at(1_001)), Polled::Answer);
    assert_ne!(leases.answer(TWO, at(1_001)).epoch, epoch, "what it kept is not revived");
}

#[test]
fn every_answer_renews_the_leases_and_the_drift_is_added() {
    let mut leases = Leases::new(config(), 10_000);
    leases.lead(3, std::iter::empty(), at(0));
    leases.began(ONE, true, 0, at(0));
    let epoch = confirm(&mut leases, ONE, 0);
    assert_eq!(leases.poll(ONE, epoch, 0, at(900)), Polled::Wait);
    leases.answer(ONE, at(950));
    assert!(leases.is_alive(ONE, at(950 + 1_020)), "1,000 ms of a client whose clock is slow");
    assert!(!leases.is_alive(ONE, at(950 + 1_021)));
}

#[test]
fn nothing_is_granted_between_a_change_and_its_end() {
    let (state, directory, a, b) = state();
    let mut leases = led();
    let op = rename(directory, "a", "b");
    let change = leases.enter(&op);
    assert!(leases.may_go(change, &of(ONE, &op), &state, at(10)));
    for inode in [directory, a, b] {
        assert!(!grant(&mut leases, TWO, inode.raw(), 10));
    }
    assert!(grant(&mut leases, TWO, 77, 10), "the rest is not its business");
    assert_eq!(leases.over(change).len(), 3);
    assert!(grant(&mut leases, TWO, b.raw(), 10));
}

#[test]
fn what_was_recalled_is_left_alone_for_a_while() {
    let (state, _, a, _) = state();
    let mut leases = led();
    assert!(grant(&mut leases, TWO, a.raw(), 0));
    let op = set_xattr(a);
    let change = leases.enter(&op);
    assert!(!leases.may_go(change, &of(ONE, &op), &state, at(10)));
    let recalls = leases.answer(TWO, at(10));
    leases.poll(TWO, recalls.epoch, recalls.number, at(20));
    assert!(leases.may_go(change, &of(ONE, &op), &state, at(20)));
    leases.over(change);
    assert!(!grant(&mut leases, ONE, a.raw(), 109));
    assert!(grant(&mut leases, ONE, a.raw(), 110));
}

#[test]
fn who_has_dropped_what_it_changes_waits_for_nobody() {
    let (state, _, a, _) = state();
    let mut leases = led();
    assert!(grant(&mut leases, ONE, a.raw(), 0));
    let (op, dropped) = (set_xattr(a), [a]);
    let epoch = leases.epoch(ONE);
    let change = leases.enter(&op);
    let changer = Changer { session: ONE, op: &op, epoch, dropped: &dropped };
    assert!(leases.may_go(change, &changer, &state, at(10)));
    leases.over(change);
    let change = leases.enter(&op);
    assert!(!leases.may_go(change, &of(TWO, &op), &state, at(15)), "it has the lease all the same");
    leases.over(change);
    let number = leases.answer(ONE, at(15)).number;
    leases.poll(ONE, epoch, number, at(15));
    assert!(grant(&mut leases, ONE, a.raw(), 200));

    for (epoch, dropped) in [(epoch, &[][..]), (epoch + 1, &dropped[..]), (0, &dropped[..])] {
        let change = leases.enter(&op);
        let changer = Changer { session: ONE, op: &op, epoch, dropped };
        assert!(!leases.may_go(change, &changer, &state, at(200)), "{epoch} {dropped:?}");
        leases.over(change);
    }
    assert_eq!(leases.answer(ONE, at(200)).inodes, [a], "told once");
}

#[test]
fn what_a_session_dropped_is_believed_when_it_asks_under_its_new_epoch() {
    let (state, _, a, b) = state();
    let mut leases = led();
    assert!(grant(&mut leases, TWO, a.raw(), 0));
    assert_eq!(leases.poll(TWO, 0, 0, at(10)), Polled::Answer);
    let fresh = leases.answer(TWO, at(10)).epoch;
    assert!(grant(&mut leases, TWO, b.raw(), 10), "under the new one");
    let [first, second] = [set_xattr(a), set_xattr(b)].map(|op| (leases.enter(&op), op));
    assert!(!leases.may_go(first.0, &of(ONE, &first.1), &state, at(20)), "the answer may be under way");
    assert!(!leases.may_go(second.0, &of(ONE, &second.1), &state, at(20)));
    assert_eq!(leases.poll(TWO, fresh, 0, at(30)), Polled::Answer);
    assert_eq!(leases.answer(TWO, at(30)).inodes, [b], "of what was before it has nothing");
    assert!(leases.may_go(first.0, &of(ONE, &first.1), &state, at(30)));
    assert!(!leases.may_go(second.0, &of(ONE, &second.1), &state, at(30)));
}

#[test]
fn a_new_leader_waits_for_those_it_does_not_know() {
    let (state, _, a, _) = state();
    let mut leases = led();
    let before = leases.epoch(TWO);
    leases.lead(4, [ONE, TWO].into_iter(), at(2_000));
    leases.began(SessionId(3), true, 0, at(0));
    let op = set_xattr(a);
    let change = leases.enter(&op);
    assert!(!leases.may_go(change, &of(SessionId(3), &op), &state, at(2_010)));
    leases.ended(ONE);
    assert!(!leases.may_go(change, &of(SessionId(3), &op), &state, at(2_010)));
    assert_eq!(leases.poll(TWO, before, 0, at(2_020)), Polled::Answer);
    let epoch = leases.answer(TWO, at(2_020)).epoch;
    assert_ne!(epoch, before);
    assert!(!leases.may_go(change, &of(SessionId(3), &op), &state, at(2_030)), "it may not have heard");
    assert!(leases.is_alive(TWO, at(2_030)));
    leases.poll(TWO, epoch, 0, at(2_040));
    assert!(leases.take_stirred());
    assert!(leases.may_go(change, &of(SessionId(3), &op), &state, at(2_040)));
}

#[test]
fn a_new_leader_waits_no_longer_than_a_lease() {
    let (state, _, a, _) = state();
    let mut leases = led();
    leases.lead(4, [TWO].into_iter(), at(2_000));
    leases.began(SessionId(9), false, 0, at(0));
    let op = set_xattr(a);
    let change = leases.enter(&op);
    assert!(!leases.may_go(change, &of(ONE, &op), &state, at(2_999)));
    assert!(leases.is_alive(SessionId(9), at(2_999)), "it is not to be ended yet");
    assert!(!leases.is_free(a, at(2_999)));
    assert!(leases.is_free(a, at(3_000)));
    assert!(leases.may_go(change, &of(ONE, &op), &state, at(3_000)));
}

#[test]
fn changes_of_one_name_keep_their_order() {
    let (mut state, directory, a, b) = state();
    let mut leases = led();
    let (first, second) = (rename(directory, "a", "b"), Op::Unlink { parent: directory, name: name("b") });
    let numbers = [leases.enter(&first), leases.enter(&second)];
    assert!(!leases.may_go(numbers[1], &of(TWO, &second), &state, at(0)));
    assert!(leases.may_go(numbers[0], &of(ONE, &first), &state, at(0)));
    assert!(!leases.may_go(numbers[1], &of(TWO, &second), &state, at(0)));
    let (slot, caller) = (first.slot(), Caller::ROOT);
    let kind = CommandKind::Mutate { session: ONE, sequence: 50, low_water: 50, slot, op: first, caller };
    apply(&mut state, 50, &Command { time: WallTime(1), stamp: Stamp(50), region: 1, kind });
    assert_eq!(leases.over(numbers[0]), touched_once(&[directory, a, b]));
    assert!(leases.take_stirred());
    assert!(leases.may_go(numbers[1], &of(TWO, &second), &state, at(0)));
    assert_eq!(leases.over(numbers[1]), touched_once(&[directory, a]), "what the name led to by then");
}

fn touched_once(inodes: &[InodeId]) -> Vec<InodeId> {
    let mut inodes = inodes.to_vec();
    inodes.sort_unstable();
    inodes
}

#[test]
fn what_was_not_looked_at_is_waited_for_before_anything_is_granted() {
    let mut leases = Leases::new(config(), 0);
    leases.lead(3, std::iter::empty(), at(0));
    assert!(leases.is_idle());
    leases.began(ONE, true, 40, at(0));
    leases.began(TWO, true, 50, at(0));
    confirm(&mut leases, ONE, 0);
    assert_eq!(leases.grant(ONE, [inode(7)], 39, at(1)).inodes, []);
    assert_eq!(leases.grant(ONE, [inode(7)], 40, at(1)).inodes, [inode(7)]);
}

#[test]
fn nobody_is_given_a_lease_who_has_not_asked_or_is_not_known() {
    let mut leases = Leases::new(config(), 0);
    leases.lead(3, std::iter::empty(), at(0));
    leases.began(ONE, true, 0, at(0));
    assert!(!grant(&mut leases, ONE, 7, 0), "it has no epoch");
    assert!(!grant(&mut leases, TWO, 7, 0));
    assert_eq!(leases.poll(TWO, 0, 0, at(0)), Polled::Sleeps);
    confirm(&mut leases, ONE, 0);
    assert!(grant(&mut leases, ONE, 7, 999));
    assert!(!grant(&mut leases, ONE, 8, 1_000), "its time is up");
}

#[test]
fn who_has_no_leases_any_more_is_waited_for_by_nobody() {
    let mut leases = led();
    leases.began(SessionId(3), true, 0, at(600));
    assert_eq!(leases.rest(at(999), 9), [], "they were heard of");
    assert_eq!(leases.poll(ONE, leases.epoch(ONE), 0, at(999)), Polled::Wait);
    leases.answer(ONE, at(999));
    assert_eq!(leases.rest(at(1_000), 9), [TWO], "one polls, and the other has hardly begun");
    assert_eq!(leases.rest(at(1_000), 9), [], "it is proposed already");
    assert!(!leases.knows(TWO) && leases.knows(ONE));
    let epoch = leases.epoch(TWO);
    assert_eq!(leases.poll(TWO, epoch, 0, at(1_001)), Polled::Sleeps, "it has to be agreed on again");
    assert_eq!(leases.rest(at(2_000), 9), [ONE, SessionId(3)], "it would rest when it is awake again");
    leases.stays(ONE);
    assert_eq!(leases.rest(at(2_000), 9), [ONE], "what was proposed was refused");
    leases.ended(TWO);
    leases.began(TWO, true, 0, at(2_001));
    confirm(&mut leases, TWO, 2_001);
    assert!(grant(&mut leases, TWO, 7, 2_001));
    leases.lead(4, [ONE].into_iter(), at(2_002));
    assert_eq!(leases.rest(at(2_500), 9), [], "it may hold leases of an earlier leader");
    assert_eq!(leases.rest(at(3_002), 9), [ONE]);
}

/// Its polls may have had it agreed on twice.
#[test]
fn who_may_hold_leases_already_keeps_what_it_holds() {
    let (state, _, a, _) = state();
    let mut leases = led();
    assert!(grant(&mut leases, TWO, a.raw(), 10));
    let epoch = leases.epoch(TWO);
    leases.began(TWO, true, 0, at(20));
    let op = set_xattr(a);
    let change = leases.enter(&op);
    assert!(!leases.may_go(change, &of(ONE, &op), &state, at(30)), "it has not given its lease back");
    let recalls = leases.answer(TWO, at(30));
    assert_eq!((recalls.epoch, &recalls.inodes[..]), (epoch, &[a][..]));
    assert_eq!(leases.poll(TWO, epoch, recalls.number, at(40)), Polled::Wait);
    assert!(leases.may_go(change, &of(ONE, &op), &state, at(40)));
}

#[test]
fn leases_and_recalls_are_bounded() {
    let mut leases = led();
    let many = (1..=LEASES_MAX as u64 + 5).map(inode);
    assert_eq!(leases.grant(TWO, many, 100, at(0)).inodes.len(), LEASES_MAX);
    assert!(grant(&mut leases, TWO, 1, 0), "once more is no more");
    for raw in 1..=RECALLS_MAX as u64 + 5 {
        assert!(!leases.is_free(inode(raw), at(0)));
        assert!(!leases.is_free(inode(raw), at(0)));
    }
    let recalls = leases.answer(TWO, at(0));
    assert_eq!((recalls.inodes.len(), recalls.number), (RECALLS_MAX, RECALLS_MAX as u64));
    assert_eq!(leases.poll(TWO, recalls.epoch, recalls.number, at(0)), Polled::Answer);
    let recalls = leases.answer(TWO, at(0));
    assert_eq!((recalls.inodes.len(), recalls.number), (5, RECALLS_MAX as u64 + 5));
    assert!(leases.is_free(inode(1), at(0)) && !leases.is_free(inode(RECALLS_MAX as u64 + 1), at(0)));
    assert_eq!(leases.poll(TWO, recalls.epoch, u64::MAX, at(0)), Polled::Wait, "no more than there is");
}

#[test]
fn an_end_sets_free_what_was_held() {
    let (state, _, a, _) = state();
    let mut leases = led();
    assert!(grant(&mut leases, TWO, a.raw(), 0));
    let op = set_xattr(a);
    let change = leases.enter(&op);
    assert!(!leases.may_go(change, &of(ONE, &op), &state, at(0)));
    leases.ended(TWO);
    assert!(leases.take_stirred() && leases.take_called().is_empty());
    assert!(leases.may_go(change, &of(ONE, &op), &state, at(0)));
    leases.ended(ONE);
    assert!(leases.is_idle());
}

#[test]
fn a_change_touches_what_it_names_and_what_its_names_lead_to() {
    let (state, directory, a, b) = state();
    let unlink = |text: &str| Op::Unlink { parent: directory, name: name(text) };
    assert_eq!(touched(&state, &unlink("a")), touched_once(&[directory, a]));
    assert_eq!(touched(&state, &unlink("none")), [directory]);
    let rmdir = Op::Rmdir { parent: InodeId::ROOT, name: name("d") };
    assert_eq!(touched(&state, &rmdir), touched_once(&[InodeId::ROOT, directory]));
    assert_eq!(touched(&state, &rename(directory, "a", "b")), touched_once(&[directory, a, b]));
    assert_eq!(touched(&state, &rename(directory, "a", "c")), touched_once(&[directory, a]));
    let link = Op::Link { inode: a, parent: InodeId::ROOT, name: name("l") };
    assert_eq!(touched(&state, &link), touched_once(&[InodeId::ROOT, a]));
    assert_eq!(touched(&state, &Op::GrantSlices { inode: a, count: 1 }), []);
    assert_eq!(keys(&rename(directory, "a", "a")).len(), 1);
    assert_eq!(keys(&rename(directory, "a", "b")).len(), 2);
    assert_eq!(keys(&set_xattr(a)), []);
}

#[test]
fn an_answer_is_covered_by_all_that_it_follows_from() {
    let (state, directory, a, _) = state();
    let attr = state.attr(a).unwrap();
    let lookup = Query::Lookup { parent: directory, name: name("a") };
    assert_eq!(covering(&lookup, &Ok(Answer::Attr(attr))), [Some(directory), Some(a)]);
    assert_eq!(covering(&lookup, &Err(Refusal::NotFound)), [Some(directory), None]);
    assert_eq!(covering(&lookup, &Err(Refusal::Stale)), [None, None]);
    let map = Query::Map { inode: a, offset: 0, length: 1 };
    assert_eq!(covering(&map, &Ok(Answer::Done)), [None, None]);
}
