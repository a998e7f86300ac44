//! The hashes a replica's state had after the entries it applied last. A leader puts its own into
//! the context of an entry now and then; whoever applies that entry and had another hash at that
//! index has computed something else from the same log, and must take part no more.
//!
//! ```text
//!   context: u64 index | u128 hash
//! ```

use std::collections::VecDeque;

const STEPS_MAX: usize = 1024;

#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// The index of the first hash kept.
    first: u64,
    hashes: VecDeque<u128>,
}

impl Trail {
    /// The state as of `index` has this hash; whatever was known before is of another time.
    pub fn begin(&mut self, index: u64, hash: u128) {
        self.first = index;
        self.hashes.clear();
        self.hashes.push_back(hash);
    }

    /// The next entry was applied.
    pub fn step(&mut self, index: u64, hash: u128) {
        assert_eq!(index, self.first + self.hashes.len() as u64, "no entry is left out");
        self.hashes.push_back(hash);
        if self.hashes.len() > STEPS_MAX {
            self.hashes.pop_front();
            self.first += 1;
        }
    }

    /// The context that tells others of the last step.
    pub fn context(&self) -> Vec<u8> {
        let index = self.first + self.hashes.len() as u64 - 1;
        let hash = self.hashes.back().copied().unwrap_or_default();
        [index.to_le_bytes().as_slice(), hash.to_le_bytes().as_slice()].concat()
    }

    /// Does a context contradict what this replica had? What it has forgotten, or what is no
    /// context of this kind, contradicts nothing.
    pub fn contradicts(&self, context: &[u8]) -> Option<u64> {
        let (index, hash) = context.split_first_chunk::<8>()?;
        let (index, hash) = (u64::from_le_bytes(*index), u128::from_le_bytes(hash.try_into().ok()?));
        let own = self.hashes.get(usize::try_from(index.checked_sub(self.first)?).ok()?)?;
        (*own != hash).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_hash_at_the_same_index_is_a_contradiction() {
        let (mut one, mut other) = (Trail::default(), Trail::default());
        one.begin(5, 50);
        other.begin(4, 40);
        other.step(5, 50);
        one.step(6, 60);
        other.step(6, 61);
        assert_eq!(one.contradicts(&other.context()), Some(6));
        assert_eq!(one.contradicts(&one.context()), None);
        other.step(7, 70);
        assert_eq!(one.contradicts(&other.context()), None, "it is not there yet");
        assert_eq!(one.contradicts(b"rubbish"), None);
    }

    #[test]
    fn only_so_much_is_kept() {
        let mut trail = Trail::default();
        trail.begin(0, 0);
        let early = trail.context();
        (1..=2_000).for_each(|index| trail.step(index, u128::from(index)));
        assert_eq!(trail.hashes.len(), STEPS_MAX);
        assert_eq!(trail.contradicts(&early), None);
        assert_eq!(trail.contradicts(&[1_990_u64.to_le_bytes().as_slice(), &[0; 16]].concat()), Some(1_990));
    }
}
