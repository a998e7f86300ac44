//! What the kernel may believe, and that it is told in time when it may not any more.
//!
//! An answer says for how long it is true: as long as the mount's lease. It is sent while `told` is locked,
//! and written down there, so whoever drops something from the cache and then looks into `told` finds every
//! answer that the kernel has of it.
//!
//! The kernel locks a directory while it makes, removes or looks up something in it, and to be told of a
//! name it needs that lock. What it waits for in a directory may in turn wait for our recall to be dealt
//! with, so nobody waits for it for longer than [`FORGET_MAX`]; the names are forgotten as soon as the
//! directory is free, or when they run out.

use super::convert::number;
use super::notices::Notices;
use super::told::{Taken, Told};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use mooseng_client::cache::{Beyond, Dropped};
use mooseng_core::id::InodeId;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime;
use tokio::time::timeout;

/// How long it is waited for that the kernel forgets.
const FORGET_MAX: Duration = Duration::from_millis(50);
/// An answer that was sent just before may be taken in just after: it is told once more after this.
const ONCE_MORE_AFTER: Duration = Duration::from_millis(5);

pub(super) struct Kernel {
    runtime: runtime::Handle,
    /// Nothing lasting is told before it is there.
    notices: OnceLock<Arc<Notices>>,
    told: Mutex<Told>,
}

impl Kernel {
    pub(super) fn new(runtime: runtime::Handle) -> Self {
        Self { runtime, notices: OnceLock::new(), told: Mutex::default() }
    }

    /// From now on the kernel can be told otherwise, so it may believe something.
    pub(super) fn connect(&self, notices: Notices) {
        let _ = self.notices.set(Arc::new(notices));
    }

    /// To tell the kernel something that lasts. It is sent while this is held.
    pub(super) fn tell(&self) -> Telling<'_> {
        let (mut told, now) = (self.lock(), Instant::now());
        let may_last = self.notices.get().is_some() && told.has_room(now);
        Telling { told, now, may_last }
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that is about to be sent.
pub(super) struct Telling<'a> {
    told: MutexGuard<'a, Told>,
    now: Instant,
    may_last: bool,
}

impl Telling<'_> {
    /// For how long the kernel may believe attributes that are true for so long.
    pub(super) fn attributes(&mut self, inode: InodeId, true_for: Duration) -> Option<Duration> {
        let lifetime = self.lifetime(true_for)?;
        self.told.attributes(inode, self.now, true_for);
        Some(lifetime)
    }

    pub(super) fn name(&mut self, parent: InodeId, name: &[u8], true_for: Duration) -> Option<Duration> {
        let lifetime = self.lifetime(true_for)?;
        self.told.name(parent, bytes::Bytes::copy_from_slice(name), self.now, true_for);
        Some(lifetime)
    }

    fn lifetime(&self, true_for: Duration) -> Option<Duration> {
        /// The kernel counts in ticks of its clock, and rounds up.
        const TICKS: Duration = Duration::from_millis(20);
        true_for.checked_sub(TICKS).filter(|lifetime| self.may_last && !lifetime.is_zero())
    }
}

fn expire(notices: &Notices, taken: &Taken) {
    taken.attributes.iter().for_each(|inode| notices.attributes(number(*inode)));
    taken.names.iter().for_each(|(parent, name)| notices.name(number(*parent), name));
}

impl Beyond for Kernel {
    fn doubt(&self, inodes: &[InodeId]) {
        let taken = self.lock().take_attributes(inodes, Instant::now());
        if let Some(notices) = self.notices.get() {
            taken.into_iter().for_each(|inode| notices.attributes(number(inode)));
        }
    }

    fn forget(&self, dropped: Dropped) -> BoxFuture<'static, ()> {
        let now = Instant::now();
        let taken = match dropped {
            Dropped::These(inodes) => self.lock().take(&inodes, now),
            Dropped::Everything => self.lock().take_all(now),
        };
        let Some(notices) = self.notices.get().filter(|_| !taken.is_empty()).cloned() else {
            return ready(()).boxed();
        };
        let expired = self.runtime.spawn_blocking(move || {
            expire(&notices, &taken);
            if taken.is_fresh {
                std::thread::sleep(ONCE_MORE_AFTER);
                expire(&notices, &taken);
            }
        });
        async move {
            let _ = timeout(FORGET_MAX, expired).await;
        }
        .boxed()
    }
}
