//! What a change may change of what somebody has kept: the inodes it names, and those that its names
//! lead to in the state as it is.

use crate::state::State;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Answer, Name, Op, Outcome, Query, Refusal};
use mooseng_core::plant;

/// A name in a directory, as far as it decides what a change is about.
pub type Key = (InodeId, Name);

/// The names whose meaning decides what the change touches, or that it gives a meaning.
pub fn keys(op: &Op) -> Vec<Key> {
    match op {
        Op::Mkdir { parent, name, .. }
        | Op::Create { parent, name, .. }
        | Op::Symlink { parent, name, .. }
        | Op::Mknod { parent, name, .. }
        | Op::Unlink { parent, name }
        | Op::Rmdir { parent, name }
        | Op::Link { parent, name, .. } => vec![(*parent, name.clone())],
        Op::Rename { source_parent, source_name, target_parent, target_name, .. } => {
            let source = (*source_parent, source_name.clone());
            let target = (*target_parent, target_name.clone());
            if source == target { vec![source] } else { vec![source, target] }
        }
        Op::SetAttr { .. }
        | Op::GrantSlices { .. }
        | Op::AbandonSlices { .. }
        | Op::Commit { .. }
        | Op::Compact { .. }
        | Op::Punch { .. }
        | Op::SetClass { .. }
        | Op::SetXattr { .. }
        | Op::RemoveXattr { .. } => Vec::new(),
    }
}

/// The inodes whose attributes, entries, extended attributes or contents the change may change, each
/// once.
pub fn touched(state: &State, op: &Op) -> Vec<InodeId> {
    let found = |parent: &InodeId, name: &Name| state.find(*parent, name).ok().map(|(_, inode)| inode);
    let mut touched = match op {
        Op::Mkdir { parent, .. }
        | Op::Create { parent, .. }
        | Op::Symlink { parent, .. }
        | Op::Mknod { parent, .. } => vec![*parent],
        Op::Unlink { parent, name } | Op::Rmdir { parent, name } => {
            [*parent].into_iter().chain(found(parent, name)).collect()
        }
        Op::Rename { source_parent, source_name, target_parent, target_name, .. } => {
            let target = found(target_parent, target_name);
            let target = plant!("replaced-inode-not-recalled", target, None);
            let inodes = [*source_parent, *target_parent].into_iter();
            inodes.chain(found(source_parent, source_name)).chain(target).collect()
        }
        Op::Link { inode, parent, .. } => vec![*inode, *parent],
        // The bytes stay the same; what it counts of them does not.
        Op::Compact { inode, .. }
        | Op::SetAttr { inode, .. }
        | Op::Commit { inode, .. }
        | Op::Punch { inode, .. }
        | Op::SetClass { inode, .. }
        | Op::SetXattr { inode, .. }
        | Op::RemoveXattr { inode, .. } => vec![*inode],
        // Slices that are pending are nobody's but the session's.
        Op::GrantSlices { .. } | Op::AbandonSlices { .. } => Vec::new(),
    };
    touched.sort_unstable();
    touched.dedup();
    touched
}

/// On what a lease has to be held for this answer to stay true. An answer of something that is not
/// there stays true by a lease on what would lead to it, and else by none.
pub fn covering(query: &Query, outcome: &Outcome) -> [Option<InodeId>; 2] {
    if matches!(outcome, Err(Refusal::Stale)) {
        return [None, None];
    }
    match query {
        Query::Lookup { parent, .. } => match outcome {
            Ok(Answer::Attr(attr)) => [Some(*parent), Some(attr.inode)],
            _ => [Some(*parent), None],
        },
        Query::GetAttr { inode }
        | Query::Access { inode, .. }
        | Query::ReadLink { inode }
        | Query::GetXattr { inode, .. }
        | Query::ListXattr { inode } => [Some(*inode), None],
        Query::ReadDir { directory, .. } => [Some(*directory), None],
        // What a file is made of moves without any change of the file.
        Query::Map { .. } => [None, None],
    }
}
