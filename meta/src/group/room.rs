//! Whether a disk has room for a tree that grows. Pure: bytes come in, a standing comes out.
//!
//! What is left on a disk that fills up belongs to what makes room: the next segment of the journal, and
//! the next snapshot, without which the journal gives nothing back. It is kept from changes that make the
//! tree grow; those that free something, and what the group needs for itself, go on and use it.

use std::sync::atomic::{AtomicU64, Ordering};

/// What an inode with a name of some length takes of a disk: a record in the journal until a snapshot has it, and
/// its place in two snapshots while the next one is being written.
const INODE_BYTES: u64 = 512;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Room {
    #[default]
    Enough,
    /// What is left is for the journal and for snapshots.
    NearlyFull,
    /// Not even a segment of the journal would fit.
    Full,
}

impl Room {
    /// For about how many more inodes there is room.
    pub fn inodes(self, free: u64) -> u64 {
        if self == Self::Enough { free / INODE_BYTES } else { 0 }
    }
}

/// What a server last measured of its disk. Much, before it has.
#[derive(Debug)]
pub struct Measured {
    total: AtomicU64,
    free: AtomicU64,
}

impl Default for Measured {
    fn default() -> Self {
        Self { total: AtomicU64::new(u64::MAX), free: AtomicU64::new(u64::MAX) }
    }
}

impl Measured {
    pub fn set(&self, total: u64, free: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.free.store(free, Ordering::Relaxed);
    }

    pub fn free(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    /// In all and free, if it was measured.
    pub fn told(&self) -> Option<(u64, u64)> {
        let total = self.total.load(Ordering::Relaxed);
        (total != u64::MAX).then(|| (total, self.free()))
    }
}

/// What the disk is asked to hold besides what it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needs {
    /// The next segment of the journal.
    pub segment: u64,
    /// The newest snapshot, and the journal since: the next one is about as large as both.
    pub snapshot: u64,
    pub journal: u64,
}

impl Needs {
    pub fn kept(&self) -> u64 {
        let next = self.snapshot.saturating_add(self.snapshot / 8).saturating_add(self.journal);
        self.segment.saturating_add(next)
    }
}

/// How a disk stands, with what it takes to change that.
#[derive(Debug, Default)]
pub struct Gauge {
    room: Room,
}

impl Gauge {
    pub fn room(&self) -> Room {
        self.room
    }

    /// Looks again. While a snapshot is being `written` it takes what was kept for it, which means nothing
    /// before it is there. What was short has to have some more than enough before it is short no more.
    pub fn look(&mut self, free: u64, needs: &Needs, written: bool) -> Room {
        let kept = needs.kept();
        let wanted = if self.room == Room::Enough { kept } else { kept.saturating_add(kept / 8) };
        self.room = match self.room {
            _ if free < needs.segment => Room::Full,
            Room::Full if free < wanted => Room::NearlyFull,
            room if written => room,
            _ if free < wanted => Room::NearlyFull,
            _ => Room::Enough,
        };
        self.room
    }
}

/// Can a majority of the voters go on growing? Of those who have said that they cannot.
pub fn most_have_room(voters: usize, short: usize) -> bool {
    (voters - short) * 2 > voters
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: Needs = Needs { segment: 100, snapshot: 800, journal: 100 };

    #[test]
    fn what_is_kept_is_a_segment_and_a_snapshot() {
        assert_eq!(NEEDS.kept(), 100 + 900 + 100);
        assert_eq!(Needs { segment: u64::MAX, ..NEEDS }.kept(), u64::MAX);
    }

    #[test]
    fn there_is_room_for_more_inodes_until_growth_is_refused() {
        assert_eq!(Room::Enough.inodes(1 << 30), 2 << 20);
        assert_eq!((Room::NearlyFull.inodes(1 << 30), Room::Full.inodes(1 << 30)), (0, 0));
    }

    #[test]
    fn it_takes_more_to_be_short_no_more() {
        let mut gauge = Gauge::default();
        let mut look = |free| gauge.look(free, &NEEDS, false);
        assert_eq!([1_100, 1_099, 1_100, 1_236, 1_237].map(&mut look), {
            use Room::{Enough, NearlyFull};
            [Enough, NearlyFull, NearlyFull, NearlyFull, Enough]
        });
        assert_eq!([99, 100, 1_236, 1_237].map(&mut look), {
            use Room::{Enough, Full, NearlyFull};
            [Full, NearlyFull, NearlyFull, Enough]
        });
    }

    #[test]
    fn a_snapshot_may_use_what_is_kept_for_it() {
        let mut gauge = Gauge::default();
        assert_eq!(gauge.look(300, &NEEDS, true), Room::Enough);
        assert_eq!(gauge.look(99, &NEEDS, true), Room::Full, "nothing else fits then");
        assert_eq!(gauge.look(2_000, &NEEDS, true), Room::Full, "half of a snapshot says nothing");
        assert_eq!(gauge.look(2_000, &NEEDS, false), Room::Enough);
    }

    #[test]
    fn a_majority_has_to_have_room() {
        assert!(most_have_room(1, 0) && !most_have_room(1, 1));
        assert!(most_have_room(3, 1) && !most_have_room(3, 2));
        assert!(most_have_room(5, 2) && !most_have_room(5, 3));
    }
}
