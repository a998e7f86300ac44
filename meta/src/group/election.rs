//! When a replica stands for election, and when it must not vote. Both are pure functions of what
//! the replica was told; there are no dice here.
//!
//! A vote is bound by two promises beyond raft's own:
//! - Who answered a leader's message at moment m grants no vote before m + [`Promise::keep`]: the
//!   leader's lease counts on it. raft-rs has a check of its own in ticks, but forgets it when it
//!   hears of a higher term.
//! - Who has just started may have answered a leader right before, so it grants no vote for one
//!   election timeout. One that never answered anybody need not wait.

use mooseng_core::chance;
use mooseng_core::id::{GroupId, ReplicaId};
use mooseng_core::time::Instant;
use std::time::Duration;

/// After how many ticks without a leader a replica stands for election in a term: a pure function
/// of its arguments. `rank` is its place among the `voters` of its configuration; replicas that
/// agree on that never draw the same number (as long as there are enough), so votes do not split.
pub fn timeout_ticks(
    seed: u64,
    group: GroupId,
    term: u64,
    rank: usize,
    voters: usize,
    range: (usize, usize),
) -> usize {
    let (least, most) = range;
    assert!(least <= most, "an empty range of election timeouts");
    let places = most - least + 1;
    let start = chance::mix(seed ^ chance::mix(group.0 ^ chance::mix(term))) as usize % places;
    least + (start + rank * places / voters.max(1)) % places
}

/// The rank of a replica among the voters; one that is none stands behind them all.
pub fn rank(voters: &[ReplicaId], replica: ReplicaId) -> usize {
    voters.iter().position(|voter| *voter == replica).unwrap_or(voters.len())
}

/// What binds a voter.
#[derive(Clone, Debug)]
pub struct Promise {
    keep: Duration,
    started: Option<Instant>,
    wait: Duration,
    heard: Option<Instant>,
}

impl Promise {
    /// `started`: when it came back from a life in which it may have promised something.
    pub fn new(keep: Duration, started: Option<Instant>, wait: Duration) -> Self {
        Self { keep, started, wait, heard: None }
    }

    /// A leader's message was answered.
    pub fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
    }

    /// Was a leader heard of within the last `span`?
    pub fn heard_within(&self, span: Duration, now: Instant) -> bool {
        self.heard.is_some_and(|heard| now < heard + span)
    }

    pub fn restart_binds(&self, now: Instant) -> bool {
        self.started.is_some_and(|started| now < started + self.wait)
    }

    /// May a vote be granted? A transfer is asked for by the leader itself, which has given its
    /// lease up; only a fresh start binds then.
    pub fn allows(&self, transfer: bool, now: Instant) -> bool {
        !self.restart_binds(now) && (transfer || !self.heard_within(self.keep, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voters_of_one_configuration_never_wait_equally_long() {
        for (voters, term) in (1..=5).flat_map(|voters| (1..200).map(move |term| (voters, term))) {
            let drawn = |rank| timeout_ticks(7, GroupId(1), term, rank, voters, (9, 14));
            let mut all: Vec<usize> = (0..voters).map(drawn).collect();
            assert!(all.iter().all(|ticks| (9..=14).contains(ticks)));
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), voters, "term {term}");
        }
    }

    #[test]
    fn promises_are_kept_for_their_time() {
        let ms = Duration::from_millis;
        let start = Instant::ZERO + ms(1_000);
        let mut promise = Promise::new(ms(345), Some(start), ms(700));
        assert!(!promise.allows(true, start + ms(699)));
        assert!(promise.allows(false, start + ms(700)));
        promise.heard(start + ms(900));
        assert!(!promise.allows(false, start + ms(1_244)));
        assert!(promise.allows(true, start + ms(1_244)));
        assert!(promise.allows(false, start + ms(1_245)));
    }
}
