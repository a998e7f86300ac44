//! A group of replicas with journals of two halves, written and durable, and a network that can
//! be cut. Everything happens when the script says so.

use super::super::*;
use crate::group::members::Newcomer;
use crate::group::records::{self, Checkpoint};
use crate::group::recovery::{Recovery, recover};
use mooseng_core::env::Address;
use mooseng_core::id::ServerId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) const GROUP: GroupId = GroupId(1);

pub(super) struct Node {
    pub(super) replica: Option<Replica>,
    pub(super) durable: Vec<(u64, Bytes)>,
    written: VecDeque<Vec<Bytes>>,
    /// Does the disk take its time?
    pub(super) stalled: bool,
    /// Everything applied since it started: what a snapshot holds, in one list.
    pub(super) state: Vec<String>,
    pub(super) notices: Vec<Notice>,
    pub(super) reads: Vec<(u64, u64)>,
    /// Snapshots on its disk: index to (term, state, members).
    snapshots: BTreeMap<u64, (u64, Vec<String>, Members)>,
    arriving: Option<(u64, Vec<String>)>,
}

pub(super) struct Group {
    pub(super) now: Instant,
    pub(super) nodes: BTreeMap<u64, Node>,
    wire: VecDeque<(u64, Envelope)>,
    pub(super) cut: BTreeSet<(u64, u64)>,
    /// Whose messages of a kind are lost.
    pub(super) lost: Option<(u64, MessageType)>,
    pub(super) config: GroupConfig,
    position: u64,
    /// Every message that was delivered, for those who want to look.
    pub(super) delivered: Vec<(u64, Envelope)>,
}

pub(super) fn voter(id: u64) -> (ReplicaId, ServerId, Address) {
    (ReplicaId(id), ServerId(id), Address::new(format!("s{id}:9420")))
}

impl Group {
    pub(super) fn new(voters: u64) -> Self {
        let mut group = Self {
            now: Instant::ZERO + Duration::from_secs(1),
            nodes: BTreeMap::new(),
            wire: VecDeque::new(),
            cut: BTreeSet::new(),
            lost: None,
            config: GroupConfig::default(),
            position: 0,
            delivered: Vec::new(),
        };
        let members = Members::genesis(&(1..=voters).map(voter).collect::<Vec<_>>());
        for id in 1..=voters {
            group.format(id, 1, 1, members.clone());
            group.start(id, false);
        }
        group
    }

    /// A disk that holds a replica's first record.
    pub(super) fn format(&mut self, id: u64, index: u64, term: u64, members: Members) {
        let mut hard_state = HardState::default();
        hard_state.set_term(1);
        hard_state.set_commit(index);
        let replica = ReplicaId(id);
        let checkpoint =
            Checkpoint { group: GROUP, replica, hard_state, index, term, members, installed: false };
        self.position += 1;
        let node = Node {
            replica: None,
            durable: vec![(self.position, records::encode_checkpoint(&checkpoint))],
            written: VecDeque::new(),
            stalled: false,
            state: Vec::new(),
            notices: Vec::new(),
            reads: Vec::new(),
            snapshots: BTreeMap::new(),
            arriving: None,
        };
        self.nodes.insert(id, node);
    }

    pub(super) fn start(&mut self, id: u64, doubt: bool) {
        let node = self.nodes.get_mut(&id).expect("a node that was formatted");
        let Recovery::Replica(recovered) = recover(GROUP, node.durable.clone()) else {
            panic!("{id} cannot be recovered")
        };
        let base = recovered.log.base();
        node.state = node.snapshots.get(&base).map(|(_, state, _)| state.clone()).unwrap_or_default();
        node.replica = Some(Replica::new(GROUP, *recovered, doubt, self.config.clone(), self.now));
    }

    /// Loses what is not durable, and all that is on the wire from it.
    pub(super) fn crash(&mut self, id: u64) {
        let node = self.node(id);
        node.replica = None;
        node.written.clear();
        node.arriving = None;
        node.notices.clear();
        self.wire.retain(|(source, _)| *source != id);
    }

    pub(super) fn restart(&mut self, id: u64) {
        self.crash(id);
        self.start(id, false);
    }

    /// Starts a node again whose journal has lost its last `records` and says so.
    pub(super) fn restart_in_doubt(&mut self, id: u64, records: usize) {
        self.crash(id);
        let kept = self.node(id).durable.len() - records;
        self.node(id).durable.truncate(kept);
        self.start(id, true);
    }

