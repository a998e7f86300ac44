//! rename, in its three modes: the one operation that can break a tree.

use super::unlink::lose_name;
use super::{Moment, touch};
use crate::permission;
use crate::state::{Entry, EntryKey, Inode, Place, State};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Access, Answer, Name, Outcome, Refusal, RenameMode};
use mooseng_core::{plant, probe};

/// A name that stands, and what it stands for.
struct Named {
    parent: InodeId,
    key: EntryKey,
    id: InodeId,
    inode: Inode,
}

/// Refuses, in the order Linux does: no such parent (of the source, then of the target), or one that
/// is no directory, or may not be searched; no source; a target that must not be there, or must be
/// and is not; a source above its target; a target above its source; names that the caller may not
/// take away or give; a target of the wrong kind; too many links; a target that is not empty; no
/// space for the name. Two names of one inode stay as they are.
pub(super) fn rename(
    state: &mut State,
    moment: &Moment<'_>,
    (source_parent, source_name): (InodeId, &Name),
    (target_parent, target_name): (InodeId, &Name),
    mode: RenameMode,
) -> Outcome {
    permission::may_search(moment.caller, state.directory(source_parent)?)?;
    permission::may_search(moment.caller, state.directory(target_parent)?)?;
    let (key, id) = state.find(source_parent, source_name)?;
    let source = Named { parent: source_parent, key, id, inode: state.named(id)?.clone() };
    let place = state.place(target_parent, target_name);
    let target = match (&place, mode) {
        (Place::Taken(..), RenameMode::Keep) => return Err(Refusal::Exists),
        (Place::Taken(key, id), _) => {
            Some(Named { parent: target_parent, key: *key, id: *id, inode: state.named(*id)?.clone() })
        }
        (_, RenameMode::Exchange) => return Err(Refusal::NotFound),
        (Place::Free(_) | Place::Full, _) => None,
    };
    check_ancestry(state, &source, target_parent, target.as_ref(), mode)?;
    match (target, place) {
        (Some(target), _) if target.id == source.id => {}
        (Some(target), _) if mode == RenameMode::Exchange => {
            check_permission(state, moment, &source, target_parent, Some(&target), mode)?;
            check_links(state, &source, &target)?;
            exchange(state, moment, &source, &target);
        }
        (Some(target), _) => {
            check_permission(state, moment, &source, target_parent, Some(&target), mode)?;
            check_replaced(state, &source, &target)?;
            replace(state, moment, &source, &target);
        }
        (None, place) => {
            check_permission(state, moment, &source, target_parent, None, mode)?;
            if source.inode.is_directory() {
                check_limit(state, source_parent, target_parent)?;
            }
            let Place::Free(key) = place else { return Err(Refusal::NoSpace) };
            move_to(state, moment, &source, key, target_name);
        }
    }
    Ok(Answer::Done)
}

/// Neither of the two may lie in the other.
fn check_ancestry(
    state: &State,
    source: &Named,
    target_parent: InodeId,
    target: Option<&Named>,
    mode: RenameMode,
) -> Result<(), Refusal> {
    // Nothing is above its own parent.
    if source.parent == target_parent {
        return Ok(());
    }
    if source.inode.is_directory() && state.is_ancestor(source.id, target_parent) {
        probe!("rename would make a cycle");
        return plant!("rename-without-ancestor-check", Err(Refusal::Invalid), Ok(()));
    }
    let Some(target) = target.filter(|target| target.inode.is_directory()) else { return Ok(()) };
    if state.is_ancestor(target.id, source.parent) {
        probe!("rename onto a directory above");
        let exchange = mode == RenameMode::Exchange;
        return Err(if exchange { Refusal::Invalid } else { Refusal::NotEmpty });
    }
    Ok(())
}

/// May the caller take the names away, and may the directories that come into another one be
/// changed, for their `..` is?
fn check_permission(
    state: &State,
    moment: &Moment<'_>,
    source: &Named,
    target_parent: InodeId,
    target: Option<&Named>,
    mode: RenameMode,
) -> Result<(), Refusal> {
    let caller = moment.caller;
    permission::may_take(caller, state.directory(source.parent)?, &source.inode)?;
    let directory = state.directory(target_parent)?;
    match target {
        Some(target) => permission::may_take(caller, directory, &target.inode)?,
        None => permission::may_add(caller, directory)?,
    }
    if source.parent == target_parent {
        return Ok(());
    }
    if source.inode.is_directory() {
        permission::may(caller, &source.inode, Access::WRITE)?;
    }
    match target {
        Some(target) if mode == RenameMode::Exchange && target.inode.is_directory() => {
            permission::may(caller, &target.inode, Access::WRITE)
        }
        _ => Ok(()),
    }
}

