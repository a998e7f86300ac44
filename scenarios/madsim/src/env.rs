//! madsim's side of the door: one cheap handle of a process that is its clock, disk and network at
//! once. A handle of a process that is gone does nothing, and its futures never end.

use crate::disk::Storage;
use crate::host::{HostState, Process};
use madsim::time::Sleep;
use mooseng_core::chance;
use mooseng_core::env::{Clock, Env};
use mooseng_core::event::Event;
use mooseng_core::time::{Instant, WallTime};
use rand_chacha::ChaCha8Rng;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

#[derive(Clone)]
pub struct MadEnv {
    process: Arc<Process>,
}

impl MadEnv {
    pub(crate) fn new(process: Arc<Process>) -> Self {
        Self { process }
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) fn host(&self) -> &HostState {
        self.process.host()
    }

    pub(crate) fn storage(&self) -> &Storage {
        self.host().storage()
    }

    /// Runs on while the process does, and never again once it is gone.
    pub(crate) async fn while_alive(&self) {
        if !self.process.is_alive() {
            pending::<()>().await;
        }
    }
}

impl Env for MadEnv {
    type Clock = MadEnv;
    type Disk = MadEnv;
    type Net = MadEnv;

    fn clock(&self) -> &MadEnv {
        self
    }

    fn disk(&self) -> &MadEnv {
        self
    }

    fn net(&self) -> &MadEnv {
        self
    }

    /// Each life of a process has streams of its own, as in production.
    fn rng(&self, purpose: &'static str, key: u64) -> ChaCha8Rng {
        let host = self.host();
        let seed = chance::once(host.common().seed(), "life", host.number(), self.process.life());
        chance::stream(seed, purpose, host.number(), key)
    }

    fn spawn(&self, _name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        if self.process.is_alive() {
            self.process.node().spawn(task);
        }
    }

    async fn compute<T: Send + 'static>(&self, _bytes: usize, job: impl FnOnce() -> T + Send + 'static) -> T {
        self.while_alive().await;
        job()
    }

    fn buggify(&self, _point: &'static str) -> bool {
        false
    }

    fn note(&self, event: Event) {
        if self.process.is_alive() {
            self.host().note(event);
        }
    }

    fn halt(&self, reason: String) {
        self.process.halt(reason);
    }
}

impl Clock for MadEnv {
    fn now(&self) -> Instant {
        self.host().pace().local(self.host().common().elapsed())
    }

    fn wall(&self) -> WallTime {
        let host = self.host();
        host.pace().wall(host.common().elapsed())
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send {
        Nap { env: self, deadline, sleep: None }
    }
}

/// A sleep that takes no place among madsim's timers twice for the same waker.
struct Nap<'a> {
    env: &'a MadEnv,
    deadline: Instant,
    sleep: Option<(Sleep, Waker)>,
}

impl Future for Nap<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !self.env.process.is_alive() {
            return Poll::Pending;
        }
        if self.env.now() >= self.deadline {
            return Poll::Ready(());
        }
        if let Some((sleep, waker)) = &self.sleep
            && !sleep.is_elapsed()
            && waker.will_wake(context.waker())
        {
            return Poll::Pending;
        }
        let host = self.env.host();
        // A deadline that this clock never shows is never woken for.
        let Some(when) = host.pace().when(self.deadline) else { return Poll::Pending };
        let mut sleep = host.common().sleep_until(when);
        let polled = Pin::new(&mut sleep).poll(context);
        assert!(polled.is_pending(), "madsim sleeps for a millisecond at least");
        self.sleep = Some((sleep, context.waker().clone()));
        Poll::Pending
    }
}
