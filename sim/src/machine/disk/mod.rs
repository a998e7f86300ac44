//! A node's disk: what was written and what is durable, kept apart per file and per directory.
//! This is a state machine: it is told what is done and when the power fails; when things are
//! done, and by whom, is the business of `operation`.

mod damage;
mod file;
mod image;
mod names;
mod operation;
mod pages;

pub use file::{SimExtent, SimFile};
pub(crate) use operation::Operation;

use super::lane::Lane;
use super::slab::{Key, Slab};
use damage::Damage;
use image::{Image, PAGE_BYTES, Sectors};
use mooseng_core::chance::Dice;
use mooseng_core::env::{DiskError, Space};
use names::{DurableNames, Entry, Tree, not_found};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What the largest offset of a file is counted in, less its sign.
const FILE_BYTES_MAX: u64 = i64::MAX as u64;
const TOO_LARGE: &str = "no file can be that long";

/// One file. Handles and extents share the pin; while any of them lives, so does the file.
pub(crate) struct FileNode {
    /// The last name it was given: what faults aim at.
    path: String,
    live: Image,
    durable: Image,
    /// Sectors written since they last became durable.
    dirty: Sectors,
    /// Is the length of what is durable out of date?
    length_dirty: bool,
    /// Sectors that a sync is just making durable.
    syncing: Sectors,
    /// What its last sync made durable, and which of the disk's syncs that was.
    newest: (u64, Sectors),
    /// No sync may be done before the one before it.
    sync_done_at: u64,
    /// A sync failed: sectors that are not dirty may differ from what is durable all the same.
    mistrusted: bool,
    /// Sectors, by number, that cannot be read.
    unreadable: BTreeSet<u64>,
    pin: Arc<()>,
    /// Its pages count as used space.
    charged: bool,
}

impl FileNode {
    fn new(path: &str) -> Self {
        Self {
            path: path.into(),
            live: Image::default(),
            durable: Image::default(),
            dirty: Sectors::default(),
            length_dirty: false,
            syncing: Sectors::default(),
            newest: (0, Sectors::default()),
            mistrusted: false,
            sync_done_at: 0,
            unreadable: BTreeSet::new(),
            pin: Arc::new(()),
            charged: true,
        }
    }
}

/// An image of what was durable, to which the disk may be rolled back.
#[derive(Clone)]
struct Checkpoint {
    root: Key,
    names: DurableNames,
    files: Vec<(Key, String, Image)>,
}

pub(crate) struct Disk {
    files: Slab<FileNode>,
    tree: Tree,
    /// Files without a name that may still be held open.
    nameless: BTreeSet<Key>,
    capacity_pages: u64,
    used_pages: u64,
    /// How many syncs made something durable.
    syncs: u64,
    pub(crate) damage: Damage,
    checkpoint: Option<Checkpoint>,
    lane: Lane,
}

impl Disk {
    pub(crate) fn new(seed: u64, node: &str, capacity_bytes: u64) -> Self {
        Self {
            files: Slab::default(),
            tree: Tree::default(),
            nameless: BTreeSet::new(),
            capacity_pages: capacity_bytes / PAGE_BYTES,
            used_pages: 0,
            syncs: 0,
            damage: Damage::default(),
            checkpoint: None,
            lane: Lane::new(seed, &format!("disk/{node}"), 0, 0),
        }
    }

    fn file(&self, key: Key, path: &str) -> Result<&FileNode, DiskError> {
        self.files.get(key).ok_or_else(|| not_found(path))
    }

    fn open(&mut self, path: &str, new: bool) -> Result<(Key, Arc<()>), DiskError> {
        let key = match self.tree.find(path)? {
            Some(_) if new => return Err(DiskError::Exists { path: path.into() }),
            Some(Entry::Directory(_)) => return Err(names::io(path, "it is a directory")),
            Some(Entry::File(key)) => key,
            None if !new => return Err(not_found(path)),
            None => {
                let key = self.files.insert(FileNode::new(path));
                self.tree.add_file(path, key)?;
                key
            }
        };
        let pin = self.file(key, path)?.pin.clone();
        Ok((key, pin))
    }

    fn remove(&mut self, path: &str) -> Result<(), DiskError> {
        let file = self.tree.remove(path)?;
        self.nameless.insert(file);
        self.sweep();
        Ok(())
    }

    fn rename(&mut self, source: &str, target: &str) -> Result<(), DiskError> {
        let (moved, replaced) = self.tree.rename(source, target)?;
        if let Some(file) = self.files.get_mut(moved) {
            file.path = target.into();
        }
        self.nameless.extend(replaced);
        self.sweep();
        Ok(())
    }

