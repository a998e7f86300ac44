//! How connections come about: listening, dialling, and the kernels' exchange in between.

use super::super::env::SimEnv;
use super::super::node::NodeId;
use super::super::queue::Happening;
use super::super::slab::Key;
use super::super::trigger::OperationKind;
use super::super::world::World;
use super::connection::{Connection, End, Pipe, Stage};
use super::stream::SimConn;
use super::{Listening, PORT_ANY_FIRST};
use crate::machine::disk::SimExtent;
use mooseng_core::env::{Accepted, Address, Listener, Net, NetError};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

pub struct SimListener {
    env: SimEnv,
    address: Address,
    port: u16,
    serial: u64,
}

fn unreachable_at(address: &Address, what: &str) -> NetError {
    NetError::Unreachable { address: address.clone(), what: what.into() }
}

/// Splits `host:port`.
fn parse(address: &Address) -> Option<(&str, u16)> {
    let (host, port) = address.as_str().rsplit_once(':')?;
    Some((host, port.parse().ok()?))
}

impl Net for SimEnv {
    type Extent = SimExtent;
    type Conn = SimConn;
    type Listener = SimListener;

    async fn connect(&self, address: &Address) -> Result<SimConn, NetError> {
        let mut connecting = Connecting { env: self, address, key: None };
        poll_fn(|context| connecting.poll(context)).await
    }

    async fn listen(&self, address: &Address) -> Result<SimListener, NetError> {
        let refuse = |what: &str| NetError::Listen { address: address.clone(), what: what.into() };
        let mut world = self.shared.lock();
        let world = &mut *world;
        let name = world.node(self.node).name.clone();
        let Some((host, port)) = parse(address) else { return Err(refuse("not host:port")) };
        if host != &*name && host != "0.0.0.0" {
            return Err(refuse(&format!("this host is called {name}")));
        }
        let port = match port {
            0 => world.network.free_port(self.node).ok_or_else(|| refuse("no port is free"))?,
            port => port,
        };
        if world.network.listeners.contains_key(&(self.node, port)) {
            return Err(refuse("the port is taken"));
        }
        let serial = world.network.next_serial();
        let listening = Listening { epoch: self.epoch, serial, waiting: VecDeque::new(), waker: None };
        if world.lives(self.node, self.epoch) {
            world.network.listeners.insert((self.node, port), listening);
        }
        let address = Address::new(format!("{host}:{port}"));
        Ok(SimListener { env: self.clone(), address, port, serial })
    }
}

/// An attempt to connect. Dropped before its end, it leaves a connection that the far end may have
/// accepted and will find reset.
struct Connecting<'a> {
    env: &'a SimEnv,
    address: &'a Address,
    key: Option<Key>,
}

impl Connecting<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<SimConn, NetError>> {
        let env = self.env;
        let mut guard = env.shared.lock();
        let world = &mut *guard;
        if !world.lives(env.node, env.epoch) {
            return Poll::Pending;
        }
        let Some(key) = self.key else {
            let target = parse(self.address).and_then(|(host, port)| Some((*world.names.get(host)?, port)));
            let Some((target, port)) = target else {
                return Poll::Ready(Err(unreachable_at(self.address, "no host of that name")));
            };
            self.key = world.begin_connecting(env, target, port, context.waker());
            return Poll::Pending;
        };
        let Some(connection) = world.network.connections.get_mut(key) else { return Poll::Pending };
        match connection.stage {
            Stage::Connecting | Stage::Answered => {
                world.chores.park(&mut connection.connector, context.waker());
                Poll::Pending
            }
            Stage::Open => {
                self.key = None;
                drop(guard);
                Poll::Ready(Ok(SimConn::new(env, key, 0)))
            }
            Stage::Refused(why) => Poll::Ready(Err(unreachable_at(self.address, why))),
        }
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut world = self.env.shared.lock();
        if !world.lives(self.env.node, self.env.epoch) {
            return;
        }
        let Some(connection) = world.network.connections.get_mut(key) else { return };
        let open = connection.stage == Stage::Open;
        let waker = connection.connector.take();
        connection.ends[0].alive = false;
        (connection.ends[0].sender_held, connection.ends[0].receiver_held) = (false, false);
        // A kernel that was not answered yet knows nobody to tell.
        if open {
            world.send_reset(key, 1);
        }
        world.bury(key);
        drop(world);
        drop(waker);
    }
}

impl World {
    fn begin_connecting(&mut self, env: &SimEnv, target: NodeId, port: u16, waker: &Waker) -> Option<Key> {
        let after = self.meet_peer(env.node, OperationKind::Connect, target)?;
        let near_port = self.network.free_port(env.node).unwrap_or(PORT_ANY_FIRST);
        let end = |node, alive| End { node, alive, sender_held: alive, receiver_held: alive, failure: None };
        let key = self.network.connections.insert(Connection {
            ends: [end(env.node, true), end(target, false)],
            pipes: [Pipe::default(), Pipe::default()],
            stage: Stage::Connecting,
            silent: false,
            port,
            near_port,
            connector: Some(waker.clone()),
        });
        self.stats.connections += 1;
        self.connection_line(env.node, target, "connects", key);
        let arrival = self.arrival(env.node, target);
        self.queue.push(arrival, Happening::Syn(key));
        self.queue.push(self.now + self.config.network.connect_timeout_ns, Happening::ConnectTimeout(key));
        self.fire_all(after);
        Some(key)
    }

