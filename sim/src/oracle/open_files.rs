//! G8: a file that somebody has open is there, with a name or without, and one without a name that
//! nobody has open goes away.
//!
//! Who has what open the clients tell, from before they ask until after they have said that it is over.
//! That a file is kept for ever is judged only of runs that were quiet for long enough at their end,
//! with every session that the servers know in the hands of a client that has spoken to the last leader,
//! and with enough servers left to agree that it goes.

use super::{End, Observation, Oracle, Promise, Sight, Violation};
use mooseng_core::event::Event;
use mooseng_core::id::{InodeId, SessionId};
use mooseng_core::time::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// So soon after the last of what could keep a file without a name it has to be gone.
const COLLECTING_MAX: Duration = Duration::from_secs(3);

pub struct OpenFiles {
    /// Beyond their bound two leaders may serve at once.
    clocks_keep_their_bound: bool,
    /// The session of each client.
    sessions: BTreeMap<usize, SessionId>,
    /// When a client last had an answer to a question.
    answered: BTreeMap<usize, Instant>,
    open: BTreeMap<(SessionId, InodeId), u32>,
    elected: Instant,
    /// When somebody last changed something, or what is open.
    stirred: Instant,
}

impl OpenFiles {
    pub fn new(clocks_keep_their_bound: bool) -> Self {
        Self {
            clocks_keep_their_bound,
            sessions: BTreeMap::new(),
            answered: BTreeMap::new(),
            open: BTreeMap::new(),
            elected: Instant::ZERO,
            stirred: Instant::ZERO,
        }
    }

    fn count(&mut self, session: SessionId, inode: InodeId, open: bool) {
        let times = self.open.entry((session, inode)).or_default();
        *times = if open { *times + 1 } else { times.saturating_sub(1) };
        if *times == 0 {
            self.open.remove(&(session, inode));
        }
    }

    /// Is all that could keep a file known, and long ago?
    fn is_quiet(&self, end: &End<'_>, sessions: &[SessionId]) -> bool {
        let latest = self.stirred.max(self.elected);
        let known = |session: &SessionId| {
            let client = self.sessions.iter().find(|(_, held)| *held == session).map(|(client, _)| client);
            let answered = client.and_then(|client| self.answered.get(client)).copied();
            answered.is_some_and(|at| at > self.elected && at + COLLECTING_MAX <= end.at)
        };
        latest + COLLECTING_MAX <= end.at && sessions.iter().all(known)
    }
}

impl Oracle for OpenFiles {
    fn name(&self) -> &'static str {
        "open-files"
    }

    fn promise(&self) -> Promise {
        Promise(8)
    }

    fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        match seen.sight {
            Sight::Session { client, session } => {
                self.stirred = seen.at;
                self.sessions.insert(client, session);
            }
            Sight::Holds { session, inode, open } => {
                self.stirred = seen.at;
                self.count(session, inode, open);
            }
            Sight::OpenIsGone { client, inode } if self.clocks_keep_their_bound => {
                let what = format!("client-{} has {inode:?} open, and it is gone", client + 1);
                return Err(self.violation(seen.at, what));
            }
            Sight::Event { event: Event::Elected { .. }, .. } => self.elected = seen.at,
            Sight::Called { number } if seen.history.operations()[number].change().is_some() => {
                self.stirred = seen.at;
            }
            Sight::Ended { number } => {
                let operation = &seen.history.operations()[number];
                if operation.change().is_none() && operation.answered().is_some() {
                    self.answered.insert(operation.client, seen.at);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, end: &End<'_>) -> Result<(), Violation> {
        let serving = end.replicas.iter().filter(|replica| replica.serving);
        if serving.clone().count() < end.quorum {
            return Ok(());
        }
        let Some(replica) = serving.max_by_key(|replica| replica.applied) else { return Ok(()) };
        if !self.is_quiet(end, &replica.tree.sessions) {
            return Ok(());
        }
        let held = |inode: InodeId| self.open.keys().any(|(_, open)| *open == inode);
        match replica.tree.orphans().find(|inode| !held(*inode)) {
            None => Ok(()),
            Some(inode) => {
                let node = replica.node;
                let what = format!("{node} keeps {inode:?}, which has no name and which nobody has open");
                Err(self.violation(end.at, what))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, attr, file, root_tree, see};
    use super::*;
    use crate::history::{Asked, Ending};
    use mooseng_core::namespace::{Answer, Query};

    #[test]
    fn an_open_file_that_is_gone_is_reported() {
        let gone = || Sight::OpenIsGone { client: 0, inode: file(7) };
        let violation = see(&mut OpenFiles::new(true), &Script::new(), gone()).unwrap_err();
        assert_eq!(violation.what, "client-1 has f7 open, and it is gone");
        assert_eq!(see(&mut OpenFiles::new(false), &Script::new(), gone()), Ok(()));
    }

    fn look(script: &mut Script, oracle: &mut OpenFiles) {
        let inode = file(7);
        let number = script.call(0, Asked::Question(Query::GetAttr { inode }));
        let outcome = Ok(Answer::Attr(attr(inode, 0, 1)));
        script.history.end(number, Ending::Answered { at: script.now, outcome, index: 1, cached: false });
        see(oracle, script, Sight::Ended { number }).unwrap();
    }

    #[test]
    fn a_file_kept_for_nobody_is_reported_when_all_was_quiet() {
        let keeps = |wait: u64, known: bool, open: bool, quorum: bool| {
            let (mut script, mut oracle) = (Script::new(), OpenFiles::new(true));
            let session = SessionId(4);
            see(&mut oracle, &script, Sight::Session { client: 0, session }).unwrap();
            for open in [true, open] {
                see(&mut oracle, &script, Sight::Holds { session, inode: file(7), open }).unwrap();
            }
            script.wait(Duration::from_millis(1));
            look(&mut script, &mut oracle);
            script.wait(Duration::from_secs(wait));
            let mut tree = root_tree();
            tree.inodes.push(attr(file(7), 0, 1));
            tree.sessions = vec![SessionId(if known { 4 } else { 5 })];
            let replicas = [script.replica(1, tree)];
            let quorum = if quorum { 1 } else { 2 };
            oracle.finish(&End { quorum, ..script.end(&replicas, &[]) }).err()
        };
        let violation = keeps(9, true, false, true).unwrap();
        assert!(violation.what.contains("keeps f7"), "{violation}");
        assert_eq!(keeps(9, true, true, true), None);
        assert_eq!(keeps(9, false, false, true), None);
        assert_eq!(keeps(1, true, false, true), None);
        assert_eq!(keeps(9, true, false, false), None, "one of three cannot agree with anybody");
    }
}
