//! Every knob of the machine, so that a seed can draw them and a plan can hold them. Durations are
//! in nanoseconds of virtual time, chances in millionths.

use mooseng_core::chance::Dice;
use serde::{Deserialize, Serialize};

const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// A range to draw from evenly, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Span {
    pub low: u64,
    pub high: u64,
}

impl Span {
    pub const fn new(low: u64, high: u64) -> Self {
        assert!(low <= high);
        Self { low, high }
    }

    pub(crate) fn draw(self, dice: &mut impl Dice) -> u64 {
        dice.between(self.low, self.high)
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NetworkConfig {
    /// The least latency of a link, drawn once per link and direction.
    pub latency_base_ns: Span,
    /// Added to every message, drawn from zero to this.
    pub latency_jitter_ns: u64,
    /// How often a message takes a spike longer.
    pub spike_ppm: u32,
    pub spike_ns: Span,
    pub bytes_per_second: u64,
    /// Bytes of one direction of a connection that may be under way or unread.
    pub window_bytes: u64,
    /// Connections that wait to be accepted.
    pub backlog: u32,
    /// How long a request to connect that nobody answers is repeated.
    pub connect_timeout_ns: u64,
    pub connect_retry_ns: u64,
    /// How long a connection may be without any acknowledgement before its sender gives it up.
    pub silence_timeout_ns: u64,
    /// How often, per frame, a connection is lost.
    pub reset_ppm: u32,
    /// How often, per frame, a bit of it is flipped on the way.
    pub corrupt_ppm: u32,
    /// One of so many frames is really encoded and decoded.
    pub encode_one_in: u32,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DiskConfig {
    pub read_ns: Span,
    pub write_ns: Span,
    pub sync_ns: Span,
    /// Opening, renaming, listing and the like.
    pub name_ns: Span,
    /// How often an operation finds the disk stalled, and for how long.
    pub stall_ppm: u32,
    pub stall_ns: Span,
    pub bytes_per_second: u64,
    pub capacity_bytes: u64,
    /// What becomes of a write whose future was dropped: how often it never lands, and how often
    /// it lands up to `late_ns` too late. The rest lands in time.
    pub dropped_never_ppm: u32,
    pub dropped_late_ppm: u32,
    pub late_ns: u64,
    /// How often, per write, some of what is written becomes durable without being asked to.
    pub writeback_ppm: u32,
    /// How often an image is kept to which the disk may be rolled back; 0 for never.
    pub checkpoint_every_ns: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClockConfig {
    /// Every node's clock runs at a rate drawn from within this of true time.
    pub drift_ppm_max: u32,
    /// How long the machines have been up when the run begins, and after a power cut.
    pub uptime_ns: Span,
    /// Wall time of the beginning, and how far a node's may be off.
    pub wall_ns: i64,
    pub wall_error_ns: u64,
}

/// All of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MachineConfig {
    pub network: NetworkConfig,
    pub disk: DiskConfig,
    pub clock: ClockConfig,
    /// What heavy work costs: a fixed part, and a part per KiB.
    pub compute_ns: u64,
    pub compute_kib_ns: u64,
    /// How many buggify points a seed switches on, and how often such a point then fires.
    pub buggify_point_ppm: u32,
    pub buggify_fire_ppm: u32,
    /// More polls than this at one moment are a bug: somebody spins.
    pub polls_per_moment_max: u32,
}

impl MachineConfig {
    /// A good day: nothing fails, everything takes its ordinary time.
    pub fn calm() -> Self {
        Self {
            network: NetworkConfig {
                latency_base_ns: Span::new(60 * MICRO, 140 * MICRO),
                latency_jitter_ns: 40 * MICRO,
                spike_ppm: 0,
                spike_ns: Span::new(MILLI, 20 * MILLI),
                bytes_per_second: 1_250_000_000,
                window_bytes: 1 << 20,
                backlog: 128,
                connect_timeout_ns: 3 * SECOND,
                connect_retry_ns: 200 * MILLI,
                silence_timeout_ns: 8 * SECOND,
                reset_ppm: 0,
                corrupt_ppm: 0,
                encode_one_in: 64,
            },
            disk: DiskConfig {
                read_ns: Span::new(10 * MICRO, 90 * MICRO),
                write_ns: Span::new(2 * MICRO, 12 * MICRO),
                sync_ns: Span::new(70 * MICRO, 130 * MICRO),
                name_ns: Span::new(5 * MICRO, 30 * MICRO),
                stall_ppm: 0,
                stall_ns: Span::new(5 * MILLI, 200 * MILLI),
                bytes_per_second: 1_000_000_000,
                capacity_bytes: 1 << 40,
                dropped_never_ppm: 250_000,
                dropped_late_ppm: 400_000,
                late_ns: 500 * MILLI,
                writeback_ppm: 20_000,
                checkpoint_every_ns: 0,
            },
            clock: ClockConfig {
                drift_ppm_max: 100,
                uptime_ns: Span::new(SECOND, 1_000 * SECOND),
                wall_ns: 1_790_000_000 * SECOND as i64,
                wall_error_ns: 20 * MILLI,
            },
            compute_ns: 2 * MICRO,
            compute_kib_ns: 200,
            buggify_point_ppm: 0,
            buggify_fire_ppm: 0,
            polls_per_moment_max: 200_000,
        }
    }

    /// A day drawn by the dice: from fast and quiet to slow, lossy and stalling, clocks anywhere
    /// within the documented bound of 1 %.
    pub fn draw(dice: &mut impl Dice) -> Self {
        let mut config = Self::calm();
        draw_network(&mut config.network, dice);
        draw_disk(&mut config.disk, dice);
        let clock = &mut config.clock;
        clock.drift_ppm_max = *dice.pick(&[0, 100, 1_000, 10_000, 10_000]);
        // Up for a moment, for days, or so long that nanoseconds come near the end of 63 bits.
        let uptimes = [Span::new(0, SECOND), Span::new(0, 86_400 * SECOND), Span::new(1 << 62, 1 << 62)];
        clock.uptime_ns = *dice.pick(&uptimes);
        clock.wall_error_ns = *dice.pick(&[0, 20 * MILLI, 2 * SECOND, 3_600 * SECOND]);
        config.compute_ns = *dice.pick(&[0, 2 * MICRO, 50 * MICRO]);
        config.compute_kib_ns = *dice.pick(&[100, 300, 3_000]);
        config.buggify_point_ppm = *dice.pick(&[0, 250_000, 500_000]);
        config.buggify_fire_ppm = *dice.pick(&[10_000, 50_000, 250_000]);
        config
    }
}

fn draw_network(network: &mut NetworkConfig, dice: &mut impl Dice) {
    let bases = [
        Span::new(20 * MICRO, 60 * MICRO),
        Span::new(60 * MICRO, 140 * MICRO),
        Span::new(200 * MICRO, 2 * MILLI),
        Span::new(MILLI, 15 * MILLI),
    ];
    network.latency_base_ns = bases[dice.weighted(&[2, 4, 2, 1])];
    network.latency_jitter_ns = *dice.pick(&[0, 40 * MICRO, 500 * MICRO, 5 * MILLI]);
    network.spike_ppm = *dice.pick(&[0, 100, 1_000, 10_000]);
    network.spike_ns = Span::new(MILLI, *dice.pick(&[10 * MILLI, 100 * MILLI, 400 * MILLI]));
    network.bytes_per_second = *dice.pick(&[12_500_000, 125_000_000, 1_250_000_000]);
    network.window_bytes = *dice.pick(&[4 << 10, 64 << 10, 256 << 10, 1 << 20]);
    network.backlog = *dice.pick(&[2, 16, 128]);
    network.connect_timeout_ns = dice.between(500, 5_000) * MILLI;
    network.connect_retry_ns = dice.between(20, 1_000) * MILLI;
    network.silence_timeout_ns = dice.between(1, 20) * SECOND;
    network.reset_ppm = *dice.pick(&[0, 0, 20, 200]);
    network.corrupt_ppm = *dice.pick(&[0, 0, 20, 200]);
}

fn draw_disk(disk: &mut DiskConfig, dice: &mut impl Dice) {
    let syncs = [
        Span::new(20 * MICRO, 60 * MICRO),
        Span::new(70 * MICRO, 130 * MICRO),
        Span::new(500 * MICRO, 4 * MILLI),
        Span::new(5 * MILLI, 25 * MILLI),
    ];
    disk.sync_ns = syncs[dice.weighted(&[2, 4, 2, 1])];
    disk.write_ns = *dice.pick(&[Span::new(MICRO, 5 * MICRO), disk.write_ns, Span::new(MICRO, MILLI)]);
    disk.read_ns = *dice.pick(&[Span::new(MICRO, 5 * MICRO), disk.read_ns, Span::new(MILLI, 12 * MILLI)]);
    disk.bytes_per_second = *dice.pick(&[50_000_000, 500_000_000, 3_000_000_000]);
    disk.stall_ppm = *dice.pick(&[0, 0, 50, 500]);
    disk.stall_ns = Span::new(MILLI, *dice.pick(&[20 * MILLI, 200 * MILLI, 900 * MILLI]));
    disk.dropped_never_ppm = *dice.pick(&[0, 250_000, 600_000]);
    disk.dropped_late_ppm = *dice.pick(&[100_000, 400_000]);
    disk.late_ns = *dice.pick(&[MILLI, 50 * MILLI, 2 * SECOND]);
    disk.writeback_ppm = *dice.pick(&[0, 20_000, 300_000]);
}
