//! Replicas whose journals end in doubt: the argument of [`crate::group::ambiguity`], as scripts.

use super::super::*;
use super::group::Group;
use crate::group::ambiguity::{Answer, End, Standing};
use raft::eraftpb::EntryType;

#[test]
fn a_mute_replica_says_nothing_and_asks_everybody() {
    let mut t = Group::new(3);
    t.lead(1);
    t.put(1, "a");
    t.restart_in_doubt(3, 1);
    assert!(t.replica(3).is_mute());
    assert_eq!(t.replica(3).inquiries(), [ReplicaId(1), ReplicaId(2)]);
    t.delivered.clear();
    t.ticks(30);
    assert!(t.delivered.iter().all(|(source, _)| *source != 3));
    assert_eq!(t.replica(3).answer().standing, Standing::Waiting);
    t.inquire();
    assert!(!t.replica(3).is_mute());
    t.ticks(4);
    assert_eq!(t.state(3), "a");
    assert!(t.node(3).notices.iter().any(|notice| matches!(notice, Notice::Cleared { .. })));
}

/// The entry is on 1 and 3; 3 forgets it; 1 is away. 2 must not lead with 3's help.
#[test]
fn what_was_acknowledged_is_not_voted_away() {
    let mut t = Group::new(3);
    t.lead(1);
    t.isolate(2);
    t.put(1, "a");
    assert_eq!(t.state(1), "a", "acknowledged by 1 and 3");
    t.restart_in_doubt(3, 1);
    t.heal();
    t.cut.insert((1, 2));
    t.inquire();
    assert!(!t.replica(3).is_mute(), "1 and 2 have answered");
    t.crash(1);
    t.ticks(100);
    assert_eq!(t.leader(), None, "2 has not got the entry, 3 knows that there is more");
    t.heal();
    t.start(1, false);
    t.elect();
    t.ticks(6);
    for id in 1..=3 {
        assert_eq!(t.state(id), "a", "{id}");
    }
}

/// While a voter has not answered, the mute one stays mute: it may be the one that holds the entry.
#[test]
fn silence_is_no_answer() {
    let mut t = Group::new(3);
    t.lead(1);
    t.isolate(2);
    t.put(1, "a");
    t.restart_in_doubt(3, 1);
    t.crash(1);
    t.heal();
    t.inquire();
    assert_eq!(t.replica(3).inquiries(), [ReplicaId(1)]);
    t.ticks(100);
    assert_eq!(t.leader(), None);
}

#[test]
fn when_the_power_fails_everywhere_all_clear_one_another() {
    let mut t = Group::new(3);
    t.lead(1);
    t.put(1, "a");
    t.isolate(2);
    t.put(1, "b");
    t.heal();
    // Only 1 really lost something; 2 never had it, 3 did not lose it. None of them knows.
    t.crash(1);
    t.crash(2);
    t.crash(3);
    t.restart_in_doubt(1, 1);
    t.restart_in_doubt(2, 0);
    t.restart_in_doubt(3, 0);
    t.ticks(30);
    assert_eq!(t.leader(), None);
    t.inquire();
    let leader = t.elect();
    assert_eq!(leader, 3, "the one that holds it all is the only one that may stand");
    t.ticks(6);
    for id in 1..=3 {
        assert_eq!(t.state(id), "a b", "{id}");
        assert!(!t.replica(id).is_mute());
    }
}

#[test]
fn a_vote_that_may_have_been_given_is_used_up() {
    let mut t = Group::new(3);
    t.lead(1);
    let term = t.replica(1).term();
    t.restart_in_doubt(2, 0);
    let now = t.now;
    for (id, term) in [(1, term + 4), (3, term)] {
        let members = t.replica(1).members().clone();
        let (replica, end) = (Some(ReplicaId(id)), End { term, index: 2 });
        let standing = Standing::Serving;
        let answer = Answer { replica, standing, term, end, counted: true, commit: 1, members };
        t.replica(2).answered(ReplicaId(id), &answer, now);
    }
    assert_eq!(t.replica(2).term(), term + 4);
    t.settle();
    t.restart(2);
    assert_eq!(t.replica(2).term(), term + 4, "and that is durable");
    let mut plea = Message::default();
    plea.set_msg_type(MessageType::MsgRequestVote);
    (plea.from, plea.to, plea.term) = (3, 2, term + 4);
    (plea.log_term, plea.index) = (term + 4, 99);
    let later = t.now + std::time::Duration::from_secs(2);
    t.replica(2).step(plea, 0, 0, later).unwrap();
    let output = t.replica(2).take(later).unwrap();
    assert!(output.send[0].message.reject);
}

