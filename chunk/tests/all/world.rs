//! A few chunk servers, and a node that calls them.

use bytes::Bytes;
use mooseng_chunk::{ChunkServerConfig, run};
use mooseng_core::chance::mix;
use mooseng_core::checksum::{leaf_bad_first, leaves, sums_from_bytes, sums_to_bytes};
use mooseng_core::env::{Address, Body, Clock, Env};
use mooseng_core::id::{ClusterId, PartId, ServerId, SliceId, Slot};
use mooseng_net::proto::chunk::*;
use mooseng_net::rpc::{CallError, Channel, ChannelConfig};
use mooseng_sim::machine::{Fault, MachineConfig, NodeConfig, NodeId, Sim, SimEnv};
use mooseng_storage::StoreConfig;
use std::future::Future;
use std::time::Duration;

pub(crate) const LEAF: usize = 4_096;

pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) client: NodeId,
    pub(crate) count: u64,
}

pub(crate) fn config(server: u64) -> ChunkServerConfig {
    let store = StoreConfig {
        segment_bytes: 64 << 10,
        sector_bytes: 512,
        small_bytes_max: 16 << 10,
        batch_bytes_max: 32 << 10,
        free_bytes_min: 0,
        ..StoreConfig::default()
    };
    ChunkServerConfig {
        cluster: Some(ClusterId(7)),
        store,
        scrub_bytes_per_second: 1 << 20,
        scrub_pause: Duration::from_secs(5),
        compact_pause: Duration::from_secs(1),
        upload_idle_max: Duration::from_secs(20),
        ..ChunkServerConfig::new(ServerId(server), address(server))
    }
}

pub(crate) fn address(server: u64) -> Address {
    Address::new(format!("chunk-{server}:9422"))
}

pub(crate) fn name(server: u64) -> String {
    format!("chunk-{server}")
}

impl World {
    pub(crate) fn new(seed: u64, count: u64) -> Self {
        let mut sim = Sim::new(seed, MachineConfig::calm());
        for server in 1..=count {
            let node = sim.add_node(&name(server), NodeConfig::default());
            sim.boot(node, move |env| serve(env, config(server)));
        }
        let client = sim.add_node("client", NodeConfig::default());
        sim.boot_idle(client);
        // They make their stores first.
        sim.run_for(Duration::from_secs(1));
        Self { sim, client, count }
    }

    /// Runs a task of the client to its end.
    pub(crate) fn run<T, F>(&mut self, task: impl FnOnce(Caller) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let env = self.sim.env(self.client);
        let channel = |server| Channel::new(&env, address(server), ChannelConfig::default());
        let channels = (1..=self.count).map(channel).collect();
        let task = task(Caller { env: env.clone(), channels });
        self.sim.run(self.client, Duration::from_secs(300), task).expect("the task ends")
    }

    pub(crate) fn apply(&self, fault: Fault) {
        self.sim.apply(&fault).unwrap();
    }
}

async fn serve(env: SimEnv, config: ChunkServerConfig) {
    let error = run(env.clone(), config).await.unwrap_err();
    env.halt(error.to_string());
}

/// Calls each server by its number.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) env: SimEnv,
    channels: Vec<Channel<SimEnv>>,
}

pub(crate) fn part(number: u64, index: u8) -> PartId {
    PartId { slice: SliceId::new(0, Slot::new(3).unwrap(), number).unwrap(), index }
}

/// Bytes that say whose they are.
pub(crate) fn bytes(part: PartId, length: usize) -> Bytes {
    let seed = mix(part.slice.raw() << 8 | u64::from(part.index));
    (0..length).map(|at| mix(seed ^ (at as u64 / 8)).to_le_bytes()[at % 8]).collect()
}

impl Caller {
    pub(crate) fn client(&self, server: u64) -> ChunkClient<SimEnv> {
        ChunkClient::new(self.channels[server as usize - 1].clone())
    }

    pub(crate) fn soon(&self) -> mooseng_core::time::Instant {
        self.env.clock().now() + Duration::from_secs(5)
    }

    /// Puts a run of a part's bytes; seals it if a length is given.
    pub(crate) async fn put_run(
        &self,
        server: u64,
        part: PartId,
        offset: usize,
        data: Bytes,
        seal: Option<usize>,
    ) -> Result<PutPartReply, CallError> {
        let request = PutPartRequest {
            server,
            slice: part.slice.raw(),
            index: u32::from(part.index),
            offset: offset as u32,
            sums: sums_to_bytes(&leaves(part, (offset / LEAF) as u64, &data)).into(),
            seal: seal.is_some(),
            length: seal.unwrap_or(0) as u32,
        };
        self.client(server).put(&request, Body::Bytes(data), self.soon()).await
    }

    pub(crate) async fn put(&self, server: u64, part: PartId, data: Bytes) -> Result<PartOutcome, CallError> {
        let length = data.len();
        Ok(self.put_run(server, part, 0, data, Some(length)).await?.outcome())
    }

    /// A range of a part, verified; `Err` with the outcome if it is not to be had.
    pub(crate) async fn read(
        &self,
        server: u64,
        part: PartId,
        offset: usize,
        length: usize,
    ) -> Result<Result<Bytes, PartOutcome>, CallError> {
        let request = ReadPartRequest {
            slice: part.slice.raw(),
            index: u32::from(part.index),
            offset: offset as u32,
            length: length as u32,
        };
        let (reply, bytes) = self.client(server).read(&request, self.soon()).await?;
        if reply.outcome() != PartOutcome::Done {
            return Ok(Err(reply.outcome()));
        }
        let sums = sums_from_bytes(&reply.sums);
        let bad = leaf_bad_first(part, (offset / LEAF) as u64, &bytes, &sums);
        Ok(if bad.is_none() { Ok(bytes) } else { Err(PartOutcome::Mismatch) })
    }

    pub(crate) async fn delete(&self, server: u64, names: &[(PartId, u64)]) -> Vec<PartOutcome> {
        let name = |(part, incarnation): &(PartId, u64)| PartName {
            slice: part.slice.raw(),
            index: u32::from(part.index),
            incarnation: *incarnation,
        };
        let request = DeletePartsRequest { server, parts: names.iter().map(name).collect(), moment: None };
        let reply = self.client(server).delete(&request, self.soon()).await.unwrap();
        reply.outcomes().collect()
    }

    pub(crate) async fn inventory(&self, server: u64) -> Vec<PartEntry> {
        let reply = self.client(server).inventory(&InventoryRequest::default(), self.soon()).await.unwrap();
        assert!(reply.complete);
        reply.parts
    }
}
