//! The executor: one thread, virtual time that jumps to the next thing that happens, and the
//! seed's dice to pick which of the ready tasks runs. It knows nodes only as owners of tasks.

use super::config::MachineConfig;
use super::control::Control;
use super::env::SimEnv;
use super::lane::Lane;
use super::node::{NodeConfig, NodeId};
use super::observe::{MachineEvent, Observer};
use super::slab::{Key, Slab};
use super::stats::Stats;
use super::task::{Ready, Task};
use super::trace::{Tag, TraceLine, TraceWhat};
use super::world::{Shared, Spawned, World};
use futures::FutureExt;
use mooseng_core::chance::Dice;
use mooseng_core::time::Instant;
use std::future::Future;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

/// Why a run came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunEnd {
    /// The moment it was to run until has come.
    Reached,
    /// The condition it was to run under no longer holds.
    Stopped,
}

/// A simulated world of nodes. Everything it can be asked while it runs is on [`Control`], which
/// it gives access to.
pub struct Sim {
    control: Control,
    tasks: Slab<Task>,
    ready: Arc<Ready>,
    /// Ready tasks of nodes that do not run now.
    parked: Vec<Key>,
    /// Empty between turns; kept for its room.
    wakes: Vec<Waker>,
    lane: Lane,
    polls_at_moment: u32,
    polls_per_moment_max: u32,
    polling: Option<(NodeId, &'static str)>,
}

impl Deref for Sim {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

impl Sim {
    pub fn new(seed: u64, config: MachineConfig) -> Self {
        Self::with_schedule(seed, 0, config)
    }

    /// All chance comes from `seed`, but for the order of tasks, which comes from `schedule` too.
    pub fn with_schedule(seed: u64, schedule: u64, config: MachineConfig) -> Self {
        let polls_per_moment_max = config.polls_per_moment_max;
        let shared = Arc::new(Shared::new(World::new(seed, config)));
        Self {
            control: Control { shared },
            tasks: Slab::default(),
            ready: Arc::default(),
            parked: Vec::new(),
            wakes: Vec::new(),
            lane: Lane::new(seed, "schedule", 0, schedule),
            polls_at_moment: 0,
            polls_per_moment_max,
            polling: None,
        }
    }

    /// For whoever wants to reach in from elsewhere, such as an observer.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Adds a host. Its name is also the host part of its addresses: `name:port`.
    pub fn add_node(&mut self, name: &str, config: NodeConfig) -> NodeId {
        self.shared.lock().add_node(name, config)
    }

    /// Starts a node's process and keeps `process` for its later lives.
    pub fn boot<F>(&mut self, node: NodeId, process: impl Fn(SimEnv) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.install(node, process);
        self.start(node);
    }

    /// Keeps `process` for when somebody starts the node.
    pub fn install<F>(&mut self, node: NodeId, process: impl Fn(SimEnv) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.shared.lock().node_mut(node).boot = Some(Arc::new(move |env| process(env).boxed()));
    }

    /// Starts a process whose tasks come from outside, through [`Sim::spawn`]: a driver of the run.
    pub fn boot_idle(&mut self, node: NodeId) {
        self.boot(node, |_| std::future::ready(()));
    }

    /// A handle on a node as its present process has it. It does nothing after that process ends.
    pub fn env(&self, node: NodeId) -> SimEnv {
        let epoch = self.shared.lock().node(node).epoch;
        SimEnv { shared: self.shared.clone(), node, epoch }
    }

    /// Adds a task to a node's present process.
    pub fn spawn(
        &mut self,
        node: NodeId,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let epoch = {
            let world = self.shared.lock();
            assert!(world.node(node).up, "{} is down: nothing runs there", world.node(node).name);
            world.node(node).epoch
        };
        self.take_in(Spawned { node, epoch, name, future: task.boxed() });
    }

