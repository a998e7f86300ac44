//! How runs of written bytes become slices. Pure. A slice lies in one chunk; within it many small
//! runs share one slice, so that scattered writes cost one stripe and not hundreds.

use super::dirty::Run;
use bytes::{Bytes, BytesMut};
use mooseng_core::class::CHUNK_BYTES;
use mooseng_core::extent::{FileExtent, chunk_of};
use mooseng_core::id::SliceId;
use mooseng_core::plant;

/// The bytes of a slice, and where in the file they belong: offset, length, offset in the slice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Packed {
    pub(super) bytes: Bytes,
    places: Vec<(u64, u32, u32)>,
}

impl Packed {
    pub(super) fn extents(&self, slice: SliceId) -> impl Iterator<Item = FileExtent> + '_ {
        self.places.iter().map(move |(offset, length, slice_offset)| FileExtent {
            offset: *offset,
            length: *length,
            slice,
            slice_offset: *slice_offset,
        })
    }
}

/// Packs runs, which are in the order of their offsets and lie apart, into slices of at most
/// `slice_bytes_max`.
pub(super) fn pack(runs: &[Run], slice_bytes_max: usize) -> Vec<Packed> {
    assert!(slice_bytes_max > 0, "a slice holds something");
    let mut packed = Vec::new();
    let mut open: Vec<Run> = Vec::new();
    let mut open_bytes = 0;
    for run in runs {
        let mut rest = run.clone();
        while !rest.bytes.is_empty() {
            let other_chunk =
                open.first().is_some_and(|first| chunk_of(first.offset) != chunk_of(rest.offset));
            if other_chunk || open_bytes == slice_bytes_max {
                packed.push(close(&mut open));
                open_bytes = 0;
            }
            let to_border = (CHUNK_BYTES - rest.offset % CHUNK_BYTES) as usize;
            let length = rest.bytes.len().min(to_border).min(slice_bytes_max - open_bytes);
            let bytes = rest.bytes.split_to(length);
            open.push(Run { offset: rest.offset, bytes });
            rest.offset += length as u64;
            open_bytes += length;
        }
    }
    if !open.is_empty() {
        packed.push(close(&mut open));
    }
    packed
}

fn close(open: &mut Vec<Run>) -> Packed {
    let runs = std::mem::take(open);
    let mut places: Vec<(u64, u32, u32)> = Vec::new();
    let mut at = 0;
    for run in &runs {
        let length = run.bytes.len() as u32;
        match places.last_mut() {
            Some((offset, before, _)) if *offset + u64::from(*before) == run.offset => *before += length,
            _ => places.push((run.offset, length, plant!("packed-runs-share-their-bytes", at, 0))),
        }
        at += length;
    }
    let bytes = match &runs[..] {
        [run] => run.bytes.clone(),
        _ => runs
            .iter()
            .fold(BytesMut::with_capacity(at as usize), |mut all, run| {
                all.extend_from_slice(&run.bytes);
                all
            })
            .freeze(),
    };
    Packed { bytes, places }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::chance::{Dice, stream};
    use mooseng_core::id::Slot;

    #[test]
    fn every_byte_is_in_one_slice_at_its_place() {
        let slice = SliceId::new(0, Slot::default(), 1).unwrap();
        for seed in 0..300 {
            let mut dice = stream(seed, "pack", 0, 0);
            let mut at = CHUNK_BYTES * dice.below(2) + CHUNK_BYTES - 3_000;
            let mut runs = Vec::new();
            for _ in 0..dice.between(1, 12) {
                at += dice.below(600);
                let length = dice.between(1, 900) as usize;
                let bytes: Vec<u8> = (0..length).map(|_| dice.word() as u8).collect();
                runs.push(Run { offset: at, bytes: bytes.into() });
                at += length as u64;
            }
            let most = dice.between(1, 2_000) as usize;
            let mut extents: Vec<(FileExtent, Bytes)> = Vec::new();
            for packed in pack(&runs, most) {
                assert!(packed.bytes.len() <= most && !packed.bytes.is_empty());
                let chunks: Vec<u64> = packed.extents(slice).map(|extent| chunk_of(extent.offset)).collect();
                assert!(chunks.iter().all(|chunk| *chunk == chunks[0]), "a slice lies in one chunk");
                for extent in packed.extents(slice) {
                    assert!(extent.is_possible(), "{extent:?}");
                    let from = extent.slice_offset as usize;
                    extents.push((extent, packed.bytes.slice(from..from + extent.length as usize)));
                }
            }
            let pairs = |offset: u64, bytes: &Bytes| (offset..).zip(bytes.to_vec()).collect::<Vec<_>>();
            let written: Vec<(u64, u8)> = runs.iter().flat_map(|run| pairs(run.offset, &run.bytes)).collect();
            let packed: Vec<(u64, u8)> =
                extents.iter().flat_map(|(extent, bytes)| pairs(extent.offset, bytes)).collect();
            assert_eq!(packed, written, "seed {seed}");
        }
    }

    #[test]
    fn scattered_writes_share_a_slice() {
        let run = |number: u64| Run { offset: number * 10_000, bytes: Bytes::from_static(&[1; 100]) };
        let packed = pack(&(0..50).map(run).collect::<Vec<_>>(), 1 << 20);
        assert_eq!((packed.len(), packed[0].places.len(), packed[0].bytes.len()), (1, 50, 5_000));
    }
}
