//! The limits of a chunk server. Daemons and simulator share the defaults.

use mooseng_core::env::Address;
use mooseng_core::id::{ClusterId, ServerId};
use mooseng_net::rpc;
use mooseng_storage::StoreConfig;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct ChunkServerConfig {
    /// The cluster that this server belongs to. Where an empty data directory is to belong to the
    /// metadata servers are asked without it.
    pub cluster: Option<ClusterId>,
    pub server: ServerId,
    /// Where it listens, and where others find it.
    pub address: Address,
    /// Servers of one rack may fail together.
    pub rack: String,
    /// Which file system its data is on: whoever shares it has the same number. 0: nobody does.
    pub disk: u64,
    /// Metadata servers of the cluster. Their leader is told that this server is there, and again
    /// and again that it still is; with none named, nobody is.
    pub metadata: Vec<Address>,
    /// How long one of them may take to answer before another is asked.
    pub answer_max: Duration,
    pub store: StoreConfig,
    pub channel: rpc::ChannelConfig,
    pub rpc: rpc::ServerConfig,
    /// Parts on their way in at once, and what of them may be in memory.
    pub uploads_max: usize,
    pub upload_bytes_max: usize,
    /// A part of which nothing comes for this long is forgotten.
    pub upload_idle_max: Duration,
    /// How fast everything is read again, how long to rest when all of it was, and how long between
    /// looks for segments that are mostly dead.
    pub scrub_bytes_per_second: u64,
    pub scrub_pause: Duration,
    pub compact_pause: Duration,
    /// For one read from another server.
    pub source_timeout: Duration,
}

impl ChunkServerConfig {
    pub fn new(server: ServerId, address: Address) -> Self {
        Self {
            cluster: None,
            server,
            address,
            rack: String::new(),
            disk: 0,
            metadata: Vec::new(),
            answer_max: Duration::from_millis(500),
            store: StoreConfig::default(),
            channel: rpc::ChannelConfig::default(),
            rpc: rpc::ServerConfig::default(),
            uploads_max: 4096,
            upload_bytes_max: 256 << 20,
            upload_idle_max: Duration::from_secs(60),
            scrub_bytes_per_second: 16 << 20,
            scrub_pause: Duration::from_secs(3_600),
            compact_pause: Duration::from_secs(5),
            source_timeout: Duration::from_secs(10),
        }
    }

    /// One clear line if it makes no sense.
    pub fn check(&self) -> Result<(), String> {
        if self.server == ServerId(0) {
            return Err("server: 0 is nobody; number servers from 1".into());
        }
        if self.address.as_str().is_empty() {
            return Err("address: it is empty; give host:port".into());
        }
        if self.rack.len() > 64 {
            return Err("rack: a name has at most 64 bytes".into());
        }
        if self.scrub_bytes_per_second == 0 {
            return Err("scrub_bytes_per_second: at 0 nothing is ever read again; give 1 or more".into());
        }
        if self.uploads_max == 0 {
            return Err("uploads_max: with 0 no large part can be put; give 1 or more".into());
        }
        Ok(())
    }
}
