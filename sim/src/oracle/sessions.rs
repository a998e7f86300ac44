//! G5: no session ends before what it was granted has run out. Whatever a client holds by its session
//! (its cache, its locks, its open files) is good until then; the client counts by its own clock, from
//! before it asked, and clocks keep within their documented bound.

use super::{Observation, Oracle, Promise, Sight, Violation, seconds};

pub struct Sessions {
    /// Beyond their bound clocks say nothing about when a grant has run out.
    clocks_keep_their_bound: bool,
}

impl Sessions {
    pub fn new(clocks_keep_their_bound: bool) -> Self {
        Self { clocks_keep_their_bound }
    }
}

impl Oracle for Sessions {
    fn name(&self) -> &'static str {
        "sessions"
    }

    fn promise(&self) -> Promise {
        Promise(5)
    }

    fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        let Sight::SessionLost { client, told, granted_until } = seen.sight else { return Ok(()) };
        if told >= granted_until || !self.clocks_keep_their_bound {
            return Ok(());
        }
        let early = seconds(granted_until.since(told));
        let what = format!("the session of client-{} was ended {early} before its time", client + 1);
        Err(self.violation(seen.at, what))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, see};
    use super::*;
    use mooseng_core::time::Instant;

    fn lost(told_ms: u64) -> Sight<'static> {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        Sight::SessionLost { client: 1, told: at(told_ms), granted_until: at(7_000) }
    }

    #[test]
    fn a_session_that_is_ended_early_is_found() {
        let script = Script::new();
        assert_eq!(see(&mut Sessions::new(true), &script, lost(7_000)), Ok(()));
        let violation = see(&mut Sessions::new(true), &script, lost(6_500)).unwrap_err();
        assert_eq!((violation.oracle, violation.promise), ("sessions", Promise(5)));
        assert_eq!(violation.what, "the session of client-2 was ended 0.500 s before its time");
    }

    #[test]
    fn clocks_beyond_their_bound_are_no_witnesses() {
        assert_eq!(see(&mut Sessions::new(false), &Script::new(), lost(1)), Ok(()));
    }
}
