//! G2: a replica that comes back remembers what it gave its word for: the term and the vote that
//! left it, and the log that it acknowledged to a leader. What it forgets without saying so, a
//! majority believes in for nothing.
//!
//! - One that says that it is in doubt takes its word back, and begins anew with what it holds.
//! - One that is fenced when it starts has lost a voter's state. That takes a fault of its disk: a
//!   server whose disk does as it is told, however often its power fails, comes back as it was.
//! - What a disk forgets so that nothing on the server can tell is nobody's promise.

use super::{Down, Observation, Oracle, Promise, Sight, Violation};
use crate::plan::Member;
use mooseng_core::event::Event;
use mooseng_core::id::{GroupId, ReplicaId};
use std::collections::{BTreeMap, BTreeSet};

/// What a replica gave its word for last.
#[derive(Clone, Copy, Default)]
struct Word {
    /// The term of the vote, and for whom it was.
    vote: Option<(u64, ReplicaId)>,
    /// The term, and the index in its leader's log.
    log: (u64, u64),
}

impl Word {
    /// What a replica that recovered this much has forgotten of it.
    fn forgotten(&self, term: u64, vote: Option<ReplicaId>, last: u64) -> Option<String> {
        if let Some((voted, candidate)) = self.vote
            && (term < voted || (term == voted && vote != Some(candidate)))
        {
            return Some(format!("its vote for {candidate} in term {voted}"));
        }
        // A leader of a later term may have cut the log.
        let (acknowledged, index) = self.log;
        if term < acknowledged || (term == acknowledged && last < index) {
            return Some(format!("the log up to {index}, acknowledged in term {acknowledged}"));
        }
        None
    }
}

#[derive(Default)]
pub struct Promises {
    words: BTreeMap<(GroupId, ReplicaId), Word>,
    /// Servers whose disks were harmed, and those whose disks were so that nothing can tell.
    harmed: BTreeSet<Member>,
    silenced: BTreeSet<Member>,
    /// Servers with a replica that has recovered in this life of theirs.
    standing: BTreeSet<Member>,
}

impl Promises {
    fn logic(&mut self, node: Member, event: &Event) -> Result<(), String> {
        match event {
            Event::Voted { group, replica, term, candidate } => {
                let word = self.words.entry((*group, *replica)).or_default();
                if word.vote.is_none_or(|(voted, _)| voted < *term) {
                    word.vote = Some((*term, *candidate));
                }
                Ok(())
            }
            Event::Acknowledged { group, replica, term, index, .. } => {
                let word = self.words.entry((*group, *replica)).or_default();
                word.log = word.log.max((*term, *index));
                Ok(())
            }
            Event::Recovered { group, replica, term, vote, last, waits, .. } => {
                self.standing.insert(node);
                if *waits || self.silenced.contains(&node) {
                    self.words.remove(&(*group, *replica));
                }
                let word = self.words.get(&(*group, *replica)).copied().unwrap_or_default();
                match word.forgotten(*term, *vote, *last) {
                    None => Ok(()),
                    Some(what) => Err(format!(
                        "{replica} came back with term {term} and a log to {last}, and has forgotten {what}"
                    )),
                }
            }
            Event::Fenced { replica, reason, .. }
                if !self.standing.contains(&node) && !self.harmed.contains(&node) =>
            {
                Err(format!("{replica} is lost on {node}, whose disk nothing has happened to: {reason}"))
            }
            _ => Ok(()),
        }
    }
}

