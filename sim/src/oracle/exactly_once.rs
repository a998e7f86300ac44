//! G7: a request takes effect once, however often it is sent.

use super::{End, Oracle, Promise, Violation};
use crate::history::{Ending, Request};
use mooseng_core::time::Instant;
use std::collections::BTreeMap;

pub struct ExactlyOnce;

/// Two calls go by one name: whichever comes second would be given the other's answer.
pub(super) fn named_twice(at: Instant, request: Request, number: usize, other: usize) -> Violation {
    let what = format!("operations {other} and {number} are both named {request}");
    Violation { operation: Some(number), ..ExactlyOnce.violation(at, what) }
}

impl Oracle for ExactlyOnce {
    fn name(&self) -> &'static str {
        "exactly-once"
    }

    fn promise(&self) -> Promise {
        Promise(7)
    }

    fn finish(&mut self, end: &End<'_>) -> Result<(), Violation> {
        let mut first: BTreeMap<Request, u64> = BTreeMap::new();
        for (index, entry) in end.log.iter() {
            let Some(request) = entry.request else { continue };
            let before = first.insert(request, index);
            let operation = end.history.of_request(request);
            let number = operation.map(|operation| operation.number);
            let about = operation.map_or_else(|| format!("request {request}"), |one| one.to_string());
            let what = match (before, operation.map(|operation| &operation.ending)) {
                (Some(before), _) => format!("{about} took effect at index {before} and again at {index}"),
                (None, Some(Ending::NotCarriedOut { .. })) => {
                    format!("{about} took effect at index {index}, against what its client was told")
                }
                (None, _) => continue,
            };
            return Err(Violation { operation: number, ..self.violation(end.at, what) });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, verdict};
    use super::*;
    use mooseng_core::namespace::Caller;
    use mooseng_core::time::Instant;

    #[test]
    fn a_retry_that_takes_effect_again_is_found() {
        let mut script = Script::new();
        let made = script.mkdir(0, "a");
        assert_eq!(verdict(ExactlyOnce, &script, &[]), None);
        script.commit(made.number);
        let violation = verdict(ExactlyOnce, &script, &[]).unwrap();
        assert_eq!((violation.oracle, violation.promise), ("exactly-once", Promise(7)));
        assert!(violation.what.contains("at index 1 and again at 2"), "{violation}");
    }

    #[test]
    fn what_was_called_off_and_happened_is_found() {
        let mut script = Script::new();
        let number = script.call_mkdir(0, "a");
        script.commit(number);
        script.history.end(number, Ending::NotCarriedOut { at: Instant::from_nanos(9_000) });
        let violation = verdict(ExactlyOnce, &script, &[]).unwrap();
        assert_eq!(violation.operation, Some(number));
    }

    #[test]
    fn two_calls_of_one_name_are_found() {
        let mut script = Script::new();
        let first = script.call_mkdir(0, "a");
        let second = script.call_mkdir(1, "a");
        let request = script.history.operations()[first].request.unwrap();
        let mut history = crate::history::History::default();
        for number in [first, second] {
            let asked = script.history.operations()[number].asked.clone();
            assert_eq!(history.call(number, Caller::ROOT, asked, script.now), number);
        }
        assert_eq!(history.name(first, request), None);
        assert_eq!(history.name(first, request), None);
        let holder = history.name(second, request).unwrap();
        let violation = named_twice(script.now, request, second, holder);
        assert_eq!((violation.oracle, violation.operation), ("exactly-once", Some(second)));
    }
}
