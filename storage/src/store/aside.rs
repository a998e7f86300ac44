//! Parts that are set aside, in the order in which they were found damaged, so that whoever has been
//! told of some can ask for those found since. Pure.

use mooseng_core::id::PartId;
use std::collections::BTreeMap;
use std::ops::Bound;

#[derive(Default, Debug)]
pub(super) struct Aside {
    parts: BTreeMap<PartId, u64>,
    found: BTreeMap<u64, PartId>,
    last: u64,
}

impl Aside {
    /// One that is here already keeps its number.
    pub(super) fn add(&mut self, part: PartId) {
        if !self.parts.contains_key(&part) {
            self.last += 1;
            self.parts.insert(part, self.last);
            self.found.insert(self.last, part);
        }
    }

    pub(super) fn remove(&mut self, part: PartId) {
        if let Some(number) = self.parts.remove(&part) {
            self.found.remove(&number);
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.parts.len() as u64
    }

    /// Up to `limit` found behind number `after`, each with its number, which is never 0.
    pub(super) fn behind(&self, after: u64, limit: usize) -> Vec<(u64, PartId)> {
        let rest = self.found.range((Bound::Excluded(after), Bound::Unbounded));
        rest.take(limit).map(|(number, part)| (*number, *part)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::id::{SliceId, Slot};

    #[test]
    fn what_was_found_since_is_found_once() {
        let part =
            |number| PartId { slice: SliceId::new(0, Slot::new(1).unwrap(), number).unwrap(), index: 0 };
        let mut aside = Aside::default();
        for number in [7, 3, 7, 5] {
            aside.add(part(number));
        }
        assert_eq!(aside.behind(0, 2), [(1, part(7)), (2, part(3))]);
        assert_eq!(aside.behind(2, 9), [(3, part(5))]);
        aside.remove(part(3));
        aside.remove(part(4));
        assert_eq!((aside.len(), aside.behind(0, 9)), (2, vec![(1, part(7)), (3, part(5))]));
        aside.add(part(3));
        assert_eq!(aside.behind(3, 9), [(4, part(3))], "found again");
    }
}
