//! Tasks and their wakers. A waker knows its task only by key, so the waker of a task that is gone
//! does nothing.

use super::node::NodeId;
use super::slab::Key;
use futures::future::BoxFuture;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The tasks that are to be polled.
#[derive(Default)]
pub(crate) struct Ready(Mutex<Vec<Key>>);

impl Ready {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Key>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct TaskWaker {
    key: Key,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl TaskWaker {
    /// The task is about to be polled: what wakes it from now on queues it again.
    pub(crate) fn taken(&self) {
        self.queued.store(false, Ordering::Relaxed);
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.lock().push(self.key);
        }
    }
}

pub(crate) struct Task {
    pub(crate) node: NodeId,
    pub(crate) epoch: u32,
    pub(crate) name: &'static str,
    pub(crate) future: BoxFuture<'static, ()>,
    pub(crate) state: Arc<TaskWaker>,
    pub(crate) waker: Waker,
}

impl Task {
    /// A task that is queued from the start.
    pub(crate) fn new(
        key: Key,
        ready: &Arc<Ready>,
        node: NodeId,
        epoch: u32,
        name: &'static str,
        future: BoxFuture<'static, ()>,
    ) -> Self {
        let state = Arc::new(TaskWaker { key, queued: AtomicBool::new(true), ready: ready.clone() });
        ready.lock().push(key);
        let waker = Waker::from(state.clone());
        Self { node, epoch, name, future, state, waker }
    }
}
