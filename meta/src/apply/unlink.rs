//! unlink and rmdir.

use super::{Moment, data, touch};
use crate::command::Reply;
use crate::permission;
use crate::state::{EntryKey, Orphan, State};
use mooseng_core::id::{IdKind, InodeId};
use mooseng_core::namespace::{Answer, Name, Outcome, Refusal};
use mooseng_core::{plant, probe};

/// Refuses a directory; the last name of an inode takes it along.
pub(super) fn file(state: &mut State, moment: &Moment<'_>, parent: InodeId, name: &Name) -> Outcome {
    let (key, inode) = victim(state, moment, parent, name)?;
    if state.named(inode)?.is_directory() {
        return Err(Refusal::IsDirectory);
    }
    let left = state.entries.remove(&key);
    assert!(left.is_some(), "the name stood there");
    lose_name(state, moment, inode);
    touch(state, moment, parent, 0);
    Ok(Answer::Done)
}

/// Refuses what is no directory, and then what is not empty.
pub(super) fn directory(state: &mut State, moment: &Moment<'_>, parent: InodeId, name: &Name) -> Outcome {
    let (key, inode) = victim(state, moment, parent, name)?;
    if !state.named(inode)?.is_directory() {
        return Err(Refusal::NotDirectory);
    }
    if !state.is_empty(inode) {
        plant!("rmdir-nonempty-allowed", return Err(Refusal::NotEmpty), ());
    }
    let left = state.entries.remove(&key);
    assert!(left.is_some(), "the name stood there");
    lose_name(state, moment, inode);
    touch(state, moment, parent, -1);
    Ok(Answer::Done)
}

/// The name that goes, if the caller may take it away, and what it stands for.
fn victim(
    state: &State,
    moment: &Moment<'_>,
    parent: InodeId,
    name: &Name,
) -> Result<(EntryKey, InodeId), Refusal> {
    let directory = state.directory(parent)?;
    permission::may_search(moment.caller, directory)?;
    let (key, inode) = state.find(parent, name)?;
    permission::may_take(moment.caller, directory, state.named(inode)?)?;
    Ok((key, inode))
}

/// One name of the inode is gone already. A directory has no other, and goes with it; anything else
/// stays until it is known that nobody has it open.
pub(super) fn lose_name(state: &mut State, moment: &Moment<'_>, inode: InodeId) {
    if inode.kind() == IdKind::Directory {
        state.forget(inode);
        return;
    }
    let left = state.inodes.change(&inode, |held| {
        held.links = held.links.saturating_sub(1);
        held.changed(moment.time);
    });
    if left.is_some_and(|held| held.links > 0) {
        probe!("one of several names is gone");
        return;
    }
    state.orphans.insert(inode, Orphan);
}

/// The leader knows of nobody who has these open. Only those without a name are taken out, and with
/// them all that they were made of.
pub(super) fn collect(state: &mut State, orphans: &[InodeId]) -> Reply {
    for inode in orphans {
        if state.orphans.remove(inode).is_some() {
            data::drop_all(state, *inode);
            state.forget(*inode);
        }
    }
    Reply::Done
}
