//! G2: replicas are equal: whoever has applied the same index has the same entry there and the
//! same state after it, and nobody leaves an entry out.

use super::{End, Observation, Oracle, Promise, Sight, Violation};
use crate::history::Committed;
use mooseng_core::event::Event;
use mooseng_core::id::{GroupId, ReplicaId};
use mooseng_core::time::Instant;
use std::collections::BTreeMap;

const NAME: &str = "replicas";
const PROMISE: Promise = Promise(2);

/// What the first replica that got there had at an index.
struct First {
    replica: ReplicaId,
    hash: u128,
    /// Unknown if it got there by a snapshot.
    term: Option<u64>,
}

#[derive(Default)]
pub struct Replicas {
    states: BTreeMap<(GroupId, u64), First>,
    applied: BTreeMap<(GroupId, ReplicaId), u64>,
}

/// Two replicas said different things of one entry of the committed log.
pub(super) fn disagreement(at: Instant, index: u64, known: &Committed, entry: &Committed) -> Violation {
    let told = |entry: &Committed| {
        let request = entry.request.map_or("no change".to_owned(), |request| format!("request {request}"));
        let outcome = entry.outcome.as_ref().map_or(String::new(), |outcome| format!(" ({outcome:?})"));
        format!("{request} of term {}{outcome}", entry.term)
    };
    let what = format!("index {index} holds {} for one replica and {} for another", told(known), told(entry));
    Violation { oracle: NAME, promise: PROMISE, at, what, operation: None, expected: None }
}

impl Replicas {
    fn compare(
        &mut self,
        at: Instant,
        place: (GroupId, u64),
        replica: ReplicaId,
        term: Option<u64>,
        hash: u128,
    ) -> Result<(), Violation> {
        let first = self.states.entry(place).or_insert(First { replica, hash, term });
        let other_term = matches!((first.term, term), (Some(first), Some(term)) if first != term);
        if first.hash == hash && !other_term {
            first.term = first.term.or(term);
            return Ok(());
        }
        let (with, index) = (first.replica, place.1);
        let what = if other_term {
            format!("{replica} and {with} applied entries of different terms at index {index}")
        } else {
            format!("{replica} and {with} differ in their state after index {index}")
        };
        Err(self.violation(at, what))
    }
}

impl Oracle for Replicas {
    fn name(&self) -> &'static str {
        NAME
    }

    fn promise(&self) -> Promise {
        PROMISE
    }

    fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        let Sight::Event { event, .. } = seen.sight else { return Ok(()) };
        match event {
            Event::Recovered { group, replica, applied, .. } => {
                self.applied.insert((*group, *replica), *applied);
                Ok(())
            }
            Event::Applied { group, replica, index, term, hash, .. } => {
                let before = self.applied.insert((*group, *replica), *index);
                if let Some(before) = before
                    && *index != before + 1
                {
                    let what = format!("{replica} applied index {index} after index {before}");
                    return Err(self.violation(seen.at, what));
                }
                self.compare(seen.at, (*group, *index), *replica, Some(*term), *hash)
            }
            Event::SnapshotTaken { group, replica, index, hash } => {
                self.compare(seen.at, (*group, *index), *replica, None, *hash)
            }
            Event::SnapshotInstalled { group, replica, index, hash } => {
                self.applied.insert((*group, *replica), *index);
                self.compare(seen.at, (*group, *index), *replica, None, *hash)
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, end: &End<'_>) -> Result<(), Violation> {
        for one in end.replicas {
            self.compare(end.at, (one.group, one.applied), one.replica, None, one.hash)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{GROUP, Script, observe, root_tree, verdict};
    use super::*;

    fn applied(replica: u64, index: u64, term: u64, hash: u128) -> Event {
        let (group, replica) = (GROUP, ReplicaId(replica));
        Event::Applied { group, replica, index, term, hash, request: None }
    }

    #[test]
    fn replicas_that_differ_are_found() {
        let mut oracle = Replicas::default();
        let script = Script::new();
        for event in [applied(1, 1, 1, 10), applied(2, 1, 1, 10), applied(1, 2, 1, 20)] {
            assert_eq!(observe(&mut oracle, &script, &event), Ok(()));
        }
        let violation = observe(&mut oracle, &script, &applied(2, 2, 1, 21)).unwrap_err();
        assert_eq!((violation.oracle, violation.promise), ("replicas", Promise(2)));
        assert!(violation.what.contains("r2 and r1 differ in their state after index 2"), "{violation}");
        let violation = observe(&mut oracle, &script, &applied(3, 2, 2, 20)).unwrap_err();
        assert!(violation.what.contains("different terms"), "{violation}");
    }

    #[test]
    fn an_entry_left_out_is_found_and_a_restart_is_not() {
        let mut oracle = Replicas::default();
        let script = Script::new();
        assert_eq!(observe(&mut oracle, &script, &applied(1, 1, 1, 10)), Ok(()));
        let recovered = Event::Recovered {
            group: GROUP,
            replica: ReplicaId(1),
            term: 1,
            vote: None,
            last: 1,
            applied: 0,
            waits: false,
        };
        assert_eq!(observe(&mut oracle, &script, &recovered), Ok(()));
        assert_eq!(observe(&mut oracle, &script, &applied(1, 1, 1, 10)), Ok(()));
        let violation = observe(&mut oracle, &script, &applied(1, 3, 1, 30)).unwrap_err();
        assert!(violation.what.contains("applied index 3 after index 1"), "{violation}");
    }

    #[test]
    fn a_snapshot_and_a_final_state_are_compared_too() {
        let mut oracle = Replicas::default();
        let mut script = Script::new();
        script.mkdir(0, "a");
        let taken = Event::SnapshotTaken { group: GROUP, replica: ReplicaId(1), index: 1, hash: 10 };
        let installed = Event::SnapshotInstalled { group: GROUP, replica: ReplicaId(2), index: 1, hash: 11 };
        assert_eq!(observe(&mut oracle, &script, &taken), Ok(()));
        assert!(observe(&mut oracle, &script, &installed).is_err());
        let mut replica = script.replica(3, root_tree());
        replica.hash = 12;
        assert!(verdict(oracle, &script, &[replica]).is_some());
    }
}
