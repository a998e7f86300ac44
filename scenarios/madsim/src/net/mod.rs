//! A node's network over madsim's: names, ports, connecting and listening. Connections are madsim's
//! reliable channels between two endpoints; what travels in them is in [`conn`].
//!
//! A port that was listened at stays bound while its process lives, since connections that came in
//! through it hold it in madsim. Who knocks while nobody listens is turned away before
//! anything is said.

mod conn;
mod link;
mod receiver;

use crate::disk::MadExtent;
use crate::env::MadEnv;
use conn::{Knock, MadConn, Welcome};
use futures::StreamExt;
use futures::channel::mpsc;
use madsim::net::{Endpoint, lookup_host};
use mooseng_core::env::{Accepted, Address, Env, Listener, Net, NetError};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections that came in and were not accepted yet, per port.
const BACKLOG: usize = 128;

/// The ports of a process. A door without a listener turns everybody away.
#[derive(Default)]
pub(crate) struct Doors(Mutex<BTreeMap<SocketAddr, Arc<Door>>>);

type Incoming = Accepted<MadConn>;

struct Door(Mutex<mpsc::Sender<Incoming>>);

impl Doors {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Arc<Door>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Door {
    fn inbox(&self) -> MutexGuard<'_, mpsc::Sender<Incoming>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn resolve(address: &Address) -> io::Result<SocketAddr> {
    let mut found = lookup_host(address.as_str()).await?;
    found.next().ok_or_else(|| io::Error::other("the name has no address"))
}

impl MadEnv {
    async fn dial(&self, address: &Address) -> io::Result<MadConn> {
        let target = resolve(address).await?;
        let endpoint = Endpoint::bind("0.0.0.0:0").await?;
        let (sender, receiver) = endpoint.connect1(target).await?;
        let knock = Knock { sender, receiver };
        knock.wait_for_welcome().await
    }

    /// Listens at a real port of this host, again if somebody did before.
    async fn open_door(&self, at: SocketAddr) -> io::Result<(SocketAddr, mpsc::Receiver<Incoming>)> {
        if at.ip() != self.host().ip() {
            return Err(io::Error::other("it is no address of this host"));
        }
        let (sender, incoming) = mpsc::channel(BACKLOG);
        if let Some(door) = self.process().doors().lock().get(&at) {
            let mut inbox = door.inbox();
            if !inbox.is_closed() {
                return Err(io::Error::other("the port is in use"));
            }
            *inbox = sender;
            return Ok((at, incoming));
        }
        let endpoint = Endpoint::bind(at).await?;
        let at = endpoint.local_addr()?;
        let door = Arc::new(Door(Mutex::new(sender)));
        self.process().doors().lock().insert(at, door.clone());
        self.spawn("door", answer(endpoint, door));
        Ok((at, incoming))
    }
}

/// Answers whoever knocks, as long as the process lives.
async fn answer(endpoint: Endpoint, door: Arc<Door>) {
    while let Ok((sender, receiver, peer)) = endpoint.accept1().await {
        let mut inbox = door.inbox();
        if inbox.is_closed() {
            continue;
        }
        let knock = Knock { sender, receiver };
        let conn = knock.welcome(Welcome::default());
        // A full backlog drops the connection, and its far end finds it closed.
        let _ = inbox.try_send(Accepted { conn, peer: Address::new(peer.to_string()) });
    }
}

impl Net for MadEnv {
    type Extent = MadExtent;
    type Conn = MadConn;
    type Listener = MadListener;

    async fn connect(&self, address: &Address) -> Result<MadConn, NetError> {
        self.while_alive().await;
        self.assert_at_home();
        let unreachable =
            |error: io::Error| NetError::Unreachable { address: address.clone(), what: error.to_string() };
        self.dial(address).await.map_err(unreachable)
    }

    async fn listen(&self, address: &Address) -> Result<MadListener, NetError> {
        self.while_alive().await;
        self.assert_at_home();
        let refused =
            |error: io::Error| NetError::Listen { address: address.clone(), what: error.to_string() };
        let at = resolve(address).await.map_err(refused)?;
        let (at, incoming) = self.open_door(at).await.map_err(refused)?;
        let host = address.as_str().rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        Ok(MadListener { incoming, address: Address::new(format!("{host}:{}", at.port())) })
    }
}

impl MadEnv {
    /// madsim takes the node of the task that asks for the one that is meant.
    fn assert_at_home(&self) {
        assert_eq!(madsim::plugin::node(), self.host().node(), "a handle is used on another host");
    }
}

pub struct MadListener {
    incoming: mpsc::Receiver<Incoming>,
    address: Address,
}

impl Listener for MadListener {
    type Conn = MadConn;

    async fn accept(&mut self) -> Result<Incoming, NetError> {
        let gone = || NetError::Listen { address: self.address.clone(), what: "the port is gone".to_owned() };
        self.incoming.next().await.ok_or_else(gone)
    }

    fn address(&self) -> Address {
        self.address.clone()
    }
}
