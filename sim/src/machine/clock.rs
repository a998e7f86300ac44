//! A node's clocks and the timers that wait for them. True time is the world's; a node sees only
//! its own monotonic time, which drifts, and its wall time, which may do anything.

use super::slab::{Key, Slab};
use std::task::Waker;

/// Deadlines further ahead than this (about 36 years) never come.
const NEVER_NS: u64 = 1 << 60;

/// A node's clocks: straight lines over true time since the last change.
#[derive(Clone, Debug)]
pub(crate) struct NodeClock {
    anchor_true: u64,
    anchor_local: u64,
    drift_ppm: i32,
    /// Drift, in 2^-32 of true time.
    rate: i64,
    /// Wall time less monotonic time.
    wall_offset: i64,
    wall_frozen: Option<i64>,
}

impl NodeClock {
    pub(crate) fn new(now: u64, uptime: u64, drift_ppm: i32, wall: i64) -> Self {
        let mut clock = Self {
            anchor_true: now,
            anchor_local: uptime,
            drift_ppm: 0,
            rate: 0,
            wall_offset: wall.wrapping_sub(uptime as i64),
            wall_frozen: None,
        };
        clock.set_drift(now, drift_ppm);
        clock
    }

    pub(crate) fn local(&self, now: u64) -> u64 {
        assert!(now >= self.anchor_true, "true time only grows");
        let elapsed = now - self.anchor_true;
        let drift = (i128::from(elapsed) * i128::from(self.rate)) >> 32;
        self.anchor_local.saturating_add_signed((i128::from(elapsed) + drift) as i64)
    }

    pub(crate) fn wall(&self, now: u64) -> i64 {
        self.wall_frozen.unwrap_or_else(|| (self.local(now) as i64).wrapping_add(self.wall_offset))
    }

    /// The first true time at which the local clock shows `deadline`; `None` if that never comes.
    pub(crate) fn when(&self, now: u64, deadline: u64) -> Option<u64> {
        let ahead = deadline.saturating_sub(self.local(now));
        if ahead >= NEVER_NS {
            return None;
        }
        // The estimate is short by a rounding error at most; the deficit is then added, which a
        // clock that runs at half speed or faster turns into fewer than 64 rounds.
        let speed = (1_i128 << 32) + i128::from(self.rate);
        let mut time = now.saturating_add(((i128::from(ahead) << 32) / speed) as u64);
        for _ in 0..64 {
            let shown = self.local(time);
            if shown >= deadline {
                return Some(time);
            }
            time += deadline - shown;
        }
        Some(time)
    }

    pub(crate) fn drift_ppm(&self) -> i32 {
        self.drift_ppm
    }

    fn anchor(&mut self, now: u64) {
        self.anchor_local = self.local(now);
        self.anchor_true = now;
    }

    pub(crate) fn set_drift(&mut self, now: u64, ppm: i32) {
        assert!(ppm > -500_000, "a clock that nearly stands still is no clock");
        self.anchor(now);
        self.drift_ppm = ppm;
        self.rate = (i64::from(ppm) << 32) / 1_000_000;
    }

    /// Monotonic time jumps ahead, wall time with it.
    pub(crate) fn jump(&mut self, now: u64, ahead: u64) {
        self.anchor(now);
        self.anchor_local = self.anchor_local.saturating_add(ahead);
    }

    pub(crate) fn step_wall(&mut self, by: i64) {
        self.wall_offset = self.wall_offset.wrapping_add(by);
    }

    pub(crate) fn freeze_wall(&mut self, now: u64) {
        self.wall_frozen = Some(self.wall(now));
    }

    pub(crate) fn thaw_wall(&mut self) {
        self.wall_frozen = None;
    }

    /// A power cut restarts monotonic time and leaves wall time alone.
    pub(crate) fn reboot(&mut self, now: u64, uptime: u64) {
        let wall = (self.local(now) as i64).wrapping_add(self.wall_offset);
        self.anchor_true = now;
        self.anchor_local = uptime;
        self.wall_offset = wall.wrapping_sub(uptime as i64);
    }
}

/// Somebody waits for a node's clock.
pub(crate) struct Timer {
    pub(crate) node: u32,
    /// In the node's monotonic time.
    pub(crate) deadline: u64,
    pub(crate) waker: Waker,
}

pub(crate) type Timers = Slab<Timer>;

/// The timers of a node, to be set anew after its clock changed its pace.
pub(crate) fn timers_of(timers: &Timers, node: u32) -> Vec<(Key, u64)> {
    timers.iter().filter(|(_, timer)| timer.node == node).map(|(key, timer)| (key, timer.deadline)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_fast_clock_reaches_a_deadline_early_and_a_slow_one_late() {
        for (ppm, expected) in [(0, 10 * SECOND), (10_000, 9_900_990_100), (-10_000, 10_101_010_102)] {
            let clock = NodeClock::new(0, 0, ppm, 0);
            let when = clock.when(0, 10 * SECOND).unwrap();
            assert!(when.abs_diff(expected) < 20, "{ppm}: {when}");
            assert!(clock.local(when) >= 10 * SECOND, "never early");
            assert!(clock.local(when - 1) < 10 * SECOND, "never later than it must");
        }
    }

    #[test]
    fn deadlines_that_never_come_and_those_that_have() {
        let clock = NodeClock::new(0, 1 << 62, -77, 0);
        assert_eq!(clock.when(5, u64::MAX), None);
        assert_eq!(clock.when(5, 3), Some(5));
    }

    #[test]
    fn a_change_of_pace_does_not_step_the_clock() {
        let mut clock = NodeClock::new(0, 7, 5_000, 1_000);
        let before = clock.local(SECOND);
        clock.set_drift(SECOND, -300_000);
        assert_eq!(clock.local(SECOND), before);
        clock.jump(SECOND, 50);
        assert_eq!(clock.local(SECOND), before + 50);
    }

    #[test]
    fn wall_time_freezes_steps_and_survives_a_reboot() {
        let mut clock = NodeClock::new(0, 500, 0, 10_000);
        assert_eq!(clock.wall(100), 10_100);
        clock.freeze_wall(100);
        assert_eq!(clock.wall(900), 10_100);
        clock.thaw_wall();
        clock.step_wall(-5_000);
        assert_eq!(clock.wall(900), 5_900);
        clock.reboot(900, 3);
        assert_eq!((clock.local(900), clock.wall(901)), (3, 5_901));
    }
}
