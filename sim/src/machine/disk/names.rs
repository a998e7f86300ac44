//! Directories: the names that are there now, the names that a power cut would leave, and what
//! was done in between, in order. Files are mere keys here.

use super::super::slab::{Key, Slab};
use mooseng_core::env::DiskError;
use std::collections::{BTreeMap, BTreeSet};

/// What a name means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    File(Key),
    Directory(Key),
}

type Names = BTreeMap<String, Entry>;

#[derive(Clone, Default)]
pub(crate) struct Directory {
    live: Names,
    durable: Names,
}

/// A name in a directory.
type Place = (Key, String);

/// One change that is not durable yet: all of its names or none.
#[derive(Clone)]
struct Change(Vec<(Place, Option<Entry>)>);

impl Change {
    fn touches(&self, directory: Key) -> bool {
        self.0.iter().any(|((of, _), _)| *of == directory)
    }
}

pub(crate) struct Tree {
    directories: Slab<Directory>,
    root: Key,
    pending: Vec<Change>,
}

/// The names that are durable, as an image to go back to.
#[derive(Clone)]
pub(crate) struct DurableNames(Vec<(Key, Names)>);

pub(crate) fn not_found(path: &str) -> DiskError {
    DiskError::NotFound { path: path.into() }
}

pub(crate) fn io(path: &str, what: &str) -> DiskError {
    DiskError::Io { path: path.into(), what: what.into() }
}

impl Default for Tree {
    fn default() -> Self {
        let mut directories = Slab::default();
        let root = directories.insert(Directory::default());
        Self { directories, root, pending: Vec::new() }
    }
}

impl Tree {
    fn directory(&self, key: Key) -> &Directory {
        match self.directories.get(key) {
            Some(directory) => directory,
            None => unreachable!("directories that an entry names are kept"),
        }
    }

    fn directory_mut(&mut self, key: Key) -> &mut Directory {
        match self.directories.get_mut(key) {
            Some(directory) => directory,
            None => unreachable!("directories that an entry names are kept"),
        }
    }

    pub(crate) fn find_directory(&self, path: &str) -> Result<Key, DiskError> {
        if !path.is_empty() {
            check_path(path)?;
        }
        let mut at = self.root;
        for name in path.split('/').filter(|_| !path.is_empty()) {
            at = match self.directory(at).live.get(name) {
                Some(Entry::Directory(key)) => *key,
                Some(Entry::File(_)) => return Err(io(path, "not a directory")),
                None => return Err(not_found(path)),
            };
        }
        Ok(at)
    }

    /// The directory that a path's last name is in, and that name.
    fn place(&self, path: &str) -> Result<Place, DiskError> {
        check_path(path)?;
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.find_directory(parent).map_err(|error| match error {
            DiskError::NotFound { .. } => not_found(path),
            other => other,
        })?;
        Ok((parent, name.to_string()))
    }

    fn get(&self, place: &Place) -> Option<Entry> {
        self.directory(place.0).live.get(&place.1).copied()
    }

    pub(crate) fn find(&self, path: &str) -> Result<Option<Entry>, DiskError> {
        Ok(self.get(&self.place(path)?))
    }

    fn change(&mut self, change: Vec<(Place, Option<Entry>)>) {
        for ((directory, name), entry) in &change {
            let live = &mut self.directory_mut(*directory).live;
            match entry {
                Some(entry) => drop(live.insert(name.clone(), *entry)),
                None => drop(live.remove(name)),
            }
        }
        self.pending.push(Change(change));
    }

    pub(crate) fn add_file(&mut self, path: &str, file: Key) -> Result<(), DiskError> {
        let place = self.place(path)?;
        assert!(self.get(&place).is_none(), "{path} is there already");
        self.change(vec![(place, Some(Entry::File(file)))]);
        Ok(())
    }

    /// Gives the file whose name was removed.
    pub(crate) fn remove(&mut self, path: &str) -> Result<Key, DiskError> {
        let place = self.place(path)?;
        match self.get(&place) {
            Some(Entry::File(file)) => {
                self.change(vec![(place, None)]);
                Ok(file)
            }
            Some(Entry::Directory(_)) => Err(io(path, "it is a directory")),
            None => Err(not_found(path)),
        }
    }

