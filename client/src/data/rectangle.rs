//! How a read of a slice is cut into what chunk servers are asked for. Pure; knows no server.
//!
//! ```text
//!            leaf   0        b        a        P
//!   part 0          |        .        |########|     a read from the middle of one part to the
//!   part 1          |########.########.########|     middle of another: rectangles of leaves in
//!   part 2          |########.########.########|     the same place of several parts, because a
//!   part 3          |########|        .        |     lost part is made from its neighbours there
//! ```

use bytes::Bytes;
use mooseng_core::class::LEAF_BYTES;
use mooseng_core::erasure::{Layout, Piece};

/// The most leaves of a part that are asked for at once: 1 MiB.
const LEAVES_MAX: u32 = 256;

/// The leaves `first..end` of some data parts (of copies: of any one of them, named 0).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Rectangle {
    pub(super) first: u32,
    pub(super) end: u32,
    pub(super) wanted: Vec<u8>,
}

/// The rectangles that together hold a range of the slice.
pub(super) fn cut(layout: &Layout, offset: u32, length: u32) -> Vec<Rectangle> {
    let spans: Vec<(u8, u32, u32)> = layout.locate(offset, length).iter().map(leaves_of).collect();
    let mut edges: Vec<u32> = spans.iter().flat_map(|(_, first, end)| [*first, *end]).collect();
    edges.sort_unstable();
    edges.dedup();
    let mut rectangles = Vec::new();
    for pair in edges.windows(2) {
        let inside = |span: &&(u8, u32, u32)| span.1 <= pair[0] && pair[1] <= span.2;
        let wanted: Vec<u8> = spans.iter().filter(inside).map(|span| span.0).collect();
        if wanted.is_empty() {
            continue;
        }
        for first in (pair[0]..pair[1]).step_by(LEAVES_MAX as usize) {
            let end = (first + LEAVES_MAX).min(pair[1]);
            rectangles.push(Rectangle { first, end, wanted: wanted.clone() });
        }
    }
    rectangles
}

fn leaves_of(piece: &Piece) -> (u8, u32, u32) {
    (piece.part, piece.offset / LEAF_BYTES, (piece.offset + piece.length).div_ceil(LEAF_BYTES))
}

/// Bytes of a data part from leaf `first` on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Strip {
    pub(super) part: u8,
    pub(super) first: u32,
    pub(super) bytes: Bytes,
}

/// Puts a range of the slice together from strips that cover it.
pub(super) fn join(layout: &Layout, offset: u32, length: u32, strips: &[Strip]) -> Bytes {
    let end = offset.saturating_add(length).min(layout.length());
    let length = end.saturating_sub(offset) as usize;
    let start_of = |strip: &Strip| layout.part_start(strip.part) + strip.first * LEAF_BYTES;
    if let [strip] = strips {
        let inside = (offset - start_of(strip)) as usize;
        return strip.bytes.slice(inside..inside + length);
    }
    let mut joined = vec![0; length];
    let mut filled = 0;
    for strip in strips {
        let start = start_of(strip);
        let (from, to) = (start.max(offset), (start + strip.bytes.len() as u32).min(end));
        if from < to {
            let target = &mut joined[(from - offset) as usize..(to - offset) as usize];
            target.copy_from_slice(&strip.bytes[(from - start) as usize..(to - start) as usize]);
            filled += target.len();
        }
    }
    assert_eq!(filled, length, "strips cover what was asked for, once");
    joined.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is read, what is asked for covers it once, in pieces that a server answers.
    #[test]
    fn any_range_is_covered_and_joined() {
        for (class, length) in [
            ("copies=2", 10_000),
            ("ec=4+2", 65_536),
            ("ec=4+2", 50_000),
            ("ec=3+1", 1_100_000),
            ("ec=2+1", 1),
        ] {
            let slice: Vec<u8> = (0..length).map(|at: u32| (at / 7 % 251) as u8).collect();
            let layout = Layout::new(class.parse().unwrap(), length);
            let offsets = [0, 1, 4095, 4096, 4097, 16_384, 16_385, 40_000, length - 1];
            for offset in offsets.into_iter().filter(|offset| *offset < length) {
                for wanted in [1, 100, 4096, 9_000, 20_000, 40_000, length] {
                    let mut strips = Vec::new();
                    for rectangle in cut(&layout, offset, wanted) {
                        assert!(
                            rectangle.first < rectangle.end && rectangle.end - rectangle.first <= LEAVES_MAX
                        );
                        for part in &rectangle.wanted {
                            let start = layout.part_start(*part) as usize;
                            let part_bytes = &slice[start..start + layout.part_bytes(*part) as usize];
                            let from = (rectangle.first * LEAF_BYTES) as usize;
                            let to = part_bytes.len().min((rectangle.end * LEAF_BYTES) as usize);
                            let bytes = Bytes::copy_from_slice(&part_bytes[from..to]);
                            strips.push(Strip { part: *part, first: rectangle.first, bytes });
                        }
                    }
                    let end = (offset + wanted).min(length) as usize;
                    let joined = join(&layout, offset, wanted, &strips);
                    assert_eq!(joined, slice[offset as usize..end], "{class} {length} {offset} {wanted}");
                }
            }
        }
    }

    #[test]
    fn a_whole_stripe_is_one_rectangle() {
        let layout = Layout::new("ec=4+2".parse().unwrap(), 65_536);
        assert_eq!(cut(&layout, 0, 65_536), [Rectangle { first: 0, end: 4, wanted: vec![0, 1, 2, 3] }]);
    }
}
