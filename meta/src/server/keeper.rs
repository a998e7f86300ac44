//! What a leader does by itself, round after round: it has the parts of condemned slices deleted,
//! looks through what chunk servers keep for what nobody needs, and has lost parts made anew.
//! Carries out what [`crate::collect`] and [`crate::repair`] say; every verdict and every new place is
//! committed, so two leaders that take turns, or think so, do no harm.

mod look;

use super::Server;
use super::chunk_servers::leads;
use crate::census::Life;
use crate::collect;
use crate::command::{CommandKind, Reply};
use crate::group::handle::Handle;
use crate::inventory::{self, Sightings};
use crate::repair::{self, Bounds, Found, Order};
use crate::state::State;
use futures::future::join_all;
use mooseng_core::env::{Address, Clock, Env, sleep};
use mooseng_core::event::Event;
use mooseng_core::id::{PartId, ServerId, SliceId};
use mooseng_core::time::Instant;
use mooseng_core::{plant, probe};
use mooseng_net::convert::PARTS_MAX;
use mooseng_net::proto::chunk::{
    ChunkClient, DeletePartsRequest, Moment, PartName, PartOutcome, PartSource, RebuildPartRequest,
};
use std::sync::Arc;
use std::time::Duration;

/// The limits of one round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeeperConfig {
    /// Between two rounds.
    pub pause: Duration,
    /// How many condemned slices are dealt with in one round.
    pub condemned_max: usize,
    /// How many parts of one server are looked at in one round.
    pub inventory_max: u32,
    /// How many slices are looked at for missing parts, and how many parts are made anew.
    pub repair: Bounds,
    /// How long a chunk server may take to delete or list, and to make a part anew.
    pub answer_max: Duration,
    pub rebuild_max: Duration,
}

impl Default for KeeperConfig {
    fn default() -> Self {
        Self {
            pause: Duration::from_millis(500),
            condemned_max: 1_024,
            inventory_max: PARTS_MAX as u32,
            repair: Bounds { slices_max: 20_000, orders_max: 32 },
            answer_max: Duration::from_secs(5),
            rebuild_max: Duration::from_secs(60),
        }
    }
}

/// What whoever asks is told of the rounds of this leader.
#[derive(Clone, Copy, Default)]
pub(super) struct Progress {
    /// When all slices were looked at last.
    pub(super) found: Option<Found>,
    /// Parts made anew.
    pub(super) mended: u64,
}

/// Where looking through what servers keep has got to.
#[derive(Default)]
struct Looking {
    server: Option<ServerId>,
    /// Behind this part of it.
    after: Option<PartId>,
    /// When the first of its parts was looked at.
    begun: Instant,
    sightings: Sightings,
}

impl Looking {
    fn go_to(&mut self, server: Option<ServerId>, now: Instant) {
        (self.server, self.after, self.begun) = (server, None, now);
    }
}

/// Where the rounds have got to.
#[derive(Default)]
struct Cursor {
    looking: Looking,
    repair: Option<SliceId>,
    /// What was found since the beginning of all slices.
    found: Found,
    /// Of how many slices it was said that they cannot be read.
    lost: usize,
}

pub(super) async fn keep<E: Env>(server: Arc<Server<E>>) {
    let mut cursor = Cursor::default();
    loop {
        sleep(&server.env, server.config.keeper.pause).await;
        let Ok(handle) = server.slots.serving(server.registry()) else { continue };
        let Ok((look, state)) = handle.copy().await else { continue };
        if !leads(&look) {
            cursor = Cursor::default();
            server.with_progress(|progress| *progress = Progress::default());
            continue;
        }
        server.with_census(|census| census.lead(look.answer.term, server.env.clock().now()));
        let keeper = Keeper { server: &server, handle, state, term: look.answer.term };
        keeper.collect().await;
        keeper.look_through(&mut cursor.looking).await;
        keeper.repair(&mut cursor).await;
    }
}

fn name(part: PartId, incarnation: u64) -> PartName {
    PartName { slice: part.slice.raw(), index: u32::from(part.index), incarnation }
}

/// One round.
struct Keeper<'a, E: Env> {
    server: &'a Server<E>,
    handle: Handle,
    state: State,
    term: u64,
}

