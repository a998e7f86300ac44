//! Cheap dice for the hot path: a keyed stream whose draws depend on the moment they are taken at
//! and on how many were taken at that moment, and on nothing drawn before. Taking one message,
//! write or fault out of a run therefore shifts no draw at any other moment.

use mooseng_core::chance::{self, Dice};

/// The golden ratio in 64 bits: an odd constant that spreads counters over all bits.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Clone, Debug)]
pub(crate) struct Lane {
    key: u64,
    moment: u64,
    drawn: u64,
}

impl Lane {
    pub(crate) fn new(seed: u64, purpose: &str, node: u64, key: u64) -> Self {
        Self { key: chance::once(seed, purpose, node, key), moment: 0, drawn: 0 }
    }

    /// The dice of this lane at a moment.
    pub(crate) fn at(&mut self, moment: u64) -> &mut Self {
        if self.moment != moment {
            self.moment = moment;
            self.drawn = 0;
        }
        self
    }
}

impl Dice for Lane {
    fn word(&mut self) -> u64 {
        self.drawn += 1;
        chance::mix(self.key ^ chance::mix(self.moment.wrapping_add(self.drawn.wrapping_mul(SPREAD))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_that_was_not_taken_shifts_no_later_one() {
        let mut all = Lane::new(1, "test", 0, 0);
        let mut some = all.clone();
        let first: Vec<u64> = (0..3).map(|_| all.at(5).word()).collect();
        assert!(first[0] != first[1] && first[1] != first[2]);
        assert_eq!(some.at(5).word(), first[0]);
        assert_eq!(all.at(6).word(), some.at(6).word());
    }

    #[test]
    fn draws_are_spread_evenly() {
        let mut lane = Lane::new(9, "test", 0, 0);
        let mut counts = [0u32; 8];
        for moment in 0..8_000 {
            counts[lane.at(moment).below(8) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (900..1_100).contains(count)), "{counts:?}");
    }
}
