//! The hash of one record, 128 bits. Replicas compare sums of them after every command, so it must
//! be cheap: two lanes of multiply-and-fold cost a fifth of Blake3 on records of this size. It
//! guards against our own faults, not against somebody who looks for collisions; what comes from
//! disks and networks is guarded by checksums of its own.
//!
//! Fixed for good: images carry the sum.

use super::record::Sink;
use mooseng_core::chance::mix;

pub(super) struct Digest {
    left: u64,
    right: u64,
}

const LEFT: u64 = 0x9e37_79b9_7f4a_7c15;
const RIGHT: u64 = 0xc2b2_ae3d_27d4_eb4f;

/// The two halves of the product, laid over each other.
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Digest {
    /// A hash of its own for every key.
    pub(super) fn new(key: u8) -> Self {
        Self { left: mix(u64::from(key) ^ LEFT), right: mix(u64::from(key) ^ RIGHT) }
    }

    fn word(&mut self, word: u64) {
        self.left = fold(self.left ^ word, LEFT).wrapping_add(word);
        self.right = fold(self.right.wrapping_add(word), RIGHT) ^ word.rotate_left(32);
    }

    pub(super) fn finish(self) -> u128 {
        let low = mix(self.left ^ self.right.rotate_left(17));
        let high = mix(self.right.wrapping_add(self.left.rotate_left(29)));
        u128::from(high) << 64 | u128::from(low)
    }
}

impl Sink for Digest {
    fn u8(&mut self, value: u8) {
        self.word(u64::from(value));
    }

    fn u16(&mut self, value: u16) {
        self.word(u64::from(value));
    }

    fn u32(&mut self, value: u32) {
        self.word(u64::from(value));
    }

    fn u64(&mut self, value: u64) {
        self.word(value);
    }

    fn long(&mut self, value: &[u8]) {
        self.bytes(value);
    }

    fn bytes(&mut self, value: &[u8]) {
        self.word(value.len() as u64);
        let (words, rest) = value.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.word(u64::from_le_bytes(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn of(key: u8, words: &[u64]) -> u128 {
        let mut digest = Digest::new(key);
        words.iter().for_each(|word| digest.u64(*word));
        digest.finish()
    }

    #[test]
    fn every_bit_of_every_word_counts_in_both_halves() {
        let mut seen = BTreeSet::new();
        let mut halves = BTreeSet::new();
        for key in 0..4 {
            for place in 0..4 {
                for bit in 0..64 {
                    let mut words = [0; 4];
                    words[place] = 1 << bit;
                    let hash = of(key, &words);
                    assert!(seen.insert(hash));
                    assert!(halves.insert(hash as u64) && halves.insert((hash >> 64) as u64));
                }
            }
        }
        assert_ne!(of(1, &[5, 6]), of(1, &[6, 5]));
        assert_ne!(of(1, &[0]), of(1, &[0, 0]));
    }

    /// Images hold sums of these: they never change.
    #[test]
    fn the_function_is_pinned() {
        let mut digest = Digest::new(3);
        digest.u64(7);
        digest.bytes(b"a name of some length");
        assert_eq!(digest.finish(), PINNED);
    }

    const PINNED: u128 = 0xc45b_1b38_0b3d_4591_309f_94aa_0223_4c0a;
}
