//! A world for tests: one thread, virtual time that jumps to the next timer, a network within the
//! process whose connections can be stalled, silenced and broken. Tasks run in the order in which
//! they were woken: whoever wants to see other orders wants the simulator.

mod network;
mod nowhere;

pub(crate) use network::TestNet;

use futures::task::{ArcWake, waker_ref};
use mooseng_core::chance;
use mooseng_core::env::{Clock, Env};
use mooseng_core::event::Event;
use mooseng_core::time::{Instant, WallTime};
use nowhere::Nowhere;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

#[derive(Clone)]
pub(crate) struct TestEnv {
    inner: Arc<Inner>,
}

struct Inner {
    clock: TestClock,
    net: TestNet,
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    now: u64,
    tasks: BTreeMap<u64, Pin<Box<dyn Future<Output = ()> + Send>>>,
    task_next: u64,
    timers: BTreeMap<(u64, u64), Waker>,
    timer_next: u64,
    notes: Vec<String>,
    buggified: BTreeSet<&'static str>,
}

/// Task 0 is the test itself.
type Ready = Arc<Mutex<VecDeque<u64>>>;

struct Wake {
    task: u64,
    ready: Ready,
}

impl ArcWake for Wake {
    fn wake_by_ref(wake: &Arc<Self>) {
        let mut ready = wake.ready.lock().unwrap();
        if !ready.contains(&wake.task) {
            ready.push_back(wake.task);
        }
    }
}

impl TestEnv {
    pub(crate) fn new() -> Self {
        let world = Arc::new(Mutex::new(World { task_next: 1, ..World::default() }));
        let clock = TestClock { world: world.clone() };
        Self { inner: Arc::new(Inner { clock, net: TestNet::default(), world }) }
    }

    /// Runs the test until it is done. What was spawned is dropped with the last handle.
    pub(crate) fn run<T>(&self, test: impl Future<Output = T>) -> T {
        let ready: Ready = Arc::new(Mutex::new(VecDeque::from([0])));
        let mut test = pin!(test);
        let mut known = BTreeSet::new();
        loop {
            // What was spawned since the last look is ready.
            let spawned: Vec<u64> =
                self.world().tasks.keys().filter(|task| known.insert(**task)).copied().collect();
            ready.lock().unwrap().extend(spawned);
            let next = ready.lock().unwrap().pop_front();
            let Some(task) = next else {
                self.jump();
                continue;
            };
            let wake = Arc::new(Wake { task, ready: ready.clone() });
            let waker = waker_ref(&wake);
            let mut context = Context::from_waker(&waker);
            if task == 0 {
                if let Poll::Ready(done) = test.as_mut().poll(&mut context) {
                    return done;
                }
                continue;
            }
            let Some(mut running) = self.world().tasks.remove(&task) else { continue };
            if running.as_mut().poll(&mut context).is_pending() {
                self.world().tasks.insert(task, running);
            }
        }
    }

    /// Time jumps to the next timer.
    fn jump(&self) {
        let waker = {
            let mut world = self.world();
            let Some(((at, _), waker)) = world.timers.pop_first() else {
                panic!("everybody waits and nobody will ever be woken");
            };
            world.now = world.now.max(at);
            waker
        };
        waker.wake();
    }

    pub(crate) fn network(&self) -> &TestNet {
        &self.inner.net
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        self.world().notes.clone()
    }

    pub(crate) fn buggify_at(&self, point: &'static str) {
        self.world().buggified.insert(point);
    }

    pub(crate) fn tasks(&self) -> usize {
        self.world().tasks.len()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.inner.world.lock().unwrap()
    }
}

impl Env for TestEnv {
    type Clock = TestClock;
    type Disk = Nowhere;
    type Net = TestNet;

    fn clock(&self) -> &TestClock {
        &self.inner.clock
    }

    fn disk(&self) -> &Nowhere {
        &Nowhere
    }

    fn net(&self) -> &TestNet {
        &self.inner.net
    }

    fn rng(&self, purpose: &'static str, key: u64) -> ChaCha8Rng {
        chance::stream(0, purpose, 0, key)
    }

    fn spawn(&self, _name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let mut world = self.world();
        let number = world.task_next;
        world.task_next += 1;
        world.tasks.insert(number, Box::pin(task));
    }

    async fn compute<T: Send + 'static>(&self, _bytes: usize, job: impl FnOnce() -> T + Send + 'static) -> T {
        job()
    }

    fn buggify(&self, point: &'static str) -> bool {
        self.world().buggified.contains(point)
    }

    fn note(&self, event: Event) {
        if let Event::Note(line) = event {
            self.world().notes.push(line);
        }
    }

    fn halt(&self, reason: String) {
        panic!("halted: {reason}");
    }
}

pub(crate) struct TestClock {
    world: Arc<Mutex<World>>,
}

impl Clock for TestClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.world.lock().unwrap().now)
    }

    fn wall(&self) -> WallTime {
        WallTime(0)
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send {
        Sleep { world: self.world.clone(), deadline: deadline.as_nanos(), timer: None }
    }
}

struct Sleep {
    world: Arc<Mutex<World>>,
    deadline: u64,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = self.world.clone();
        let mut world = shared.lock().unwrap();
        if world.now >= self.deadline {
            return Poll::Ready(());
        }
        let timer = *self.timer.get_or_insert_with(|| {
            world.timer_next += 1;
            world.timer_next
        });
        world.timers.insert((self.deadline, timer), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.world.lock().unwrap().timers.remove(&(self.deadline, timer));
        }
    }
}
