//! A disk with two images of everything: what readers see, and what would be left if the power
//! went now.

use super::{Dump, Machine};
use crate::field::ancestors;
use bytes::Bytes;
use mooseng_core::chance::Dice;
use mooseng_core::env::{Disk, DiskError, Extent, File, OpenMode, Space};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

/// What this disk writes whole or not at all.
pub(crate) const SECTOR: usize = 512;

#[derive(Clone, Default)]
struct Image {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors written since the last sync.
    dirty: BTreeSet<usize>,
}

#[derive(Clone)]
enum NameChange {
    Add(String, u64),
    Remove(String),
    Rename(String, String),
}

#[derive(Clone, Default)]
struct Names(BTreeMap<String, u64>);

impl Names {
    fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Add(name, file) => {
                self.0.insert(name.clone(), *file);
            }
            NameChange::Remove(name) => {
                self.0.remove(name);
            }
            NameChange::Rename(source, target) => {
                if let Some(file) = self.0.remove(source) {
                    self.0.insert(target.clone(), file);
                }
            }
        }
    }
}

/// All files and names of a machine.
#[derive(Clone, Default)]
pub(crate) struct Images {
    files: BTreeMap<u64, Image>,
    directories: BTreeSet<String>,
    live: Names,
    durable: Names,
    /// Changes of names since the last sync of their directory, in order.
    pending: Vec<(String, NameChange)>,
    /// Sectors that cannot be read.
    pub(crate) unreadable: BTreeSet<(String, usize)>,
    /// The most bytes all files may have together.
    pub(crate) bytes_max: Option<usize>,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Image {
    fn grow(&mut self, len: usize) {
        if len > self.live.len() {
            let from = self.live.len() / SECTOR;
            self.live.resize(len, 0);
            self.dirty.extend(from..len.div_ceil(SECTOR));
        }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.grow(offset + bytes.len());
        self.live[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR..(offset + bytes.len()).div_ceil(SECTOR));
    }

    fn sync(&mut self) {
        self.durable.resize(self.live.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            self.keep(sector);
        }
    }

    fn keep(&mut self, sector: usize) {
        let end = ((sector + 1) * SECTOR).min(self.live.len());
        if sector * SECTOR < end {
            self.durable[sector * SECTOR..end].copy_from_slice(&self.live[sector * SECTOR..end]);
        }
    }

    fn lose_power(&mut self, dice: &mut ChaCha8Rng) {
        if self.durable.len() != self.live.len() && dice.below(2) == 0 {
            self.durable.resize(self.live.len(), 0);
        }
        // Sometimes all of it stays or none, so that these are seen too.
        let odds = *dice.pick(&[0, 500_000, 900_000, 1_000_000]);
        for sector in std::mem::take(&mut self.dirty) {
            if dice.chance(odds) && (sector + 1) * SECTOR <= self.durable.len() {
                self.keep(sector);
            }
        }
        self.live = self.durable.clone();
    }
}

impl Images {
    fn change(&mut self, path: &str, change: NameChange) {
        self.live.apply(&change);
        self.pending.push((parent(path).to_owned(), change));
    }

    fn find(&self, path: &str) -> Result<u64, DiskError> {
        self.live.0.get(path).copied().ok_or_else(|| DiskError::NotFound { path: path.to_owned() })
    }

    pub(super) fn lose_power(&mut self, dice: &mut ChaCha8Rng) {
        for image in self.files.values_mut() {
            image.lose_power(dice);
        }
        let mut kept: BTreeMap<String, usize> = BTreeMap::new();
        for (directory, _) in &self.pending {
            *kept.entry(directory.clone()).or_default() += 1;
        }
        for count in kept.values_mut() {
            *count = dice.below(*count as u64 + 1) as usize;
        }
        for (directory, change) in std::mem::take(&mut self.pending) {
            let left = kept.get_mut(&directory).unwrap();
            if *left > 0 {
                *left -= 1;
                self.durable.apply(&change);
            }
        }
        self.live = self.durable.clone();
    }

    /// The files as readers see them.
    pub(crate) fn dump(&self) -> Dump {
        self.live.0.iter().map(|(name, file)| (name.clone(), self.files[file].live.clone())).collect()
    }

    /// Changes a file behind everybody's back, on the disk itself.
    pub(crate) fn alter(&mut self, path: &str, alter: impl Fn(&mut Vec<u8>)) {
        let image = self.files.get_mut(&self.live.0[path]).unwrap();
        alter(&mut image.live);
        alter(&mut image.durable);
    }

    /// Takes a file away, on the disk itself.
    pub(crate) fn lose(&mut self, path: &str) {
        self.live.0.remove(path);
        self.durable.0.remove(path);
    }

    /// Puts a file there, on the disk itself.
    pub(crate) fn put(&mut self, path: &str, bytes: &[u8]) {
        let file = self.files.len() as u64;
        self.files
            .insert(file, Image { live: bytes.to_vec(), durable: bytes.to_vec(), dirty: BTreeSet::new() });
        self.live.0.insert(path.to_owned(), file);
        self.durable.0.insert(path.to_owned(), file);
    }

