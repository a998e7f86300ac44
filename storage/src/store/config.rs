//! The limits of a chunk store.

use super::layout::{BATCH_HEAD_BYTES, RECORD_BYTES};
use super::layout::{SECTOR_BYTES_MAX, SECTOR_BYTES_MIN, SEGMENT_BYTES_MAX, area_bytes};
use crate::error::StorageError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// How long a segment is: a multiple of `sector_bytes`, at least 8 KiB, at most 1 GiB. Segments
    /// that exist keep their length.
    pub segment_bytes: u64,
    /// What a disk writes whole or not at all: a power of two from 512 to 65,536.
    pub sector_bytes: u32,
    /// Parts up to this length lie in segments, longer ones in files of their own.
    pub small_bytes_max: u32,
    /// How much one batch gathers.
    pub batch_bytes_max: usize,
    /// How much may wait to be written; more is refused.
    pub queue_bytes_max: usize,
    /// A segment of which no more than this is needed, in hundredths, is emptied and removed.
    pub needed_percent_max: u8,
    /// How much of the disk stays free: new parts are refused beyond.
    pub free_bytes_min: u64,
    /// How many files are kept open for reading.
    pub files_open_max: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 32 << 20,
            sector_bytes: 4096,
            small_bytes_max: 256 << 10,
            batch_bytes_max: 4 << 20,
            queue_bytes_max: 64 << 20,
            needed_percent_max: 50,
            free_bytes_min: 64 << 20,
            files_open_max: 512,
        }
    }
}

impl StoreConfig {
    pub(super) fn check(&self) -> Result<(), StorageError> {
        let refuse = |field, why: String| Err(StorageError::Config { field, why });
        let sector = self.sector_bytes;
        if !sector.is_power_of_two() || !(SECTOR_BYTES_MIN..=SECTOR_BYTES_MAX).contains(&sector) {
            return refuse("sector_bytes", format!("{sector} is no power of two from 512 to 65536"));
        }
        let segment = self.segment_bytes;
        if !(8 << 10..=SEGMENT_BYTES_MAX).contains(&segment) || !segment.is_multiple_of(u64::from(sector)) {
            return refuse(
                "segment_bytes",
                format!("{segment} is no multiple of sector_bytes, {sector}, from 8 KiB to 1 GiB"),
            );
        }
        let small = self.small_bytes_max;
        let batch = BATCH_HEAD_BYTES + RECORD_BYTES + area_bytes(small);
        if batch as u64 > segment - u64::from(sector) {
            return refuse(
                "small_bytes_max",
                format!("a part of {small} bytes does not fit a segment of {segment}"),
            );
        }
        if self.needed_percent_max > 90 {
            return refuse("needed_percent_max", format!("{} is more than 90", self.needed_percent_max));
        }
        if self.files_open_max == 0 {
            return refuse("files_open_max", "0 leaves no file to read from".to_owned());
        }
        Ok(())
    }

    /// Up to how many bytes of a segment may be needed for it to be emptied. What moves fills other
    /// segments to less than a part of the largest kind and a sector at each end: one that is as full
    /// as that is left alone, or the same bytes would move for ever.
    pub(super) fn needed_bytes_max(&self) -> u64 {
        let sector = u64::from(self.sector_bytes);
        let largest = (BATCH_HEAD_BYTES + RECORD_BYTES + area_bytes(self.small_bytes_max)) as u64;
        let lost = sector + largest + BATCH_HEAD_BYTES as u64 + sector;
        let full = self.segment_bytes.saturating_sub(lost);
        (self.segment_bytes / 100 * u64::from(self.needed_percent_max)).min(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_that_others_could_not_hold_better_is_left_alone() {
        assert_eq!(StoreConfig::default().needed_bytes_max(), (32 << 20) / 100 * 50);
        let large =
            StoreConfig { segment_bytes: 128 << 10, small_bytes_max: 64 << 10, ..StoreConfig::default() };
        assert_eq!(large.check(), Ok(()));
        assert!(large.needed_bytes_max() < 60_000, "{}", large.needed_bytes_max());
        let huge = StoreConfig { small_bytes_max: 120 << 10, ..large };
        assert_eq!((huge.check(), huge.needed_bytes_max()), (Ok(()), 0));
    }
}
