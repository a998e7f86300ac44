//! Whose disk this is, and the store on it.

use super::{ChunkServerConfig, STORE, ServerError};
use mooseng_core::chance::Dice;
use mooseng_core::env::{Clock, Env, sleep};
use mooseng_core::event::Event;
use mooseng_core::id::ClusterId;
use mooseng_net::proto::cluster::{ClusterClient, StatusRequest};
use mooseng_net::rpc::Channel;
use mooseng_storage::{Identity, Role, StorageError, Store};
use std::time::Duration;

const CALL_TIME: Duration = Duration::from_secs(1);
/// Who waits longer for an answer says so.
const SILENT_MAX: Duration = Duration::from_secs(1);
const PAUSE_LEAST: Duration = Duration::from_millis(100);
const PAUSE_SPREAD_MS: u64 = 200;

fn line(error: &StorageError) -> ServerError {
    ServerError(error.to_string())
}

/// An empty data directory becomes this server's; another's is refused.
pub(super) async fn of<E: Env>(env: &E, config: &ChunkServerConfig) -> Result<Identity, ServerError> {
    match Identity::read(env, "", Role::Chunks).await {
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
        Err(StorageError::Absent { .. }) => {
            let cluster = match config.cluster {
                Some(cluster) => cluster,
                None if config.metadata.is_empty() => {
                    return Err(ServerError(
                        "metadata: the data directory is empty, and nobody is named who knows the cluster"
                            .into(),
                    ));
                }
                None => ask_cluster(env, config).await,
            };
            let identity = Identity { cluster, server: config.server };
            identity.format(env, "", Role::Chunks).await.map_err(|error| line(&error))?;
            Ok(identity)
        }
        Err(error) => Err(line(&error)),
    }
}

async fn ask_cluster<E: Env>(env: &E, config: &ChunkServerConfig) -> ClusterId {
    let mut dice = env.rng("ask for the cluster", config.server.0);
    let (began, mut told) = (env.clock().now(), false);
    loop {
        let mut last = String::new();
        for address in &config.metadata {
            let client = ClusterClient::new(Channel::new(env, address.clone(), config.channel));
            match client.status(&StatusRequest {}, env.clock().now() + CALL_TIME).await {
                Ok(reply) => return ClusterId(reply.cluster),
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        if !told && env.clock().now().since(began) >= SILENT_MAX {
            told = true;
            let server = config.server;
            env.note(Event::Note(format!(
                "{server} asks which cluster it belongs to, and nobody says; {last}"
            )));
        }
        sleep(env, PAUSE_LEAST + Duration::from_millis(dice.below(PAUSE_SPREAD_MS))).await;
    }
}

/// The store, made if there is none: a server without its parts is one whose parts are missing, and
/// its inventory says so.
pub(super) async fn store<E: Env>(env: &E, config: &ChunkServerConfig) -> Result<Store<E>, ServerError> {
    match Store::open(env, STORE, config.store.clone()).await {
        Ok((store, _)) => Ok(store),
        Err(StorageError::Absent { .. }) => {
            env.note(Event::Note(format!("{} has no chunk store yet: it makes one", config.server)));
            Store::<E>::format(env, STORE, &config.store).await.map_err(|error| line(&error))?;
            let opened = Store::open(env, STORE, config.store.clone()).await;
            opened.map(|(store, _)| store).map_err(|error| line(&error))
        }
        Err(error) => Err(line(&error)),
    }
}
