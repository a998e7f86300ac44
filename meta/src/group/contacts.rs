//! When the sessions of a group were last heard of. Only a leader uses it, and only to propose that
//! sessions end: the table is lost with leadership, and whoever leads next grants every session its
//! full lifetime anew. A client counts its lifetime from before it asked, this table from after it
//! granted, so by the client's own clock it never lives longer than it is let. A session whose end has
//! been proposed is granted nothing more.

use mooseng_core::id::SessionId;
use mooseng_core::plant;
use mooseng_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Contacts {
    /// What sessions are granted, and by how much longer they are kept because clocks drift.
    lifetime: Duration,
    grace: Duration,
    heard: BTreeMap<SessionId, Instant>,
    /// Their end was proposed by this leader; until it is applied, or somebody else leads.
    ending: BTreeSet<SessionId>,
}

impl Contacts {
    pub fn new(lifetime: Duration, drift_ppm: u32) -> Self {
        // By a clock that is too slow a client counts 1 / (1 - drift) lifetimes, and this one, too
        // fast, may count all of them 1 + drift times.
        let grace = lifetime.saturating_mul(2 * drift_ppm) / (1_000_000 - drift_ppm.min(500_000));
        Self { lifetime, grace, heard: BTreeMap::new(), ending: BTreeSet::new() }
    }

    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// This replica leads from now on, and these sessions live.
    pub fn lead(&mut self, sessions: impl Iterator<Item = SessionId>, now: Instant) {
        let kept: BTreeMap<SessionId, Instant> =
            plant!("session-expired-by-follower-clock", BTreeMap::new(), std::mem::take(&mut self.heard));
        self.heard = sessions.map(|session| (session, kept.get(&session).copied().unwrap_or(now))).collect();
        self.ending.clear();
    }

    /// Nobody could be heard of for a while, which is not the fault of the sessions.
    pub fn wake(&mut self, now: Instant) {
        for heard in self.heard.values_mut() {
            *heard = now;
        }
    }

    /// Has its end been proposed? Then it must not be told that it lives on.
    pub fn is_ending(&self, session: SessionId) -> bool {
        plant!("ending-session-kept-alive", self.ending.contains(&session), false)
    }

    /// A session was heard of: it was opened, or it was granted its lifetime again.
    pub fn heard(&mut self, session: SessionId, now: Instant) {
        self.heard.insert(session, now);
    }

    pub fn ended(&mut self, session: SessionId) {
        self.heard.remove(&session);
        self.ending.remove(&session);
    }

    /// The sessions that have run out and need not be spared, at most so many. They count as heard of now, so that they
    /// are not named again at once while their end is being agreed on.
    pub fn run_out(
        &mut self,
        now: Instant,
        count_max: usize,
        spared: impl Fn(SessionId) -> bool,
    ) -> Vec<SessionId> {
        let end = |heard: &Instant| *heard + self.lifetime + self.grace;
        let over = self.heard.iter().filter(|(session, heard)| end(heard) <= now && !spared(**session));
        let out: Vec<SessionId> = over.map(|(session, _)| *session).take(count_max).collect();
        for session in &out {
            self.heard.insert(*session, now);
            self.ending.insert(*session);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn sessions_run_out_after_their_lifetime_and_the_drift() {
        let mut contacts = Contacts::new(Duration::from_secs(100), 10_000);
        contacts.lead([SessionId(1), SessionId(2)].into_iter(), at(0));
        contacts.heard(SessionId(2), at(50));
        assert_eq!(contacts.run_out(at(102), 9, |_| false), []);
        assert!(!contacts.is_ending(SessionId(1)));
        assert_eq!(contacts.run_out(at(103), 9, |_| false), [SessionId(1)]);
        assert_eq!(contacts.run_out(at(104), 9, |_| false), [], "its end is under way");
        assert!(contacts.is_ending(SessionId(1)) && !contacts.is_ending(SessionId(2)));
        contacts.ended(SessionId(1));
        assert!(!contacts.is_ending(SessionId(1)));
        assert_eq!(contacts.run_out(at(400), 9, |_| false), [SessionId(2)]);
    }

    #[test]
    fn a_lifetime_may_be_longer_than_any_time() {
        for lifetime in [Duration::MAX, Duration::from_millis(u64::MAX), Duration::from_hours(1 << 40)] {
            let mut contacts = Contacts::new(lifetime, 10_000);
            contacts.heard(SessionId(1), at(1));
            assert_eq!(contacts.run_out(at(1 << 33), 10, |_| false), []);
        }
    }

    #[test]
    fn a_new_leader_grants_everybody_a_full_lifetime() {
        let mut contacts = Contacts::new(Duration::from_secs(100), 0);
        contacts.heard(SessionId(1), at(0));
        contacts.heard(SessionId(2), at(0));
        contacts.lead([SessionId(1)].into_iter(), at(99));
        assert_eq!(contacts.run_out(at(198), 9, |_| false), []);
        assert_eq!(contacts.run_out(at(199), 9, |_| false), [SessionId(1)], "2 had ended before");
        assert!(contacts.is_ending(SessionId(1)));
        contacts.lead([SessionId(1)].into_iter(), at(200));
        assert!(!contacts.is_ending(SessionId(1)), "whoever leads next may know nothing of it");
    }

    /// A client with the slowest clock that there may be, and a leader with the fastest.
    #[test]
    fn the_grace_covers_what_clocks_may_drift() {
        let lifetime = Duration::from_secs(1_000);
        let mut contacts = Contacts::new(lifetime, 10_000);
        contacts.lead([SessionId(1)].into_iter(), at(0));
        let granted = lifetime.as_secs_f64() / 0.99;
        let counted = Instant::ZERO + Duration::from_secs_f64(granted * 1.01 - 1e-6);
        assert_eq!(contacts.run_out(counted, 9, |_| false), []);
    }

    #[test]
    fn a_leader_that_was_paused_begins_to_count_anew() {
        let mut contacts = Contacts::new(Duration::from_secs(100), 0);
        contacts.lead([SessionId(1)].into_iter(), at(0));
        contacts.wake(at(500));
        assert_eq!(contacts.run_out(at(599), 9, |_| false), []);
        assert_eq!(contacts.run_out(at(600), 9, |_| false), [SessionId(1)]);
    }
}
