//! What the clients of a run saw, in true simulated time, and what the replicas say was committed.
//! Everything the oracles judge by; it judges nothing itself.

use mooseng_core::id::SessionId;
use mooseng_core::namespace::{Caller, Op, Outcome, Query};
use mooseng_core::time::Instant;
use std::collections::BTreeMap;
use std::fmt;

/// What a client asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    Change(Op),
    Question(Query),
}

/// Names a change for good, through every retry of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Request {
    pub session: SessionId,
    /// From 1.
    pub sequence: u64,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.session, self.sequence)
    }
}

/// How a call ended, as far as its client knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The run ended first, or the client died.
    Never,
    /// `index`: at which log index it took effect, or the applied index that a question saw. `cached`:
    /// the client says that it was true there, and has been up to now.
    Answered { at: Instant, outcome: Outcome, index: u64, cached: bool },
    /// The client was told that it was not carried out and never will be.
    NotCarriedOut { at: Instant },
    /// The client gave up. A change may have taken effect, or may yet.
    Unknown { at: Instant },
}

/// One call of one client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Its place in the history, from 0.
    pub number: usize,
    /// Clients count from 0, in the order of the plan.
    pub client: usize,
    /// In whose name it asked.
    pub caller: Caller,
    /// Of a change that got as far as having one.
    pub request: Option<Request>,
    pub asked: Asked,
    pub called: Instant,
    pub ending: Ending,
}

impl Operation {
    /// When its client knew the answer.
    pub fn answered(&self) -> Option<(Instant, &Outcome, u64)> {
        match &self.ending {
            Ending::Answered { at, outcome, index, .. } => Some((*at, outcome, *index)),
            _ => None,
        }
    }

    /// When the call was over for its client, whatever it learned.
    pub fn ended(&self) -> Option<Instant> {
        match &self.ending {
            Ending::Never => None,
            Ending::Answered { at, .. } | Ending::NotCarriedOut { at } | Ending::Unknown { at } => Some(*at),
        }
    }

    /// Did its client answer it from what it was told before?
    pub fn is_cached(&self) -> bool {
        matches!(self.ending, Ending::Answered { cached: true, .. })
    }

    pub fn change(&self) -> Option<&Op> {
        match &self.asked {
            Asked::Change(operation) => Some(operation),
            Asked::Question(_) => None,
        }
    }

    /// The number the model knows it by: 0 is the root's there.
    pub fn maker(&self) -> u64 {
        self.number as u64 + 1
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operation {} of client-{} ", self.number, self.client + 1)?;
        if self.caller != Caller::ROOT {
            write!(f, "by {} ", self.caller.uid)?;
        }
        match &self.asked {
            Asked::Change(operation) => write!(f, "{operation:?}"),
            Asked::Question(query) => write!(f, "{query:?}"),
        }
    }
}

/// Every call of a run, in the order they were made.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History {
    operations: Vec<Operation>,
    by_request: BTreeMap<Request, usize>,
}

impl History {
    /// A call begins; gives its number.
    pub fn call(&mut self, client: usize, caller: Caller, asked: Asked, at: Instant) -> usize {
        let number = self.operations.len();
        let last = self.operations.last().map_or(Instant::ZERO, |operation| operation.called);
        assert!(last <= at, "calls are written down in the order of true time");
        self.operations.push(Operation {
            number,
            client,
            caller,
            request: None,
            asked,
            called: at,
            ending: Ending::Never,
        });
        number
    }

    /// The client gave the call its name, which stays through every retry. Only once: a change
    /// that is asked again under another name is another call. Gives the call that had it before,
    /// and keeps it, if there is one: that is never right.
    pub fn name(&mut self, number: usize, request: Request) -> Option<usize> {
        let operation = &mut self.operations[number];
        assert!(operation.request.is_none_or(|before| before == request), "a call changed its name");
        operation.request = Some(request);
        let holder = *self.by_request.entry(request).or_insert(number);
        (holder != number).then_some(holder)
    }

    pub fn end(&mut self, number: usize, ending: Ending) {
        let operation = &mut self.operations[number];
        assert_eq!(operation.ending, Ending::Never, "a call ends once");
        operation.ending = ending;
        assert!(operation.ended().is_none_or(|at| at >= operation.called), "a call ends after it began");
    }

    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    pub fn of_request(&self, request: Request) -> Option<&Operation> {
        self.by_request.get(&request).map(|number| &self.operations[*number])
    }

    /// Changes whose client was told that they were carried out or refused by the rules, with the
    /// outcome and the index.
    pub fn acknowledged(&self) -> impl Iterator<Item = (&Operation, &Outcome, u64)> {
        let changes = self.operations.iter().filter(|operation| operation.change().is_some());
        changes.filter_map(|change| change.answered().map(|(_, outcome, index)| (change, outcome, index)))
    }
}

/// What is committed at one index of a group's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    pub term: u64,
    /// The change that took effect here; none for everything else: an empty entry, a session's
    /// opening, a retry of what took effect before, a change that its session had no right to.
    pub request: Option<Request>,
    /// What the replica that told of it answered, where that is known.
    pub outcome: Option<Outcome>,
}

/// The committed log of a group, from what replicas said they applied.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CommitLog {
    entries: BTreeMap<u64, Committed>,
}

impl CommitLog {
    /// A replica applied this. An error if another one applied something else there.
    pub fn record(&mut self, index: u64, entry: &Committed) -> Result<(), Box<Committed>> {
        let known = self.entries.entry(index).or_insert_with(|| entry.clone());
        let outcome_differs =
            known.outcome.is_some() && entry.outcome.is_some() && known.outcome != entry.outcome;
        if known.term != entry.term || known.request != entry.request || outcome_differs {
            return Err(Box::new(known.clone()));
        }
        if known.outcome.is_none() {
            known.outcome.clone_from(&entry.outcome);
        }
        Ok(())
    }

    pub fn get(&self, index: u64) -> Option<&Committed> {
        self.entries.get(&index)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u64, &Committed)> {
        self.entries.iter().map(|(index, entry)| (*index, entry))
    }

    pub fn last(&self) -> u64 {
        self.entries.last_key_value().map_or(0, |(index, _)| *index)
    }

    /// The first index below the last that no replica told of: the log is no witness then.
    pub fn hole(&self) -> Option<u64> {
        let (first, _) = self.entries.first_key_value()?;
        let mut expected = (*first..).zip(self.entries.keys());
        expected.find(|(expected, index)| expected != *index).map(|(expected, _)| expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(term: u64) -> Committed {
        Committed { term, request: None, outcome: None }
    }

    #[test]
    fn replicas_that_disagree_on_an_entry_are_told_apart() {
        let mut log = CommitLog::default();
        assert_eq!(log.record(7, &entry(1)), Ok(()));
        assert_eq!(log.record(7, &entry(1)), Ok(()));
        assert_eq!(log.record(7, &entry(2)), Err(Box::new(entry(1))));
        let request = Some(Request { session: SessionId(1), sequence: 1 });
        assert_eq!(log.record(7, &Committed { request, ..entry(1) }), Err(Box::new(entry(1))));
    }

    #[test]
    fn a_hole_in_the_log_is_found() {
        let mut log = CommitLog::default();
        assert_eq!(log.hole(), None);
        for index in [3, 4, 6] {
            assert_eq!(log.record(index, &entry(1)), Ok(()));
        }
        assert_eq!((log.hole(), log.last()), (Some(5), 6));
    }
}
