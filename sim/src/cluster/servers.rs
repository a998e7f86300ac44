//! The metadata servers of a run: how a plan's knobs become their configuration, their formatting,
//! and a look at what each of them holds in the end. Spares are there with empty disks, and do not run
//! before somebody starts them.

use super::record::Record;
use crate::machine::{Fault, NodeConfig, NodeId, Sim, SimEnv};
use crate::model::{Tree, TreeEntry};
use crate::oracle::FinalReplica;
use crate::plan::{Knobs, Member, Plan, WIRE_VERSION};
use bytes::Bytes;
use mooseng_client::SessionConfig;
use mooseng_client::cache::CacheConfig;
use mooseng_core::env::{Address, Env, sleep};
use mooseng_core::event::Event;
use mooseng_core::id::{ClusterId, GroupId, ReplicaId, ServerId};
use mooseng_core::namespace::Name;
use mooseng_meta::group::ambiguity::Standing;
use mooseng_meta::group::handle::{Handle, Look};
use mooseng_meta::server::{self, FormatConfig, ServerConfig, Tap};
use mooseng_meta::state::{State, StateConfig};
use mooseng_net::rpc::hello::Versions;
use mooseng_net::rpc::{ChannelConfig, Rooms};
use mooseng_storage::JournalConfig;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(super) const GROUP: GroupId = GroupId(1);
pub(super) const CLUSTER: ClusterId = ClusterId(0x6d6f_6f73_656e_6721);
const PORT: u16 = 9421;
/// Long enough for a disk to be formatted, and for a group's task to take its turn.
const FORMAT_MAX: Duration = Duration::from_secs(30);
const LOOK_MAX: Duration = Duration::from_millis(100);

/// How often it is looked at how much each server holds of what is limited.
const MEASURED_EVERY: Duration = Duration::from_millis(200);

/// The way to what each server that runs holds.
pub(super) type Handles = Arc<Mutex<BTreeMap<NodeId, (Handle, Rooms)>>>;

pub(super) struct Servers {
    nodes: Vec<NodeId>,
    /// So many of them take part from the start.
    voters: usize,
    configs: Vec<ServerConfig>,
    handles: Handles,
}

impl Servers {
    pub(super) fn add(sim: &mut Sim, plan: &Plan) -> Self {
        let count = plan.topology.servers + plan.topology.spares;
        let addresses: Vec<Address> = (1..=count).map(address).collect();
        let nodes: Vec<NodeId> =
            (1..=count).map(|number| sim.add_node(&name(number), node_config())).collect();
        let handles = Handles::default();
        let configs = nodes.iter().zip(1..).map(|(node, number)| {
            let (node, handles) = (*node, handles.clone());
            ServerConfig {
                join: Some(addresses.iter().filter(|other| **other != address(number)).cloned().collect()),
                tap: Tap::new(move |handle, rooms| {
                    lock(&handles).insert(node, (handle, rooms));
                }),
                ..server_config(plan, number)
            }
        });
        let configs = configs.collect();
        Self { nodes, voters: plan.topology.servers as usize, configs, handles }
    }

    pub(super) fn handles(&self) -> Handles {
        self.handles.clone()
    }

    /// Are there more of them than take part from the start?
    pub(super) fn have_spares(&self) -> bool {
        self.nodes.len() > self.voters
    }

    pub(super) fn names(&self) -> Vec<String> {
        (1..=self.nodes.len() as u32).map(name).collect()
    }

    /// Makes every server's disk, before anything can go wrong.
    pub(super) fn format(&self, sim: &mut Sim, plan: &Plan) {
        let voters: Vec<_> = (1..=self.voters as u32)
            .map(|number| (ReplicaId(u64::from(number)), ServerId(u64::from(number)), address(number)))
            .collect();
        for (node, config) in self.nodes.iter().zip(&self.configs).take(self.voters) {
            let format = FormatConfig {
                cluster: CLUSTER,
                server: config.server,
                group: GROUP,
                voters: voters.clone(),
                state: state_config(&plan.knobs),
                journal: config.journal.clone(),
            };
            sim.boot_idle(*node);
            let env = sim.env(*node);
            let formatted = sim.run(*node, FORMAT_MAX, server::format(env, format));
            formatted.expect("formatting comes to an end").expect("an empty disk can be formatted");
            let over = Fault::Kill { node: sim.name(*node).to_string(), restart_ms: None };
            sim.apply(&over).expect("the node was added");
        }
    }

