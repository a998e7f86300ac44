//! Cuts a history into parts that know nothing of each other, so that each is searched alone.
//!
//! Operations belong together when they touch one inode, and renames, links and lookups join what
//! they touch. A directory would join its parent too, and with that everything to the root. But
//! one that was made before anybody used it, and is never looked up, moved or removed, is just
//! there for all who work in it: it is **settled**, given to their part as it was made, and only
//! its making belongs to the part of its parent. Slices belong to the file that they were granted for.

use crate::history::{Asked, Ending, History, Operation};
use mooseng_core::id::{InodeId, SliceId};
use mooseng_core::namespace::{Answer, Name, Op, Outcome, Query};
use std::collections::{BTreeMap, BTreeSet};

/// Operations that can be put in order without looking at any other part.
pub(super) struct Part<'a> {
    /// Settled directories that they work in: the maker's number, its operation and its answer.
    pub(super) given: Vec<(u64, &'a Op, &'a Outcome)>,
    pub(super) operations: Vec<&'a Operation>,
}

/// The making of a directory, as its answer tells.
struct Made<'a> {
    operation: &'a Operation,
    outcome: &'a Outcome,
    parent: InodeId,
}

/// Sets of inodes that belong together.
#[derive(Default)]
struct Together {
    leads_to: BTreeMap<InodeId, InodeId>,
}

impl Together {
    fn find(&self, id: InodeId) -> InodeId {
        let mut at = id;
        while let Some(next) = self.leads_to.get(&at) {
            at = *next;
        }
        at
    }

    fn join(&mut self, one: InodeId, other: InodeId) {
        let (one, other) = (self.find(one), self.find(other));
        if one != other {
            self.leads_to.insert(other, one);
        }
    }
}

pub(super) fn partition(history: &History) -> Vec<Part<'_>> {
    let counted = |operation: &&Operation| !matches!(operation.ending, Ending::NotCarriedOut { .. });
    let operations: Vec<&Operation> = history.operations().iter().filter(counted).collect();
    let made = made_directories(&operations);
    let granted = granted(&operations);
    let touched = |operation: &Operation| touched(operation, &granted);
    let settled = settled(&operations, &made, &touched);

    let mut together = Together::default();
    for operation in &operations {
        let touched = touched(operation);
        for id in &touched[1..] {
            if !settled.contains(id) {
                together.join(touched[0], *id);
            }
        }
        if let Some(Op::Rename { source_parent, target_parent, .. }) = operation.change() {
            together.join(*source_parent, *target_parent);
        }
    }

    let mut parts: BTreeMap<InodeId, Part<'_>> = BTreeMap::new();
    for operation in &operations {
        let root = together.find(touched(operation)[0]);
        let part = parts.entry(root).or_insert_with(|| Part { given: Vec::new(), operations: Vec::new() });
        part.operations.push(operation);
    }
    for id in &settled {
        let made = &made[id];
        if together.find(*id) != together.find(made.parent)
            && let Some(part) = parts.get_mut(&together.find(*id))
            && let Asked::Change(change) = &made.operation.asked
        {
            part.given.push((made.operation.maker(), change, made.outcome));
        }
    }
    parts.into_values().collect()
}

/// For which file each slice was granted, as answers tell.
fn granted(operations: &[&Operation]) -> BTreeMap<SliceId, InodeId> {
    let mut granted = BTreeMap::new();
    for operation in operations {
        if let (Some(Op::GrantSlices { inode, .. }), Some((_, Ok(Answer::Slices { first, count }), _))) =
            (operation.change(), operation.answered())
        {
            let slices = (0..u64::from(*count)).filter_map(|ahead| first.plus(ahead));
            granted.extend(slices.map(|slice| (slice, *inode)));
        }
    }
    granted
}

