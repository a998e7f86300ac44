//! What is known of what a file is made of: the maps of its chunks, as the metadata service said
//! last. Pure. Whatever this mount changes itself makes them void.

use mooseng_core::class::CHUNK_BYTES;
use mooseng_core::extent::{FileExtent, SliceInfo};
use mooseng_core::id::SliceId;
use mooseng_core::time::Instant;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Chunks whose maps are kept.
const CHUNKS_MAX: usize = 64;

/// What one chunk is made of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct ChunkMap {
    pub(super) extents: Vec<FileExtent>,
    pub(super) slices: BTreeMap<SliceId, SliceInfo>,
}

impl ChunkMap {
    /// The extents in a range, cut to it.
    pub(super) fn in_range(&self, from: u64, to: u64) -> Vec<FileExtent> {
        self.extents.iter().filter_map(|extent| extent.clipped(from, to)).collect()
    }

    /// Do both say the same of a range, the places of its slices included?
    pub(super) fn agrees(&self, other: &Self, from: u64, to: u64) -> bool {
        let (mine, others) = (self.in_range(from, to), other.in_range(from, to));
        let place = |map: &Self, extent: &FileExtent| map.slices.get(&extent.slice).cloned();
        mine == others && mine.iter().all(|extent| place(self, extent) == place(other, extent))
    }
}

#[derive(Debug, Default)]
pub(super) struct Maps {
    chunks: BTreeMap<u64, (Instant, Arc<ChunkMap>)>,
}

impl Maps {
    /// A chunk's map that is not older than `age`.
    pub(super) fn get(&self, chunk: u64, now: Instant, age: Duration) -> Option<Arc<ChunkMap>> {
        let (learned, map) = self.chunks.get(&chunk)?;
        (now.since(*learned) <= age).then(|| map.clone())
    }

    /// `asked`: when the question was sent.
    pub(super) fn learn(&mut self, chunk: u64, asked: Instant, map: Arc<ChunkMap>) {
        if self.chunks.len() >= CHUNKS_MAX && !self.chunks.contains_key(&chunk) {
            let oldest = self.chunks.iter().min_by_key(|(_, (learned, _))| *learned).map(|(chunk, _)| *chunk);
            oldest.map(|chunk| self.chunks.remove(&chunk));
        }
        self.chunks.insert(chunk, (asked, map));
    }

    pub(super) fn forget(&mut self) {
        self.chunks.clear();
    }
}

/// The parts of a range that lie in one chunk each.
pub(super) fn by_chunk(from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> {
    let next = move |at: &(u64, u64)| {
        let start = at.1;
        (start < to).then(|| (start, to.min((start / CHUNK_BYTES + 1).saturating_mul(CHUNK_BYTES))))
    };
    std::iter::successors(next(&(from, from)), next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::id::Slot;

    fn map(number: u64, places: usize) -> ChunkMap {
        let slice = SliceId::new(0, Slot::default(), number).unwrap();
        let extent = FileExtent { offset: 100, length: 50, slice, slice_offset: 0 };
        let class = "copies=2".parse().unwrap();
        let info = SliceInfo { slice, class, length: 50, parts: vec![None; places] };
        ChunkMap { extents: vec![extent], slices: [(slice, info)].into() }
    }

    #[test]
    fn a_map_grows_old() {
        let mut maps = Maps::default();
        let age = Duration::from_secs(1);
        maps.learn(3, Instant::from_nanos(5), Arc::new(map(1, 2)));
        assert!(maps.get(3, Instant::from_nanos(5) + age, age).is_some());
        assert!(maps.get(3, Instant::from_nanos(6) + age, age).is_none());
        assert!(maps.get(2, Instant::from_nanos(5), age).is_none());
    }

    #[test]
    fn maps_are_bounded_and_the_oldest_goes() {
        let mut maps = Maps::default();
        let all = 0..CHUNKS_MAX as u64 + 9;
        all.clone().for_each(|chunk| maps.learn(chunk, Instant::from_nanos(chunk), Arc::default()));
        let known = |chunk: &u64| maps.get(*chunk, Instant::ZERO, Duration::MAX).is_some();
        assert_eq!(all.filter(known).collect::<Vec<_>>(), (9..CHUNKS_MAX as u64 + 9).collect::<Vec<_>>());
    }

    #[test]
    fn another_place_of_a_slice_is_another_map_where_it_is_seen() {
        assert!(map(1, 2).agrees(&map(1, 2), 0, 200));
        assert!(!map(1, 2).agrees(&map(1, 3), 0, 200));
        assert!(!map(1, 2).agrees(&map(2, 2), 0, 200));
        assert!(map(1, 2).agrees(&map(2, 2), 0, 100));
    }

    #[test]
    fn ranges_are_cut_at_chunks() {
        let parts = |from, to| by_chunk(from, to).collect::<Vec<_>>();
        let chunk = CHUNK_BYTES;
        assert_eq!(parts(5, 5), []);
        assert_eq!(parts(5, chunk), [(5, chunk)]);
        assert_eq!(
            parts(chunk - 1, 2 * chunk + 1),
            [(chunk - 1, chunk), (chunk, 2 * chunk), (2 * chunk, 2 * chunk + 1)]
        );
    }
}
