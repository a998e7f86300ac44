//! What a chunk server tells the metadata servers: here two of them, played by a test.

use crate::world::{address, bytes, config, name, part};
use mooseng_chunk::{ChunkServerConfig, run};
use mooseng_core::checksum::{leaves, sums_to_bytes};
use mooseng_core::env::{Address, Body, Clock, Env, Net};
use mooseng_core::plant;
use mooseng_net::proto::chunk::{ChunkClient, PutPartRequest};
use mooseng_net::proto::cluster::*;
use mooseng_net::rpc::{self, Call, Channel, ChannelConfig, Code, Status};
use mooseng_sim::machine::{Fault, MachineConfig, NodeConfig, NodeId, Sim, SimEnv, Spot};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn metadata(server: u64) -> Address {
    Address::new(format!("meta-{server}:9421"))
}

/// What both metadata servers know, and what they were told.
#[derive(Default, Debug)]
struct Told {
    leader: u64,
    term: u64,
    known: bool,
    registrations: Vec<RegisterChunkServerRequest>,
    heartbeats: Vec<ChunkHeartbeatRequest>,
}

#[derive(Clone)]
struct Played {
    own: u64,
    told: Arc<Mutex<Told>>,
}

impl Played {
    fn leading<T>(&self, answer: impl FnOnce(&mut Told) -> T) -> Result<T, Status> {
        let mut told = self.told.lock().unwrap();
        if told.leader != self.own {
            return Err(Status::not_leader(Some(metadata(told.leader))));
        }
        Ok(answer(&mut told))
    }
}

fn unasked<T>() -> Result<T, Status> {
    Err(Status::new(Code::Invalid, "nobody asks this here"))
}

impl Cluster<SimEnv> for Played {
    async fn status(&self, _: Call, _: StatusRequest) -> Result<StatusReply, Status> {
        unasked()
    }

    async fn join_replica(&self, _: Call, _: JoinReplicaRequest) -> Result<JoinReplicaReply, Status> {
        unasked()
    }

    async fn remove_replica(&self, _: Call, _: RemoveReplicaRequest) -> Result<RemoveReplicaReply, Status> {
        unasked()
    }

    async fn transfer_leader(
        &self,
        _: Call,
        _: TransferLeaderRequest,
    ) -> Result<TransferLeaderReply, Status> {
        unasked()
    }

    async fn register_chunk_server(
        &self,
        _: Call,
        request: RegisterChunkServerRequest,
    ) -> Result<RegisterChunkServerReply, Status> {
        self.leading(|told| {
            told.known = true;
            told.registrations.push(request);
            RegisterChunkServerReply { heartbeat_ms: 200, term: told.term }
        })
    }

    async fn chunk_heartbeat(
        &self,
        _: Call,
        request: ChunkHeartbeatRequest,
    ) -> Result<ChunkHeartbeatReply, Status> {
        self.leading(|told| {
            told.heartbeats.push(request);
            ChunkHeartbeatReply { known: told.known, heartbeat_ms: 200, term: told.term }
        })
    }

    async fn chunk_servers(&self, _: Call, _: ChunkServersRequest) -> Result<ChunkServersReply, Status> {
        unasked()
    }
}

struct Story {
    sim: Sim,
    client: NodeId,
    told: Arc<Mutex<Told>>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut sim = Sim::new(seed, MachineConfig::calm());
        let told = Arc::new(Mutex::new(Told { leader: 2, term: 1, ..Told::default() }));
        for own in 1..=2 {
            let node = sim.add_node(&format!("meta-{own}"), NodeConfig::default());
            let told = told.clone();
            sim.boot(node, move |env| play(env, Played { own, told: told.clone() }));
        }
        let node = sim.add_node(&name(1), NodeConfig::default());
        let config =
            || ChunkServerConfig { metadata: vec![metadata(1), metadata(2)], rack: "a".into(), ..config(1) };
        sim.boot(node, move |env| async move {
            run(env, config()).await.unwrap();
        });
        let client = sim.add_node("client", NodeConfig::default());
        sim.boot_idle(client);
        sim.run_for(Duration::from_secs(2));
        Self { sim, client, told }
    }

    /// What was told while so many seconds went by.
    fn after(&mut self, seconds: u64) -> Told {
        {
            let mut told = self.told.lock().unwrap();
            told.registrations.clear();
            told.heartbeats.clear();
        }
        self.sim.run_for(Duration::from_secs(seconds));
        let told = self.told.lock().unwrap();
        Told { registrations: told.registrations.clone(), heartbeats: told.heartbeats.clone(), ..*told }
    }

    fn change(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.lock().unwrap());
    }
}

