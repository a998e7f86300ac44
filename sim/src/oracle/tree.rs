//! G8: the tree stays a tree: no cycles, no orphans, no dangling names, right link counts.
//!
//! Judges every replica's final state by itself, whatever operations led there.

use super::{End, Oracle, Promise, Violation};
use crate::model::{Tree, TreeEntry};
use mooseng_core::id::{IdKind, InodeId};
use mooseng_core::namespace::{Attr, FileKind};
use std::collections::{BTreeMap, BTreeSet};

pub struct WellFormed;

impl Oracle for WellFormed {
    fn name(&self) -> &'static str {
        "tree"
    }

    fn promise(&self) -> Promise {
        Promise(8)
    }

    fn finish(&mut self, end: &End<'_>) -> Result<(), Violation> {
        for replica in end.replicas {
            well_formed(&replica.tree)
                .map_err(|what| self.violation(end.at, format!("on {}: {what}", replica.node)))?;
        }
        Ok(())
    }
}

/// Is this a tree? The error names what is not.
pub fn well_formed(tree: &Tree) -> Result<(), String> {
    let mut inodes: BTreeMap<InodeId, &Attr> = BTreeMap::new();
    for attr in &tree.inodes {
        if inodes.insert(attr.inode, attr).is_some() {
            return Err(format!("inode {:?} is there twice", attr.inode));
        }
        let directory = attr.kind == FileKind::Directory;
        if directory != (attr.inode.kind() == IdKind::Directory) {
            return Err(format!("inode {:?} is a {:?}", attr.inode, attr.kind));
        }
    }
    let is_directory = |id: &InodeId| inodes.get(id).is_some_and(|attr| attr.kind == FileKind::Directory);
    if !is_directory(&InodeId::ROOT) {
        return Err("there is no root directory".to_owned());
    }
    let mut names = BTreeSet::new();
    let mut count: BTreeMap<InodeId, u32> = BTreeMap::new();
    for entry in &tree.entries {
        let TreeEntry { parent, name, inode } = entry;
        if !is_directory(parent) {
            return Err(format!("the name {name:?} is in {parent:?}, which is no directory"));
        }
        if !inodes.contains_key(inode) {
            return Err(format!("the name {name:?} in {parent:?} dangles: there is no inode {inode:?}"));
        }
        if !names.insert((parent, name)) {
            return Err(format!("the name {name:?} is in {parent:?} twice"));
        }
        *count.entry(*inode).or_default() += 1;
        if is_directory(inode) {
            *count.entry(*parent).or_default() += 1; // Its `..`.
        }
    }
    links_are_right(&inodes, &tree.entries, &count)?;
    everything_hangs_from_the_root(&inodes, &tree.entries)
}

fn links_are_right(
    inodes: &BTreeMap<InodeId, &Attr>,
    entries: &[TreeEntry],
    count: &BTreeMap<InodeId, u32>,
) -> Result<(), String> {
    let mut directories = BTreeSet::new();
    for entry in entries.iter().filter(|entry| entry.inode.kind() == IdKind::Directory) {
        if entry.inode == InodeId::ROOT {
            return Err(format!("the root has a name: {:?} in {:?}", entry.name, entry.parent));
        }
        if !directories.insert(entry.inode) {
            return Err(format!("directory {:?} has two names", entry.inode));
        }
    }
    for (id, attr) in inodes {
        // A directory's `.` counts, and the root is its own parent.
        let own = if attr.kind == FileKind::Directory { 1 + u32::from(*id == InodeId::ROOT) } else { 0 };
        let links = count.get(id).copied().unwrap_or(0) + own;
        if attr.links != links {
            return Err(format!("inode {id:?} says {} links and has {links}", attr.links));
        }
    }
    Ok(())
}

fn everything_hangs_from_the_root(
    inodes: &BTreeMap<InodeId, &Attr>,
    entries: &[TreeEntry],
) -> Result<(), String> {
    let mut children: BTreeMap<InodeId, Vec<InodeId>> = BTreeMap::new();
    for entry in entries {
        children.entry(entry.parent).or_default().push(entry.inode);
    }
    let mut reached = BTreeSet::new();
    let mut left = vec![InodeId::ROOT];
    while let Some(id) = left.pop() {
        if reached.insert(id) {
            left.extend(children.get(&id).into_iter().flatten());
        }
    }
    // Somebody may have a file without a name open.
    let open = |attr: &Attr| attr.links == 0 && attr.kind != FileKind::Directory;
    match inodes.iter().find(|(id, attr)| !reached.contains(*id) && !open(attr)).map(|(id, _)| id) {
        None => Ok(()),
        Some(lost) => Err(format!("inode {lost:?} cannot be reached from the root")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, attr, directory, entry, file, name, root_tree, verdict};
    use super::*;

    fn tree() -> Tree {
        let mut tree = root_tree();
        tree.inodes[0].links = 3;
        tree.inodes.push(attr(directory(2), 2, 1));
        tree.inodes.push(attr(file(1), 2, 1));
        let root = InodeId::ROOT;
        tree.entries = vec![
            entry(root, "d", directory(2)),
            entry(root, "f", file(1)),
            entry(directory(2), "g", file(1)),
        ];
        tree
    }

    #[test]
    fn every_way_of_not_being_a_tree_is_found() {
        assert_eq!(well_formed(&tree()), Ok(()));
        let broken = |breaks: &dyn Fn(&mut Tree), words: &str| {
            let mut tree = tree();
            breaks(&mut tree);
            let what = well_formed(&tree).unwrap_err();
            assert!(what.contains(words), "{what}");
        };
        broken(&|tree| tree.inodes[2].links = 1, "says 1 links and has 2");
        broken(&|tree| tree.inodes[0].links = 2, "says 2 links and has 3");
        broken(&|tree| tree.inodes.push(attr(directory(9), 1, 1)), "cannot be reached");
        broken(&|tree| tree.entries.push(entry(InodeId::ROOT, "x", file(8))), "dangles");
        broken(&|tree| tree.entries.push(entry(InodeId::ROOT, "x", directory(2))), "has two names");
        broken(&|tree| tree.entries.push(entry(directory(2), "x", InodeId::ROOT)), "the root has a name");
        broken(&|tree| tree.entries.push(entry(file(1), "x", file(1))), "is no directory");
        broken(&|tree| tree.entries.push(entry(InodeId::ROOT, "f", file(1))), "twice");
        broken(&|tree| tree.inodes.push(attr(file(1), 2, 1)), "there twice");
        broken(&|tree| tree.inodes[1].kind = FileKind::Regular, "is a Regular");
        broken(&|tree| tree.inodes.truncate(0), "no root");
    }

    #[test]
    fn a_cycle_apart_from_the_root_is_found() {
        let mut tree = root_tree();
        tree.inodes.push(attr(directory(2), 3, 1));
        tree.inodes.push(attr(directory(3), 3, 1));
        tree.entries = vec![entry(directory(2), "a", directory(3)), entry(directory(3), "b", directory(2))];
        assert!(well_formed(&tree).unwrap_err().contains("cannot be reached from the root"));
    }

    #[test]
    fn a_broken_tree_on_a_replica_is_reported() {
        let script = Script::new();
        let mut tree = root_tree();
        tree.entries.push(TreeEntry { parent: InodeId::ROOT, name: name("ghost"), inode: file(5) });
        let violation = verdict(WellFormed, &script, &[script.replica(2, tree)]).unwrap();
        assert_eq!((violation.oracle, violation.promise), ("tree", Promise(8)));
        assert!(violation.what.starts_with("on meta-2: the name \"ghost\""), "{violation}");
    }
}
