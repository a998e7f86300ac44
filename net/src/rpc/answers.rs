//! The frames that one connection of a server has ready to send. The connection's task fills it and
//! empties it in turns, so nobody is ever woken by it.

use mooseng_core::env::Frame;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

pub(super) struct Answers<X> {
    /// Beyond this many nothing is read that would add to them.
    frames_max: usize,
    queue: Mutex<Queue<X>>,
}

struct Queue<X> {
    frames: VecDeque<Frame<X>>,
    /// One has been taken and not another since.
    sending: bool,
}

impl<X> Answers<X> {
    pub(super) fn new(frames_max: usize) -> Self {
        let queue = Queue { frames: VecDeque::new(), sending: false };
        Self { frames_max, queue: Mutex::new(queue) }
    }

    pub(super) fn push(&self, frame: Frame<X>) {
        self.lock().frames.push_back(frame);
    }

    pub(super) fn are_full(&self) -> bool {
        self.lock().frames.len() >= self.frames_max
    }

    /// Has everything been sent?
    pub(super) fn are_sent(&self) -> bool {
        let queue = self.lock();
        queue.frames.is_empty() && !queue.sending
    }

    /// The next frame, after the one before has been sent.
    pub(super) fn next(&self) -> impl Future<Output = Frame<X>> {
        poll_fn(|_| {
            let mut queue = self.lock();
            let frame = queue.frames.pop_front();
            queue.sending = frame.is_some();
            frame.map_or(Poll::Pending, Poll::Ready)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Queue<X>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
