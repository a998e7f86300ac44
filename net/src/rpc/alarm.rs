//! A timer that is armed for the earliest thing due and, where that goes away, rings for nothing
//! rather than being set anew: what is due changes with every call, timers cost more than a look.

use mooseng_core::time::Instant;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

pub(super) struct Alarm<F> {
    armed_for: Instant,
    sleep: Option<Pin<Box<F>>>,
}

impl<F: Future<Output = ()>> Alarm<F> {
    pub(super) fn new() -> Self {
        Self { armed_for: Instant::MAX, sleep: None }
    }

    /// Is it time to look at what is due? If not, the task is woken at `due` at the latest.
    pub(super) fn rings(
        &mut self,
        due: Instant,
        sleep_until: impl FnOnce(Instant) -> F,
        context: &mut Context<'_>,
    ) -> bool {
        if due < self.armed_for {
            self.sleep = Some(Box::pin(sleep_until(due)));
            self.armed_for = due;
        }
        match self.sleep.as_mut().map(|sleep| sleep.as_mut().poll(context)) {
            Some(Poll::Ready(())) => {
                self.sleep = None;
                self.armed_for = Instant::MAX;
                true
            }
            Some(Poll::Pending) | None => false,
        }
    }
}
