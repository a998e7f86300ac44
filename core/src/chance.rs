//! Chance as an argument: keyed streams of dice, and every sampling rule we use on top of raw
//! 64-bit draws. The rules are ours because a crate that changes how it samples would change what
//! every recorded seed means.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of dice of its own for every (seed, purpose, node, key): drawing from one, or never
/// creating it, shifts no draw of another.
pub fn stream(seed: u64, purpose: &str, node: u64, key: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&node.to_le_bytes()).update(&key.to_le_bytes());
    hasher.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

/// One draw of the stream (seed, purpose, node, key) without making the stream: for a decision
/// that is taken once.
pub fn once(seed: u64, purpose: &str, node: u64, key: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&node.to_le_bytes()).update(&key.to_le_bytes());
    hasher.update(purpose.as_bytes());
    let hash = hasher.finalize();
    u64::from_le_bytes(std::array::from_fn(|index| hash.as_bytes()[index]))
}

/// Mixes the bits of a word (SplitMix64's finalizer): a cheap stable hash for choices among few.
pub const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Sampling rules over any source of raw words.
pub trait Dice {
    fn word(&mut self) -> u64;

    /// A number below `bound` (which is not 0), by Lemire's multiply-shift: the bias of at most
    /// `bound / 2^64` is no concern of ours, a stable cost of one draw is.
    fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing lies below zero");
        ((u128::from(self.word()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `low..=high`.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "an empty range: {low}..={high}");
        if low == 0 && high == u64::MAX { self.word() } else { low + self.below(high - low + 1) }
    }

    /// True with a probability of `millionths` in a million. Always takes one draw.
    fn chance(&mut self, millionths: u32) -> bool {
        self.below(1_000_000) < u64::from(millionths)
    }

    /// One of the items, which must not be none.
    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// The index of a weight, drawn in proportion to it. Their sum must not be zero.
    fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut left = self.below(weights.iter().map(|weight| u64::from(*weight)).sum());
        for (index, weight) in weights.iter().enumerate() {
            let weight = u64::from(*weight);
            if left < weight {
                return index;
            }
            left -= weight;
        }
        unreachable!("the draw lies below the sum of the weights")
    }

    /// Fisher and Yates.
    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

impl Dice for ChaCha8Rng {
    fn word(&mut self) -> u64 {
        self.next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_apart_by_every_part_of_their_key() {
        let word = |seed, purpose, node, key| stream(seed, purpose, node, key).word();
        let base = word(1, "a", 2, 3);
        assert_eq!(base, word(1, "a", 2, 3));
        for other in [word(2, "a", 2, 3), word(1, "b", 2, 3), word(1, "a", 3, 3), word(1, "a", 2, 4)] {
            assert_ne!(base, other);
        }
    }

    /// Recorded seeds mean what they meant: these values never change.
    #[test]
    fn draws_are_pinned() {
        let mut dice = stream(7, "pinned", 1, 2);
        let draws: Vec<u64> = (0..4).map(|_| dice.below(1_000)).collect();
        assert_eq!(draws, PINNED);
    }

    const PINNED: [u64; 4] = [178, 454, 604, 356];

    #[test]
    fn a_weight_of_zero_is_never_drawn() {
        let mut dice = stream(1, "weights", 0, 0);
        assert!((0..1_000).all(|_| dice.weighted(&[0, 3, 0, 1]) % 2 == 1));
    }
}
