//! G6: a leader that dies, hangs or is cut off is replaced and serving again in under a second.
//!
//! Judged in true time from the moment it goes down (or from the first write that anybody wants
//! after it) to the next acknowledged write. Only where nothing else disturbs: the promise is for
//! one failure at a time, so an episode with a second one is dropped, not judged.

use super::{Down, Observation, Oracle, Promise, Sight, Violation, seconds};
use crate::plan::Member;
use mooseng_core::event::Event;
use mooseng_core::time::Instant;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The group has to have been left in peace for this long before a failure counts as its only one.
const CALM: Duration = Duration::from_secs(2);

/// A client that went away this long before is no excuse: what it was lent has run out, and the log says so.
/// A leader that has led for less may have had to wait for that itself.
const MOURNED: Duration = Duration::from_secs(7);

/// A change of leader is measured if somebody wanted to write this soon after the loss.
const ASKED_WITHIN: Duration = Duration::from_millis(100);

/// The times that were measured, shared with whoever publishes them.
#[derive(Clone, Default)]
pub struct Measured(Arc<Mutex<Vec<Duration>>>);

impl Measured {
    pub(super) fn all(&self) -> Vec<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn push(&self, span: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(span);
    }
}

/// The leader is down and a write has not been acknowledged since.
struct Episode {
    since: Instant,
    how: Down,
    leader: Member,
    replaced: bool,
}

pub struct Failover {
    /// `None`: the settings of this run promise nothing, only measure.
    limit: Option<Duration>,
    measured: Measured,
    leader: Option<Member>,
    down: BTreeMap<Member, Down>,
    /// Since when nothing else is wrong; `None` while something is.
    calm_since: Option<Instant>,
    /// Until when a client's end is an excuse, and whether there was one.
    mourned: Instant,
    mourns: bool,
    episode: Option<Episode>,
    /// Changes that were called and have not ended.
    writes: BTreeMap<usize, Instant>,
}

impl Failover {
    pub fn new(limit: Option<Duration>, measured: Measured) -> Self {
        Self {
            limit,
            measured,
            leader: None,
            down: BTreeMap::new(),
            calm_since: Some(Instant::ZERO),
            mourned: Instant::ZERO,
            mourns: false,
            episode: None,
            writes: BTreeMap::new(),
        }
    }

    fn went_down(&mut self, at: Instant, node: Member, how: Down) {
        let calm = at >= self.mourned && self.calm_since.is_some_and(|since| at.since(since) >= CALM);
        if let Member::Client(_) = node {
            self.episode = None;
            self.mourned = at + MOURNED;
            self.mourns = true;
            return;
        }
        let alone = self.episode.is_none() && self.down.is_empty();
        self.episode = (self.leader == Some(node) && calm && alone).then_some(Episode {
            since: at,
            how,
            leader: node,
            replaced: false,
        });
        self.down.insert(node, how);
        self.calm_since = None;
    }

    fn came_up(&mut self, at: Instant, node: Member) {
        if self.down.remove(&node).is_some() && self.down.is_empty() {
            self.calm_since = Some(at);
        }
    }

    /// From when on the first of the writes that wait has been waiting.
    fn waiting_since(&self, episode: &Episode) -> Option<Instant> {
        self.writes.values().min().map(|called| (*called).max(episode.since))
    }

    fn judge(&self, at: Instant) -> Result<(), Violation> {
        let (Some(limit), Some(episode)) = (self.limit, &self.episode) else { return Ok(()) };
        let Some(since) = self.waiting_since(episode) else { return Ok(()) };
        if at.since(since) <= limit {
            return Ok(());
        }
        let what = format!(
            "{}, which led, was {:?} at {}, and no write was acknowledged for {}",
            episode.leader,
            episode.how,
            episode.since,
            seconds(at.since(since))
        );
        Err(self.violation(at, what))
    }

    fn ended(&mut self, at: Instant, number: usize, answered: bool) {
        let called = self.writes.get(&number).copied().filter(|_| answered);
        // An answer that was under way when the leader was lost says nothing of its place, nor does one to
        // what was carried out before, and is asked again.
        if let Some(episode) = &self.episode
            && called.is_some_and(|called| called >= episode.since)
            && (episode.replaced || !self.down.contains_key(&episode.leader))
        {
            // Where nobody asked for long, or nobody was replaced, nothing was measured.
            let asked =
                self.waiting_since(episode).is_some_and(|since| since.since(episode.since) <= ASKED_WITHIN);
            if asked && episode.replaced {
                self.measured.push(at.since(episode.since));
            }
            self.episode = None;
        }
        self.writes.remove(&number);
    }
}

