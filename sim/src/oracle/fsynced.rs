//! G3: after fsync or close returned, the data survives the loss of as many servers as its class is
//! made for. In the last look, when everything is healed and as many servers as may be lost are gone
//! again, all of it is there; and nobody is ever told that it is lost where no more was lost than its
//! class is made for, whatever became of other files.

use super::{Observation, Oracle, Promise, Sight, Violation};
use crate::model::contents::Verdict;

pub struct Fsynced;

impl Oracle for Fsynced {
    fn name(&self) -> &'static str {
        "fsynced"
    }

    fn promise(&self) -> Promise {
        Promise(3)
    }

    fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        match seen.sight {
            Sight::Read { client, file, verdict: Verdict::Stale(what), last: true } => {
                Err(self.violation(seen.at, format!("client-{} read {file:?}: {what}", client + 1)))
            }
            Sight::Unreadable { client, file, what, promised: true, lost, last } if lost || last => {
                let what = format!("client-{} cannot read {file:?}: {what}", client + 1);
                Err(self.violation(seen.at, what))
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
    fn acknowledged_bytes_that_are_gone_in_the_end_are_found() {
        let kept = Kept::new(100);
        let mut oracle = Fsynced;
        let right = kept.read(&kept.bytes());
        assert_eq!(see(&mut oracle, &Script::new(), kept.sight(&right, true)), Ok(()));
        let gone = kept.read(&[]);
        let violation = see(&mut oracle, &Script::new(), kept.sight(&gone, true)).unwrap_err();
        assert_eq!((violation.oracle, violation.promise), ("fsynced", Promise(3)));
    }

    #[test]
    fn what_cannot_be_read_any_more_is_found_unless_it_had_to_be_expected() {
        let unreadable = |promised, lost, last| Sight::Unreadable {
            client: 0,
            file: Kept::new(1).file,
            what: "too few parts",
            promised,
            lost,
            last,
        };
        let says = |sight| see(&mut Fsynced, &Script::new(), sight);
        assert!(says(unreadable(true, true, false)).is_err());
        assert!(says(unreadable(true, false, true)).is_err());
        assert_eq!(says(unreadable(true, false, false)), Ok(()), "servers are down");
        assert_eq!(says(unreadable(false, true, true)), Ok(()), "nothing was promised of it");
    }
}