    /// A sync of a directory fails: some of its changes became durable, the others never will.
    fn fail_sync_dir(&mut self, path: &str, now: u64) {
        let lane = self.lane.at(now);
        if let Ok(directory) = self.tree.find_directory(path) {
            self.tree.fail_sync(directory, || lane.below(2) == 0);
        }
    }

    fn sync_dir(&mut self, path: &str) -> Result<(), DiskError> {
        let directory = self.tree.find_directory(path)?;
        self.tree.sync(directory);
        self.sweep();
        Ok(())
    }

    /// Gives back the space of files that have no name and that nobody holds, and forgets those
    /// that no crash can bring back either.
    fn sweep(&mut self) {
        if self.nameless.is_empty() {
            return;
        }
        let needed = self.tree.files_needed();
        for key in std::mem::take(&mut self.nameless) {
            let Some(file) = self.files.get_mut(key) else { continue };
            if Arc::strong_count(&file.pin) > 1 {
                self.nameless.insert(key);
                continue;
            }
            if std::mem::take(&mut file.charged) {
                self.used_pages -= file.live.page_count();
            }
            if needed.contains(&key) {
                self.nameless.insert(key);
            } else {
                self.files.remove(key);
            }
        }
    }

    fn space(&mut self) -> Space {
        self.sweep();
        let usable = self.capacity_pages.min(self.damage.used_pages_max);
        let free = usable.saturating_sub(self.used_pages);
        Space { total: self.capacity_pages * PAGE_BYTES, free: free * PAGE_BYTES }
    }

    /// Is there room for so many more pages?
    fn has_room(&mut self, pages: u64) -> bool {
        pages == 0 || self.space().free / PAGE_BYTES >= pages
    }

