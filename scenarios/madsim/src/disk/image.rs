//! What a disk holds, twice: as its node sees it, and as a crash would leave it. Pure: the dice of a
//! crash are an argument. Knows no process and no time.

use bytes::Bytes;
use mooseng_core::chance::Dice;
use mooseng_core::env::{DiskError, OpenMode};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What a crash keeps or loses of a file, whole.
const SECTOR_BYTES: u64 = 512;
/// The longest file that fits.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 30;
/// Bytes of a disk.
pub(super) const DISK_BYTES: u64 = 1 << 40;

/// The number of a file or a directory; never reused, so what is open outlives its names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NodeId(usize);

const ROOT: NodeId = NodeId(0);

type Names = BTreeMap<String, NodeId>;

enum Node {
    Directory { live: Names, durable: Names },
    File(FileImage),
}

#[derive(Default)]
struct FileImage {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that no sync covers, and the number of the write that touched each last.
    unsynced: BTreeMap<u64, u64>,
    writes: u64,
}

/// What a sync has promised to make durable.
pub(super) struct Sync {
    sectors: BTreeMap<u64, u64>,
}

pub(super) struct Image {
    nodes: Vec<Node>,
}

fn io(path: &str, what: &str) -> DiskError {
    DiskError::Io { path: path.to_owned(), what: what.to_owned() }
}

fn not_found(path: &str) -> DiskError {
    DiskError::NotFound { path: path.to_owned() }
}

/// Refuses what could lead out of the data directory or name a file in two ways.
fn check(path: &str) -> Result<(), DiskError> {
    if path.contains('\0') || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(io(path, "a path is relative, without empty parts, `.`, `..` or NUL"));
    }
    Ok(())
}

impl Image {
    pub(super) fn new() -> Self {
        let root = Node::Directory { live: Names::new(), durable: Names::new() };
        Self { nodes: vec![root] }
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    fn names(&self, id: NodeId) -> Option<&Names> {
        match &self.nodes[id.0] {
            Node::Directory { live, .. } => Some(live),
            Node::File(_) => None,
        }
    }

    fn names_mut(&mut self, id: NodeId) -> &mut Names {
        match &mut self.nodes[id.0] {
            Node::Directory { live, .. } => live,
            Node::File(_) => unreachable!("it was found to be a directory"),
        }
    }

    fn file(&self, id: NodeId) -> &FileImage {
        match &self.nodes[id.0] {
            Node::File(file) => file,
            Node::Directory { .. } => unreachable!("only files are opened"),
        }
    }

    fn file_mut(&mut self, id: NodeId) -> &mut FileImage {
        match &mut self.nodes[id.0] {
            Node::File(file) => file,
            Node::Directory { .. } => unreachable!("only files are opened"),
        }
    }

    fn is_directory(&self, id: NodeId) -> bool {
        matches!(self.nodes[id.0], Node::Directory { .. })
    }

    /// The directory at a path; the empty one is the data directory.
    fn directory(&self, path: &str, asked: &str) -> Result<NodeId, DiskError> {
        let mut at = ROOT;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let names = self.names(at).ok_or_else(|| io(asked, "not a directory"))?;
            at = *names.get(part).ok_or_else(|| not_found(asked))?;
        }
        if self.is_directory(at) { Ok(at) } else { Err(io(asked, "not a directory")) }
    }

