//! What a metadata server says at its HTTP door: its own `Status`, asked over its own port, so that what is
//! said is what clients meet.

use crate::cli::status::shortage;
use crate::http::{Metrics, Role};
use crate::machine::RealEnv;
use futures::FutureExt;
use futures::future::BoxFuture;
use mooseng_core::env::{Address, Clock, Env};
use mooseng_net::proto::cluster::{ClusterClient, GroupStatus, StatusReply, StatusRequest};
use mooseng_net::rpc::{CallError, Channel, ChannelConfig};
use std::time::Duration;

/// How long the server may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct MetaRole {
    env: RealEnv,
    client: ClusterClient<RealEnv>,
}

impl MetaRole {
    pub(super) fn new(env: &RealEnv, address: &Address) -> Self {
        let channel = Channel::new(env, address.clone(), ChannelConfig::default());
        Self { env: env.clone(), client: ClusterClient::new(channel) }
    }

    async fn status(&self) -> Result<StatusReply, CallError> {
        self.client.status(&StatusRequest {}, self.env.clock().now() + PATIENCE).await
    }
}

impl Role for MetaRole {
    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        async {
            match self.status().await {
                Ok(reply) => ready(&reply),
                Err(error) => Err(format!("it does not answer: {error}")),
            }
        }
        .boxed()
    }

    fn metrics(&self) -> BoxFuture<'_, String> {
        async { metrics(self.status().await.as_ref().ok()) }.boxed()
    }
}

/// Ready is who knows a leader for every group it has a replica of, and has room for what it grows by.
fn ready(reply: &StatusReply) -> Result<(), String> {
    if reply.groups.is_empty() {
        return Err("it has no replica of any group yet".to_owned());
    }
    match reply.groups.iter().find(|group| group.leader == 0) {
        Some(group) => Err(format!("no leader is known of g{}", group.group)),
        None => shortage(reply).map_or(Ok(()), |shortage| Err(shortage.to_owned())),
    }
}

type Number = fn(&GroupStatus) -> u64;

const GAUGES: [(&str, Number); 7] = [
    ("term", |group| group.term),
    ("leads", |group| u64::from(group.leader != 0 && group.leader == group.replica)),
    ("log_last_index", |group| group.last_index),
    ("log_commit_index", |group| group.commit),
    ("log_applied_index", |group| group.applied),
    ("snapshot_index", |group| group.snapshot_index),
    ("sessions", |group| group.sessions),
];

fn metrics(reply: Option<&StatusReply>) -> String {
    let mut metrics = Metrics::default();
    metrics.gauge("mooseng_meta_answers", [u64::from(reply.is_some())]);
    metrics.gauge("mooseng_meta_disk_bytes", reply.map(|reply| reply.disk_bytes));
    metrics.gauge("mooseng_meta_disk_bytes_free", reply.map(|reply| reply.disk_bytes_free));
    for (name, number) in GAUGES {
        let groups = reply.iter().flat_map(|reply| &reply.groups);
        let values = groups.map(|group| (format!("{{group=\"{}\"}}", group.group), number(group)));
        metrics.tell(&format!("mooseng_group_{name}"), "gauge", values);
    }
    metrics.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_net::proto::cluster::DiskRoom;

    fn reply(leader: u64) -> StatusReply {
        let group =
            GroupStatus { group: 1, replica: 3, leader, term: 7, applied: 40, ..GroupStatus::default() };
        StatusReply { server: 3, groups: vec![group], ..StatusReply::default() }
    }

    #[test]
    fn ready_is_who_knows_a_leader() {
        assert_eq!(ready(&reply(2)), Ok(()));
        assert_eq!(ready(&reply(0)), Err("no leader is known of g1".to_owned()));
        assert!(ready(&StatusReply::default()).is_err());
        let mut short = reply(2);
        short.groups[0].room = DiskRoom::NearlyFull as i32;
        assert_eq!(ready(&short), Err("disk nearly full, growth refused".to_owned()));
    }

    #[test]
    fn numbers_are_told_by_group() {
        let text = metrics(Some(&reply(3)));
        for line in [
            "mooseng_meta_answers 1",
            "mooseng_group_leads{group=\"1\"} 1",
            "mooseng_group_log_applied_index{group=\"1\"} 40",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        assert!(metrics(None).contains("mooseng_meta_answers 0\n"));
    }
}
