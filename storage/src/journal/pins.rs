//! Which segments are still needed: pure accounting of where each stream has records and how far
//! it has released them.
//!
//! Segments go in order, oldest first, so one stream that releases nothing keeps everything after
//! its oldest record: that is what [`Pins::pinned_bytes`] measures.

use super::{Position, StreamId};
use std::collections::BTreeMap;

/// The positions of the first and the last record of a stream in a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    first: Position,
    last: Position,
}

#[derive(Debug, Default)]
pub(super) struct Pins {
    /// Every segment from the first needed one on that holds records, the one being written included.
    segments: BTreeMap<u64, BTreeMap<StreamId, Span>>,
    released: BTreeMap<StreamId, Position>,
}

impl Pins {
    /// A record of `stream` lies at `position` in segment `sequence`.
    pub(super) fn add(&mut self, sequence: u64, stream: StreamId, position: Position) {
        let spans = self.segments.entry(sequence).or_default();
        let span = spans.entry(stream).or_insert(Span { first: position, last: position });
        assert!(span.last <= position, "records are added in order");
        span.last = position;
    }

    /// `stream` needs nothing below `below`, which is not beyond the end of the log.
    pub(super) fn release(&mut self, stream: StreamId, below: Position) {
        let mark = self.released.entry(stream).or_default();
        *mark = below.max(*mark);
    }

    /// Forgets segments that nobody needs; the sequence of the first one that is needed, which is
    /// at most `active`, the one being written.
    pub(super) fn first_needed(&mut self, active: u64) -> u64 {
        while let Some(entry) = self.segments.first_entry() {
            let needed = entry.get().iter().any(|(stream, span)| {
                let released = self.released.get(stream).copied().unwrap_or_default();
                span.last >= released
            });
            if needed || *entry.key() >= active {
                return *entry.key();
            }
            entry.remove();
        }
        active
    }

    /// How many bytes of the log, which ends at `end`, are kept for the sake of `stream` at least:
    /// from its oldest record that is not released.
    pub(super) fn pinned_bytes(&self, stream: StreamId, end: Position) -> u64 {
        let released = self.released.get(&stream).copied().unwrap_or_default();
        let oldest = self
            .segments
            .values()
            .filter_map(|spans| spans.get(&stream))
            .find(|span| span.last >= released)
            .map(|span| span.first.max(released));
        oldest.map_or(0, |oldest| end.0.saturating_sub(oldest.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_go_in_order_and_one_stream_keeps_them_all() {
        let (slow, fast) = (StreamId(1), StreamId(2));
        let mut pins = Pins::default();
        pins.add(1, slow, Position(100));
        pins.add(1, fast, Position(200));
        pins.add(2, fast, Position(1_100));
        pins.add(3, fast, Position(2_100));
        assert_eq!(pins.first_needed(3), 1);
        pins.release(fast, Position(2_100));
        assert_eq!(pins.first_needed(3), 1, "the slow stream needs the first");
        assert_eq!(pins.pinned_bytes(slow, Position(3_000)), 2_900);
        assert_eq!(pins.pinned_bytes(fast, Position(3_000)), 900);
        pins.release(slow, Position(101));
        assert_eq!(pins.first_needed(3), 3);
        assert_eq!(pins.pinned_bytes(slow, Position(3_000)), 0);
    }

    #[test]
    fn the_segment_being_written_is_always_needed() {
        let mut pins = Pins::default();
        assert_eq!(pins.first_needed(7), 7);
        pins.add(7, StreamId(1), Position(10));
        pins.release(StreamId(1), Position(20));
        assert_eq!(pins.first_needed(7), 7);
        pins.release(StreamId(1), Position(5));
        assert_eq!(pins.first_needed(8), 8, "a release is never taken back");
    }
}