async fn play(env: SimEnv, played: Played) {
    let listener = env.net().listen(&metadata(played.own)).await.unwrap();
    let config = rpc::ServerConfig::default();
    let rooms = rpc::Rooms::new(&config);
    rpc::serve(env, listener, ClusterHandler::new(played), config, rooms).await;
}

#[test]
fn it_registers_with_the_leader_and_says_at_the_pace_asked_for_that_it_lives() {
    let mut story = Story::new(1);
    let first = story.told.lock().unwrap().registrations.clone();
    let [first] = &first[..] else { panic!("it registers once: {first:?}") };
    assert_eq!((first.server, &*first.address, &*first.rack), (1, address(1).as_str(), "a"));
    assert!(first.free > 0 && first.free <= first.total, "{first:?}");
    let told = story.after(10);
    assert!((45..=50).contains(&told.heartbeats.len()), "{} in 10 s", told.heartbeats.len());
    assert_eq!(told.registrations, []);

    story.change(|told| (told.leader, told.term) = (1, 2));
    let told = story.after(10);
    assert!((45..=50).contains(&told.heartbeats.len()), "{} to the new leader", told.heartbeats.len());
    assert_eq!(told.registrations, [], "a leader knows what the one before it wrote down");
}

/// Does it register again with servers that do not know it any more?
fn registers_again() -> bool {
    let mut story = Story::new(2);
    story.change(|told| told.known = false);
    let told = story.after(5);
    told.registrations.len() == 1 && told.known
}

#[test]
fn it_registers_again_where_it_is_not_known() {
    assert!(registers_again());
    plant::activate(Some("chunk-server-registers-once"));
    let silent = registers_again();
    plant::activate(None);
    assert!(!silent, "a server that nobody knows goes on as if somebody did");
}

/// Which damaged parts each of two leaders is told of, how often in all, and how many there are.
fn damage_told() -> [(BTreeSet<u64>, usize); 2] {
    let mut story = Story::new(3);
    let env = story.sim.env(story.client);
    let put = async move {
        let channel = Channel::new(&env, address(1), ChannelConfig::default());
        for number in 1..=40 {
            let part = part(number, 0);
            let data = bytes(part, 1_500);
            let request = PutPartRequest {
                server: 1,
                slice: part.slice.raw(),
                sums: sums_to_bytes(&leaves(part, 0, &data)).into(),
                seal: true,
                length: data.len() as u32,
                ..PutPartRequest::default()
            };
            let client = ChunkClient::new(channel.clone());
            let deadline = env.clock().now() + Duration::from_secs(5);
            client.put(&request, Body::Bytes(data), deadline).await.unwrap();
        }
    };
    story.sim.run(story.client, Duration::from_secs(60), put).expect("the parts are put");
    let spot = Spot { prefix: "store/0".into(), from: Some(0), to: Some(60_000), newest: false };
    for _ in 0..8 {
        let rot = Fault::BitRot { node: name(1), spot: spot.clone(), sectors: 1 };
        story.sim.apply(&rot).unwrap();
    }
    let summary = |told: Told| {
        let named = told.heartbeats.iter().flat_map(|heartbeat| &heartbeat.damaged);
        let named: Vec<u64> = named.map(|part| part.slice).collect();
        (named.iter().copied().collect(), named.len())
    };
    let first = summary(story.after(30));
    story.change(|told| (told.leader, told.term) = (1, 2));
    [first, summary(story.after(30))]
}

#[test]
fn every_leader_is_told_of_what_is_damaged() {
    let [first, second] = damage_told();
    assert!((3..=16).contains(&first.0.len()), "{first:?}");
    assert_eq!(first.0.len(), first.1, "each once");
    assert_eq!(second.0, first.0, "the next leader is told of the same");
    plant::activate(Some("chunk-damage-told-to-one-leader"));
    let [first, second] = damage_told();
    plant::activate(None);
    assert!(first.0 != second.0, "a new leader never hears what is damaged");
}
