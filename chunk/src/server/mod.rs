//! The server: one process, one data directory, one store, and the service it is reached by.

mod announce;
mod config;
mod identity;
mod repair;
mod service;
mod upkeep;
mod uploads;

pub use config::ChunkServerConfig;

use crate::rebuilt::Rebuilt;
use futures::lock::Mutex as AsyncMutex;
use mooseng_core::chance::Dice;
use mooseng_core::env::{Clock, Env, Net};
use mooseng_core::event::Event;
use mooseng_net::proto::chunk::ChunkHandler;
use mooseng_net::rpc;
use mooseng_storage::{Identity, Store, StoreError};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uploads::Uploads;

/// The store's directory, inside the data directory.
const STORE: &str = "store";

/// Why a server does not start: one line for an operator.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ServerError(pub String);

/// What the parts of a server share.
struct Server<E: Env> {
    env: E,
    config: ChunkServerConfig,
    identity: Identity,
    store: Store<E>,
    uploads: Uploads<E>,
    /// Held while a part is rebuilt, looked at because of a report, or taken away from where it is not
    /// needed: one after the other.
    busy: AsyncMutex<()>,
    rebuilt: Mutex<Rebuilt>,
    /// Drawn at each start.
    life: u64,
    scrubs: AtomicU64,
    scrubbed_bytes: AtomicU64,
}

impl<E: Env> Server<E> {
    fn rebuilt(&self) -> MutexGuard<'_, Rebuilt> {
        self.rebuilt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until the machine stops; returns only if it cannot start.
pub async fn run<E: Env>(env: E, mut config: ChunkServerConfig) -> Result<(), ServerError> {
    config.check().map_err(ServerError)?;
    let identity = identity::of(&env, &config).await?;
    (config.rpc.cluster, config.channel.cluster) = (Some(identity.cluster), Some(identity.cluster));
    let store = identity::store(&env, &config).await?;
    let listener = env.net().listen(&config.address).await.map_err(|error| ServerError(error.to_string()))?;
    let usage = store.usage();
    env.note(Event::Note(format!("{} keeps {} parts", config.server, usage.parts)));
    let rpc_config = config.rpc;
    let uploads = Uploads::new(store.clone(), &config);
    let life = env.rng("chunk server life", env.clock().now().as_nanos()).word();
    let server = Arc::new(Server {
        env: env.clone(),
        config,
        identity,
        store,
        uploads,
        busy: AsyncMutex::new(()),
        rebuilt: Mutex::default(),
        life,
        scrubs: AtomicU64::new(0),
        scrubbed_bytes: AtomicU64::new(0),
    });
    env.spawn("announce", announce::announce(server.clone()));
    env.spawn("scrub", upkeep::scrub(server.clone()));
    env.spawn("compact", upkeep::compact(server.clone()));
    env.spawn("forget uploads", upkeep::forget_uploads(server.clone()));
    let rooms = rpc::Rooms::new(&rpc_config);
    rpc::serve(env, listener, ChunkHandler::new(service::Service::new(server)), rpc_config, rooms).await;
    Ok(())
}

/// Is the store of no use any more? Then the machine stops this server.
fn is_over(error: &StoreError) -> bool {
    matches!(error, StoreError::Storage(_))
}
