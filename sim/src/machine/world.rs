//! Everything that is true at a moment of the simulation, behind one lock that is never contended
//! and never held while anybody else's code runs: no future is polled or dropped, no waker called
//! or dropped, no observer told under it. What must be done without the lock is left in `Chores`.

use super::buggify::Points;
use super::clock::{NodeClock, Timer, Timers, timers_of};
use super::config::MachineConfig;
use super::disk::{Disk, Operation};
use super::fault::Fault;
use super::lane::Lane;
use super::network::Network;
use super::node::{Node, NodeConfig, NodeId, Stop};
use super::observe::{MachineEvent, Observation, Observer, Seen};
use super::queue::{Happening, Queue};
use super::slab::{Key, Slab};
use super::stats::Stats;
use super::trace::{Tag, Trace, TraceWhat, event_details, text_hash};
use super::trigger::{Moment, OperationKind, Trigger, Triggers};
use futures::future::BoxFuture;
use mooseng_core::chance::Dice;
use mooseng_core::event::Event;
use mooseng_core::time::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// A task that waits to be taken in by the executor.
pub(crate) struct Spawned {
    pub(crate) node: NodeId,
    pub(crate) epoch: u32,
    pub(crate) name: &'static str,
    pub(crate) future: BoxFuture<'static, ()>,
}

/// What the executor has to do once the lock is free.
#[derive(Default)]
pub(crate) struct Chores {
    /// To be woken; the executor looks here after every turn.
    pub(crate) wakes: Vec<Waker>,
    /// Is there anything below?
    pub(crate) pending: bool,
    /// Wakers to be dropped.
    pub(crate) retired: Vec<Waker>,
    pub(crate) spawned: Vec<Spawned>,
    /// Some node stopped: its tasks are to be dropped.
    pub(crate) purge: bool,
    /// Some node runs again: its tasks may be polled.
    pub(crate) unpark: bool,
    pub(crate) boots: Vec<NodeId>,
}

impl Chores {
    pub(crate) fn wake(&mut self, waker: &mut Option<Waker>) {
        if let Some(waker) = waker.take() {
            self.wakes.push(waker);
        }
    }

    /// Remembers whom to wake.
    pub(crate) fn park(&mut self, place: &mut Option<Waker>, waker: &Waker) {
        match place {
            Some(parked) if parked.will_wake(waker) => {}
            _ => {
                if let Some(old) = place.replace(waker.clone()) {
                    self.retire(old);
                }
            }
        }
    }

    pub(crate) fn retire(&mut self, waker: Waker) {
        self.retired.push(waker);
        self.pending = true;
    }
}

/// What was put off to a later moment.
pub(crate) enum Deferred {
    /// A node boots again, unless it stopped or booted meanwhile.
    Restart {
        node: NodeId,
        epoch: u32,
    },
    /// A fault ends, unless everything was healed since.
    FaultOver {
        fault: Fault,
        round: u32,
    },
    Fire(Trigger),
    Checkpoint(NodeId),
}

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) config: Arc<MachineConfig>,
    pub(crate) now: u64,
    pub(crate) queue: Queue,
    pub(crate) timers: Timers,
    pub(crate) deferred: Slab<Deferred>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) names: BTreeMap<Arc<str>, NodeId>,
    pub(crate) network: Network,
    pub(crate) operations: Slab<Operation>,
    pub(crate) triggers: Triggers,
    pub(crate) points: Points,
    pub(crate) trace: Trace,
    pub(crate) stats: Stats,
    pub(crate) chores: Chores,
    /// Sleeps of the poll under way that did not wait.
    pub(crate) sleepless: u32,
    /// Counts the times that everything was healed.
    pub(crate) round: u32,
    /// Nodes whose disks change places for a while only.
    pub(crate) disks_lent: Vec<NodeId>,
    /// `None` while they are being told.
    pub(crate) observers: Option<Vec<Observer>>,
    pub(crate) observed: bool,
    pub(crate) observations: VecDeque<Observation>,
}

