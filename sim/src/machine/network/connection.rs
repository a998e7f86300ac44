//! A connection between two processes, as both their kernels see it: two ends, and a pipe from
//! each to the other. The kernels retransmit what a cut swallowed, give up on silence, and answer
//! a stranger's packet with a reset.

use super::super::node::NodeId;
use super::super::queue::Happening;
use super::super::slab::Key;
use super::super::trace::{Tag, TraceWhat, text_hash};
use super::super::world::World;
use super::packet::{Load, Packet};
use mooseng_core::chance::Dice;
use std::collections::VecDeque;
use std::task::Waker;

/// What one process holds of a connection.
pub(super) struct End {
    pub(super) node: NodeId,
    /// Its kernel knows of the connection.
    pub(super) alive: bool,
    /// Halves that its process still holds.
    pub(super) sender_held: bool,
    pub(super) receiver_held: bool,
    /// Why the connection failed, as this end sees it.
    pub(super) failure: Option<&'static str>,
}

/// What goes from one end to the other, in order.
#[derive(Default)]
pub(super) struct Pipe {
    /// First those that have arrived and wait to be received, then those under way.
    pub(super) packets: VecDeque<Packet>,
    pub(super) arrived: usize,
    /// Bytes of all of them.
    pub(super) bytes: u64,
    pub(super) last_arrival: u64,
    /// Is the next delivery in the queue? Then under this number.
    pub(super) armed: bool,
    pub(super) arming: u16,
    /// The sender's kernel misses acknowledgements, and will give up under this number.
    pub(super) suspected: bool,
    pub(super) suspicion: u16,
    /// The end of the stream was received.
    pub(super) ended: bool,
    pub(super) receiver: Option<Waker>,
    pub(super) sender: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Connecting,
    /// The far end took it; the answer is on its way back.
    Answered,
    Open,
    Refused(&'static str),
}

pub(crate) struct Connection {
    pub(super) ends: [End; 2],
    /// By the side that sends.
    pub(super) pipes: [Pipe; 2],
    pub(super) stage: Stage,
    /// An end that does not know it any more says nothing about that.
    pub(super) silent: bool,
    pub(super) port: u16,
    pub(super) near_port: u16,
    pub(super) connector: Option<Waker>,
}

impl Connection {
    fn path(&self, side: u8) -> (NodeId, NodeId) {
        (self.ends[side as usize].node, self.ends[1 - side as usize].node)
    }

    fn is_between(&self, one: NodeId, other: NodeId) -> bool {
        let nodes = (self.ends[0].node, self.ends[1].node);
        nodes == (one, other) || nodes == (other, one)
    }
}

impl World {
    pub(super) fn connection_line(&mut self, node: NodeId, peer: NodeId, what: &'static str, key: Key) {
        let details = [u64::from(key.index) << 32 | u64::from(peer.0), text_hash(format_args!("{what}"))];
        let line = || TraceWhat::Connection { what, peer };
        self.trace.absorb(Tag::Connection, self.now, Some(node), details, line);
    }

    /// When a small packet that leaves `source` now arrives at `target`, whatever becomes of it.
    pub(super) fn arrival(&mut self, source: NodeId, target: NodeId) -> u64 {
        let (now, config) = (self.now, &self.config.network);
        self.network.links[source.0 as usize][target.0 as usize].arrival(now, config)
    }

    /// Puts the next delivery of a pipe into the queue, if there is one and it is not there yet.
    pub(super) fn arm(&mut self, key: Key, side: u8, not_before: u64) {
        let Some(connection) = self.network.connections.get_mut(key) else { return };
        let pipe = &mut connection.pipes[side as usize];
        if pipe.armed {
            return;
        }
        let Some(next) = pipe.packets.get(pipe.arrived) else { return };
        pipe.armed = true;
        pipe.arming = pipe.arming.wrapping_add(1);
        let (time, arming) = (next.arrival.max(not_before), pipe.arming);
        self.queue.push(time, Happening::Deliver { connection: key, side, arming });
    }

