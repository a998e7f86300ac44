//! What a disk can do wrong: faults that wait for their occasion, and damage that is done at once.

use super::super::fault::Spot;
use super::image::{PAGE_BYTES, SECTOR_BYTES};
use super::{Disk, FileNode};
use crate::machine::slab::Key;
use mooseng_core::chance::Dice;

/// The faults in force, and those that wait.
pub(crate) struct Damage {
    /// No more pages than this may be used, however large the disk is.
    pub(crate) used_pages_max: u64,
    pub(crate) slow_factor: u64,
    /// No operation is done before this moment.
    pub(crate) stalled_until: u64,
    /// How many faults make syncs lie.
    pub(crate) lies: u32,
    pub(crate) failing_syncs: Vec<String>,
    pub(crate) misdirected_writes: Vec<String>,
    pub(crate) misdirected_reads: Vec<String>,
}

impl Default for Damage {
    fn default() -> Self {
        Self {
            used_pages_max: u64::MAX,
            slow_factor: 1,
            stalled_until: 0,
            lies: 0,
            failing_syncs: Vec::new(),
            misdirected_writes: Vec::new(),
            misdirected_reads: Vec::new(),
        }
    }
}

impl Damage {
    /// Everything that lasts or waits is over.
    pub(crate) fn heal(&mut self) {
        *self = Self::default();
    }

    /// What was about to happen to an operation under way will not.
    pub(crate) fn power_failed(&mut self) {
        self.stalled_until = 0;
    }
}

/// Takes the first of the waiting faults that aims at this path.
pub(super) fn take_aimed(waiting: &mut Vec<String>, path: &str) -> bool {
    match waiting.iter().position(|prefix| path.starts_with(prefix.as_str())) {
        Some(index) => {
            waiting.remove(index);
            true
        }
        None => false,
    }
}

impl FileNode {
    /// Did the last sync make the sector at this offset durable?
    fn is_newest(&self, offset: u64) -> bool {
        let sector = 1_u8 << (offset % PAGE_BYTES / SECTOR_BYTES);
        self.newest.1.get(offset / PAGE_BYTES).is_some_and(|mask| mask & sector != 0)
    }
}

impl Disk {
    /// Leaves only so much space.
    pub(crate) fn limit_free(&mut self, bytes: u64) {
        self.sweep();
        self.damage.used_pages_max = self.used_pages.saturating_add(bytes / PAGE_BYTES);
    }

    /// Draws up to `count` sectors that are durable and written and lie where the damage aims.
    fn draw_sectors(&mut self, spot: &Spot, count: u32, now: u64) -> Vec<(Key, u64)> {
        let (from, to) = (spot.from.unwrap_or(0), spot.to.unwrap_or(u64::MAX));
        let aimed = |file: &FileNode| file.path.starts_with(spot.prefix.as_str());
        let latest = self.files.iter().filter(|(_, file)| aimed(file)).map(|(_, file)| file.newest.0).max();
        let mut found: Vec<(Key, u64)> = self
            .files
            .iter()
            .filter(|(_, file)| aimed(file) && (!spot.newest || Some(file.newest.0) == latest))
            .flat_map(|(key, file)| {
                let written = file.durable.written_sectors(from, to).into_iter();
                let wanted = written.filter(|offset| !spot.newest || file.is_newest(*offset));
                wanted.map(move |offset| (key, offset)).collect::<Vec<_>>()
            })
            .collect();
        let lane = self.lane.at(now);
        let count = found.len().min(count as usize);
        for index in 0..count {
            let other = lane.between(index as u64, found.len() as u64 - 1);
            found.swap(index, other as usize);
        }
        found.truncate(count);
        found
    }

    /// Some sectors cannot be read any more. Gives where.
    pub(crate) fn spoil(&mut self, spot: &Spot, count: u32, now: u64) -> Vec<String> {
        let mut told = Vec::new();
        for (key, offset) in self.draw_sectors(spot, count, now) {
            let Some(file) = self.files.get_mut(key) else { continue };
            file.unreadable.insert(offset / SECTOR_BYTES);
            told.push(format!("{} at {offset}", file.path));
        }
        told
    }

    /// A bit flips in each of some sectors, unless something newer waits to be written there.
    pub(crate) fn rot(&mut self, spot: &Spot, count: u32, now: u64) -> Vec<String> {
        let mut told = Vec::new();
        for (key, offset) in self.draw_sectors(spot, count, now) {
            let draw = self.lane.at(now).word();
            let Some(file) = self.files.get_mut(key) else { continue };
            // Within the file: what lies behind its end is nobody's data.
            let room = SECTOR_BYTES.min(file.durable.length() - offset);
            let (place, bit) = (offset + draw % room, (draw >> 32) as u8);
            file.durable.flip_bit(place, bit);
            let sector = 1_u8 << (offset % PAGE_BYTES / SECTOR_BYTES);
            let newer = |sectors: &super::Sectors| {
                sectors.get(offset / PAGE_BYTES).is_some_and(|mask| mask & sector != 0)
            };
            if !newer(&file.dirty) && !newer(&file.syncing) {
                file.live.flip_bit(place, bit);
            }
            told.push(format!("{} at {place}", file.path));
        }
        told
    }

    /// Where a misdirected operation goes: some pages before or behind, within the file if it can;
    /// often to its last page, which what is longer does not fit.
    pub(super) fn misdirect(&mut self, key: Key, offset: u64, now: u64) -> u64 {
        let lane = self.lane.at(now);
        let Some(file) = self.files.get(key) else { return offset };
        let pages = file.live.length().div_ceil(PAGE_BYTES).max(2);
        let shift = lane.between(1, pages - 1);
        let asked = offset / PAGE_BYTES % pages;
        let last = asked != pages - 1 && lane.below(4) == 0;
        let page = if last { pages - 1 } else { (asked + shift) % pages };
        page * PAGE_BYTES + offset % PAGE_BYTES
    }
}
