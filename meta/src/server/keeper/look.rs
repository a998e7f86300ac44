//! Looking through what chunk servers keep, page by page and one server after the other. What is
//! found is judged by [`crate::inventory`].

use super::{Keeper, Looking, name};
use crate::inventory::{self, Held, Page};
use crate::server::chunk_servers::leads;
use mooseng_core::env::Env;
use mooseng_core::id::{PartId, ServerId, SessionId};
use mooseng_core::{plant, probe};
use mooseng_net::convert::{self, PARTS_MAX};
use mooseng_net::proto::chunk::{InventoryReply, InventoryRequest, Moment, PartName};

fn names(parts: &[Held]) -> Vec<PartName> {
    parts.iter().map(|held| name(held.part, held.incarnation)).take(PARTS_MAX).collect()
}

/// A part that no slice can have is nobody's.
fn page(server: ServerId, after: Option<PartId>, reply: &InventoryReply) -> Page {
    let parts = reply.parts.iter().filter_map(|entry| {
        let slice = convert::slice("inventory.slice", entry.slice).ok()?;
        let index = convert::part_index("inventory.index", entry.index).ok()?;
        let (part, incarnation) = (PartId { slice, index }, entry.incarnation);
        Some(Held { part, incarnation, damaged: entry.damaged })
    });
    Page { server, after, parts: parts.collect(), complete: reply.complete }
}

impl<E: Env> Keeper<'_, E> {
    /// One page of what one server keeps. The state was copied before the server was asked.
    pub(super) async fn look_through(&self, looking: &mut Looking) {
        let next = |after: Option<ServerId>| {
            let mut servers = self.state.chunk_servers().map(|(server, _)| server);
            servers.find(|server| Some(*server) > after && self.is_alive(*server))
        };
        let current = looking.server.filter(|server| self.is_alive(*server));
        let Some(server) = current.or_else(|| next(looking.server)) else {
            looking.go_to(None, self.now());
            return;
        };
        if looking.server != Some(server) {
            looking.go_to(Some(server), self.now());
        }
        let Some(client) = self.client(server) else { return };
        let config = &self.server.config.keeper;
        let after = looking.after.map(|after| name(after, 0));
        let request = InventoryRequest { after, limit: config.inventory_max };
        let Ok(reply) = client.inventory(&request, self.now() + config.answer_max).await else {
            looking.go_to(next(Some(server)), self.now());
            return;
        };
        let page = page(server, looking.after, &reply);
        let found = inventory::compare(&self.state, &page, config.repair.slices_max);
        if !found.garbage.is_empty() {
            probe!("a chunk server keeps what nobody needs");
            self.delete_named(server, names(&found.garbage), None).await;
        }
        if !found.absent.is_empty() {
            probe!("a chunk server lacks what it should have");
        }
        self.server.with_census(|census| inventory::tell(census, server, &found));
        self.tidy(looking, server, &found.elsewhere, reply.moment).await;
        looking.after = found.next;
        if found.next.is_none() {
            looking.sightings.passed(server, looking.begun);
            looking.go_to(next(Some(server)), self.now());
        }
    }

    /// Takes away what has been in a wrong place for as long as a server may be silent.
    async fn tidy(&self, looking: &mut Looking, server: ServerId, found: &[Held], moment: Option<Moment>) {
        let now = self.now();
        let long = self.server.with_census(|census| census.config().lost_after);
        let sightings = &mut looking.sightings;
        let seen = found.iter().filter(|held| sightings.seen(server, **held, now, long));
        let old: Vec<Held> = seen.copied().collect();
        let Some(moment) = moment.filter(|_| !old.is_empty()) else { return };
        // Nobody has session 0; but only who leads, and knows all that was committed before, says so.
        if self.handle.keep_alive(SessionId(0)).await.is_err() {
            return;
        }
        let Ok((look, state)) = self.handle.copy().await else { return };
        if !leads(&look) || look.answer.term != self.term {
            return;
        }
        let census = self.server.with_census(|census| census.clone());
        let may_go = |held: &Held| inventory::may_go(&state, &census, self.now(), held.part, server);
        let go: Vec<Held> = old.into_iter().filter(may_go).collect();
        if !plant!("part-elsewhere-kept-for-ever", go.is_empty(), true) {
            probe!("a chunk server keeps what is needed elsewhere");
            self.delete_named(server, names(&go), Some(moment)).await;
        }
    }
}