impl Oracle for Failover {
    fn name(&self) -> &'static str {
        "failover"
    }

    fn promise(&self) -> Promise {
        Promise(6)
    }

    fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        self.judge(seen.at)?;
        match seen.sight {
            Sight::Event { node, event: Event::Elected { .. } } => {
                self.leader = Some(node);
                if self.mourns {
                    self.mourned = self.mourned.max(seen.at + MOURNED);
                }
                if let Some(episode) = &mut self.episode {
                    episode.replaced |= episode.leader != node;
                }
            }
            Sight::Event { node, event: Event::SteppedDown { .. } } => {
                self.leader.take_if(|leader| *leader == node);
            }
            Sight::WentDown { node, how } => self.went_down(seen.at, node, how),
            Sight::CameUp { node } => self.came_up(seen.at, node),
            Sight::FaultBegan { .. } => {
                self.episode = None;
                self.calm_since = None;
            }
            Sight::Healed => {
                // Nobody is cut off any more; who crashed is told of when it boots.
                let back = self.down.iter().filter(|(_, how)| **how == Down::CutOff);
                let back: Vec<Member> = back.map(|(node, _)| *node).collect();
                back.into_iter().for_each(|node| self.came_up(seen.at, node));
                if self.down.is_empty() {
                    self.calm_since = Some(seen.at);
                }
            }
            Sight::FaultsOver if self.down.is_empty() => self.calm_since = Some(seen.at),
            Sight::Called { number } if seen.history.operations()[number].change().is_some() => {
                self.writes.insert(number, seen.at);
            }
            Sight::Ended { number } => {
                let answered = seen.history.operations()[number].answered().is_some();
                self.ended(seen.at, number, answered);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{GROUP, Script, see, see_at};
    use super::*;
    use mooseng_core::id::ReplicaId;

    const ONE: Member = Member::Server(1);
    const TWO: Member = Member::Server(2);

    fn oracle() -> (Failover, Measured) {
        let measured = Measured::default();
        (Failover::new(Some(Duration::from_secs(1)), measured.clone()), measured)
    }

    fn elected(term: u64) -> Event {
        Event::Elected { group: GROUP, replica: ReplicaId(term), term }
    }

    /// Server 1 leads in peace, then crashes while a client wants to write.
    fn leader_crashes(oracle: &mut Failover, script: &mut Script) -> usize {
        assert_eq!(see(oracle, script, Sight::Event { node: ONE, event: &elected(1) }), Ok(()));
        script.wait(Duration::from_secs(3));
        let down = Sight::WentDown { node: ONE, how: Down::Crashed };
        assert_eq!(see(oracle, script, down), Ok(()));
        let number = script.call_mkdir(0, "a");
        assert_eq!(see(oracle, script, Sight::Called { number }), Ok(()));
        number
    }

    #[test]
    fn a_prompt_successor_is_measured() {
        let (mut oracle, measured) = oracle();
        let mut script = Script::new();
        let number = leader_crashes(&mut oracle, &mut script);
        script.wait(Duration::from_millis(500));
        assert_eq!(see(&mut oracle, &script, Sight::Event { node: TWO, event: &elected(2) }), Ok(()));
        script.wait(Duration::from_millis(200));
        script.answer_mkdir(number);
        assert_eq!(see(&mut oracle, &script, Sight::Ended { number }), Ok(()));
        assert_eq!(measured.all().iter().map(Duration::as_millis).collect::<Vec<_>>(), [700]);
    }

    #[test]
    fn a_late_successor_is_found() {
        let (mut oracle, _) = oracle();
        let mut script = Script::new();
        leader_crashes(&mut oracle, &mut script);
        script.wait(Duration::from_millis(1_200));
        let late = Sight::Event { node: TWO, event: &elected(2) };
        let violation = see(&mut oracle, &script, late).unwrap_err();
        assert_eq!((violation.oracle, violation.promise), ("failover", Promise(6)));
        assert!(violation.what.contains("no write was acknowledged for 1.200 s"), "{violation}");
    }

    #[test]
    fn two_failures_at_once_are_not_judged() {
        let (mut oracle, measured) = oracle();
        let mut script = Script::new();
        leader_crashes(&mut oracle, &mut script);
        assert_eq!(see(&mut oracle, &script, Sight::FaultBegan { excuses: true }), Ok(()));
        let late = script.now + Duration::from_secs(9);
        assert_eq!(see_at(&mut oracle, &script, late, Sight::Healed), Ok(()));
        assert_eq!(measured.all(), []);
    }

    #[test]
    fn nobody_writing_is_no_failure() {
        let (mut oracle, _) = oracle();
        let mut script = Script::new();
        assert_eq!(see(&mut oracle, &script, Sight::Event { node: ONE, event: &elected(1) }), Ok(()));
        script.wait(Duration::from_secs(3));
        let down = Sight::WentDown { node: ONE, how: Down::Paused };
        assert_eq!(see(&mut oracle, &script, down), Ok(()));
        script.wait(Duration::from_secs(9));
        assert_eq!(see(&mut oracle, &script, Sight::Healed), Ok(()));
    }
}
