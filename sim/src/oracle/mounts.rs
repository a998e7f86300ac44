//! G5, through mounts: what one mount has done is seen by the next call of any other. While one of them
//! does something at a time, a model in sequence knows every answer: names, attributes, lengths, times,
//! listings, and the bytes that nobody else is writing.

use super::{Observation, Oracle, Promise, Sight, Violation};

pub struct Mounts;

impl Oracle for Mounts {
    fn name(&self) -> &'static str {
        "mounts"
    }

    fn promise(&self) -> Promise {
        Promise(5)
    }

    fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        match seen.sight {
            Sight::Mounted { client, what, expected: Some(expected) } => {
                let violation =
                    self.violation(seen.at, format!("the mount of client-{} answers {what}", client + 1));
                Err(Violation { expected: Some(expected.to_owned()), ..violation })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, see};
    use super::*;

    #[test]
    fn an_answer_that_cannot_be_is_found() {
        let answered = |expected| Sight::Mounted { client: 1, what: "a length of 9", expected };
        assert_eq!(see(&mut Mounts, &Script::new(), answered(None)), Ok(()));
        let violation = see(&mut Mounts, &Script::new(), answered(Some("a length of 8"))).unwrap_err();
        assert_eq!((violation.oracle, violation.promise), ("mounts", Promise(5)));
        assert_eq!(violation.what, "the mount of client-2 answers a length of 9");
        assert_eq!(violation.expected.as_deref(), Some("a length of 8"));
    }
}
