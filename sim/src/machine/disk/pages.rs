//! A sparse row of things, one per page of a file, kept in blocks: most files are short or are
//! written in long runs, and finding a thing must cost little in both.

use std::collections::BTreeMap;

const BLOCK: u64 = 64;

#[derive(Clone)]
struct Block<T> {
    /// Bit by bit: which of them are there.
    present: u64,
    things: [T; BLOCK as usize],
}

#[derive(Clone)]
pub(super) struct Pages<T> {
    blocks: BTreeMap<u64, Box<Block<T>>>,
    count: u64,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { blocks: BTreeMap::new(), count: 0 }
    }
}

impl<T: Default> Pages<T> {
    pub(super) fn len(&self) -> u64 {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn get(&self, number: u64) -> Option<&T> {
        let block = self.blocks.get(&(number / BLOCK))?;
        let index = number % BLOCK;
        (block.present & (1 << index) != 0).then(|| &block.things[index as usize])
    }

    /// The thing of this number, which is there from now on.
    pub(super) fn entry(&mut self, number: u64) -> &mut T {
        let block = self
            .blocks
            .entry(number / BLOCK)
            .or_insert_with(|| Box::new(Block { present: 0, things: std::array::from_fn(|_| T::default()) }));
        let index = number % BLOCK;
        self.count += u64::from(block.present & (1 << index) == 0);
        block.present |= 1 << index;
        &mut block.things[index as usize]
    }

    pub(super) fn remove(&mut self, number: u64) {
        let Some(block) = self.blocks.get_mut(&(number / BLOCK)) else { return };
        let bit = 1 << (number % BLOCK);
        if block.present & bit != 0 {
            block.present &= !bit;
            block.things[(number % BLOCK) as usize] = T::default();
            self.count -= 1;
        }
        if block.present == 0 {
            self.blocks.remove(&(number / BLOCK));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.blocks.iter().flat_map(|(number, block)| {
            let present = (0..BLOCK).filter(|index| block.present & (1 << index) != 0);
            present.map(move |index| (number * BLOCK + index, &block.things[index as usize]))
        })
    }

    /// How many of the numbers from `first` to `last` are there.
    pub(super) fn count_between(&self, first: u64, last: u64) -> u64 {
        assert!(first <= last, "a range that ends before it begins");
        let blocks = self.blocks.range(first / BLOCK..=last / BLOCK);
        let counts = blocks.map(|(number, block)| {
            let from = first.saturating_sub(number * BLOCK);
            let to = (last - number * BLOCK).min(BLOCK - 1);
            let mask = (u64::MAX << from) & (u64::MAX >> (BLOCK - 1 - to));
            u64::from((block.present & mask).count_ones())
        });
        counts.sum()
    }

    pub(super) fn last(&self) -> Option<u64> {
        let (number, block) = self.blocks.last_key_value()?;
        Some(number * BLOCK + (BLOCK - 1 - u64::from(block.present.leading_zeros())))
    }

    /// Takes out everything from `first` on, and says which numbers that were.
    pub(super) fn cut(&mut self, first: u64) -> Vec<u64> {
        if self.last().is_none_or(|last| last < first) {
            return Vec::new();
        }
        let gone: Vec<u64> =
            self.iter().map(|(number, _)| number).filter(|number| *number >= first).collect();
        gone.iter().for_each(|number| self.remove(*number));
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::chance::{Dice, stream};

    /// Beside the ordinary map, which is slower and right.
    #[test]
    fn it_is_a_map() {
        let mut dice = stream(1, "pages", 0, 0);
        let (mut pages, mut map) = (Pages::<u8>::default(), BTreeMap::new());
        for _ in 0..3_000 {
            let number = dice.below(400);
            match dice.below(40) {
                0..=24 => {
                    *pages.entry(number) |= 3;
                    *map.entry(number).or_insert(0) |= 3;
                }
                25..=37 => {
                    pages.remove(number);
                    map.remove(&number);
                }
                _ => {
                    let cut: Vec<u64> = map.split_off(&(number + 200)).into_keys().collect();
                    assert_eq!(pages.cut(number + 200), cut);
                }
            }
            let other = number + dice.below(300);
            assert_eq!(pages.count_between(number, other), map.range(number..=other).count() as u64);
            assert_eq!(pages.get(number), map.get(&number));
            assert_eq!((pages.len(), pages.is_empty()), (map.len() as u64, map.is_empty()));
            assert_eq!(pages.last(), map.last_key_value().map(|(number, _)| *number));
        }
        assert!(pages.iter().eq(map.iter().map(|(number, thing)| (*number, thing))));
    }
}
