//! Files on a whole cluster: three metadata servers, six chunk servers, two clients. Servers lose
//! power and disks rot while files are written; everything reads back right.

use crate::chunk::Fixed;
use mooseng_chunk::ChunkServerConfig;
use mooseng_client::data::{ChunkServer, Store, StoreConfig};
use mooseng_client::file::{FileConfig, Files, OpenFile, Size};
use mooseng_client::{Session, SessionConfig};
use mooseng_core::chance::Dice;
use mooseng_core::env::{Address, Env, sleep};
use mooseng_core::id::{ClusterId, GroupId, InodeId, ReplicaId, ServerId};
use mooseng_core::namespace::{Answer, Attr, Name, Op, Query};
use mooseng_meta::server::{self, FormatConfig, ServerConfig};
use mooseng_meta::state::StateConfig;
use mooseng_sim::machine::{Fault, MachineConfig, NodeConfig, NodeId, Sim, SimEnv, Spot};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const CLUSTER: ClusterId = ClusterId(9);
pub(crate) const METADATA_SERVERS: u64 = 3;
const CHUNK_SERVERS: u64 = 6;

pub(crate) fn metadata(number: u64) -> Address {
    Address::new(format!("meta-{number}:9421"))
}

fn server_config(number: u64) -> ServerConfig {
    let mut config = ServerConfig::new(ServerId(number), metadata(number));
    config.groups = vec![GroupId(1)];
    config.join = Some((1..=METADATA_SERVERS).filter(|other| *other != number).map(metadata).collect());
    config
}

pub(crate) fn add_metadata_servers(sim: &mut Sim) {
    let voters: Vec<_> = (1..=METADATA_SERVERS)
        .map(|number| (ReplicaId(number), ServerId(number), metadata(number)))
        .collect();
    for number in 1..=METADATA_SERVERS {
        let node = sim.add_node(&format!("meta-{number}"), NodeConfig::default());
        let config = server_config(number);
        let format = FormatConfig {
            cluster: CLUSTER,
            server: config.server,
            group: GroupId(1),
            voters: voters.clone(),
            state: StateConfig::default(),
            journal: config.journal.clone(),
        };
        sim.boot_idle(node);
        let env = sim.env(node);
        sim.run(node, Duration::from_secs(30), server::format(env, format)).unwrap().unwrap();
        sim.apply(&Fault::Kill { node: format!("meta-{number}"), restart_ms: None }).unwrap();
        sim.boot(node, move |env| {
            let config = config.clone();
            async move { server::run(env, config).await.expect("the server starts") }
        });
    }
}

fn add_chunk_servers(sim: &mut Sim) -> Vec<ChunkServer> {
    let add = |number: u64| {
        let address = Address::new(format!("chunk-{number}:9422"));
        let mut config = ChunkServerConfig::new(ServerId(number), address.clone());
        config.cluster = Some(CLUSTER);
        let node = sim.add_node(&format!("chunk-{number}"), NodeConfig::default());
        sim.boot(node, move |env| {
            let config = config.clone();
            async move { mooseng_chunk::run(env, config).await.expect("the server starts") }
        });
        let rack = format!("rack {}", number % 3).into();
        ChunkServer {
            server: ServerId(number),
            address,
            rack,
            total: 1 << 40,
            free: 1 << 39,
            disk: 0,
            alive: true,
        }
    };
    (1..=CHUNK_SERVERS).map(add).collect()
}

/// What a mount is made of, without the names that lead to files.
struct Mount {
    session: Session<SimEnv>,
    files: Files<SimEnv, Session<SimEnv>>,
}

impl Mount {
    async fn new(env: SimEnv, servers: Vec<ChunkServer>) -> Self {
        let metadata = (1..=METADATA_SERVERS).map(metadata).collect();
        let session = Session::open(&env, SessionConfig::new(metadata)).await.unwrap();
        let store = Store::new(&env, StoreConfig::default(), Fixed::new(servers));
        let config = FileConfig { flush_bytes: 600_000, slice_bytes_max: 600_000, ..FileConfig::default() };
        Self { files: Files::new(&env, config, store, session.clone()), session }
    }

    async fn change(&self, op: Op) -> Attr {
        match self.session.mutate(&op).await.unwrap().outcome.unwrap() {
            Answer::Attr(attr) => attr,
            other => panic!("{other:?} is no answer to {op:?}"),
        }
    }

    async fn create(&self, name: String, class: &str) -> OpenFile<SimEnv, Session<SimEnv>> {
        let name = Name::new(name).unwrap();
        let made = self.change(Op::Create { parent: InodeId::ROOT, name, mode: 0o600, uid: 0, gid: 0 }).await;
        let class = class.parse().unwrap();
        self.open(self.change(Op::SetClass { inode: made.inode, class }).await)
    }

    async fn look(&self, name: String) -> Attr {
        let name = Name::new(name).unwrap();
        let query = Query::Lookup { parent: InodeId::ROOT, name };
        match self.session.query(&query).await.unwrap().outcome.unwrap() {
            Answer::Attr(attr) => attr,
            other => panic!("{other:?} is no answer to a lookup"),
        }
    }

