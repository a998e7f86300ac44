//! What a change may change of what somebody has kept: the inodes it names, and those that its names
//! lead to in the state as it is.

use crate::state::State;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Answer, Name, Op, Outcome, Query, Refusal};
use mooseng_core::plant;

/// A name in a directory, as far as it decides what a change is about.
pub type Key = (InodeId, Name);

/// The names whose meaning decides what the change touches, or that it gives a meaning; each once.
pub fn keys(op: &Op) -> Vec<Key> {
    let names = op.names().into_iter().flatten();
    let mut keys: Vec<Key> = names.map(|(parent, name)| (parent, name.clone())).collect();
    keys.dedup();
    keys
}

/// The inodes whose attributes, entries, extended attributes or contents the change may change, each
/// once.
pub fn touched(state: &State, op: &Op) -> Vec<InodeId> {
    if op.is_of_pending() {
        return Vec::new();
    }
    let mut touched: Vec<InodeId> = op.inodes().into_iter().flatten().collect();
    // What is there already when a name is given stays as it is: the change is refused.
    if let Op::Unlink { .. } | Op::Rmdir { .. } | Op::Rename { .. } = op {
        let [source, target] = op.names();
        let target = plant!("replaced-inode-not-recalled", target, None);
        let led_to = |(parent, name): (InodeId, &Name)| state.find(parent, name).ok().map(|(_, inode)| inode);
        touched.extend([source, target].into_iter().flatten().filter_map(led_to));
    }
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
