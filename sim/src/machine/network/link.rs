//! One direction between two hosts: how long things take on it, and what is wrong with it.

use super::super::config::NetworkConfig;
use super::super::lane::Lane;
use mooseng_core::chance::Dice;

/// What the link costs on the host itself.
const LOOPBACK_NS: u64 = 15_000;

pub(crate) struct Link {
    base_ns: u64,
    jitter_ns: u64,
    picoseconds_per_byte: u64,
    /// When the last byte that was put on it has left.
    busy_until: u64,
    lane: Lane,
    /// Frames put on it so far.
    sent: u64,
    /// How many faults cut it, and how many clog it.
    pub(crate) cuts: u32,
    pub(crate) clogs: u32,
    pub(crate) extra_ns: u64,
    pub(crate) slow_bytes_per_second: Option<u64>,
    /// So many frames to come will have a bit flipped.
    pub(crate) corrupt_frames: u32,
    /// So many frames to come will be rubbish.
    pub(crate) rubbish_frames: u32,
}

impl Link {
    /// Keyed by the hosts' names: other hosts do not change it.
    pub(crate) fn new(seed: u64, source: &str, target: &str, config: &NetworkConfig) -> Self {
        let mut lane = Lane::new(seed, &format!("link/{source}/{target}"), 0, 0);
        let drawn = config.latency_base_ns.draw(&mut lane);
        let near = source == target;
        Self {
            base_ns: if near { LOOPBACK_NS } else { drawn },
            jitter_ns: if near { LOOPBACK_NS } else { config.latency_jitter_ns },
            picoseconds_per_byte: picoseconds_per_byte(config.bytes_per_second),
            busy_until: 0,
            lane,
            sent: 0,
            cuts: 0,
            clogs: 0,
            extra_ns: 0,
            slow_bytes_per_second: None,
            corrupt_frames: 0,
            rubbish_frames: 0,
        }
    }

    pub(crate) fn base_ns(&self) -> u64 {
        self.base_ns
    }

    pub(crate) fn is_open(&self) -> bool {
        self.cuts == 0 && self.clogs == 0
    }

    pub(crate) fn heal(&mut self) {
        self.cuts = 0;
        self.clogs = 0;
        self.extra_ns = 0;
        self.slow_bytes_per_second = None;
        self.corrupt_frames = 0;
        self.rubbish_frames = 0;
    }

    /// When something small that leaves now arrives.
    pub(super) fn arrival(&mut self, now: u64, config: &NetworkConfig) -> u64 {
        let lane = self.lane.at(now);
        let mut wait = self.base_ns + self.extra_ns + lane.below(self.jitter_ns + 1);
        if config.spike_ppm > 0 && lane.chance(config.spike_ppm) {
            wait += config.spike_ns.draw(lane);
        }
        now + wait
    }

    /// When so many bytes that are put on the link now have arrived.
    pub(super) fn carry(&mut self, now: u64, bytes: u64, config: &NetworkConfig) -> u64 {
        let rate = match self.slow_bytes_per_second {
            Some(bytes_per_second) => picoseconds_per_byte(bytes_per_second).max(self.picoseconds_per_byte),
            None => self.picoseconds_per_byte,
        };
        let begins = self.busy_until.max(now);
        self.busy_until = begins + bytes.saturating_mul(rate) / 1_000;
        self.busy_until - now + self.arrival(now, config)
    }

    /// The number of the next frame.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    pub(super) fn dice(&mut self, now: u64) -> &mut Lane {
        self.lane.at(now)
    }

    pub(crate) fn lift_slowness(&mut self) {
        self.extra_ns = 0;
        self.slow_bytes_per_second = None;
        self.busy_until = 0;
    }
}

fn picoseconds_per_byte(bytes_per_second: u64) -> u64 {
    1_000_000_000_000 / bytes_per_second.max(1)
}
