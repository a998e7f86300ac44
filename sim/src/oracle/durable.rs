//! G2: what was acknowledged is there at the end: in the committed history, and in the state of
//! every replica that serves and has come so far. One that is behind has lost nothing yet; that all
//! of them are is a loss.

use super::{End, FinalReplica, Oracle, Promise, Violation};
use crate::history::{Asked, History};
use crate::model::{Limits, Model};
use mooseng_core::namespace::{Caller, Outcome, Query};

pub struct Durable {
    limits: Limits,
}

impl Durable {
    pub fn new(limits: impl Into<Limits>) -> Self {
        Self { limits: limits.into() }
    }

    /// Every acknowledged change has its place in the committed log.
    fn committed(&self, end: &End<'_>) -> Result<(), Violation> {
        for (operation, _, index) in end.history.acknowledged() {
            let entry = end.log.get(index);
            if operation.request.is_none() || entry.is_none_or(|entry| entry.request != operation.request) {
                let held = entry.map_or("nothing".to_owned(), |entry| match entry.request {
                    Some(request) => format!("request {request}"),
                    None => "no change".to_owned(),
                });
                let what = format!("{operation} was acknowledged at index {index}, which holds {held}");
                return Err(Violation { operation: Some(operation.number), ..self.violation(end.at, what) });
            }
        }
        Ok(())
    }

    /// Somebody serves a state that every acknowledged change is in.
    fn reached(&self, end: &End<'_>) -> Result<(), Violation> {
        let serving = end.replicas.iter().filter(|replica| replica.serving);
        // Fewer serve nobody: they may hold more than they know to be committed.
        if serving.clone().count() < end.quorum {
            return Ok(());
        }
        let Some(furthest) = serving.max_by_key(|replica| replica.applied) else { return Ok(()) };
        match end.history.acknowledged().find(|(_, _, index)| *index > furthest.applied) {
            None => Ok(()),
            Some((operation, _, index)) => {
                let (node, applied) = (furthest.node, furthest.applied);
                let what = format!(
                    "nobody serves more than the state of index {applied} on {node}, without {operation} of \
                     index {index}"
                );
                Err(Violation { operation: Some(operation.number), ..self.violation(end.at, what) })
            }
        }
    }

    /// The replica holds what the committed log makes, as far as it has come. Answers to questions
    /// are replayed too: where nobody heard what a creation answered, they tell what it made.
    fn held_by(&self, replica: &FinalReplica, end: &End<'_>) -> Result<(), Violation> {
        let mut model = Model::new(self.limits);
        let mut questions = questions(end.history).into_iter().peekable();
        for (index, entry) in end.log.iter().take_while(|(index, _)| *index <= replica.applied) {
            while let Some((_, caller, query, outcome)) = questions.next_if(|(seen, ..)| *seen < index) {
                if model.answer_as(caller, query, outcome).is_err() {
                    return Ok(()); // As below.
                }
            }
            let operation = entry.request.and_then(|request| end.history.of_request(request));
            let Some((operation, change)) = operation.and_then(|one| Some((one, one.change()?))) else {
                continue;
            };
            let heard = operation.answered().map(|(_, outcome, _)| outcome).or(entry.outcome.as_ref());
            let session = operation.request.map(|request| request.session);
            let caller = &operation.caller;
            if model.carry_out_of(session, caller, operation.maker(), change, heard).is_err() {
                return Ok(()); // The answer was wrong: that is another promise.
            }
        }
        model.compare(&replica.tree).map_err(|expected| Violation {
            expected: Some(expected),
            ..self.violation(end.at, format!("{} holds something else than was committed", replica.node))
        })
    }
}

/// The questions that were answered, in the order of what they saw.
fn questions(history: &History) -> Vec<(u64, &Caller, &Query, &Outcome)> {
    let answered = history.operations().iter().filter_map(|operation| {
        let Asked::Question(query) = &operation.asked else { return None };
        let (_, outcome, index) = operation.answered()?;
        Some((index, &operation.caller, query, outcome))
    });
    let mut questions: Vec<_> = answered.collect();
    questions.sort_by_key(|(index, ..)| *index);
    questions
}

impl Oracle for Durable {
    fn name(&self) -> &'static str {
        "durable"
    }

    fn promise(&self) -> Promise {
        Promise(2)
    }

    fn finish(&mut self, end: &End<'_>) -> Result<(), Violation> {
        self.committed(end)?;
        self.reached(end)?;
        end.replicas.iter().filter(|one| one.serving).try_for_each(|replica| self.held_by(replica, end))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, root_tree, verdict};
    use super::*;

    fn oracle() -> Durable {
        Durable::new(100)
    }

    #[test]
    fn what_is_kept_is_not_reported() {
        let mut script = Script::new();
        let made = script.mkdir(0, "a");
        let replica = script.replica(1, made.tree());
        assert_eq!(verdict(oracle(), &script, &[replica]), None);
    }

    #[test]
    fn an_acknowledged_change_that_was_never_committed_is_found() {
        let mut script = Script::new();
        let made = script.mkdir(0, "a");
        script.forget(made.number);
        let violation = verdict(oracle(), &script, &[]).unwrap();
        assert_eq!(
            (violation.oracle, violation.promise, violation.operation),
            ("durable", Promise(2), Some(0))
        );
    }

    #[test]
    fn an_old_state_on_all_who_serve_is_found() {
        let mut script = Script::new();
        let made = script.mkdir(0, "a");
        let mut replica = script.replica(2, root_tree());
        replica.applied = 0;
        let violation = verdict(oracle(), &script, std::slice::from_ref(&replica)).unwrap();
        assert!(violation.what.contains("the state of index 0 on meta-2"), "{violation}");
        let ahead = script.replica(1, made.tree());
        assert_eq!(verdict(oracle(), &script, &[replica.clone(), ahead]), None);
        replica.serving = false;
        assert_eq!(verdict(oracle(), &script, &[replica]), None);
    }

    #[test]
    fn a_replica_that_lost_the_effect_is_found() {
        let mut script = Script::new();
        script.mkdir(0, "a");
        let replica = script.replica(3, root_tree());
        let violation = verdict(oracle(), &script, &[replica]).unwrap();
        assert!(violation.expected.unwrap().contains("the name \"a\""), "{}", violation.what);
    }
}