    pub(super) fn boot(&self, sim: &mut Sim, record: &Arc<Record>) {
        for (node, config) in self.nodes.iter().zip(&self.configs) {
            let (node, config) = (*node, config.clone());
            let (handles, record) = (self.handles.clone(), record.clone());
            sim.install(node, move |env| {
                // What an earlier life left behind says nothing about this one.
                lock(&handles).remove(&node);
                let measuring = measure(env.clone(), node, handles.clone(), record.clone());
                env.spawn("measured", measuring);
                serve(env, config.clone())
            });
        }
        for node in self.nodes.iter().take(self.voters) {
            sim.start(*node);
        }
    }

    /// Of the client of this number, from 0.
    pub(super) fn session_config(&self, plan: &Plan, number: usize) -> SessionConfig {
        let servers = self.addresses();
        let queue_frames_max = plan.knobs.rpc_queue_frames_max as usize;
        SessionConfig {
            channel: ChannelConfig {
                queue_frames_max,
                versions: versions(WIRE_VERSION),
                cluster: Some(CLUSTER),
                ..ChannelConfig::default()
            },
            operation_timeout: Duration::from_millis(plan.knobs.deadline_ms),
            window: u64::from(plan.knobs.client_window),
            cache: (number < plan.knobs.clients_caching as usize).then(CacheConfig::default),
            ..SessionConfig::new(servers)
        }
    }

    pub(super) fn addresses(&self) -> Vec<Address> {
        self.configs.iter().map(|config| config.address.clone()).collect()
    }

    /// How many of them run, or should: spares do not, before somebody has started them, nor does who
    /// was taken away.
    pub(super) fn running(&self, sim: &Sim) -> usize {
        let voters = self.nodes.iter().take(self.voters);
        let switched_off = |node: &NodeId| self.have_spares() && !sim.is_up(*node);
        let spares = self.nodes.iter().skip(self.voters).filter(|node| sim.is_up(**node));
        voters.filter(|node| !switched_off(node)).count() + spares.count()
    }

    /// What every server that runs holds.
    pub(super) fn inspect(&self, sim: &mut Sim) -> Vec<FinalReplica> {
        let mut found = Vec::new();
        for (node, number) in self.nodes.iter().zip(1..) {
            let handle = lock(&self.handles).get(node).map(|(handle, _)| handle.clone());
            let Some(handle) = handle.filter(|_| sim.is_up(*node)) else { continue };
            let copy = sim.run(*node, LOOK_MAX, async move { handle.copy().await });
            if let Some(Ok((look, state))) = copy {
                found.extend(final_replica(number, &look, &state));
            }
        }
        found
    }
}

fn final_replica(number: u32, look: &Look, state: &State) -> Option<FinalReplica> {
    let replica = look.answer.replica?;
    let voter = look.answer.members.voters().contains(&replica);
    let entries = state.names().map(|(parent, name, inode)| TreeEntry {
        parent,
        name: Name::new(Bytes::copy_from_slice(name)).expect("a state holds names that can be"),
        inode,
    });
    Some(FinalReplica {
        node: Member::Server(number),
        group: GROUP,
        replica,
        applied: look.applied,
        hash: state.hash(),
        serving: look.answer.standing == Standing::Serving && voter,
        tree: Tree {
            inodes: state.attrs().collect(),
            entries: entries.collect(),
            extents: state.extents().collect(),
            live: state.slices_from(None).map(|info| info.slice).collect(),
            pending: state.pending().collect(),
            condemned: state.condemned().map(|(slice, _)| slice).collect(),
            sessions: state.sessions().collect(),
        },
        slices: state.slices_from(None).collect(),
    })
}

pub(super) fn lock(handles: &Handles) -> MutexGuard<'_, BTreeMap<NodeId, (Handle, Rooms)>> {
    handles.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks again and again at how much a server holds of what is limited.
async fn measure(env: SimEnv, node: NodeId, handles: Handles, record: Arc<Record>) {
    let member = Member::Server(node.0 + 1);
    loop {
        sleep(&env, MEASURED_EVERY).await;
        let Some((handle, rooms)) = lock(&handles).get(&node).cloned() else { continue };
        record.measured(member, &rooms.loads());
        if let Ok(look) = handle.look().await {
            record.measured(member, &look.loads);
        }
    }
}

