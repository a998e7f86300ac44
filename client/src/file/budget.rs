//! A bound on bytes held, for everybody of a mount together: who wants more than is left waits its
//! turn. Knows not what the bytes are.

use futures::channel::oneshot;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(super) struct Budget {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    left: usize,
    waiting: VecDeque<oneshot::Sender<()>>,
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::new(Inner { left: bytes, waiting: VecDeque::new() }) })
    }

    /// A share, if there is enough left.
    pub(super) fn try_take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let mut inner = self.lock();
        inner.left = inner.left.checked_sub(bytes)?;
        Some(Share { budget: self.clone(), bytes })
    }

    pub(super) fn left(&self) -> usize {
        self.lock().left
    }

    /// Resolves when something was given back.
    pub(super) fn given_back(&self) -> oneshot::Receiver<()> {
        let (wake, turn) = oneshot::channel();
        let mut inner = self.lock();
        inner.waiting.retain(|waiting| !waiting.is_canceled());
        inner.waiting.push_back(wake);
        turn
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it holds the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Keeps only so many bytes of it.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let given = self.bytes.saturating_sub(bytes);
        self.bytes -= given;
        self.give(given);
    }

    /// Adds another one to it.
    pub(super) fn join(&mut self, mut other: Share) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Cuts a share off it.
    pub(super) fn split(&mut self, bytes: usize) -> Share {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Share { budget: self.budget.clone(), bytes }
    }

    fn give(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut inner = self.budget.lock();
        inner.left += bytes;
        let woken: Vec<_> = inner.waiting.drain(..).collect();
        drop(inner);
        for wake in woken {
            let _ = wake.send(());
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn shares_come_back_whole_however_they_are_cut() {
        let budget = Budget::new(100);
        let mut share = budget.try_take(80).unwrap();
        assert!(budget.try_take(21).is_none());
        let turn = budget.given_back();
        share.shrink(50);
        assert_eq!(turn.now_or_never(), Some(Ok(())));
        let other = share.split(20);
        share.join(budget.try_take(50).unwrap());
        drop(share);
        assert!(budget.try_take(81).is_none());
        drop(other);
        assert!(budget.try_take(100).is_some());
    }
}