    pub(super) fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).expect("a node of the group")
    }

    pub(super) fn replica(&mut self, id: u64) -> &mut Replica {
        self.node(id).replica.as_mut().expect("a node that runs")
    }

    pub(super) fn isolate(&mut self, id: u64) {
        for other in self.nodes.keys().copied().filter(|other| *other != id) {
            self.cut.extend([(id, other), (other, id)]);
        }
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
    }

    /// Gives out wishes, lets disks that are not stalled finish, and delivers, until all is quiet.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            let ids: Vec<u64> = self.nodes.keys().copied().collect();
            let mut quiet = true;
            for id in &ids {
                quiet &= !self.pump(*id);
            }
            while let Some((source, envelope)) = self.wire.pop_front() {
                quiet = false;
                self.deliver(source, envelope);
            }
            if quiet {
                return;
            }
        }
        panic!("the group never comes to rest");
    }

    fn pump(&mut self, id: u64) -> bool {
        let now = self.now;
        let mut busy = false;
        if self.node(id).replica.is_none() {
            return false;
        }
        while let Some(output) = self.replica(id).take(now) {
            busy = true;
            self.carry_out(id, output);
        }
        if self.node(id).stalled {
            return busy;
        }
        while let Some(records) = self.node(id).written.pop_front() {
            busy = true;
            self.position += 1;
            let position = self.position;
            self.node(id).durable.extend(records.into_iter().map(|bytes| (position, bytes)));
            let sent = self.replica(id).persisted(position, now);
            self.wire.extend(sent.into_iter().map(|envelope| (id, envelope)));
            while let Some(output) = self.replica(id).take(now) {
                self.carry_out(id, output);
            }
        }
        busy
    }

    fn carry_out(&mut self, id: u64, output: Output) {
        let node = self.nodes.get_mut(&id).expect("a node of the group");
        if !output.records.is_empty() {
            node.written.push_back(output.records);
        }
        if let Some(index) = output.installed {
            let (announced, state) = node.arriving.take().expect("a snapshot was announced");
            assert_eq!(announced, index);
            node.state = state;
        }
        let text = |entry: Committed| String::from_utf8_lossy(&entry.data).into_owned();
        node.state.extend(output.committed.into_iter().map(text).filter(|text| !text.is_empty()));
        node.reads.extend(output.reads);
        node.notices.extend(output.notices);
        self.wire.extend(output.send.into_iter().map(|envelope| (id, envelope)));
    }

    fn deliver(&mut self, source: u64, envelope: Envelope) {
        let target = envelope.target.0;
        let runs = self.nodes.get(&target).is_some_and(|node| node.replica.is_some());
        let lost = self.lost == Some((source, envelope.message.get_msg_type()));
        if !runs || lost || self.cut.contains(&(source, target)) {
            return;
        }
        self.delivered.push((source, envelope.clone()));
        let (now, sent, echo) = (self.now, envelope.sent, envelope.echo);
        if let Ok(Stepped::Fetch(fetch)) = self.replica(target).step(envelope.message, sent, echo, now) {
            self.fetch(target, &fetch);
        }
    }

    fn fetch(&mut self, target: u64, fetch: &Fetch) {
        let now = self.now;
        let source = self.nodes.get(&fetch.source.0);
        let Some((term, state, members)) = source.and_then(|node| node.snapshots.get(&fetch.index)).cloned()
        else {
            return self.replica(target).snapshot_failed(fetch.index);
        };
        self.node(target).snapshots.insert(fetch.index, (term, state.clone(), members.clone()));
        self.node(target).arriving = Some((fetch.index, state));
        self.replica(target).snapshot_ready(fetch.index, members, now);
    }

    /// A snapshot that nobody ever took arrives all the same.
    pub(super) fn arrive(&mut self, target: u64, fetch: &Fetch, members: Members) {
        let now = self.now;
        self.node(target).snapshots.insert(fetch.index, (fetch.term, Vec::new(), members.clone()));
        if self.replica(target).snapshot_ready(fetch.index, members, now) {
            self.node(target).arriving = Some((fetch.index, Vec::new()));
            self.pump(target);
        }
    }

    /// A node takes a snapshot of what it has applied and forgets its log up to there.
    pub(super) fn snapshot(&mut self, id: u64, trailing: u64) {
        let (index, term, members) = self.replica(id).snapshot_point().expect("something is applied");
        let state = self.node(id).state.clone();
        self.node(id).snapshots.insert(index, (term, state, members.clone()));
        let conf_state = members.conf_state();
        let offer = Offer { index, term, conf_state, manifest: Bytes::new() };
        let Some(record) = self.replica(id).snapshot_taken(offer, &members) else { return };
        self.position += 1;
        let position = self.position;
        self.node(id).durable.push((position, record));
        self.replica(id).compacted(index, position, trailing);
        let release = self.replica(id).releasable();
        self.node(id).durable.retain(|(position, _)| *position >= release);
    }

    /// A leader finds that snapshots it offered are not being fetched.
    pub(super) fn give_up_snapshots(&mut self, id: u64) {
        let now = self.now;
        for receiver in self.replica(id).snapshot_receivers() {
            self.replica(id).snapshot_unfetched(receiver, now);
        }
    }

    /// Lets time pass, in ticks, with all that happens meanwhile.
    pub(super) fn ticks(&mut self, ticks: usize) {
        for _ in 0..ticks {
            self.now = self.now + self.config.tick;
            let now = self.now;
            for node in self.nodes.values_mut() {
                if let Some(replica) = &mut node.replica {
                    replica.tick(now);
                }
            }
            self.settle();
            let ids: Vec<u64> = self.nodes.keys().copied().collect();
            for id in ids {
                if self.node(id).replica.as_ref().is_some_and(Replica::snapshot_wanted) {
                    self.snapshot(id, 0);
                }
            }
        }
    }

    /// Until somebody leads whom everybody that runs follows.
    pub(super) fn elect(&mut self) -> u64 {
        for _ in 0..200 {
            self.ticks(1);
            if let Some(leader) = self.leader() {
                return leader;
            }
        }
        panic!("nobody was elected");
    }

    /// The replica that leads the latest term anybody leads.
    pub(super) fn leader(&self) -> Option<u64> {
        let leads = |(id, node): (&u64, &Node)| Some((node.replica.as_ref()?.leads()?, *id));
        self.nodes.iter().filter_map(leads).max().map(|(_, id)| id)
    }

    /// Makes a certain replica lead.
    pub(super) fn lead(&mut self, id: u64) {
        let leader = self.elect();
        if leader != id {
            let now = self.now;
            self.replica(leader).transfer(ReplicaId(id), now).expect("a leader hands over");
            self.settle();
        }
        assert_eq!(self.leader(), Some(id), "{id} leads");
    }

    pub(super) fn propose(&mut self, id: u64, text: &str) {
        let now = self.now;
        let entry = (Bytes::new(), Bytes::copy_from_slice(text.as_bytes()));
        self.replica(id).propose(vec![entry], now).expect("a leader takes it");
    }

    pub(super) fn put(&mut self, id: u64, text: &str) {
        self.propose(id, text);
        self.settle();
    }

    pub(super) fn change(&mut self, id: u64, change: &Change) {
        let now = self.now;
        self.replica(id).propose_change(change, now).expect("a leader takes it");
        self.settle();
    }

    pub(super) fn state(&self, id: u64) -> String {
        self.nodes[&id].state.join(" ")
    }

    /// Lets every mute replica ask whom it has to, as far as they can be reached.
    pub(super) fn inquire(&mut self) {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        for id in ids {
            if self.node(id).replica.is_none() {
                continue;
            }
            for asked in self.replica(id).inquiries() {
                let reachable = !self.cut.contains(&(id, asked.0));
                let Some(other) = self.nodes.get_mut(&asked.0).filter(|_| reachable) else { continue };
                let Some(answer) = other.replica.as_ref().map(Replica::answer) else { continue };
                let now = self.now;
                self.replica(asked.0).doubted(ReplicaId(id), now);
                self.replica(id).answered(asked, &answer, now);
            }
        }
        self.settle();
    }

    /// 1 leads, 3 is lost, and 4 has learnt in its place.
    pub(super) fn with_a_learner() -> Self {
        let mut t = Self::new(3);
        t.lead(1);
        t.put(1, "a");
        t.crash(3);
        let admit = t.replica(1).members().admit(Self::newcomer(4, 3)).unwrap();
        t.snapshot(1, 0);
        t.change(1, &admit);
        t.format(4, 0, 0, Members::default());
        t.start(4, false);
        t.ticks(6);
        t
    }

    pub(super) fn newcomer(replica: u64, server: u64) -> Newcomer {
        let (_, server, address) = voter(server);
        Newcomer { replica: ReplicaId(replica), server, address, seat_wanted: true }
    }
}
