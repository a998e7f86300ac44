//! What a vote is bound by.

use super::super::*;
use super::group::Group;
use std::time::Duration;

fn request(kind: MessageType, target: u64, term: u64, end: (u64, u64)) -> Message {
    let mut message = Message::default();
    message.set_msg_type(kind);
    (message.from, message.to, message.term) = (3, target, term);
    (message.log_term, message.index) = end;
    message
}

#[test]
fn a_vote_leaves_only_when_it_is_durable_and_is_remembered() {
    let mut t = Group::new(3);
    t.node(2).stalled = true;
    let now = t.now;
    t.replica(2).step(request(MessageType::MsgRequestVote, 2, 5, (1, 1)), 0, 0, now).unwrap();
    let output = t.replica(2).take(now).unwrap();
    assert_eq!((output.records.len(), output.send.len()), (1, 0));
    let sent = t.replica(2).persisted(99, now);
    assert_eq!(sent.len(), 1);
    assert!(!sent[0].message.reject);
    let bytes = output.records[0].clone();
    t.node(2).durable.push((99, bytes));
    t.restart(2);
    let later = t.now + Duration::from_secs(1);
    let mut other = request(MessageType::MsgRequestVote, 2, 5, (9, 9));
    other.from = 1;
    t.replica(2).step(other, 0, 0, later).unwrap();
    let output = t.replica(2).take(later).unwrap();
    assert!(output.send[0].message.reject, "one vote a term, whatever happens in between");
}

#[test]
fn whoever_heard_a_leader_votes_for_nobody_for_a_while() {
    let mut t = Group::new(3);
    t.lead(1);
    let term = t.replica(2).term();
    // A rejected pre-vote of a later term makes raft-rs forget that it follows anybody.
    let now = t.now;
    let mut forget = request(MessageType::MsgRequestPreVoteResponse, 2, term + 1, (0, 0));
    forget.reject = true;
    t.replica(2).step(forget, 0, 0, now).unwrap();
    assert_eq!(t.replica(2).leader(), None);
    for kind in [MessageType::MsgRequestVote, MessageType::MsgRequestPreVote] {
        let plea = request(kind, 2, term + 2, (99, 99));
        assert_eq!(t.replica(2).step(plea, 0, 0, now), Err("bound by a promise"));
    }
    let plea = request(MessageType::MsgRequestVote, 2, term + 2, (99, 99));
    assert!(t.replica(2).step(plea, 0, 0, now + Duration::from_millis(344)).is_ok());
}

#[test]
fn a_restarted_voter_waits_before_it_votes() {
    let mut t = Group::new(3);
    let leader = t.elect();
    let voter = leader % 3 + 1;
    t.restart(voter);
    let term = t.replica(voter).term() + 5;
    let (early, late) = (t.now + Duration::from_millis(699), t.now + Duration::from_millis(700));
    let plea = || request(MessageType::MsgRequestVote, voter, term, (99, 99));
    let mut plea_from_other = plea();
    plea_from_other.from = leader;
    assert!(t.replica(voter).step(plea_from_other.clone(), 0, 0, early).is_err());
    assert!(t.replica(voter).step(plea_from_other, 0, 0, late).is_ok());
}

/// An entry of an earlier term is committed only by one of the leader's own (Raft, figure 8).
#[test]
fn entries_of_earlier_terms_are_not_counted() {
    let mut t = Group::new(3);
    t.lead(1);
    t.isolate(1);
    t.put(1, "lonely");
    let index = t.replica(1).last();
    t.crash(3);
    t.restart(1);
    t.heal();
    t.lost = Some((2, MessageType::MsgAppendResponse));
    t.lead(1);
    let now = t.now;
    let acknowledge = |t: &mut Group, index| {
        let mut message = request(MessageType::MsgAppendResponse, 1, t.replica(1).term(), (0, index));
        message.from = 2;
        t.replica(1).step(message, 0, 0, now).unwrap();
        t.settle();
        t.replica(1).committed()
    };
    assert!(acknowledge(&mut t, index) < index, "a majority has the entry, but of an earlier term");
    assert_eq!(acknowledge(&mut t, index + 1), index + 1);
    assert_eq!(t.state(1), "lonely");
}

#[test]
fn nobody_leads_by_votes_it_never_asked_for() {
    let mut t = Group::new(3);
    let now = t.now;
    for from in [1, 3] {
        let mut vote = request(MessageType::MsgRequestVoteResponse, 2, 1, (0, 0));
        vote.from = from;
        assert_eq!(t.replica(2).step(vote, 0, 0, now), Err("a vote nobody asked for"));
    }
    assert_eq!(t.replica(2).leads(), None);
}

/// A leader's last word names one, and another is just asking whether it may stand.
#[test]
fn whoever_has_told_another_to_stand_does_not_stand_in_the_same_moment() {
    let mut t = Group::new(3);
    t.lead(1);
    t.put(1, "a");
    let (tick, term) = (t.config.tick, t.replica(1).term());
    // Nobody waits as long as another, so one of the two does not stand yet when votes are free.
    let mut later = t.now;
    for _ in 0..t.config.election_ticks_least {
        later = later + tick;
        [2, 3].into_iter().for_each(|voter| t.replica(voter).tick(later));
    }
    let waits = |t: &mut Group, voter: u64| t.replica(voter).node.raft.state == StateRole::Follower;
    let voter = [2, 3].into_iter().find(|voter| waits(&mut t, *voter)).expect("one waits longer");
    let end = t.replica(voter).end();
    let mut plea = request(MessageType::MsgRequestPreVote, voter, term + 1, (end.term, end.index));
    plea.from = 5 - voter;
    t.replica(voter).step(plea, 0, 0, later).unwrap();
    let output = t.replica(voter).take(later).unwrap();
    assert!(!output.send[0].message.reject, "it would vote for the other");
    let mut word = request(MessageType::MsgTimeoutNow, voter, term, (0, 0));
    word.from = 1;
    assert!(t.replica(voter).step(word.clone(), 0, 0, later).is_err());
    assert!(waits(&mut t, voter));
    t.replica(voter).step(word, 0, 0, later + tick).unwrap();
    assert!(!waits(&mut t, voter), "the other has had its time");
}
