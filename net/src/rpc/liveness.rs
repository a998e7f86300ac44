//! Is anybody still there? A connection on which we speak and hear nothing is pinged, and given up
//! when the ping is not answered either: a peer that lost its power sends no goodbye. Knows no clock.

use mooseng_core::time::Instant;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LivenessConfig {
    /// Silence after which we ask.
    pub ping_after: Duration,
    /// Silence after which the connection is given up. It must be longer than the largest body
    /// takes to arrive: a frame is heard when it is whole.
    pub silence_max: Duration,
}

impl Default for LivenessConfig {
    /// Short enough that a leader without power is noticed while its group elects another.
    fn default() -> Self {
        Self { ping_after: Duration::from_millis(250), silence_max: Duration::from_millis(600) }
    }
}

/// What to do when the time has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    Nothing,
    Ping,
    GiveUp,
}

#[derive(Clone, Debug)]
pub struct Liveness {
    config: LivenessConfig,
    /// Since when something we said has been followed by silence.
    unanswered_since: Option<Instant>,
    pinged: bool,
}

impl Liveness {
    pub fn new(config: LivenessConfig) -> Self {
        assert!(config.ping_after < config.silence_max, "a ping must be left time to be answered");
        Self { config, unanswered_since: None, pinged: false }
    }

    pub fn spoke(&mut self, now: Instant) {
        self.unanswered_since.get_or_insert(now);
    }

    pub fn heard(&mut self) {
        self.unanswered_since = None;
        self.pinged = false;
    }

    /// When to look again; `None` while nothing is unanswered.
    pub fn due(&self) -> Option<Instant> {
        let wait = if self.pinged { self.config.silence_max } else { self.config.ping_after };
        self.unanswered_since.map(|since| since + wait)
    }

    pub fn look(&mut self, now: Instant) -> Due {
        match self.unanswered_since {
            Some(since) if now >= since + self.config.silence_max && self.pinged => Due::GiveUp,
            Some(since) if now >= since + self.config.ping_after && !self.pinged => {
                // A ping that leaves late (we were suspended, say) is left its time all the same.
                let late = now.since(since + self.config.ping_after);
                self.unanswered_since = Some(since + late);
                self.pinged = true;
                Due::Ping
            }
            _ => Due::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn liveness() -> Liveness {
        Liveness::new(LivenessConfig {
            ping_after: Duration::from_millis(100),
            silence_max: Duration::from_millis(300),
        })
    }

    #[test]
    fn silence_is_pinged_and_then_given_up() {
        let mut liveness = liveness();
        assert_eq!(liveness.due(), None);
        liveness.spoke(at(10));
        liveness.spoke(at(50));
        assert_eq!(liveness.due(), Some(at(110)));
        assert_eq!(liveness.look(at(109)), Due::Nothing);
        assert_eq!(liveness.look(at(110)), Due::Ping);
        assert_eq!(liveness.due(), Some(at(310)));
        assert_eq!(liveness.look(at(309)), Due::Nothing);
        assert_eq!(liveness.look(at(310)), Due::GiveUp);
    }

    #[test]
    fn a_word_from_the_peer_ends_the_silence() {
        let mut liveness = liveness();
        liveness.spoke(at(10));
        assert_eq!(liveness.look(at(110)), Due::Ping);
        liveness.heard();
        assert_eq!(liveness.due(), None);
        assert_eq!(liveness.look(at(999)), Due::Nothing);
        liveness.spoke(at(1_000));
        assert_eq!(liveness.due(), Some(at(1_100)));
    }

    /// After a suspension the first look comes late. The peer gets its time to answer all the same.
    #[test]
    fn a_late_ping_is_left_its_time() {
        let mut liveness = liveness();
        liveness.spoke(at(0));
        assert_eq!(liveness.look(at(5_000)), Due::Ping);
        assert_eq!(liveness.due(), Some(at(5_200)));
        assert_eq!(liveness.look(at(5_199)), Due::Nothing);
        assert_eq!(liveness.look(at(5_200)), Due::GiveUp);
    }
}
