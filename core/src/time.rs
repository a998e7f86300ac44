//! Moments and stamps. Nothing here can find out what time it is: the clock is in [`crate::env`].

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment of a machine's monotonic clock, in nanoseconds since that machine started counting.
/// It goes on counting while the machine is suspended. Moments of two machines do not compare.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    pub const ZERO: Instant = Instant(0);
    pub const MAX: Instant = Instant(u64::MAX);

    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Saturates at the end of time, so that a deadline "never" may be added to.
impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, wait: Duration) -> Instant {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(nanos))
    }
}

/// Saturates at the beginning of time.
impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, wait: Duration) -> Instant {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_sub(nanos))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}.{:03}s", self.0 / 1_000_000_000, self.0 / 1_000_000 % 1_000)
    }
}

/// Wall time: nanoseconds since 1970. It may step back, freeze or be wrong; only file times and
/// [`HybridClock`] use it, never a lease, a deadline or an election.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct WallTime(pub i64);

/// A hybrid logical clock stamp: wall milliseconds in the upper 48 bits, a counter in the lower 16.
/// Stamps of one history only grow, and stay close to wall time when wall time behaves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Stamp(pub u64);

impl Stamp {
    pub fn new(millis: u64, counter: u16) -> Self {
        assert!(millis < 1 << 48, "milliseconds beyond the year 10889 do not fit a stamp");
        Self(millis << 16 | u64::from(counter))
    }

    pub fn millis(self) -> u64 {
        self.0 >> 16
    }

    pub fn counter(self) -> u16 {
        (self.0 & 0xffff) as u16
    }
}

/// Hands out [`Stamp`]s that never go back, whatever wall time does.
#[derive(Clone, Debug, Default)]
pub struct HybridClock {
    last: Stamp,
}

impl HybridClock {
    /// The stamp of an event that happens here now.
    pub fn tick(&mut self, wall: WallTime) -> Stamp {
        let millis = u64::try_from(wall.0 / 1_000_000).unwrap_or(0).min((1 << 48) - 1);
        let fresh = Stamp::new(millis, 0);
        // Adding one carries from the counter into the milliseconds, which keeps the order.
        self.last = if fresh > self.last { fresh } else { Stamp(self.last.0.saturating_add(1)) };
        self.last
    }

    /// Learns of a stamp from elsewhere: every later one here is greater.
    pub fn witness(&mut self, seen: Stamp) {
        self.last = self.last.max(seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_only_grow_when_wall_time_steps_back() {
        let mut clock = HybridClock::default();
        let first = clock.tick(WallTime(5_000_000_000));
        let second = clock.tick(WallTime(1_000_000_000));
        assert!(second > first);
        assert_eq!(second.millis(), 5_000);
        clock.witness(Stamp::new(9_000, 7));
        assert_eq!(clock.tick(WallTime(-4)), Stamp::new(9_000, 8));
        assert_eq!(clock.tick(WallTime(10_000_000_000)), Stamp::new(10_000, 0));
    }

    #[test]
    fn a_full_counter_carries_into_the_milliseconds() {
        let mut clock = HybridClock::default();
        clock.witness(Stamp::new(7, u16::MAX));
        assert_eq!(clock.tick(WallTime(0)), Stamp::new(8, 0));
    }

    #[test]
    fn deadlines_saturate() {
        assert_eq!(Instant::MAX + Duration::from_secs(1), Instant::MAX);
        assert_eq!(Instant::ZERO - Duration::from_secs(1), Instant::ZERO);
    }
}
