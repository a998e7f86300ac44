//! G10: a full disk is told. What makes the tree grow is refused while the leader's disk has no room for
//! it, and only then; what frees something is not refused for want of room.

use super::{Observation, Oracle, Promise, Sight, Violation};
use crate::history::{Ending, Operation};
use crate::plan::Member;
use mooseng_core::event::Event;
use mooseng_core::namespace::Op;
use mooseng_core::time::Instant;
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Room {
    /// Servers whose disk has no room, by their own word, and since when.
    short: BTreeMap<Member, Instant>,
    /// There has been one. Who was told of it may not have heard of the end.
    ever: bool,
    /// The newest term there is, and who leads in it since when.
    term: u64,
    leader: Option<(Member, Instant)>,
}

/// Is there more to remember afterwards than before? Said again rather than asked of [`Op::grows`], which is
/// what is judged.
fn grows(operation: &Op) -> bool {
    matches!(
        operation,
        Op::Mkdir { .. }
            | Op::Create { .. }
            | Op::Symlink { .. }
            | Op::Mknod { .. }
            | Op::Link { .. }
            | Op::SetXattr { .. }
            | Op::GrantSlices { .. }
    )
}

impl Room {
    /// Somebody was refused for want of room.
    fn refused(&self, operation: &Operation) -> Result<(), String> {
        if !operation.change().is_some_and(grows) {
            return Err(format!("{operation} was refused for want of room, and it needs none"));
        }
        if !self.ever {
            return Err(format!("{operation} was refused for want of room, and no disk was full"));
        }
        Ok(())
    }

    /// A call was answered by whoever leads.
    fn taken(&self, operation: &Operation) -> Result<(), String> {
        let Ending::Answered { outcome: Ok(_), cached: false, .. } = operation.ending else { return Ok(()) };
        let Some((leader, elected)) = self.leader else { return Ok(()) };
        let Some(short) = self.short.get(&leader) else { return Ok(()) };
        if operation.change().is_some_and(grows) && operation.called > elected.max(*short) {
            return Err(format!("{operation} was carried out by {leader}, whose disk is full since {short}"));
        }
        Ok(())
    }

    fn event(&mut self, at: Instant, node: Member, event: &Event) {
        match event {
            Event::Room { short: true, .. } => {
                self.ever = true;
                self.short.entry(node).or_insert(at);
            }
            // Who has begun anew has yet to look at its disk.
            Event::Room { short: false, .. } | Event::Recovered { .. } => drop(self.short.remove(&node)),
            Event::Elected { term, .. } if *term > self.term => {
                self.term = *term;
                self.leader = Some((node, at));
            }
            Event::SteppedDown { term, .. } if *term == self.term => self.leader = None,
            _ => {}
        }
    }
}

impl Oracle for Room {
    fn name(&self) -> &'static str {
        "room"
    }

    fn promise(&self) -> Promise {
        Promise(10)
    }

    fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        let (number, judged) = match seen.sight {
            Sight::Event { node, event } => {
                self.event(seen.at, node, event);
                return Ok(());
            }
            Sight::WentDown { node, .. } => {
                self.short.remove(&node);
                return Ok(());
            }
            Sight::NoRoom { number } => (number, self.refused(&seen.history.operations()[number])),
            Sight::Ended { number } => (number, self.taken(&seen.history.operations()[number])),
            _ => return Ok(()),
        };
        judged.map_err(|what| Violation { operation: Some(number), ..self.violation(seen.at, what) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Down;
    use super::super::testing::{GROUP, Script, see};
    use super::*;
    use crate::history::Asked;
    use mooseng_core::id::{InodeId, ReplicaId};
    use mooseng_core::namespace::Name;
    use std::time::Duration;

    const NODE: Member = Member::Server(1);

    fn room(short: bool) -> Event {
        Event::Room { group: GROUP, replica: ReplicaId(1), short, free_bytes: 7, kept_bytes: 8 }
    }

    fn tell(oracle: &mut Room, script: &Script, event: &Event) {
        assert_eq!(see(oracle, script, Sight::Event { node: NODE, event }), Ok(()));
    }

    /// It leads, and its disk is full.
    fn full(script: &mut Script) -> Room {
        let mut oracle = Room::default();
        tell(&mut oracle, script, &Event::Elected { group: GROUP, replica: ReplicaId(1), term: 3 });
        tell(&mut oracle, script, &room(true));
        script.wait(Duration::from_secs(1));
        oracle
    }

    #[test]
    fn what_needs_no_room_is_not_refused_for_want_of_it() {
        let mut script = Script::new();
        let mut oracle = full(&mut script);
        let grown = script.call_mkdir(0, "a");
        assert_eq!(see(&mut oracle, &script, Sight::NoRoom { number: grown }), Ok(()));
        let name = Name::new(b"a".to_vec()).unwrap();
        let freed = script.call(0, Asked::Change(Op::Rmdir { parent: InodeId::ROOT, name }));
        let violation = see(&mut oracle, &script, Sight::NoRoom { number: freed }).unwrap_err();
        assert_eq!((violation.oracle, violation.operation), ("room", Some(freed)));
        assert!(violation.what.ends_with("and it needs none"), "{violation}");
    }

    #[test]
    fn nothing_is_refused_while_there_is_room() {
        let mut script = Script::new();
        let number = script.call_mkdir(0, "a");
        let violation = see(&mut Room::default(), &script, Sight::NoRoom { number }).unwrap_err();
        assert!(violation.what.ends_with("and no disk was full"), "{violation}");
    }

    #[test]
    fn growth_that_is_taken_on_a_full_disk_is_found() {
        let mut script = Script::new();
        let mut oracle = full(&mut script);
        let made = script.mkdir(0, "a");
        let ended = Sight::Ended { number: made.number };
        let violation = see(&mut oracle, &script, ended.clone()).unwrap_err();
        assert!(violation.what.contains("meta-1, whose disk is full"), "{violation}");
        let down = Sight::WentDown { node: NODE, how: Down::Paused };
        for excuse in [down, Sight::Event { node: NODE, event: &room(false) }] {
            let mut oracle = full(&mut Script::new());
            assert_eq!(see(&mut oracle, &script, excuse), Ok(()));
            assert_eq!(see(&mut oracle, &script, ended.clone()), Ok(()));
        }
    }

    #[test]
    fn what_was_asked_before_may_still_be_taken() {
        let mut script = Script::new();
        let made = script.mkdir(0, "a");
        script.wait(Duration::from_secs(1));
        let mut oracle = full(&mut script);
        assert_eq!(see(&mut oracle, &script, Sight::Ended { number: made.number }), Ok(()));
    }
}
