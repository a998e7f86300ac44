//! Tells the leader of the metadata servers, whoever that is, that this server is there and how much
//! room it has. [`crate::presence`] says what to say, [`Route`] whom to ask.

use super::Server;
use crate::presence::{Presence, Wish};
use mooseng_core::chance::Dice;
use mooseng_core::env::{Address, Clock, Env, Space, sleep};
use mooseng_core::event::Event;
use mooseng_core::probe;
use mooseng_core::time::Instant;
use mooseng_net::convert::DAMAGED_MAX;
use mooseng_net::proto::cluster::{
    ChunkHeartbeatRequest, ClusterClient, DamagedPart, RegisterChunkServerRequest,
};
use mooseng_net::rpc::backoff::{RetryBudget, RetryConfig};
use mooseng_net::rpc::route::{Miss, Route};
use mooseng_net::rpc::{CallError, Channel, ChannelConfig};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Whatever pace a leader asks for, it is kept within these.
const PACE_LEAST: Duration = Duration::from_millis(10);
const PACE_MOST: Duration = Duration::from_secs(60);
/// An election takes less.
const UNTAKEN_MAX: Duration = Duration::from_secs(3);

struct Announcer<E: Env> {
    server: Arc<Server<E>>,
    presence: Presence,
    route: Route,
    channels: BTreeMap<Address, Channel<E>>,
    budget: RetryBudget,
    dice: ChaCha8Rng,
    /// Why nobody took it, as it was said last.
    trouble: Option<String>,
    /// Since when nobody has, and whether that was said.
    untaken: Option<(Instant, bool)>,
}

pub(super) async fn announce<E: Env>(server: Arc<Server<E>>) {
    if server.config.metadata.is_empty() {
        return;
    }
    let env = server.env.clone();
    let mut dice = env.rng("announce", server.config.server.0);
    let route = Route::new(server.config.metadata.clone(), dice.word());
    let budget = RetryBudget::new(RetryConfig::default());
    let (presence, channels) = (Presence::default(), BTreeMap::new());
    let mut announcer =
        Announcer { server, presence, route, channels, budget, dice, trouble: None, untaken: None };
    loop {
        let wait = announcer.round().await;
        let late = env.buggify("chunk server is silent for a while");
        sleep(&env, if late { wait * 10 } else { wait }).await;
    }
}

impl<E: Env> Announcer<E> {
    /// Says what is to be said next; how long to wait then.
    async fn round(&mut self) -> Duration {
        let asked = self.route.current().clone();
        let said = match self.presence.next() {
            Wish::Register => self.register(&asked).await,
            Wish::Heartbeat { told } => self.heartbeat(&asked, told).await,
        };
        match said {
            Ok(heartbeat_ms) => {
                self.route.hit();
                self.budget.tried();
                (self.trouble, self.untaken) = (None, None);
                Duration::from_millis(heartbeat_ms).clamp(PACE_LEAST, PACE_MOST)
            }
            Err(error) => self.missed(&asked, &error),
        }
    }

    fn missed(&mut self, asked: &Address, error: &CallError) -> Duration {
        let Some(miss) = Miss::of(error) else {
            let trouble = format!("{asked} does not take this server: {error}");
            if self.trouble.as_ref() != Some(&trouble) {
                self.server.env.note(Event::Note(trouble.clone()));
                self.trouble = Some(trouble);
            }
            self.route.miss(asked, Miss::Silent, &mut self.dice);
            return self.route.long_wait(&mut self.dice);
        };
        self.complain(asked, error);
        self.route.pause(asked, miss, &mut self.budget, &mut self.dice)
    }

    /// Says once that nobody takes this server, when that has been so for a while.
    fn complain(&mut self, asked: &Address, error: &CallError) {
        let now = self.server.env.clock().now();
        let (since, told) = self.untaken.get_or_insert((now, false));
        if !*told && now.since(*since) >= UNTAKEN_MAX {
            *told = true;
            let server = self.server.config.server;
            let line = format!("{server}: no metadata server takes it; {asked}: {error}");
            self.server.env.note(Event::Note(line));
        }
    }

    async fn register(&mut self, asked: &Address) -> Result<u64, CallError> {
        let Space { total, free } = self.space().await;
        let config = &self.server.config;
        let request = RegisterChunkServerRequest {
            server: config.server.0,
            address: config.address.to_string(),
            rack: config.rack.clone(),
            total,
            free,
            life: self.server.life,
            disk: config.disk,
        };
        let (client, deadline) = self.client(asked);
        let reply = client.register_chunk_server(&request, deadline).await?;
        probe!("chunk server registered");
        self.presence.registered(reply.term);
        Ok(reply.heartbeat_ms)
    }

    async fn heartbeat(&mut self, asked: &Address, told: u64) -> Result<u64, CallError> {
        let Space { total, free } = self.space().await;
        let found = self.server.store.set_aside_since(told, DAMAGED_MAX);
        let told = found.last().map_or(told, |(number, _)| *number);
        let name = |part: &mooseng_core::id::PartId| DamagedPart {
            slice: part.slice.raw(),
            index: u32::from(part.index),
        };
        let damaged = found.iter().map(|(_, part)| name(part)).collect();
        let (server, life) = (self.server.config.server.0, self.server.life);
        let disk = self.server.config.disk;
        let request = ChunkHeartbeatRequest { server, total, free, damaged, life, disk };
        let (client, deadline) = self.client(asked);
        let reply = client.chunk_heartbeat(&request, deadline).await?;
        if !reply.known {
            probe!("chunk server is not known any more");
        }
        self.presence.answered(reply.term, reply.known, told);
        Ok(if reply.known { reply.heartbeat_ms } else { 0 })
    }

    /// What there is for parts. A disk that does not say has room for nothing.
    async fn space(&self) -> Space {
        let Ok(Space { total, free }) = self.server.store.space().await else {
            return Space { total: 0, free: 0 };
        };
        Space { total, free: free.saturating_sub(self.server.config.store.free_bytes_min) }
    }

    fn client(&mut self, asked: &Address) -> (ClusterClient<E>, Instant) {
        let Server { env, config, .. } = &*self.server;
        let control = ChannelConfig { control: true, ..config.channel };
        let channel = self.channels.entry(asked.clone());
        let channel = channel.or_insert_with(|| Channel::new(env, asked.clone(), control)).clone();
        (ClusterClient::new(channel), env.clock().now() + config.answer_max)
    }
}