    /// Runs a task on a node until it is done; `None` if the node died or `limit` passed first.
    pub fn run<T: Send + 'static>(
        &mut self,
        node: NodeId,
        limit: Duration,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let slot = Arc::new(Mutex::new(None));
        let result = slot.clone();
        let take = move || result.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.spawn(node, "run", async move {
            let done = task.await;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        });
        let mut found = None;
        let until = self.now() + limit;
        self.run_while(until, || {
            found = take();
            found.is_none()
        });
        found
    }

    /// Runs up to a moment of true time and leaves the clock there.
    pub fn run_until(&mut self, until: Instant) -> RunEnd {
        self.run_while(until, || true)
    }

    pub fn run_for(&mut self, wait: Duration) -> RunEnd {
        self.run_until(self.now() + wait)
    }

    /// As [`Sim::run_until`], but stops as soon as `holds` no longer does. It is asked before
    /// every turn.
    pub fn run_while(&mut self, until: Instant, mut holds: impl FnMut() -> bool) -> RunEnd {
        while holds() {
            if !self.turn(until.as_nanos()) {
                let mut world = self.shared.lock();
                world.now = world.now.max(until.as_nanos());
                return RunEnd::Reached;
            }
        }
        RunEnd::Stopped
    }

    /// Takes one step: a poll, or the next thing that happens. False if nothing is left to do
    /// before `until`.
    pub fn step(&mut self, until: Instant) -> bool {
        self.turn(until.as_nanos())
    }

    /// Tells `observer` of everything from now on.
    pub fn on_event(&mut self, observer: Observer) {
        let mut world = self.shared.lock();
        world.observed = true;
        match &mut world.observers {
            Some(observers) => observers.push(observer),
            None => unreachable!("observers do not hold the simulation"),
        }
    }

    /// Keeps a readable line of everything from now on.
    pub fn record(&mut self) {
        self.shared.lock().trace.record();
    }

    /// The lines since the last call.
    pub fn take_lines(&mut self) -> Vec<TraceLine> {
        self.shared.lock().trace.take_lines()
    }

    /// The node and the name of the task that is being polled: after a panic, whose it was.
    pub fn polling(&self) -> Option<(NodeId, &'static str)> {
        self.polling
    }

    /// The numbers since the last call.
    pub fn take_stats(&self) -> Stats {
        self.shared.lock().take_stats()
    }

    /// Starts a node that was installed and does not run.
    pub fn start(&mut self, node: NodeId) {
        let (epoch, process) = {
            let mut world = self.shared.lock();
            if world.node(node).up {
                return;
            }
            let Some(process) = world.node(node).boot.clone() else { return };
            (world.begin_life(node), process)
        };
        let env = SimEnv { shared: self.shared.clone(), node, epoch };
        let main = process(env.clone());
        let future = async move {
            main.await;
            env.finished();
        };
        self.take_in(Spawned { node, epoch, name: "main", future: future.boxed() });
    }

    fn take_in(&mut self, spawned: Spawned) {
        let Spawned { node, epoch, name, future } = spawned;
        let ready = &self.ready;
        self.tasks.insert_with(|key| Task::new(key, ready, node, epoch, name, future));
    }

    fn turn(&mut self, until: u64) -> bool {
        let mut guard = self.control.shared.lock();
        let world = &mut *guard;
        if world.chores.pending {
            drop(guard);
            self.chores();
            return true;
        }
        if !world.chores.wakes.is_empty() {
            std::mem::swap(&mut world.chores.wakes, &mut self.wakes);
            drop(guard);
            self.wakes.drain(..).for_each(Waker::wake);
            return true;
        }
        let mut ready = self.ready.lock();
        if !ready.is_empty() {
            let pick = if ready.len() == 1 { 0 } else { self.lane.at(world.now).below(ready.len() as u64) };
            let key = ready.swap_remove(pick as usize);
            drop(ready);
            let Some(task) = self.tasks.get(key) else { return true };
            if !world.node(task.node).runs() {
                self.parked.push(key);
                return true;
            }
            world.stats.polls += 1;
            world.node_mut(task.node).polls += 1;
            world.sleepless = 0;
            let details = [u64::from(key.index), u64::from(task.epoch)];
            let name = task.name;
            world
                .trace
                .absorb(Tag::Poll, world.now, Some(task.node), details, || TraceWhat::Poll { task: name });
            drop(guard);
            self.poll(key);
            return true;
        }
        drop(ready);
        let before = world.now;
        if !world.advance(until) {
            return false;
        }
        if world.now != before {
            self.polls_at_moment = 0;
        }
        std::mem::swap(&mut world.chores.wakes, &mut self.wakes);
        drop(guard);
        self.wakes.drain(..).for_each(Waker::wake);
        true
    }

