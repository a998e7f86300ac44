//! The two checksums. CRC-32C guards blocks and frames: it costs a third of copying the bytes.
//! Blake3 (used directly where it is needed) guards identities, tables and metadata.
//!
//! A stored part is checked leaf by leaf, [`LEAF_BYTES`] each, so that a small read verifies
//! little. A leaf's sum covers more than its bytes:
//!
//! ```text
//!  0         8       9                17
//! +---------+-------+----------------+----------------------- - -
//! |  slice  | index | number of leaf |  the leaf's bytes
//! +---------+-------+----------------+----------------------- - -
//! ```
//!
//! all little-endian, so that a block that was misdirected, or is another part's, never verifies.

use crate::class::LEAF_BYTES;
use crate::id::PartId;

/// CRC-32C (Castagnoli) of the bytes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// CRC-32C of several pieces as if they stood together.
pub fn crc32c_of(pieces: &[&[u8]]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    for piece in pieces {
        digest.update(piece);
    }
    digest.finalize() as u32
}

/// The sum of leaf `number` of a part. The last leaf of a part may be short.
pub fn leaf(part: PartId, number: u64, data: &[u8]) -> u32 {
    assert!(data.len() <= LEAF_BYTES as usize, "a leaf of {} bytes", data.len());
    let mut place = [0u8; 17];
    place[..8].copy_from_slice(&part.slice.raw().to_le_bytes());
    place[8] = part.index;
    place[9..].copy_from_slice(&number.to_le_bytes());
    crc32c_of(&[&place, data])
}

/// The sums of the leaves of `data`, which begins at leaf `first` of its part.
pub fn leaves(part: PartId, first: u64, data: &[u8]) -> Vec<u32> {
    data.chunks(LEAF_BYTES as usize).zip(first..).map(|(bytes, number)| leaf(part, number, bytes)).collect()
}

/// The first leaf of `data` (counted in its part) that does not have the sum it should have, or
/// has none. `data` begins at leaf `first`.
pub fn leaf_bad_first(part: PartId, first: u64, data: &[u8], sums: &[u32]) -> Option<u64> {
    let mut sums = sums.iter();
    data.chunks(LEAF_BYTES as usize)
        .zip(first..)
        .find(|(bytes, number)| sums.next() != Some(&leaf(part, *number, bytes)))
        .map(|(_, number)| number)
}

/// Sums as they lie on a disk and travel in messages.
pub fn sums_to_bytes(sums: &[u32]) -> Vec<u8> {
    sums.iter().flat_map(|sum| sum.to_le_bytes()).collect()
}

/// The sums in these bytes; what is left over at the end is no sum.
pub fn sums_from_bytes(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|sum| u32::from_le_bytes(*sum)).collect()
}

/// What a whole part is known by: Blake3 over its identity, its length and the sums of its leaves.
pub fn root(part: PartId, length: u64, sums: &[u32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"mooseng part root 1");
    hasher.update(&part.slice.raw().to_le_bytes()).update(&[part.index]).update(&length.to_le_bytes());
    for sum in sums {
        hasher.update(&sum.to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{SliceId, Slot};

    fn part(counter: u64, index: u8) -> PartId {
        PartId { slice: SliceId::new(0, Slot::new(3).unwrap(), counter).unwrap(), index }
    }

    #[test]
    fn a_leaf_in_another_place_has_another_sum() {
        let data = [7u8; LEAF_BYTES as usize];
        let sum = leaf(part(1, 0), 0, &data);
        let others = [
            leaf(part(2, 0), 0, &data),
            leaf(part(1, 1), 0, &data),
            leaf(part(1, 0), 1, &data),
            leaf(part(1, 0), 0, &data[1..]),
            leaf(part(1, 0), 0, &[]),
        ];
        assert!(others.iter().all(|other| *other != sum));
    }

    #[test]
    fn every_length_around_a_leaf_has_its_sums_and_any_flipped_bit_is_found() {
        let leaf_bytes = LEAF_BYTES as usize;
        for length in [0, 1, leaf_bytes - 1, leaf_bytes, leaf_bytes + 1, 3 * leaf_bytes, 3 * leaf_bytes + 5] {
            let mut data: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
            let sums = leaves(part(9, 2), 4, &data);
            assert_eq!(sums.len(), length.div_ceil(leaf_bytes));
            assert_eq!(leaf_bad_first(part(9, 2), 4, &data, &sums), None);
            for at in [0, length / 2, length.saturating_sub(1)].into_iter().filter(|at| *at < length) {
                data[at] ^= 4;
                let bad = 4 + (at / leaf_bytes) as u64;
                assert_eq!(leaf_bad_first(part(9, 2), 4, &data, &sums), Some(bad));
                data[at] ^= 4;
            }
            if let Some((_, short)) = sums.split_last() {
                let last = 4 + short.len() as u64;
                assert_eq!(leaf_bad_first(part(9, 2), 4, &data, short), Some(last));
            }
        }
    }

    /// Fixed for good: these are on disks.
    #[test]
    fn sums_and_roots_are_pinned() {
        assert_eq!(leaf(part(0x123, 5), 7, b"moose"), PINNED_LEAF);
        let root = root(part(0x123, 5), 5, &[PINNED_LEAF]);
        assert_eq!(root[..4], PINNED_ROOT);
    }

    const PINNED_LEAF: u32 = 0xcdbe_9d10;
    const PINNED_ROOT: [u8; 4] = [82, 24, 154, 220];

    #[test]
    fn a_root_covers_identity_length_and_every_sum() {
        let whole = root(part(1, 0), 9, &[1, 2]);
        let others = [
            root(part(2, 0), 9, &[1, 2]),
            root(part(1, 1), 9, &[1, 2]),
            root(part(1, 0), 8, &[1, 2]),
            root(part(1, 0), 9, &[2, 1]),
            root(part(1, 0), 9, &[1]),
        ];
        assert!(others.iter().all(|other| *other != whole));
    }

    #[test]
    fn the_check_value_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c_of(&[b"1234", b"", b"56789"]), 0xe306_9283);
    }
}
