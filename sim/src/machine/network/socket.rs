//! The network as tasks see it: connecting, listening, sending and receiving.

use super::super::disk::SimExtent;
use super::super::env::SimEnv;
use super::super::node::NodeId;
use super::super::queue::Happening;
use super::super::slab::Key;
use super::super::trace::{Tag, TraceWhat};
use super::super::trigger::OperationKind;
use super::super::world::World;
use super::Listening;
use super::connection::{Connection, End, Pipe, Stage};
use super::packet::{Load, Packet, wire_bytes};
use bytes::Bytes;
use mooseng_core::chance::Dice;
use mooseng_core::env::{
    Accepted, Address, Body, Conn, FRAME_BODY_BYTES_MAX, FRAME_HEAD_BYTES_MAX, Frame, FrameReceiver,
    FrameSender, Listener, Net, NetError, Received,
};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// One process's hold on one side of a connection.
#[derive(Clone)]
struct Hold {
    env: SimEnv,
    key: Key,
    side: u8,
}

pub struct SimConn {
    sender: SimSender,
    receiver: SimReceiver,
}

pub struct SimSender(Hold);

pub struct SimReceiver(Hold);

pub struct SimListener {
    env: SimEnv,
    address: Address,
    port: u16,
    serial: u64,
}

fn closed(what: &str) -> NetError {
    NetError::Closed { what: what.into() }
}

fn unreachable_at(address: &Address, what: &str) -> NetError {
    NetError::Unreachable { address: address.clone(), what: what.into() }
}

/// Splits `host:port`.
fn parse(address: &Address) -> Option<(&str, u16)> {
    let (host, port) = address.as_str().rsplit_once(':')?;
    Some((host, port.parse().ok()?))
}

impl SimConn {
    fn new(env: &SimEnv, key: Key, side: u8) -> Self {
        let hold = Hold { env: env.clone(), key, side };
        Self { sender: SimSender(hold.clone()), receiver: SimReceiver(hold) }
    }
}

impl Conn for SimConn {
    type Extent = SimExtent;
    type Sender = SimSender;
    type Receiver = SimReceiver;

    fn split(self) -> (SimSender, SimReceiver) {
        (self.sender, self.receiver)
    }
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
        let near_port = self.network.free_port(env.node).unwrap_or(super::PORT_ANY_FIRST);
        let end = |node, alive| End { node, alive, sender_held: alive, receiver_held: alive, failure: None };
        let key = self.network.connections.insert(Connection {
            ends: [end(env.node, true), end(target, false)],
            pipes: [Pipe::default(), Pipe::default()],
            stage: Stage::Connecting,
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

impl FrameSender for SimSender {
    type Extent = SimExtent;

    fn send(&mut self, frame: Frame<SimExtent>) -> impl Future<Output = Result<(), NetError>> + Send {
        Sending { hold: &self.0, frame: Some(frame), waited: false }
    }
}

/// A frame on its way into the machine.
struct Sending<'a> {
    hold: &'a Hold,
    frame: Option<Frame<SimExtent>>,
    waited: bool,
}

impl Future for Sending<'_> {
    type Output = Result<(), NetError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(frame) = &this.frame else { return Poll::Pending };
        let done = this.hold.poll_send(frame, context.waker());
        this.waited = done.is_pending();
        if done.is_ready() {
            this.frame = None;
        }
        done
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if self.waited {
            self.hold.break_off("a send was dropped midway");
        }
    }
}

