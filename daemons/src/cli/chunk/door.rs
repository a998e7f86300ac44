//! What a chunk server says at its HTTP door: its own `Status`, asked over its own port, so that what is
//! said is what clients meet.

use crate::http::{Metrics, Role};
use crate::machine::RealEnv;
use futures::FutureExt;
use futures::future::BoxFuture;
use mooseng_core::env::{Address, Clock, Env};
use mooseng_net::proto::chunk::{ChunkClient, ChunkStatusReply, ChunkStatusRequest};
use mooseng_net::rpc::{CallError, Channel, ChannelConfig};
use std::time::Duration;

/// How long the server may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct ChunkRole {
    env: RealEnv,
    client: ChunkClient<RealEnv>,
}

impl ChunkRole {
    pub(super) fn new(env: &RealEnv, address: &Address) -> Self {
        let channel = Channel::new(env, address.clone(), ChannelConfig::default());
        Self { env: env.clone(), client: ChunkClient::new(channel) }
    }

    async fn status(&self) -> Result<ChunkStatusReply, CallError> {
        self.client.status(&ChunkStatusRequest {}, self.env.clock().now() + PATIENCE).await
    }
}

impl Role for ChunkRole {
    /// Ready is who has opened its store and answers for it.
    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        async {
            let status = self.status().await;
            status.map(|_| ()).map_err(|error| format!("it does not answer: {error}"))
        }
        .boxed()
    }

    fn metrics(&self) -> BoxFuture<'_, String> {
        async { metrics(self.status().await.as_ref().ok()) }.boxed()
    }
}

type Number = fn(&ChunkStatusReply) -> u64;

const NUMBERS: [(&str, &str, Number); 8] = [
    ("disk_bytes", "gauge", |reply| reply.total),
    ("disk_free_bytes", "gauge", |reply| reply.free),
    ("parts", "gauge", |reply| reply.parts),
    ("part_bytes", "gauge", |reply| reply.bytes),
    ("damaged_parts", "gauge", |reply| reply.damaged),
    ("uploads", "gauge", |reply| reply.uploads),
    ("scrubs_total", "counter", |reply| reply.scrubs),
    ("scrubbed_bytes_total", "counter", |reply| reply.scrubbed_bytes),
];

fn metrics(reply: Option<&ChunkStatusReply>) -> String {
    let mut metrics = Metrics::default();
    metrics.gauge("mooseng_chunk_answers", [u64::from(reply.is_some())]);
    for (name, kind, number) in NUMBERS {
        let values = reply.map(|reply| (String::new(), number(reply)));
        metrics.tell(&format!("mooseng_chunk_{name}"), kind, values);
    }
    metrics.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told() {
        let reply = ChunkStatusReply { parts: 7, damaged: 2, ..ChunkStatusReply::default() };
        let text = metrics(Some(&reply));
        for line in ["mooseng_chunk_answers 1", "mooseng_chunk_parts 7", "mooseng_chunk_damaged_parts 2"] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        assert!(metrics(None).contains("mooseng_chunk_answers 0\n"));
    }
}
