//! G8: no live file without its data, and no data kept for ever that nothing refers to.
//!
//! Judges every replica's final state by itself, whatever operations led there: extents lie in
//! files, one beside the other; they refer to live slices, and every live slice is referred to;
//! what is pending is a living session's; and nothing that was condemned is left when everything
//! is healed and quiet.

use super::{End, Oracle, Promise, Violation};
use crate::model::Tree;
use mooseng_core::id::{InodeId, SessionId, SliceId};
use mooseng_core::namespace::Attr;
use std::collections::{BTreeMap, BTreeSet};

pub struct Data;

impl Oracle for Data {
    fn name(&self) -> &'static str {
        "data"
    }

    fn promise(&self) -> Promise {
        Promise(8)
    }

    fn finish(&mut self, end: &End<'_>) -> Result<(), Violation> {
        for replica in end.replicas {
            kept(&replica.tree)
                .map_err(|what| self.violation(end.at, format!("on {}: {what}", replica.node)))?;
        }
        let serving = end.replicas.iter().filter(|replica| replica.serving).count();
        if end.serving == 0 || serving < end.serving {
            return Ok(());
        }
        match end.replicas.iter().find_map(|replica| replica.tree.condemned.first()) {
            None => Ok(()),
            Some(slice) => {
                let what = format!("{slice:?} was condemned, and nobody has dealt with it");
                Err(self.violation(end.at, what))
            }
        }
    }
}

/// Is everything there that files are made of, and nothing else? The error names what is not.
pub fn kept(tree: &Tree) -> Result<(), String> {
    let inodes: BTreeMap<InodeId, &Attr> = tree.inodes.iter().map(|attr| (attr.inode, attr)).collect();
    let live: BTreeSet<SliceId> = tree.live.iter().copied().collect();
    let mut used = BTreeSet::new();
    let mut extents = tree.extents.clone();
    extents.sort_by_key(|(inode, extent)| (*inode, extent.offset));
    let mut before: Option<(InodeId, u64)> = None;
    for (inode, extent) in &extents {
        let wrong = |what: &str| Err(format!("{extent:?} of {inode:?} {what}"));
        match inodes.get(inode) {
            None => return wrong("is of a file that is gone"),
            Some(attr) if extent.end() > attr.size => return wrong("lies behind the end of the file"),
            Some(_) => {}
        }
        if !live.contains(&extent.slice) {
            return wrong("refers to a slice that is not live");
        }
        if before.is_some_and(|(of, end)| of == *inode && end > extent.offset) {
            return wrong("lies over another");
        }
        before = Some((*inode, extent.end()));
        used.insert(extent.slice);
    }
    if let Some(slice) = live.difference(&used).next() {
        return Err(format!("{slice:?} is live, and nothing refers to it"));
    }
    let sessions: BTreeSet<SessionId> = tree.sessions.iter().copied().collect();
    for (slice, session) in &tree.pending {
        if !sessions.contains(session) {
            return Err(format!("{slice:?} is pending for {session}, which is gone"));
        }
    }
    let pending = tree.pending.iter().map(|(slice, _)| slice);
    match tree.condemned.iter().chain(pending).find(|slice| live.contains(slice)) {
        None => Ok(()),
        Some(slice) => Err(format!("{slice:?} is live, and pending or condemned too")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, attr, file, root_tree, verdict};
    use super::*;
    use mooseng_core::id::Slot;
    use mooseng_core::namespace::FileExtent;

    fn slice(counter: u64) -> SliceId {
        SliceId::new(0, Slot::default(), counter).unwrap()
    }

    fn extent(offset: u64, of: u64) -> (InodeId, FileExtent) {
        (file(1), FileExtent { offset, length: 10, slice: slice(of), slice_offset: 0 })
    }

    fn tree() -> Tree {
        let mut tree = root_tree();
        tree.inodes.push(Attr { size: 100, ..attr(file(1), 1, 1) });
        tree.extents = vec![extent(50, 2), extent(0, 1)];
        tree.live = vec![slice(1), slice(2)];
        tree.pending = vec![(slice(3), SessionId(7))];
        tree.sessions = vec![SessionId(7)];
        assert_eq!(kept(&tree), Ok(()));
        tree
    }

    fn said(break_it: impl FnOnce(&mut Tree)) -> String {
        let mut tree = tree();
        break_it(&mut tree);
        kept(&tree).unwrap_err()
    }

    #[test]
    fn data_without_a_file_and_files_without_data_are_found() {
        assert!(said(|tree| _ = tree.inodes.pop()).ends_with("is of a file that is gone"));
        assert!(said(|tree| tree.inodes[1].size = 59).ends_with("lies behind the end of the file"));
        assert!(said(|tree| _ = tree.live.pop()).ends_with("refers to a slice that is not live"));
        assert!(said(|tree| tree.extents[0].1.offset = 9).ends_with("lies over another"));
        assert!(said(|tree| tree.live.push(slice(9))).ends_with("is live, and nothing refers to it"));
        assert!(said(|tree| tree.sessions.clear()).ends_with("is pending for n7, which is gone"));
        assert!(said(|tree| tree.condemned.push(slice(1))).ends_with("pending or condemned too"));
    }

    #[test]
    fn what_is_condemned_for_ever_is_found() {
        let mut condemned = tree();
        condemned.condemned.push(slice(8));
        let script = Script::new();
        let found = verdict(Data, &script, &[script.replica(1, condemned)]);
        assert!(found.unwrap().what.ends_with("nobody has dealt with it"));
        assert_eq!(verdict(Data, &script, &[script.replica(1, tree())]), None);
    }
}