    fn open(&self, attr: Attr) -> OpenFile<SimEnv, Session<SimEnv>> {
        self.files.open(attr.inode, attr.class, Size { bytes: attr.size, version: attr.version })
    }
}

fn name(number: u64) -> String {
    format!("file {number}")
}

/// Writes a file here and there, cuts it now and then, and closes it.
async fn write(env: SimEnv, mount: Arc<Mount>, number: u64) -> Vec<u8> {
    let mut dice = env.rng("story", number);
    let class = ["ec=4+2", "copies=2", "copies=3"][number as usize % 3];
    let file = mount.create(name(number), class).await;
    let mut model: Vec<u8> = Vec::new();
    for _ in 0..25 {
        let offset = dice.below(model.len() as u64 + 20_000);
        let length = dice.between(1, 200_000) as usize;
        let bytes: Vec<u8> = (0..length).map(|_| dice.word() as u8).collect();
        file.write(offset, &bytes).await.unwrap();
        let end = offset as usize + length;
        model.resize(model.len().max(end), 0);
        model[offset as usize..end].copy_from_slice(&bytes);
        match dice.below(8) {
            0 => {
                let size = dice.below(model.len() as u64 + 5_000);
                file.truncate(size).await.unwrap();
                model.resize(size as usize, 0);
            }
            1 => file.fsync().await.unwrap(),
            2 => {
                let from = dice.below(model.len() as u64) as usize;
                let read = file.read(from as u64, 100_000).await.unwrap();
                assert!(read == model[from..model.len().min(from + 100_000)]);
            }
            _ => sleep(&env, Duration::from_millis(dice.below(60))).await,
        }
    }
    file.flush().await.unwrap();
    model
}

fn client(sim: &mut Sim, name: &str, servers: &[ChunkServer]) -> (NodeId, Arc<Mount>) {
    let node = sim.add_node(name, NodeConfig::default());
    sim.boot_idle(node);
    let mount = Mount::new(sim.env(node), servers.to_vec());
    (node, Arc::new(sim.run(node, Duration::from_secs(60), mount).expect("a session opens")))
}

fn spawn_faults(sim: &mut Sim, node: NodeId) {
    let crash = |node: &str| Fault::Crash { node: node.to_owned(), restart_ms: Some(300) };
    let rot = Spot { prefix: "store/".into(), ..Spot::default() };
    let faults = [
        (100, crash("chunk-1")),
        (300, crash("meta-1")),
        (600, Fault::BitRot { node: "chunk-2".into(), spot: rot.clone(), sectors: 2 }),
        (700, crash("chunk-3")),
        (900, Fault::Isolate { node: "chunk-4".into(), for_ms: Some(400) }),
        (1_000, crash("meta-2")),
        (1_500, crash("chunk-5")),
        (1_600, Fault::BitRot { node: "chunk-2".into(), spot: rot, sectors: 2 }),
        (1_900, Fault::Pause { node: "chunk-6".into(), for_ms: Some(300) }),
    ];
    for (at_ms, fault) in faults {
        let (env, control) = (sim.env(node), sim.control().clone());
        sim.spawn(node, "fault", async move {
            sleep(&env, Duration::from_millis(at_ms)).await;
            control.apply(&fault).unwrap();
        });
    }
}

#[test]
fn files_survive_what_their_classes_are_made_for() {
    for seed in 0..3 {
        let mut machine = MachineConfig::calm();
        if seed > 0 {
            // Rare turns are taken often.
            (machine.buggify_point_ppm, machine.buggify_fire_ppm) = (400_000, 50_000);
        }
        let mut sim = Sim::new(seed, machine);
        add_metadata_servers(&mut sim);
        let servers = add_chunk_servers(&mut sim);
        let (writer, mount) = client(&mut sim, "writer", &servers);
        spawn_faults(&mut sim, writer);
        let env = sim.env(writer);
        let files = futures::future::join_all((0..6).map(|number| write(env.clone(), mount.clone(), number)));
        let models = sim.run(writer, Duration::from_secs(300), files).expect("the writers come to an end");
        let (reader, mount) = client(&mut sim, "reader", &servers);
        let wrong = Arc::new(Mutex::new(Vec::new()));
        let found = wrong.clone();
        let reading = async move {
            for (model, number) in models.into_iter().zip(0..) {
                let attr = mount.look(name(number)).await;
                let read = mount.open(attr).read(0, 1 << 30).await;
                if attr.size != model.len() as u64 || !read.as_ref().is_ok_and(|read| *read == model) {
                    found.lock().unwrap().push((number, read.map(|read| read.len())));
                }
            }
        };
        sim.run(reader, Duration::from_secs(300), reading).expect("the reader comes to an end");
        assert_eq!(*wrong.lock().unwrap(), [], "seed {seed}");
    }
}
