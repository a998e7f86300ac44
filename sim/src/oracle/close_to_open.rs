//! G5: close-to-open. What was acknowledged by a close or an fsync before a file was opened anywhere
//! is seen through that opening, and what it replaced is not.

use super::{Observation, Oracle, Promise, Sight, Violation};
use crate::model::contents::Verdict;

pub struct CloseToOpen;

impl Oracle for CloseToOpen {
    fn name(&self) -> &'static str {
        "close-to-open"
    }

    fn promise(&self) -> Promise {
        Promise(5)
    }

    fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        match seen.sight {
            // In the last look it is a matter of durability.
            Sight::Read { client, file, verdict: Verdict::Stale(what), last: false } => {
                Err(self.violation(seen.at, format!("client-{} read {file:?}: {what}", client + 1)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Kept, Script, see};
    use super::*;

    #[test]
    fn an_open_that_does_not_see_what_was_closed_is_found() {
        let kept = Kept::new(100);
        let right = kept.read(&kept.bytes());
        assert_eq!(see(&mut CloseToOpen, &Script::new(), kept.sight(&right, false)), Ok(()));
        for wrong in [kept.read(&kept.bytes()[..99]), kept.read(&[0; 100])] {
            let violation = see(&mut CloseToOpen, &Script::new(), kept.sight(&wrong, false)).unwrap_err();
            assert_eq!((violation.oracle, violation.promise), ("close-to-open", Promise(5)));
            assert!(violation.what.contains("acknowledged before"), "{}", violation.what);
        }
    }
}
