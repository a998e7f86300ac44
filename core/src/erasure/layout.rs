//! Where the bytes of a slice lie in its parts. A slice of `L` bytes in the class K+M:
//!
//! ```text
//!    slice   |<------ P ------>|<------ P ------>|<-- the rest -->|
//!    parts   |     part 0      |     part 1      |   part K - 1   |   data, as long as they are
//!            |    part K       |  ...  part K + M - 1  |              parity, P bytes each
//! ```
//!
//! `P` is `L / K`, rounded up to whole leaves, so that no leaf of one part shares a server's read
//! with another part. The parts at the end of a short slice may be empty. Copies are all as long
//! as the slice.

use crate::class::{LEAF_BYTES, SLICE_BYTES_MAX, StorageClass};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    class: StorageClass,
    length: u32,
    part_bytes_max: u32,
}

/// A run of bytes in one part. Of copies, which are all alike, it names the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Piece {
    pub part: u8,
    pub offset: u32,
    pub length: u32,
}

impl Layout {
    /// `class` is the class as which the slice is stored (see [`StorageClass::for_length`]).
    ///
    /// # Panics
    /// If the slice is longer than any may be: what comes from outside is checked before.
    pub fn new(class: StorageClass, length: u32) -> Self {
        assert!(length <= SLICE_BYTES_MAX, "a slice of {length} bytes is longer than any may be");
        let part_bytes_max = if class.is_copies() {
            length
        } else {
            length.div_ceil(u32::from(class.data())).next_multiple_of(LEAF_BYTES)
        };
        Self { class, length, part_bytes_max }
    }

    pub fn class(&self) -> StorageClass {
        self.class
    }

    /// The slice's length.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// The length of the longest part, and of every parity part.
    pub fn part_bytes_max(&self) -> u32 {
        self.part_bytes_max
    }

    /// How many bytes are stored for a part.
    pub fn part_bytes(&self, index: u8) -> u32 {
        assert!(index < self.class.parts(), "part {index} of {}", self.class);
        if self.class.is_copies() || index >= self.class.data() {
            return self.part_bytes_max;
        }
        let before = u64::from(index) * u64::from(self.part_bytes_max);
        u64::from(self.length).saturating_sub(before).min(u64::from(self.part_bytes_max)) as u32
    }

    /// Where in the slice the bytes of a data part begin.
    pub fn part_start(&self, index: u8) -> u32 {
        assert!(index < self.class.data(), "part {index} of {} holds no data", self.class);
        (u64::from(index) * u64::from(self.part_bytes_max)).min(u64::from(self.length)) as u32
    }

    /// The pieces that hold `length` bytes of the slice from `offset`, in order; what lies behind
    /// the slice's end is left out.
    pub fn locate(&self, offset: u32, length: u32) -> Vec<Piece> {
        let end = offset.saturating_add(length).min(self.length);
        let mut pieces = Vec::new();
        let mut at = offset;
        while at < end {
            let part = at / self.part_bytes_max;
            let inside = at % self.part_bytes_max;
            let length = (self.part_bytes_max - inside).min(end - at);
            pieces.push(Piece { part: part as u8, offset: inside, length });
            at += length;
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str) -> StorageClass {
        name.parse().unwrap()
    }

    /// Every length around the borders of leaves and parts.
    fn lengths(class: StorageClass) -> Vec<u32> {
        let (leaf, data) = (LEAF_BYTES, u32::from(class.data()));
        let borders = [0, leaf, leaf * data, 2 * leaf * data, 65_536 * data, SLICE_BYTES_MAX];
        let mut lengths: Vec<u32> = borders
            .iter()
            .flat_map(|border| (-2..=2).map(|step| border.saturating_add_signed(step)))
            .chain((0..=data).flat_map(|part| [part * leaf, part * leaf + 1]))
            .filter(|length| *length <= SLICE_BYTES_MAX)
            .collect();
        lengths.dedup();
        lengths
    }

    #[test]
    fn data_parts_hold_the_slice_and_nothing_more() {
        for class in ["copies=1", "copies=3", "ec=2+1", "ec=4+2", "ec=8+3", "ec=16+4", "ec=32+32"].map(class)
        {
            for length in lengths(class) {
                let layout = Layout::new(class, length);
                let held: u32 = (0..class.data()).map(|index| layout.part_bytes(index)).sum();
                assert_eq!(held, length, "{class} {length}");
                let longest = (0..class.data()).map(|index| layout.part_bytes(index)).max().unwrap();
                assert!(longest <= layout.part_bytes_max());
                assert!(
                    (class.data()..class.parts())
                        .all(|index| layout.part_bytes(index) == layout.part_bytes_max())
                );
                if !class.is_copies() {
                    assert_eq!(layout.part_bytes_max() % LEAF_BYTES, 0);
                }
            }
        }
    }

    #[test]
    fn pieces_cover_a_range_once_and_in_order() {
        for class in ["copies=2", "ec=4+2", "ec=16+4"].map(class) {
            for length in lengths(class) {
                let layout = Layout::new(class, length);
                let part = layout.part_bytes_max();
                for offset in [0, 1, part.saturating_sub(1), part, part + 1, length.saturating_sub(1), length]
                {
                    for wanted in [0, 1, part, part + 1, length, u32::MAX] {
                        let mut at = offset.min(length);
                        for piece in layout.locate(offset, wanted) {
                            assert_eq!(layout.part_start(piece.part) + piece.offset, at);
                            assert!(piece.length > 0);
                            assert!(piece.offset + piece.length <= layout.part_bytes(piece.part));
                            at += piece.length;
                        }
                        assert_eq!(at, offset.saturating_add(wanted).min(length).max(offset.min(length)));
                    }
                }
            }
        }
    }
}
