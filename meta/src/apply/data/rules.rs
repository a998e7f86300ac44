//! What a commit has to look like.

use crate::state::{SliceState, State};
use mooseng_core::class::SLICE_BYTES_MAX;
use mooseng_core::extent::{COMMIT_EXTENTS_MAX, COMMIT_SLICES_MAX, chunk_of};
use mooseng_core::id::{InodeId, ServerId, SessionId, SliceId};
use mooseng_core::namespace::{FileExtent, NewSlice, Refusal};
use mooseng_core::{class::CHUNK_BYTES, plant};
use std::collections::{BTreeMap, BTreeSet};

/// New slices, and extents that refer to them and to nothing else.
pub(super) fn check(
    state: &State,
    session: SessionId,
    inode: InodeId,
    slices: &[NewSlice],
    extents: &[FileExtent],
) -> Result<(), Refusal> {
    if slices.len() > COMMIT_SLICES_MAX || extents.is_empty() || extents.len() > COMMIT_EXTENTS_MAX {
        return Err(Refusal::Invalid);
    }
    let mut lengths: BTreeMap<SliceId, u32> = BTreeMap::new();
    for info in slices {
        let twice = lengths.insert(info.slice, info.length).is_some();
        if twice || info.slice.slot() != inode.slot() || !is_possible(info) {
            return Err(Refusal::Invalid);
        }
    }
    let mut referred = BTreeSet::new();
    for extent in extents {
        let length = lengths.get(&extent.slice).ok_or(Refusal::Invalid)?;
        if !extent.is_possible() || extent.slice_end() > u64::from(*length) {
            return Err(Refusal::Invalid);
        }
        referred.insert(extent.slice);
    }
    if referred.len() != slices.len() {
        return Err(Refusal::Invalid);
    }
    if slices.iter().any(|info| !may_commit(state, session, info.slice)) {
        return Err(Refusal::NotPending);
    }
    let durable = |info: &NewSlice| info.parts.iter().flatten().count();
    if slices.iter().any(|info| durable(info) < usize::from(info.class.parts_to_commit())) {
        return Err(Refusal::NoSpace);
    }
    Ok(())
}

fn may_commit(state: &State, session: SessionId, slice: SliceId) -> bool {
    let own = state.slice_state(slice) == SliceState::Pending(session);
    plant!(
        "commit-accepts-condemned-slice",
        own,
        !matches!(state.slice_state(slice), SliceState::Unknown | SliceState::Live)
    )
}

/// As many places as its class has parts, each on a server of its own.
fn is_possible(info: &NewSlice) -> bool {
    let servers: BTreeSet<ServerId> = info.parts.iter().flatten().copied().collect();
    (1..=SLICE_BYTES_MAX).contains(&info.length)
        && info.parts.len() == usize::from(info.class.parts())
        && servers.len() == info.parts.iter().flatten().count()
        && !servers.contains(&ServerId(0))
}

/// Would a chunk have more extents than it may have, with these ranges cleared and these extents
/// laid over what is there?
pub(super) fn is_too_fragmented(
    state: &State,
    inode: InodeId,
    cleared: &[(u64, u64)],
    extents: &[FileExtent],
) -> bool {
    let chunks: BTreeSet<u64> = extents.iter().map(|extent| chunk_of(extent.offset)).collect();
    let max = state.config.extents_max as usize;
    chunks.into_iter().any(|chunk| {
        let (from, to) = (chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
        let over: Vec<&FileExtent> =
            extents.iter().filter(|extent| chunk_of(extent.offset) == chunk).collect();
        // Each one splits one other at most: usually it is enough to count.
        if state.extents_in(inode, from, to).take(max).count() + 2 * over.len() <= max {
            return false;
        }
        let mut held: Vec<(u64, u64)> =
            state.extents_in(inode, from, to).map(|extent| (extent.offset, extent.end())).collect();
        cleared.iter().for_each(|(from, to)| cut_out(&mut held, *from, *to));
        for extent in over {
            cut_out(&mut held, extent.offset, extent.end());
            held.push((extent.offset, extent.end()));
        }
        held.len() > max
    })
}

fn cut_out(held: &mut Vec<(u64, u64)>, from: u64, to: u64) {
    let pieces = |(start, end): (u64, u64)| [(start, end.min(from)), (start.max(to), end)];
    *held = held.drain(..).flat_map(pieces).filter(|(start, end)| start < end).collect();
}

/// Would a hole split an extent of a chunk that has as many as it may have?
pub(super) fn is_split_too_often(state: &State, inode: InodeId, from: u64, to: u64) -> bool {
    let Some(extent) = state.extents_in(inode, from, to).next() else { return false };
    if extent.offset >= from || extent.end() <= to {
        return false;
    }
    let chunk = chunk_of(extent.offset);
    let max = state.config.extents_max as usize;
    state.extents_in(inode, chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES).take(max).count() >= max
}