    pub(crate) fn deliver(&mut self, key: Key, side: u8, arming: u16) {
        let Some(connection) = self.network.connections.get_mut(key) else { return };
        let (source, target) = connection.path(side);
        let pipe = &mut connection.pipes[side as usize];
        if !pipe.armed || pipe.arming != arming {
            return;
        }
        pipe.armed = false;
        let link = &self.network.links[source.0 as usize][target.0 as usize];
        let (cut, clogged) = (link.cuts > 0, link.clogs > 0);
        let no_answer = self.network.links[target.0 as usize][source.0 as usize].cuts > 0;
        if cut || !self.nodes[target.0 as usize].awake() {
            return self.suspect(key, side);
        }
        if clogged {
            return;
        }
        if no_answer {
            self.suspect(key, side);
        }
        let Some(connection) = self.network.connections.get_mut(key) else { return };
        if !connection.ends[1 - side as usize].alive {
            let pipe = &mut connection.pipes[side as usize];
            pipe.packets.truncate(pipe.arrived);
            return self.answer_with_reset(key, side);
        }
        let pipe = &mut connection.pipes[side as usize];
        let Some(packet) = pipe.packets.get(pipe.arrived) else { return };
        pipe.arrived += 1;
        let serial = packet.serial;
        let next = pipe.packets.get(pipe.arrived).map(|packet| packet.arrival);
        if let Some(time) = next {
            pipe.armed = true;
            pipe.arming = pipe.arming.wrapping_add(1);
            let what = Happening::Deliver { connection: key, side, arming: pipe.arming };
            self.queue.push(time.max(self.now), what);
        }
        self.chores.wake(&mut pipe.receiver);
        let details = [serial, u64::from(key.index)];
        let line = || TraceWhat::Delivered { source, serial };
        self.trace.absorb(Tag::Delivered, self.now, Some(target), details, line);
    }

    /// The kernel on `side` gets no acknowledgements; if that lasts, it gives the connection up.
    fn suspect(&mut self, key: Key, side: u8) {
        let timeout = self.config.network.silence_timeout_ns;
        let Some(connection) = self.network.connections.get_mut(key) else { return };
        let pipe = &mut connection.pipes[side as usize];
        if pipe.suspected || !connection.ends[side as usize].alive {
            return;
        }
        pipe.suspected = true;
        pipe.suspicion = pipe.suspicion.wrapping_add(1);
        let suspicion = pipe.suspicion;
        self.queue.push(self.now + timeout, Happening::Silence { connection: key, side, suspicion });
    }

    pub(crate) fn silence(&mut self, key: Key, side: u8, suspicion: u16) {
        let Some(connection) = self.network.connections.get(key) else { return };
        let pipe = &connection.pipes[side as usize];
        if pipe.suspected && pipe.suspicion == suspicion {
            self.fail_end(key, side, "the peer fell silent");
        }
    }

    /// The far end does not know this connection: its kernel says so, if it can.
    fn answer_with_reset(&mut self, key: Key, side: u8) {
        let Some(connection) = self.network.connections.get(key) else { return };
        let (source, target) = connection.path(side);
        if connection.silent || !self.network.link(target, source).is_open() {
            return self.suspect(key, side);
        }
        let arrival = self.arrival(target, source);
        self.queue.push(arrival, Happening::Reset { connection: key, side });
    }

    /// One end breaks the connection off and tells the other, whose end this is.
    pub(super) fn send_reset(&mut self, key: Key, side: u8) {
        let Some(connection) = self.network.connections.get(key) else { return };
        let (source, target) = connection.path(1 - side);
        if self.network.link(source, target).is_open() {
            let arrival = self.arrival(source, target);
            self.queue.push(arrival, Happening::Reset { connection: key, side });
        }
    }

    pub(crate) fn reset_arrives(&mut self, key: Key, side: u8) {
        let Some(connection) = self.network.connections.get(key) else { return };
        if connection.ends[side as usize].alive {
            self.fail_end(key, side, "the peer reset it");
        }
    }

