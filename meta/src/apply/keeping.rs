//! What the leader's own tasks ask: chunk servers that come and go, slices whose parts are deleted,
//! parts that were made anew elsewhere.

use crate::command::Reply;
use crate::state::{ChunkServer, PLACE_BYTES_MAX, State};
use mooseng_core::id::{ServerId, SliceId};
use mooseng_core::namespace::Refusal;
use mooseng_core::{plant, probe};

/// The most chunk servers of a cluster.
const SERVERS_MAX: usize = 10_000;

/// Asked again it changes what is different.
pub(super) fn register(state: &mut State, server: ServerId, address: &str, rack: &str) -> Reply {
    if server == ServerId(0) || address.is_empty() || address.len().max(rack.len()) > PLACE_BYTES_MAX {
        return Reply::Refused(Refusal::Invalid);
    }
    if state.chunk_servers.get(&server).is_none() && state.chunk_servers.len() >= SERVERS_MAX {
        return Reply::Refused(Refusal::NoSpace);
    }
    state.chunk_servers.insert(server, ChunkServer { address: address.into(), rack: rack.into() });
    Reply::Done
}

/// The parts it holds count as lost from now on.
pub(super) fn retire(state: &mut State, server: ServerId) -> Reply {
    state.chunk_servers.remove(&server);
    Reply::Done
}

/// The parts of these were deleted wherever they could be. Only the condemned are forgotten.
pub(super) fn forget(state: &mut State, slices: &[SliceId]) -> Reply {
    for slice in slices {
        if state.condemned.remove(slice).is_none() {
            probe!("a slice is forgotten twice");
        }
    }
    Reply::Done
}

/// Compare and swap: refused unless the part is where it was thought to be, and no other part of
/// the slice is where it goes.
pub(super) fn move_part(
    state: &mut State,
    slice: SliceId,
    index: u8,
    source: Option<ServerId>,
    target: Option<ServerId>,
) -> Reply {
    let Some(live) = state.live.get(&slice) else {
        probe!("a part of a slice that is gone was made anew");
        return Reply::Refused(Refusal::Conflict);
    };
    let Some(held) = live.servers.get(index) else { return Reply::Refused(Refusal::Invalid) };
    if held != source || target.is_some_and(|target| live.servers.holds(target)) {
        probe!("a part is not where it was thought to be");
        plant!("move-part-without-compare", return Reply::Refused(Refusal::Conflict), ());
    }
    state.live.change(&slice, |live| live.servers.set(index, target));
    Reply::Done
}
