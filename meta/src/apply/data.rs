//! What files are made of: slices granted and given back, committed as extents, and cut off again
//! where a file is written over, shortened or punched.

mod commit;
mod rules;

pub(super) use commit::{commit, compact};

use super::Moment;
use crate::permission;
use crate::state::{SliceState, State};
use mooseng_core::class::StorageClass;
use mooseng_core::extent::{GRANT_MAX, SIZE_MAX};
use mooseng_core::id::{InodeId, SliceId};
use mooseng_core::namespace::{Answer, FileKind, Outcome, Refusal};
use mooseng_core::{plant, probe};

pub(super) fn grant(state: &mut State, moment: &Moment<'_>, inode: InodeId, count: u32) -> Outcome {
    check_file(state, inode)?;
    if !(1..=GRANT_MAX).contains(&count) {
        return Err(Refusal::Invalid);
    }
    let pending = state.pending_count(moment.session) as u64 + u64::from(count);
    if pending > u64::from(state.config.pending_max) {
        probe!("a session has too many pending slices");
        return Err(Refusal::TooManyPending);
    }
    let first = state.next_slices(moment.region, inode.slot(), count).ok_or(Refusal::NoSpace)?;
    state.grant(moment.session, first, count);
    Ok(Answer::Slices { first, count })
}

/// All of them or none.
pub(super) fn abandon(state: &mut State, moment: &Moment<'_>, slices: &[SliceId]) -> Outcome {
    let slot = slices.first().ok_or(Refusal::Invalid)?.slot();
    if slices.len() > GRANT_MAX as usize || slices.iter().any(|slice| slice.slot() != slot) {
        return Err(Refusal::Invalid);
    }
    if slices.iter().any(|slice| state.slice_state(*slice) != SliceState::Pending(moment.session)) {
        return Err(Refusal::NotPending);
    }
    slices.iter().for_each(|slice| state.take_pending(*slice));
    Ok(Answer::Done)
}

pub(super) fn punch(
    state: &mut State,
    moment: &Moment<'_>,
    inode: InodeId,
    offset: u64,
    length: u64,
) -> Outcome {
    check_file(state, inode)?;
    let to = offset.saturating_add(length);
    if length == 0 || to > SIZE_MAX {
        return Err(Refusal::Invalid);
    }
    if rules::is_split_too_often(state, inode, offset, to) {
        probe!("a hole would make a chunk too fragmented");
        return Err(Refusal::TooFragmented);
    }
    let cleared = clear(state, inode, offset, to);
    let changed = state.inodes.change(&inode, |held| {
        held.set_covered(held.covered().saturating_sub(cleared));
        held.mtime = moment.time;
        held.mode = permission::written_mode(moment.caller, held.mode);
        held.changed(moment.time);
    });
    changed.map(|held| Answer::Attr(held.attr(inode))).ok_or(Refusal::Stale)
}

/// What lies behind a file's new end is gone: when it grows again it reads as zeros there.
pub(super) fn shorten(state: &mut State, inode: InodeId, size: u64) {
    let cleared = plant!("truncate-keeps-tail", clear(state, inode, size, u64::MAX), 0);
    if cleared > 0 {
        state.inodes.change(&inode, |held| held.set_covered(held.covered().saturating_sub(cleared)));
    }
}

/// The file is gone, and all that it was made of.
pub(super) fn drop_all(state: &mut State, inode: InodeId) {
    clear(state, inode, 0, u64::MAX);
}

pub(super) fn set_class(
    state: &mut State,
    moment: &Moment<'_>,
    inode: InodeId,
    class: StorageClass,
) -> Outcome {
    let held = state.inodes.get(&inode).ok_or(Refusal::Stale)?;
    if !matches!(held.kind, FileKind::Regular | FileKind::Directory) {
        return Err(Refusal::Invalid);
    }
    permission::must_own(moment.caller, held)?;
    let changed = state.inodes.change(&inode, |held| {
        held.set_class(class);
        held.changed(moment.time);
    });
    changed.map(|held| Answer::Attr(held.attr(inode))).ok_or(Refusal::Stale)
}

/// Cuts a range out of a file; gives how many bytes extents covered there.
fn clear(state: &mut State, inode: InodeId, from: u64, to: u64) -> u64 {
    let mut cleared = 0;
    let mut at = from;
    loop {
        let next = state.extents_in(inode, at, to).next();
        let Some(extent) = next else { return cleared };
        let inside = extent.clipped(from, to).map_or(0, |inside| u64::from(inside.length));
        assert!(inside > 0, "an extent of the range");
        if extent.offset < from && extent.end() > to {
            probe!("an extent is split in two");
        }
        state.cut(inode, &extent, from, to);
        cleared += inside;
        at = extent.end().min(to);
    }
}

/// The inode has to be a regular file.
fn check_file(state: &State, inode: InodeId) -> Result<(), Refusal> {
    match state.inodes.get(&inode).ok_or(Refusal::Stale)?.kind {
        FileKind::Regular => Ok(()),
        FileKind::Directory => Err(Refusal::IsDirectory),
        _ => Err(Refusal::Invalid),
    }
}