    /// The connection is over as far as this end knows. What has arrived can still be received.
    pub(super) fn fail_end(&mut self, key: Key, side: u8, why: &'static str) {
        let Some(connection) = self.network.connections.get_mut(key) else { return };
        let end = &mut connection.ends[side as usize];
        end.alive = false;
        end.failure.get_or_insert(why);
        let (node, peer) = connection.path(side);
        let [first, second] = &mut connection.pipes;
        let (out, back) = if side == 0 { (first, second) } else { (second, first) };
        out.packets.truncate(out.arrived);
        out.armed = false;
        out.suspected = false;
        back.packets.truncate(back.arrived);
        back.armed = false;
        self.chores.wake(&mut out.sender);
        self.chores.wake(&mut back.receiver);
        self.connection_line(node, peer, why, key);
        self.bury(key);
    }

    /// Forgets a connection that no kernel knows any more.
    pub(super) fn bury(&mut self, key: Key) {
        let Some(connection) = self.network.connections.get(key) else { return };
        let idle = |end: &End| !end.alive && !end.sender_held && !end.receiver_held;
        if !connection.ends.iter().all(idle) || connection.connector.is_some() {
            return;
        }
        if let Some(connection) = self.network.connections.remove(key) {
            for pipe in connection.pipes {
                pipe.receiver.into_iter().chain(pipe.sender).for_each(|waker| self.chores.retire(waker));
            }
        }
    }

    pub(crate) fn credit(&mut self, key: Key, side: u8) {
        let Some(connection) = self.network.connections.get_mut(key) else { return };
        let (source, target) = connection.path(side);
        if self.network.links[target.0 as usize][source.0 as usize].is_open() {
            let pipe = &mut connection.pipes[side as usize];
            self.chores.wake(&mut pipe.sender);
        }
    }

    /// The far end has read something: whoever waits for room hears of it.
    pub(super) fn give_credit(&mut self, key: Key, side: u8) {
        let Some(connection) = self.network.connections.get(key) else { return };
        if connection.pipes[side as usize].sender.is_some() {
            let (source, target) = connection.path(side);
            let arrival = self.arrival(target, source);
            self.queue.push(arrival, Happening::Credit { connection: key, side });
        }
    }

    /// Both halves of an end may be gone: then its kernel closes it. Unread data means a reset.
    pub(super) fn close_if_unheld(&mut self, key: Key, side: u8) {
        let Some(connection) = self.network.connections.get_mut(key) else { return };
        let end = &mut connection.ends[side as usize];
        if end.sender_held || end.receiver_held || !end.alive {
            return self.bury(key);
        }
        end.alive = false;
        let unread = connection.pipes[1 - side as usize].packets.iter();
        let unread = unread.filter(|packet| !matches!(packet.load, Load::End)).count();
        let (node, peer) = connection.path(side);
        self.connection_line(node, peer, "closed", key);
        if unread > 0 && connection_arrived(self, key, 1 - side) > 0 {
            self.send_reset(key, 1 - side);
        }
        self.bury(key);
    }

    /// A machine's process is gone. Its kernel resets its connections, unless the power is gone
    /// too: then they are half open, and what its links had not carried off is lost.
    pub(crate) fn stop_sockets(&mut self, node: NodeId, power: bool) {
        for key in self.network.connections.keys() {
            for side in 0..2_u8 {
                let Some(connection) = self.network.connections.get_mut(key) else { continue };
                if connection.ends[side as usize].node == node {
                    self.stop_end(key, side, power);
                }
            }
        }
        let ports: Vec<(NodeId, u16)> =
            self.network.listeners.keys().filter(|(of, _)| *of == node).copied().collect();
        for port in ports {
            self.stop_listening(port);
        }
    }

