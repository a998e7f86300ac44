//! Which fault strikes when: keeps the plan's faults until their occasion, and turns the parts that
//! nodes play (`leader`, `follower-1`, `there`) into the nodes that play them then. Pure: told what
//! happens, it says what is due.

use crate::machine::{Fault, Trigger};
use crate::plan::{Milestone, PlannedFault, renamed};
use mooseng_core::time::Instant;
use std::collections::BTreeMap;

/// Who plays which part now.
#[derive(Clone, Debug, Default)]
pub(super) struct Cast {
    /// Servers by name, in their order.
    pub(super) servers: Vec<String>,
    pub(super) leader: Option<usize>,
}

impl Cast {
    /// The node that a plan means by `name`; `None` if nobody plays that part.
    fn node(&self, name: &str) -> Option<String> {
        if name == "leader" {
            // Before anybody was elected the first server stands in: the fault must not be lost.
            return self.servers.get(self.leader.unwrap_or(0)).cloned();
        }
        match name.strip_prefix("follower-").map(str::parse::<usize>) {
            None => Some(name.to_owned()),
            Some(Err(_)) => None,
            Some(Ok(number)) => {
                let leader = self.leader.unwrap_or(0);
                let followers = self.servers.iter().enumerate().filter(|(index, _)| *index != leader);
                followers.map(|(_, server)| server.clone()).nth(number.checked_sub(1)?)
            }
        }
    }
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Strike(Fault),
    /// Strikes when the node meets the operation.
    Arm(Trigger),
}

#[derive(Default)]
pub(super) struct Agenda {
    /// By moment, and by place in the plan.
    timed: BTreeMap<(Instant, usize), PlannedFault>,
    /// By milestone and how often it has to be met still.
    awaited: Vec<(Milestone, u32, usize, PlannedFault)>,
    met: BTreeMap<Milestone, u32>,
    /// When each fault of the plan was due, so far as its occasion came.
    pub(super) came: Vec<Option<Instant>>,
}

impl Agenda {
    pub(super) fn new(faults: &[PlannedFault]) -> Self {
        let mut agenda = Self { came: vec![None; faults.len()], ..Self::default() };
        for (number, planned) in faults.iter().enumerate() {
            match planned.when.after {
                None => {
                    agenda.timed.insert((Instant::ZERO + planned.when.wait, number), planned.clone());
                }
                Some((milestone, count)) => agenda.awaited.push((milestone, count, number, planned.clone())),
            }
        }
        agenda
    }

    /// Nothing is due from now on.
    pub(super) fn close(&mut self) {
        self.timed.clear();
        self.awaited.clear();
    }

    /// When something is due next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.timed.first_key_value().map(|((at, _), _)| *at)
    }

    /// Does anything wait for such a milestone?
    pub(super) fn awaits(&self, milestone: Milestone) -> bool {
        self.awaited.iter().any(|(awaited, ..)| *awaited == milestone)
    }

    /// A milestone was met, by a server if `place` names one. True if that put something on the list.
    pub(super) fn meet(&mut self, milestone: Milestone, place: Option<&str>, now: Instant) -> bool {
        let met = self.met.entry(milestone).or_default();
        *met += 1;
        let met = *met;
        let before = self.timed.len();
        let (ripe, awaited) = std::mem::take(&mut self.awaited)
            .into_iter()
            .partition(|(awaited, count, ..)| *awaited == milestone && *count <= met);
        self.awaited = awaited;
        let ripe: Vec<(Milestone, u32, usize, PlannedFault)> = ripe;
        for (_, _, number, planned) in ripe {
            let there = |name: &str| match name {
                "there" => place.map(str::to_owned),
                other => Some(other.to_owned()),
            };
            if let Some(planned) = planned.renamed(&there) {
                self.timed.insert((now + planned.when.wait, number), planned);
            }
        }
        self.timed.len() > before
    }

    /// Takes what is due at `now`.
    pub(super) fn take(&mut self, now: Instant, cast: &Cast) -> Vec<Due> {
        let mut due = Vec::new();
        while let Some(entry) = self.timed.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((_, number), planned) = entry.remove_entry();
            self.came[number] = Some(now);
            due.extend(cast_one(&planned, cast));
        }
        due
    }
}

fn cast_one(planned: &PlannedFault, cast: &Cast) -> Option<Due> {
    let fault = renamed(&planned.fault, &|name| cast.node(name))?;
    let Some(operations) = &planned.when.then else { return Some(Due::Strike(fault)) };
    let node = cast.node(&operations.node)?;
    Some(Due::Arm(Trigger {
        node,
        kind: operations.kind,
        count: operations.count,
        moment: operations.moment,
        prefix: operations.prefix.clone(),
        faults: vec![fault],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Moment, OperationKind};
    use crate::plan::When;
    use std::time::Duration;

    fn crash(node: &str) -> Fault {
        Fault::Crash { node: node.to_owned(), restart_ms: None }
    }

    fn cast(leader: usize) -> Cast {
        Cast { servers: ["meta-1", "meta-2", "meta-3"].map(str::to_owned).to_vec(), leader: Some(leader) }
    }

    #[test]
    fn parts_are_given_out_when_the_fault_strikes() {
        let faults = [
            PlannedFault { when: When::at(Duration::from_secs(1)), fault: crash("leader") },
            PlannedFault { when: When::at(Duration::from_secs(1)), fault: crash("follower-2") },
            PlannedFault { when: When::at(Duration::from_secs(1)), fault: crash("follower-3") },
            PlannedFault { when: When::at(Duration::from_secs(2)), fault: crash("client-1") },
        ];
        let mut agenda = Agenda::new(&faults);
        assert_eq!(agenda.take(Instant::from_nanos(999_999_999), &cast(1)), []);
        let due = agenda.take(Instant::from_nanos(1_000_000_000), &cast(1));
        assert_eq!(due, [Due::Strike(crash("meta-2")), Due::Strike(crash("meta-3"))]);
        assert_eq!(agenda.next(), Some(Instant::from_nanos(2_000_000_000)));
    }

    #[test]
    fn a_fault_waits_for_its_milestone_and_then_for_its_operation() {
        let when = When::after(Milestone::Elected, 2).then("leader", OperationKind::Sync, 2, Moment::Before);
        let mut agenda = Agenda::new(&[PlannedFault { when, fault: crash("leader") }]);
        let now = Instant::from_nanos(5);
        assert!(!agenda.meet(Milestone::Elected, Some("meta-3"), now));
        assert!(!agenda.meet(Milestone::Applied, Some("meta-3"), now));
        assert!(agenda.meet(Milestone::Elected, Some("meta-3"), now));
        let due = agenda.take(now, &cast(2));
        let [Due::Arm(trigger)] = &due[..] else { panic!("{due:?}") };
        assert_eq!((trigger.node.as_str(), &trigger.faults[..]), ("meta-3", &[crash("meta-3")][..]));
        assert!(!agenda.meet(Milestone::Elected, Some("meta-3"), now));
    }

    #[test]
    fn a_fault_strikes_where_its_milestone_was_met() {
        let faults = [Milestone::Voted, Milestone::Answered]
            .map(|milestone| PlannedFault { when: When::after(milestone, 1), fault: crash("there") });
        let mut agenda = Agenda::new(&faults);
        let now = Instant::from_nanos(5);
        assert!(agenda.meet(Milestone::Voted, Some("meta-2"), now));
        assert!(!agenda.meet(Milestone::Answered, None, now), "a client is not there");
        assert_eq!(agenda.take(now, &cast(0)), [Due::Strike(crash("meta-2"))]);
    }
}