impl Hold {
    fn poll_send(&self, frame: &Frame<SimExtent>, waker: &Waker) -> Poll<Result<(), NetError>> {
        let (head, body) = (frame.head.len(), frame.body.len());
        if head > FRAME_HEAD_BYTES_MAX || body > FRAME_BODY_BYTES_MAX as u64 {
            let what = format!("a head of {head} bytes and a body of {body}");
            return Poll::Ready(Err(NetError::TooLarge { what }));
        }
        let (key, side) = (self.key, self.side as usize);
        let mut guard = self.env.shared.lock();
        let world = &mut *guard;
        if !world.lives(self.env.node, self.env.epoch) {
            return Poll::Pending;
        }
        let window = world.config.network.window_bytes;
        let Some(connection) = world.network.connections.get_mut(key) else {
            return Poll::Ready(Err(closed("it is over")));
        };
        if let Some(why) = connection.ends[side].failure {
            return Poll::Ready(Err(closed(why)));
        }
        let bytes = wire_bytes(&frame.head, body);
        let pipe = &mut connection.pipes[side];
        if pipe.bytes > 0 && pipe.bytes + bytes > window {
            world.chores.park(&mut pipe.sender, waker);
            return Poll::Pending;
        }
        let target = connection.ends[1 - side].node;
        let Some(after) = world.meet_peer(self.env.node, OperationKind::Send, target) else {
            return Poll::Pending;
        };
        let sent = world.send(self, target, frame, bytes);
        world.fire_all(after);
        Poll::Ready(sent)
    }

    /// Ends the connection for both ends.
    fn break_off(&self, why: &'static str) {
        let mut world = self.env.shared.lock();
        if world.lives(self.env.node, self.env.epoch) {
            world.fail_end(self.key, self.side, why);
            if let Some(connection) = world.network.connections.get_mut(self.key) {
                let pipe = &mut connection.pipes[1 - self.side as usize];
                pipe.packets.clear();
                pipe.arrived = 0;
            }
            world.send_reset(self.key, 1 - self.side);
        }
    }
}

impl World {
    fn send(
        &mut self,
        hold: &Hold,
        target: NodeId,
        frame: &Frame<SimExtent>,
        bytes: u64,
    ) -> Result<(), NetError> {
        let (key, side, source, now) = (hold.key, hold.side, hold.env.node, self.now);
        let body = match &frame.body {
            Body::Empty => Bytes::new(),
            Body::Bytes(bytes) => bytes.clone(),
            Body::Extent(extent) => match self.read_extent(extent) {
                Ok(bytes) => bytes,
                Err(error) => {
                    // The head has left with the length of a body that cannot follow.
                    self.fail_end(key, side, "its body cannot be read");
                    self.send_reset(key, 1 - side);
                    return Err(closed(&error.to_string()));
                }
            },
        };
        let received = Received { head: frame.head.clone(), body };
        let load = self.load(source, target, received, !matches!(frame.body, Body::Extent(_)));
        let config = &self.config.network;
        let link = &mut self.network.links[source.0 as usize][target.0 as usize];
        let arrival = link.carry(now, bytes, config);
        if config.reset_ppm > 0 && link.dice(now).chance(config.reset_ppm) {
            self.stats.struck("reset");
            self.queue.push(arrival, Happening::Reset { connection: key, side: 0 });
            self.queue.push(arrival, Happening::Reset { connection: key, side: 1 });
        }
        let serial = link.next_serial();
        self.stats.frames += 1;
        self.stats.frame_bytes += bytes;
        self.push_packet(key, side, Packet { arrival, serial, bytes, load });
        let line = || TraceWhat::Sent { target, serial, bytes };
        self.trace.absorb(Tag::Sent, now, Some(source), [serial, bytes << 32 | u64::from(target.0)], line);
        Ok(())
    }

    fn push_packet(&mut self, key: Key, side: u8, mut packet: Packet) {
        let Some(connection) = self.network.connections.get_mut(key) else { return };
        let pipe = &mut connection.pipes[side as usize];
        packet.arrival = packet.arrival.max(pipe.last_arrival + 1);
        pipe.last_arrival = packet.arrival;
        pipe.bytes += packet.bytes;
        pipe.packets.push_back(packet);
        // A pipe that is stalled already goes on when its path heals, and not before.
        if pipe.packets.len() == pipe.arrived + 1 {
            self.arm(key, side, 0);
        }
    }