    /// Gives the file that was moved, and the one whose place it took.
    pub(crate) fn rename(&mut self, source: &str, target: &str) -> Result<(Key, Option<Key>), DiskError> {
        let (from, to) = (self.place(source)?, self.place(target)?);
        let moved = match self.get(&from) {
            Some(Entry::File(file)) => file,
            Some(Entry::Directory(_)) => return Err(io(source, "it is a directory")),
            None => return Err(not_found(source)),
        };
        let replaced = match self.get(&to) {
            Some(Entry::Directory(_)) => return Err(io(target, "it is a directory")),
            Some(Entry::File(file)) => Some(file),
            None => None,
        };
        if from == to {
            return Ok((moved, None));
        }
        self.change(vec![(from, None), (to, Some(Entry::File(moved)))]);
        Ok((moved, replaced))
    }

    pub(crate) fn create_directories(&mut self, path: &str) -> Result<(), DiskError> {
        if !path.is_empty() {
            check_path(path)?;
        }
        let mut at = self.root;
        for name in path.split('/').filter(|_| !path.is_empty()) {
            at = match self.directory(at).live.get(name) {
                Some(Entry::Directory(key)) => *key,
                Some(Entry::File(_)) => return Err(io(path, "a file is in the way")),
                None => {
                    let key = self.directories.insert(Directory::default());
                    self.change(vec![((at, name.to_string()), Some(Entry::Directory(key)))]);
                    key
                }
            };
        }
        Ok(())
    }

    pub(crate) fn list(&self, path: &str) -> Result<Vec<String>, DiskError> {
        Ok(self.directory(self.find_directory(path)?).live.keys().cloned().collect())
    }

    /// The changes that a sync of a directory, begun now, will make durable: those that touch it,
    /// and before them those that they build upon.
    pub(crate) fn sync(&mut self, directory: Key) {
        for change in self.take_pending(directory) {
            self.make_durable(change);
        }
    }

    /// As [`Tree::sync`], but of those changes only the ones that `keeps` says become durable, and
    /// the others never will.
    pub(crate) fn fail_sync(&mut self, directory: Key, mut keeps: impl FnMut() -> bool) {
        for change in self.take_pending(directory) {
            if keeps() {
                self.make_durable(change);
            }
        }
    }

    fn take_pending(&mut self, directory: Key) -> Vec<Change> {
        let mut needed: BTreeSet<Place> = BTreeSet::new();
        let mut keep = vec![false; self.pending.len()];
        for (index, change) in self.pending.iter().enumerate().rev() {
            if change.touches(directory) || change.0.iter().any(|(place, _)| needed.contains(place)) {
                keep[index] = true;
                needed.extend(change.0.iter().map(|(place, _)| place.clone()));
            }
        }
        let (mut taken, mut kept) = (Vec::new(), keep.into_iter());
        for change in std::mem::take(&mut self.pending) {
            if kept.next() == Some(true) { taken.push(change) } else { self.pending.push(change) }
        }
        taken
    }

    fn make_durable(&mut self, change: Change) {
        for ((directory, name), entry) in change.0 {
            let durable = &mut self.directory_mut(directory).durable;
            match entry {
                Some(entry) => drop(durable.insert(name, entry)),
                None => drop(durable.remove(&name)),
            }
        }
    }

    /// The power fails: each change that is not durable is kept or lost as `keeps` says, but none
    /// is kept that builds upon a lost one. What is durable is then what is there.
    pub(crate) fn crash(&mut self, mut keeps: impl FnMut() -> bool) {
        let mut lost: BTreeSet<Place> = BTreeSet::new();
        for change in std::mem::take(&mut self.pending) {
            let keep = keeps() && !change.0.iter().any(|(place, _)| lost.contains(place));
            if keep {
                self.make_durable(change);
            } else {
                lost.extend(change.0.into_iter().map(|(place, _)| place));
            }
        }
        self.revert();
    }

    fn revert(&mut self) {
        let reachable = self.reachable(|directory| &directory.durable).1;
        for key in self.directories.keys() {
            if !reachable.contains(&key) {
                self.directories.remove(key);
            }
        }
        for (_, directory) in self.directories.iter_mut() {
            directory.live = directory.durable.clone();
        }
    }

    /// The files and the directories that can be reached over names of one sort.
    fn reachable(&self, names: impl Fn(&Directory) -> &Names) -> (BTreeSet<Key>, BTreeSet<Key>) {
        let (mut files, mut directories) = (BTreeSet::new(), BTreeSet::from([self.root]));
        let mut left = vec![self.root];
        while let Some(key) = left.pop() {
            for entry in names(self.directory(key)).values() {
                match entry {
                    Entry::File(file) => drop(files.insert(*file)),
                    Entry::Directory(directory) => {
                        if directories.insert(*directory) {
                            left.push(*directory);
                        }
                    }
                }
            }
        }
        (files, directories)
    }

