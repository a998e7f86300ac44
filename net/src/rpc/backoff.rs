//! How long to wait before trying again, and how often trying again is allowed at all. Time and
//! chance are arguments.

use mooseng_core::chance::Dice;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackoffConfig {
    pub first: Duration,
    pub max: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self { first: Duration::from_millis(10), max: Duration::from_millis(250) }
    }
}

impl BackoffConfig {
    /// The wait after the `failures`-th failure in a row (from 1): doubling up to the most, and of
    /// that a random half to whole, so that those who failed together do not return together.
    pub fn wait(&self, failures: u32, dice: &mut impl Dice) -> Duration {
        assert!(failures > 0, "nothing has failed");
        let doublings = (failures - 1).min(20);
        let whole = self.first.saturating_mul(1 << doublings).min(self.max);
        let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(dice.between(nanos / 2, nanos))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryConfig {
    /// Retries that may be made at once, before any first try has earned one.
    pub tokens_max: u32,
    /// How many first tries earn one retry.
    pub tries_per_token: u32,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { tokens_max: 64, tries_per_token: 4 }
    }
}

/// A retry budget: a bucket of tokens that first tries fill and retries empty. When everything
/// fails, retries add a bounded share to the load instead of multiplying it.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    config: RetryConfig,
    /// In parts of a token, `tries_per_token` to one.
    parts: u64,
}

impl RetryBudget {
    /// A full one.
    pub fn new(config: RetryConfig) -> Self {
        assert!(config.tries_per_token > 0, "no first try would ever earn a retry");
        Self { config, parts: u64::from(config.tokens_max) * u64::from(config.tries_per_token) }
    }

    /// Something is tried for the first time.
    pub fn tried(&mut self) {
        let most = u64::from(self.config.tokens_max) * u64::from(self.config.tries_per_token);
        self.parts = (self.parts + 1).min(most);
    }

    /// Something failed and is to be tried again. Without a token that has to wait longer than it
    /// otherwise would.
    pub fn spend(&mut self) -> Spent {
        match self.parts.checked_sub(u64::from(self.config.tries_per_token)) {
            None => Spent::Nothing,
            Some(left) => {
                self.parts = left;
                Spent::Token
            }
        }
    }
}

/// What a retry has cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spent {
    Token,
    /// None was left.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::chance::stream;

    #[test]
    fn waits_double_up_to_the_most_and_are_spread() {
        let config = BackoffConfig { first: Duration::from_millis(10), max: Duration::from_millis(100) };
        let mut dice = stream(1, "backoff", 0, 0);
        for (failures, whole) in [(1, 10), (2, 20), (3, 40), (4, 80), (5, 100), (6, 100), (u32::MAX, 100)] {
            let waits: Vec<u128> = (0..50).map(|_| config.wait(failures, &mut dice).as_micros()).collect();
            assert!(
                waits.iter().all(|wait| (whole * 500..=whole * 1_000).contains(wait)),
                "{failures}: {waits:?}"
            );
            assert!(waits.iter().any(|wait| *wait != waits[0]), "{failures}: no jitter");
        }
    }

    #[test]
    fn retries_are_a_bounded_share() {
        let mut budget = RetryBudget::new(RetryConfig { tokens_max: 3, tries_per_token: 4 });
        let retries = |budget: &mut RetryBudget| (0..100).filter(|_| budget.spend() == Spent::Token).count();
        assert_eq!(retries(&mut budget), 3);
        (0..3).for_each(|_| budget.tried());
        assert_eq!(retries(&mut budget), 0);
        (0..6).for_each(|_| budget.tried());
        assert_eq!(retries(&mut budget), 2);
        (0..1_000).for_each(|_| budget.tried());
        assert_eq!(retries(&mut budget), 3);
    }
}
