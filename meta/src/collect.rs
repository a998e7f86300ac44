//! What may be deleted, from the state alone. Both verdicts are for good, so it does no harm to act
//! on a state that is behind: what is condemned or forgotten never comes back to life, and a number
//! that a state does not know of yet says nothing.

use crate::state::{SliceState, State};
use mooseng_core::id::{PartId, ServerId, SliceId};
use mooseng_core::plant;
use std::collections::BTreeMap;

/// The condemned slices to be dealt with next, and what each server is asked to delete.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Round {
    pub slices: Vec<SliceId>,
    pub parts: BTreeMap<ServerId, Vec<PartId>>,
}

/// The first condemned slices, at most so many.
pub fn round(state: &State, slices_max: usize) -> Round {
    let mut round = Round::default();
    for (slice, servers) in state.condemned().take(slices_max) {
        round.slices.push(slice);
        for (index, server) in (0..).zip(servers) {
            if let Some(server) = server {
                round.parts.entry(server).or_default().push(PartId { slice, index });
            }
        }
    }
    round
}

/// May a part of this slice be deleted wherever it is found? A part of a live slice may not, even
/// where the slice is not said to have one: it may have just been made there, and
/// [`crate::inventory`] asks more before it goes.
pub fn is_garbage(state: &State, slice: SliceId) -> bool {
    match state.slice_state(slice) {
        SliceState::Condemned | SliceState::Forgotten => true,
        SliceState::Pending(_) => plant!("pending-parts-deleted", false, true),
        SliceState::Unknown | SliceState::Live => false,
    }
}