#[test]
fn a_group_of_one_has_nobody_to_ask() {
    let mut t = Group::new(1);
    t.lead(1);
    t.put(1, "a");
    t.restart_in_doubt(1, 0);
    let now = t.now;
    t.replica(1).conclude(now);
    t.settle();
    t.lead(1);
    assert_eq!(t.state(1), "a");
}

#[test]
fn a_fenced_replica_takes_part_no_more() {
    let mut t = Group::new(3);
    t.lead(1);
    t.replica(3).fence("its state differs".into());
    t.put(1, "a");
    assert_eq!(t.state(3), "");
    assert_eq!(t.replica(3).answer().standing, Standing::Damaged);
    t.crash(2);
    t.put(1, "b");
    assert_eq!(t.state(1), "a", "two of three are gone");
}

/// 1 alone has an entry, tells 3 of it, and is lost for good. It was never acknowledged.
#[test]
fn what_only_a_lost_voter_had_keeps_nobody_from_electing() {
    let mut t = Group::new(3);
    t.lead(1);
    t.put(1, "a");
    t.ticks(3);
    t.isolate(1);
    t.put(1, "lonely");
    t.heal();
    t.cut.extend([(1, 2), (2, 1), (1, 3)]);
    t.restart_in_doubt(3, 0);
    t.inquire();
    assert!(!t.replica(3).is_mute());
    t.replica(1).fence("its disk is lost".into());
    t.heal();
    t.ticks(60);
    assert_eq!(t.leader(), None, "3 waits for the entry of 1");
    assert_eq!(t.replica(3).inquiries(), [ReplicaId(1)], "and asks for it");
    t.inquire();
    let leader = t.elect();
    t.put(leader, "b");
    t.ticks(4);
    assert_eq!((t.state(2), t.state(3)), ("a b".into(), "a b".into()));
}

/// What comes last from 1, which is in doubt later, comes to the learner alone: that it is to be a voter,
/// and perhaps more. Who is elected then, if anybody?
fn elected_beside_a_learner(more: bool) -> Option<u64> {
    let mut t = Group::with_a_learner();
    t.cut.insert((1, 2));
    t.node(1).stalled = true;
    let change = t.replica(1).next_change().expect("it has caught up");
    t.change(1, &change);
    if more {
        t.put(1, "lonely");
    }
    t.heal();
    t.restart_in_doubt(1, 0);
    t.node(1).stalled = false;
    let (now, answer) = (t.now, t.replica(4).answer());
    assert!(answer.end > t.replica(1).end() && !answer.counted);
    t.replica(1).answered(ReplicaId(3), &answer, now);
    t.inquire();
    for _ in 0..60 {
        if let Some(leader) = [1, 2].into_iter().find(|voter| t.replica(*voter).leads().is_some()) {
            t.ticks(6);
            assert!(t.state(2).starts_with('a') && t.state(1) == t.state(2));
            return Some(leader);
        }
        t.ticks(1);
    }
    None
}

#[test]
fn what_only_a_learner_has_keeps_nobody_from_electing() {
    for more in [false, true] {
        assert!(elected_beside_a_learner(more).is_some());
        mooseng_core::plant::activate(Some("learner-claims-its-log"));
        let elected = elected_beside_a_learner(more);
        mooseng_core::plant::activate(None);
        assert_eq!(elected, None, "the planted bug goes unseen");
    }
}

#[test]
fn a_learner_that_may_be_a_voter_without_knowing_says_what_it_has() {
    let mut t = Group::with_a_learner();
    let change = t.replica(1).next_change().expect("it has caught up");
    let (term, end, commit) = (t.replica(1).term(), t.replica(4).end(), t.replica(4).answer().commit);
    let auto = ConfChangeTransition::Auto;
    let data = |change: &Change| protobuf::Message::write_to_bytes(&change.conf_change(auto)).unwrap();
    let [into, out] = [data(&change), data(&Change::Settle)];
    let now = t.now;
    for (at, (data, counted)) in
        [(Some(into), false), (None, false), (Some(out), false), (None, true)].into_iter().enumerate()
    {
        let mut entry = Entry::default();
        (entry.index, entry.term) = (end.index + 1 + at as u64, term);
        if let Some(data) = data {
            entry.set_entry_type(EntryType::EntryConfChangeV2);
            entry.set_data(data.into());
        }
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgAppend);
        (message.from, message.to, message.term, message.commit) = (1, 4, term, commit);
        (message.log_term, message.index) = (if at == 0 { end.term } else { term }, end.index + at as u64);
        message.set_entries(vec![entry].into());
        t.replica(4).step(message, 0, 0, now).unwrap();
        let answer = t.replica(4).answer();
        assert_eq!((answer.end.index, answer.counted), (end.index + 1 + at as u64, counted));
    }
}