impl<E: Env> Keeper<'_, E> {
    fn now(&self) -> Instant {
        self.server.env.clock().now()
    }

    fn is_alive(&self, server: ServerId) -> bool {
        self.state.chunk_server(server).is_some()
            && self.server.with_census(|census| census.life(server, self.now())) == Life::Alive
    }

    fn client(&self, server: ServerId) -> Option<ChunkClient<E>> {
        let held = self.state.chunk_server(server)?;
        Some(ChunkClient::new(self.server.channels.to(&Address::new(held.address.to_string()))))
    }

    /// A slice is forgotten when every server that lives has deleted its parts. Those that do not
    /// live are looked through when they are back: a forgotten slice is garbage wherever it lies.
    async fn collect(&self) {
        let round = collect::round(&self.state, self.server.config.keeper.condemned_max);
        if round.slices.is_empty() {
            return;
        }
        let asked = round.parts.iter().filter(|(server, _)| self.is_alive(**server));
        let answers = join_all(asked.map(|(server, parts)| self.delete(*server, parts))).await;
        if answers.iter().all(|done| *done) {
            let forget = CommandKind::ForgetSlices { slices: round.slices };
            // Refused or lost: the next round finds them again.
            let _ = self.handle.propose(forget).await;
        } else {
            probe!("a chunk server does not delete what it is asked to");
        }
    }

    async fn delete(&self, server: ServerId, parts: &[PartId]) -> bool {
        self.delete_named(server, parts.iter().map(|part| name(*part, 0)).collect(), None).await
    }

    async fn delete_named(&self, server: ServerId, parts: Vec<PartName>, moment: Option<Moment>) -> bool {
        let Some(client) = self.client(server) else { return false };
        let deadline = self.now() + self.server.config.keeper.answer_max;
        client.delete(&DeletePartsRequest { server: server.0, parts, moment }, deadline).await.is_ok()
    }

    async fn repair(&self, cursor: &mut Cursor) {
        let census = self.server.with_census(|census| census.clone());
        let bounds = self.server.config.keeper.repair;
        let plan = repair::plan(&self.state, &census, self.now(), cursor.repair, bounds);
        cursor.repair = plan.next;
        cursor.found.add(plan.found);
        if plan.next.is_none() {
            let found = std::mem::take(&mut cursor.found);
            self.server.with_progress(|progress| progress.found = Some(found));
            // What was said of places that slices do not name any more is past.
            let is_past = |part, server| !inventory::names(&self.state, part, server);
            self.server.with_census(|census| census.forget(is_past));
        }
        let count = plan.lost.len();
        if count != cursor.lost
            && let Some(slice) = plan.lost.first()
        {
            probe!("a slice has too few parts to be read");
            let text = format!("{count} slices have too few parts to be read, {slice} among them");
            self.server.env.note(Event::Note(text));
        }
        cursor.lost = count;
        join_all(plan.orders.iter().map(|order| self.rebuild(order))).await;
    }

    /// Has the part made, and then commits where it is.
    async fn rebuild(&self, order: &Order) {
        let Some(client) = self.client(order.target) else { return };
        let address = |server: ServerId| self.state.chunk_server(server).map(|held| held.address.to_string());
        let source = |(index, server): &(u8, ServerId)| {
            address(*server).map(|address| PartSource { index: u32::from(*index), address })
        };
        let request = RebuildPartRequest {
            server: order.target.0,
            slice: order.slice.slice.raw(),
            index: u32::from(order.index),
            class: order.slice.class.to_raw(),
            slice_length: order.slice.length,
            sources: order.from.iter().filter_map(source).collect(),
        };
        let deadline = self.now() + self.server.config.keeper.rebuild_max;
        let reply = client.rebuild(&request, deadline).await;
        let made = reply.is_ok_and(|reply| reply.outcome == PartOutcome::Done as i32);
        if !plant!("part-moved-before-it-is-made", made, true) {
            probe!("a part could not be made anew");
            return;
        }
        let (slice, index, source) = (order.slice.slice, order.index, order.source);
        let moved = CommandKind::MovePart { slice, index, source, target: Some(order.target) };
        let stays = source == Some(order.target);
        if stays || matches!(self.handle.propose(moved).await, Ok((Reply::Done, _))) {
            self.server.with_progress(|progress| progress.mended += 1);
            let part = PartId { slice, index };
            self.server.with_census(|census| {
                census.mended(part, order.target);
                source.into_iter().for_each(|source| census.mended(part, source));
            });
        }
    }
}
