//! What a healthy group does.

use super::super::*;
use super::group::Group;
use crate::group::members::Change;
use raft::eraftpb::ConfChangeTransition;
use std::time::Duration;

#[test]
fn a_group_elects_commits_and_survives_its_leader() {
    let mut t = Group::new(3);
    let first = t.elect();
    t.put(first, "a");
    t.crash(first);
    let second = t.elect();
    assert_ne!(first, second);
    t.put(second, "b");
    t.start(first, false);
    t.ticks(4);
    for id in 1..=3 {
        assert_eq!(t.state(id), "a b", "{id}");
    }
}

#[test]
fn a_lost_leader_is_replaced_within_the_longest_election_timeout() {
    for voters in [3, 5] {
        let mut t = Group::new(voters);
        let leader = t.elect();
        t.ticks(3);
        t.crash(leader);
        t.ticks(15);
        assert!(t.leader().is_some(), "{voters} voters elect at the first attempt");
    }
}

/// It hears nobody and everybody hears it: nobody would stand for as long as it leads, nor for an
/// election timeout after that.
#[test]
fn a_leader_that_has_lost_its_quorum_names_its_successor() {
    let mut t = Group::new(3);
    let first = t.elect();
    t.put(first, "a");
    for other in (1..=3).filter(|other| *other != first) {
        t.cut.insert((other, first));
    }
    // It asks itself twice whether anybody follows: it may have heard them right before the first.
    let (mut resigned, quorum_ticks) = (false, 2 * (t.config.election_ticks_least - 1));
    for _ in 0..quorum_ticks {
        t.ticks(1);
        resigned |= t.node(first).replica.as_ref().is_some_and(|replica| replica.leads().is_none());
        if resigned {
            break;
        }
    }
    assert!(resigned);
    let second = t.leader().expect("somebody else leads at once");
    assert_ne!(first, second);
    t.put(second, "b");
    assert_eq!(t.state(second), "a b");
}

#[test]
fn a_group_of_one_commits_alone() {
    let mut t = Group::new(1);
    t.lead(1);
    t.node(1).stalled = true;
    t.put(1, "a");
    assert_eq!(t.state(1), "", "nothing is durable yet");
    t.node(1).stalled = false;
    t.settle();
    assert_eq!(t.state(1), "a");
    t.restart(1);
    t.lead(1);
    assert_eq!(t.state(1), "a");
}

/// The same inputs give the same outputs, dice in raft-rs or not.
#[test]
fn two_lives_of_one_script_are_equal() {
    let script = || {
        let mut t = Group::new(5);
        for round in 0..6 {
            let leader = t.elect();
            t.put(leader, &format!("{round}"));
            t.crash(leader);
            t.elect();
            t.start(leader, false);
            t.ticks(20);
        }
        t.delivered
    };
    let (one, other) = (script(), script());
    assert!(one.len() > 500, "{} messages are no test", one.len());
    assert_eq!(one, other);
}

#[test]
fn a_slow_disk_does_not_stop_heartbeats() {
    let mut t = Group::new(3);
    let leader = t.elect();
    for id in 1..=3 {
        t.node(id).stalled = true;
    }
    t.propose(leader, "a");
    t.ticks(60);
    assert_eq!(t.leader(), Some(leader), "three seconds without a disk are no election");
    assert_eq!(t.state(leader), "");
    for id in 1..=3 {
        t.node(id).stalled = false;
    }
    t.settle();
    assert_eq!(t.state(leader), "a");
}

#[test]
fn entries_count_only_where_they_are_durable() {
    let mut t = Group::new(3);
    t.lead(1);
    for id in 1..=2 {
        t.node(id).stalled = true;
    }
    t.isolate(3);
    t.put(1, "a");
    assert_eq!(t.state(1), "");
    t.node(1).stalled = false;
    t.settle();
    assert_eq!(t.state(1), "", "the leader's own disk is one of three");
    t.node(2).stalled = false;
    t.settle();
    assert_eq!(t.state(1), "a");
}

#[test]
fn a_lagging_replica_is_brought_back_by_a_snapshot() {
    let mut t = Group::new(3);
    t.lead(1);
    t.isolate(3);
    for text in ["a", "b", "c"] {
        t.put(1, text);
    }
    t.snapshot(1, 0);
    t.put(1, "d");
    t.heal();
    t.ticks(6);
    assert_eq!(t.state(3), "a b c d");
    assert!(t.replica(3).checkpoint() > 1, "by a snapshot");
    t.restart(3);
    t.ticks(6);
    assert_eq!(t.state(3), "a b c d", "and it is durable");
}

