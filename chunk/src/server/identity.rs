//! Whose disk this is, and the store on it.

use super::{ChunkServerConfig, STORE, ServerError};
use mooseng_core::env::{Address, Env};
use mooseng_core::event::Event;
use mooseng_core::id::ClusterId;
use mooseng_net::belonging;
use mooseng_net::rpc::Channel;
use mooseng_storage::{Identity, Role, StorageError, Store};

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
    let to = |address: &Address| Channel::new(env, address.clone(), config.channel);
    let servers: Vec<Channel<E>> = config.metadata.iter().map(to).collect();
    let tell = |last: &str| {
        let server = config.server;
        let line = format!("{server} asks which cluster it belongs to, and nobody says; {last}");
        env.note(Event::Note(line));
    };
    belonging::ask_cluster(env, &servers, tell).await
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
