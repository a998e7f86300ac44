//! A tiny machine for this crate's own tests: one thread, virtual time, and a disk that can lose
//! everything nobody synced. Small enough to be obviously right; the real simulator knows far more
//! ways to fail.

mod disk;
mod executor;
mod hex;
mod net;

pub(crate) use executor::End;
pub(crate) use hex::hex;

use disk::Images;
use executor::World;
use mooseng_core::chance::{self, Dice};
use mooseng_core::env::{Clock, DiskError, Env};
use mooseng_core::event::Event;
use mooseng_core::time::{Instant, WallTime};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

/// A node: its disk outlives every run on it.
#[derive(Clone)]
pub(crate) struct Machine {
    seed: u64,
    world: Arc<Mutex<World>>,
}

/// How a run shall end before its time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// The power goes at this disk operation, counted from 0.
    pub(crate) crash_at: Option<u64>,
    /// This sync fails, counted from 0.
    pub(crate) fail_sync_at: Option<u64>,
    /// How often a buggify point fires, in millionths.
    pub(crate) buggify: u32,
}

impl Machine {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, world: Arc::new(Mutex::new(World::new(seed))) }
    }

    /// The same disk, under a machine of its own: what happens to one does not happen to the other.
    pub(crate) fn copy(&self, seed: u64) -> Self {
        let machine = Self::new(seed);
        machine.world().images = self.world().images.clone();
        machine
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Runs `main` and what it spawns until it is done, or a fault ends it.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        faults: Faults,
        main: impl Future<Output = T> + Send + 'static,
    ) -> End<T> {
        executor::run(self, faults, main)
    }

    /// As `run`, with no faults; panics unless it ends well.
    pub(crate) fn finish<T: Send + 'static>(&self, main: impl Future<Output = T> + Send + 'static) -> T {
        match self.run(Faults::default(), main) {
            End::Done(value) => value,
            End::Crashed => panic!("no crash was asked for"),
            End::Halted(why) => panic!("the server stopped: {why}"),
        }
    }

    /// The power goes: of everything that was not synced any part may stay.
    pub(crate) fn lose_power(&self) {
        let mut world = self.world();
        let World { images, dice, .. } = &mut *world;
        images.lose_power(dice);
    }

    /// How many disk operations and syncs the last run did.
    pub(crate) fn operations(&self) -> (u64, u64) {
        let world = self.world();
        (world.operations, world.syncs)
    }

    pub(crate) fn notes(&self) -> Vec<Event> {
        self.world().notes.clone()
    }

    /// Lets a test look at the files, or change them behind everybody's back.
    pub(crate) fn with_images<T>(&self, look: impl FnOnce(&mut Images) -> T) -> T {
        look(&mut self.world().images)
    }

    /// Waits until the machine lets the next disk operation happen, a moment later.
    async fn operate(&self, sync: bool) -> Result<(), DiskError> {
        let wait = self.world().delay();
        executor::sleep(self, wait).await;
        let verdict = self.world().operation(sync);
        match verdict {
            executor::Verdict::Go => Ok(()),
            executor::Verdict::Fail => {
                Err(DiskError::Io { path: "test".to_owned(), what: "the disk failed".to_owned() })
            }
            executor::Verdict::Never => poll_fn(|_| Poll::Pending).await,
        }
    }
}

impl Env for Machine {
    type Clock = Self;
    type Disk = Self;
    type Net = net::NoNet;

    fn clock(&self) -> &Self {
        self
    }

    fn disk(&self) -> &Self {
        self
    }

    fn net(&self) -> &net::NoNet {
        &net::NoNet
    }

    fn rng(&self, purpose: &'static str, key: u64) -> ChaCha8Rng {
        chance::stream(self.seed, purpose, 0, key)
    }

    fn spawn(&self, _name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.world().spawned.push(Box::pin(task));
    }

    async fn compute<T: Send + 'static>(&self, _bytes: usize, job: impl FnOnce() -> T + Send + 'static) -> T {
        job()
    }

    fn buggify(&self, _point: &'static str) -> bool {
        let mut world = self.world();
        let millionths = world.faults.buggify;
        millionths > 0 && world.dice.chance(millionths)
    }

    fn note(&self, event: Event) {
        self.world().notes.push(event);
    }

    fn halt(&self, reason: String) {
        self.world().halted = Some(reason);
    }
}

impl Clock for Machine {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.world().now)
    }

    fn wall(&self) -> WallTime {
        WallTime(0)
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send {
        executor::sleep_until(self.clone(), deadline.as_nanos())
    }
}

/// The names and bytes of all files, for a test to compare.
pub(crate) type Dump = BTreeMap<String, Vec<u8>>;
