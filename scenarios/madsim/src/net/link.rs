//! What the ends of a connection share: how much is under way in a direction, and, at each end,
//! whether the connection is over. madsim's channels are boundless and do not say.

use bytes::Bytes;
use futures::FutureExt;
use futures::task::AtomicWaker;
use madsim::net::Sender;
use mooseng_core::env::NetError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// Bytes that may be under way in one direction before its sender has to wait.
const WINDOW_BYTES: usize = 1 << 20;

/// What travels through a channel once a connection stands.
pub(super) enum Segment {
    Bytes(Bytes),
    /// The sender has given up in the middle of something.
    Reset,
}

/// One direction, seen from both ends. That news of it crosses the network in no time is a
/// simplification.
#[derive(Default)]
pub(super) struct Window {
    under_way: AtomicUsize,
    nobody_reads: AtomicBool,
    sender: AtomicWaker,
}

impl Window {
    pub(super) fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        self.sender.register(context.waker());
        let full = self.under_way.load(Ordering::Relaxed) >= WINDOW_BYTES;
        if full && !self.nobody_reads.load(Ordering::Relaxed) { Poll::Pending } else { Poll::Ready(()) }
    }

    pub(super) fn put(&self, bytes: usize) {
        self.under_way.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn take(&self, bytes: usize) {
        let before = self.under_way.fetch_sub(bytes, Ordering::Relaxed);
        assert!(before >= bytes, "more arrives than was sent");
        self.sender.wake();
    }

    pub(super) fn close(&self) {
        self.nobody_reads.store(true, Ordering::Relaxed);
        self.sender.wake();
    }
}

/// One end of a connection: its two halves fail together.
pub(super) struct End {
    state: Mutex<State>,
    receiver: AtomicWaker,
    sender: AtomicWaker,
}

struct State {
    /// Taken when nothing more will be sent: dropping it tells the far end so.
    channel: Option<Sender>,
    failed: Option<String>,
}

impl End {
    pub(super) fn new(channel: Sender) -> Arc<Self> {
        let state = Mutex::new(State { channel: Some(channel), failed: None });
        Arc::new(Self { state, receiver: AtomicWaker::new(), sender: AtomicWaker::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends both directions; the first reason stands.
    pub(super) fn fail(&self, what: &str) {
        let mut state = self.state();
        if let Some(channel) = state.channel.take() {
            let _ = channel.send(Box::new(Segment::Reset)).now_or_never();
        }
        state.failed.get_or_insert_with(|| what.to_owned());
        drop(state);
        self.receiver.wake();
        self.sender.wake();
    }

    /// Ends the sending direction in good order.
    pub(super) fn finish(&self) {
        self.state().channel = None;
    }

    pub(super) fn check(&self) -> Result<(), NetError> {
        match &self.state().failed {
            None => Ok(()),
            Some(what) => Err(NetError::Closed { what: what.clone() }),
        }
    }

    pub(super) fn watch_as_receiver(&self, context: &Context<'_>) {
        self.receiver.register(context.waker());
    }

    pub(super) fn watch_as_sender(&self, context: &Context<'_>) {
        self.sender.register(context.waker());
    }

    /// Gives a segment to the network, which takes it at once or never.
    pub(super) fn send(&self, segment: Segment) -> Result<(), NetError> {
        self.check()?;
        let sent = match &self.state().channel {
            Some(channel) => channel.send(Box::new(segment)).now_or_never().is_some_and(|sent| sent.is_ok()),
            None => false,
        };
        if !sent {
            self.fail("the far end is gone");
        }
        self.check()
    }
}
