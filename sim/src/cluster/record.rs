//! What a run writes down as it happens, shared by its clients and its observer: the history, the
//! inodes that steps made, and the first broken promise.

use super::workload::ending;
use crate::history::{Asked, Ending, Request};
use crate::machine::Control;
use crate::model::contents::Ledger;
use crate::oracle::{Judge, Sight, Violation};
use crate::plan::Member;
use mooseng_client::{Answered, ClientError, Loss};
use mooseng_core::id::{InodeId, SessionId};
use mooseng_core::namespace::Caller;
use mooseng_core::time::Instant;
use mooseng_net::rpc::Load;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) struct Record {
    control: Control,
    inner: Mutex<Inner>,
    /// Somebody has to look: a promise was broken, or the agenda has changed.
    attention: AtomicBool,
    acknowledged: AtomicU64,
    /// Answers of mounts that were held against the model.
    judged: AtomicU64,
}

struct Inner {
    judge: Judge,
    violation: Option<Violation>,
    made: BTreeMap<u32, InodeId>,
    /// How many files were opened.
    handles: u64,
    /// Files of which a mount has said that it could not keep what was written, since that was last asked.
    unkept: Vec<InodeId>,
}

impl Record {
    pub(super) fn new(control: Control, judge: Judge) -> Self {
        let inner = Inner { judge, violation: None, made: BTreeMap::new(), handles: 0, unkept: Vec::new() };
        let attention = AtomicBool::new(false);
        let (acknowledged, judged) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { control, inner: Mutex::new(inner), attention, acknowledged, judged }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True time.
    pub(super) fn now(&self) -> Instant {
        self.control.now()
    }

    /// Lets the judge look; keeps the first broken promise.
    pub(super) fn judge<T>(&self, look: impl FnOnce(&mut Judge) -> (T, Result<(), Violation>)) -> T {
        let mut inner = self.lock();
        let (value, verdict) = look(&mut inner.judge);
        if let (Err(violation), None) = (verdict, &inner.violation) {
            inner.violation = Some(violation);
            drop(inner);
            self.call_attention();
        }
        value
    }

    pub(super) fn call(&self, client: usize, caller: &Caller, asked: Asked) -> usize {
        let now = self.now();
        self.judge(|judge| judge.call(now, client, caller.clone(), asked))
    }

    pub(super) fn name(&self, number: usize, request: Request) {
        let now = self.now();
        self.judge(|judge| ((), judge.name(now, number, request)));
    }

    pub(super) fn end(&self, number: usize, result: &Result<Answered, ClientError>) {
        let now = self.now();
        if result.is_ok() {
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        if let Err(ClientError::NoSpace { .. }) = result {
            self.judge(|judge| ((), judge.tell(now, Sight::NoRoom { number })));
        }
        self.judge(|judge| ((), judge.end(now, number, ending(now, result))));
    }

    /// Nobody waits for the answer any more.
    pub(super) fn interrupted(&self, number: usize) {
        let at = self.now();
        self.judge(|judge| ((), judge.end(at, number, Ending::Unknown { at })));
    }

    pub(super) fn measured(&self, node: Member, loads: &[Load]) {
        let now = self.now();
        for Load { what, value, limit } in loads.iter().copied() {
            let sight = Sight::Measured { node, what, value, limit };
            self.judge(|judge| ((), judge.tell(now, sight)));
        }
    }

    pub(super) fn session_lost(&self, client: usize, loss: Loss) {
        let (now, Loss { at: told, granted_until }) = (self.now(), loss);
        let sight = Sight::SessionLost { client, told, granted_until };
        self.judge(|judge| ((), judge.tell(now, sight)));
    }

    /// A client has this session from now on.
    pub(super) fn session(&self, client: usize, session: SessionId) {
        let now = self.now();
        self.judge(|judge| ((), judge.tell(now, Sight::Session { client, session })));
    }

    /// A session has this open once more from now on, or once less.
    pub(super) fn holds(&self, session: SessionId, inode: InodeId, open: bool) {
        let now = self.now();
        self.judge(|judge| ((), judge.tell(now, Sight::Holds { session, inode, open })));
    }

    /// A client found nothing where it has something open.
    pub(super) fn open_is_gone(&self, client: usize, inode: InodeId) {
        let now = self.now();
        self.judge(|judge| ((), judge.tell(now, Sight::OpenIsGone { client, inode })));
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// A mount's answer was held against the model.
    pub(super) fn judged(&self) {
        self.judged.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn answers_judged(&self) -> u64 {
        self.judged.load(Ordering::Relaxed)
    }

    pub(super) fn made(&self, label: u32, inode: InodeId) {
        self.lock().made.insert(label, inode);
    }

    pub(super) fn of_label(&self, label: u32) -> Option<InodeId> {
        self.lock().made.get(&label).copied()
    }

    /// What clients wrote to files.
    pub(super) fn ledger<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(self.lock().judge.ledger())
    }

    /// A mount says that it could not keep what was written to a file.
    pub(super) fn unkept(&self, file: InodeId) {
        self.lock().unkept.push(file);
    }

    pub(super) fn take_unkept(&self) -> Vec<InodeId> {
        std::mem::take(&mut self.lock().unkept)
    }

    /// A number for what was opened just now.
    pub(super) fn handle(&self) -> u64 {
        let mut inner = self.lock();
        inner.handles += 1;
        inner.handles
    }

    pub(super) fn violation(&self) -> Option<Violation> {
        self.lock().violation.clone()
    }

    pub(super) fn call_attention(&self) {
        self.attention.store(true, Ordering::Relaxed);
    }

    pub(super) fn wants_attention(&self) -> bool {
        self.attention.load(Ordering::Relaxed)
    }

    pub(super) fn attended(&self) {
        self.attention.store(false, Ordering::Relaxed);
    }
}
