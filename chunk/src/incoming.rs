//! A part on its way in: which of its bytes have come, and what their sums are. Pure: the bytes are
//! somewhere else.

use mooseng_core::class::{LEAF_BYTES, SLICE_BYTES_MAX};
use std::collections::BTreeMap;

/// What a run of bytes that came is to the part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Run {
    New,
    /// It came before.
    Known,
    /// Other bytes came in its place.
    Conflict,
}

#[derive(Default, Debug)]
pub(crate) struct Incoming {
    /// By offset: length and sums.
    runs: BTreeMap<u32, (u32, Vec<u32>)>,
}

/// Can such a run be? The sums are one for each leaf.
pub(crate) fn is_possible(offset: u32, length: usize, sums: usize) -> bool {
    let end = u64::from(offset) + length as u64;
    offset.is_multiple_of(LEAF_BYTES)
        && end <= u64::from(SLICE_BYTES_MAX)
        && sums == length.div_ceil(LEAF_BYTES as usize)
}

impl Incoming {
    pub(crate) fn look(&self, offset: u32, length: u32, sums: &[u32]) -> Run {
        match self.runs.get(&offset) {
            Some((known, known_sums)) if *known == length && known_sums == sums => return Run::Known,
            Some(_) => return Run::Conflict,
            None => {}
        }
        let end = offset + length;
        let before = self.runs.range(..offset).next_back().map(|(start, (length, _))| start + length);
        let after = self.runs.range(offset..).next().map(|(start, _)| *start);
        let touches = before.is_some_and(|before| before > offset) || after.is_some_and(|after| after < end);
        if touches { Run::Conflict } else { Run::New }
    }

    pub(crate) fn add(&mut self, offset: u32, length: u32, sums: Vec<u32>) {
        assert_eq!(self.look(offset, length, &sums), Run::New, "a run is added once");
        if length > 0 {
            self.runs.insert(offset, (length, sums));
        }
    }

    /// The sums of the whole part, if all of its bytes have come and no others.
    pub(crate) fn whole(&self, length: u32) -> Option<Vec<u32>> {
        let mut end = 0;
        let mut all = Vec::new();
        for (offset, (length, sums)) in &self.runs {
            if *offset != end {
                return None;
            }
            end += length;
            all.extend_from_slice(sums);
        }
        (end == length).then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_whole_when_every_byte_has_come_once() {
        let mut incoming = Incoming::default();
        incoming.add(4_096, 5_000, vec![2, 3]);
        assert_eq!(incoming.whole(9_096), None);
        assert_eq!(incoming.look(4_096, 5_000, &[2, 3]), Run::Known);
        assert_eq!(incoming.look(4_096, 5_000, &[2, 4]), Run::Conflict);
        assert_eq!(incoming.look(0, 8_192, &[1, 2]), Run::Conflict, "it reaches into the other");
        assert_eq!(incoming.look(8_192, 4_096, &[9]), Run::Conflict, "the other reaches into it");
        incoming.add(0, 4_096, vec![1]);
        assert_eq!(incoming.whole(9_096), Some(vec![1, 2, 3]));
        assert_eq!(incoming.whole(9_095), None, "one byte too many");
        assert_eq!(Incoming::default().whole(0), Some(Vec::new()), "an empty part is whole at once");
    }

    #[test]
    fn runs_that_cannot_be_are_told_apart() {
        assert!(is_possible(4_096, 5_000, 2) && is_possible(0, 0, 0));
        assert!(!is_possible(1, 4_096, 1) && !is_possible(0, 4_096, 2));
        assert!(!is_possible(SLICE_BYTES_MAX, 1, 1));
    }
}