/// The world and its lock.
pub(crate) struct Shared {
    world: Mutex<World>,
}

impl Shared {
    pub(crate) fn new(world: World) -> Self {
        Self { world: Mutex::new(world) }
    }

    /// A panic of ours under the lock fails the run; whoever looks at the world after that wants
    /// to know how far it came.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    pub(crate) fn new(seed: u64, config: MachineConfig) -> Self {
        Self {
            seed,
            now: 0,
            queue: Queue::new(seed),
            timers: Slab::default(),
            deferred: Slab::default(),
            nodes: Vec::new(),
            names: BTreeMap::new(),
            network: Network::new(seed),
            operations: Slab::default(),
            triggers: Triggers::default(),
            points: Points::new(seed),
            trace: Trace::new(),
            stats: Stats::default(),
            chores: Chores::default(),
            sleepless: 0,
            round: 0,
            disks_lent: Vec::new(),
            observers: Some(Vec::new()),
            observed: false,
            observations: VecDeque::new(),
            config: Arc::new(config),
        }
    }

    pub(crate) fn add_node(&mut self, name: &str, config: NodeConfig) -> NodeId {
        assert!(!name.is_empty() && !name.contains(':'), "{name:?} cannot be the host in an address");
        let id = NodeId(self.nodes.len() as u32);
        let name: Arc<str> = name.into();
        assert!(self.names.insert(name.clone(), id).is_none(), "two nodes are called {name}");
        // Keyed by the name: adding or removing another node changes nothing for this one.
        let mut lane = Lane::new(self.seed, &format!("node/{name}"), 0, 0);
        let clocks = &self.config.clock;
        let bound = u64::from(clocks.drift_ppm_max);
        let drawn = lane.below(2 * bound + 1) as i32 - bound as i32;
        let uptime = clocks.uptime_ns.draw(&mut lane);
        let error = lane.below(clocks.wall_error_ns.saturating_mul(2).saturating_add(1)) as i64;
        let wall = clocks.wall_ns + error - clocks.wall_error_ns as i64;
        let capacity = config.capacity_bytes.unwrap_or(self.config.disk.capacity_bytes);
        self.nodes.push(Node {
            disk: Disk::new(self.seed, &name, capacity),
            disk_of: id,
            name: name.clone(),
            config,
            epoch: 0,
            life: 0,
            up: false,
            powered: true,
            pauses: 0,
            sleeps: 0,
            clock: NodeClock::new(self.now, uptime, config.drift_ppm.unwrap_or(drawn), wall),
            held: Vec::new(),
            cpu_factor: 1,
            counts: Default::default(),
            polls: 0,
            boot: None,
            halted: None,
            lane,
        });
        let names: Vec<Arc<str>> = self.nodes.iter().map(|node| node.name.clone()).collect();
        self.network.add_host(&names, &self.config.network);
        if self.config.disk.checkpoint_every_ns > 0 {
            self.defer(self.config.disk.checkpoint_every_ns, Deferred::Checkpoint(id));
        }
        id
    }

    pub(crate) fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node.0 as usize]
    }

    pub(crate) fn node_mut(&mut self, node: NodeId) -> &mut Node {
        &mut self.nodes[node.0 as usize]
    }

    /// Does this handle belong to a process that lives?
    pub(crate) fn lives(&self, node: NodeId, epoch: u32) -> bool {
        self.node(node).epoch == epoch
    }

    pub(crate) fn defer(&mut self, wait: u64, what: Deferred) {
        let key = self.deferred.insert(what);
        self.queue.push(self.now.saturating_add(wait), Happening::Deferred(key));
    }

    /// Moves time to the next thing that happens, if that is not after `until`, and lets it happen.
    pub(crate) fn advance(&mut self, until: u64) -> bool {
        if self.queue.next_time().is_none_or(|time| time > until) {
            return false;
        }
        let Some((time, what)) = self.queue.pop() else { return false };
        assert!(time >= self.now, "time only grows");
        self.now = time;
        self.stats.happenings += 1;
        match what {
            Happening::Timer(key) => self.timer(key),
            Happening::Deliver { connection, side, arming } => self.deliver(connection, side, arming),
            Happening::Syn(connection) => self.syn(connection),
            Happening::SynAck { connection, refused } => self.syn_ack(connection, refused),
            Happening::ConnectTimeout(connection) => self.connect_timeout(connection),
            Happening::Reset { connection, side } => self.reset_arrives(connection, side),
            Happening::Credit { connection, side } => self.credit(connection, side),
            Happening::Silence { connection, side, suspicion } => self.silence(connection, side, suspicion),
            Happening::Disk(operation) => self.disk_done(operation),
            Happening::Deferred(key) => self.deferred_due(key),
        }
        true
    }

    fn timer(&mut self, key: Key) {
        let Some(timer) = self.timers.get(key) else { return self.queue.passed_stale() };
        let clock = &self.nodes[timer.node as usize].clock;
        if clock.local(self.now) < timer.deadline {
            // The clock slowed down since; the change set the timer anew.
            return;
        }
        let Some(Timer { node, waker, .. }) = self.timers.remove(key) else { return };
        self.trace
            .absorb(Tag::Timer, self.now, Some(NodeId(node)), [u64::from(key.index), 0], || TraceWhat::Timer);
        self.chores.wake(&mut Some(waker));
    }

    /// A node's clock changed its pace: its timers run out at other moments.
    pub(crate) fn reset_timers(&mut self, node: NodeId) {
        for (key, deadline) in timers_of(&self.timers, node.0) {
            if let Some(when) = self.node(node).clock.when(self.now, deadline) {
                self.queue.push(when, Happening::Timer(key));
            }
        }
    }

    pub(crate) fn deferred_due(&mut self, key: Key) {
        let Some(what) = self.deferred.remove(key) else { return };
        match what {
            Deferred::Restart { node, epoch } => {
                if self.lives(node, epoch) {
                    self.request_boot(node);
                }
            }
            Deferred::FaultOver { fault, round } => {
                if round == self.round {
                    self.fault_over(&fault);
                }
            }
            Deferred::Fire(trigger) => self.fire(trigger),
            Deferred::Checkpoint(node) => {
                self.node_mut(node).disk.checkpoint();
                self.defer(self.config.disk.checkpoint_every_ns, Deferred::Checkpoint(node));
            }
        }
    }

    /// The executor is to boot a node that is down.
    pub(crate) fn request_boot(&mut self, node: NodeId) {
        if !self.node(node).up && self.node(node).boot.is_some() {
            self.chores.boots.push(node);
            self.chores.pending = true;
        }
    }

    /// Starts a new life of a node; the executor then makes its first task.
    pub(crate) fn begin_life(&mut self, node: NodeId) -> u32 {
        let host = self.node_mut(node);
        assert!(!host.up, "{} is up already", host.name);
        host.up = true;
        host.powered = true;
        host.halted = None;
        host.life += 1;
        host.epoch += 1;
        let (epoch, life) = (host.epoch, host.life);
        self.tell(Some(node), MachineEvent::Booted { life });
        self.network_wakes(node);
        epoch
    }

    /// Ends a node's process: at once for everybody else, while its tasks are dropped as soon as
    /// the one that may be running now comes back.
    pub(crate) fn stop(&mut self, node: NodeId, how: Stop) {
        let power = how == Stop::Power;
        let was_up = self.node(node).up;
        let host = self.node_mut(node);
        host.up = false;
        host.epoch += 1;
        host.pauses = 0;
        host.sleeps = if power { 0 } else { host.sleeps };
        self.chores.purge = true;
        self.chores.pending = true;
        self.stop_operations(node);
        self.node_mut(node).powered &= !power;
        self.stop_sockets(node, power);
        let now = self.now;
        if power {
            let uptime = self.config.clock.uptime_ns;
            let host = self.node_mut(node);
            let uptime = uptime.draw(host.lane.at(now));
            host.clock.reboot(now, uptime);
            host.disk.crash(now);
        }
        if was_up {
            let event = match how {
                Stop::Power => MachineEvent::Crashed,
                Stop::Kill => MachineEvent::Killed,
                Stop::Halt(reason) => {
                    self.node_mut(node).halted = Some(reason.clone());
                    MachineEvent::Halted { reason }
                }
            };
            self.tell(Some(node), event);
        }
    }

    /// Tells the trace and the observers of something that became of a machine.
    pub(crate) fn tell(&mut self, node: Option<NodeId>, event: MachineEvent) {
        let details = [text_hash(format_args!("{event:?}")), 0];
        self.trace.absorb(Tag::Machine, self.now, node, details, || TraceWhat::Machine(format!("{event:?}")));
        self.observe(node, Seen::Machine(event));
    }

    /// A fault that waited for its occasion struck.
    pub(crate) fn struck(&mut self, node: NodeId, kind: &'static str, what: String) {
        self.stats.struck(kind);
        self.tell(Some(node), MachineEvent::Struck { kind, what });
    }

    pub(crate) fn note(&mut self, node: NodeId, event: Event) {
        self.trace.absorb(Tag::Noted, self.now, Some(node), event_details(&event), || {
            TraceWhat::Noted(event.clone())
        });
        self.observe(Some(node), Seen::Logic(event));
    }

    fn observe(&mut self, node: Option<NodeId>, seen: Seen) {
        if self.observed {
            self.observations.push_back(Observation { time: Instant::from_nanos(self.now), node, seen });
            self.chores.pending = true;
        }
    }

    /// Counts an operation of a node, which will take `takes`, and lets the triggers that waited for
    /// it fire. Gives those that are to fire when it is done; `None` if the node went with it.
    pub(crate) fn meet(
        &mut self,
        node: NodeId,
        kind: OperationKind,
        name: &str,
        takes: u64,
    ) -> Option<Vec<Trigger>> {
        self.node_mut(node).counts.count(kind);
        if self.triggers.is_empty() {
            return Some(Vec::new());
        }
        let epoch = self.node(node).epoch;
        let mut after = Vec::new();
        for trigger in self.triggers.meet(node, kind, name) {
            match trigger.moment {
                Moment::Before => self.fire(trigger),
                Moment::During => {
                    let now = self.now;
                    let wait = self.node_mut(node).lane.at(now).below(takes.max(1));
                    self.defer(wait, Deferred::Fire(trigger));
                }
                Moment::After => after.push(trigger),
            }
        }
        self.lives(node, epoch).then_some(after)
    }

    /// As [`World::meet`], for an operation with another node. It takes as long as its link.
    pub(crate) fn meet_peer(
        &mut self,
        node: NodeId,
        kind: OperationKind,
        peer: NodeId,
    ) -> Option<Vec<Trigger>> {
        if self.triggers.is_empty() {
            self.node_mut(node).counts.count(kind);
            return Some(Vec::new());
        }
        let name = self.node(peer).name.clone();
        let takes = self.network.link(node, peer).base_ns();
        self.meet(node, kind, &name, takes)
    }

    pub(crate) fn fire_all(&mut self, triggers: Vec<Trigger>) {
        triggers.into_iter().for_each(|trigger| self.fire(trigger));
    }

    fn fire(&mut self, trigger: Trigger) {
        self.tell(self.names.get(trigger.node.as_str()).copied(), MachineEvent::Triggered(trigger.clone()));
        for fault in &trigger.faults {
            self.inject(fault);
        }
    }

    pub(crate) fn buggify(&mut self, node: NodeId, point: &'static str) -> bool {
        let config = &self.config;
        let (point_ppm, fire_ppm) = (config.buggify_point_ppm, config.buggify_fire_ppm);
        point_ppm > 0 && self.points.fires(point, node, self.now, point_ppm, fire_ppm)
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats { points: self.points.counts(), ..self.stats.clone() }
    }

    pub(crate) fn take_stats(&mut self) -> Stats {
        let stats = self.stats();
        self.stats = Stats::default();
        self.points.forget_counts();
        stats
    }
}
