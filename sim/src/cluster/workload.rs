//! A client of a run: does its steps one after the other, or several at once, over as many lives and sessions
//! as it takes. What a step is, [`Walker`] knows; nothing here knows of faults.

mod walker;

pub(super) use walker::{Walker, ending};

use super::files::{DataConfig, Files};
use super::mounts::{Mounts, Seat};
use super::operator::Operator;
use super::servers::versions;
use super::watch::Watch;
use crate::machine::SimEnv;
use crate::plan::{Action, Base, Place, Plan, Step};
use mooseng_client::{ClientError, Hold, Session, SessionConfig};
use mooseng_core::env::{sleep, timeout};
use mooseng_core::id::{InodeId, SessionId, SliceId};
use mooseng_core::namespace::{Caller, Name};
use mooseng_core::time::Instant;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What all lives of one client share: a client that dies goes on with its next step.
pub(super) struct Client {
    pub(super) number: usize,
    pub(super) steps: Vec<Step>,
    config: SessionConfig,
    pub(super) watch: Arc<Watch>,
    operator: Arc<Operator>,
    /// Where there are chunk servers.
    data: Option<DataConfig>,
    /// Where clients are mounts.
    pub(super) mounts: Option<Arc<Mounts>>,
    /// How many steps it does at once.
    hands: u32,
    progress: Mutex<Progress>,
    /// Held while a session is opened: all hands share one.
    opening: futures::lock::Mutex<()>,
}

#[derive(Default)]
struct Progress {
    /// When each of its steps was begun, so far.
    begun: Vec<Instant>,
    session: Option<Session<SimEnv>>,
    /// The mount that it is in this life.
    seat: Option<Arc<Seat>>,
    /// It has done all its steps, and nothing of them is under way.
    idle: bool,
    /// Slices granted and not used yet, of whichever session: a straggler may commit what its session
    /// had, which is refused.
    slices: BTreeMap<InodeId, Vec<SliceId>>,
    /// What is open, as often as it is, under which session; the oldest first.
    open: Vec<(SessionId, Hold<SimEnv>)>,
}

/// A step could not be carried out to its end; the client goes on with the next one.
pub(super) enum Stop {
    /// A name on the way is not there, or an inode is not made yet.
    Absent,
    Failed(ClientError),
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        Stop::Failed(error)
    }
}

impl Client {
    pub(super) fn new(
        number: usize,
        plan: &Plan,
        (config, data, mounts): (SessionConfig, Option<DataConfig>, Option<Arc<Mounts>>),
        watch: Arc<Watch>,
        operator: Arc<Operator>,
    ) -> Self {
        let steps = plan.clients[number].clone();
        let hands = plan.knobs.client_hands;
        let (progress, opening) = (Mutex::default(), futures::lock::Mutex::default());
        Self { number, steps, config, watch, operator, data, mounts, hands, progress, opening }
    }

    pub(super) fn session(&self) -> Option<SessionId> {
        self.progress().session.as_ref().map(Session::id)
    }

    /// As the build that is installed in this life speaks.
    pub(super) fn config(&self, env: &SimEnv) -> SessionConfig {
        let mut config = self.config.clone();
        config.channel.versions = versions(env.wire_version());
        config
    }

