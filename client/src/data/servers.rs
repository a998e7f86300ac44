//! The chunk servers as a driver meets them: a channel to each, one call at a time. Knows nothing
//! of what a slice is; what an answer means to it is said in the words of [`super::fetch`] and
//! [`super::upload`].

use super::StoreConfig;
use super::encode::Encoded;
use super::fetch::{Ask, Failure, Sent};
use super::table::{ChunkServer, Table};
use super::upload::Refused;
use bytes::Bytes;
use futures::channel::mpsc;
use futures::stream::{self, StreamExt};
use mooseng_core::chance::Dice;
use mooseng_core::checksum::{sums_from_bytes, sums_to_bytes};
use mooseng_core::class::LEAF_BYTES;
use mooseng_core::env::{Address, Body, Clock, Env};
use mooseng_core::id::{PartId, ServerId};
use mooseng_core::plant;
use mooseng_core::time::Instant;
use mooseng_net::proto::chunk::{
    ChunkClient, PartOutcome, PutPartReply, PutPartRequest, ReadPartReply, ReadPartRequest, ReportBadRequest,
};
use mooseng_net::rpc::{CallError, Channel};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bad parts that were reported and are not reported again.
const REPORTED_MAX: usize = 1_024;
/// Puts of one part under way at once.
const PUTS_MAX: usize = 4;
/// A server is told the same part again once if it lost some of it, or its connection broke.
const TRIES_MAX: u32 = 2;

pub(super) struct Servers<E: Env> {
    pub(super) env: E,
    pub(super) config: StoreConfig,
    inner: Mutex<Inner<E>>,
    /// Asks for a newer table.
    nudge: mpsc::Sender<()>,
}

struct Inner<E: Env> {
    table: Table,
    channels: BTreeMap<ServerId, Channel<E>>,
    reported: BTreeSet<PartId>,
    dice: ChaCha8Rng,
    /// Spreads clients over equal copies.
    salt: u64,
}

impl<E: Env> Servers<E> {
    pub(super) fn new(env: &E, config: StoreConfig, nudge: mpsc::Sender<()>) -> Self {
        let mut dice = env.rng("data store", env.clock().now().as_nanos());
        let salt = dice.word();
        let (table, channels, reported) = Default::default();
        let inner = Mutex::new(Inner { table, channels, reported, dice, salt });
        Self { env: env.clone(), config, inner, nudge }
    }

    pub(super) fn learn(&self, servers: Vec<ChunkServer>) {
        let mut inner = self.lock();
        inner.table.learn(servers);
        let Inner { table, channels, .. } = &mut *inner;
        channels.retain(|server, channel| table.address(*server) == Some(channel.address()));
    }

    /// Asks for a newer table; it comes when it comes.
    pub(super) fn nudge(&self) {
        // A full queue says the same already.
        let _ = self.nudge.clone().try_send(());
    }

    /// Looks at the table, with the time and the dice that go with it.
    pub(super) fn with_table<T>(&self, look: impl FnOnce(&Table, u64, Instant, &mut ChaCha8Rng) -> T) -> T {
        let now = self.now();
        let mut inner = self.lock();
        let Inner { table, dice, salt, .. } = &mut *inner;
        look(table, *salt, now, dice)
    }

    pub(super) fn now(&self) -> Instant {
        self.env.clock().now()
    }

    /// Sends a part and returns when it is durable there.
    pub(super) async fn put(&self, server: ServerId, encoded: &Encoded) -> Result<(), Refused> {
        if self.env.buggify("chunk server passed over") {
            return Err(Refused::Silent);
        }
        for _ in 0..TRIES_MAX {
            match self.put_once(server, encoded).await {
                Ok(PartOutcome::Done) => {
                    self.lock().table.succeeded(server, None);
                    return Ok(());
                }
                Ok(PartOutcome::NoSpace) => return Err(Refused::Full),
                // Damaged on its way, or forgotten by a restart.
                Ok(PartOutcome::Mismatch | PartOutcome::Incomplete) | Err(CallError::Lost(_)) => {}
                Ok(_) | Err(_) => break,
            }
        }
        let now = self.now();
        self.lock().table.failed(server, now);
        Err(Refused::Silent)
    }

    /// The last run of bytes seals the part, when all others have arrived.
    async fn put_once(&self, server: ServerId, encoded: &Encoded) -> Result<PartOutcome, CallError> {
        let client = self.client(server)?;
        let step = self.config.put_bytes_max;
        let starts: Vec<usize> = (0..encoded.bytes.len()).step_by(step).collect();
        let (before, last) = match starts.split_last() {
            Some((last, before)) => (before, *last),
            None => (&[][..], 0),
        };
        let puts: Vec<_> =
            before.iter().map(|start| self.put_run(&client, server, encoded, *start, false)).collect();
        let mut answers = stream::iter(puts).buffer_unordered(PUTS_MAX);
        while let Some(answer) = answers.next().await {
            let outcome = answer?.outcome();
            if outcome != PartOutcome::Done {
                return Ok(outcome);
            }
        }
        let seal = plant!("commit-before-parts-durable", true, false);
        Ok(self.put_run(&client, server, encoded, last, seal).await?.outcome())
    }

