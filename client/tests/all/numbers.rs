//! Chunk servers that go by one number, and servers of two clusters that use each other's addresses.

use crate::whole::{CLUSTER, METADATA_SERVERS, add_metadata_servers, metadata};
use mooseng_chunk::ChunkServerConfig;
use mooseng_client::{Session, SessionConfig};
use mooseng_core::env::Address;
use mooseng_core::id::{ClusterId, ServerId};
use mooseng_net::proto::cluster::ChunkServerLife;
use mooseng_sim::machine::{Fault, MachineConfig, NodeConfig, NodeId, Sim};
use std::time::Duration;

/// Longer than it takes until a silent server is known to be one.
const A_WHILE: Duration = Duration::from_secs(8);

fn add_chunk_server(sim: &mut Sim, name: &str, cluster: ClusterId) {
    let address = Address::new(format!("{name}:9422"));
    let mut config = ChunkServerConfig::new(ServerId(101), address);
    config.cluster = Some(cluster);
    config.metadata = (1..=METADATA_SERVERS).map(metadata).collect();
    let node = sim.add_node(name, NodeConfig::default());
    sim.install(node, move |env| {
        let config = config.clone();
        async move { mooseng_chunk::run(env, config).await.expect("the server starts") }
    });
    sim.start(node);
}

struct Looker {
    node: NodeId,
    session: Session<mooseng_sim::machine::SimEnv>,
}

impl Looker {
    fn new(sim: &mut Sim) -> Self {
        let node = sim.add_node("looker", NodeConfig::default());
        sim.boot_idle(node);
        let (env, servers) = (sim.env(node), (1..=METADATA_SERVERS).map(metadata).collect());
        let opened = async move { Session::open(&env, SessionConfig::new(servers)).await.unwrap() };
        Self { node, session: sim.run(node, Duration::from_secs(60), opened).expect("a session opens") }
    }

    /// Where server 101 is said to be, after a while, if it lives.
    fn place(&self, sim: &mut Sim) -> Option<String> {
        let until = sim.now() + A_WHILE;
        sim.run_until(until);
        let session = self.session.clone();
        let looking = async move { session.chunk_servers().await.unwrap() };
        let reply = sim.run(self.node, A_WHILE, looking).expect("somebody leads");
        let alive = reply.servers.into_iter().find(|status| status.life == ChunkServerLife::Alive as i32);
        alive.map(|status| status.address)
    }
}

fn world() -> (Sim, Looker) {
    let mut sim = Sim::new(1, MachineConfig::calm());
    add_metadata_servers(&mut sim);
    add_chunk_server(&mut sim, "first", CLUSTER);
    let looker = Looker::new(&mut sim);
    assert_eq!(looker.place(&mut sim).as_deref(), Some("first:9422"));
    (sim, looker)
}

fn kill(sim: &mut Sim, node: &str) {
    sim.apply(&Fault::Kill { node: node.into(), restart_ms: None }).unwrap();
}

pub(crate) fn a_number_stays_with_who_lives() -> bool {
    let (mut sim, looker) = world();
    add_chunk_server(&mut sim, "second", CLUSTER);
    looker.place(&mut sim).as_deref() == Some("first:9422")
}

#[test]
fn a_number_goes_to_another_only_when_nobody_goes_by_it() {
    let (mut sim, looker) = world();
    add_chunk_server(&mut sim, "second", CLUSTER);
    assert_eq!(looker.place(&mut sim).as_deref(), Some("first:9422"));
    for (dies, lives) in [("first", "second:9422"), ("second", "first:9422")] {
        kill(&mut sim, dies);
        assert_eq!(looker.place(&mut sim).as_deref(), Some(lives), "the other has died");
        sim.apply(&Fault::Restart { node: dies.into() }).unwrap();
        assert_eq!(looker.place(&mut sim).as_deref(), Some(lives), "the other is back");
    }
    // Stopped for a while it does not know that its number has gone to another.
    sim.apply(&Fault::Pause { node: "first".into(), for_ms: Some(20_000) }).unwrap();
    assert_eq!(looker.place(&mut sim).as_deref(), Some("second:9422"));
    let until = sim.now() + Duration::from_secs(20);
    sim.run_until(until);
    assert_eq!(looker.place(&mut sim).as_deref(), Some("second:9422"));
}

#[test]
fn a_chunk_server_of_another_cluster_is_not_taken() {
    let (mut sim, looker) = world();
    kill(&mut sim, "first");
    assert_eq!(looker.place(&mut sim), None);
    add_chunk_server(&mut sim, "stranger", ClusterId(CLUSTER.0 + 1));
    assert_eq!(looker.place(&mut sim), None);
}
