//! When the sessions of a group were last heard of. Only a leader uses it, and only to propose that
//! sessions end: the table is lost with leadership, and whoever leads next grants every session its
//! full lifetime anew. A client counts its lifetime from before it asked, this table from after it
//! granted, so by the client's own clock it never lives longer than it is let.

use mooseng_core::id::SessionId;
use mooseng_core::plant;
use mooseng_core::time::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Contacts {
    /// What sessions are granted, and by how much longer they are kept because clocks drift.
    lifetime: Duration,
    grace: Duration,
    heard: BTreeMap<SessionId, Instant>,
}

impl Contacts {
    pub fn new(lifetime: Duration, drift_ppm: u32) -> Self {
        Self { lifetime, grace: lifetime * (2 * drift_ppm) / 1_000_000, heard: BTreeMap::new() }
    }

    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// This replica leads from now on, and these sessions live.
    pub fn lead(&mut self, sessions: impl Iterator<Item = SessionId>, now: Instant) {
        let kept: BTreeMap<SessionId, Instant> =
            plant!("session-expired-by-follower-clock", BTreeMap::new(), std::mem::take(&mut self.heard));
        self.heard = sessions.map(|session| (session, kept.get(&session).copied().unwrap_or(now))).collect();
    }

    /// A session was heard of: it was opened, or it was granted its lifetime again.
    pub fn heard(&mut self, session: SessionId, now: Instant) {
        self.heard.insert(session, now);
    }

    pub fn ended(&mut self, session: SessionId) {
        self.heard.remove(&session);
    }

    /// The sessions that have run out, at most so many. They count as heard of now, so that they
    /// are not named again at once while their end is being agreed on.
    pub fn run_out(&mut self, now: Instant, count_max: usize) -> Vec<SessionId> {
        let end = |heard: &Instant| *heard + self.lifetime + self.grace;
        let over = self.heard.iter().filter(|(_, heard)| end(heard) <= now);
        let out: Vec<SessionId> = over.map(|(session, _)| *session).take(count_max).collect();
        for session in &out {
            self.heard.insert(*session, now);
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
        assert_eq!(contacts.run_out(at(101), 9), []);
        assert_eq!(contacts.run_out(at(102), 9), [SessionId(1)]);
        assert_eq!(contacts.run_out(at(103), 9), [], "its end is under way");
        contacts.ended(SessionId(1));
        assert_eq!(contacts.run_out(at(400), 9), [SessionId(2)]);
    }

    #[test]
    fn a_new_leader_grants_everybody_a_full_lifetime() {
        let mut contacts = Contacts::new(Duration::from_secs(100), 0);
        contacts.heard(SessionId(1), at(0));
        contacts.heard(SessionId(2), at(0));
        contacts.lead([SessionId(1)].into_iter(), at(99));
        assert_eq!(contacts.run_out(at(198), 9), []);
        assert_eq!(contacts.run_out(at(199), 9), [SessionId(1)], "2 had ended before");
    }
}
