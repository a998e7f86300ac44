//! What goes into the next batch: pure arithmetic over lengths.

use super::layout::{BATCH_HEAD_BYTES, RECORD_HEAD_BYTES, STATE_BYTES_MAX, SegmentHead};
use bytes::Bytes;

/// Bytes of a batch that no append can have: its head, and a state record at its longest.
const OVERHEAD_BYTES: usize = BATCH_HEAD_BYTES + STATE_BYTES_MAX;

/// What an append takes up in a batch.
pub(super) fn append_bytes(records: &[Bytes]) -> usize {
    records
        .iter()
        .fold(0, |sum: usize, record| sum.saturating_add(RECORD_HEAD_BYTES).saturating_add(record.len()))
}

/// The longest append that fits into an empty segment.
pub(super) fn append_bytes_max(segment_bytes: u64, sector_bytes: u32) -> usize {
    (segment_bytes - u64::from(sector_bytes)) as usize - OVERHEAD_BYTES
}

/// What to do with a queue of appends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Write so many of them.
    Take(usize),
    /// Not even the first fits: go on in the next segment.
    Rotate,
}

/// How many appends, taken in order, make the next batch: at least one, and no more than
/// `batch_bytes_max` and the `left` bytes of the segment allow.
pub(super) fn next(lengths: impl Iterator<Item = usize>, batch_bytes_max: usize, left: u64) -> Next {
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    if left < OVERHEAD_BYTES {
        return Next::Rotate;
    }
    let mut sum = OVERHEAD_BYTES;
    let mut count = 0;
    for length in lengths {
        sum = sum.saturating_add(length);
        let fits = sum <= left;
        if count == 0 && !fits {
            return Next::Rotate;
        }
        if !fits || (count > 0 && sum > batch_bytes_max) {
            break;
        }
        count += 1;
    }
    Next::Take(count)
}

/// The bytes left in a segment after `offset`.
pub(super) fn left(head: &SegmentHead, offset: u64) -> u64 {
    assert!(offset <= head.segment_bytes, "a segment of {} bytes ends before {offset}", head.segment_bytes);
    head.segment_bytes - offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_where_a_limit_does() {
        let lengths = [100, 200, 300];
        let next = |bytes_max: usize, left: usize| next(lengths.into_iter(), bytes_max, left as u64);
        assert_eq!(next(OVERHEAD_BYTES + 600, OVERHEAD_BYTES + 600), Next::Take(3));
        assert_eq!(next(OVERHEAD_BYTES + 599, OVERHEAD_BYTES + 600), Next::Take(2));
        assert_eq!(next(OVERHEAD_BYTES + 600, OVERHEAD_BYTES + 599), Next::Take(2));
        assert_eq!(next(1, OVERHEAD_BYTES + 600), Next::Take(1), "one append is never too long for a batch");
        assert_eq!(next(1, OVERHEAD_BYTES + 99), Next::Rotate);
        assert_eq!(next(1, OVERHEAD_BYTES - 1), Next::Rotate);
    }

    #[test]
    fn without_appends_there_is_still_room_needed_for_the_state() {
        assert_eq!(next([].into_iter(), 1, OVERHEAD_BYTES as u64), Next::Take(0));
        assert_eq!(next([].into_iter(), 1, OVERHEAD_BYTES as u64 - 1), Next::Rotate);
    }

    #[test]
    fn the_longest_append_fits_an_empty_segment() {
        let longest = append_bytes_max(8_192, 4_096);
        assert_eq!(next([longest].into_iter(), 1, 4_096), Next::Take(1));
        assert_eq!(next([longest + 1].into_iter(), 1, 4_096), Next::Rotate);
    }
}
