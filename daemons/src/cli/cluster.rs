//! Which cluster the metadata servers belong to that somebody was told of. Who knows it takes no server of
//! another one for theirs, whoever listens at an address later.

use super::failure::Failure;
use crate::machine::RealEnv;
use crate::stderr;
use mooseng_client::ClientError;
use mooseng_core::env::Address;
use mooseng_core::id::ClusterId;
use mooseng_net::belonging::{Unanswered, ask_cluster_within};
use mooseng_net::rpc::{Channel, ChannelConfig};
use std::time::Duration;

/// Asks until one of the servers answers. `wanted`: the cluster that it has to be.
pub(super) async fn of_servers(
    env: &RealEnv,
    servers: &[Address],
    wanted: Option<ClusterId>,
    patience: Duration,
) -> Result<ClusterId, Failure> {
    let to = |address: &Address| Channel::new(env, address.clone(), ChannelConfig::default());
    let channels: Vec<_> = servers.iter().map(to).collect();
    let tell = |last: &str| stderr::tell(format_args!("waiting for a metadata server; {last}"));
    match ask_cluster_within(env, &channels, patience, tell).await {
        Ok((address, found)) => judge(&address, found, wanted),
        Err(Unanswered { last, strangers: true }) => Err(Failure::Other(last)),
        Err(Unanswered { last, strangers: false }) => Err(ClientError::NotReached { last }.into()),
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
