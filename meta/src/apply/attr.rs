//! setattr.

use super::Moment;
use super::data;
use crate::permission;
use crate::state::State;
use mooseng_core::extent::SIZE_MAX;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Answer, AttrChange, FileKind, NewTime, Outcome, Refusal};
use mooseng_core::plant;

/// Every call counts as a change of the inode at the command's time, even one that asks for nothing.
/// A size, even the one the file has, counts as a change of its data, unless `mtime` is set too.
pub(super) fn set(state: &mut State, moment: &Moment<'_>, inode: InodeId, change: &AttrChange) -> Outcome {
    let held = state.inodes.get(&inode).ok_or(Refusal::Stale)?;
    let kind = held.kind;
    if let Some(size) = change.size {
        if kind == FileKind::Directory {
            return Err(Refusal::IsDirectory);
        }
        if kind != FileKind::Regular || size > SIZE_MAX {
            return Err(Refusal::Invalid);
        }
    }
    permission::may_change(moment.caller, held, change)?;
    let mode = permission::changed_mode(moment.caller, held, change);
    let time = |time: Option<NewTime>, held| match time {
        Some(NewTime::Now) => moment.time,
        Some(NewTime::At(time)) => time,
        None => held,
    };
    if let Some(size) = change.size {
        data::shorten(state, inode, size);
    }
    let changed = state.inodes.change(&inode, |held| {
        held.mode = mode;
        held.uid = change.uid.unwrap_or(held.uid);
        held.gid = change.gid.unwrap_or(held.gid);
        if let Some(size) = change.size {
            held.set_size(size);
            held.mtime = moment.time;
        }
        held.atime = time(change.atime, held.atime);
        held.mtime = time(change.mtime, held.mtime);
        plant!("setattr-keeps-version", held.changed(moment.time), held.ctime = moment.time);
    });
    changed.map(|held| Answer::Attr(held.attr(inode))).ok_or(Refusal::Stale)
}
