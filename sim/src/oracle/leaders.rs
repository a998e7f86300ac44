//! G1: a term has one leader, and nobody serves reads by a lease while a later leader is there.
//!
//! What would make a second leader of a term, or undo what a leader committed, is seen where it
//! begins: a replica that votes for two in one term, one that takes entries of a term from somebody
//! who does not lead it, and a leader that counts a majority for an entry of an earlier term, which
//! a later leader may still lack.
//!
//! A lease is a matter of true time, which only the simulation knows: a replica that serves by its
//! lease is wrong as soon as another one was elected for a later term, and as soon as it has not
//! applied what was acknowledged before.

use super::{Observation, Oracle, Promise, Sight, Violation};
use mooseng_core::event::Event;
use mooseng_core::id::{GroupId, ReplicaId};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Leaders {
    of_term: BTreeMap<(GroupId, u64), ReplicaId>,
    votes: BTreeMap<(GroupId, u64, ReplicaId), ReplicaId>,
    latest: BTreeMap<GroupId, (u64, ReplicaId)>,
    /// The highest index that a client had an answer from.
    acknowledged: u64,
}

impl Leaders {
    /// What a replica did for or as the leader of a term.
    fn term(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Elected { group, replica, term } => {
                let first = *self.of_term.entry((*group, *term)).or_insert(*replica);
                let latest = self.latest.entry(*group).or_insert((*term, *replica));
                *latest = (*latest).max((*term, *replica));
                if first != *replica {
                    return Err(format!("{group} has two leaders in term {term}: {first} and {replica}"));
                }
            }
            Event::Voted { group, replica, term, candidate } => {
                let first = *self.votes.entry((*group, *term, *replica)).or_insert(*candidate);
                if first != *candidate {
                    return Err(format!("{replica} votes in term {term} for {first} and for {candidate}"));
                }
            }
            Event::Acknowledged { group, replica, term, leader, .. } => {
                let first = *self.of_term.entry((*group, *term)).or_insert(*leader);
                if first != *leader {
                    return Err(format!(
                        "{replica} follows {leader} in term {term} of {group}, which is {first}'s"
                    ));
                }
            }
            Event::Committed { replica, term, index, counted, .. } if counted != term => {
                return Err(format!(
                    "{replica}, the leader of term {term}, counts a majority for entry {index} of term {counted}"
                ));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Oracle for Leaders {
    fn name(&self) -> &'static str {
        "leaders"
    }

    fn promise(&self) -> Promise {
        Promise(1)
    }

    fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        match seen.sight {
            Sight::Event { event: Event::LeaseRead { group, replica, term, applied }, .. } => {
                if let Some((later, leader)) = self.latest.get(group)
                    && later > term
                {
                    let what = format!(
                        "{replica} serves {group} by a lease of term {term}, but {leader} leads in term {later}"
                    );
                    return Err(self.violation(seen.at, what));
                }
                if *applied < self.acknowledged {
                    let what = format!(
                        "{replica} serves {group} by a lease from index {applied}, and index {} was acknowledged",
                        self.acknowledged
                    );
                    return Err(self.violation(seen.at, what));
                }
                Ok(())
            }
            Sight::Event { event, .. } => self.term(event).map_err(|what| self.violation(seen.at, what)),
            Sight::Ended { number } => {
                if let Some((_, _, index)) = seen.history.operations()[number].answered() {
                    self.acknowledged = self.acknowledged.max(index);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{GROUP, Script, observe};
    use super::*;

    fn elected(replica: u64, term: u64) -> Event {
        Event::Elected { group: GROUP, replica: ReplicaId(replica), term }
    }

    fn lease_read(replica: u64, term: u64, applied: u64) -> Event {
        Event::LeaseRead { group: GROUP, replica: ReplicaId(replica), term, applied }
    }

    #[test]
    fn two_leaders_of_one_term_are_found() {
        let mut oracle = Leaders::default();
        let script = Script::new();
        assert_eq!(observe(&mut oracle, &script, &elected(1, 4)), Ok(()));
        assert_eq!(observe(&mut oracle, &script, &elected(2, 5)), Ok(()));
        let violation = observe(&mut oracle, &script, &elected(3, 5)).unwrap_err();
        assert_eq!((violation.oracle, violation.promise), ("leaders", Promise(1)));
        assert_eq!(violation.what, "g1 has two leaders in term 5: r2 and r3");
    }

    fn acknowledged(leader: u64, term: u64) -> Event {
        let leader = ReplicaId(leader);
        Event::Acknowledged { group: GROUP, replica: ReplicaId(9), term, leader, index: 1 }
    }

    #[test]
    fn two_votes_of_one_term_are_found() {
        let (mut oracle, script) = (Leaders::default(), Script::new());
        let voted = |term, candidate| {
            let candidate = ReplicaId(candidate);
            Event::Voted { group: GROUP, replica: ReplicaId(1), term, candidate }
        };
        for right in [voted(4, 2), voted(4, 2), voted(5, 3)] {
            assert_eq!(observe(&mut oracle, &script, &right), Ok(()));
        }
        let violation = observe(&mut oracle, &script, &voted(4, 3)).unwrap_err();
        assert_eq!(violation.what, "r1 votes in term 4 for r2 and for r3");
    }

    #[test]
    fn entries_taken_from_somebody_who_does_not_lead_are_found() {
        for after in [false, true] {
            let (mut oracle, script) = (Leaders::default(), Script::new());
            assert_eq!(observe(&mut oracle, &script, &acknowledged(1, 3)), Ok(()));
            let mut wrong = [elected(2, 4), acknowledged(1, 4)];
            wrong.rotate_left(usize::from(after));
            assert_eq!(observe(&mut oracle, &script, &wrong[0]), Ok(()));
            assert!(observe(&mut oracle, &script, &wrong[1]).is_err());
        }
    }

    #[test]
    fn a_majority_for_an_entry_of_an_earlier_term_is_found() {
        let (mut oracle, script) = (Leaders::default(), Script::new());
        let committed = |counted| {
            let (replica, term, index) = (ReplicaId(1), 4, 7);
            Event::Committed { group: GROUP, replica, term, index, counted }
        };
        assert_eq!(observe(&mut oracle, &script, &committed(4)), Ok(()));
        assert!(observe(&mut oracle, &script, &committed(3)).is_err());
    }

    #[test]
    fn a_deposed_leader_that_serves_reads_is_found() {
        let mut oracle = Leaders::default();
        let script = Script::new();
        assert_eq!(observe(&mut oracle, &script, &elected(1, 4)), Ok(()));
        assert_eq!(observe(&mut oracle, &script, &lease_read(1, 4, 0)), Ok(()));
        assert_eq!(observe(&mut oracle, &script, &elected(2, 5)), Ok(()));
        let violation = observe(&mut oracle, &script, &lease_read(1, 4, 0)).unwrap_err();
        assert!(violation.what.contains("r2 leads in term 5"), "{violation}");
    }

    #[test]
    fn a_lease_that_misses_an_acknowledged_change_is_found() {
        let mut oracle = Leaders::default();
        let mut script = Script::new();
        let made = script.mkdir(0, "a");
        let ended = Sight::Ended { number: made.number };
        let seen = Observation { at: script.now, sight: ended, history: &script.history };
        assert_eq!(oracle.observe(&seen), Ok(()));
        assert_eq!(observe(&mut oracle, &script, &lease_read(1, 4, 1)), Ok(()));
        assert!(observe(&mut oracle, &script, &lease_read(1, 4, 0)).is_err());
    }
}
