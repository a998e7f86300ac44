//! The queue into a group's task: many put in, one takes out. Requests and messages are counted
//! apart, each with a limit, so that a flood of one does not drown the other; what the task's own
//! helpers report is never refused, because the task asked for it.

use futures::task::AtomicWaker;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// Of clients and operators: refused when there are too many.
    Request,
    /// That sessions live: there are few, and they get through whatever else is asked.
    KeepAlive,
    /// Of other replicas: lost when there are too many.
    Message,
    /// Of the group's own helpers.
    Report,
}

/// The lane was full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

pub struct Inbox<T> {
    queue: Mutex<Queue<T>>,
    waker: AtomicWaker,
    requests_max: usize,
    messages_max: usize,
}

struct Queue<T> {
    items: VecDeque<(Lane, T)>,
    requests: usize,
    keep_alives: usize,
    messages: usize,
}

impl<T> Inbox<T> {
    pub fn new(requests_max: usize, messages_max: usize) -> Self {
        let queue = Queue { items: VecDeque::new(), requests: 0, keep_alives: 0, messages: 0 };
        Self { queue: Mutex::new(queue), waker: AtomicWaker::new(), requests_max, messages_max }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn put(&self, lane: Lane, item: T) -> Result<(), Full> {
        let mut queue = self.lock();
        let (count, count_max) = match lane {
            Lane::Request => (&mut queue.requests, self.requests_max),
            Lane::KeepAlive => (&mut queue.keep_alives, self.requests_max),
            Lane::Message => (&mut queue.messages, self.messages_max),
            Lane::Report => (&mut 0, usize::MAX),
        };
        if *count >= count_max {
            return Err(Full);
        }
        *count += 1;
        let first = queue.items.is_empty();
        queue.items.push_back((lane, item));
        drop(queue);
        if first {
            self.waker.wake();
        }
        Ok(())
    }

    /// How many requests and how many messages wait.
    pub fn waiting(&self) -> (usize, usize) {
        let queue = self.lock();
        (queue.requests, queue.messages)
    }

    pub fn take(&self) -> Option<T> {
        let mut queue = self.lock();
        let (lane, item) = queue.items.pop_front()?;
        match lane {
            Lane::Request => queue.requests -= 1,
            Lane::KeepAlive => queue.keep_alives -= 1,
            Lane::Message => queue.messages -= 1,
            Lane::Report => {}
        }
        Some(item)
    }

    /// Is there something to take? If not, the task is woken when there is.
    pub fn poll(&self, context: &Context<'_>) -> Poll<()> {
        self.waker.register(context.waker());
        if self.lock().items.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_limited_apart_and_keep_their_order() {
        let inbox = Inbox::new(1, 2);
        assert_eq!(inbox.put(Lane::Request, 1), Ok(()));
        assert_eq!(inbox.put(Lane::Request, 2), Err(Full));
        assert_eq!(inbox.put(Lane::KeepAlive, 0), Ok(()));
        assert_eq!(inbox.put(Lane::KeepAlive, 0), Err(Full));
        assert_eq!(inbox.put(Lane::Message, 3), Ok(()));
        assert_eq!(inbox.put(Lane::Message, 4), Ok(()));
        assert_eq!(inbox.put(Lane::Message, 5), Err(Full));
        assert_eq!(inbox.put(Lane::Report, 6), Ok(()));
        assert_eq!(inbox.take(), Some(1));
        assert_eq!(inbox.put(Lane::Request, 7), Ok(()));
        let rest: Vec<i32> = std::iter::from_fn(|| inbox.take()).collect();
        assert_eq!(rest, [0, 3, 4, 6, 7]);
    }

    #[test]
    fn whoever_waits_is_woken_by_the_first() {
        let inbox = Inbox::new(9, 9);
        let (waker, woken) = futures_test_waker();
        let context = Context::from_waker(&waker);
        assert_eq!(inbox.poll(&context), Poll::Pending);
        inbox.put(Lane::Request, 1).unwrap();
        assert!(woken.load(std::sync::atomic::Ordering::Relaxed));
        assert_eq!(inbox.poll(&context), Poll::Ready(()));
    }

    fn futures_test_waker() -> (std::task::Waker, std::sync::Arc<std::sync::atomic::AtomicBool>) {
        struct Flag(std::sync::Arc<std::sync::atomic::AtomicBool>);
        impl std::task::Wake for Flag {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let woken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        (std::sync::Arc::new(Flag(woken.clone())).into(), woken)
    }
}
