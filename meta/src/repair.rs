//! Which parts are to be made anew, from what, and where: parts whose server is lost or was never
//! found, and parts found damaged. What can bear the fewest further losses comes first.
//!
//! Pure: it reads the state and the census and orders; somebody else carries orders out and commits
//! where the part is then, by compare and swap, so that an order out of date does no harm.

#[cfg(test)]
pub(crate) mod tests;

use crate::census::{Census, Life};
use crate::state::State;
use mooseng_core::id::{PartId, ServerId, SliceId};
use mooseng_core::namespace::SliceInfo;
use mooseng_core::placement::{Candidate, place};
use mooseng_core::plant;
use mooseng_core::time::Instant;

/// Make this part at `target` from others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// How many more parts the slice can lose.
    pub spare: u8,
    pub slice: SliceInfo,
    pub index: u8,
    /// Where the state says it is; `None` is a deficit.
    pub source: Option<ServerId>,
    /// The same where there is no other place for it.
    pub target: ServerId,
    /// Parts that can be read now, and where.
    pub from: Vec<(u8, ServerId)>,
}

/// What one look at some of the slices comes to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// The most endangered first.
    pub orders: Vec<Order>,
    /// More parts are lost than can be made up for, unless a lost server comes back.
    pub lost: Vec<SliceId>,
    /// Where the next look begins; `None`: at the beginning.
    pub next: Option<SliceId>,
    pub found: Found,
}

/// How many slices were looked at, and what they lack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Found {
    pub live: u64,
    /// They lack parts and can be read.
    pub lacking: u64,
    /// Of these, such as can bear no further loss.
    pub endangered: u64,
    pub lost: u64,
}

impl Found {
    pub fn add(&mut self, more: Found) {
        self.live += more.live;
        self.lacking += more.lacking;
        self.endangered += more.endangered;
        self.lost += more.lost;
    }
}

/// How much one look may look at and order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    pub slices_max: usize,
    pub orders_max: usize,
}

/// Looks at slices from a number on.
pub fn plan(state: &State, census: &Census, now: Instant, from: Option<SliceId>, bounds: Bounds) -> Plan {
    let servers = candidates(state, census, now);
    let mut plan = Plan::default();
    let mut slices = state.slices_from(from);
    for info in slices.by_ref().take(bounds.slices_max) {
        look(&mut plan, &info, state, census, now, &servers);
    }
    plan.next = slices.next().map(|info| info.slice);
    plan.orders.sort_by_key(|order| (order.spare, order.slice.slice, order.index));
    plan.orders.truncate(bounds.orders_max);
    plan
}

/// The servers that may be given parts.
fn candidates(state: &State, census: &Census, now: Instant) -> Vec<Candidate> {
    let each = state.chunk_servers().map(|(server, held)| Candidate {
        server,
        rack: (*held.rack).into(),
        weight: census.space(server).total,
        usable: census.life(server, now) == Life::Alive && census.space(server).free > 0,
    });
    each.collect()
}

fn look(
    plan: &mut Plan,
    info: &SliceInfo,
    state: &State,
    census: &Census,
    now: Instant,
    servers: &[Candidate],
) {
    let life = |server: ServerId| match state.chunk_server(server) {
        Some(_) => census.life(server, now),
        None => Life::Lost,
    };
    let mut sound = Vec::new();
    let mut missing = Vec::new();
    for (index, server) in (0..).zip(&info.parts) {
        let part = PartId { slice: info.slice, index };
        match server {
            Some(server) if life(*server) != Life::Lost && !census.is_damaged(part, *server) => {
                sound.push((index, *server));
            }
            None if plant!("deficit-never-made-up", false, true) => {}
            _ => missing.push((index, *server)),
        }
    }
    plan.found.live += 1;
    if missing.is_empty() {
        return;
    }
    let data = info.class.data();
    if sound.len() < usize::from(data) {
        plan.found.lost += 1;
        plan.lost.push(info.slice);
        return;
    }
    plan.found.lacking += 1;
    plan.found.endangered += u64::from(sound.len() == usize::from(data));
    let readable = sound.iter().copied().filter(|(_, server)| life(*server) == Life::Alive);
    let from: Vec<(u8, ServerId)> = readable.collect();
    if from.len() < usize::from(data) {
        return;
    }
    // Neither where another part is, nor where this slice had one that is damaged.
    let taken: Vec<ServerId> = sound.iter().map(|(_, server)| *server).collect();
    let had: Vec<ServerId> = missing.iter().filter_map(|(_, server)| *server).collect();
    let free: Vec<Candidate> =
        servers.iter().filter(|candidate| !had.contains(&candidate.server)).cloned().collect();
    let placed = place(info.slice, info.class, &free, &taken).servers;
    let spare = sound.len() as u8 - data;
    let usable = |server: &ServerId| servers.iter().any(|one| one.server == *server && one.usable);
    for ((index, source), target) in missing.into_iter().zip(placed) {
        // Where it was is better than nowhere: the disk may be another one by now.
        if let Some(target) = target.or(source.filter(usable)) {
            let (slice, from) = (info.clone(), from.clone());
            plan.orders.push(Order { spare, slice, index, source, target, from });
        }
    }
}
