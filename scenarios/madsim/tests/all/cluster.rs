//! Three metadata servers on three hosts: made, started, killed and cut off. Knows nothing of what
//! clients do with them.

use mooseng_client::SessionConfig;
use mooseng_core::env::{Address, Env};
use mooseng_core::event::Event;
use mooseng_core::id::{ClusterId, GroupId, ReplicaId, ServerId};
use mooseng_madsim::{Host, MadEnv, World};
use mooseng_meta::server::{self, FormatConfig, ServerConfig};
use mooseng_meta::state::StateConfig;
use mooseng_storage::JournalConfig;
use std::time::Duration;

const SERVERS: u64 = 3;

/// A sector is what this disk keeps or loses whole. Segments and snapshots are small, so that both
/// come round within a story.
fn journal() -> JournalConfig {
    JournalConfig {
        segment_bytes: 64 << 10,
        batch_bytes_max: 16 << 10,
        queue_bytes_max: 1 << 20,
        sector_bytes: 512,
    }
}

fn address(number: u64) -> Address {
    Address::new(format!("meta-{number}:9421"))
}

fn server_config(number: u64) -> ServerConfig {
    let mut config = ServerConfig::new(ServerId(number), address(number));
    config.journal = journal();
    config.driver.snapshot_every_entries = 60;
    config.driver.log_trailing_entries = 10;
    config.driver.journal_pinned_bytes_max = 256 << 10;
    config.driver.image_chunk_bytes = 2 << 10;
    config
}

fn format_config(number: u64) -> FormatConfig {
    let voter = |number| (ReplicaId(number), ServerId(number), address(number));
    FormatConfig {
        cluster: ClusterId(77),
        server: ServerId(number),
        group: GroupId(1),
        voters: (1..=SERVERS).map(voter).collect(),
        state: StateConfig::default(),
        journal: journal(),
    }
}

/// The servers of a story.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) world: World,
    servers: Vec<Host>,
}

impl Cluster {
    /// Formats three disks, cuts the power, and starts three servers on what that left.
    pub(crate) async fn start(world: &World) -> Self {
        let mut servers = Vec::new();
        for number in 1..=SERVERS {
            let host = world.host(&format!("meta-{number}"));
            let formatted = server::format(host.start(), format_config(number));
            host.spawn(formatted).await.expect("formatting ends").expect("an empty disk can be formatted");
            host.kill();
            servers.push(host);
        }
        let cluster = Self { world: world.clone(), servers };
        for number in 1..=SERVERS {
            cluster.boot(number);
        }
        cluster
    }

    pub(crate) fn server(&self, number: u64) -> &Host {
        &self.servers[number as usize - 1]
    }

    pub(crate) fn boot(&self, number: u64) {
        let host = self.server(number);
        let env = host.start();
        host.spawn(serve(env, server_config(number)));
    }

    pub(crate) fn numbers(&self) -> std::ops::RangeInclusive<u64> {
        1..=SERVERS
    }

    pub(crate) fn all_up(&self) -> bool {
        self.servers.iter().all(Host::is_up)
    }

    /// Who was elected last.
    pub(crate) fn leader(&self) -> Option<u64> {
        self.world.trail(|trail| {
            let elected = trail.entries().iter().filter_map(|entry| match entry.event {
                Event::Elected { term, .. } => Some((term, &entry.host)),
                _ => None,
            });
            let (_, host) = elected.max_by_key(|(term, _)| *term)?;
            self.numbers().find(|number| self.server(*number).name() == host)
        })
    }

    /// The leader, as soon as there is one.
    pub(crate) async fn some_leader(&self) -> u64 {
        loop {
            if let Some(number) = self.leader() {
                return number;
            }
            self.world.sleep(Duration::from_millis(50)).await;
        }
    }

    /// Patient, so that what a story breaks for a while costs time and no answers.
    pub(crate) fn session_config(&self) -> SessionConfig {
        SessionConfig {
            operation_timeout: Duration::from_secs(60),
            ..SessionConfig::new(self.numbers().map(address).collect())
        }
    }
}

async fn serve(env: MadEnv, config: ServerConfig) {
    if let Err(error) = server::run(env.clone(), config).await {
        env.halt(format!("the server does not start: {error}"));
    }
}
