//! G4: a read returns bytes that were written there, or an error. Never other bytes: not rotten ones,
//! not another file's or another place's, and none that are torn.

use super::{Observation, Oracle, Promise, Sight, Violation};
use crate::model::contents::Verdict;

pub struct Contents;

impl Oracle for Contents {
    fn name(&self) -> &'static str {
        "contents"
    }

    fn promise(&self) -> Promise {
        Promise(4)
    }

    fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        match seen.sight {
            Sight::Read { client, file, verdict: Verdict::Foreign(what), .. } => {
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
    fn bytes_that_nobody_wrote_are_found() {
        let kept = Kept::new(100);
        let mut bytes = kept.bytes();
        let right = kept.read(&bytes);
        assert_eq!(see(&mut Contents, &Script::new(), kept.sight(&right, false)), Ok(()));
        bytes[50] ^= 1;
        let wrong = kept.read(&bytes);
        let violation = see(&mut Contents, &Script::new(), kept.sight(&wrong, false)).unwrap_err();
        assert_eq!((violation.oracle, violation.promise), ("contents", Promise(4)));
        assert!(violation.what.contains("at offset 50 is"), "{}", violation.what);
        let stale = kept.read(&[]);
        assert_eq!(see(&mut Contents, &Script::new(), kept.sight(&stale, true)), Ok(()), "not its business");
    }
}
