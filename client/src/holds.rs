//! What is open, as the client counts it, and the numbers under which it tells the leader. One table
//! serves a session and its successors. Knows nothing of files, and of servers only that they forget.
//!
//! What changes the count and the number it is told under are one step, so that what is opened again
//! while it is being released is told under a greater number.

use mooseng_core::id::InodeId;
use mooseng_core::namespace::OPENS_MAX;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
struct Open {
    times: u32,
    /// A leader has said yes to one of them, so one may have to be told that it is over.
    granted: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Holds {
    /// It counts from before the leader is asked.
    open: BTreeMap<InodeId, Open>,
    /// Open no more, but the leader may think so.
    doubtful: BTreeSet<InodeId>,
    last: u64,
    /// Numbers whose answers are waited for.
    waiting: BTreeSet<u64>,
}

impl Holds {
    fn say(&mut self) -> u64 {
        self.last += 1;
        self.waiting.insert(self.last);
        self.last
    }

    /// The lowest number whose answer is waited for.
    pub(crate) fn low_water(&self) -> u64 {
        self.waiting.first().copied().unwrap_or(self.last + 1)
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn heard(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    /// Open once more, and to be told under this number; `None` if too much is open.
    pub(crate) fn open(&mut self, inode: InodeId) -> Option<u64> {
        if self.open.len() >= OPENS_MAX && !self.open.contains_key(&inode) {
            return None;
        }
        self.open.entry(inode).or_default().times += 1;
        Some(self.say())
    }

    pub(crate) fn granted(&mut self, inode: InodeId) {
        if let Some(open) = self.open.get_mut(&inode) {
            open.granted = true;
        }
    }

    /// Open once less; `maybe`: the leader may have heard of it, and nobody knows.
    pub(crate) fn close(&mut self, inode: InodeId, maybe: bool) {
        let Some(open) = self.open.get_mut(&inode) else { return };
        open.times -= 1;
        open.granted |= maybe;
        let (over, granted) = (open.times == 0, open.granted);
        if over {
            self.open.remove(&inode);
        }
        if over && granted {
            self.doubtful.insert(inode);
        }
    }

    /// These were not told to the end.
    pub(crate) fn doubt(&mut self, inodes: &[InodeId]) {
        self.doubtful.extend(inodes);
    }

    pub(crate) fn is_doubtful(&self) -> bool {
        !self.doubtful.is_empty()
    }

    /// Everything doubtful that is not open, to be released under a number.
    pub(crate) fn release(&mut self) -> Option<(u64, Vec<InodeId>)> {
        let mut doubtful = std::mem::take(&mut self.doubtful);
        // One that is open again is released when that is over.
        doubtful.retain(|inode| self.open.get_mut(inode).map(|open| open.granted = true).is_none());
        (!doubtful.is_empty()).then(|| (self.say(), doubtful.into_iter().collect()))
    }

    /// Everything that is open, to be told under a number.
    pub(crate) fn attach(&mut self) -> (u64, Vec<InodeId>) {
        let all = self.open.iter_mut().map(|(inode, open)| {
            open.granted = true;
            *inode
        });
        let all = all.collect();
        (self.say(), all)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inode(raw: u64) -> InodeId {
        InodeId::from_raw(raw).unwrap()
    }

    #[test]
    fn the_leader_is_told_of_the_last_close() {
        let mut holds = Holds::default();
        assert_eq!((holds.open(inode(7)), holds.open(inode(7))), (Some(1), Some(2)));
        holds.granted(inode(7));
        holds.close(inode(7), false);
        assert_eq!((holds.release(), holds.is_empty()), (None, false));
        holds.close(inode(7), false);
        assert!(holds.is_empty() && holds.is_doubtful());
        assert_eq!(holds.release(), Some((3, vec![inode(7)])));
        assert_eq!(holds.release(), None);
    }

    #[test]
    fn a_refusal_leaves_nothing_to_be_told_and_a_doubt_does() {
        let mut holds = Holds::default();
        holds.open(inode(7));
        holds.close(inode(7), false);
        assert_eq!(holds.release(), None);
        holds.open(inode(7));
        holds.close(inode(7), true);
        holds.open(inode(7));
        assert_eq!(holds.release(), None, "it is open again");
        holds.attach();
        holds.close(inode(7), false);
        assert_eq!(holds.release(), Some((5, vec![inode(7)])), "a leader was told");
    }

    #[test]
    fn the_oldest_number_that_is_waited_for_is_told() {
        let mut holds = Holds::default();
        assert_eq!([1, 2].map(|raw| holds.open(inode(raw))), [Some(1), Some(2)]);
        assert_eq!(holds.low_water(), 1);
        holds.heard(1);
        assert_eq!(holds.low_water(), 2);
        holds.heard(2);
        assert_eq!((holds.low_water(), holds.attach().0), (3, 3));
    }

    #[test]
    fn so_much_may_be_open_and_no_more() {
        let mut holds = Holds::default();
        for raw in 2..OPENS_MAX as u64 + 2 {
            assert!(holds.open(inode(raw)).is_some());
        }
        assert_eq!(holds.open(inode(1)), None);
        assert!(holds.open(inode(2)).is_some());
    }
}
