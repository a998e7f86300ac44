//! What all hosts of a run share: true time, the seed of every stream of dice, and the trail of what
//! happened. Knows nothing of what runs on the hosts.

use crate::host::Host;
use crate::trail::Trail;
use madsim::net::NetSim;
use madsim::rand::random;
use madsim::time::{Sleep, TimeHandle};
use mooseng_core::chance::{self, Dice};
use mooseng_core::event::Event;
use mooseng_core::time::{Instant, WallTime};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const MILLION: u128 = 1_000_000;
/// Clocks of two hosts drift apart by less than twice this; the documented bound is 10,000.
const DRIFT_PPM_MAX: u64 = 4_000;
/// When a run begins, by clocks on walls.
const WALL_START: i64 = 1_700_000_000_000_000_000;
/// By how much the clocks on two walls may disagree.
const WALL_ERROR_MAX: u64 = 90_000_000_000;

pub(crate) struct Common {
    seed: u64,
    time: TimeHandle,
    origin: std::time::Instant,
    trail: Arc<Mutex<Trail>>,
}

impl Common {
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// True time since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.time.now_instant().duration_since(self.origin)
    }

    pub(crate) fn sleep_until(&self, elapsed: Duration) -> Sleep {
        self.time.sleep_until(self.origin + elapsed)
    }

    pub(crate) fn note(&self, host: &str, event: Event) {
        self.trail.lock().unwrap_or_else(PoisonError::into_inner).add(self.elapsed(), host, event);
    }

    pub(crate) fn pace_of(&self, host: u64) -> Pace {
        let mut dice = chance::stream(self.seed, "pace", host, 0);
        let start = dice.between(0, 1 << 40);
        let ppm = MILLION as u64 + dice.between(0, 2 * DRIFT_PPM_MAX) - DRIFT_PPM_MAX;
        let wall_start = WALL_START + dice.between(0, WALL_ERROR_MAX) as i64;
        Pace { start, ppm, wall_start }
    }
}

/// A host's clocks: where they began to count, and how many of their nanoseconds pass in a million of
/// true ones. They are ours, not madsim's: what logic reads through the door must not be what it would
/// read behind its back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    start: u64,
    wall_start: i64,
    ppm: u64,
}

impl Pace {
    pub(crate) fn local(self, elapsed: Duration) -> Instant {
        let passed = elapsed.as_nanos() * u128::from(self.ppm) / MILLION;
        Instant::from_nanos(self.start.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)))
    }

    pub(crate) fn wall(self, elapsed: Duration) -> WallTime {
        WallTime(self.wall_start.saturating_add(i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// The first true moment at which the clock shows `local`; none if that is the end of time.
    pub(crate) fn when(self, local: Instant) -> Option<Duration> {
        let passed = u128::from(local.as_nanos().saturating_sub(self.start)) * MILLION;
        let nanos = passed.div_ceil(u128::from(self.ppm));
        // Two centuries on is never, and adds up without an overflow.
        u64::try_from(nanos).ok().filter(|nanos| *nanos < 1 << 62).map(Duration::from_nanos)
    }
}

/// A run's hosts and its network, from inside the run.
#[derive(Clone)]
pub struct World {
    common: Arc<Common>,
    hosts: Arc<Mutex<Vec<Host>>>,
}

impl World {
    /// Draws the run's seed of streams, and its weather: latencies, and how often something is sent
    /// again.
    #[allow(clippy::new_without_default, reason = "it draws, and asks which run it is in")]
    pub fn new() -> Self {
        Self::with_trail(Arc::default())
    }

    /// As [`Self::new`], with a trail that outlives the run.
    pub(crate) fn with_trail(trail: Arc<Mutex<Trail>>) -> Self {
        let time = TimeHandle::current();
        let seed = random::<u64>();
        let mut dice = chance::stream(seed, "weather", 0, 0);
        let slowest = Duration::from_micros(dice.between(1_100, 6_000));
        let loss_ppm = *dice.pick(&[0, 0, 1_000, 20_000]);
        NetSim::current().update_config(|config| {
            config.send_latency = Duration::from_micros(200)..slowest;
            config.packet_loss_rate = f64::from(loss_ppm) / 1e6;
        });
        let origin = time.now_instant();
        let common = Common { seed, time, origin, trail };
        Self { common: Arc::new(common), hosts: Arc::default() }
    }

    /// A new host with an empty disk, to be started.
    pub fn host(&self, name: &str) -> Host {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = Host::new(self.common.clone(), hosts.len() as u64 + 1, name);
        hosts.push(host.clone());
        host
    }

    /// Nothing that one of two hosts sends reaches the other from now on. What is sent waits.
    pub fn part(&self, one: &Host, other: &Host) {
        self.note(format!("{} and {} are parted", one.name(), other.name()));
        NetSim::current().clog_link(one.node(), other.node());
        NetSim::current().clog_link(other.node(), one.node());
    }

    /// What one host sends no longer reaches the other; it still hears the other.
    pub fn mute(&self, one: &Host, towards: &Host) {
        self.note(format!("{} is mute towards {}", one.name(), towards.name()));
        NetSim::current().clog_link(one.node(), towards.node());
    }

    /// Both hear each other again.
    pub fn rejoin(&self, one: &Host, other: &Host) {
        self.note(format!("{} and {} hear each other", one.name(), other.name()));
        NetSim::current().unclog_link(one.node(), other.node());
        NetSim::current().unclog_link(other.node(), one.node());
    }

    /// True time since the run began.
    pub fn elapsed(&self) -> Duration {
        self.common.elapsed()
    }

    pub async fn sleep(&self, wait: Duration) {
        self.common.sleep_until(self.elapsed() + wait).await;
    }

    /// Dice of the story itself.
    pub fn dice(&self, purpose: &str) -> impl Dice + use<> {
        chance::stream(self.common.seed, purpose, 0, 0)
    }

    /// Adds a line to the trail.
    pub fn note(&self, line: String) {
        self.common.note("story", Event::Note(line));
    }

    pub fn trail<T>(&self, look: impl FnOnce(&Trail) -> T) -> T {
        look(&self.common.trail.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_a_deadline_when_it_is_said_to() {
        for ppm in [996_000, 999_999, 1_000_000, 1_000_001, 1_004_000] {
            let pace = Pace { start: 77, wall_start: 0, ppm };
            for local in [0, 77, 78, 1_000, 1_000_000_077, 123_456_789_012_345] {
                let local = Instant::from_nanos(local);
                let when = pace.when(local).unwrap();
                assert!(pace.local(when) >= local, "{pace:?} at {when:?}");
                let before = when.saturating_sub(Duration::from_nanos(1));
                assert!(when.is_zero() || pace.local(before) < local, "{pace:?} at {before:?}");
            }
            assert_eq!(pace.when(Instant::MAX), None);
        }
    }
}
