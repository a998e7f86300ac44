//! The plan of a repair: which parts to read to make a lost one, window by window, and what to do
//! when one of them fails. Pure: parts come in, the lost one comes out.

use mooseng_core::class::StorageClass;
use mooseng_core::erasure::{Codec, Layout, PartsMissing, codec};
use std::collections::BTreeSet;

/// Which parts are there to make another from, and which of them have failed.
#[derive(Debug)]
pub(crate) struct Rebuild {
    layout: Layout,
    wanted: u8,
    /// Indexes of parts that can be asked for, in the order in which they are to be.
    sources: Vec<u8>,
    failed: BTreeSet<u8>,
}

impl Rebuild {
    /// `None` if the class has no such part.
    pub(crate) fn new(class: StorageClass, length: u32, wanted: u8, sources: &[u8]) -> Option<Self> {
        if wanted >= class.parts() {
            return None;
        }
        let mut known = BTreeSet::new();
        let usable = |index: &u8| *index < class.parts() && *index != wanted && known.insert(*index);
        let sources = sources.iter().copied().filter(usable).collect();
        Some(Self { layout: Layout::new(class, length), wanted, sources, failed: BTreeSet::new() })
    }

    /// The length of the lost part.
    pub(crate) fn length(&self) -> u32 {
        self.layout.part_bytes(self.wanted)
    }

    /// The length of another part.
    pub(crate) fn source_length(&self, index: u8) -> u32 {
        self.layout.part_bytes(index)
    }

    /// The parts to read next: as few as are enough; `None` if there are too few left.
    pub(crate) fn picks(&self) -> Option<Vec<u8>> {
        let needed = usize::from(self.layout.class().data());
        let left = self.sources.iter().copied().filter(|index| !self.failed.contains(index));
        let picks: Vec<u8> = left.take(needed).collect();
        (picks.len() == needed).then_some(picks)
    }

    pub(crate) fn fail(&mut self, index: u8) {
        self.failed.insert(index);
    }

    pub(crate) fn failed(&self) -> impl Iterator<Item = u8> + '_ {
        self.failed.iter().copied()
    }

    /// Makes `length` bytes of the lost part from as many bytes of others (fewer where they end).
    pub(crate) fn make(
        class: StorageClass,
        wanted: u8,
        read: Vec<(u8, Vec<u8>)>,
        length: usize,
    ) -> Result<Vec<u8>, PartsMissing> {
        if class.is_copies() {
            let copy = read.into_iter().next().map(|(_, bytes)| bytes);
            return copy.ok_or(PartsMissing { present: 0, needed: 1 });
        }
        let mut parts = vec![None; usize::from(class.parts())];
        for (index, bytes) in read {
            parts[usize::from(index)] = Some(bytes);
        }
        // What is made may be longer than the part: zeros are understood behind a data part's end.
        let longest = parts.iter().flatten().map(Vec::len).max().unwrap_or(0).max(length);
        codec(class.data(), class.parity()).reconstruct(&mut parts, &[wanted], longest)?;
        let mut made = parts.swap_remove(usize::from(wanted)).unwrap_or_default();
        made.truncate(length);
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> StorageClass {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_that_fails_is_replaced_while_there_are_others() {
        let mut rebuild = Rebuild::new(class("ec=2+2"), 10_000, 1, &[0, 1, 2, 2, 3, 9]).unwrap();
        assert_eq!(rebuild.picks(), Some(vec![0, 2]));
        rebuild.fail(0);
        assert_eq!(rebuild.picks(), Some(vec![2, 3]));
        rebuild.fail(3);
        assert_eq!((rebuild.picks(), rebuild.failed().collect::<Vec<_>>()), (None, vec![0, 3]));
        assert!(Rebuild::new(class("copies=2"), 10, 2, &[0]).is_none());
    }

    #[test]
    fn every_part_can_be_made_from_others() {
        let class = class("ec=3+2");
        let length = 30_000;
        let layout = Layout::new(class, length);
        let slice: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
        let piece = |index: u8| {
            let start = layout.part_start(index) as usize;
            slice[start..start + layout.part_bytes(index) as usize].to_vec()
        };
        let data: Vec<Vec<u8>> = (0..3).map(piece).collect();
        let mut parity = vec![vec![0; layout.part_bytes_max() as usize]; 2];
        codec(3, 2).encode(&data.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut parity);
        let parts: Vec<Vec<u8>> = data.into_iter().chain(parity).collect();
        for wanted in 0..5 {
            let rebuild = Rebuild::new(class, length, wanted, &[4, 3, 2, 1, 0]).unwrap();
            let read =
                rebuild.picks().unwrap().into_iter().map(|index| (index, parts[usize::from(index)].clone()));
            let made = Rebuild::make(class, wanted, read.collect(), rebuild.length() as usize);
            assert_eq!(made.as_ref(), Ok(&parts[usize::from(wanted)]), "part {wanted}");
        }
    }
}