    /// A request to connect reaches its target, or what is left of it.
    pub(crate) fn syn(&mut self, key: Key) {
        let backlog = self.config.network.backlog as usize;
        let retry = self.now + self.config.network.connect_retry_ns;
        let Some(connection) = self.network.connections.get(key) else { return };
        let (source, target) = (connection.ends[0].node, connection.ends[1].node);
        if connection.stage != Stage::Connecting || !connection.ends[0].alive {
            return;
        }
        let passes = self.network.link(source, target).is_open() && self.node(target).awake();
        if !passes {
            return self.queue.push(retry, Happening::Syn(key));
        }
        let port = connection.port;
        let refused = match self.network.listeners.get_mut(&(target, port)) {
            None => true,
            Some(listening) if listening.waiting.len() >= backlog => {
                return self.queue.push(retry, Happening::Syn(key));
            }
            Some(listening) => {
                listening.waiting.push_back(key);
                self.chores.wake(&mut listening.waker);
                false
            }
        };
        if let Some(connection) = self.network.connections.get_mut(key)
            && !refused
        {
            connection.stage = Stage::Answered;
            let end = &mut connection.ends[1];
            (end.alive, end.sender_held, end.receiver_held) = (true, true, true);
        }
        self.connection_line(target, source, if refused { "refuses" } else { "answers" }, key);
        let arrival = self.arrival(target, source);
        self.queue.push(arrival, Happening::SynAck { connection: key, refused });
    }

    pub(crate) fn syn_ack(&mut self, key: Key, refused: bool) {
        let retry = self.now + self.config.network.connect_retry_ns;
        let Some(connection) = self.network.connections.get_mut(key) else { return };
        let (source, target) = (connection.ends[0].node, connection.ends[1].node);
        let answered = connection.ends[1].alive;
        let waited_for =
            matches!(connection.stage, Stage::Connecting | Stage::Answered) && connection.ends[0].alive;
        if !self.network.link(target, source).is_open() || !self.node(source).awake() {
            if waited_for {
                self.queue.push(retry, Happening::SynAck { connection: key, refused });
            }
            return;
        }
        if !waited_for {
            if answered {
                self.send_reset(key, 1);
            }
            return;
        }
        let Some(connection) = self.network.connections.get_mut(key) else { return };
        if refused || !answered {
            connection.stage = Stage::Refused("connection refused");
            connection.ends[0].alive = false;
        } else {
            connection.stage = Stage::Open;
        }
        self.chores.wake(&mut connection.connector);
        self.connection_line(source, target, "is answered", key);
    }

    pub(crate) fn connect_timeout(&mut self, key: Key) {
        let Some(connection) = self.network.connections.get_mut(key) else { return };
        if matches!(connection.stage, Stage::Connecting | Stage::Answered) {
            connection.stage = Stage::Refused("timed out");
            connection.ends[0].alive = false;
            self.chores.wake(&mut connection.connector);
        }
    }

    pub(super) fn stop_listening(&mut self, place: (NodeId, u16)) {
        let Some(listening) = self.network.listeners.remove(&place) else { return };
        for key in listening.waiting {
            let Some(connection) = self.network.connections.get_mut(key) else { continue };
            let end = &mut connection.ends[1];
            (end.sender_held, end.receiver_held) = (false, false);
            if std::mem::replace(&mut end.alive, false) && self.node(place.0).awake() {
                self.send_reset(key, 0);
            }
            self.bury(key);
        }
        if let Some(waker) = listening.waker {
            self.chores.retire(waker);
        }
    }
}

impl Listener for SimListener {
    type Conn = SimConn;

    async fn accept(&mut self) -> Result<Accepted<SimConn>, NetError> {
        poll_fn(|context| self.poll_accept(context)).await
    }

    fn address(&self) -> Address {
        self.address.clone()
    }
}

impl SimListener {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<Result<Accepted<SimConn>, NetError>> {
        let mut guard = self.env.shared.lock();
        let world = &mut *guard;
        let Some(listening) = world.network.listeners.get_mut(&(self.env.node, self.port)) else {
            return Poll::Pending;
        };
        if listening.epoch != self.env.epoch || listening.serial != self.serial {
            return Poll::Pending;
        }
        while let Some(key) = listening.waiting.pop_front() {
            let Some(connection) = world.network.connections.get(key) else { continue };
            let (source, port) = (connection.ends[0].node, connection.near_port);
            let peer = Address::new(format!("{}:{port}", world.node(source).name));
            drop(guard);
            return Poll::Ready(Ok(Accepted { conn: SimConn::new(&self.env, key, 1), peer }));
        }
        world.chores.park(&mut listening.waker, context.waker());
        Poll::Pending
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let mut world = self.env.shared.lock();
        let place = (self.env.node, self.port);
        if world.network.listeners.get(&place).is_some_and(|listening| listening.serial == self.serial) {
            world.stop_listening(place);
        }
    }
}
