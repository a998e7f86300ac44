//! Changes that are under way, and those that wait until nobody holds a lease on what they touch.
//! Changes about one name go one after the other, in the order in which they came: what a name leads
//! to is then known when a change goes its way, and stays so until it is applied.

use super::Leases;
use super::touched::{Key, keys, touched};
use crate::state::State;
use mooseng_core::id::{InodeId, SessionId};
use mooseng_core::namespace::Op;
use mooseng_core::time::Instant;
use mooseng_core::{plant, probe};
use std::collections::{BTreeMap, BTreeSet};

/// Whose change it is, and of what its client has dropped what the change may change.
#[derive(Clone, Copy, Debug)]
pub struct Changer<'a> {
    pub session: SessionId,
    pub op: &'a Op,
    /// The epoch of the leases that were dropped.
    pub epoch: u64,
    pub dropped: &'a [InodeId],
}

#[derive(Clone, Debug, Default)]
struct Change {
    keys: Vec<Key>,
    inodes: Vec<InodeId>,
}

/// By numbers, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    last: u64,
    under_way: BTreeMap<u64, Change>,
    /// How many of them touch an inode.
    touched: BTreeMap<InodeId, u32>,
    /// Who is about a name: the first of them goes, the others wait.
    names: BTreeMap<Key, BTreeSet<u64>>,
}

impl Changes {
    pub(super) fn touch(&self, inode: InodeId) -> bool {
        self.touched.contains_key(&inode)
    }

    fn enter(&mut self, op: &Op) -> u64 {
        self.last += 1;
        let keys = keys(op);
        for key in &keys {
            self.names.entry(key.clone()).or_default().insert(self.last);
        }
        self.under_way.insert(self.last, Change { keys, inodes: Vec::new() });
        self.last
    }

    fn is_first(&self, number: u64) -> bool {
        let Some(change) = self.under_way.get(&number) else { return true };
        let first = |key: &Key| self.names.get(key).and_then(BTreeSet::first) == Some(&number);
        change.keys.iter().all(first)
    }

    /// From now on it touches these, and nothing else.
    fn touches(&mut self, number: u64, inodes: Vec<InodeId>) {
        for inode in &inodes {
            *self.touched.entry(*inode).or_default() += 1;
        }
        let Some(change) = self.under_way.get_mut(&number) else { return };
        let before = std::mem::replace(&mut change.inodes, inodes);
        self.touches_no_more(&before);
    }

    fn touches_no_more(&mut self, inodes: &[InodeId]) {
        for inode in inodes {
            if let Some(count) = self.touched.get_mut(inode) {
                *count -= 1;
                if *count == 0 {
                    self.touched.remove(inode);
                }
            }
        }
    }

    /// Gives what it touched, and whether others waited for it.
    fn over(&mut self, number: u64) -> (Vec<InodeId>, bool) {
        let Some(change) = self.under_way.remove(&number) else { return (Vec::new(), false) };
        let mut waited_for = false;
        for key in &change.keys {
            if let Some(about) = self.names.get_mut(key) {
                about.remove(&number);
                waited_for |= !about.is_empty();
                if about.is_empty() {
                    self.names.remove(key);
                }
            }
        }
        self.touches_no_more(&change.inodes);
        (change.inodes, waited_for)
    }
}

impl Leases {
    /// A change came. It has this number until it is [`Self::over`].
    pub fn enter(&mut self, op: &Op) -> u64 {
        self.changes.enter(op)
    }

    /// May the change go its way? If not, whatever it waits for is under way. From when it may, until
    /// it is over, nobody is given a lease on what it touches.
    pub fn may_go(&mut self, number: u64, changer: &Changer<'_>, state: &State, now: Instant) -> bool {
        if !plant!("change-overtakes-its-name", self.changes.is_first(number), true) {
            probe!("change waits for another of its name");
            return false;
        }
        let inodes = touched(state, changer.op);
        self.changes.touches(number, inodes.clone());
        if plant!("new-leader-waits-for-nobody", self.is_suspecting(now), false) {
            probe!("change waits for leases of an earlier leader");
            return false;
        }
        let current = changer.epoch != 0 && changer.epoch == self.epoch(changer.session);
        let mut free = true;
        for inode in inodes {
            let dropped = current && changer.dropped.contains(&inode);
            let own = plant!("own-lease-not-recalled", dropped, true).then_some(changer.session);
            free &= self.recall_all(inode, own, now);
        }
        free
    }

    /// The change is applied, or will never be. Gives what it touched.
    pub fn over(&mut self, number: u64) -> Vec<InodeId> {
        let (inodes, waited_for) = self.changes.over(number);
        self.stirred |= waited_for;
        inodes
    }
}
