//! G10: memory, queues, logs and retries are bounded: nothing measured is ever above its limit.

use super::{Observation, Oracle, Promise, Sight, Violation};

pub struct Bounded;

impl Oracle for Bounded {
    fn name(&self) -> &'static str {
        "bounded"
    }

    fn promise(&self) -> Promise {
        Promise(10)
    }

    fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        match seen.sight {
            Sight::Measured { node, what, value, limit } if value > limit => {
                Err(self.violation(seen.at, format!("{node}: {what} is {value}, and the limit {limit}")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, see};
    use super::*;
    use crate::plan::Member;

    #[test]
    fn what_grows_beyond_its_limit_is_found() {
        let script = Script::new();
        let measured =
            |value| Sight::Measured { node: Member::Server(2), what: "queued bytes", value, limit: 100 };
        assert_eq!(see(&mut Bounded, &script, measured(100)), Ok(()));
        let violation = see(&mut Bounded, &script, measured(101)).unwrap_err();
        assert_eq!((violation.oracle, violation.promise), ("bounded", Promise(10)));
        assert_eq!(violation.what, "meta-2: queued bytes is 101, and the limit 100");
    }
}
