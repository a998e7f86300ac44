//! The calls that a server carries out for one connection: until when, and how much of the limits
//! they hold. Knows neither the connection nor the clock nor what a call does.

use futures::future::AbortHandle;
use mooseng_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the connections of a server share: how much is under way in all.
#[derive(Debug)]
pub(super) struct Limits {
    calls_max: usize,
    bytes_max: usize,
    calls: AtomicUsize,
    bytes: AtomicUsize,
}

impl Limits {
    pub(super) fn new(calls_max: usize, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { calls_max, bytes_max, calls: AtomicUsize::new(0), bytes: AtomicUsize::new(0) })
    }

    fn enter(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        let permit = Permit { limits: self.clone(), bytes };
        // Counted first and looked at then: two connections at once may both be refused, never both
        // admitted beyond the limit. Giving the permit back is dropping it.
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // One call is always let in, or a body as large as the limit would never be.
        let fits =
            calls < self.calls_max && (calls == 0 || bytes_before.saturating_add(bytes) <= self.bytes_max);
        fits.then_some(permit)
    }
}

#[derive(Debug)]
struct Permit {
    limits: Arc<Limits>,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limits.calls.fetch_sub(1, Ordering::Relaxed);
        self.limits.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

pub(super) struct Ledger {
    limits: Arc<Limits>,
    calls_max: usize,
    underway: BTreeMap<u64, Underway>,
    deadlines: BTreeSet<(Instant, u64)>,
}

struct Underway {
    deadline: Instant,
    /// Drops what the call does.
    abort: AbortHandle,
    _permit: Permit,
}

/// Why a call is not taken on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    Overloaded,
    /// Its number is in use: no sound caller does that.
    NumberInUse,
}

impl Ledger {
    pub(super) fn new(limits: Arc<Limits>, calls_max: usize) -> Self {
        Self { limits, calls_max, underway: BTreeMap::new(), deadlines: BTreeSet::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.underway.is_empty()
    }

    pub(super) fn enter(
        &mut self,
        number: u64,
        deadline: Instant,
        bytes: usize,
        abort: AbortHandle,
    ) -> Result<(), Refused> {
        if self.underway.contains_key(&number) {
            return Err(Refused::NumberInUse);
        }
        if self.underway.len() >= self.calls_max {
            return Err(Refused::Overloaded);
        }
        let permit = self.limits.enter(bytes).ok_or(Refused::Overloaded)?;
        self.underway.insert(number, Underway { deadline, abort, _permit: permit });
        self.deadlines.insert((deadline, number));
        Ok(())
    }

    /// The call is done. False if nobody waits for it any more.
    pub(super) fn finish(&mut self, number: u64) -> bool {
        let Some(underway) = self.underway.remove(&number) else { return false };
        self.deadlines.remove(&(underway.deadline, number));
        true
    }

    /// The caller no longer waits. False if the call is over already, which is no fault.
    pub(super) fn cancel(&mut self, number: u64) -> bool {
        let Some(underway) = self.underway.remove(&number) else { return false };
        self.deadlines.remove(&(underway.deadline, number));
        underway.abort.abort();
        true
    }

    /// The earliest deadline.
    pub(super) fn due(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Drops one call whose deadline has passed.
    pub(super) fn expire(&mut self, now: Instant) -> Option<u64> {
        let (deadline, number) = self.deadlines.first().copied()?;
        if deadline > now {
            return None;
        }
        let found = self.cancel(number);
        assert!(found, "a deadline belongs to a call");
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> AbortHandle {
        AbortHandle::new_pair().0
    }

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn limits_hold_for_one_connection_and_for_all() {
        let limits = Limits::new(3, 100);
        let mut first = Ledger::new(limits.clone(), 2);
        let mut second = Ledger::new(limits.clone(), 2);
        assert_eq!(first.enter(1, at(9), 40, handle()), Ok(()));
        assert_eq!(first.enter(2, at(9), 40, handle()), Ok(()));
        assert_eq!(first.enter(3, at(9), 1, handle()), Err(Refused::Overloaded));
        assert_eq!(second.enter(1, at(9), 21, handle()), Err(Refused::Overloaded));
        assert_eq!(second.enter(1, at(9), 20, handle()), Ok(()));
        assert_eq!(second.enter(2, at(9), 0, handle()), Err(Refused::Overloaded));
        assert!(first.finish(1));
        assert_eq!(second.enter(2, at(9), 40, handle()), Ok(()));
        drop((first, second));
        assert_eq!((limits.calls.load(Ordering::Relaxed), limits.bytes.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_call_larger_than_the_limit_is_let_in_alone() {
        let mut ledger = Ledger::new(Limits::new(9, 100), 9);
        assert_eq!(ledger.enter(1, at(9), 500, handle()), Ok(()));
        assert_eq!(ledger.enter(2, at(9), 1, handle()), Err(Refused::Overloaded));
        assert!(ledger.cancel(1));
        assert_eq!(ledger.enter(2, at(9), 1, handle()), Ok(()));
    }

    #[test]
    fn deadlines_pass_in_order_and_drop_what_the_call_does() {
        let mut ledger = Ledger::new(Limits::new(9, 100), 9);
        let late = handle();
        ledger.enter(1, at(20), 0, late.clone()).unwrap();
        ledger.enter(2, at(10), 0, handle()).unwrap();
        assert_eq!(ledger.enter(2, at(10), 0, handle()), Err(Refused::NumberInUse));
        assert_eq!(ledger.due(), Some(at(10)));
        assert_eq!(ledger.expire(at(9)), None);
        assert_eq!(ledger.expire(at(15)), Some(2));
        assert_eq!(ledger.expire(at(15)), None);
        assert!(!late.is_aborted());
        assert_eq!(ledger.expire(at(20)), Some(1));
        assert!(late.is_aborted() && ledger.is_empty() && !ledger.finish(1));
    }
}