impl Oracle for Promises {
    fn name(&self) -> &'static str {
        "promises"
    }

    fn promise(&self) -> Promise {
        Promise(2)
    }

    fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        match seen.sight {
            Sight::Event { node, event } => {
                return self.logic(node, event).map_err(|what| self.violation(seen.at, what));
            }
            Sight::WentDown { node, how: Down::Crashed | Down::Halted } => {
                self.standing.remove(&node);
            }
            Sight::Harmed { node, silent } => {
                self.harmed.insert(node);
                if silent {
                    self.silenced.insert(node);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{GROUP, Script, observe, see};
    use super::*;

    const REPLICA: ReplicaId = ReplicaId(1);
    const NODE: Member = Member::Server(1);

    fn voted(term: u64, candidate: u64) -> Event {
        Event::Voted { group: GROUP, replica: REPLICA, term, candidate: ReplicaId(candidate) }
    }

    fn acknowledged(term: u64, index: u64) -> Event {
        Event::Acknowledged { group: GROUP, replica: REPLICA, term, leader: ReplicaId(2), index }
    }

    fn recovered(term: u64, vote: Option<u64>, last: u64, waits: bool) -> Event {
        let vote = vote.map(ReplicaId);
        Event::Recovered { group: GROUP, replica: REPLICA, term, vote, last, applied: 0, waits }
    }

    fn fenced() -> Event {
        Event::Fenced { group: GROUP, replica: REPLICA, reason: "gone".into() }
    }

    /// What is said when this was promised, and then that was recovered.
    fn said(promised: &[Event], recovered: &Event) -> Option<String> {
        let (mut oracle, script) = (Promises::default(), Script::new());
        for event in promised {
            assert_eq!(observe(&mut oracle, &script, event), Ok(()));
        }
        let violation = observe(&mut oracle, &script, recovered).err()?;
        assert_eq!((violation.oracle, violation.promise), ("promises", Promise(2)));
        Some(violation.what)
    }

    #[test]
    fn a_forgotten_vote_is_found() {
        let promised = [voted(4, 3), voted(5, 2), voted(5, 2)];
        assert_eq!(said(&promised, &recovered(5, Some(2), 1, false)), None);
        assert_eq!(said(&promised, &recovered(6, None, 1, false)), None);
        let forgotten =
            "r1 came back with term 4 and a log to 1, and has forgotten its vote for r2 in term 5";
        assert_eq!(said(&promised, &recovered(4, Some(3), 1, false)).unwrap(), forgotten);
        assert!(said(&promised, &recovered(5, None, 1, false)).is_some());
        assert!(said(&promised, &recovered(5, Some(1), 1, false)).is_some());
    }

    #[test]
    fn a_forgotten_log_is_found_and_one_that_was_cut_is_not() {
        let promised = [acknowledged(4, 90), acknowledged(5, 20), acknowledged(5, 10)];
        assert_eq!(said(&promised, &recovered(5, None, 20, false)), None);
        assert_eq!(said(&promised, &recovered(6, None, 7, false)), None);
        assert!(said(&promised, &recovered(5, None, 19, false)).unwrap().contains("up to 20"));
        assert!(said(&promised, &recovered(4, None, 90, false)).is_some());
    }

    #[test]
    fn whoever_doubts_itself_has_taken_its_word_back() {
        let promised = [voted(5, 2), acknowledged(5, 20), recovered(3, None, 1, true)];
        assert_eq!(said(&promised, &recovered(3, None, 1, false)), None);
    }

    #[test]
    fn a_disk_that_forgets_silently_excuses_its_server() {
        let (mut oracle, script) = (Promises::default(), Script::new());
        assert_eq!(observe(&mut oracle, &script, &voted(5, 2)), Ok(()));
        assert_eq!(see(&mut oracle, &script, Sight::Harmed { node: NODE, silent: true }), Ok(()));
        assert_eq!(observe(&mut oracle, &script, &recovered(1, None, 1, false)), Ok(()));
    }

    #[test]
    fn a_voter_that_is_lost_without_a_fault_is_found() {
        let (mut oracle, script) = (Promises::default(), Script::new());
        assert!(observe(&mut oracle, &script, &fenced()).is_err());
        // Whoever is unlike its group is another oracle's to judge.
        assert_eq!(observe(&mut oracle, &script, &recovered(1, None, 1, false)), Ok(()));
        assert_eq!(observe(&mut oracle, &script, &fenced()), Ok(()));
        assert_eq!(see(&mut oracle, &script, Sight::WentDown { node: NODE, how: Down::Crashed }), Ok(()));
        assert!(observe(&mut oracle, &script, &fenced()).is_err());
        assert_eq!(see(&mut oracle, &script, Sight::Harmed { node: NODE, silent: false }), Ok(()));
        assert_eq!(observe(&mut oracle, &script, &fenced()), Ok(()));
    }
}
