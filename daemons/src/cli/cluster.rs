//! Which cluster the metadata servers belong to that somebody was told of. Who knows it takes no server of
//! another one for theirs, whoever listens at an address later.

use super::failure::Failure;
use crate::machine::RealEnv;
use crate::stderr;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use mooseng_client::ClientError;
use mooseng_core::env::{Address, Clock, Env};
use mooseng_core::id::ClusterId;
use mooseng_net::proto::cluster::{ClusterClient, StatusRequest};
use mooseng_net::rpc::{CallError, Channel, ChannelConfig, Code};
use std::time::Duration;

/// How long one server may take before all are asked again.
const CALL_TIME: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);
/// Who waits longer than this is told what for.
const SILENT_MAX: Duration = Duration::from_secs(1);

/// Asks until one of the servers answers. `wanted`: the cluster that it has to be.
pub(super) async fn of_servers(
    env: &RealEnv,
    servers: &[Address],
    wanted: Option<ClusterId>,
    patience: Duration,
) -> Result<ClusterId, Failure> {
    let channels = servers.iter().map(|address| Channel::new(env, address.clone(), ChannelConfig::default()));
    let clients: Vec<_> = servers.iter().zip(channels.map(ClusterClient::new)).collect();
    let began = env.clock().now();
    let mut told = false;
    loop {
        let end = env.clock().now() + CALL_TIME;
        let mut answers = FuturesUnordered::new();
        for (address, client) in &clients {
            answers.push(async move { (*address, client.status(&StatusRequest {}, end).await) });
        }
        let (mut last, mut strangers) = (String::new(), 0);
        while let Some((address, answer)) = answers.next().await {
            match answer {
                Ok(reply) => return judge(address, ClusterId(reply.cluster), wanted),
                Err(CallError::Status(status)) if status.code == Code::Unimplemented => {
                    strangers += 1;
                    last = format!("{address}: is no metadata server; name the metadata servers' addresses");
                }
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        if strangers == clients.len() {
            return Err(Failure::Other(last));
        }
        let waited = env.clock().now().since(began);
        if waited >= patience {
            return Err(ClientError::NotReached { last }.into());
        }
        if !told && waited >= SILENT_MAX {
            told = true;
            stderr::tell(format_args!("waiting for a metadata server; {last}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn judge(address: &Address, found: ClusterId, wanted: Option<ClusterId>) -> Result<ClusterId, Failure> {
    match wanted {
        Some(wanted) if wanted != found => Err(Failure::Other(format!(
            "cluster: {address} belongs to {found}, and {wanted} is wanted; name servers of that cluster"
        ))),
        _ => Ok(found),
    }
}
