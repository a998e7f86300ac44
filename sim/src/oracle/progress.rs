//! G9: after the last fault is healed everything heals by itself: every call is answered again,
//! every replica serves, and all of them have arrived at the same place.

use super::{End, Observation, Oracle, Promise, Sight, Violation, seconds};
use crate::history::{Ending, Operation};
use mooseng_core::time::Instant;
use std::collections::BTreeSet;
use std::time::Duration;

pub struct Progress {
    clients: usize,
    /// How soon after the healing everything has to be as if nothing had happened.
    limit: Duration,
    healed: Option<Instant>,
}

impl Progress {
    pub fn new(clients: usize, limit: Duration) -> Self {
        Self { clients, limit, healed: None }
    }

    fn stuck(&self, operation: &Operation, healed: Instant, end: Instant) -> Option<String> {
        let waits_from = operation.called.max(healed);
        match operation.ending {
            Ending::Answered { at, .. } if at.since(waits_from) > self.limit => {
                Some(format!("was answered only after {}", seconds(at.since(waits_from))))
            }
            Ending::Answered { .. } => None,
            Ending::Never if end.since(waits_from) > self.limit => {
                Some(format!("has no answer after {}", seconds(end.since(waits_from))))
            }
            Ending::Never => None,
            // What was called while things still healed may have failed.
            Ending::NotCarriedOut { at } | Ending::Unknown { at } => (operation.called
                >= healed + self.limit)
                .then(|| format!("failed at {at}, {} after the healing", seconds(at.since(healed)))),
        }
    }

    fn replicas_arrived(&self, end: &End<'_>) -> Result<(), Violation> {
        let serving = end.replicas.iter().filter(|replica| replica.serving);
        let serving: Vec<_> = serving.collect();
        if serving.len() < end.serving {
            let what = format!("{} replicas serve, and {} have to", serving.len(), end.serving);
            return Err(self.violation(end.at, what));
        }
        match serving.iter().find(|replica| replica.applied < end.log.last()) {
            None => Ok(()),
            Some(behind) => {
                let (node, applied, last) = (behind.node, behind.applied, end.log.last());
                Err(self.violation(end.at, format!("{node} has applied index {applied} of {last}")))
            }
        }
    }
}

impl Oracle for Progress {
    fn name(&self) -> &'static str {
        "progress"
    }

    fn promise(&self) -> Promise {
        Promise(9)
    }

    fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        if matches!(seen.sight, Sight::Healed) {
            self.healed = Some(seen.at);
        }
        Ok(())
    }

    fn finish(&mut self, end: &End<'_>) -> Result<(), Violation> {
        let Some(healed) = self.healed else { return Ok(()) };
        if end.at.since(healed) <= self.limit {
            return Ok(()); // The run was cut short: it is too early to judge.
        }
        let mut went_on = BTreeSet::new();
        for operation in end.history.operations() {
            if let Some(how) = self.stuck(operation, healed, end.at) {
                let what = format!("{operation} {how}");
                return Err(Violation { operation: Some(operation.number), ..self.violation(end.at, what) });
            }
            if operation.answered().is_some_and(|(at, _, _)| at >= healed) {
                went_on.insert(operation.client);
            }
        }
        if let Some(client) = (0..self.clients).find(|client| !went_on.contains(client)) {
            let what = format!("client-{} had no answer since the healing at {healed}", client + 1);
            return Err(self.violation(end.at, what));
        }
        self.replicas_arrived(end)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, see, verdict};
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    fn healed(script: &Script) -> Progress {
        let mut oracle = Progress::new(1, LIMIT);
        assert_eq!(see(&mut oracle, script, Sight::Healed), Ok(()));
        oracle
    }

    #[test]
    fn going_on_is_not_reported() {
        let mut script = Script::new();
        let oracle = healed(&script);
        let made = script.mkdir(0, "a");
        script.wait(LIMIT * 2);
        let replica = script.replica(1, made.tree());
        assert_eq!(verdict(oracle, &script, &[replica]), None);
    }

    #[test]
    fn a_call_that_is_never_answered_is_found() {
        let mut script = Script::new();
        let number = script.call_mkdir(0, "a");
        let oracle = healed(&script);
        script.wait(LIMIT * 2);
        let violation = verdict(oracle, &script, &[]).unwrap();
        assert_eq!((violation.oracle, violation.promise), ("progress", Promise(9)));
        assert_eq!(violation.operation, Some(number));
        assert!(violation.what.contains("has no answer after 10.000 s"), "{violation}");
    }

    #[test]
    fn a_call_that_fails_long_after_the_healing_is_found() {
        let mut script = Script::new();
        let oracle = healed(&script);
        script.mkdir(0, "a");
        script.wait(LIMIT * 2);
        let number = script.call_mkdir(0, "b");
        script.wait(Duration::from_secs(1));
        script.history.end(number, Ending::Unknown { at: script.now });
        assert_eq!(verdict(oracle, &script, &[]).unwrap().operation, Some(number));
    }

    #[test]
    fn a_client_that_does_nothing_any_more_is_found() {
        let mut script = Script::new();
        script.mkdir(0, "a");
        script.wait(Duration::from_secs(1));
        let oracle = healed(&script);
        script.wait(LIMIT * 2);
        let violation = verdict(oracle, &script, &[]).unwrap();
        assert!(violation.what.contains("client-1 had no answer since"), "{violation}");
    }

    #[test]
    fn a_replica_that_stays_behind_or_away_is_found() {
        let mut script = Script::new();
        let made = script.mkdir(0, "a");
        let mut replica = script.replica(1, made.tree());
        script.mkdir(0, "b");
        let oracle = healed(&script);
        script.mkdir(0, "c");
        script.wait(LIMIT * 2);
        let violation = verdict(oracle, &script, &[replica.clone()]).unwrap();
        assert_eq!(violation.what, "meta-1 has applied index 1 of 3");
        replica.serving = false;
        let mut oracle = Progress::new(1, LIMIT);
        oracle.healed = Some(Instant::ZERO);
        let violation = verdict(oracle, &script, &[replica]).unwrap();
        assert_eq!(violation.what, "0 replicas serve, and 1 have to");
    }
}
