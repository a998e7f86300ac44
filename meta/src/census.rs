//! Which chunk servers live and how much room they have, as a leader hears it from heartbeats. It is
//! not replicated: a new leader begins with nothing heard, and for as long as a server may be silent
//! it takes nobody for lost.
//!
//! Knows no clock: the moment is an argument.

use mooseng_core::id::{PartId, ServerId};
use mooseng_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The most damaged parts kept in mind; more are found again by whoever reads or scrubs them.
const DAMAGED_MAX: usize = 65_536;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CensusConfig {
    /// How often a server says that it lives.
    pub heartbeat: Duration,
    /// Without a word for this long a server is silent: nothing new is put there.
    pub silent_after: Duration,
    /// Without a word for this long it is lost: its parts are made anew elsewhere.
    pub lost_after: Duration,
}

impl Default for CensusConfig {
    fn default() -> Self {
        let heartbeat = Duration::from_millis(500);
        Self { heartbeat, silent_after: Duration::from_secs(3), lost_after: Duration::from_secs(60) }
    }
}

impl CensusConfig {
    /// One clear line if these times cannot work together.
    pub fn check(&self) -> Result<(), String> {
        if self.heartbeat.is_zero() || self.heartbeat * 2 > self.silent_after {
            return Err("silent_after: less than two heartbeats".into());
        }
        if self.lost_after < self.silent_after {
            return Err("lost_after: a server is silent before it is lost".into());
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Life {
    Alive,
    Silent,
    Lost,
}

/// The bytes of a server's disks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Space {
    pub total: u64,
    pub free: u64,
    /// Which file system that is; 0: it is not said.
    pub disk: u64,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    at: Instant,
    space: Space,
    /// Which of those that go by its number it was.
    life: u64,
}

#[derive(Clone, Debug)]
pub struct Census {
    config: CensusConfig,
    term: u64,
    /// When this leader began to listen.
    begun: Instant,
    heard: BTreeMap<ServerId, Heard>,
    damaged: BTreeSet<(PartId, ServerId)>,
}

impl Census {
    pub fn new(config: CensusConfig) -> Self {
        assert_eq!(config.check(), Ok(()));
        let (heard, damaged) = (BTreeMap::new(), BTreeSet::new());
        Self { config, term: 0, begun: Instant::ZERO, heard, damaged }
    }

    pub fn config(&self) -> &CensusConfig {
        &self.config
    }

    /// Whoever asks leads in this term. In a new one nothing was heard yet.
    pub fn lead(&mut self, term: u64, now: Instant) {
        if term != self.term {
            *self = Self { term, begun: now, ..Self::new(self.config) };
        }
    }

    /// A registered server said that it lives.
    pub fn heard(&mut self, server: ServerId, life: u64, space: Space, now: Instant) {
        self.heard.insert(server, Heard { at: now, space, life });
    }

    /// Does another life than this go by the number, or may it, for all that was heard?
    pub fn is_taken(&self, server: ServerId, life: u64, now: Instant) -> bool {
        let (last, other) = match self.heard.get(&server) {
            Some(heard) => (heard.at, heard.life != life),
            None => (self.begun, true),
        };
        other && now.since(last) < self.config.silent_after
    }

    /// Is this the life that the number was heard of from last?
    pub fn goes_by(&self, server: ServerId, life: u64) -> bool {
        self.heard.get(&server).is_none_or(|heard| heard.life == life)
    }

    /// A part was found damaged where it is said to be.
    pub fn damaged(&mut self, part: PartId, server: ServerId) {
        if self.damaged.len() < DAMAGED_MAX {
            self.damaged.insert((part, server));
        }
    }

    pub fn is_damaged(&self, part: PartId, server: ServerId) -> bool {
        self.damaged.contains(&(part, server))
    }

    /// A part was made anew: what was said of the place it had is past.
    pub fn mended(&mut self, part: PartId, server: ServerId) {
        self.damaged.remove(&(part, server));
    }

    /// What was said of such places is past.
    pub fn forget(&mut self, is_past: impl Fn(PartId, ServerId) -> bool) {
        self.damaged.retain(|(part, server)| !is_past(*part, *server));
    }

    /// A server that was never heard of counts from when this leader began to listen.
    pub fn life(&self, server: ServerId, now: Instant) -> Life {
        let (last, heard) = match self.heard.get(&server) {
            Some(heard) => (heard.at, true),
            None => (self.begun, false),
        };
        let silence = now.since(last);
        if silence >= self.config.lost_after {
            Life::Lost
        } else if silence >= self.config.silent_after || !heard {
            Life::Silent
        } else {
            Life::Alive
        }
    }

    pub fn space(&self, server: ServerId) -> Space {
        self.heard.get(&server).map_or(Space::default(), |heard| heard.space)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::id::SliceId;

    const SPACE: Space = Space { total: 100, free: 40, disk: 7 };

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn census() -> Census {
        let mut census = Census::new(CensusConfig::default());
        census.lead(1, at(100));
        census
    }

    #[test]
    fn a_server_lives_then_is_silent_then_lost_and_lives_again() {
        let mut census = census();
        let server = ServerId(1);
        census.heard(server, 1, SPACE, at(100));
        let life = |census: &Census, seconds| census.life(server, at(seconds));
        assert_eq!((life(&census, 100), life(&census, 102)), (Life::Alive, Life::Alive));
        assert_eq!((life(&census, 103), life(&census, 159)), (Life::Silent, Life::Silent));
        assert_eq!(life(&census, 160), Life::Lost);
        census.heard(server, 1, SPACE, at(170));
        assert_eq!((life(&census, 171), census.space(server)), (Life::Alive, SPACE));
    }

    /// Otherwise every election would have everything made anew.
    #[test]
    fn a_new_leader_takes_nobody_for_lost_before_it_has_listened() {
        let mut census = census();
        let (known, never) = (ServerId(1), ServerId(2));
        census.heard(known, 1, SPACE, at(100));
        assert_eq!(census.life(never, at(101)), Life::Silent);
        census.lead(2, at(500));
        for server in [known, never] {
            assert_eq!(census.life(server, at(500)), Life::Silent);
            assert_eq!(census.life(server, at(559)), Life::Silent);
            assert_eq!(census.life(server, at(560)), Life::Lost);
        }
        census.heard(known, 1, SPACE, at(561));
        census.lead(2, at(562));
        assert_eq!(census.life(known, at(562)), Life::Alive, "the same term goes on");
    }

    #[test]
    fn damage_is_of_one_part_at_one_server() {
        let mut census = census();
        let part = |index| PartId { slice: SliceId::from_raw(7).unwrap(), index };
        census.damaged(part(1), ServerId(1));
        assert!(census.is_damaged(part(1), ServerId(1)));
        assert!(!census.is_damaged(part(1), ServerId(2)) && !census.is_damaged(part(0), ServerId(1)));
        census.mended(part(1), ServerId(1));
        assert!(!census.is_damaged(part(1), ServerId(1)));
    }

    #[test]
    fn times_that_cannot_work_together_are_refused() {
        let usual = CensusConfig::default();
        let second = Duration::from_secs(1);
        assert!(CensusConfig { silent_after: second / 2, ..usual }.check().is_err());
        assert!(CensusConfig { lost_after: second, ..usual }.check().is_err());
        assert!(CensusConfig { heartbeat: Duration::ZERO, ..usual }.check().is_err());
    }

    #[test]
    fn a_number_is_taken_while_whoever_goes_by_it_lives() {
        let (server, mut census) = (ServerId(7), census());
        assert!(census.is_taken(server, 1, at(101)), "a new leader has not heard who lives");
        assert!(!census.is_taken(server, 1, at(103)));
        assert!(census.goes_by(server, 1) && census.goes_by(server, 2));
        census.heard(server, 1, SPACE, at(110));
        assert!(census.goes_by(server, 1) && !census.goes_by(server, 2));
        assert!(!census.is_taken(server, 1, at(111)) && census.is_taken(server, 2, at(111)));
        assert!(!census.is_taken(server, 2, at(113)), "it has died");
    }
}
