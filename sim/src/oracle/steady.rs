//! G6, the other way round: nobody is replaced who does not have to be. On a good day with default
//! settings one leader is elected, and stays in office as long as nothing happens that excuses an
//! election: not under load, and not while disks stall for a moment.

use super::{Observation, Oracle, Promise, Sight, Violation};
use crate::plan::Member;
use mooseng_core::event::Event;

pub struct Steady {
    /// `false`: the settings of this run promise nothing, or something has happened.
    promised: bool,
    leader: Option<Member>,
}

impl Steady {
    pub fn new(promised: bool) -> Self {
        Self { promised, leader: None }
    }
}

impl Oracle for Steady {
    fn name(&self) -> &'static str {
        "steady"
    }

    fn promise(&self) -> Promise {
        Promise(6)
    }

    fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        match seen.sight {
            Sight::WentDown { .. } | Sight::FaultBegan { excuses: true } | Sight::Healed => {
                self.promised = false;
            }
            Sight::Event { node, event: Event::Elected { term, .. } } if self.promised => {
                if let Some(before) = self.leader.replace(node) {
                    let what = format!("{node} was elected in term {term}: {before} led, and was well");
                    return Err(self.violation(seen.at, what));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Down;
    use super::super::testing::{GROUP, Script, see};
    use super::*;
    use mooseng_core::id::ReplicaId;

    fn elect(oracle: &mut Steady, server: u32) -> Result<(), Violation> {
        let term = u64::from(server);
        let event = Event::Elected { group: GROUP, replica: ReplicaId(term), term };
        see(oracle, &Script::new(), Sight::Event { node: Member::Server(server), event: &event })
    }

    #[test]
    fn a_leader_replaced_for_nothing_is_found() {
        let mut oracle = Steady::new(true);
        assert_eq!(elect(&mut oracle, 1), Ok(()));
        assert_eq!(see(&mut oracle, &Script::new(), Sight::FaultBegan { excuses: false }), Ok(()));
        let violation = elect(&mut oracle, 2).unwrap_err();
        assert_eq!((violation.oracle, violation.promise), ("steady", Promise(6)));
        assert_eq!(violation.what, "meta-2 was elected in term 2: meta-1 led, and was well");
    }

    #[test]
    fn a_fault_excuses_an_election() {
        let down = Sight::WentDown { node: Member::Server(1), how: Down::Paused };
        for excuse in [down, Sight::FaultBegan { excuses: true }, Sight::Healed] {
            let mut oracle = Steady::new(true);
            assert_eq!(elect(&mut oracle, 1), Ok(()));
            assert_eq!(see(&mut oracle, &Script::new(), excuse), Ok(()));
            assert_eq!(elect(&mut oracle, 2), Ok(()));
        }
    }
}