    /// Lands a write. Where the disk is full, what fits before the end is written all the same.
    fn write(&mut self, key: Key, path: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > FILE_BYTES_MAX) {
            return Err(names::io(path, TOO_LARGE));
        }
        let missing = self.file(key, path)?.live.pages_missing(offset, bytes.len() as u64);
        if !self.has_room(missing) {
            return Err(DiskError::NoSpace { path: path.into() });
        }
        let Some(file) = self.files.get_mut(key) else { return Err(not_found(path)) };
        let before = file.live.length();
        file.live.write(offset, bytes, &mut file.dirty);
        file.length_dirty |= file.live.length() != before;
        self.used_pages += if file.charged { missing } else { 0 };
        if !file.unreadable.is_empty() {
            let sectors =
                offset / image::SECTOR_BYTES..(offset + bytes.len() as u64).div_ceil(image::SECTOR_BYTES);
            file.unreadable.retain(|sector| !sectors.contains(sector));
        }
        Ok(())
    }

    fn read(&self, key: Key, path: &str, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        let file = self.file(key, path)?;
        if !file.unreadable.is_empty() {
            let end = offset.saturating_add(len as u64).div_ceil(image::SECTOR_BYTES);
            if file.unreadable.range(offset / image::SECTOR_BYTES..end).next().is_some() {
                return Err(names::io(path, "input/output error: a sector cannot be read"));
            }
        }
        Ok(file.live.read(offset, len))
    }

    fn set_length(&mut self, key: Key, path: &str, length: u64) -> Result<(), DiskError> {
        if length > FILE_BYTES_MAX {
            return Err(names::io(path, TOO_LARGE));
        }
        let Some(file) = self.files.get_mut(key) else { return Err(not_found(path)) };
        let before = file.live.page_count();
        file.live.resize(length, &mut file.dirty);
        file.length_dirty = true;
        if file.charged {
            self.used_pages -= before - file.live.page_count();
        }
        Ok(())
    }

    /// A sync begins: from now on, what is written belongs to the next one.
    fn begin_sync(&mut self, key: Key) {
        let Some(file) = self.files.get_mut(key) else { return };
        if file.syncing.is_empty() {
            file.syncing = std::mem::take(&mut file.dirty);
        } else {
            merge(&mut file.syncing, std::mem::take(&mut file.dirty));
        }
    }

    /// A sync is done: what it began with is durable, in the state it has now.
    fn end_sync(&mut self, key: Key, path: &str) -> Result<(), DiskError> {
        let Some(file) = self.files.get_mut(key) else { return Err(not_found(path)) };
        let synced = std::mem::take(&mut file.syncing);
        for (page, mask) in synced.iter() {
            let others_dirty = file.dirty.get(page).is_some_and(|dirty| dirty & !mask != 0);
            if *mask == u8::MAX || !(others_dirty || file.mistrusted) {
                // Every sector that differs is one of ours.
                file.durable.take_page(&file.live, page);
            } else {
                file.durable.take_sectors(&file.live, page, *mask);
            }
        }
        if !synced.is_empty() {
            self.syncs += 1;
            file.newest = (self.syncs, synced);
        }
        if std::mem::take(&mut file.length_dirty) {
            cut(&mut file.durable, file.live.length());
        }
        Ok(())
    }

    /// A sync was acknowledged and nothing was done: all of it is still to become durable.
    fn forget_sync(&mut self, key: Key) {
        let Some(file) = self.files.get_mut(key) else { return };
        merge(&mut file.dirty, std::mem::take(&mut file.syncing));
    }

    /// A sync failed: some of what was written since the last good one became durable, the rest
    /// is taken for written and will never be.
    fn fail_sync(&mut self, key: Key, now: u64) {
        let lane = self.lane.at(now);
        let Some(file) = self.files.get_mut(key) else { return };
        let keep_none = lane.below(2) == 0;
        file.mistrusted = true;
        for (page, mask) in std::mem::take(&mut file.syncing).iter() {
            let keep = if keep_none { 0 } else { lane.word() as u8 };
            file.durable.take_sectors(&file.live, page, mask & keep);
        }
        if lane.below(2) == 0 {
            file.length_dirty = false;
        }
    }

    /// The machine writes back, unasked, some of what is dirty in a file.
    fn write_back(&mut self, key: Key, now: u64) {
        let lane = self.lane.at(now);
        let Some(file) = self.files.get_mut(key) else { return };
        for (page, mask) in file.dirty.iter() {
            if lane.below(2) == 0 {
                file.durable.take_sectors(&file.live, page, mask & lane.word() as u8);
            }
        }
    }

    /// The power fails. Any subset of the sectors and names that were not synced is kept.
    pub(crate) fn crash(&mut self, now: u64) {
        let lane = self.lane.at(now);
        // All, none and a fair mixture are the corners worth visiting often.
        let corner = lane.below(4);
        let mut keep = |lane: &mut Lane| match corner {
            0 => 0,
            1 => u8::MAX,
            _ => lane.word() as u8,
        };
        for (_, file) in self.files.iter_mut() {
            crash_file(file, lane, &mut keep);
        }
        self.tree.crash(|| keep(lane) & 1 == 1);
        self.settle();
        self.damage.power_failed();
    }

    /// Nothing is open and nothing is pending: drops what no name leads to and counts anew.
    fn settle(&mut self) {
        let needed = self.tree.files_needed();
        self.nameless.clear();
        self.used_pages = 0;
        for key in self.files.keys() {
            if !needed.contains(&key) {
                self.files.remove(key);
            }
        }
        for (_, file) in self.files.iter_mut() {
            file.charged = true;
            file.pin = Arc::new(());
            self.used_pages += file.live.page_count();
        }
    }

    pub(crate) fn checkpoint(&mut self) {
        let files = self.files.iter().map(|(key, file)| (key, file.path.clone(), file.durable.clone()));
        self.checkpoint =
            Some(Checkpoint { root: self.tree.root(), names: self.tree.durable(), files: files.collect() });
    }

    /// The disk is again what it was at the last checkpoint. False if there was none.
    pub(crate) fn roll_back(&mut self) -> bool {
        let Some(checkpoint) = self.checkpoint.clone() else { return false };
        self.files = Slab::default();
        let mut keys = std::collections::BTreeMap::new();
        for (key, path, image) in checkpoint.files {
            let mut file = FileNode::new(&path);
            file.live = image.clone();
            file.durable = image;
            keys.insert(key, self.files.insert(file));
        }
        self.tree = checkpoint.names.restore(checkpoint.root, |key| keys[&key]);
        self.checkpoint = None;
        self.settle();
        true
    }

    /// A new disk of the same size.
    pub(crate) fn empty(&mut self) {
        self.files = Slab::default();
        self.tree = Tree::default();
        self.checkpoint = None;
        self.settle();
    }
}

fn merge(target: &mut Sectors, source: Sectors) {
    source.iter().for_each(|(page, mask)| *target.entry(page) |= mask);
}

fn crash_file(file: &mut FileNode, lane: &mut Lane, keep: &mut impl FnMut(&mut Lane) -> u8) {
    merge(&mut file.dirty, std::mem::take(&mut file.syncing));
    for (page, mask) in std::mem::take(&mut file.dirty).iter() {
        file.durable.take_sectors(&file.live, page, mask & keep(lane));
    }
    if std::mem::take(&mut file.length_dirty) && keep(lane) & 1 == 1 {
        file.durable.set_length(file.live.length());
    }
    let length = file.durable.length();
    cut(&mut file.durable, length);
    file.live = file.durable.clone();
    file.sync_done_at = 0;
    file.mistrusted = false;
}

/// Gives an image a length and makes sure that nothing lies beyond it.
fn cut(image: &mut Image, length: u64) {
    // Sectors beyond the end may have been taken already; growing first makes cutting drop them.
    image.set_length(image.end_of_pages().max(length));
    image.resize(length, &mut Sectors::default());
}
