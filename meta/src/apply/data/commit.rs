//! Commit and compact: slices become part of a file.

use super::super::Moment;
use super::{check_file, clear, rules};
use crate::permission;
use crate::state::State;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Answer, FileExtent, NewSlice, Outcome, Refusal};
use mooseng_core::time::WallTime;
use mooseng_core::{plant, probe};

/// Refuses, in this order: no such file, what makes no sense, a slice that is not pending for the
/// session, one with too few parts, a chunk of too many extents.
pub(in super::super) fn commit(
    state: &mut State,
    moment: &Moment<'_>,
    inode: InodeId,
    (slices, extents): (&[NewSlice], &[FileExtent]),
    mtime: WallTime,
) -> Outcome {
    check_file(state, inode)?;
    rules::check(state, moment.session, inode, slices, extents)?;
    if rules::is_too_fragmented(state, inode, &[], extents) {
        probe!("a commit would make a chunk too fragmented");
        return Err(Refusal::TooFragmented);
    }
    let (cleared, laid) = lay(state, inode, slices, extents);
    let end = extents.iter().map(FileExtent::end).max().unwrap_or(0);
    let changed = state.inodes.change(&inode, |held| {
        held.set_covered((held.covered() + laid).saturating_sub(cleared));
        held.set_size(held.size().max(end));
        held.mtime = mtime;
        held.mode = permission::written_mode(moment.caller, held.mode);
        held.changed(moment.time);
    });
    changed.map(|held| Answer::Attr(held.attr(inode))).ok_or(Refusal::Stale)
}

/// Compare and swap: refused unless what is to be replaced is exactly what is there.
pub(in super::super) fn compact(
    state: &mut State,
    moment: &Moment<'_>,
    inode: InodeId,
    replaced: &[FileExtent],
    (slices, extents): (&[NewSlice], &[FileExtent]),
) -> Outcome {
    check_file(state, inode)?;
    rules::check(state, moment.session, inode, slices, extents)?;
    let (Some(first), Some(last)) = (replaced.first(), replaced.last()) else {
        return Err(Refusal::Invalid);
    };
    let (from, to) = (first.offset, last.end());
    if extents.iter().any(|extent| extent.offset < from || extent.end() > to) {
        return Err(Refusal::Invalid);
    }
    let there = state.extents_in(inode, from, to).filter_map(|extent| extent.clipped(from, to));
    if !there.eq(replaced.iter().copied()) {
        probe!("what was to be compacted has changed");
        plant!("compact-without-compare", return Err(Refusal::Conflict), ());
    }
    if rules::is_too_fragmented(state, inode, &[(from, to)], extents) {
        return Err(Refusal::TooFragmented);
    }
    let cleared = clear(state, inode, from, to);
    let (over, laid) = lay(state, inode, slices, extents);
    let changed = state.inodes.change(&inode, |held| {
        held.set_covered((held.covered() + laid).saturating_sub(cleared + over));
        held.moved();
    });
    changed.map(|held| Answer::Attr(held.attr(inode))).ok_or(Refusal::Stale)
}

/// Lays extents of new slices over a file, one after the other; gives how many bytes of others, or
/// of each other, they covered, and how many they have.
fn lay(state: &mut State, inode: InodeId, slices: &[NewSlice], extents: &[FileExtent]) -> (u64, u64) {
    let (mut cleared, mut laid) = (0, 0);
    slices.iter().for_each(|info| state.enliven(info));
    for extent in extents {
        let (from, to) = (extent.offset, extent.end());
        plant!("map-order-oldest-on-top", cleared += clear(state, inode, from, to), {
            if state.extents_in(inode, from, to).next().is_some() {
                continue;
            }
        });
        state.lay(inode, extent);
        laid += u64::from(extent.length);
    }
    // They were held until now: one that others of this commit cover wholly goes again.
    slices.iter().for_each(|info| state.release(info.slice));
    (cleared, laid)
}
