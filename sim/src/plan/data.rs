//! The limits of the way that data takes: of open files, of the chunk servers, and of what a leader
//! does by itself to keep parts where they belong.

use mooseng_core::chance::Dice;
use serde::{Deserialize, Serialize};

const LEAF: u64 = 4_096;

/// The defaults are those of the daemons, but for the size of segments: zeros would be most of what
/// a run does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataKnobs {
    /// Of an open file: see `mooseng_client::file::FileConfig`.
    pub flush_bytes: u64,
    pub dirty_age_ms: u64,
    pub slice_bytes_max: u64,
    pub batches_max: u32,
    pub file_unwritten_max: u64,
    pub unwritten_max: u64,
    pub ahead_bytes_max: u64,
    pub ahead_age_ms: u64,
    pub map_age_ms: u64,
    pub grant_batch: u32,
    /// The most bytes of one request to a chunk server.
    pub put_bytes_max: u64,
    pub put_timeout_ms: u64,
    pub read_timeout_ms: u64,

    /// Of a chunk server's store.
    pub segment_bytes: u64,
    pub small_bytes_max: u64,
    pub scrub_bytes_per_second: u64,
    pub scrub_pause_ms: u64,
    pub compact_pause_ms: u64,
    pub upload_idle_ms: u64,

    /// How long a chunk server may say nothing before nothing new is put there, and before its parts
    /// are made anew.
    pub silent_after_ms: u64,
    pub lost_after_ms: u64,
    /// Between two rounds of a leader.
    pub keeper_pause_ms: u64,
}

impl Default for DataKnobs {
    fn default() -> Self {
        Self {
            flush_bytes: 4 << 20,
            dirty_age_ms: 1_000,
            slice_bytes_max: 4 << 20,
            batches_max: 4,
            file_unwritten_max: 64 << 20,
            unwritten_max: 256 << 20,
            ahead_bytes_max: 8 << 20,
            ahead_age_ms: 10_000,
            map_age_ms: 1_000,
            grant_batch: 16,
            put_bytes_max: 1 << 20,
            put_timeout_ms: 3_000,
            read_timeout_ms: 1_000,
            segment_bytes: 4 << 20,
            small_bytes_max: 256 << 10,
            scrub_bytes_per_second: 16 << 20,
            scrub_pause_ms: 3_600_000,
            compact_pause_ms: 5_000,
            upload_idle_ms: 60_000,
            silent_after_ms: 3_000,
            lost_after_ms: 60_000,
            keeper_pause_ms: 500,
        }
    }
}

impl DataKnobs {
    /// Small ones, so that a small file crosses every border; and a cluster that looks after its
    /// parts soon, so that a short run sees the end of it.
    pub(super) fn draw(dice: &mut impl Dice) -> Self {
        let usual = Self::default();
        let small_bytes_max = *dice.pick(&[4 << 10, 16 << 10, 64 << 10]);
        let silent_after_ms = *dice.pick(&[1_000, 1_500, 3_000]);
        Self {
            flush_bytes: *dice.pick(&[4 << 10, 20_000, 64 << 10, 160 << 10]),
            dirty_age_ms: *dice.pick(&[1, 50, usual.dirty_age_ms]),
            slice_bytes_max: *dice.pick(&[5_000, 16 << 10, 64 << 10, 256 << 10]),
            batches_max: *dice.pick(&[1, 2, usual.batches_max]),
            file_unwritten_max: *dice.pick(&[160 << 10, 400 << 10, usual.file_unwritten_max]),
            unwritten_max: *dice.pick(&[200 << 10, usual.unwritten_max]),
            ahead_bytes_max: *dice.pick(&[128 << 10, usual.ahead_bytes_max]),
            ahead_age_ms: *dice.pick(&[10, 1_000, usual.ahead_age_ms]),
            map_age_ms: *dice.pick(&[0, 100, usual.map_age_ms]),
            grant_batch: *dice.pick(&[1, 4, usual.grant_batch]),
            put_bytes_max: *dice.pick(&[4 << 10, 16 << 10, usual.put_bytes_max]),
            put_timeout_ms: *dice.pick(&[300, 1_000, usual.put_timeout_ms]),
            read_timeout_ms: *dice.pick(&[200, usual.read_timeout_ms]),
            segment_bytes: *dice.pick(&[128 << 10, 512 << 10]),
            small_bytes_max,
            scrub_bytes_per_second: *dice.pick(&[1 << 20, 2 << 20, usual.scrub_bytes_per_second]),
            scrub_pause_ms: *dice.pick(&[1, 500, 2_000]),
            compact_pause_ms: *dice.pick(&[1, 200, 1_000]),
            upload_idle_ms: *dice.pick(&[4_000, usual.upload_idle_ms]),
            silent_after_ms,
            lost_after_ms: silent_after_ms + dice.below(3) * 1_000,
            keeper_pause_ms: *dice.pick(&[100, usual.keeper_pause_ms]),
        }
    }

    /// The first thing about them that cannot be, with the remedy.
    pub(super) fn check(&self) -> Result<(), String> {
        let at_least_one = [
            ("flush_bytes", self.flush_bytes),
            ("slice_bytes_max", self.slice_bytes_max),
            ("batches_max", u64::from(self.batches_max)),
            ("grant_batch", u64::from(self.grant_batch)),
            ("put_bytes_max", self.put_bytes_max),
            ("put_timeout_ms", self.put_timeout_ms),
            ("read_timeout_ms", self.read_timeout_ms),
            ("segment_bytes", self.segment_bytes),
            ("small_bytes_max", self.small_bytes_max),
            ("scrub_bytes_per_second", self.scrub_bytes_per_second),
            ("scrub_pause_ms", self.scrub_pause_ms),
            ("compact_pause_ms", self.compact_pause_ms),
            ("upload_idle_ms", self.upload_idle_ms),
            ("keeper_pause_ms", self.keeper_pause_ms),
        ];
        if let Some((name, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(format!("knobs.data.{name}: it is 0, and has to be at least 1"));
        }
        if !self.put_bytes_max.is_multiple_of(LEAF) {
            return Err(format!("knobs.data.put_bytes_max: not a multiple of {LEAF}: round it"));
        }
        if self.flush_bytes > self.file_unwritten_max.min(self.unwritten_max) {
            return Err(
                "knobs.data.flush_bytes: a batch has to fit what may be unwritten: lower it".to_owned()
            );
        }
        if self.silent_after_ms < 1_000 || self.lost_after_ms < self.silent_after_ms {
            return Err(
                "knobs.data.silent_after_ms: at least two heartbeats of 500 ms, and lost_after_ms no less"
                    .to_owned(),
            );
        }
        Ok(())
    }
}
