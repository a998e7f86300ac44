//! The network: every ordered pair of hosts is a link, and connections carry frames over the two
//! links between their ends, as TCP would. What is cut off falls silent; who then never sends
//! never learns.

mod connect;
mod connection;
mod link;
mod packet;
mod stream;

pub use connect::SimListener;
pub use stream::{SimConn, SimReceiver, SimSender};

use super::config::NetworkConfig;
use super::node::NodeId;
use super::slab::{Key, Slab};
use connection::Connection;
pub(crate) use link::Link;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

/// Ports that are given to whoever asks for any: listeners, and the near ends of connections.
const PORT_ANY_FIRST: u16 = 32_768;

/// A process listens at a port.
pub(crate) struct Listening {
    epoch: u32,
    /// Tells this listener from one that had the port before.
    serial: u64,
    /// Connections that came in and wait to be accepted.
    waiting: VecDeque<Key>,
    waker: Option<Waker>,
}

pub(crate) struct Network {
    seed: u64,
    /// By source, then by target.
    links: Vec<Vec<Link>>,
    connections: Slab<Connection>,
    listeners: BTreeMap<(NodeId, u16), Listening>,
    /// Counts listeners.
    serial: u64,
    port: u16,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            links: Vec::new(),
            connections: Slab::default(),
            listeners: BTreeMap::new(),
            serial: 0,
            port: PORT_ANY_FIRST,
        }
    }

    /// A host joins, the last of `names`: links to and from all others.
    pub(crate) fn add_host(&mut self, names: &[Arc<str>], config: &NetworkConfig) {
        let newest = names.len() - 1;
        let seed = self.seed;
        for (source, links) in self.links.iter_mut().enumerate() {
            links.push(Link::new(seed, &names[source], &names[newest], config));
        }
        let links = names.iter().map(|target| Link::new(seed, &names[newest], target, config));
        self.links.push(links.collect());
    }

    pub(crate) fn link(&self, source: NodeId, target: NodeId) -> &Link {
        &self.links[source.0 as usize][target.0 as usize]
    }

    pub(crate) fn link_mut(&mut self, source: NodeId, target: NodeId) -> &mut Link {
        &mut self.links[source.0 as usize][target.0 as usize]
    }

    pub(crate) fn links_mut(&mut self) -> impl Iterator<Item = &mut Link> {
        self.links.iter_mut().flatten()
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.connections.len()
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A port nobody on the host listens at.
    fn free_port(&mut self, node: NodeId) -> Option<u16> {
        for _ in 0..=u16::MAX {
            let port = self.port;
            self.port = self.port.checked_add(1).unwrap_or(PORT_ANY_FIRST);
            if !self.listeners.contains_key(&(node, port)) {
                return Some(port);
            }
        }
        None
    }
}