    async fn put_run(
        &self,
        client: &ChunkClient<E>,
        server: ServerId,
        encoded: &Encoded,
        start: usize,
        seal: bool,
    ) -> Result<PutPartReply, CallError> {
        let end = encoded.bytes.len().min(start + self.config.put_bytes_max);
        let leaf = LEAF_BYTES as usize;
        let sums = &encoded.sums[start / leaf..end.div_ceil(leaf)];
        let request = PutPartRequest {
            server: server.0,
            slice: encoded.part.slice.raw(),
            index: u32::from(encoded.part.index),
            offset: start as u32,
            sums: sums_to_bytes(sums).into(),
            seal,
            length: if seal { encoded.bytes.len() as u32 } else { 0 },
        };
        let body = if start == end { Body::Empty } else { Body::Bytes(encoded.bytes.slice(start..end)) };
        client.put(&request, body, self.now() + self.config.put_timeout).await
    }

    /// Asks for a range of a part; gives the request back with what came of it.
    pub(super) async fn get(&self, ask: Ask) -> (Ask, Result<Sent, Failure>) {
        let begun = self.now();
        let answer = self.get_once(&ask).await;
        let now = self.now();
        let result = match answer {
            Ok((reply, bytes)) => sent(&reply, bytes),
            Err(_) => Err(Failure::Silent),
        };
        let table = &mut self.lock().table;
        match result {
            Err(Failure::Silent) => table.failed(ask.server, now),
            Ok(_) | Err(Failure::Gone) => table.succeeded(ask.server, Some(now.since(begun))),
        }
        (ask, result)
    }

    async fn get_once(&self, ask: &Ask) -> Result<(ReadPartReply, Bytes), CallError> {
        let request = ReadPartRequest {
            slice: ask.part.slice.raw(),
            index: u32::from(ask.part.index),
            offset: ask.offset,
            length: ask.length,
        };
        self.client(ask.server)?.read(&request, self.now() + self.config.read_timeout).await
    }

    /// Tells a server, once, that a leaf it sent is bad. It looks for itself; nobody waits for that.
    pub(super) fn report(self: &Arc<Self>, ask: &Ask, leaf: u32) {
        let (part, server) = (ask.part, ask.server);
        {
            let mut inner = self.lock();
            if inner.reported.len() >= REPORTED_MAX {
                inner.reported.clear();
            }
            if !inner.reported.insert(part) {
                return;
            }
        }
        let servers = self.clone();
        self.env.spawn("report a bad part", async move {
            let request = ReportBadRequest { slice: part.slice.raw(), index: u32::from(part.index), leaf };
            let deadline = servers.now() + servers.config.put_timeout;
            let told = match servers.client(server) {
                Ok(client) => client.report_bad(&request, deadline).await.is_ok(),
                Err(_) => false,
            };
            if !told {
                servers.lock().reported.remove(&part);
            }
        });
    }

    fn client(&self, server: ServerId) -> Result<ChunkClient<E>, CallError> {
        let mut inner = self.lock();
        let Inner { table, channels, .. } = &mut *inner;
        let Some(address) = table.address(server).cloned() else {
            drop(inner);
            self.nudge();
            return Err(CallError::Unreachable(format!("{server} is in no table")));
        };
        let channel = channels.entry(server).or_insert_with(|| self.channel(address)).clone();
        Ok(ChunkClient::new(channel))
    }

    fn channel(&self, address: Address) -> Channel<E> {
        Channel::new(&self.env, address, self.config.channel)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<E>> {
        // Nothing panics while it holds the lock; if something did, the maps are whole all the same.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long to wait before the `round`-th round.
    pub(super) fn backoff(&self, round: u32) -> Duration {
        self.with_table(|_, _, _, dice| self.config.backoff.wait(round, dice))
    }
}

/// What an answer to a read is worth.
fn sent(reply: &ReadPartReply, bytes: Bytes) -> Result<Sent, Failure> {
    match reply.outcome() {
        PartOutcome::Done => {
            Ok(Sent { part_length: reply.part_length, sums: sums_from_bytes(&reply.sums), bytes })
        }
        PartOutcome::Absent | PartOutcome::Damaged => Err(Failure::Gone),
        _ => Err(Failure::Silent),
    }
}
