//! Which parts this server has answered a rebuild with, and when, so that a part that somebody was
//! just told of is not taken away by somebody who looked before. Pure.
//!
//! A rebuild may answer with a part that was here all the while: its incarnation says nothing about
//! how long it has been needed. The moment does.

use mooseng_core::id::PartId;
use mooseng_core::plant;
use std::collections::BTreeMap;

/// How many parts are remembered; for those forgotten, only later moments are good enough.
const REMEMBERED_MAX: usize = 65_536;

#[derive(Default, Debug)]
pub(crate) struct Rebuilt {
    /// Answers so far.
    count: u64,
    /// Everything answered up to this one is forgotten.
    forgotten: u64,
    last: BTreeMap<PartId, u64>,
    order: BTreeMap<u64, PartId>,
}

impl Rebuilt {
    pub(crate) fn moment(&self) -> u64 {
        self.count
    }

    /// A rebuild is about to be answered with this part.
    pub(crate) fn answered(&mut self, part: PartId) {
        self.count += 1;
        if let Some(before) = self.last.insert(part, self.count) {
            self.order.remove(&before);
        }
        self.order.insert(self.count, part);
        if self.last.len() > REMEMBERED_MAX
            && let Some((oldest, part)) = self.order.pop_first()
        {
            self.last.remove(&part);
            self.forgotten = oldest;
        }
    }

    /// May whoever looked at this moment say that the part is not needed here?
    pub(crate) fn may_go(&self, part: PartId, moment: u64) -> bool {
        let since =
            moment < self.forgotten || self.last.get(&part).is_some_and(|answered| *answered > moment);
        plant!("chunk-delete-forgets-rebuilds", !since, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::id::{SliceId, Slot};

    fn part(number: u64) -> PartId {
        PartId { slice: SliceId::new(0, Slot::new(1).unwrap(), number).unwrap(), index: 0 }
    }

    #[test]
    fn what_a_rebuild_was_answered_with_since_stays() {
        let mut rebuilt = Rebuilt::default();
        rebuilt.answered(part(1));
        let before = rebuilt.moment();
        rebuilt.answered(part(2));
        assert!(rebuilt.may_go(part(1), before) && !rebuilt.may_go(part(2), before));
        rebuilt.answered(part(1));
        assert!(!rebuilt.may_go(part(1), before) && rebuilt.may_go(part(1), rebuilt.moment()));
        assert!(rebuilt.may_go(part(3), before));
    }

    #[test]
    fn what_is_forgotten_counts_against_whoever_looked_before() {
        let mut rebuilt = Rebuilt::default();
        (0..REMEMBERED_MAX as u64 + 10).for_each(|number| rebuilt.answered(part(number + 1)));
        assert!(!rebuilt.may_go(part(1), 9) && rebuilt.may_go(part(1), 10));
        assert_eq!((rebuilt.last.len(), rebuilt.order.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
    }
}