    fn stop_end(&mut self, key: Key, side: u8, power: bool) {
        let now = self.now;
        let Some(connection) = self.network.connections.get_mut(key) else { return };
        let (source, target) = connection.path(side);
        let end = &mut connection.ends[side as usize];
        let was_alive = std::mem::replace(&mut end.alive, false);
        (end.sender_held, end.receiver_held) = (false, false);
        if side == 0
            && let Some(waker) = connection.connector.take()
        {
            self.chores.retire(waker);
        }
        let [first, second] = &mut connection.pipes;
        let (out, back) = if side == 0 { (first, second) } else { (second, first) };
        for waker in [out.sender.take(), back.receiver.take()].into_iter().flatten() {
            self.chores.retire(waker);
        }
        if power && was_alive {
            let link = &mut self.network.links[source.0 as usize][target.0 as usize];
            let under_way = out.packets.len() - out.arrived;
            let left = if link.is_open() { link.dice(now).below(under_way as u64 + 1) as usize } else { 0 };
            out.packets.truncate(out.arrived + left);
            out.suspected = false;
        } else if was_alive {
            self.send_reset(key, 1 - side);
        }
        self.bury(key);
    }

    /// Something between two hosts works again, or one of them does: what was swallowed is sent
    /// again, a little later, and nobody is suspected any more.
    pub(crate) fn path_heals(&mut self, one: NodeId, other: NodeId) {
        self.revive(|connection| connection.is_between(one, other));
    }

    /// As [`World::path_heals`], for all paths of a node.
    pub(crate) fn network_wakes(&mut self, node: NodeId) {
        self.revive(|connection| connection.ends.iter().any(|end| end.node == node));
    }

    fn revive(&mut self, which: impl Fn(&Connection) -> bool) {
        let now = self.now;
        let keys: Vec<Key> = self
            .network
            .connections
            .iter()
            .filter(|(_, connection)| which(connection))
            .map(|(key, _)| key)
            .collect();
        for key in keys {
            for side in 0..2_u8 {
                let Some(connection) = self.network.connections.get_mut(key) else { continue };
                let (source, target) = connection.path(side);
                let pipe = &mut connection.pipes[side as usize];
                pipe.suspected = false;
                let blocked = pipe.sender.is_some();
                // Retransmission timers have backed off meanwhile.
                let wait = self.network.link_mut(source, target).dice(now).below(200_000_000);
                self.arm(key, side, now + wait);
                if blocked {
                    self.queue.push(now + wait, Happening::Credit { connection: key, side });
                }
            }
        }
    }
}

fn connection_arrived(world: &World, key: Key, side: u8) -> usize {
    world.network.connections.get(key).map_or(0, |connection| connection.pipes[side as usize].arrived)
}

impl World {
    fn between(&self, one: NodeId, other: NodeId) -> Vec<Key> {
        let open =
            |connection: &Connection| connection.is_between(one, other) && connection.stage == Stage::Open;
        let connections = self.network.connections.iter();
        connections.filter(|(_, connection)| open(connection)).map(|(key, _)| key).collect()
    }

    /// Every connection between two hosts is lost. False if there was none.
    pub(crate) fn reset_between(&mut self, one: NodeId, other: NodeId) -> bool {
        let keys = self.between(one, other);
        for key in &keys {
            self.fail_end(*key, 0, "the connection was lost");
            self.fail_end(*key, 1, "the connection was lost");
        }
        !keys.is_empty()
    }

    /// A host forgets every connection to another one, which does not learn of it. False if there
    /// was none.
    pub(crate) fn forget_between(&mut self, node: NodeId, peer: NodeId, silent: bool) -> bool {
        let keys = self.between(node, peer);
        for key in &keys {
            let Some(connection) = self.network.connections.get_mut(*key) else { continue };
            let side = u8::from(connection.ends[0].node != node);
            if !connection.ends[side as usize].alive {
                continue;
            }
            connection.silent = silent;
            // What the peer sent and is not here yet meets nobody who knows of it.
            let coming = &mut connection.pipes[1 - side as usize];
            let under_way = coming.packets.split_off(coming.arrived);
            let armed = std::mem::take(&mut coming.armed);
            self.fail_end(*key, side, "the connection was forgotten");
            if let Some(connection) = self.network.connections.get_mut(*key) {
                let coming = &mut connection.pipes[1 - side as usize];
                coming.packets.extend(under_way);
                coming.armed = armed;
            }
        }
        !keys.is_empty()
    }
}