#[test]
fn a_crash_before_the_checkpoint_of_a_snapshot_leaves_the_old_log() {
    let mut t = Group::new(3);
    t.lead(1);
    t.isolate(3);
    t.put(1, "a");
    t.snapshot(1, 0);
    t.put(1, "b");
    t.heal();
    t.node(3).stalled = true;
    t.ticks(4);
    assert_eq!(t.state(3), "a", "installed, not durable");
    t.restart(3);
    assert_eq!(t.replica(3).checkpoint(), 1);
    t.node(3).stalled = false;
    t.give_up_snapshots(1);
    t.ticks(12);
    assert_eq!(t.state(3), "a b");
}

#[test]
fn while_a_snapshot_is_not_durable_nobody_stands() {
    let mut t = Group::new(3);
    t.lead(1);
    t.isolate(3);
    t.put(1, "a");
    t.snapshot(1, 0);
    t.heal();
    t.node(3).stalled = true;
    t.ticks(4);
    t.isolate(3);
    t.ticks(40);
    assert_eq!(t.replica(3).leads(), None);
    t.heal();
    t.node(3).stalled = false;
    t.ticks(20);
    assert_eq!(t.state(3), "a");
}

#[test]
fn a_lost_server_comes_back_as_another_replica() {
    let mut t = Group::with_a_learner();
    assert_eq!(t.state(4), "a");
    let change = t.replica(1).next_change().expect("it has caught up");
    assert!(matches!(change, Change::Promote { learner: ReplicaId(4), .. }));
    t.change(1, &change);
    t.ticks(4);
    for id in [1, 2, 4] {
        assert_eq!(t.replica(id).members().electorate(), [ReplicaId(1), ReplicaId(2), ReplicaId(4)]);
    }
    t.crash(2);
    t.put(1, "b");
    assert_eq!(t.state(1), "a b", "the newcomer counts");
    t.ticks(4);
    assert_eq!(t.state(4), "a b");
}

/// What raft-rs drops without a word nobody may be told of as done.
#[test]
fn nobody_is_admitted_while_one_configuration_is_left_for_another() {
    let mut t = Group::new(3);
    t.lead(1);
    let (now, removal) = (t.now, Change::Remove(ReplicaId(3)));
    t.replica(1).propose_change_left(&removal, ConfChangeTransition::Explicit, now).unwrap();
    t.settle();
    assert!(t.replica(1).members().is_joint());
    let admit = t.replica(1).members().admit(Group::newcomer(4, 4)).unwrap();
    assert_eq!(t.replica(1).propose_change(&admit, now), Err(Refusal::Busy));
    t.change(1, &Change::Settle);
    t.change(1, &admit);
    assert_eq!(t.replica(1).members().learners(), [ReplicaId(4)]);
}

#[test]
fn a_replica_that_was_removed_disturbs_nobody() {
    let mut t = Group::new(3);
    t.lead(1);
    t.change(1, &Change::Remove(ReplicaId(3)));
    let term = t.replica(1).term();
    t.ticks(60);
    assert_eq!((t.leader(), t.replica(1).term()), (Some(1), term));
    assert_eq!(
        t.replica(1).propose_change(&Change::Remove(ReplicaId(1)), Instant::MAX),
        Err(Refusal::Busy),
        "a leader does not remove itself"
    );
}

#[test]
fn reads_wait_for_a_majority_or_live_on_the_lease() {
    let mut t = Group::new(3);
    t.lead(1);
    // The transfer that made it lead was another leader's; its own lease is whole.
    t.ticks(2);
    let now = t.now;
    assert!(t.replica(1).holds_lease(now));
    assert!(!t.replica(1).holds_lease(now + Duration::from_millis(337)));
    t.isolate(1);
    let ticket = t.replica(1).read(now).unwrap();
    t.settle();
    assert_eq!(t.node(1).reads, []);
    t.heal();
    t.ticks(2);
    assert_eq!(t.node(1).reads.first().map(|read| read.0), Some(ticket));
}

#[test]
fn a_deposed_leader_has_no_lease_when_its_successor_is_elected() {
    let mut t = Group::new(3);
    t.lead(1);
    t.ticks(4);
    t.isolate(1);
    while t.leader() == Some(1) {
        t.ticks(1);
    }
    let now = t.now;
    assert!(!t.replica(1).holds_lease(now));
}

#[test]
fn a_transfer_forfeits_the_lease_even_if_it_fails() {
    let mut t = Group::new(3);
    t.lead(1);
    t.ticks(4);
    t.cut.insert((1, 2));
    let now = t.now;
    assert!(t.replica(1).holds_lease(now));
    t.replica(1).transfer(ReplicaId(2), now).unwrap();
    t.settle();
    assert!(!t.replica(1).holds_lease(now));
    assert!(t.replica(1).transfer(ReplicaId(9), now).is_err());
}
