//! Stories about one group of metadata servers: one property each.

use mooseng_scenarios::story::Story;
use mooseng_sim::machine::{Fault, Moment, OperationKind, Spot};
use mooseng_sim::plan::{Milestone, When};
use std::time::Duration;

fn crash(node: &str, restart_ms: u64) -> Fault {
    Fault::Crash { node: node.to_owned(), restart_ms: Some(restart_ms) }
}

fn isolate(node: &str, for_ms: u64) -> Fault {
    Fault::Isolate { node: node.to_owned(), for_ms: Some(for_ms) }
}

const BUSY: &[&str] =
    &["20ms: mkdir /d#", "create /d#/a", "rename /d#/a /b#", "link /b# /d#/c", "lookup /d#/c"];

#[test]
fn a_quiet_cluster_serves_everything() {
    let reports =
        Story::new("a quiet cluster").busy_client(40, BUSY).busy_client(40, &["30ms: readdir /"]).holds();
    assert!(reports.iter().all(|report| report.acknowledged >= 240 && report.elections == 1));
}

#[test]
fn a_leader_that_dies_between_write_and_sync_loses_nothing() {
    let when = When::after(Milestone::Answered, 20).then("leader", OperationKind::Sync, 1, Moment::Before);
    Story::new("a leader dies before its sync")
        .busy_client(60, BUSY)
        .fault(when, crash("leader", 3_000))
        .holds();
}

#[test]
fn a_leader_is_replaced_within_a_second() {
    let reports = Story::new("a leader dies")
        .busy_client(600, &["10ms: create /f#"])
        .at(4_000, crash("leader", 5_000))
        .holds();
    let failovers: Vec<Duration> = reports.iter().flat_map(|report| report.failovers.clone()).collect();
    assert!(failovers.len() >= 8, "the loss of the leader was measured only {} times", failovers.len());
    assert!(failovers.iter().all(|took| *took < Duration::from_secs(1)), "{failovers:?}");
}

#[test]
fn a_deposed_leader_serves_no_stale_reads() {
    Story::new("a leader is cut off")
        .busy_client(80, &["10ms: create /f#", "lookup /f#"])
        .busy_client(80, &["15ms: readdir /"])
        .at(3_000, isolate("leader", 2_000))
        .at(7_000, isolate("leader", 2_000))
        .holds();
}

#[test]
fn a_hung_leader_wakes_up_deposed() {
    Story::new("a leader hangs")
        .busy_client(80, &["10ms: mkdir /d#", "lookup /d#"])
        .busy_client(80, &["15ms: readdir /"])
        .at(3_000, Fault::Pause { node: "leader".to_owned(), for_ms: Some(2_500) })
        .at(7_000, Fault::Suspend { node: "leader".to_owned(), for_ms: Some(2_500) })
        .holds();
}

#[test]
fn a_power_cut_of_all_servers_loses_nothing() {
    let mut story = Story::new("the power fails").busy_client(60, BUSY).busy_client(60, BUSY);
    for (number, millis) in [(1, 4_000), (2, 4_000), (3, 4_001)] {
        story = story.at(millis, crash(&format!("meta-{number}"), 1_500));
    }
    story.holds();
}

#[test]
fn a_server_that_lost_its_disk_comes_back_as_another_replica() {
    Story::new("a disk is emptied")
        .lasting(12, 12)
        .busy_client(120, &["20ms: create /f#"])
        .at(4_000, Fault::Empty { node: "follower-1".to_owned(), restart_ms: Some(500) })
        .holds();
}

#[test]
fn a_damaged_journal_is_not_cut_silently() {
    let spot = Spot { prefix: "journal/".to_owned(), ..Spot::default() };
    Story::new("a journal rots")
        .lasting(12, 12)
        .busy_client(120, &["20ms: create /f#"])
        .at(4_000, Fault::BitRot { node: "follower-1".to_owned(), spot, sectors: 3 })
        .at(4_100, crash("follower-1", 500))
        .holds();
}

#[test]
fn a_follower_that_was_away_catches_up_by_snapshot() {
    Story::new("a follower was away")
        .with(|plan| plan.knobs.snapshot_entries = 16)
        .busy_client(150, &["10ms: create /f#"])
        .at(2_000, crash("follower-1", 4_000))
        .holds();
}

#[test]
fn a_disk_that_stalls_does_not_cost_the_leader_its_office() {
    let mut story = Story::new("disks stall").busy_client(150, &["20ms: create /f#"]);
    for second in 2..9 {
        for server in 1..=3 {
            let node = format!("meta-{server}");
            story = story.at(second * 1_000 + server * 170, Fault::DiskStall { node, for_ms: 200 });
        }
    }
    assert!(story.holds().iter().all(|report| report.elections == 1));
}

#[test]
fn a_failed_sync_stops_the_server_and_nothing_else() {
    Story::new("a sync fails")
        .busy_client(100, &["20ms: create /f#"])
        .at(3_000, Fault::SyncFails { node: "leader".to_owned(), prefix: "journal/".to_owned() })
        .holds();
}