    fn data(&self, env: &SimEnv) -> Option<DataConfig> {
        self.data.as_ref().map(|data| data.speaking(versions(env.wire_version())))
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When each of its steps was begun, as far as it came.
    pub(super) fn begun(&self) -> Vec<Instant> {
        self.progress().begun.clone()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.progress().idle
    }

    /// The next step, if there is one; it is begun.
    pub(super) fn next_step(&self) -> Option<&Step> {
        let mut progress = self.progress();
        let step = self.steps.get(progress.begun.len())?;
        progress.begun.push(self.watch.record.now());
        Some(step)
    }

    pub(super) fn seat(&self) -> Option<Arc<Seat>> {
        self.progress().seat.clone()
    }

    pub(super) fn sits(&self, seat: &Arc<Seat>) {
        self.progress().seat = Some(seat.clone());
    }

    /// One life of the client.
    pub(super) async fn run(self: Arc<Self>, env: SimEnv) {
        // A session of an earlier life died with it, and so did what it had open.
        let (session, open, seat) = {
            let mut progress = self.progress();
            progress.idle = false;
            (progress.session.take(), std::mem::take(&mut progress.open), progress.seat.take())
        };
        drop((session, open, seat));
        let data = self.data(&env);
        if let (Some(_), Some(data)) = (&self.mounts, &data) {
            self.live_as_mount(&env, data).await;
            self.progress().idle = true;
            return;
        }
        let files = data.as_ref().map(|data| Files::new(&self, &env, data));
        let hands = (0..self.hands).map(|_| self.hand(&env, files.as_ref()));
        futures::future::join_all(hands).await;
        self.progress().idle = true;
    }

    /// Does one step after the other, each that no other hand has begun.
    async fn hand(&self, env: &SimEnv, files: Option<&Files>) {
        loop {
            let Some(step) = self.next_step() else { return };
            if !step.wait.is_zero() {
                sleep(env, step.wait).await;
            }
            match step.action {
                Action::Leave => self.leave().await,
                Action::AddServer { .. } if self.watch.is_closed() => {}
                Action::AddServer { server } => self.operator.add(server),
                Action::RemoveServer { server } => {
                    self.operator.remove(env, server, || self.watch.is_closed()).await;
                }
                _ => self.carry_out(env, files, step).await,
            }
        }
    }

    async fn carry_out(&self, env: &SimEnv, files: Option<&Files>, step: &Step) {
        let Ok(walker) = self.walker(env, step.caller.clone()).await else { return };
        let act = async {
            match files {
                Some(files) if step.action.is_of_open_file() => files.act(&walker, &step.action).await,
                _ => walker.act(&step.action, step.label).await,
            }
        };
        // When everything is healed everything is waited for.
        let acted = match step.within.filter(|_| !self.watch.is_closed()) {
            None => act.await,
            // Dropped, it is interrupted.
            Some(within) => timeout(env, within, act).await.unwrap_or(Ok(())),
        };
        if let Err(Stop::Failed(ClientError::SessionLost)) = acted {
            self.forget_session();
        }
    }

    /// Calls of other hands end with the session, so nobody leaves once every call has to be answered.
    async fn leave(&self) {
        if self.watch.is_closed() {
            return;
        }
        let session = self.progress().session.take();
        if let Some(session) = session {
            // Whether the service heard so or not, the next step opens another one.
            let _ = session.close().await;
        }
    }

    /// After everything is healed: one change and a look at the whole tree, which the oracles
    /// compare with everything that was acknowledged.
    pub(super) async fn look_around(self: Arc<Self>, env: SimEnv) {
        if self.mounts.is_some() {
            return self.look_around_as_mount().await;
        }
        for attempt in 0..3 {
            let Ok(walker) = self.walker(&env, Caller::ROOT).await else { continue };
            let name = format!("after-{}-{attempt}", self.number + 1);
            let at = Place { base: Base::Root, names: vec![Name::new(name).expect("a plain name")] };
            match walker.look_around(at).await {
                Err(Stop::Failed(ClientError::SessionLost)) => self.forget_session(),
                Err(_) => {}
                Ok(()) => return,
            }
        }
    }

    /// In the end, as a mount that has just begun: reads all of every file. True when it has.
    pub(super) async fn look_into_files(self: Arc<Self>, env: SimEnv) -> bool {
        let Some(data) = self.data(&env) else { return true };
        if self.mounts.is_some() {
            return self.look_into_files_as_mount(&env, &data).await;
        }
        for _ in 0..3 {
            let Ok(walker) = self.walker(&env, Caller::ROOT).await else { continue };
            let files = Files::new(&self, &env, &data);
            match files.look_into(&walker).await {
                Err(Stop::Failed(ClientError::SessionLost)) => self.forget_session(),
                Err(_) => {}
                Ok(()) => return true,
            }
        }
        false
    }

    /// The service has said that the session is gone.
    pub(super) fn forget_session(&self) {
        let mut progress = self.progress();
        // Another hand may have opened the next one already.
        let Some(loss) = progress.session.as_ref().and_then(Session::loss) else { return };
        progress.session = None;
        drop(progress);
        self.watch.record.session_lost(self.number, loss);
    }

    pub(super) async fn walker(&self, env: &SimEnv, caller: Caller) -> Result<Walker<'_>, ClientError> {
        let _opening = self.opening.lock().await;
        if self.progress().session.as_ref().is_some_and(Session::is_lost) {
            self.forget_session();
        }
        let known = self.progress().session.clone();
        let session = match known {
            Some(session) => session,
            None => {
                let session = Session::open(env, self.config(env)).await?;
                self.watch.record.session(self.number, session.id());
                self.progress().session = Some(session.clone());
                session
            }
        };
        Ok(Walker { client: self, session, caller })
    }
}
