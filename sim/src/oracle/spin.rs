//! G10: nobody spins. A node takes its turns because there is something to do: a steady share for
//! what goes on by itself (ticks, heartbeats, alarms), and more for each operation that a client
//! wants. Whoever goes on taking turns beyond both is in a loop without a rest, as one that tries
//! again at once what a full disk has just refused.
//!
//! Every node has a bucket that fills with its turns and drains at the steady share; a bucket that
//! runs over is reported.

use super::{Observation, Oracle, Promise, Sight, Violation};
use crate::plan::Member;
use mooseng_core::time::Instant;
use std::collections::BTreeMap;

/// Turns that a node may take in a second of simulated time, for ever.
pub const TURNS_PER_SECOND: u64 = 2_000;
/// Turns that a node may take at once: to start, to catch up, to fetch a snapshot.
pub const TURNS_AT_ONCE: u64 = 10_000;
/// Turns of one node that one operation of a client may cost, its retries included.
pub const TURNS_PER_OPERATION: u64 = 50;

/// How many turns beyond its steady share a node may take in a run of so many operations.
pub fn saved_max(operations: usize) -> u64 {
    TURNS_AT_ONCE + TURNS_PER_OPERATION * operations as u64
}

#[derive(Default)]
struct Bucket {
    at: Instant,
    turns: u64,
    /// Turns beyond the steady share that have not drained.
    level: u64,
}

pub struct Spin {
    level_max: u64,
    buckets: BTreeMap<Member, Bucket>,
}

impl Spin {
    pub fn new(level_max: u64) -> Self {
        Self { level_max, buckets: BTreeMap::new() }
    }
}

impl Oracle for Spin {
    fn name(&self) -> &'static str {
        "spin"
    }

    fn promise(&self) -> Promise {
        Promise(10)
    }

    fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        let Sight::Worked { node, turns } = seen.sight else { return Ok(()) };
        let bucket = self.buckets.entry(node).or_default();
        let drained = seen.at.since(bucket.at).as_millis() as u64 * TURNS_PER_SECOND / 1_000;
        let taken = turns.saturating_sub(bucket.turns);
        let level = (bucket.level + taken).saturating_sub(drained);
        *bucket = Bucket { at: seen.at, turns, level };
        if level <= self.level_max {
            return Ok(());
        }
        let what = format!(
            "{node} never rests: {taken} turns since it was last looked at, and {level} more than \
             {TURNS_PER_SECOND} a second, where {} are allowed",
            self.level_max
        );
        Err(self.violation(seen.at, what))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, see};
    use super::*;
    use std::time::Duration;

    const NODE: Member = Member::Server(2);

    /// A node takes so many turns every 100 ms, for a minute; says when that was too much.
    fn found(turns_each: u64, operations: usize) -> Option<(Duration, Violation)> {
        let mut script = Script::new();
        let mut oracle = Spin::new(saved_max(operations));
        (1..=600).find_map(|step| {
            script.wait(Duration::from_millis(100));
            let sight = Sight::Worked { node: NODE, turns: step * turns_each };
            let violation = see(&mut oracle, &script, sight).err()?;
            Some((script.now.since(Instant::ZERO), violation))
        })
    }

    #[test]
    fn steady_work_is_not_reported() {
        assert_eq!(found(TURNS_PER_SECOND / 10, 0), None);
    }

    #[test]
    fn a_burst_of_work_that_was_asked_for_is_not_reported() {
        let mut script = Script::new();
        let mut oracle = Spin::new(saved_max(100));
        for (millis, turns) in [(1, saved_max(100)), (1_000, saved_max(100) + 1_000)] {
            script.wait(Duration::from_millis(millis));
            assert_eq!(see(&mut oracle, &script, Sight::Worked { node: NODE, turns }), Ok(()));
        }
    }

    #[test]
    fn a_loop_without_a_rest_is_found() {
        let (after, violation) = found(5_000, 100).unwrap();
        assert_eq!((violation.oracle, violation.promise), ("spin", Promise(10)));
        assert!(violation.what.starts_with("meta-2 never rests: 5000 turns"), "{violation}");
        assert!(after < Duration::from_secs(1), "{after:?}");
        // Slow spinning takes longer to be seen, and is seen.
        assert!(found(250, 0).is_some());
    }
}