    fn poll(&mut self, key: Key) {
        self.polls_at_moment += 1;
        if self.polls_at_moment > self.polls_per_moment_max {
            self.run_away(key);
        }
        let Some(task) = self.tasks.get_mut(key) else { return };
        self.polling = Some((task.node, task.name));
        task.state.taken();
        let done = task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready();
        self.polling = None;
        if done {
            // Dropped here, with no lock held.
            self.tasks.remove(key);
        }
    }

    /// Somebody spins: names everybody who is ready again and again.
    fn run_away(&self, next: Key) -> ! {
        let world = self.shared.lock();
        let mut names: Vec<String> = self
            .ready
            .lock()
            .iter()
            .chain([&next])
            .filter_map(|key| self.tasks.get(*key))
            .map(|task| format!("{}/{}", world.node(task.node).name, task.name))
            .collect();
        names.sort();
        names.dedup();
        let (polls, now) = (self.polls_at_moment, Instant::from_nanos(world.now));
        drop(world);
        panic!("{polls} polls at {now:?} and no end; ready are {}", names.join(", "))
    }

    /// Does what could not be done under the lock.
    fn chores(&mut self) {
        let mut chores = std::mem::take(&mut self.shared.lock().chores);
        chores.wakes.drain(..).for_each(Waker::wake);
        chores.retired.clear();
        chores.spawned.drain(..).for_each(|spawned| self.take_in(spawned));
        // After taking in: a process may have died with tasks that it had just spawned.
        if chores.purge {
            self.purge();
        }
        if chores.unpark {
            self.ready.lock().append(&mut self.parked);
        }
        for node in chores.boots {
            self.start(node);
        }
        self.control.shared.clone().announce();
    }

    /// Drops the tasks of processes that are gone.
    fn purge(&mut self) {
        let epochs: Vec<u32> = self.shared.lock().nodes.iter().map(|node| node.epoch).collect();
        let dead = |task: &Task| task.epoch != epochs[task.node.0 as usize];
        let keys: Vec<Key> = self.tasks.iter().filter(|(_, task)| dead(task)).map(|(key, _)| key).collect();
        for key in keys {
            drop(self.tasks.remove(key));
        }
    }
}

/// Tasks, processes and observers hold the world, and the world holds them: the knot is cut here.
impl Drop for Sim {
    fn drop(&mut self) {
        for key in self.tasks.keys() {
            drop(self.tasks.remove(key));
        }
        let mut world = self.shared.lock();
        let chores = std::mem::take(&mut world.chores);
        let observers = world.observers.take();
        let boots: Vec<_> = world.nodes.iter_mut().map(|node| node.boot.take()).collect();
        drop(world);
        drop((chores, observers, boots));
    }
}

impl Shared {
    /// Tells the observers what was seen, unless one of them is being told right now; then it will
    /// be told when that one is done.
    pub(crate) fn announce(self: Arc<Self>) {
        let control = Control { shared: self };
        loop {
            let mut world = control.shared.lock();
            let Some(observation) = world.observations.pop_front() else { return };
            let Some(mut observers) = world.observers.take() else {
                return world.observations.push_front(observation);
            };
            drop(world);
            observers.iter_mut().for_each(|observer| observer(&observation, &control));
            control.shared.lock().observers = Some(observers);
        }
    }
}

impl SimEnv {
    /// The first task of the process came to its end.
    fn finished(&self) {
        let mut world = self.shared.lock();
        if world.lives(self.node, self.epoch) {
            world.tell(Some(self.node), MachineEvent::Finished);
        }
    }
}
