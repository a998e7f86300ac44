//! What will happen, in order of time; among things of one moment the seed decides. Knows when,
//! and which thing is meant, but not what happens then.

use super::slab::Key;
use mooseng_core::chance;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// What happens at a moment. Whatever is meant may be gone by then; keys tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Happening {
    /// A timer runs out.
    Timer(Key),
    /// The first frame under way on one side's pipe reaches the far end, if `arming` still holds.
    Deliver { connection: Key, side: u8, arming: u16 },
    /// A request to connect reaches the far end.
    Syn(Key),
    /// The answer to a request to connect is back.
    SynAck { connection: Key, refused: bool },
    /// Nobody answered a request to connect.
    ConnectTimeout(Key),
    /// A reset reaches the end on this side.
    Reset { connection: Key, side: u8 },
    /// The sender on this side hears that there is room again.
    Credit { connection: Key, side: u8 },
    /// The end on this side has heard nothing for too long, if `suspicion` still holds.
    Silence { connection: Key, side: u8, suspicion: u16 },
    /// A disk operation is done.
    Disk(Key),
    /// Something that was put off: the end of a fault, a restart, a trigger's shot.
    Deferred(Key),
}

impl Happening {
    /// Tells happenings of one moment apart.
    fn word(self) -> u64 {
        let (kind, side, key) = match self {
            Happening::Timer(key) => (1, 0, key),
            Happening::Deliver { connection, side, .. } => (2, side, connection),
            Happening::Syn(key) => (3, 0, key),
            Happening::SynAck { connection, .. } => (4, 0, connection),
            Happening::ConnectTimeout(key) => (5, 0, key),
            Happening::Reset { connection, side } => (6, side, connection),
            Happening::Credit { connection, side } => (7, side, connection),
            Happening::Silence { connection, side, .. } => (8, side, connection),
            Happening::Disk(key) => (9, 0, key),
            Happening::Deferred(key) => (10, 0, key),
        };
        kind << 40 | u64::from(side) << 32 | u64::from(key.index)
    }
}

struct Entry {
    /// The time above, the tie-break below.
    order: u128,
    what: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The earliest is the greatest, because the heap hands out the greatest.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        other.order.cmp(&self.order)
    }
}

pub(crate) struct Queue {
    heap: BinaryHeap<Entry>,
    key: u64,
    /// Entries whose timer was cancelled.
    stale: usize,
}

impl Queue {
    pub(crate) fn new(seed: u64) -> Self {
        Self { heap: BinaryHeap::new(), key: chance::once(seed, "ties", 0, 0), stale: 0 }
    }

    pub(crate) fn push(&mut self, time: u64, what: Happening) {
        // Drawn from what happens and when, not from how much was pushed before: what else is in
        // the queue shifts no tie.
        let tie = chance::mix(self.key ^ chance::mix(time) ^ what.word());
        self.heap.push(Entry { order: u128::from(time) << 64 | u128::from(tie), what });
    }

    pub(crate) fn next_time(&self) -> Option<u64> {
        self.heap.peek().map(|entry| (entry.order >> 64) as u64)
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Happening)> {
        self.heap.pop().map(|entry| ((entry.order >> 64) as u64, entry.what))
    }

    /// A timer in the queue was cancelled. Once most entries are such, they are swept out: a
    /// deadline far ahead that is nearly always cancelled must not make every push slower.
    pub(crate) fn cancelled(&mut self, alive: impl Fn(Key) -> bool) {
        self.stale += 1;
        if self.stale > 256 && self.stale * 2 > self.heap.len() {
            self.heap.retain(|entry| match entry.what {
                Happening::Timer(key) => alive(key),
                _ => true,
            });
            self.stale = 0;
        }
    }

    /// A cancelled timer's entry came up.
    pub(crate) fn passed_stale(&mut self) {
        self.stale = self.stale.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(index: u32) -> Happening {
        Happening::Timer(Key { index, generation: 0 })
    }

    #[test]
    fn the_earliest_comes_first_and_ties_are_drawn() {
        let order = |seed| {
            let mut queue = Queue::new(seed);
            queue.push(9, timer(100));
            (0..8).for_each(|index| queue.push(7, timer(index)));
            std::iter::from_fn(|| queue.pop()).map(|(_, what)| what).collect::<Vec<_>>()
        };
        assert_eq!(order(1).last(), Some(&timer(100)));
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn cancelled_timers_are_swept_out() {
        let mut queue = Queue::new(1);
        (0..1_000).for_each(|index| queue.push(7, timer(index)));
        (0..1_000).for_each(|_| queue.cancelled(|key| key.index == 3));
        let left = queue.heap.len();
        assert!(left < 300, "{left} entries are left");
    }
}
