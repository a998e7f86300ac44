//! A metadata server: one process, one data directory, one journal, replicas of one or more groups,
//! and the services they are reached by.
//!
//! [`format()`] makes a first disk; [`run()`] serves from one. A server whose replica is lost (its disk
//! empty, its journal damaged, its state unlike its group's) never takes part under the old number
//! again: it asks the group's leader for a new one and catches up as a learner ([`rejoin`]).
//!
//! It knows nothing of Raft, namespaces or sessions beyond carrying requests to the group's task.

mod chunk_servers;
mod cluster;
mod config;
mod disk;
mod format;
mod host;
mod keeper;
mod metadata;
mod place;
mod raft;
mod rejoin;
mod slots;

pub use config::{FormatConfig, ServerConfig, Tap};
pub use format::format;
pub use keeper::KeeperConfig;
pub use place::{Found, found};

use crate::census::Census;
use crate::group::driver::Channels;
use crate::group::room::Measured;
use keeper::Progress;
use mooseng_core::env::{Address, DiskError, Env, Net};
use mooseng_net::proto::cluster::ClusterHandler;
use mooseng_net::proto::metadata::MetadataHandler;
use mooseng_net::proto::raft::RaftHandler;
use mooseng_net::rpc;
use mooseng_storage::{Identity, Role, StorageError};
use slots::Slots;
use std::sync::{Arc, Mutex, PoisonError};

/// Why a server does not start, or stops: one line for an operator.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ServerError(pub String);

impl From<DiskError> for ServerError {
    fn from(error: DiskError) -> Self {
        Self(error.to_string())
    }
}

/// What the parts of a server share.
struct Server<E: Env> {
    env: E,
    config: ServerConfig,
    identity: Identity,
    channels: Channels<E>,
    slots: Slots<E>,
    rooms: rpc::Rooms,
    census: Mutex<Census>,
    progress: Mutex<Progress>,
    disk: Arc<Measured>,
}

impl<E: Env> Server<E> {
    fn with_progress<T>(&self, look: impl FnOnce(&mut Progress) -> T) -> T {
        look(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_census<T>(&self, look: impl FnOnce(&mut Census) -> T) -> T {
        look(&mut self.census.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Serves until the machine stops; returns only if it cannot start.
pub async fn run<E: Env>(env: E, config: ServerConfig) -> Result<(), ServerError> {
    config.check().map_err(ServerError)?;
    let own_channel = rpc::ChannelConfig { control: true, ..config.channel };
    let identity = identity(&env, &config, &Channels::new(env.clone(), own_channel)).await?;
    let cluster = Some(identity.cluster);
    let channels = Channels::new(env.clone(), rpc::ChannelConfig { cluster, ..own_channel });
    let address = &config.address;
    let listener = env.net().listen(address).await.map_err(|error| ServerError(error.to_string()))?;
    let slots = Slots::new(&config.groups);
    let rpc_config = rpc::ServerConfig { cluster, ..config.rpc };
    let rooms = rpc::Rooms::new(&rpc_config);
    let census = Mutex::new(Census::new(config.census));
    let own = rooms.clone();
    let progress = Mutex::default();
    let disk = Arc::default();
    let server =
        Server { env: env.clone(), config, identity, channels, slots, rooms: own, census, progress, disk };
    let server = Arc::new(server);
    let metadata = MetadataHandler::new(metadata::Service::new(server.clone()));
    let raft = RaftHandler::new(raft::Service::new(server.clone()));
    let cluster = ClusterHandler::new(cluster::Service::new(server.clone()));
    let services = (raft, (metadata, cluster));
    env.spawn("services", rpc::serve(env.clone(), listener, services, rpc_config, rooms));
    env.spawn("keeper", keeper::keep(server.clone()));
    env.spawn("disk watched", disk::watch(env.clone(), server.disk.clone()));
    host::groups(server).await?;
    futures::future::pending().await
}

/// Whose disk this is. An empty one becomes this server's only if it is told whom to join.
async fn identity<E: Env>(
    env: &E,
    config: &ServerConfig,
    channels: &Channels<E>,
) -> Result<Identity, ServerError> {
    match Identity::read(env, "", Role::Metadata).await {
        Ok(identity) if identity.server != config.server => Err(ServerError(format!(
            "identity: the data directory belongs to {}, not to {}; point each server at its own",
            identity.server, config.server
        ))),
        Ok(identity) if config.cluster.is_some_and(|cluster| cluster != identity.cluster) => {
            Err(ServerError(format!(
                "identity: the data directory belongs to {}, another cluster; point the server at its own",
                identity.cluster
            )))
        }
        Ok(identity) => Ok(identity),
        Err(StorageError::Absent { file }) => {
            let seeds: &[Address] = config.join.as_deref().unwrap_or_default();
            if seeds.is_empty() {
                return Err(ServerError(format!(
                    "{file}: not there; format the data directory, or name servers to join"
                )));
            }
            if place::is_everywhere(&config.address) {
                return Err(ServerError(format!(
                    "listen: the server joins a group, which is to find it at {}, where nobody does; listen at an \
                     address of this computer",
                    config.address
                )));
            }
            let cluster = match config.cluster {
                Some(cluster) => cluster,
                None => rejoin::ask_cluster(env, channels, seeds).await,
            };
            let identity = Identity { cluster, server: config.server };
            identity.format(env, "", Role::Metadata).await.map_err(|error| ServerError(error.to_string()))?;
            Ok(identity)
        }
        Err(error) => Err(ServerError(error.to_string())),
    }
}
