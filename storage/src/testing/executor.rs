//! Runs tasks one after the other, picked by dice, and lets time jump when none is ready.

use super::disk::Images;
use super::{Faults, Machine};
use mooseng_core::chance::{self, Dice};
use mooseng_core::event::Event;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Polls after which a run is called endless.
const POLLS_MAX: u64 = 2_000_000;

pub(super) struct World {
    pub(super) images: Images,
    pub(super) dice: ChaCha8Rng,
    pub(super) faults: Faults,
    pub(super) now: u64,
    pub(super) spawned: Vec<Task>,
    pub(super) halted: Option<String>,
    pub(super) notes: Vec<Event>,
    pub(super) operations: u64,
    pub(super) syncs: u64,
    crashed: bool,
    alarms: BTreeMap<(u64, u64), Waker>,
    alarms_set: u64,
}

/// What becomes of a disk operation.
pub(super) enum Verdict {
    Go,
    Fail,
    /// The power is gone.
    Never,
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End<T> {
    Done(T),
    Crashed,
    Halted(String),
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            images: Images::default(),
            dice: chance::stream(seed, "test machine", 0, 0),
            faults: Faults::default(),
            now: 0,
            spawned: Vec::new(),
            halted: None,
            notes: Vec::new(),
            operations: 0,
            syncs: 0,
            crashed: false,
            alarms: BTreeMap::new(),
            alarms_set: 0,
        }
    }

    pub(super) fn delay(&mut self) -> u64 {
        self.dice.between(1_000, 100_000)
    }

    pub(super) fn operation(&mut self, sync: bool) -> Verdict {
        let number = self.operations;
        self.operations += 1;
        let syncs = self.syncs;
        self.syncs += u64::from(sync);
        if self.crashed || self.faults.crash_at == Some(number) {
            self.crashed = true;
            return Verdict::Never;
        }
        if sync && self.faults.fail_sync_at == Some(syncs) { Verdict::Fail } else { Verdict::Go }
    }
}

pub(super) async fn sleep(machine: &Machine, wait: u64) {
    let deadline = machine.world().now + wait;
    sleep_until(machine.clone(), deadline).await;
}

pub(super) async fn sleep_until(machine: Machine, deadline: u64) {
    let mut alarm = Alarm { machine, deadline, set: 0 };
    poll_fn(|context| alarm.poll(context)).await;
}

/// One alarm, however often it is asked.
struct Alarm {
    machine: Machine,
    deadline: u64,
    /// Its number; 0 before it is set.
    set: u64,
}

impl Alarm {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut world = self.machine.world();
        if world.now >= self.deadline {
            return Poll::Ready(());
        }
        if self.set == 0 {
            world.alarms_set += 1;
            self.set = world.alarms_set;
        }
        world.alarms.insert((self.deadline, self.set), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.machine.world().alarms.remove(&(self.deadline, self.set));
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(super) fn run<T: Send + 'static>(
    machine: &Machine,
    faults: Faults,
    main: impl Future<Output = T> + Send + 'static,
) -> End<T> {
    let left = {
        let mut world = machine.world();
        let World { faults: current, operations, syncs, crashed, halted, spawned, alarms, .. } = &mut *world;
        (*current, *operations, *syncs, *crashed, *halted) = (faults, 0, 0, false, None);
        alarms.clear();
        std::mem::take(spawned)
    };
    drop(left);
    let result = Arc::new(Mutex::new(None));
    let sink = result.clone();
    let main: Task = Box::pin(async move {
        let value = main.await;
        *sink.lock().unwrap() = Some(value);
    });
    let mut tasks: Vec<Option<(Task, Arc<Flag>)>> = Vec::new();
    machine.world().spawned.push(main);
    for _ in 0..POLLS_MAX {
        for task in std::mem::take(&mut machine.world().spawned) {
            tasks.push(Some((task, Arc::new(Flag(AtomicBool::new(true))))));
        }
        if let Some(ready) = pick(machine, &tasks) {
            poll(&mut tasks[ready]);
        } else {
            wake_next(machine);
        }
        // Destructors of dropped tasks may reach for the world, so its lock is not held meanwhile.
        let (crashed, halted) = {
            let world = machine.world();
            (world.crashed, world.halted.clone())
        };
        if let Some(value) = result.lock().unwrap().take() {
            return End::Done(value);
        }
        if crashed {
            return End::Crashed;
        }
        if let Some(why) = halted {
            return End::Halted(why);
        }
    }
    panic!("the run does not end");
}

fn pick(machine: &Machine, tasks: &[Option<(Task, Arc<Flag>)>]) -> Option<usize> {
    let ready: Vec<usize> = (0..tasks.len())
        .filter(|index| tasks[*index].as_ref().is_some_and(|(_, flag)| flag.0.load(Ordering::Relaxed)))
        .collect();
    (!ready.is_empty()).then(|| *machine.world().dice.pick(&ready))
}

fn poll(slot: &mut Option<(Task, Arc<Flag>)>) {
    let (task, flag) = slot.as_mut().unwrap();
    flag.0.store(false, Ordering::Relaxed);
    let waker = Waker::from(flag.clone());
    if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
        *slot = None;
    }
}

fn wake_next(machine: &Machine) {
    let mut world = machine.world();
    let ((deadline, _), waker) = world.alarms.pop_first().expect("every task waits for ever");
    world.now = world.now.max(deadline);
    drop(world);
    waker.wake();
}
