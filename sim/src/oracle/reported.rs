//! G9, beyond the failures that a group is made for: what is lost is reported, and nobody waits for
//! ever. A server that does not serve at the end has said why; where all of them serve, everything
//! has to go on as if nothing had happened; and every call ends within its time, if only by saying
//! that there was no answer. Whoever is told in the end that a file is lost is not the first to hear of
//! it: who looks after the parts has said that slices have too few of them.

use super::progress::Progress;
use super::{Down, End, Observation, Oracle, Promise, Sight, Violation, seconds};
use crate::plan::Member;
use mooseng_core::event::Event;
use std::collections::BTreeSet;
use std::time::Duration;

/// What a call may take beyond its deadline: its client has to be told.
const TELLING_MAX: Duration = Duration::from_secs(2);

pub struct Reported {
    servers: u32,
    /// How long a call may take.
    call_max: Duration,
    /// `None` where losses may be invisible: then nobody can say why.
    progress: Option<Progress>,
    said_why: BTreeSet<Member>,
    /// Did a server say that slices have too few parts?
    said_lost: bool,
}

impl Reported {
    pub fn new(servers: u32, call_max: Duration, progress: Option<Progress>) -> Self {
        Self { servers, call_max, progress, said_why: BTreeSet::new(), said_lost: false }
    }

    fn every_call_ended(&self, end: &End<'_>) -> Result<(), Violation> {
        let limit = self.call_max + TELLING_MAX;
        let waits = |called: mooseng_core::time::Instant| end.at.since(called) > limit;
        let hanging = end.history.operations().iter().find(|one| one.ended().is_none() && waits(one.called));
        let Some(operation) = hanging else { return Ok(()) };
        let what =
            format!("{operation} hangs: nothing was heard for {}", seconds(end.at.since(operation.called)));
        Err(Violation { operation: Some(operation.number), ..self.violation(end.at, what) })
    }
}

/// Does a replica say by it that something is lost or in doubt?
fn is_report(event: &Event) -> bool {
    match event {
        Event::Fenced { .. } | Event::Recovered { waits: true, .. } => true,
        Event::Note(note) => note.contains("no replica here"),
        _ => false,
    }
}

impl Oracle for Reported {
    fn name(&self) -> &'static str {
        "reported"
    }

    fn promise(&self) -> Promise {
        Promise(9)
    }

    fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        match seen.sight {
            Sight::Event { node, event } if is_report(event) => drop(self.said_why.insert(node)),
            Sight::Event { event: Event::Note(note), .. } if note.contains("too few parts to be read") => {
                self.said_lost = true;
            }
            Sight::Unreadable { client, file, what, lost: true, last: true, .. } if !self.said_lost => {
                let what = format!("client-{} cannot read {file:?} ({what}), and nobody said so", client + 1);
                return Err(self.violation(seen.at, what));
            }
            Sight::WentDown { node, how: Down::Halted } => drop(self.said_why.insert(node)),
            _ => {}
        }
        self.progress.as_mut().map_or(Ok(()), |progress| progress.observe(seen))
    }

    fn finish(&mut self, end: &End<'_>) -> Result<(), Violation> {
        self.every_call_ended(end)?;
        let Some(progress) = &mut self.progress else { return Ok(()) };
        let serves = |node| end.replicas.iter().any(|replica| replica.node == node && replica.serving);
        let mut away = (1..=self.servers).map(Member::Server).filter(|node| !serves(*node)).peekable();
        if away.peek().is_none() {
            return progress.finish(end);
        }
        match away.find(|node| !self.said_why.contains(node)) {
            None => Ok(()),
            Some(silent) => {
                Err(self.violation(end.at, format!("{silent} does not serve and never said why")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{GROUP, Script, root_tree, see, verdict};
    use super::*;
    use mooseng_core::id::{InodeId, ReplicaId};

    const LIMIT: Duration = Duration::from_secs(5);

    fn oracle() -> Reported {
        Reported::new(1, LIMIT, Some(Progress::new(1, LIMIT)))
    }

    #[test]
    fn who_does_not_serve_has_to_say_why() {
        let script = Script::new();
        let violation = verdict(oracle(), &script, &[]).unwrap();
        assert_eq!((violation.oracle, violation.promise), ("reported", Promise(9)));
        assert_eq!(violation.what, "meta-1 does not serve and never said why");

        let mut oracle = oracle();
        let event = Event::Fenced { group: GROUP, replica: ReplicaId(1), reason: "it differs".to_owned() };
        let sight = Sight::Event { node: Member::Server(1), event: &event };
        assert_eq!(see(&mut oracle, &script, sight), Ok(()));
        assert_eq!(verdict(oracle, &script, &[]), None);
    }

    #[test]
    fn a_loss_that_nobody_spoke_of_before_is_found() {
        let lost = |last| {
            let (client, file, what) = (0, InodeId::ROOT, "too few parts");
            Sight::Unreadable { client, file, what, promised: false, lost: true, last }
        };
        let script = Script::new();
        let mut oracle = oracle();
        assert_eq!(see(&mut oracle, &script, lost(false)), Ok(()), "it may be said soon");
        let violation = see(&mut oracle, &script, lost(true)).unwrap_err();
        assert!(violation.what.ends_with("and nobody said so"), "{violation}");
        let event = Event::Note("2 slices have too few parts to be read, 7 among them".to_owned());
        let said = Sight::Event { node: Member::Server(1), event: &event };
        assert_eq!(see(&mut oracle, &script, said), Ok(()));
        assert_eq!(see(&mut oracle, &script, lost(true)), Ok(()));
    }

    #[test]
    fn where_everybody_serves_everything_goes_on() {
        let mut script = Script::new();
        let mut oracle = oracle();
        assert_eq!(see(&mut oracle, &script, Sight::Healed), Ok(()));
        script.wait(LIMIT * 2);
        let replica = script.replica(1, root_tree());
        let violation = verdict(oracle, &script, &[replica]).unwrap();
        assert_eq!(violation.oracle, "progress");
    }

    #[test]
    fn a_call_that_hangs_is_found_though_losses_are_invisible() {
        let mut script = Script::new();
        let number = script.call_mkdir(0, "a");
        let silent = || Reported::new(1, LIMIT, None);
        script.wait(LIMIT);
        assert_eq!(verdict(silent(), &script, &[]), None);
        script.wait(LIMIT);
        assert_eq!(verdict(silent(), &script, &[]).unwrap().operation, Some(number));
    }
}