fn made_directories<'a>(operations: &[&'a Operation]) -> BTreeMap<InodeId, Made<'a>> {
    let mut made = BTreeMap::new();
    for operation in operations.iter().copied() {
        if let (Some(Op::Mkdir { parent, .. }), Some((_, outcome, _))) =
            (operation.change(), operation.answered())
            && let Ok(Answer::Attr(attr)) = outcome
        {
            made.insert(attr.inode, Made { operation, outcome, parent: *parent });
        }
    }
    made
}

/// The directories that are just there for all who work in them.
fn settled(
    operations: &[&Operation],
    made: &BTreeMap<InodeId, Made<'_>>,
    touched: &dyn Fn(&Operation) -> Vec<InodeId>,
) -> BTreeSet<InodeId> {
    let mut by_name: BTreeMap<(InodeId, &Name), Vec<InodeId>> = BTreeMap::new();
    for (id, making) in made {
        if let Some(Op::Mkdir { parent, name, .. }) = making.operation.change() {
            by_name.entry((*parent, name)).or_default().push(*id);
        }
    }
    let mut settled: BTreeSet<InodeId> = made.keys().copied().collect();
    for operation in operations {
        for name in names_at_stake(operation) {
            for id in by_name.get(&name).map_or(&[][..], Vec::as_slice) {
                settled.remove(id);
            }
        }
        let first = touched(operation)[0];
        let after_making =
            |making: &Made<'_>| making.operation.ended().is_some_and(|ended| ended < operation.called);
        if made.get(&first).is_some_and(|making| !after_making(making)) {
            settled.remove(&first);
        }
        // Whether a directory may move depends on all that lies above the place it moves to.
        if let Some(Op::Rename { source_parent, target_parent, .. }) = operation.change()
            && source_parent != target_parent
        {
            for start in [*source_parent, *target_parent] {
                unsettle_upwards(start, made, &mut settled);
            }
        }
    }
    settled
}

fn unsettle_upwards(start: InodeId, made: &BTreeMap<InodeId, Made<'_>>, settled: &mut BTreeSet<InodeId>) {
    let mut seen = BTreeSet::new();
    let mut at = start;
    while let Some(making) = made.get(&at)
        && seen.insert(at)
    {
        settled.remove(&at);
        at = making.parent;
    }
}

/// The names that an operation may remove or give to something else, or whose inode it shows.
fn names_at_stake(operation: &Operation) -> Vec<(InodeId, &Name)> {
    match &operation.asked {
        Asked::Change(Op::Rmdir { parent, name } | Op::Unlink { parent, name })
        | Asked::Question(Query::Lookup { parent, name }) => vec![(*parent, name)],
        Asked::Change(Op::Rename { source_parent, source_name, target_parent, target_name, .. }) => {
            vec![(*source_parent, source_name), (*target_parent, target_name)]
        }
        Asked::Change(_) | Asked::Question(_) => vec![],
    }
}

/// The inodes an operation touches, the one it is asked of first.
fn touched(operation: &Operation, granted: &BTreeMap<SliceId, InodeId>) -> Vec<InodeId> {
    let file_of = |slice: &SliceId| granted.get(slice).copied().unwrap_or(InodeId::ROOT);
    let mut touched = match &operation.asked {
        Asked::Change(change) => match change {
            Op::Rename { source_parent, .. } => vec![*source_parent],
            Op::Commit { inode, slices, .. } | Op::Compact { inode, slices, .. } => {
                [*inode].into_iter().chain(slices.iter().map(|info| file_of(&info.slice))).collect()
            }
            Op::AbandonSlices { slices } if slices.is_empty() => vec![InodeId::ROOT],
            Op::AbandonSlices { slices } => slices.iter().map(file_of).collect(),
            other => other.inodes().into_iter().flatten().collect(),
        },
        Asked::Question(query) => vec![query.inode()],
    };
    match operation.answered() {
        Some((_, Ok(Answer::Attr(attr)), _)) => touched.push(attr.inode),
        Some((_, Ok(Answer::Entries { entries, .. }), _)) => {
            touched.extend(entries.iter().map(|entry| entry.inode));
        }
        _ => {}
    }
    touched
}
