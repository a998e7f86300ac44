//! The other replicas: where they listen, and the connections to them, which all groups of a
//! server share.

use super::Driver;
use crate::group::Members;
use crate::group::replica::{Envelope, Stepped};
use bytes::Bytes;
use mooseng_core::env::{Address, Env};
use mooseng_core::id::{GroupId, ReplicaId};
use mooseng_core::probe;
use mooseng_core::time::Instant;
use mooseng_net::proto::raft::{RaftClient, RaftMessage};
use mooseng_net::rpc::{CallError, Channel, ChannelConfig};
use protobuf::Message as _;
use raft::eraftpb::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Of so many messages one at most is lost on a whim.
const LOST_ONE_IN: u64 = 7;

/// One channel per address.
pub struct Channels<E: Env> {
    env: E,
    config: ChannelConfig,
    channels: Arc<Mutex<BTreeMap<Address, Channel<E>>>>,
}

impl<E: Env> Clone for Channels<E> {
    fn clone(&self) -> Self {
        Self { env: self.env.clone(), config: self.config, channels: self.channels.clone() }
    }
}

impl<E: Env> Channels<E> {
    pub fn new(env: E, config: ChannelConfig) -> Self {
        Self { env, config, channels: Arc::default() }
    }

    pub fn to(&self, address: &Address) -> Channel<E> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(address) {
            return channel.clone();
        }
        let channel = Channel::new(&self.env, address.clone(), self.config);
        channels.insert(address.clone(), channel.clone());
        channel
    }
}

/// The replicas a group's task knows how to reach.
pub(super) struct Peers<E: Env> {
    env: E,
    channels: Channels<E>,
    group: GroupId,
    own: ReplicaId,
    book: BTreeMap<ReplicaId, (Address, RaftClient<E>)>,
    /// Somebody spoke whose address is not in the book.
    pub(super) stranger: bool,
    unreachable: BTreeSet<ReplicaId>,
    sent: u64,
    /// The own disk has no room for a tree that grows, and the disks of these.
    pub(super) full: bool,
    short: BTreeSet<ReplicaId>,
}

impl<E: Env> Peers<E> {
    pub(super) fn new(env: E, channels: Channels<E>, group: GroupId, own: ReplicaId) -> Self {
        Self {
            env,
            channels,
            group,
            own,
            book: BTreeMap::new(),
            stranger: false,
            unreachable: BTreeSet::new(),
            sent: 0,
            full: false,
            short: BTreeSet::new(),
        }
    }

    fn note(&mut self, replica: ReplicaId, address: &Address) {
        let known = self.book.get(&replica).is_some_and(|(known, _)| known == address);
        if !known && replica != self.own {
            let client = RaftClient::new(self.channels.to(address));
            self.book.insert(replica, (address.clone(), client));
        }
    }

    pub(super) fn learn(&mut self, members: &Members) {
        for (replica, member) in members.iter() {
            self.note(replica, &member.address);
        }
    }

    pub(super) fn address(&self, replica: ReplicaId) -> Option<Address> {
        self.book.get(&replica).map(|(address, _)| address.clone())
    }

    pub(super) fn client(&self, replica: ReplicaId) -> Option<RaftClient<E>> {
        self.book.get(&replica).map(|(_, client)| client.clone())
    }

    pub(super) fn knows(&self, replica: ReplicaId) -> bool {
        replica == self.own || self.book.contains_key(&replica)
    }

    /// A replica has said whether its disk has room.
    pub(super) fn told(&mut self, replica: ReplicaId, full: bool) {
        if !full {
            self.short.remove(&replica);
        } else if self.knows(replica) {
            self.short.insert(replica);
        }
    }

    /// Is it known to have no room?
    pub(super) fn is_full(&self, replica: ReplicaId) -> bool {
        self.short.contains(&replica)
    }

    /// Everybody in the book.
    pub(super) fn all(&self) -> Vec<ReplicaId> {
        self.book.keys().copied().collect()
    }

    fn send(&mut self, envelope: Envelope) {
        let Envelope { target, message, sent, echo } = envelope;
        let Some((_, client)) = self.book.get(&target) else {
            self.stranger = true;
            return;
        };
        // A few of them, not so many that nothing ever gets done.
        self.sent += 1;
        if self.sent.is_multiple_of(LOST_ONE_IN) && self.env.buggify("raft message lost") {
            return;
        }
        // A message of a few fields; raft-rs fails only on a broken buffer.
        let Ok(payload) = message.write_to_bytes() else { return };
        let message = RaftMessage {
            group: self.group.0,
            source: self.own.0,
            target: target.0,
            payload: Bytes::from(payload),
            sent,
            echo,
            full: self.full,
        };
        if let Err(CallError::Unreachable(_) | CallError::Overloaded) = client.step(&message) {
            self.unreachable.insert(target);
        }
    }
}

impl<E: Env> Driver<E> {
    pub(super) fn send(&mut self, envelopes: Vec<Envelope>) {
        for envelope in envelopes {
            if let Some(promise) = envelope.promise(self.replica.group(), self.replica.id()) {
                self.env.note(promise);
            }
            self.peers.send(envelope);
        }
    }

    /// A leader learns that messages did not leave, and probes rather than streams.
    pub(super) fn report_unreachable(&mut self) {
        if self.peers.unreachable.is_empty() {
            return;
        }
        let now = self.now();
        for replica in std::mem::take(&mut self.peers.unreachable) {
            if self.replica.leads().is_some() {
                self.replica.unreachable(replica, now);
            }
        }
    }

    pub(super) fn step(&mut self, message: Message, sent: u64, echo: u64, now: Instant) {
        self.peers.stranger |= !self.peers.knows(ReplicaId(message.from));
        match self.replica.step(message, sent, echo, now) {
            Ok(Stepped::Taken) => {}
            Ok(Stepped::Fetch(fetch)) => self.fetch(fetch),
            Err(_) => {
                probe!("raft message refused");
            }
        }
    }
}
