//! The limits of both sides, and what they are if nobody says otherwise.

use super::backoff::BackoffConfig;
use super::breaker::BreakerConfig;
use super::hello::Versions;
use super::liveness::LivenessConfig;
use mooseng_core::id::ClusterId;
use std::time::Duration;

/// The caller's side of one peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChannelConfig {
    pub versions: Versions,
    /// Servers of another cluster are strangers; `None`: none are.
    pub cluster: Option<ClusterId>,
    /// The caller is a server of the cluster itself: see [`Share`].
    pub control: bool,
    /// This build, for the peer's log.
    pub build: &'static str,
    /// For connecting and the hello, together.
    pub connect_max: Duration,
    pub liveness: LivenessConfig,
    pub backoff: BackoffConfig,
    pub breaker: BreakerConfig,
    /// Calls waiting for an answer.
    pub calls_max: usize,
    /// Frames waiting to be sent, and their bytes.
    pub queue_frames_max: usize,
    pub queue_bytes_max: usize,
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self {
            versions: Versions::default(),
            cluster: None,
            control: false,
            build: env!("CARGO_PKG_VERSION"),
            connect_max: Duration::from_millis(500),
            liveness: LivenessConfig::default(),
            backoff: BackoffConfig::default(),
            breaker: BreakerConfig::default(),
            calls_max: 4096,
            queue_frames_max: 4096,
            queue_bytes_max: 64 << 20,
        }
    }
}

/// The room that a server has for one kind of callers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    pub connections_max: usize,
    /// Calls being carried out, of one connection (one-way calls apart) and of all.
    pub connection_calls_max: usize,
    pub calls_max: usize,
    /// One-way calls being carried out, of all.
    pub notices_max: usize,
    /// Bytes of the requests of all.
    pub bytes_max: usize,
}

/// The server's side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerConfig {
    pub versions: Versions,
    /// Callers of another cluster are strangers.
    pub cluster: Option<ClusterId>,
    pub build: &'static str,
    pub clients: Share,
    /// For the servers of the cluster among themselves.
    pub control: Share,
    /// Connections that have not said hello yet.
    pub greetings_max: usize,
    /// No call may take longer, whatever its caller says.
    pub deadline_max: Duration,
    /// For the peer's hello.
    pub hello_max: Duration,
    /// A connection that says nothing for this long is closed.
    pub idle_max: Duration,
    /// For calls under way when the server stops.
    pub drain_max: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            versions: Versions::default(),
            cluster: None,
            build: env!("CARGO_PKG_VERSION"),
            clients: Share {
                connections_max: 4096,
                connection_calls_max: 1024,
                calls_max: 8192,
                notices_max: 8192,
                bytes_max: 256 << 20,
            },
            control: Share {
                connections_max: 1024,
                connection_calls_max: 1024,
                calls_max: 8192,
                notices_max: 8192,
                bytes_max: 256 << 20,
            },
            greetings_max: 256,
            deadline_max: Duration::from_secs(120),
            hello_max: Duration::from_secs(2),
            idle_max: Duration::from_secs(600),
            drain_max: Duration::from_secs(5),
        }
    }
}