/// May a directory that is in `from` come to be in `to`?
fn check_limit(state: &State, from: InodeId, to: InodeId) -> Result<(), Refusal> {
    if from != to && state.directory(to)?.links >= state.config.links_max {
        probe!("link limit of a directory");
        return Err(Refusal::TooManyLinks);
    }
    Ok(())
}

fn check_links(state: &State, source: &Named, target: &Named) -> Result<(), Refusal> {
    match (source.inode.is_directory(), target.inode.is_directory()) {
        (true, false) => check_limit(state, source.parent, target.parent),
        (false, true) => check_limit(state, target.parent, source.parent),
        _ => Ok(()),
    }
}

fn check_replaced(state: &State, source: &Named, target: &Named) -> Result<(), Refusal> {
    match (source.inode.is_directory(), target.inode.is_directory()) {
        (true, false) => Err(Refusal::NotDirectory),
        (false, true) => Err(Refusal::IsDirectory),
        (true, true) if !state.is_empty(target.id) => Err(Refusal::NotEmpty),
        _ => Ok(()),
    }
}

fn move_to(state: &mut State, moment: &Moment<'_>, source: &Named, key: EntryKey, name: &Name) {
    let left = state.entries.remove(&source.key);
    let before = state.entries.insert(key, Entry::new(name, source.id, source.inode.kind));
    assert!(left.is_some() && before.is_none(), "the name stood there, and the target's place was free");
    let moved = i32::from(source.inode.is_directory());
    settle(state, moment, source, key.directory);
    touch_parents(state, moment, (source.parent, -moved), (key.directory, moved));
}

/// The target's name, with its cookie, goes on standing: a listing under way sees it once.
fn replace(state: &mut State, moment: &Moment<'_>, source: &Named, target: &Named) {
    let left = state.entries.remove(&source.key);
    let taken = state.entries.change(&target.key, |entry| entry.point_to(source.id, source.inode.kind));
    assert!(left.is_some() && taken.is_some(), "both names stood there");
    plant!("rename-replace-leaks-target", lose_name(state, moment, target.id), ());
    let moved = i32::from(source.inode.is_directory());
    if moved == 1 {
        probe!("rename replaced an empty directory");
    }
    settle(state, moment, source, target.parent);
    touch_parents(state, moment, (source.parent, -moved), (target.parent, 0));
}

fn exchange(state: &mut State, moment: &Moment<'_>, source: &Named, target: &Named) {
    assert!(source.key != target.key && source.id != target.id, "two names of two inodes");
    state.entries.change(&source.key, |entry| entry.point_to(target.id, target.inode.kind));
    state.entries.change(&target.key, |entry| entry.point_to(source.id, source.inode.kind));
    let leaving = i32::from(source.inode.is_directory());
    let coming = i32::from(target.inode.is_directory());
    if leaving + coming == 2 && source.parent != target.parent {
        probe!("rename exchanged directories of two parents");
    }
    settle(state, moment, source, target.parent);
    settle(state, moment, target, source.parent);
    touch_parents(state, moment, (source.parent, coming - leaving), (target.parent, leaving - coming));
}

/// An inode that got another name, perhaps in another directory.
fn settle(state: &mut State, moment: &Moment<'_>, named: &Named, parent: InodeId) {
    let changed = state.inodes.change(&named.id, |inode| {
        inode.changed(moment.time);
        if inode.is_directory() {
            inode.set_parent(parent);
        }
    });
    assert!(changed.is_some(), "{:?} was found by its name", named.id);
}

/// Each parent counts as changed once, even if the two are one.
fn touch_parents(state: &mut State, moment: &Moment<'_>, source: (InodeId, i32), target: (InodeId, i32)) {
    if source.0 == target.0 {
        touch(state, moment, source.0, source.1 + target.1);
        return;
    }
    let (lost, gained) = match (source.1, target.1) {
        (0, 0) => (0, 0),
        counted => plant!("link-count-lost-on-rename", counted, (counted.0.max(0), counted.1.max(0))),
    };
    touch(state, moment, source.0, lost);
    touch(state, moment, target.0, gained);
}
