//! G1: operations are linearizable: each takes effect at one moment between call and answer.
//!
//! Two ways to judge. The **witness** is the system's own order: changes at the log index where
//! they were committed, questions behind the index they saw. In linear time it is held against the
//! clock and replayed on the model. It is checked, never trusted: an order that the answers do not
//! bear out is a violation, also if some other order would explain them, for it is not the order
//! that the replicas carried out. The **search** asks nobody: it looks for any order at all that
//! explains what the clients saw, and is for small histories.

mod partition;
mod search;
mod witness;

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;

pub use search::{Verdict, search};

use super::{End, Oracle, Promise, Violation};
use crate::model::Limits;

/// How many steps a search may take before it gives up without a verdict.
const SEARCH_STEPS_MAX: usize = 20_000;

pub struct Linearizable {
    limits: Limits,
    search_max: usize,
}

impl Linearizable {
    pub fn new(limits: impl Into<Limits>, search_max: usize) -> Self {
        Self { limits: limits.into(), search_max }
    }
}

impl Oracle for Linearizable {
    fn name(&self) -> &'static str {
        "linearizable"
    }

    fn promise(&self) -> Promise {
        Promise(1)
    }

    fn finish(&mut self, end: &End<'_>) -> Result<(), Violation> {
        witness::check(end.history, end.log, self.limits).map_err(|wrong| Violation {
            operation: wrong.operation,
            expected: wrong.expected,
            ..self.violation(wrong.at.unwrap_or(end.at), wrong.what)
        })?;
        if end.history.operations().len() > self.search_max {
            return Ok(());
        }
        match search(end.history, self.limits, SEARCH_STEPS_MAX) {
            Verdict::Explained | Verdict::GaveUp => Ok(()),
            Verdict::Unexplained { operation } => {
                let about = &end.history.operations()[operation];
                let at = about.ended().unwrap_or(end.at);
                let what = format!("no order of the operations explains the answers; stuck at {about}");
                Err(Violation { operation: Some(operation), ..self.violation(at, what) })
            }
        }
    }
}
