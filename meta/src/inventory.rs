//! What a chunk server keeps, beside what the state says that it keeps: what nobody needs, what is
//! needed and lies elsewhere, and what is not there. Pure.
//!
//! A part of a live slice at a server that the slice does not name is left over from a write or from
//! a server that came back; or it was just made there, and its place is not committed yet. It may go
//! if the state of *now*, asked of a leader that leads, still does not name the server, whoever was
//! asked listed the part before that, and it says itself that no rebuild was answered with the part
//! since. For a place is only ever committed by the leader that ordered the rebuild, after its
//! answer:
//! - Answered before the listing, ordered by this leader or one before it: what they proposed is in
//!   the state, or never will be, for this leader orders nothing while it looks.
//! - Ordered by a later leader: that one was elected after this one was confirmed, so its rebuild is
//!   answered after the listing, and the server refuses.
//! - An answer after the part is gone is an answer with a part made again.

use crate::census::{Census, Life};
use crate::collect::is_garbage;
use crate::state::{SliceState, State};
use mooseng_core::extent::SliceInfo;
use mooseng_core::id::{PartId, ServerId};
use mooseng_core::plant;
use mooseng_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many parts in wrong places are kept in mind; more come next time.
const SIGHTINGS_MAX: usize = 65_536;

/// A part as a chunk server lists it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    pub part: PartId,
    pub incarnation: u64,
    /// It was found damaged: as good as gone, but still in its place.
    pub damaged: bool,
}

/// What a server keeps behind `after`, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    pub server: ServerId,
    pub after: Option<PartId>,
    pub parts: Vec<Held>,
    /// There is nothing behind the last of them.
    pub complete: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    /// Of slices that nobody needs.
    pub garbage: Vec<Held>,
    /// Of slices that are needed, and have this part elsewhere.
    pub elsewhere: Vec<Held>,
    /// Should be there, whole. A server that found a part damaged says so once; whoever listens may have
    /// begun before it knew of the slice, so what is listed says it again.
    pub absent: Vec<PartId>,
    /// Are where they should be, whole.
    pub present: Vec<PartId>,
    /// Where to go on; `None`: that was all.
    pub next: Option<PartId>,
}

/// Compares a page with a state that was copied before it was asked for, at most so many slices of
/// it. A slice that the state does not know may be one that was granted since.
pub fn compare(state: &State, page: &Page, slices_max: usize) -> Findings {
    if page.parts.is_empty() && !page.complete {
        return Findings::default();
    }
    let mut slices = state.slices_from(page.after.map(|after| after.slice));
    let looked_at: Vec<SliceInfo> = slices.by_ref().take(slices_max.max(2)).collect();
    let last_slice = looked_at.last().filter(|_| slices.next().is_some());
    let ends = [
        last_slice.map(|info| PartId { slice: info.slice, index: u8::MAX }),
        page.parts.last().map(|held| held.part).filter(|_| !page.complete),
    ];
    let next = ends.into_iter().flatten().min();
    let is_covered = |part: PartId| Some(part) > page.after && next.is_none_or(|next| part <= next);
    let mut findings = Findings { next, ..Findings::default() };
    let covered = page.parts.iter().filter(|held| is_covered(held.part));
    for held in covered.clone() {
        if is_garbage(state, held.part.slice) {
            findings.garbage.push(*held);
        } else if is_elsewhere(state, held.part, page.server) {
            findings.elsewhere.push(*held);
        }
    }
    let whole = covered.filter(|held| plant!("damage-heard-only-once", !held.damaged, true));
    let there: BTreeSet<PartId> = whole.map(|held| held.part).collect();
    for info in &looked_at {
        let named = (0..).zip(&info.parts).filter(|(_, server)| **server == Some(page.server));
        let parts = named.map(|(index, _)| PartId { slice: info.slice, index });
        let covered = parts.filter(|part| is_covered(*part));
        let (present, absent): (Vec<_>, Vec<_>) = covered.partition(|part| there.contains(part));
        findings.present.extend(present);
        findings.absent.extend(absent);
    }
    findings
}

/// What is not there is as good as damaged; what is there again, as on a server that has come back, is not
/// any more.
pub fn tell(census: &mut Census, server: ServerId, findings: &Findings) {
    findings.absent.iter().for_each(|part| census.damaged(*part, server));
    let present: &[PartId] = plant!("part-that-is-back-stays-missing", &findings.present, &[]);
    present.iter().for_each(|part| census.mended(*part, server));
}

/// Does the slice have this part there?
pub fn names(state: &State, part: PartId, server: ServerId) -> bool {
    let info = state.slice(part.slice);
    info.is_some_and(|info| info.parts.get(usize::from(part.index)) == Some(&Some(server)))
}

/// Is the slice needed, and does it not have this part at this server?
fn is_elsewhere(state: &State, part: PartId, server: ServerId) -> bool {
    let named = PartId { index: plant!("part-elsewhere-by-first-part", part.index, 0), ..part };
    state.slice_state(part.slice) == SliceState::Live && !names(state, named, server)
}

/// May a part be taken away from where it is not needed, by this state and census? Not while its
/// slice lacks anything: it may be what another is made from.
pub fn may_go(state: &State, census: &Census, now: Instant, part: PartId, server: ServerId) -> bool {
    let Some(info) = state.slice(part.slice) else { return false };
    let sound = |(index, server): (u8, &Option<ServerId>)| {
        server.is_some_and(|server| {
            let part = PartId { slice: info.slice, index };
            let alive = state.chunk_server(server).is_some() && census.life(server, now) == Life::Alive;
            alive && !census.is_damaged(part, server)
        })
    };
    is_elsewhere(state, part, server) && (0..).zip(&info.parts).all(sound)
}

/// Parts seen in wrong places, and since when.
#[derive(Debug, Default)]
pub struct Sightings {
    parts: BTreeMap<(ServerId, PartId), Sighting>,
}

#[derive(Debug)]
struct Sighting {
    incarnation: u64,
    first: Instant,
    last: Instant,
}

impl Sightings {
    /// A part was seen again; has it been there for so long?
    pub fn seen(&mut self, server: ServerId, held: Held, now: Instant, long: Duration) -> bool {
        let key = (server, held.part);
        if self.parts.len() >= SIGHTINGS_MAX && !self.parts.contains_key(&key) {
            return false;
        }
        let fresh = || Sighting { incarnation: held.incarnation, first: now, last: now };
        let sighting = self.parts.entry(key).or_insert_with(fresh);
        if sighting.incarnation != held.incarnation {
            *sighting = fresh();
        }
        sighting.last = now;
        now >= sighting.first + long
    }

    /// Everything at a server was looked at since this moment: what was not seen is gone.
    pub fn passed(&mut self, server: ServerId, begun: Instant) {
        self.parts.retain(|(other, _), sighting| *other != server || sighting.last >= begun);
    }
}

#[cfg(test)]
mod tests;
