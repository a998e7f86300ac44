//! A whole state from outside, as a replica holds it at the end, and its comparison with the model.

use super::{Maker, Model, ROOT};
use mooseng_core::id::{InodeId, SessionId, SliceId};
use mooseng_core::namespace::{Attr, FileExtent, FileKind, Name};
use std::collections::BTreeMap;

/// A name in a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TreeEntry {
    pub parent: InodeId,
    pub name: Name,
    pub inode: InodeId,
}

/// What a state holds, in whatever order: inodes, names, extents, slices and sessions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tree {
    pub inodes: Vec<Attr>,
    pub entries: Vec<TreeEntry>,
    pub extents: Vec<(InodeId, FileExtent)>,
    pub live: Vec<SliceId>,
    pub pending: Vec<(SliceId, SessionId)>,
    pub condemned: Vec<SliceId>,
    pub sessions: Vec<SessionId>,
}

impl Tree {
    /// What has no name, and is there because somebody may have it open.
    pub fn orphans(&self) -> impl Iterator<Item = InodeId> + '_ {
        let orphans = self.inodes.iter().filter(|attr| attr.links == 0 && attr.kind != FileKind::Directory);
        orphans.map(|attr| attr.inode)
    }
}

impl Model {
    /// Does the tree hold what the model holds, and nothing else? Learns the ids that no answer
    /// has shown yet. The error says what the model expects.
    pub fn compare(&mut self, tree: &Tree) -> Result<(), String> {
        let inodes: BTreeMap<InodeId, &Attr> = tree.inodes.iter().map(|attr| (attr.inode, attr)).collect();
        let mut names: BTreeMap<InodeId, Vec<&TreeEntry>> = BTreeMap::new();
        for entry in &tree.entries {
            names.entry(entry.parent).or_default().push(entry);
        }
        let mut left: Vec<(Maker, InodeId)> = vec![(ROOT, InodeId::ROOT)];
        let mut shown = BTreeMap::new();
        while let Some((maker, id)) = left.pop() {
            match shown.insert(maker, id) {
                None => {}
                // Another name of a file.
                Some(before) if before == id => continue,
                Some(before) => return Err(format!("all names of {before:?} on it, not one on {id:?}")),
            }
            // A name too many or too few says more than the link count it leads to.
            left.extend(self.compare_names(maker, names.get(&id).map_or(&[], Vec::as_slice))?);
            self.compare_inode(maker, id, &inodes)?;
        }
        let named: Vec<InodeId> = shown.values().copied().collect();
        for attr in inodes.values().filter(|attr| !named.contains(&attr.inode)) {
            let Some(orphan) = self.compare_orphan(attr) else {
                return Err(format!("no inode {:?}", attr.inode));
            };
            shown.insert(orphan, attr.inode);
        }
        // What has no name may be gone.
        self.nodes.retain(|maker, _| shown.contains_key(maker));
        self.compare_data(&tree.extents, &tree.live)
    }

    fn compare_inode(
        &mut self,
        maker: Maker,
        id: InodeId,
        inodes: &BTreeMap<InodeId, &Attr>,
    ) -> Result<(), String> {
        let Some(attr) = inodes.get(&id) else {
            return Err(format!("that inode {id:?} exists"));
        };
        self.show(maker, attr).map_err(|expected| format!("of inode {id:?}, {expected}"))
    }

    /// The children to go on with.
    fn compare_names(&self, maker: Maker, names: &[&TreeEntry]) -> Result<Vec<(Maker, InodeId)>, String> {
        let held = &self.nodes[&maker].entries;
        let of = self.nodes[&maker].id;
        if let Some(missing) = held.keys().find(|name| !names.iter().any(|entry| entry.name == **name)) {
            return Err(format!("the name {missing:?} in {of:?}"));
        }
        let mut children = Vec::new();
        for entry in names {
            let Some(child) = held.get(&entry.name) else {
                return Err(format!("no name {:?} in {of:?}", entry.name));
            };
            children.push((child.child, entry.inode));
        }
        if names.len() != held.len() {
            return Err(format!("each name in {of:?} once"));
        }
        Ok(children)
    }
}
