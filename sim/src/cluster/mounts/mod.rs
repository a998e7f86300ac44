//! Clients that are mounts: each does its steps through a [`Mount`] of its own, one of all of them at a
//! time, so that a model in sequence can say what every answer has to be. What waits to be written, leases
//! and recalls go their way meanwhile.

mod bytes;
mod directories;
mod names;
mod pages;

use super::files::DataConfig;
use super::watch::Watch;
use super::workload::{Client, Stop};
use crate::machine::SimEnv;
use crate::model::together::{Together, Turn};
use crate::model::{Expected, Limits};
use crate::oracle::Sight;
use crate::plan::Step;
use bytes::Open;
use directories::Listed;
use mooseng_client::SessionConfig;
use mooseng_client::mount::{FsError, Mount, MountConfig};
use mooseng_core::env::{Env, sleep, timeout};
use mooseng_core::event::Event;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Answer, Attr, Op, Outcome, Query, Refusal};
use pages::Pages;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a mount that finds no cluster waits before it tries again.
const MOUNT_PAUSE: Duration = Duration::from_millis(100);
/// The number of the mount that looks at everything in the end.
const LOOKER: usize = 1_000;

/// What all mounts of a run share.
pub(super) struct Mounts {
    /// Whoever has it does something.
    turn: futures::lock::Mutex<()>,
    together: Mutex<Together>,
    watch: Arc<Watch>,
}

impl Mounts {
    pub(super) fn new(limits: Limits, watch: Arc<Watch>) -> Self {
        Self { turn: futures::lock::Mutex::default(), together: Mutex::new(Together::new(limits)), watch }
    }

    fn together(&self) -> MutexGuard<'_, Together> {
        let unkept = self.watch.record.take_unkept();
        let mut together = self.together.lock().unwrap_or_else(PoisonError::into_inner);
        unkept.into_iter().for_each(|file| together.bytes_in_doubt(file));
        together
    }
}

/// One life of a mount.
pub(super) struct Seat {
    mounts: Arc<Mounts>,
    env: SimEnv,
    /// Tells it from the others; whoever looks on in the end is beside them.
    number: usize,
    mount: Mount<SimEnv>,
    open: Mutex<BTreeMap<InodeId, Open>>,
    listed: Mutex<BTreeMap<InodeId, Listed>>,
    /// As a kernel caches what it has read.
    pages: Mutex<Pages>,
}

/// Something is under way. If it ends in any other way than by an answer, it is in doubt.
struct UnderWay<'a> {
    mounts: &'a Mounts,
    op: Option<Op>,
    file: Option<InodeId>,
}

impl UnderWay<'_> {
    fn over(mut self) {
        (self.op, self.file) = (None, None);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut together = self.mounts.together();
        if let Some(op) = self.op.take() {
            together.in_doubt(&op);
        }
        if let Some(file) = self.file.take() {
            together.bytes_in_doubt(file);
        }
    }
}

/// Without an answer that says anything.
fn is_silent(error: &FsError) -> bool {
    matches!(error, FsError::TimedOut { .. } | FsError::SessionLost)
}

impl Seat {
    async fn mount(
        mounts: &Arc<Mounts>,
        env: &SimEnv,
        number: usize,
        (session, data): (&SessionConfig, &DataConfig),
    ) -> Self {
        mounts.together().begins(number);
        let config = MountConfig {
            store: data.store.clone(),
            file: data.file.clone(),
            ..MountConfig::new(session.clone())
        };
        // A mount may be told to keep nothing.
        let cache = session.cache;
        let config = MountConfig { session: SessionConfig { cache, ..config.session }, ..config };
        let mount = loop {
            match Mount::open(env, config.clone()).await {
                Ok(mount) => break mount,
                Err(_) => sleep(env, MOUNT_PAUSE).await,
            }
        };
        let (open, listed, pages) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { mounts: mounts.clone(), env: env.clone(), number, mount, open, listed, pages }
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.mounts.watch.is_taped() {
            self.env.note(Event::Note(what()));
        }
    }

    /// Something was answered, as it had to be or not.
    fn hold(&self, what: &dyn Debug, verdict: Result<(), Expected>) -> Result<(), Stop> {
        let record = &self.mounts.watch.record;
        record.judged();
        let Err(expected) = verdict else { return Ok(()) };
        let (what, expected) = (format!("{what:?}"), expected.to_string());
        let (at, client) = (record.now(), self.number);
        let sight = Sight::Mounted { client, what: &what, expected: Some(&expected) };
        record.judge(|judge| ((), judge.tell(at, sight)));
        Err(Stop::Absent)
    }

