//! The chunk servers of a run: how a plan's knobs become their configuration, and a look at what each
//! of them keeps in the end.

use super::servers::{CLUSTER, node_config, versions};
use crate::machine::{Fault, NodeId, Sim, SimEnv};
use crate::oracle::FinalChunkServer;
use crate::plan::{Member, Plan, WIRE_VERSION};
use futures::stream::{self, StreamExt};
use mooseng_chunk::ChunkServerConfig;
use mooseng_core::checksum::{leaf_bad_first, sums_from_bytes};
use mooseng_core::env::{Address, Clock, Env};
use mooseng_core::event::Event;
use mooseng_core::id::{PartId, ServerId, SliceId};
use mooseng_net::convert::PARTS_MAX;
use mooseng_net::proto::chunk::{ChunkClient, InventoryRequest, PartEntry, PartOutcome, ReadPartRequest};
use mooseng_net::rpc::{Channel, ChannelConfig};
use mooseng_storage::{Identity, Role, StoreConfig};
use std::time::Duration;

const PORT: u16 = 9422;
/// Chunk servers are numbered beside the metadata servers.
const FIRST: u64 = 101;
/// Looking at all that one server keeps.
const LOOK_MAX: Duration = Duration::from_secs(10);
/// Parts that are read side by side.
const READS_MAX: usize = 32;

pub(super) struct ChunkServers {
    nodes: Vec<NodeId>,
    configs: Vec<ChunkServerConfig>,
}

/// How much a look at a chunk server looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Thorough {
    /// What it says of itself.
    Names,
    /// Every byte.
    Bytes,
}

impl ChunkServers {
    pub(super) fn add(sim: &mut Sim, plan: &Plan, metadata: &[Address]) -> Self {
        let numbers = 1..=plan.topology.chunk_servers;
        let nodes = numbers.clone().map(|number| sim.add_node(&name(number), node_config())).collect();
        let configs = numbers.map(|number| config(plan, number, metadata.to_vec())).collect();
        Self { nodes, configs }
    }

    /// Puts everyone's name on its disk, before anything can go wrong: whoever is given a disk without a
    /// name takes it for its own.
    pub(super) fn format(&self, sim: &mut Sim) {
        for (node, config) in self.nodes.iter().zip(&self.configs) {
            sim.boot_idle(*node);
            let (env, identity) = (sim.env(*node), Identity { cluster: CLUSTER, server: config.server });
            let formatted = async move { identity.format(&env, "", Role::Chunks).await };
            let formatted = sim.run(*node, LOOK_MAX, formatted);
            formatted.expect("formatting comes to an end").expect("an empty disk can be formatted");
            let over = Fault::Kill { node: sim.name(*node).to_string(), restart_ms: None };
            sim.apply(&over).expect("the node was added");
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        (1..=self.nodes.len() as u32).map(name).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn boot(&self, sim: &mut Sim) {
        for (node, config) in self.nodes.iter().zip(&self.configs) {
            let config = config.clone();
            sim.boot(*node, move |env| serve(env, config.clone()));
        }
    }

    /// What every one of them that answers keeps, as somebody at `node` finds it.
    pub(super) fn inspect(&self, sim: &mut Sim, node: NodeId, how: Thorough) -> Vec<FinalChunkServer> {
        let env = sim.env(node);
        let mut found = Vec::new();
        for (config, number) in self.configs.iter().zip(1..) {
            let look = look(env.clone(), config.address.clone(), how);
            if let Some(Some(parts)) = sim.run(node, LOOK_MAX, look) {
                let node = Member::Chunk(number);
                found.push(FinalChunkServer { node, server: config.server, parts });
            }
        }
        found
    }
}

async fn serve(env: SimEnv, mut config: ChunkServerConfig) {
    config.rpc.versions = versions(env.wire_version());
    config.channel.versions = config.rpc.versions;
    if let Err(error) = mooseng_chunk::run(env.clone(), config).await {
        env.note(Event::Note(format!("the chunk server does not start: {error}")));
        env.halt(error.to_string());
    }
}

async fn look(env: SimEnv, address: Address, how: Thorough) -> Option<Vec<(PartId, bool)>> {
    let config = ChannelConfig { versions: versions(WIRE_VERSION), ..ChannelConfig::default() };
    let client = ChunkClient::new(Channel::new(&env, address, config));
    let deadline = env.clock().now() + LOOK_MAX;
    let reply =
        client.inventory(&InventoryRequest { after: None, limit: PARTS_MAX as u32 }, deadline).await.ok()?;
    let mut looks = Vec::with_capacity(reply.parts.len());
    for entry in &reply.parts {
        let part = PartId { slice: SliceId::from_raw(entry.slice)?, index: u8::try_from(entry.index).ok()? };
        let (env, client) = (&env, &client);
        looks.push(async move {
            let believed = how == Thorough::Names;
            (part, !entry.damaged && (believed || is_whole(env, client, part, entry).await))
        });
    }
    Some(stream::iter(looks).buffered(READS_MAX).collect().await)
}

async fn is_whole(env: &SimEnv, client: &ChunkClient<SimEnv>, part: PartId, entry: &PartEntry) -> bool {
    let request = ReadPartRequest { slice: entry.slice, index: entry.index, offset: 0, length: entry.length };
    let Ok((reply, bytes)) = client.read(&request, env.clock().now() + LOOK_MAX).await else { return false };
    let sums = sums_from_bytes(&reply.sums);
    reply.outcome() == PartOutcome::Done
        && bytes.len() == entry.length as usize
        && leaf_bad_first(part, 0, &bytes, &sums).is_none()
}

/// Where the `number`-th node of a kind stands.
pub(super) fn rack(plan: &Plan, number: u32) -> String {
    format!("rack-{}", (number - 1) % plan.topology.racks + 1)
}

fn name(number: u32) -> String {
    Member::Chunk(number).to_string()
}

fn config(plan: &Plan, number: u32, metadata: Vec<Address>) -> ChunkServerConfig {
    let data = &plan.knobs.data;
    let server = ServerId(FIRST - 1 + u64::from(number));
    let address = Address::new(format!("{}:{PORT}", name(number)));
    let millis = Duration::from_millis;
    ChunkServerConfig {
        cluster: Some(CLUSTER),
        rack: rack(plan, number),
        metadata,
        store: StoreConfig {
            segment_bytes: data.segment_bytes,
            sector_bytes: plan.knobs.sector_bytes,
            small_bytes_max: data.small_bytes_max as u32,
            // Moving a segment in tiny batches would be most of what a server does.
            batch_bytes_max: plan.knobs.batch_bytes_max.max(64 << 10) as usize,
            // A disk fills when a plan says so, and then to the end.
            free_bytes_min: 0,
            ..StoreConfig::default()
        },
        scrub_bytes_per_second: data.scrub_bytes_per_second,
        scrub_pause: millis(data.scrub_pause_ms),
        compact_pause: millis(data.compact_pause_ms),
        upload_idle_max: millis(data.upload_idle_ms),
        ..ChunkServerConfig::new(server, address)
    }
}
