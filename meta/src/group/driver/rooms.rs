//! Whether there is room for a tree that grows: on the own disk, and on those of a majority.

use super::Driver;
use crate::command::CommandKind;
use crate::group::room::{Gauge, Measured, Needs, Room, most_have_room};
use mooseng_core::env::Env;
use mooseng_core::event::Event;
use mooseng_core::{plant, probe};
use std::sync::Arc;

pub(super) struct Rooms {
    disk: Arc<Measured>,
    segment_bytes: u64,
    gauge: Gauge,
    /// Of the voters, this replica included, too few have room.
    short: bool,
}

impl Rooms {
    pub(super) fn new(disk: Arc<Measured>, segment_bytes: u64) -> Self {
        Self { disk, segment_bytes, gauge: Gauge::default(), short: false }
    }

    pub(super) fn room(&self) -> Room {
        self.gauge.room()
    }

    /// Is the own disk too full?
    pub(super) fn is_full(&self) -> bool {
        self.room() != Room::Enough
    }

    /// Is this a change that there is no room for?
    pub(super) fn refuses(&self, kind: &CommandKind) -> bool {
        let CommandKind::Mutate { op, .. } = kind else { return false };
        let grows = plant!("unlink-refused-on-a-full-disk", op.grows(), true);
        grows && plant!("growth-taken-on-a-full-disk", self.short, false)
    }
}

impl<E: Env> Driver<E> {
    pub(super) fn measure(&mut self) {
        let before = self.rooms.is_full();
        let needs = Needs {
            segment: self.rooms.segment_bytes,
            snapshot: self.snapshots.newest_bytes(),
            journal: self.journal.pinned_bytes(self.stream),
        };
        let free_bytes = self.rooms.disk.free();
        let written = self.snapshots.is_writing();
        let full = self.rooms.gauge.look(free_bytes, &needs, written) != Room::Enough;
        if full != before {
            let (group, replica) = (self.replica.group(), self.replica.id());
            self.env.note(Event::Room { group, replica, short: full, free_bytes, kept_bytes: needs.kept() });
        }
        let (own, voters) = (self.replica.id(), self.replica.members().voters());
        let short =
            voters.iter().filter(|voter| **voter == own && full || self.peers.is_full(**voter)).count();
        self.rooms.short = full || !most_have_room(voters.len(), short);
        if self.rooms.short && !full {
            probe!("a majority of the voters has no room");
        }
        self.peers.full = full;
    }
}
