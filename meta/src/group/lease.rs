//! The leader's lease: the right to answer reads without asking anybody.
//!
//! Every message carries when its sender `sent` it, by the sender's own clock, and the `echo` of
//! the last such moment that the receiver's messages carried. A voter that echoes a moment of this
//! leader's has promised, at that moment or later, to grant no vote for a while
//! ([`super::election::Promise`]). So from the earliest of the moments that a majority has echoed,
//! nobody else can be elected for that while, and the leader's lease runs from there: never from
//! when the answers arrived. Clocks never compare, only their speeds: the lease is shorter than
//! the promise by more than the drift bound allows.
//!
//! The lease is forfeited for the rest of the term when a transfer of leadership begins: the
//! message that makes the successor stand may be late, and a vote that it asks for breaks promises.

use super::members::Members;
use mooseng_core::id::ReplicaId;
use mooseng_core::time::Instant;
use mooseng_core::{plant, probe};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Lease {
    length: Duration,
    /// Since when this replica leads; `None` while it does not.
    since: Option<Instant>,
    echoes: BTreeMap<ReplicaId, Instant>,
    forfeited: bool,
}

impl Lease {
    /// A lease of `length` by a clock that may be wrong by `drift_ppm` millionths.
    pub fn new(length: Duration, drift_ppm: u32) -> Self {
        let length = length.saturating_sub(length * drift_ppm / 1_000_000);
        Self { length, since: None, echoes: BTreeMap::new(), forfeited: false }
    }

    pub fn begin(&mut self, now: Instant) {
        self.since = Some(now);
        self.echoes.clear();
        self.forfeited = false;
    }

    pub fn end(&mut self) {
        self.since = None;
        self.echoes.clear();
    }

    pub fn forfeit(&mut self) {
        plant!("lease-kept-over-transfer", self.forfeited = true, {});
    }

    /// A voter echoed a moment, in a message of the term that is led.
    pub fn echoed(&mut self, voter: ReplicaId, echo: u64, now: Instant) {
        let moment = plant!("lease-from-receive-time", Instant::from_nanos(echo), now);
        // What lies in the future, or before this leadership, was not echoed but made up.
        if self.since.is_none_or(|since| moment < since) || moment > now {
            return;
        }
        let latest = self.echoes.entry(voter).or_insert(moment);
        *latest = (*latest).max(moment);
    }

    /// The last moment that a voter has echoed.
    pub fn echo(&self, voter: ReplicaId) -> Option<Instant> {
        self.echoes.get(&voter).copied()
    }

    /// Does it hold at this moment?
    pub fn holds(&self, own: ReplicaId, members: &Members, now: Instant) -> bool {
        if self.since.is_none() {
            return false;
        }
        if self.forfeited {
            probe!("lease forfeited by a transfer");
            return false;
        }
        let echo = |voter| if voter == own { Some(now) } else { self.echoes.get(&voter).copied() };
        members.quorum(echo).is_some_and(|start| now < start + self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::env::Address;
    use mooseng_core::id::ServerId;

    const OWN: ReplicaId = ReplicaId(1);

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn five() -> Members {
        let voter = |id| (ReplicaId(id), ServerId(id), Address::new("a:1"));
        Members::genesis(&[voter(1), voter(2), voter(3), voter(4), voter(5)])
    }

    #[test]
    fn it_counts_from_what_a_majority_echoed() {
        let mut lease = Lease::new(Duration::from_millis(340), 10_000);
        lease.begin(at(1_000));
        lease.echoed(ReplicaId(2), at(1_100).as_nanos(), at(1_200));
        assert!(!lease.holds(OWN, &five(), at(1_200)), "two of five are no majority");
        lease.echoed(ReplicaId(3), at(1_050).as_nanos(), at(1_200));
        assert!(lease.holds(OWN, &five(), at(1_386)));
        assert!(!lease.holds(OWN, &five(), at(1_387)), "340 ms less 1 % after 1,050 ms");
    }

    #[test]
    fn it_is_not_made_of_other_leaderships_nor_of_the_future() {
        let mut lease = Lease::new(Duration::from_millis(340), 0);
        lease.begin(at(1_000));
        for voter in [2, 3, 4] {
            lease.echoed(ReplicaId(voter), at(999).as_nanos(), at(1_001));
            lease.echoed(ReplicaId(voter), at(5_000).as_nanos(), at(1_001));
        }
        assert!(!lease.holds(OWN, &five(), at(1_001)));
    }

    #[test]
    fn a_transfer_forfeits_it_until_the_next_term() {
        let mut lease = Lease::new(Duration::from_millis(340), 0);
        for start in [1_000, 2_000] {
            lease.begin(at(start));
            lease.echoed(ReplicaId(2), at(start).as_nanos(), at(start + 1));
            lease.echoed(ReplicaId(3), at(start).as_nanos(), at(start + 1));
            assert!(lease.holds(OWN, &five(), at(start + 1)));
            lease.forfeit();
            assert!(!lease.holds(OWN, &five(), at(start + 1)));
        }
    }
}