    /// How a frame travels: most as they are, some as bytes, a few of these damaged.
    fn load(&mut self, source: NodeId, target: NodeId, received: Received, body_checked: bool) -> Load {
        let now = self.now;
        let (one_in, ppm) = (self.config.network.encode_one_in, self.config.network.corrupt_ppm);
        let link = self.network.link_mut(source, target);
        let draw = link.dice(now).word();
        let flipped = link.corrupt_frames > 0 || (ppm > 0 && link.dice(now).chance(ppm));
        if flipped {
            link.corrupt_frames = link.corrupt_frames.saturating_sub(1);
            let bit = link.dice(now).word();
            let bits = 8 * wire_bytes(&received.head, received.body.len() as u64);
            self.stats.frames_encoded += 1;
            self.struck(source, "corrupt", format!("a frame to n{}", target.0));
            return Load::encoded(&received, body_checked, Some(bit % bits));
        }
        if one_in > 0 && draw.is_multiple_of(u64::from(one_in)) {
            self.stats.frames_encoded += 1;
            return Load::encoded(&received, body_checked, None);
        }
        Load::Plain(received)
    }
}

impl Drop for SimSender {
    fn drop(&mut self) {
        let hold = &self.0;
        let mut world = hold.env.shared.lock();
        if !world.lives(hold.env.node, hold.env.epoch) {
            return;
        }
        let now = world.now;
        let Some(connection) = world.network.connections.get_mut(hold.key) else { return };
        let end = &mut connection.ends[hold.side as usize];
        end.sender_held = false;
        let (alive, source) = (end.alive, end.node);
        let target = connection.ends[1 - hold.side as usize].node;
        if alive {
            let arrival = world.arrival(source, target);
            let serial = world.network.link_mut(source, target).next_serial();
            let packet = Packet { arrival: arrival.max(now), serial, bytes: 0, load: Load::End };
            world.push_packet(hold.key, hold.side, packet);
        }
        world.close_if_unheld(hold.key, hold.side);
    }
}

impl FrameReceiver for SimReceiver {
    async fn recv(&mut self) -> Result<Option<Received>, NetError> {
        poll_fn(|context| self.poll_recv(context)).await
    }
}

impl SimReceiver {
    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Received>, NetError>> {
        let hold = &self.0;
        let mut guard = hold.env.shared.lock();
        let world = &mut *guard;
        if !world.lives(hold.env.node, hold.env.epoch) {
            return Poll::Pending;
        }
        let from = 1 - hold.side;
        let Some(connection) = world.network.connections.get_mut(hold.key) else {
            return Poll::Ready(Err(closed("it is over")));
        };
        let source = connection.ends[from as usize].node;
        let failure = connection.ends[hold.side as usize].failure;
        let pipe = &mut connection.pipes[from as usize];
        if pipe.ended {
            return Poll::Ready(Ok(None));
        }
        if pipe.arrived == 0 {
            if let Some(why) = failure {
                return Poll::Ready(Err(closed(why)));
            }
            world.chores.park(&mut pipe.receiver, context.waker());
            return Poll::Pending;
        }
        let Some(after) = world.meet_peer(hold.env.node, OperationKind::Receive, source) else {
            return Poll::Pending;
        };
        world.fire_all(after);
        if !world.lives(hold.env.node, hold.env.epoch) {
            return Poll::Pending;
        }
        let Some(packet) = world.take_packet(hold.key, from) else { return Poll::Pending };
        let found = packet.load.unpack();
        drop(guard);
        if found.is_err() {
            hold.break_off("the peer sent rubbish");
        }
        Poll::Ready(found)
    }
}

impl World {
    fn take_packet(&mut self, key: Key, side: u8) -> Option<Packet> {
        let connection = self.network.connections.get_mut(key)?;
        let pipe = &mut connection.pipes[side as usize];
        let packet = if pipe.arrived > 0 { pipe.packets.pop_front() } else { None }?;
        pipe.arrived -= 1;
        pipe.bytes -= packet.bytes;
        pipe.ended |= matches!(packet.load, Load::End);
        self.give_credit(key, side);
        Some(packet)
    }
}

impl Drop for SimReceiver {
    fn drop(&mut self) {
        let hold = &self.0;
        let mut world = hold.env.shared.lock();
        if !world.lives(hold.env.node, hold.env.epoch) {
            return;
        }
        let Some(connection) = world.network.connections.get_mut(hold.key) else { return };
        connection.ends[hold.side as usize].receiver_held = false;
        world.close_if_unheld(hold.key, hold.side);
    }
}