    /// The directory a name is in, and the name.
    fn place<'a>(&self, path: &'a str) -> Result<(NodeId, &'a str), DiskError> {
        check(path)?;
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.directory(parent, path)?, name))
    }

    fn lookup(&self, directory: NodeId, name: &str) -> Option<NodeId> {
        self.names(directory).and_then(|names| names.get(name)).copied()
    }

    pub(super) fn open(&mut self, path: &str, mode: OpenMode) -> Result<NodeId, DiskError> {
        let (directory, name) = self.place(path)?;
        match (self.lookup(directory, name), mode) {
            (Some(_), OpenMode::New) => Err(DiskError::Exists { path: path.to_owned() }),
            (Some(id), OpenMode::Existing) if self.is_directory(id) => Err(io(path, "it is a directory")),
            (Some(id), OpenMode::Existing) => Ok(id),
            (None, OpenMode::Existing) => Err(not_found(path)),
            (None, OpenMode::New) => {
                let id = self.add(Node::File(FileImage::default()));
                self.names_mut(directory).insert(name.to_owned(), id);
                Ok(id)
            }
        }
    }

    pub(super) fn rename(&mut self, source: &str, target: &str) -> Result<(), DiskError> {
        let (source_directory, source_name) = self.place(source)?;
        let (target_directory, target_name) = self.place(target)?;
        let id = self.lookup(source_directory, source_name).ok_or_else(|| not_found(source))?;
        let replaced = self.lookup(target_directory, target_name);
        if self.is_directory(id) || replaced.is_some_and(|id| self.is_directory(id)) {
            return Err(io(target, "directories are not renamed here"));
        }
        self.names_mut(source_directory).remove(source_name);
        self.names_mut(target_directory).insert(target_name.to_owned(), id);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &str) -> Result<(), DiskError> {
        let (directory, name) = self.place(path)?;
        let id = self.lookup(directory, name).ok_or_else(|| not_found(path))?;
        if self.is_directory(id) {
            return Err(io(path, "it is a directory"));
        }
        self.names_mut(directory).remove(name);
        Ok(())
    }

    pub(super) fn create_dir(&mut self, path: &str) -> Result<(), DiskError> {
        if path.is_empty() {
            return Ok(());
        }
        check(path)?;
        let mut at = ROOT;
        for part in path.split('/') {
            if !self.is_directory(at) {
                return Err(io(path, "not a directory"));
            }
            at = match self.lookup(at, part) {
                Some(id) => id,
                None => {
                    let id = self.add(Node::Directory { live: Names::new(), durable: Names::new() });
                    self.names_mut(at).insert(part.to_owned(), id);
                    id
                }
            };
        }
        if self.is_directory(at) { Ok(()) } else { Err(io(path, "not a directory")) }
    }

    fn directory_at(&self, path: &str) -> Result<NodeId, DiskError> {
        if !path.is_empty() {
            check(path)?;
        }
        self.directory(path, path)
    }

    /// A map by name is sorted by its bytes.
    pub(super) fn list(&self, path: &str) -> Result<Vec<String>, DiskError> {
        let directory = self.directory_at(path)?;
        Ok(self.names(directory).into_iter().flat_map(|names| names.keys().cloned()).collect())
    }

    pub(super) fn sync_dir(&mut self, path: &str) -> Result<(), DiskError> {
        let directory = self.directory_at(path)?;
        if let Node::Directory { live, durable } = &mut self.nodes[directory.0] {
            durable.clone_from(live);
        }
        Ok(())
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let bytes = |node: &Node| match node {
            Node::File(file) => file.live.len() as u64,
            Node::Directory { .. } => 0,
        };
        self.nodes.iter().map(bytes).sum()
    }

    /// Sectors whose fate a crash would draw.
    pub(super) fn unsynced_sectors(&self) -> usize {
        let sectors = |node: &Node| match node {
            Node::File(file) => file.unsynced.len(),
            Node::Directory { .. } => 0,
        };
        self.nodes.iter().map(sectors).sum()
    }

    pub(super) fn read_at(&self, file: NodeId, offset: u64, len: usize) -> Bytes {
        let live = &self.file(file).live;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(live.len());
        let end = start.saturating_add(len).min(live.len());
        Bytes::copy_from_slice(&live[start..end])
    }

    pub(super) fn length(&self, file: NodeId) -> u64 {
        self.file(file).live.len() as u64
    }

    pub(super) fn write_at(&mut self, file: NodeId, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= FILE_BYTES_MAX);
        let end = end.ok_or_else(|| io("", "no file here is as long as that"))?;
        if bytes.is_empty() {
            return Ok(());
        }
        let image = self.file_mut(file);
        if image.live.len() < end as usize {
            image.live.resize(end as usize, 0);
        }
        image.live[offset as usize..end as usize].copy_from_slice(bytes);
        image.touch(offset, end);
        Ok(())
    }

    pub(super) fn set_len(&mut self, file: NodeId, len: u64) -> Result<(), DiskError> {
        if len > FILE_BYTES_MAX {
            return Err(io("", "no file here is as long as that"));
        }
        let image = self.file_mut(file);
        let old = image.live.len() as u64;
        image.live.resize(len as usize, 0);
        match old.cmp(&len) {
            Ordering::Less => image.touch(len - 1, len),
            Ordering::Equal => {}
            Ordering::Greater => image.touch(len, old),
        }
        Ok(())
    }

    /// What has been written so far, for [`Self::finish_sync`] to make durable.
    pub(super) fn start_sync(&self, file: NodeId) -> Sync {
        Sync { sectors: self.file(file).unsynced.clone() }
    }

    pub(super) fn finish_sync(&mut self, file: NodeId, sync: &Sync) {
        let image = self.file_mut(file);
        image.durable.resize(image.live.len(), 0);
        for (sector, write) in &sync.sectors {
            image.keep(*sector);
            if image.unsynced.get(sector) == Some(write) {
                image.unsynced.remove(sector);
            }
        }
    }

    /// What is left when the power fails: of each directory its names as they were at its last sync
    /// or as they are now, of each file any of the sectors that were not synced, and either length.
    pub(super) fn crash(&mut self, dice: &mut impl Dice) {
        for node in &mut self.nodes {
            match node {
                Node::Directory { live, durable } => {
                    if live != durable && dice.chance(500_000) {
                        durable.clone_from(live);
                    }
                    live.clone_from(durable);
                }
                Node::File(file) => file.crash(dice),
            }
        }
    }
}