pub(super) fn node_config() -> NodeConfig {
    NodeConfig { wire_version: WIRE_VERSION, ..NodeConfig::default() }
}

pub(super) fn versions(newest: u32) -> Versions {
    Versions { oldest: newest.saturating_sub(1).max(1), newest }
}

async fn serve(env: SimEnv, mut config: ServerConfig) {
    config.rpc.versions = versions(env.wire_version());
    config.channel.versions = config.rpc.versions;
    if let Err(error) = server::run(env.clone(), config).await {
        env.note(Event::Note(format!("the server does not start: {error}")));
        env.halt(error.to_string());
    }
}

fn name(number: u32) -> String {
    Member::Server(number).to_string()
}

pub(super) fn address(number: u32) -> Address {
    Address::new(format!("{}:{PORT}", name(number)))
}

fn state_config(knobs: &Knobs) -> StateConfig {
    StateConfig {
        name_hash_bits: knobs.name_hash_bits,
        first_counter: knobs.inode_start,
        links_max: knobs.links_max,
        session_window: u64::from(knobs.answers_max),
        sessions_max: knobs.sessions_max,
        ..StateConfig::default()
    }
}

fn server_config(plan: &Plan, number: u32) -> ServerConfig {
    let knobs = &plan.knobs;
    let mut config = ServerConfig::new(ServerId(u64::from(number)), address(number));
    config.groups = vec![GROUP];
    config.journal = JournalConfig {
        segment_bytes: knobs.segment_bytes,
        batch_bytes_max: knobs.batch_bytes_max as usize,
        queue_bytes_max: knobs.journal_queue_bytes_max as usize,
        sector_bytes: knobs.sector_bytes,
    };
    config.rpc.clients.connections_max = knobs.rpc_connections_max as usize;
    config.rpc.clients.calls_max = knobs.rpc_calls_max as usize;
    config.rpc.control.notices_max = knobs.rpc_notices_max as usize;
    config.channel.queue_frames_max = knobs.rpc_queue_frames_max as usize;
    let driver = &mut config.driver;
    driver.requests_max = knobs.requests_max as usize;
    driver.messages_max = knobs.messages_max as usize;
    driver.session_lifetime = Duration::from_millis(knobs.session_lifetime_ms);
    driver.leases.lease = Duration::from_millis(knobs.kept_ms);
    driver.leases.hold = Duration::from_millis(knobs.recalls_wait_ms);
    driver.leases.contended = Duration::from_millis(knobs.contended_ms);
    driver.snapshot_every_entries = knobs.snapshot_entries;
    driver.log_trailing_entries = driver.log_trailing_entries.min(knobs.snapshot_entries / 2);
    driver.journal_pinned_bytes_max = knobs.pinned_bytes_max;
    driver.image_chunk_bytes = knobs.snapshot_chunk_bytes as usize;
    let data = &knobs.data;
    config.census.silent_after = Duration::from_millis(data.silent_after_ms);
    config.census.lost_after = Duration::from_millis(data.lost_after_ms);
    config.keeper.pause = Duration::from_millis(data.keeper_pause_ms);
    let group = &mut driver.group;
    group.seed = plan.seed;
    group.tick = Duration::from_millis(knobs.tick_ms);
    group.heartbeat_ticks = knobs.heartbeat_ticks as usize;
    group.election_ticks_least = (knobs.election_ms_min / knobs.tick_ms) as usize + 1;
    group.election_ticks_most = (knobs.election_ms_max / knobs.tick_ms) as usize;
    // Without a lease every read asks a quorum.
    group.lease = Duration::from_millis(if knobs.lease_reads { knobs.lease_ms } else { 0 });
    group.message_bytes_max = knobs.message_bytes_max;
    group.inflight_messages_max = knobs.inflight_messages_max as usize;
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_meta::census::CensusConfig;
    use mooseng_meta::group::driver::DriverConfig;
    use mooseng_meta::server::KeeperConfig;

    /// What is measured at usual settings is measured for the daemons.
    #[test]
    fn usual_knobs_are_what_daemons_run_with() {
        let config = server_config(&Plan::quiet("usual", 0), 1);
        assert_eq!(config.driver, DriverConfig::default());
        assert_eq!(config.census, CensusConfig::default());
        assert_eq!(config.keeper, KeeperConfig::default());
    }
}