    /// Every file that a name, durable or not, or a change that is not durable yet leads to.
    pub(crate) fn files_needed(&self) -> BTreeSet<Key> {
        let mut files = BTreeSet::new();
        let mut add = |entry: &Entry| {
            if let Entry::File(file) = entry {
                files.insert(*file);
            }
        };
        for (_, directory) in self.directories.iter() {
            directory.live.values().for_each(&mut add);
            directory.durable.values().for_each(&mut add);
        }
        let pending = self.pending.iter().flat_map(|change| &change.0);
        pending.filter_map(|(_, entry)| entry.as_ref()).for_each(&mut add);
        files
    }

    pub(crate) fn durable(&self) -> DurableNames {
        DurableNames(
            self.directories.iter().map(|(key, directory)| (key, directory.durable.clone())).collect(),
        )
    }
}

impl DurableNames {
    /// Builds the tree anew, with files under the keys that `file` gives them.
    pub(crate) fn restore(&self, root: Key, mut file: impl FnMut(Key) -> Key) -> Tree {
        let mut tree = Tree::default();
        let mut keys: BTreeMap<Key, Key> = BTreeMap::from([(root, tree.root)]);
        for (key, _) in self.0.iter().filter(|(key, _)| *key != root) {
            keys.insert(*key, tree.directories.insert(Directory::default()));
        }
        for (key, names) in &self.0 {
            let durable: Names = names
                .iter()
                .filter_map(|(name, entry)| {
                    let entry = match entry {
                        Entry::File(key) => Entry::File(file(*key)),
                        Entry::Directory(key) => Entry::Directory(*keys.get(key)?),
                    };
                    Some((name.clone(), entry))
                })
                .collect();
            tree.directory_mut(keys[key]).durable = durable;
        }
        tree.revert();
        tree
    }
}

impl Tree {
    pub(crate) fn root(&self) -> Key {
        self.root
    }
}

fn check_path(path: &str) -> Result<(), DiskError> {
    let bad = |name: &str| name.is_empty() || name == "." || name == ".." || name.contains('\0');
    if path.split('/').any(bad) {
        return Err(io(path, "no path: a part of it is empty, `.` or `..`, or holds a NUL"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32) -> Key {
        Key { index, generation: 0 }
    }

    /// After every crash that keeps a subset of a create, a rename over it and a second create,
    /// the old file or the new one is at the name, whole.
    #[test]
    fn a_change_is_never_kept_without_those_it_builds_upon() {
        for choice in 0..16_u32 {
            let mut tree = Tree::default();
            tree.add_file("final", key(1)).unwrap();
            tree.sync(tree.root());
            tree.add_file("new", key(2)).unwrap();
            tree.rename("new", "final").unwrap();
            tree.add_file("new", key(3)).unwrap();
            tree.rename("new", "final").unwrap();
            let mut bit = 0;
            tree.crash(|| {
                bit += 1;
                choice & (1 << (bit - 1)) != 0
            });
            let names = tree.list("").unwrap();
            assert!(names.contains(&"final".to_string()), "{choice:b}: {names:?}");
            // Files that are lost can only be those that never were at the name.
            let Some(Entry::File(at)) = tree.find("final").unwrap() else { unreachable!() };
            let kept = (0..4).take_while(|bit| choice & (1 << bit) != 0).count();
            let expected = [1, 1, 2, 2, 3][kept];
            assert_eq!(at, key(expected), "{choice:b}");
        }
    }

    #[test]
    fn independent_names_are_lost_independently() {
        let mut tree = Tree::default();
        tree.add_file("a", key(1)).unwrap();
        tree.add_file("b", key(2)).unwrap();
        let mut first = true;
        tree.crash(|| !std::mem::take(&mut first));
        assert_eq!(tree.list("").unwrap(), ["b"]);
    }

    #[test]
    fn a_directory_whose_name_is_lost_takes_its_files_along() {
        let mut tree = Tree::default();
        tree.create_directories("x/y").unwrap();
        tree.add_file("x/y/f", key(1)).unwrap();
        let inner = tree.find_directory("x/y").unwrap();
        tree.sync(inner);
        tree.crash(|| false);
        assert_eq!(tree.list("").unwrap(), Vec::<String>::new());
        assert!(matches!(tree.list("x"), Err(DiskError::NotFound { .. })));
    }

    #[test]
    fn paths_that_are_none_are_refused() {
        let mut tree = Tree::default();
        for bad in ["", "/a", "a//b", "..", "a/./b", "a/"] {
            assert!(tree.add_file(bad, key(1)).is_err(), "{bad}");
        }
    }
}
