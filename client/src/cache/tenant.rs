//! The cache as a session and its successors share it: what a session learned is gone with it, and who
//! keeps answers beyond the session, as a kernel does, is told.

use super::{CacheConfig, Changing, Dropped, Granted, Recalled, Sent, Table};
use crate::Answered;
use futures::future::{BoxFuture, FutureExt, ready};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Attr, Caller, Name, Op, Query};
use mooseng_core::time::Instant;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whoever keeps answers beyond the session, for as long as the [`Cache`] confirms them. It may ask the cache
/// under a lock of its own, so it is told nothing while the cache is locked.
pub trait Beyond: Send + Sync + 'static {
    /// The attributes of these are about to change: nothing is kept of them that was told before now. Never
    /// waits.
    fn doubt(&self, inodes: &[InodeId]);

    /// Nothing of this is kept any more when the future ends, which it does soon, whatever happens: others
    /// wait for it.
    fn forget(&self, dropped: Dropped) -> BoxFuture<'static, ()>;
}

/// A handle; clones share the cache.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    table: Table,
    /// Of the session that it is the cache of.
    tenancy: u64,
    beyond: Option<Arc<dyn Beyond>>,
}

impl Cache {
    pub(crate) fn new(config: CacheConfig) -> Self {
        let inner = Inner { table: Table::new(config), tenancy: 0, beyond: None };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it holds the lock; if something did, the table is whole all the same.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this is told of what is dropped.
    pub fn tell(&self, beyond: Arc<dyn Beyond>) {
        self.lock().beyond = Some(beyond);
    }

    /// For how long these attributes are true, as far as is known here.
    pub fn confirm_attr(&self, attr: &Attr, now: Instant) -> Duration {
        self.lock().table.confirm_attr(attr, now)
    }

    /// For how long a name leads there, or nowhere, as far as is known here.
    pub fn confirm_name(
        &self,
        parent: InodeId,
        name: &Name,
        leads_to: Option<InodeId>,
        now: Instant,
    ) -> Duration {
        self.lock().table.confirm_name(parent, name, leads_to, now)
    }

    /// A session begins: what the last one learned is forgotten. The future ends when everybody has.
    pub(crate) fn let_to(&self) -> (Tenant, BoxFuture<'static, ()>) {
        let tenancy = {
            let mut inner = self.lock();
            inner.tenancy += 1;
            inner.tenancy
        };
        let tenant = Tenant { cache: self.clone(), tenancy };
        let forgotten = tenant.forget();
        (tenant, forgotten)
    }
}

/// The cache as long as it is this session's.
#[derive(Clone)]
pub(crate) struct Tenant {
    cache: Cache,
    tenancy: u64,
}

impl Tenant {
    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// `None` if it is another session's.
    fn lock(&self) -> Option<MutexGuard<'_, Inner>> {
        Some(self.cache.lock()).filter(|inner| inner.tenancy == self.tenancy)
    }

    fn with<R>(&self, work: impl FnOnce(&mut Table) -> R) -> Option<R> {
        self.lock().map(|mut inner| work(&mut inner.table))
    }

    /// The future ends when everybody has forgotten what is dropped.
    fn dropping(&self, drop: impl FnOnce(&mut Table) -> Dropped) -> BoxFuture<'static, ()> {
        let dropped = self.lock().map(|mut inner| (drop(&mut inner.table), inner.beyond.clone()));
        match dropped {
            Some((dropped, Some(beyond))) if dropped != Dropped::These(Vec::new()) => beyond.forget(dropped),
            _ => ready(()).boxed(),
        }
    }

    pub(crate) fn answer(&self, caller: &Caller, query: &Query, now: Instant) -> Option<Answered> {
        self.with(|table| table.answer(caller, query, now)).flatten()
    }

    /// A question is asked.
    pub(crate) fn ask(&self) -> Asking<'_> {
        Asking { tenant: self, sent: self.with(Table::ask) }
    }

    /// A change is about to be sent.
    pub(crate) fn begin(&self, op: &Op) -> Option<Changing> {
        let (changing, beyond) =
            self.lock().map(|mut inner| (inner.table.begin(op), inner.beyond.clone()))?;
        if let Some(beyond) = beyond {
            beyond.doubt(&changing.touched);
        }
        Some(changing)
    }

    pub(crate) fn changed(&self, changing: Changing, op: &Op, answered: &Answered, granted: &Granted) {
        self.with(|table| table.changed(changing, op, answered, granted));
    }

    pub(crate) fn not_sent(&self, changing: Changing) {
        self.with(|table| table.not_sent(changing));
    }

    #[must_use]
    pub(crate) fn change_given_up(&self, changing: Changing) -> BoxFuture<'static, ()> {
        self.dropping(|table| table.change_given_up(changing))
    }

    /// Everything is forgotten, and the leases are given up with it.
    #[must_use]
    pub(crate) fn forget(&self) -> BoxFuture<'static, ()> {
        self.dropping(Table::forget)
    }

    /// What the next poll says, and whether leases are held for nothing; `None` if there is nothing to poll
    /// for any more.
    pub(crate) fn poll(&self) -> Option<((u64, u64), bool)> {
        self.with(|table| (table.poll(), table.is_worn()))
    }

    /// A poll was answered. When the future ends everybody has forgotten what is to be forgotten.
    #[must_use]
    pub(crate) fn polled(&self, asked: Instant, epoch: u64, told: &Recalled) -> BoxFuture<'static, ()> {
        self.dropping(|table| table.polled(asked, epoch, told))
    }

    pub(crate) fn dealt_with(&self, epoch: u64, number: u64) {
        self.with(|table| table.dealt_with(epoch, number));
    }
}

/// A question on its way. Dropped, nothing of its answer is kept.
pub(crate) struct Asking<'a> {
    tenant: &'a Tenant,
    sent: Option<Sent>,
}

impl Asking<'_> {
    pub(crate) fn learn(mut self, caller: &Caller, query: &Query, answered: &Answered, granted: &Granted) {
        if let Some(sent) = self.sent.take() {
            self.tenant.with(|table| table.learn(sent, caller, query, answered, granted));
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(sent) = self.sent.take() {
            self.tenant.with(|table| table.give_up(sent));
        }
    }
}
