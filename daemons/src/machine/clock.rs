//! The kernel's clocks.

use mooseng_core::env::Clock;
use mooseng_core::time::{Instant, WallTime};
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::time::Duration;

/// Tokio's timers stand still while the computer is suspended, CLOCK_BOOTTIME does not. A sleep is
/// cut into naps of at most this length, so that it ends no later than this after a suspension.
const NAP_MAX: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
pub struct BootClock;

impl Clock for BootClock {
    fn now(&self) -> Instant {
        let nanos = nanos_of(clock_gettime(ClockId::Boottime));
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }

    fn wall(&self) -> WallTime {
        WallTime(nanos_of(clock_gettime(ClockId::Realtime)))
    }

    async fn sleep_until(&self, deadline: Instant) {
        loop {
            let left = deadline.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(NAP_MAX)).await;
        }
    }
}

fn nanos_of(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}
