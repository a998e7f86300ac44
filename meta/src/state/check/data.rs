//! What always holds of extents and slices.

use super::super::{SliceState, State};
use mooseng_core::extent::chunk_of;
use mooseng_core::id::{InodeId, SliceId};
use mooseng_core::namespace::FileKind;
use std::collections::BTreeMap;

pub(super) fn check_tables(state: &State) -> Result<(), String> {
    state.extents.check()?;
    state.live.check()?;
    state.pending.check()?;
    state.condemned.check()?;
    state.slice_counters.check()?;
    state.chunk_servers.check()?;
    state.pending_of.check()
}

/// What the extents of one file come to.
#[derive(Default)]
struct Covered {
    bytes: u64,
    end: u64,
    /// Of the chunk in which the last of them lies.
    in_chunk: u32,
}

pub(super) fn check_extents(state: &State) -> Result<(), String> {
    let mut files: BTreeMap<InodeId, Covered> = BTreeMap::new();
    for (inode, extent) in state.extents() {
        let wrong = |what: &str| Err(format!("{extent:?} of {inode:?}: {what}"));
        let Some(held) = state.inodes.get(&inode) else { return wrong("the file does not exist") };
        if held.kind != FileKind::Regular {
            return wrong("not a file");
        }
        if !extent.is_possible() {
            return wrong("no such extent can be");
        }
        if extent.end() > held.size() {
            return wrong("it lies behind the end of the file");
        }
        let Some(live) = state.live.get(&extent.slice) else { return wrong("the slice is not live") };
        if extent.slice_end() > u64::from(live.length) {
            return wrong("it lies behind the end of the slice");
        }
        let file = files.entry(inode).or_default();
        if extent.offset < file.end {
            return wrong("it lies over the one before");
        }
        let same_chunk = file.in_chunk > 0 && chunk_of(file.end - 1) == chunk_of(extent.offset);
        file.in_chunk = if same_chunk { file.in_chunk + 1 } else { 1 };
        if file.in_chunk > state.config.extents_max {
            return wrong("the chunk has more extents than it may have");
        }
        file.end = extent.end();
        file.bytes += u64::from(extent.length);
    }
    for (inode, held) in state.inodes.iter() {
        let covered = files.get(inode).map_or(0, |file| file.bytes);
        if held.covered() != covered {
            return Err(format!("{inode:?}: extents cover {covered} bytes, not {}", held.covered()));
        }
    }
    Ok(())
}

pub(super) fn check_slices(state: &State) -> Result<(), String> {
    let mut extents: BTreeMap<SliceId, u32> = BTreeMap::new();
    for (_, extent) in state.extents() {
        *extents.entry(extent.slice).or_default() += 1;
    }
    let granted = |slice: SliceId| {
        let next = state.slice_counters.get(&slice.slot().get()).map_or(1, |counter| counter.0);
        if slice.counter() < next {
            Ok(())
        } else {
            Err(format!("{slice:?} exists, and will be given again"))
        }
    };
    for (slice, live) in state.live.iter() {
        granted(*slice)?;
        let referring = extents.get(slice).copied().unwrap_or(0);
        if referring == 0 || referring != live.extents {
            return Err(format!("{slice:?} counts {} extents, and there are {referring}", live.extents));
        }
        if live.servers.iter().count() != usize::from(live.class.parts()) {
            return Err(format!("{slice:?} has another number of parts than its class"));
        }
        if state.condemned.get(slice).is_some() || state.pending.get(slice).is_some() {
            return Err(format!("{slice:?} is live, and {:?} too", state.slice_state(*slice)));
        }
    }
    for (slice, _) in state.condemned.iter() {
        granted(*slice)?;
        if state.pending.get(slice).is_some() {
            return Err(format!("{slice:?} is condemned and pending"));
        }
    }
    for (slice, pending) in state.pending.iter() {
        granted(*slice)?;
        if state.sessions.get(&pending.session).is_none() {
            return Err(format!("{slice:?} is pending for {:?}, which does not exist", pending.session));
        }
        if state.pending_of.get(&(pending.session, *slice)).is_none() {
            return Err(format!("{slice:?} is not found by its session"));
        }
        assert_eq!(state.slice_state(*slice), SliceState::Pending(pending.session));
    }
    if state.pending.len() != state.pending_of.len() {
        return Err("a session finds a slice that is not pending".into());
    }
    Ok(())
}
