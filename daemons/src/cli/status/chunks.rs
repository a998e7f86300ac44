//! What the leader knows of the chunk servers, and what those that live say of themselves.

use super::super::client::{ClientSettings, life_name};
use super::super::output::{count, shown};
use crate::machine::RealEnv;
use futures::future::join_all;
use mooseng_core::env::{Address, Clock, Env};
use mooseng_net::proto::chunk::{ChunkClient, ChunkStatusReply, ChunkStatusRequest};
use mooseng_net::proto::cluster::{
    ChunkServerLife, ChunkServerStatus, ChunkServersReply, ChunkServersRequest, ClusterClient, SlicesStatus,
};
use mooseng_net::rpc::{CallError, Channel, ChannelConfig};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A chunk server as the leader sees it, and what it says itself if it was asked.
type Seen = (ChunkServerStatus, Option<Result<ChunkStatusReply, CallError>>);

pub(super) struct Kept {
    servers: Vec<Seen>,
    slices: Option<SlicesStatus>,
    /// Nobody leads, as far as anybody says.
    leaderless: bool,
}

/// `leaders`: who leads, as the servers say that answer.
pub(super) async fn ask(env: &RealEnv, settings: &ClientSettings, leaders: &BTreeSet<Address>) -> Kept {
    let ends = || env.clock().now() + settings.timeout;
    let ask = |server: &Address| {
        let client = ClusterClient::new(Channel::new(env, server.clone(), ChannelConfig::default()));
        async move { client.chunk_servers(&ChunkServersRequest {}, ends()).await.ok() }
    };
    // Only who leads answers.
    let servers =
        settings.servers.iter().chain(leaders.iter().filter(|leader| !settings.servers.contains(leader)));
    let replies = join_all(servers.map(ask)).await;
    let Some(ChunkServersReply { servers, slices, .. }) = replies.into_iter().flatten().next() else {
        return Kept { servers: Vec::new(), slices: None, leaderless: true };
    };
    let asked = servers.into_iter().map(|status| async move {
        if status.life() != ChunkServerLife::Alive {
            return (status, None);
        }
        let channel = Channel::new(env, Address::new(status.address.as_str()), ChannelConfig::default());
        let told = ChunkClient::new(channel).status(&ChunkStatusRequest {}, ends()).await;
        (status, Some(told))
    });
    Kept { servers: join_all(asked).await, slices, leaderless: false }
}

impl Kept {
    pub(super) fn lines(&self) -> Vec<String> {
        if self.leaderless {
            return vec!["nobody who leads says which chunk servers there are".to_owned()];
        }
        let mut lines: Vec<String> = self.servers.iter().map(line).collect();
        lines.extend(self.shared_disks());
        lines.push(match &self.slices {
            None => "slices: the leader has not gone through them yet".to_owned(),
            Some(SlicesStatus { live, lacking, endangered, lost, condemned, mended }) => format!(
                "slices: {live}; {lacking} lack parts, {endangered} of them can bear no further loss, {lost} cannot \
                 be read; {mended} parts made anew; {condemned} to be deleted"
            ),
        });
        lines
    }

    /// Servers on one disk have its room together, and are lost with it together.
    fn shared_disks(&self) -> Vec<String> {
        let mut disks = BTreeMap::<u64, Vec<String>>::new();
        for (status, _) in self.servers.iter().filter(|(status, _)| status.disk != 0) {
            disks.entry(status.disk).or_default().push(status.server.to_string());
        }
        let shared = disks.into_values().filter(|servers| servers.len() > 1);
        shared.map(|servers| format!("one disk is under chunk servers {}", servers.join(", "))).collect()
    }

    /// The list of chunk servers, and the slices.
    pub(super) fn json(&self) -> (Value, Value) {
        let slices = self.slices.as_ref().map(|slices| {
            json!({
                "live": slices.live,
                "lacking": slices.lacking,
                "endangered": slices.endangered,
                "lost": slices.lost,
                "condemned": slices.condemned,
                "mended": slices.mended,
            })
        });
        (self.servers.iter().map(entry).collect::<Vec<_>>().into(), slices.into())
    }
}

fn line((status, told): &Seen) -> String {
    let ChunkServerStatus { server, address, rack, total, free, .. } = status;
    let (address, rack) = (shown(address), shown(rack));
    let place = if rack.is_empty() { String::new() } else { format!(" in rack {rack}") };
    // Nothing at all is what this leader knows of whom it has not heard of.
    let room =
        if *total == 0 { "not heard of yet".to_owned() } else { format!("{free} of {total} bytes free") };
    let seen = format!("{address}  chunk server {server}{place} {}; {room}", life_name(status.life()));
    match told {
        None => seen,
        Some(Err(error)) => format!("{seen}; it does not answer: {error}"),
        Some(Ok(ChunkStatusReply { parts, bytes, damaged, scrubs, .. })) => format!(
            "{seen}; {} of {bytes} bytes, {damaged} set aside; everything read again {}",
            count(*parts, "part"),
            count(*scrubs, "time")
        ),
    }
}

fn entry((status, told): &Seen) -> Value {
    let mut entry = json!({
        "server": status.server,
        "address": status.address,
        "rack": status.rack,
        "life": life_name(status.life()),
        "total": status.total,
        "free": status.free,
        "disk": (status.disk != 0).then(|| format!("{:016x}", status.disk)),
    });
    match told {
        None => {}
        Some(Err(error)) => entry["error"] = error.to_string().into(),
        Some(Ok(reply)) => {
            entry["cluster"] = reply.cluster.to_string().into();
            entry["build"] = reply.build.as_str().into();
            entry["parts"] = reply.parts.into();
            entry["bytes"] = reply.bytes.into();
            entry["damaged"] = reply.damaged.into();
            entry["uploads"] = reply.uploads.into();
            entry["scrubs"] = reply.scrubs.into();
            entry["scrubbed_bytes"] = reply.scrubbed_bytes.into();
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> ChunkServerStatus {
        let (address, rack) = ("127.0.0.1:9431".to_owned(), "a\nb".to_owned());
        ChunkServerStatus { server: 101, address, rack, total: 10, free: 5, ..ChunkServerStatus::default() }
    }

    #[test]
    fn a_chunk_server_is_one_line() {
        let told = ChunkStatusReply { parts: 1, bytes: 7, scrubs: 1, ..ChunkStatusReply::default() };
        assert_eq!(
            line(&(status(), Some(Ok(told)))),
            "127.0.0.1:9431  chunk server 101 in rack a\\nb unknown; 5 of 10 bytes free; 1 part of 7 bytes, \
             0 set aside; everything read again 1 time"
        );
        let at = |server, disk| (ChunkServerStatus { server, disk, ..status() }, None);
        let servers = vec![at(101, 7), at(102, 0), at(103, 7), at(104, 0), at(105, 8)];
        let kept = Kept { servers, slices: None, leaderless: false };
        assert_eq!(kept.shared_disks(), ["one disk is under chunk servers 101, 103"]);
        let silent = ChunkServerStatus { total: 0, free: 0, ..status() };
        assert!(line(&(silent, None)).ends_with(" unknown; not heard of yet"));
    }
}
