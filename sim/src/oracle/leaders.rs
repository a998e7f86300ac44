//! G1: a term has one leader, and nobody serves reads by a lease while a later leader is there.
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
    latest: BTreeMap<GroupId, (u64, ReplicaId)>,
    /// The highest index that a client had an answer from.
    acknowledged: u64,
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
            Sight::Event { event: Event::Elected { group, replica, term }, .. } => {
                let first = *self.of_term.entry((*group, *term)).or_insert(*replica);
                if first != *replica {
                    let what = format!("{group} has two leaders in term {term}: {first} and {replica}");
                    return Err(self.violation(seen.at, what));
                }
                let latest = self.latest.entry(*group).or_insert((*term, *replica));
                *latest = (*latest).max((*term, *replica));
                Ok(())
            }
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
