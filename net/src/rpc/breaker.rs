//! The circuit breaker of one peer: after so many failures in a row calls are refused at once, and
//! now and then one is let through to see whether the peer is back. Knows no clock and no peer.
//!
//! ```text
//!            failures_max in a row                     rest is over
//!  CLOSED --------------------------> OPEN (rests) --------------------> HALF OPEN (one probe)
//!    ^                                  ^       it fails: a longer rest     |     |
//!    |                                  +-----------------------------------+     |
//!    +---------------------------------------- it succeeds ------------------------+
//! ```

use mooseng_core::time::Instant;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BreakerConfig {
    pub failures_max: u32,
    pub rest_first: Duration,
    pub rest_max: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures_max: 8, rest_first: Duration::from_millis(50), rest_max: Duration::from_millis(500) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
        rest: Duration,
    },
    /// A probe is under way. One that nobody hears of again is followed by another.
    HalfOpen {
        next_probe: Instant,
        rest: Duration,
    },
}

#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    state: State,
}

/// What a failure did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Counted,
    Opened,
}

impl Breaker {
    pub fn new(config: BreakerConfig) -> Self {
        assert!(config.failures_max > 0, "a breaker that no failure closes");
        Self { config, state: State::Closed { failures: 0 } }
    }

    /// May a call be made? If not: until when it is no use asking.
    pub fn admit(&mut self, now: Instant) -> Result<(), Instant> {
        let (due, rest) = match self.state {
            State::Closed { .. } => return Ok(()),
            State::Open { until, rest } => (until, rest),
            State::HalfOpen { next_probe, rest } => (next_probe, rest),
        };
        if now < due {
            return Err(due);
        }
        self.state = State::HalfOpen { next_probe: now + rest, rest };
        Ok(())
    }

    fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// The peer answered something. True if that closed the breaker.
    pub fn succeeded(&mut self) -> bool {
        let was_open = !self.is_closed();
        self.state = State::Closed { failures: 0 };
        was_open
    }

    pub fn failed(&mut self, now: Instant) -> Verdict {
        let rest = match self.state {
            State::Closed { failures } if failures + 1 < self.config.failures_max => {
                self.state = State::Closed { failures: failures + 1 };
                return Verdict::Counted;
            }
            State::Closed { .. } => self.config.rest_first.min(self.config.rest_max),
            // A call from before the rest: it says nothing new.
            State::Open { .. } => return Verdict::Counted,
            State::HalfOpen { rest, .. } => rest.saturating_mul(2).min(self.config.rest_max),
        };
        self.state = State::Open { until: now + rest, rest };
        Verdict::Opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn breaker() -> Breaker {
        Breaker::new(BreakerConfig {
            failures_max: 3,
            rest_first: Duration::from_millis(100),
            rest_max: Duration::from_millis(300),
        })
    }

    fn fail_thrice(breaker: &mut Breaker) {
        let verdicts = [(); 3].map(|()| breaker.failed(at(0)));
        assert_eq!(verdicts, [Verdict::Counted, Verdict::Counted, Verdict::Opened]);
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let mut breaker = breaker();
        for _ in 0..5 {
            assert_eq!(breaker.failed(at(0)), Verdict::Counted);
            assert_eq!(breaker.failed(at(0)), Verdict::Counted);
            assert!(!breaker.succeeded());
        }
        breaker.failed(at(0));
        breaker.failed(at(0));
        assert_eq!(breaker.failed(at(0)), Verdict::Opened);
        assert_eq!(breaker.admit(at(99)), Err(at(100)));
    }

    #[test]
    fn one_probe_at_a_time_and_its_word_counts() {
        let mut breaker = breaker();
        fail_thrice(&mut breaker);
        assert_eq!(breaker.admit(at(100)), Ok(()));
        assert_eq!(breaker.admit(at(150)), Err(at(200)));
        assert_eq!(breaker.failed(at(160)), Verdict::Opened);
        // The rest doubles, up to the most.
        assert_eq!(breaker.admit(at(359)), Err(at(360)));
        assert_eq!(breaker.admit(at(360)), Ok(()));
        assert_eq!(breaker.failed(at(400)), Verdict::Opened);
        assert_eq!(breaker.admit(at(699)), Err(at(700)));
        assert_eq!(breaker.admit(at(700)), Ok(()));
        assert!(breaker.succeeded());
        assert_eq!(breaker.admit(at(701)), Ok(()));
        assert_eq!(breaker.admit(at(701)), Ok(()));
    }

    /// A probe's caller may stop caring; the breaker must not stay half open for that.
    #[test]
    fn a_forgotten_probe_is_followed_by_another() {
        let mut breaker = breaker();
        fail_thrice(&mut breaker);
        assert_eq!(breaker.admit(at(100)), Ok(()));
        assert_eq!(breaker.admit(at(199)), Err(at(200)));
        assert_eq!(breaker.admit(at(200)), Ok(()));
    }

    #[test]
    fn late_failures_do_not_lengthen_a_rest() {
        let mut breaker = breaker();
        fail_thrice(&mut breaker);
        assert_eq!(breaker.failed(at(90)), Verdict::Counted);
        assert_eq!(breaker.admit(at(100)), Ok(()));
    }
}
