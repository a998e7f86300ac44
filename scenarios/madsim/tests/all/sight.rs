//! Can the stories see? Bugs are planted in the logic, and each must make a story fail; what is no bug
//! must not.

use crate::stories::{LIMIT, ROUNDS, story};
use crate::trouble::Trouble;
use mooseng_core::plant;
use mooseng_madsim::{Surroundings, run};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Seeds within which a planted bug has to be seen.
const SEEDS: u64 = 40;

/// Does the story fail under this seed when the bug is planted?
fn fails(bug: &'static str, trouble: Trouble, seed: u64) -> bool {
    let planted = AssertUnwindSafe(|| {
        run(seed, Surroundings::Seeded, LIMIT, move |world| {
            // A run has a thread of its own, and so has what is planted.
            plant::activate(Some(bug));
            story(world, trouble, ROUNDS)
        })
    });
    catch_unwind(planted).is_err()
}

fn is_seen(bug: &'static str, trouble: Trouble) {
    let seen = (0..SEEDS).any(|seed| fails(bug, trouble, seed));
    assert!(seen, "{bug} was not seen under {SEEDS} seeds of {trouble:?}");
}

#[test]
fn what_was_acknowledged_before_it_was_durable_is_missed() {
    is_seen("journal-ack-before-sync", Trouble::Blackout);
    is_seen("append-acked-before-persist", Trouble::Blackout);
}

#[test]
fn a_change_that_took_effect_twice_is_seen() {
    is_seen("retry-applied-twice", Trouble::AnswersAreLost);
    is_seen("snapshot-without-sessions", Trouble::RollingDeaths);
}

#[test]
fn a_stale_read_is_seen() {
    is_seen("stale-read-from-deposed-leader", Trouble::LeaderLosesItsPeers);
}

#[test]
fn a_snapshot_that_lacks_something_is_seen() {
    is_seen("snapshot-without-counters", Trouble::LeaderDies);
    is_seen("snapshot-drops-links", Trouble::LeaderDies);
    is_seen("snapshot-without-sync-before-rename", Trouble::Blackout);
}

#[test]
fn replicas_that_differ_are_seen() {
    is_seen("apply-reads-ambient-counter", Trouble::Nothing);
}

#[test]
fn a_listing_that_skips_is_seen() {
    is_seen("readdir-cookie-by-position", Trouble::Nothing);
}

#[test]
fn what_is_no_bug_is_not_reported() {
    for control in ["control-short-listings", "control-small-chunks", "control-emptiness-by-listing"] {
        for trouble in [Trouble::Nothing, Trouble::RollingDeaths] {
            assert!(!fails(control, trouble, 1), "{control} was reported by {trouble:?}");
        }
    }
}