    fn has_room_for(&self, more: usize) -> bool {
        let named: BTreeSet<u64> = self.live.0.values().chain(self.durable.0.values()).copied().collect();
        let used: usize = named.iter().map(|file| self.files[file].live.len()).sum();
        self.bytes_max.is_none_or(|max| used + more <= max)
    }
}

#[derive(Clone)]
pub(crate) struct TestFile {
    machine: Machine,
    path: String,
    file: u64,
}

/// No test sends one.
#[derive(Clone, Debug)]
pub(crate) struct NoExtent;

impl Extent for NoExtent {
    fn len(&self) -> u64 {
        0
    }
}

impl Disk for Machine {
    type Extent = NoExtent;
    type File = TestFile;

    async fn open(&self, path: &str, mode: OpenMode) -> Result<TestFile, DiskError> {
        self.operate(false).await?;
        let images = &mut self.world().images;
        let file = match (images.find(path), mode) {
            (Ok(file), OpenMode::Existing) => file,
            (Ok(_), OpenMode::New) => return Err(DiskError::Exists { path: path.to_owned() }),
            (Err(error), OpenMode::Existing) => return Err(error),
            (Err(_), OpenMode::New) => {
                let file = images.files.len() as u64;
                images.files.insert(file, Image::default());
                images.change(path, NameChange::Add(path.to_owned(), file));
                file
            }
        };
        Ok(TestFile { machine: self.clone(), path: path.to_owned(), file })
    }

    async fn rename(&self, source: &str, target: &str) -> Result<(), DiskError> {
        self.operate(false).await?;
        let images = &mut self.world().images;
        images.find(source)?;
        images.change(target, NameChange::Rename(source.to_owned(), target.to_owned()));
        Ok(())
    }

    async fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.operate(false).await?;
        let images = &mut self.world().images;
        images.find(path)?;
        images.change(path, NameChange::Remove(path.to_owned()));
        Ok(())
    }

    async fn create_dir(&self, path: &str) -> Result<(), DiskError> {
        self.operate(false).await?;
        let directories = &mut self.world().images.directories;
        directories.extend(ancestors(path).into_iter().chain([path]).map(str::to_owned));
        Ok(())
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, DiskError> {
        self.operate(false).await?;
        let images = &self.world().images;
        if !path.is_empty() && !images.directories.contains(path) {
            return Err(DiskError::NotFound { path: path.to_owned() });
        }
        let names = images.live.0.keys().filter(|name| parent(name) == path);
        Ok(names.map(|name| name.rsplit('/').next().unwrap().to_owned()).collect())
    }

    async fn sync_dir(&self, path: &str) -> Result<(), DiskError> {
        self.operate(true).await?;
        let images = &mut self.world().images;
        let (synced, pending) =
            std::mem::take(&mut images.pending).into_iter().partition(|(directory, _)| directory == path);
        images.pending = pending;
        let synced: Vec<(String, NameChange)> = synced;
        synced.iter().for_each(|(_, change)| images.durable.apply(change));
        Ok(())
    }

    async fn space(&self) -> Result<Space, DiskError> {
        Ok(Space { total: 1 << 40, free: 1 << 39 })
    }
}

impl File for TestFile {
    type Extent = NoExtent;

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        self.machine.operate(false).await?;
        let images = &self.machine.world().images;
        let live = &images.files[&self.file].live;
        let start = (offset as usize).min(live.len());
        let end = (start + len).min(live.len());
        let sectors = start / SECTOR..end.div_ceil(SECTOR);
        if images.unreadable.iter().any(|(path, sector)| *path == self.path && sectors.contains(sector)) {
            return Err(DiskError::Io { path: self.path.clone(), what: "a sector is bad".to_owned() });
        }
        Ok(Bytes::copy_from_slice(&live[start..end]))
    }

    async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<(), DiskError> {
        // The write reaches the cache before it returns, and the power may go in between.
        {
            let images = &mut self.machine.world().images;
            let end = offset as usize + bytes.len();
            let more = end.saturating_sub(images.files[&self.file].live.len());
            if !images.has_room_for(more) {
                return Err(DiskError::NoSpace { path: self.path.clone() });
            }
            images.files.get_mut(&self.file).unwrap().write(offset as usize, &bytes);
        }
        self.machine.operate(false).await
    }

    async fn sync(&self) -> Result<(), DiskError> {
        let result = self.machine.operate(true).await;
        let mut world = self.machine.world();
        let image = world.images.files.get_mut(&self.file).unwrap();
        match result {
            Ok(()) => image.sync(),
            // The cache gives up what it could not write and believes it clean.
            Err(_) => image.dirty.clear(),
        }
        result
    }

    async fn length(&self) -> Result<u64, DiskError> {
        self.machine.operate(false).await?;
        Ok(self.machine.world().images.files[&self.file].live.len() as u64)
    }

    async fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.machine.operate(false).await?;
        let mut world = self.machine.world();
        let image = world.images.files.get_mut(&self.file).unwrap();
        image.live.truncate(len as usize);
        image.grow(len as usize);
        Ok(())
    }

    async fn extent(&self, _offset: u64, _len: u64) -> Result<NoExtent, DiskError> {
        Ok(NoExtent)
    }
}
