//! What tasks hold of a connection: a sender and a receiver, and how frames get in and out.

use super::super::disk::SimExtent;
use super::super::env::SimEnv;
use super::super::node::NodeId;
use super::super::queue::Happening;
use super::super::slab::Key;
use super::super::trace::{Tag, TraceWhat};
use super::super::trigger::OperationKind;
use super::super::world::World;
use super::packet::{Load, Packet, wire_bytes};
use bytes::Bytes;
use mooseng_core::chance::Dice;
use mooseng_core::env::{
    Body, Conn, FRAME_BODY_BYTES_MAX, FRAME_HEAD_BYTES_MAX, Frame, FrameReceiver, FrameSender, NetError,
    Received,
};
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

fn closed(what: &str) -> NetError {
    NetError::Closed { what: what.into() }
}

impl SimConn {
    pub(super) fn new(env: &SimEnv, key: Key, side: u8) -> Self {
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
    fn load(&mut self, source: NodeId, target: NodeId, mut received: Received, body_checked: bool) -> Load {
        let now = self.now;
        if self.network.link_mut(source, target).rubbish_frames > 0 {
            received.head = self.rubbish(source, target, received.head.len());
        }
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

    /// A head that no peer of ours has sent. Half of them begin like one, so that they are read on.
    fn rubbish(&mut self, source: NodeId, target: NodeId, bytes: usize) -> Bytes {
        self.struck(source, "rubbish", format!("a frame to n{}", target.0));
        let now = self.now;
        let link = self.network.link_mut(source, target);
        link.rubbish_frames -= 1;
        let dice = link.dice(now);
        let mut head: Vec<u8> = (0..bytes).map(|_| dice.word() as u8).collect();
        if let Some([kind, zeros @ ..]) = head.first_chunk_mut::<4>()
            && dice.chance(500_000)
        {
            (*kind, *zeros) = (*kind % 8 + 1, [0; 3]);
        }
        head.into()
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