    /// What cannot be, whatever the model holds for possible.
    fn surprise(&self, what: &dyn Debug, error: &FsError) -> Stop {
        let expected = Expected::Shown(format!("anything else than: {error}"));
        self.hold(what, Err(expected)).err().unwrap_or(Stop::Absent)
    }

    /// A change of names or attributes.
    async fn change<T>(
        &self,
        op: Op,
        call: impl Future<Output = Result<T, FsError>>,
        answer: impl Fn(&T) -> Answer,
    ) -> Result<T, Stop> {
        let under_way = UnderWay { mounts: &self.mounts, op: Some(op.clone()), file: None };
        let result = call.await;
        let outcome: Outcome = match &result {
            Ok(done) => Ok(answer(done)),
            Err(FsError::Refused(reason)) => Err(*reason),
            Err(error) if is_silent(error) => {
                self.say(|| format!("{op:?}: {error}"));
                return Err(Stop::Absent);
            }
            Err(error) => return Err(self.surprise(&op, error)),
        };
        under_way.over();
        self.say(|| format!("{op:?}: {outcome:?}"));
        let verdict = self.mounts.together().changed(self.number, &op, &outcome);
        self.hold(&(&op, &outcome), verdict)?;
        self.mounts.watch.answered();
        result.map_err(|_| Stop::Absent)
    }

    /// A question; `None` is a refusal.
    async fn ask(
        &self,
        query: Query,
        call: impl Future<Output = Result<Answer, FsError>>,
    ) -> Result<Answer, Stop> {
        let outcome: Outcome = match call.await {
            Ok(answer) => Ok(answer),
            Err(FsError::Refused(reason)) => Err(reason),
            Err(error) if is_silent(&error) => return Err(Stop::Absent),
            Err(error) => return Err(self.surprise(&query, &error)),
        };
        self.say(|| format!("{query:?}: {outcome:?}"));
        let verdict = self.mounts.together().answered(self.number, &query, &outcome);
        self.hold(&(&query, &outcome), verdict)?;
        outcome.map_err(|_| Stop::Absent)
    }

    async fn ask_attr(
        &self,
        query: Query,
        call: impl Future<Output = Result<Attr, FsError>>,
    ) -> Result<Attr, Stop> {
        match self.ask(query, async { call.await.map(Answer::Attr) }).await? {
            Answer::Attr(attr) => Ok(attr),
            _ => Err(Stop::Absent),
        }
    }

    async fn step(&self, step: &Step) -> Result<(), Stop> {
        if self.mounts.together().is_at_a_loss() {
            return Ok(());
        }
        self.say(|| step.to_string());
        let act = self.act(&step.action, step.label);
        match step.within.filter(|_| !self.mounts.watch.is_closed()) {
            None => act.await,
            // Dropped, it is interrupted.
            Some(within) => timeout(&self.env, within, act).await.unwrap_or(Ok(())),
        }
    }
}

impl Client {
    /// One life of a client that is a mount.
    pub(super) async fn live_as_mount(self: &Arc<Self>, env: &SimEnv, data: &DataConfig) {
        let Some(mounts) = &self.mounts else { return };
        let seat = Seat::mount(mounts, env, self.number, (&self.config(env), data)).await;
        let seat = Arc::new(seat);
        self.sits(&seat);
        while let Some(step) = self.next_step() {
            if !step.wait.is_zero() {
                sleep(env, step.wait).await;
            }
            let _turn = mounts.turn.lock().await;
            // What it says of its answer is with the judge.
            let _ = seat.step(step).await;
        }
        let _turn = mounts.turn.lock().await;
        seat.close_all().await;
    }

    /// After everything is healed: closes all that is open, and looks at the whole tree.
    pub(super) async fn look_around_as_mount(self: &Arc<Self>) {
        let (Some(mounts), Some(seat)) = (&self.mounts, self.seat()) else { return };
        let _turn = mounts.turn.lock().await;
        seat.close_all().await;
        seat.look_at_all().await;
    }

    /// In the end, as a mount that has just begun: reads all of every file. True when it has.
    pub(super) async fn look_into_files_as_mount(self: &Arc<Self>, env: &SimEnv, data: &DataConfig) -> bool {
        let Some(mounts) = &self.mounts else { return true };
        let number = LOOKER;
        let seat = Seat::mount(mounts, env, number, (&self.config(env), data)).await;
        seat.look_at_all().await;
        let looked = seat.look_into_all().await;
        let _ = seat.mount.close().await;
        looked
    }
}

fn refusal<T>(result: &Result<T, FsError>) -> Option<Result<(), Refusal>> {
    match result {
        Ok(_) => Some(Ok(())),
        Err(FsError::Refused(reason)) => Some(Err(*reason)),
        Err(_) => None,
    }
}
