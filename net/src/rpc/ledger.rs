//! The calls that a server carries out for one connection: until when, and how much of the limits
//! they hold. Knows neither the connection nor the clock nor what a call does.

use super::config::Share;
use super::head::CALL_NUMBER_END;
use futures::future::AbortHandle;
use mooseng_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Vital calls being carried out, of one connection.
const CONNECTION_VITAL_MAX: usize = 4;

/// Which limits a call counts against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Weight {
    Ordinary,
    OneWay,
    /// Those of its connection only.
    Vital,
}

/// What the connections of one kind of callers share: how much is under way in all. One-way calls
/// are counted apart: a call may take long, and may even wait for what one-way calls bring.
#[derive(Debug)]
pub(super) struct Limits {
    share: Share,
    calls: AtomicUsize,
    notices: AtomicUsize,
    bytes: AtomicUsize,
}

impl Limits {
    pub(super) fn new(share: Share) -> Arc<Self> {
        let zero = || AtomicUsize::new(0);
        Arc::new(Self { share, calls: zero(), notices: zero(), bytes: zero() })
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Vital calls are bounded for each connection alone.
    fn count(&self, weight: Weight) -> Option<(&AtomicUsize, usize)> {
        match weight {
            Weight::Ordinary => Some((&self.calls, self.share.calls_max)),
            Weight::OneWay => Some((&self.notices, self.share.notices_max)),
            Weight::Vital => None,
        }
    }

    fn enter(self: &Arc<Self>, weight: Weight, bytes: usize) -> Option<Permit> {
        let permit = Permit { limits: self.clone(), weight, bytes };
        // Counted first and looked at then: two connections at once may both be refused, never both
        // admitted beyond the limit. Giving the permit back is dropping it.
        let Some((count, count_max)) = self.count(weight) else { return Some(permit) };
        let before = count.fetch_add(1, Ordering::Relaxed);
        let bytes_after = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        // One call is always let in, or a body as large as the limit would never be.
        let fits = before < count_max && (before == 0 || bytes_after <= self.share.bytes_max);
        fits.then_some(permit)
    }
}

#[derive(Debug)]
struct Permit {
    limits: Arc<Limits>,
    weight: Weight,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((count, _)) = self.limits.count(self.weight) {
            count.fetch_sub(1, Ordering::Relaxed);
            self.limits.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

pub(super) struct Ledger {
    limits: Arc<Limits>,
    underway: BTreeMap<u64, Underway>,
    /// How many of them are one-way, and how many vital.
    notices: usize,
    vital: usize,
    deadlines: BTreeSet<(Instant, u64)>,
}

struct Underway {
    deadline: Instant,
    /// Drops what the call does.
    abort: AbortHandle,
    permit: Permit,
}

/// One-way calls have no number; here they get one beyond those of callers.
pub(super) fn is_one_way(number: u64) -> bool {
    number >= CALL_NUMBER_END
}

/// Why a call is not taken on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    Overloaded,
    /// Its number is in use: no sound caller does that.
    NumberInUse,
}

impl Ledger {
    pub(super) fn new(limits: Arc<Limits>) -> Self {
        Self { limits, underway: BTreeMap::new(), notices: 0, vital: 0, deadlines: BTreeSet::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.underway.is_empty()
    }

    /// Is nothing under way but vital calls?
    pub(super) fn is_at_rest(&self) -> bool {
        self.underway.len() == self.vital
    }

    pub(super) fn enter(
        &mut self,
        number: u64,
        weight: Weight,
        deadline: Instant,
        bytes: usize,
        abort: AbortHandle,
    ) -> Result<(), Refused> {
        if self.underway.contains_key(&number) {
            return Err(Refused::NumberInUse);
        }
        let calls_max = self.limits.share.connection_calls_max;
        let (alike, alike_max) = match weight {
            Weight::Ordinary => (self.underway.len() - self.notices - self.vital, calls_max),
            Weight::OneWay => (self.notices, calls_max),
            Weight::Vital => (self.vital, CONNECTION_VITAL_MAX),
        };
        if alike >= alike_max {
            return Err(Refused::Overloaded);
        }
        let permit = self.limits.enter(weight, bytes).ok_or(Refused::Overloaded)?;
        self.notices += usize::from(weight == Weight::OneWay);
        self.vital += usize::from(weight == Weight::Vital);
        self.underway.insert(number, Underway { deadline, abort, permit });
        self.deadlines.insert((deadline, number));
        Ok(())
    }

    /// The call is done. False if nobody waits for it any more.
    pub(super) fn finish(&mut self, number: u64) -> bool {
        self.remove(number).is_some()
    }

    fn remove(&mut self, number: u64) -> Option<AbortHandle> {
        let Underway { deadline, abort, permit } = self.underway.remove(&number)?;
        self.notices -= usize::from(permit.weight == Weight::OneWay);
        self.vital -= usize::from(permit.weight == Weight::Vital);
        self.deadlines.remove(&(deadline, number));
        Some(abort)
    }

    /// The caller no longer waits. False if the call is over already, which is no fault.
    pub(super) fn cancel(&mut self, number: u64) -> bool {
        let Some(abort) = self.remove(number) else { return false };
        abort.abort();
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

    fn limits(calls_max: usize, connection_calls_max: usize) -> Arc<Limits> {
        Limits::new(Share {
            connections_max: 9,
            connection_calls_max,
            calls_max,
            notices_max: calls_max,
            bytes_max: 100,
        })
    }

    /// A call that waits for what others say must not keep them from saying it.
    #[test]
    fn calls_leave_one_way_calls_their_room() {
        let mut ledger = Ledger::new(limits(2, 2));
        let notices = [CALL_NUMBER_END, CALL_NUMBER_END + 1, CALL_NUMBER_END + 2];
        assert_eq!(
            [1, 2].map(|number| ledger.enter(number, Weight::Ordinary, at(9), 1, handle())),
            [Ok(()); 2]
        );
        assert_eq!(ledger.enter(3, Weight::Ordinary, at(9), 1, handle()), Err(Refused::Overloaded));
        let entered = notices.map(|number| ledger.enter(number, Weight::OneWay, at(9), 1, handle()));
        assert_eq!(entered, [Ok(()), Ok(()), Err(Refused::Overloaded)]);
        assert!(ledger.finish(notices[0]));
        assert_eq!(ledger.enter(3, Weight::Ordinary, at(9), 1, handle()), Err(Refused::Overloaded));
        assert_eq!(ledger.enter(notices[2], Weight::OneWay, at(9), 1, handle()), Ok(()));
    }

    /// Who has used up all room is not forgotten for it.
    #[test]
    fn vital_calls_need_no_room_and_are_few() {
        let mut ledger = Ledger::new(limits(1, 9));
        let mut enter = |number, weight| ledger.enter(number, weight, at(9), 90, handle());
        assert_eq!(enter(1, Weight::Ordinary), Ok(()));
        assert_eq!(enter(2, Weight::Ordinary), Err(Refused::Overloaded));
        let vital = (3..9).map(|number| enter(number, Weight::Vital).is_ok());
        assert_eq!(vital.collect::<Vec<bool>>(), [true, true, true, true, false, false]);
        assert!(ledger.finish(3));
        assert_eq!(ledger.enter(9, Weight::Vital, at(9), 90, handle()), Ok(()));
        assert_eq!(ledger.enter(2, Weight::Ordinary, at(9), 1, handle()), Err(Refused::Overloaded));
        assert!(ledger.finish(1));
        assert_eq!(ledger.enter(2, Weight::Ordinary, at(9), 1, handle()), Ok(()));
    }

    #[test]
    fn limits_hold_for_one_connection_and_for_all() {
        let limits = limits(3, 2);
        let mut first = Ledger::new(limits.clone());
        let mut second = Ledger::new(limits.clone());
        assert_eq!(first.enter(1, Weight::Ordinary, at(9), 40, handle()), Ok(()));
        assert_eq!(first.enter(2, Weight::Ordinary, at(9), 40, handle()), Ok(()));
        assert_eq!(first.enter(3, Weight::Ordinary, at(9), 1, handle()), Err(Refused::Overloaded));
        assert_eq!(second.enter(1, Weight::Ordinary, at(9), 21, handle()), Err(Refused::Overloaded));
        assert_eq!(second.enter(1, Weight::Ordinary, at(9), 20, handle()), Ok(()));
        assert_eq!(second.enter(2, Weight::Ordinary, at(9), 0, handle()), Err(Refused::Overloaded));
        assert!(first.finish(1));
        assert_eq!(second.enter(2, Weight::Ordinary, at(9), 40, handle()), Ok(()));
        drop((first, second));
        assert_eq!((limits.calls.load(Ordering::Relaxed), limits.bytes.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_call_larger_than_the_limit_is_let_in_alone() {
        let mut ledger = Ledger::new(limits(9, 9));
        assert_eq!(ledger.enter(1, Weight::Ordinary, at(9), 500, handle()), Ok(()));
        assert_eq!(ledger.enter(2, Weight::Ordinary, at(9), 1, handle()), Err(Refused::Overloaded));
        assert!(ledger.cancel(1));
        assert_eq!(ledger.enter(2, Weight::Ordinary, at(9), 1, handle()), Ok(()));
    }

    #[test]
    fn deadlines_pass_in_order_and_drop_what_the_call_does() {
        let mut ledger = Ledger::new(limits(9, 9));
        let late = handle();
        ledger.enter(1, Weight::Ordinary, at(20), 0, late.clone()).unwrap();
        ledger.enter(2, Weight::Ordinary, at(10), 0, handle()).unwrap();
        assert_eq!(ledger.enter(2, Weight::Ordinary, at(10), 0, handle()), Err(Refused::NumberInUse));
        assert_eq!(ledger.due(), Some(at(10)));
        assert_eq!(ledger.expire(at(9)), None);
        assert_eq!(ledger.expire(at(15)), Some(2));
        assert_eq!(ledger.expire(at(15)), None);
        assert!(!late.is_aborted());
        assert_eq!(ledger.expire(at(20)), Some(1));
        assert!(late.is_aborted() && ledger.is_empty() && !ledger.finish(1));
    }
}
