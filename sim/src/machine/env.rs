//! The simulated machine's side of the door: one cheap handle that is a node's clock, disk and
//! network at once. A handle of a process that is gone does nothing, and its futures never end.

use super::clock::Timer;
use super::node::{NodeId, Stop};
use super::queue::Happening;
use super::slab::Key;
use super::world::{Shared, Spawned};
use futures::FutureExt;
use mooseng_core::chance;
use mooseng_core::env::{Clock, Env};
use mooseng_core::event::Event;
use mooseng_core::time::{Instant, WallTime};
use rand_chacha::ChaCha8Rng;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

#[derive(Clone)]
pub struct SimEnv {
    pub(crate) shared: Arc<Shared>,
    pub(crate) node: NodeId,
    pub(crate) epoch: u32,
}

impl SimEnv {
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The node's name: the host part of its addresses.
    pub fn name(&self) -> Arc<str> {
        self.shared.lock().node(self.node).name.clone()
    }

    /// The version of messages this node is to speak.
    pub fn wire_version(&self) -> u32 {
        self.shared.lock().node(self.node).config.wire_version
    }

    /// True time: for drivers and oracles only, no node can know it.
    pub fn true_time(&self) -> Instant {
        Instant::from_nanos(self.shared.lock().now)
    }
}

impl Env for SimEnv {
    type Clock = SimEnv;
    type Disk = SimEnv;
    type Net = SimEnv;

    fn clock(&self) -> &SimEnv {
        self
    }

    fn disk(&self) -> &SimEnv {
        self
    }

    fn net(&self) -> &SimEnv {
        self
    }

    fn rng(&self, purpose: &'static str, key: u64) -> ChaCha8Rng {
        // Each life of a process has dice of its own, as a process that starts anew has elsewhere.
        let (seed, life) = {
            let world = self.shared.lock();
            (world.seed, world.node(self.node).life)
        };
        chance::stream(seed, purpose, u64::from(life) << 32 | u64::from(self.node.0), key)
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let future = task.boxed();
        let mut world = self.shared.lock();
        if !world.lives(self.node, self.epoch) {
            drop(world);
            drop(future);
            return;
        }
        world.stats.tasks_spawned += 1;
        world.chores.spawned.push(Spawned { node: self.node, epoch: self.epoch, name, future });
        world.chores.pending = true;
    }

    async fn compute<T: Send + 'static>(&self, bytes: usize, job: impl FnOnce() -> T + Send + 'static) -> T {
        let deadline = {
            let world = self.shared.lock();
            let config = &world.config;
            let cost = config.compute_ns + (bytes as u64).div_ceil(1024) * config.compute_kib_ns;
            let node = world.node(self.node);
            let cost = cost.saturating_mul(u64::from(node.cpu_factor));
            Instant::from_nanos(node.clock.local(world.now).saturating_add(cost))
        };
        self.sleep_until(deadline).await;
        job()
    }

    fn buggify(&self, point: &'static str) -> bool {
        self.shared.lock().buggify(self.node, point)
    }

    fn note(&self, event: Event) {
        let mut world = self.shared.lock();
        if !world.lives(self.node, self.epoch) {
            return;
        }
        world.note(self.node, event);
        if world.observed {
            drop(world);
            self.shared.clone().announce();
        }
    }

    fn halt(&self, reason: String) {
        let mut world = self.shared.lock();
        if world.lives(self.node, self.epoch) {
            world.stop(self.node, Stop::Halt(reason));
        }
    }
}

impl Clock for SimEnv {
    fn now(&self) -> Instant {
        let world = self.shared.lock();
        Instant::from_nanos(world.node(self.node).clock.local(world.now))
    }

    fn wall(&self) -> WallTime {
        let world = self.shared.lock();
        WallTime(world.node(self.node).clock.wall(world.now))
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send {
        Sleep { env: self, deadline: deadline.as_nanos(), timer: None }
    }
}

struct Sleep<'a> {
    env: &'a SimEnv,
    deadline: u64,
    timer: Option<Key>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let env = self.env;
        let mut guard = env.shared.lock();
        let world = &mut *guard;
        if !world.lives(env.node, env.epoch) {
            return Poll::Pending;
        }
        let clock = &world.nodes[env.node.0 as usize].clock;
        if clock.local(world.now) >= self.deadline {
            // A loop of sleeps that do not wait never gives its thread back.
            world.sleepless += 1;
            assert!(
                world.sleepless < world.config.polls_per_moment_max,
                "a task sleeps on and on without waiting"
            );
            return Poll::Ready(());
        }
        let set = match self.timer {
            Some(key) => world.timers.get_mut(key),
            None => None,
        };
        if let Some(timer) = set {
            if !timer.waker.will_wake(context.waker()) {
                let old = std::mem::replace(&mut timer.waker, context.waker().clone());
                world.chores.retire(old);
            }
            return Poll::Pending;
        }
        let when = clock.when(world.now, self.deadline);
        let timer = Timer { node: env.node.0, deadline: self.deadline, waker: context.waker().clone() };
        let key = world.timers.insert(timer);
        if let Some(when) = when {
            world.queue.push(when, Happening::Timer(key));
        }
        drop(guard);
        self.timer = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        let Some(key) = self.timer else { return };
        let mut guard = self.env.shared.lock();
        let world = &mut *guard;
        let timer = world.timers.remove(key);
        if timer.is_some() {
            let timers = &world.timers;
            world.queue.cancelled(|key| timers.get(key).is_some());
        }
        drop(guard);
        drop(timer);
    }
}