impl FileImage {
    fn touch(&mut self, start: u64, end: u64) {
        self.writes += 1;
        for sector in start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            self.unsynced.insert(sector, self.writes);
        }
    }

    /// Makes a sector durable as it is now.
    fn keep(&mut self, sector: u64) {
        let start = ((sector * SECTOR_BYTES) as usize).min(self.live.len());
        let end = (start + SECTOR_BYTES as usize).min(self.live.len());
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[start..end].copy_from_slice(&self.live[start..end]);
    }

    fn crash(&mut self, dice: &mut impl Dice) {
        if self.unsynced.is_empty() {
            return;
        }
        for sector in std::mem::take(&mut self.unsynced).into_keys() {
            if dice.chance(500_000) {
                self.keep(sector);
            }
        }
        if dice.chance(500_000) {
            self.durable.resize(self.live.len(), 0);
        }
        self.live.clone_from(&self.durable);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::chance::stream;

    fn crashed(seed: u64, prepare: impl Fn(&mut Image)) -> Image {
        let mut image = Image::new();
        prepare(&mut image);
        image.crash(&mut stream(seed, "crash", 0, 0));
        image
    }

    #[test]
    fn what_was_synced_survives_and_nothing_else_is_sure() {
        let mut lengths = [0; 3];
        for seed in 0..200 {
            let mut image = crashed(seed, |image| {
                let file = image.open("file", OpenMode::New).unwrap();
                image.write_at(file, 0, &[1; 512]).unwrap();
                let sync = image.start_sync(file);
                image.write_at(file, 512, &[2; 512]).unwrap();
                image.finish_sync(file, &sync);
                image.sync_dir("").unwrap();
                image.open("unsynced", OpenMode::New).unwrap();
            });
            let file = image.open("file", OpenMode::Existing).unwrap();
            assert_eq!(image.read_at(file, 0, 512), [1; 512].as_slice());
            let second = image.read_at(file, 512, 512);
            assert!(second.iter().all(|byte| *byte == second[0]), "sectors are not torn");
            lengths[usize::from(second.first().copied().unwrap_or(0))] += 1;
            let names = image.list("").unwrap();
            assert!(names == ["file"] || names == ["file", "unsynced"], "{names:?}");
        }
        assert!(lengths[0] > 50 && lengths[2] > 50, "both fates of a sector are met: {lengths:?}");
    }

    #[test]
    fn a_write_during_a_sync_stays_unsynced() {
        let mut lost = 0;
        for seed in 0..100 {
            let mut image = crashed(seed, |image| {
                let file = image.open("file", OpenMode::New).unwrap();
                image.sync_dir("").unwrap();
                image.write_at(file, 0, &[1; 512]).unwrap();
                let sync = image.start_sync(file);
                image.finish_sync(file, &sync);
                image.write_at(file, 0, &[2; 512]).unwrap();
            });
            let file = image.open("file", OpenMode::Existing).unwrap();
            let found = image.read_at(file, 0, 512);
            assert!(found == [1; 512].as_slice() || found == [2; 512].as_slice());
            lost += u32::from(found[0] == 1);
        }
        assert!((20..80).contains(&lost), "{lost}");
    }
}
