//! A session with the metadata service: finds the leader, survives its loss, and asks again under
//! the same number until there is an answer, so that each change takes effect once.

mod caching;
mod holding;

pub use holding::Hold;

use crate::cache::{Cache, CacheConfig, Granted, Tenant};
use crate::error::ClientError;
use crate::holds::Holds;
use crate::window::Window;
use caching::Keeping;
use futures::channel::oneshot;
use holding::{Making, Wanted};
use mooseng_core::chance::Dice;
use mooseng_core::env::{Address, Clock, Env, sleep, timeout};
use mooseng_core::id::SessionId;
use mooseng_core::namespace::{Answer, Caller, Op, Outcome, Query};
use mooseng_core::time::Instant;
use mooseng_core::{plant, probe};
use mooseng_net::convert::write_caller;
use mooseng_net::proto::cluster::{ChunkServersReply, ChunkServersRequest, ClusterClient};
use mooseng_net::proto::metadata::{self as wire, MetadataClient};
use mooseng_net::rpc::backoff::{RetryBudget, RetryConfig};
use mooseng_net::rpc::route::{Miss, Route};
use mooseng_net::rpc::{CallError, Channel, ChannelConfig, Code};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// No attempt is given less than this because others may be needed.
const SHARE_MIN: Duration = Duration::from_millis(50);

/// How patient a session is.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Where the metadata servers listen.
    pub servers: Vec<Address>,
    /// How long an operation may take in all before it ends in
    /// [`ClientError::TimedOut`] or [`ClientError::NotReached`].
    pub operation_timeout: Duration,
    /// How long one server may take before another is asked.
    pub attempt_timeout: Duration,
    /// How many changes may be in flight; the server remembers at least as many answers.
    pub window: u64,
    /// How many retries the session may add to the load of servers that fail.
    pub retries: RetryConfig,
    pub channel: ChannelConfig,
    /// Keep what is told under leases, this much of it, and answer from it.
    pub cache: Option<CacheConfig>,
}

impl SessionConfig {
    pub fn new(servers: Vec<Address>) -> Self {
        Self {
            servers,
            operation_timeout: Duration::from_secs(60),
            attempt_timeout: Duration::from_millis(300),
            window: 128,
            retries: RetryConfig::default(),
            channel: ChannelConfig::default(),
            cache: None,
        }
    }
}

/// An outcome, and the place in the log of its group at which it took effect or was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    pub outcome: Outcome,
    pub index: u64,
    /// Nobody was asked: it was true at `index`, and has been since.
    pub cached: bool,
}

/// How a session was lost, by this machine's clock. A service that keeps its word ends no session
/// before what it granted has run out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loss {
    /// When the service said so.
    pub at: Instant,
    /// Until when the last grant was good, counted from before it was asked for.
    pub granted_until: Instant,
}

/// A handle; clones share the session.
pub struct Session<E: Env> {
    shared: Arc<Shared<E>>,
}

impl<E: Env> Clone for Session<E> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

struct Shared<E: Env> {
    env: E,
    config: SessionConfig,
    id: SessionId,
    inner: Mutex<Inner<E>>,
    /// What is open. Locked after `inner`, never before it.
    holds: Arc<Mutex<Holds>>,
    /// Locked after all others.
    tenant: Option<Tenant>,
}

struct Inner<E: Env> {
    route: Route,
    /// Who wants to know when another server is asked than before.
    rerouted: Vec<oneshot::Sender<()>>,
    window: Window,
    /// Who waits for the window to open, in order.
    waiting: VecDeque<oneshot::Sender<()>>,
    channels: BTreeMap<Address, Channel<E>>,
    dice: ChaCha8Rng,
    budget: RetryBudget,
    granted_until: Instant,
    /// The leader does not know what is open.
    attach_wanted: Option<Wanted>,
    /// A task tells the leader what is open, and what is not any more.
    catching_up: bool,
    lost: Option<Loss>,
}

impl<E: Env> Inner<E> {
    fn granted(&mut self, asked: Instant, lifetime: Duration) {
        self.granted_until = self.granted_until.max(asked + lifetime);
    }

    fn lose(&mut self, at: Instant) {
        let granted_until = self.granted_until;
        self.lost.get_or_insert(Loss { at, granted_until });
        // Whoever waits for something else than an answer.
        self.rerouted.clear();
    }
}

/// A reply, and when the attempt that it answers was made.
struct Asked<T> {
    reply: T,
    at: Instant,
    /// How many attempts there were in all.
    attempts: u32,
}

impl<E: Env> Session<E> {
    /// Opens a session. Asked twice for the same reason it is still one session: the request
    /// carries a number drawn once.
    pub async fn open(env: &E, config: SessionConfig) -> Result<Self, ClientError> {
        let cache = config.cache.map(Cache::new);
        Self::open_with(env, config, Arc::default(), cache).await
    }

    async fn open_with(
        env: &E,
        config: SessionConfig,
        holds: Arc<Mutex<Holds>>,
        cache: Option<Cache>,
    ) -> Result<Self, ClientError> {
        // Another session needs other dice: the moment tells them apart, through every life.
        let mut dice = env.rng("session", env.clock().now().as_nanos());
        let nonce: Vec<u8> = [dice.word().to_le_bytes(), dice.word().to_le_bytes()].concat();
        let inner = Inner {
            route: Route::new(config.servers.clone(), dice.word()),
            window: Window::new(config.window),
            rerouted: Vec::new(),
            waiting: VecDeque::new(),
            channels: BTreeMap::new(),
            dice,
            budget: RetryBudget::new(config.retries),
            granted_until: Instant::ZERO,
            attach_wanted: None,
            catching_up: false,
            lost: None,
        };
        let (env, inner) = (env.clone(), Mutex::new(inner));
        let mut shared = Shared { env, config, id: SessionId(0), inner, holds, tenant: None };
        let request = wire::OpenSessionRequest { nonce: nonce.into(), caches: cache.is_some() };
        let Asked { reply, at, .. } = shared
            .ask(|client, deadline| {
                let request = request.clone();
                async move { client.open_session(&request, deadline).await }
            })
            .await?;
        shared.id = SessionId(reply.session);
        let lifetime = Duration::from_millis(reply.lifetime_ms);
        shared.lock().granted(at, lifetime);
        if let Some(cache) = cache {
            let (tenant, forgotten) = cache.let_to();
            forgotten.await;
            shared.tenant = Some(tenant);
        }
        let session = Self { shared: Arc::new(shared) };
        let (env, weak) = (&session.shared.env, Arc::downgrade(&session.shared));
        if session.shared.tenant.is_some() {
            env.spawn("session recalls", caching::wait_for_recalls(weak.clone()));
        }
        env.spawn("session keep-alive", keep_alive(weak, lifetime));
        Ok(session)
    }

    /// What it keeps of what it was told, if it does. Its successor goes on with the same cache.
    pub fn cache(&self) -> Option<&Cache> {
        self.shared.tenant.as_ref().map(Tenant::cache)
    }

    pub fn id(&self) -> SessionId {
        self.shared.id
    }

    /// Has the service said that it knows this session no more? Keeping alive finds out within a
    /// third of a lifetime.
    pub fn is_lost(&self) -> bool {
        self.loss().is_some()
    }

    pub fn loss(&self) -> Option<Loss> {
        self.shared.lock().lost
    }

    /// Carries out a change as root, once.
    pub async fn mutate(&self, op: &Op) -> Result<Answered, ClientError> {
        self.mutate_as(&Caller::ROOT, op).await
    }

    /// Carries out a change in somebody's name, once.
    pub async fn mutate_as(&self, caller: &Caller, op: &Op) -> Result<Answered, ClientError> {
        self.begin().await?.carry_out_as(caller, op).await
    }

    /// Takes the number of the next change, waiting while the window is full. The time that the change
    /// may take begins with the wait.
    pub async fn begin(&self) -> Result<Change<E>, ClientError> {
        let end = self.shared.end();
        loop {
            let turn = {
                let mut inner = self.shared.lock();
                if let Some(sequence) = inner.window.take() {
                    return Ok(Change { shared: self.shared.clone(), sequence, end });
                }
                let (wake, turn) = oneshot::channel();
                inner.waiting.push_back(wake);
                turn
            };
            // An error means that the waker was dropped with its place: look again either way.
            let env = &self.shared.env;
            let left = end.since(env.clock().now());
            if timeout(env, left, turn).await.is_err() {
                return Err(ClientError::NotReached { last: "other changes were in front of it".to_owned() });
            }
        }
    }

    /// Asks, as root, a question whose answer is true at some moment between the call and the answer.
    pub async fn query(&self, query: &Query) -> Result<Answered, ClientError> {
        self.query_as(&Caller::ROOT, query).await
    }

    /// Asks a question in somebody's name, or answers it from what is known.
    pub async fn query_as(&self, caller: &Caller, query: &Query) -> Result<Answered, ClientError> {
        self.ask_as(caller, query, Keeping::Answer).await
    }

    /// The same of a listing, after which it is mostly known what its entries are like, too.
    pub async fn list_as(&self, caller: &Caller, query: &Query) -> Result<Answered, ClientError> {
        self.ask_as(caller, query, Keeping::Attributes).await
    }

    async fn ask_as(
        &self,
        caller: &Caller,
        query: &Query,
        keeping: Keeping,
    ) -> Result<Answered, ClientError> {
        match &self.shared.tenant {
            Some(tenant) if caching::is_kept(query) => {
                self.shared.query_through(tenant, caller, query, keeping).await
            }
            _ => Ok(Shared::query(&self.shared, caller, query, Keeping::Nothing).await?.0),
        }
    }

    /// The chunk servers, as the leader sees them.
    pub async fn chunk_servers(&self) -> Result<ChunkServersReply, ClientError> {
        let ask = self.shared.ask(|client, deadline| async move {
            let cluster = ClusterClient::new(client.channel().clone());
            cluster.chunk_servers(&ChunkServersRequest {}, deadline).await
        });
        Ok(ask.await?.reply)
    }

    /// Ends the session. What it held is released at once instead of when it runs out.
    pub async fn close(self) -> Result<(), ClientError> {
        let request = wire::CloseSessionRequest { session: self.shared.id.0 };
        self.shared
            .ask(|client, deadline| async move { client.close_session(&request, deadline).await })
            .await?;
        let now = self.shared.env.clock().now();
        self.shared.lock().granted_until = now;
        self.shared.lose(now).await;
        Ok(())
    }
}

/// A change that has its number and is not asked for yet. The number goes back when it is dropped;
/// the change it may have asked for then takes effect at most once, or never.
pub struct Change<E: Env> {
    shared: Arc<Shared<E>>,
    sequence: u64,
    /// When its time is up.
    end: Instant,
}

impl<E: Env> Change<E> {
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// As root.
    pub async fn carry_out(self, op: &Op) -> Result<Answered, ClientError> {
        self.carry_out_as(&Caller::ROOT, op).await
    }

    pub async fn carry_out_as(self, caller: &Caller, op: &Op) -> Result<Answered, ClientError> {
        Ok(self.ask(caller, op, None).await?.0)
    }

    /// A change that makes a file which is open from then on. Without a hold it has to be opened, or was
    /// not made.
    pub async fn make_open_as(
        self,
        caller: &Caller,
        op: &Op,
    ) -> Result<(Answered, Option<Hold<E>>), ClientError> {
        let shared = self.shared.clone();
        let making = Making::begin(&shared);
        let asked = self.ask(caller, op, Some(&making)).await;
        let hold = match &asked {
            Ok((Answered { outcome: Ok(Answer::Attr(attr)), .. }, true)) => making.made(attr.inode),
            Ok((Answered { outcome: Err(_), .. }, _))
            | Err(ClientError::NotReached { .. } | ClientError::NoSpace { .. }) => {
                making.not_made();
                None
            }
            // An earlier attempt may have been heard.
            Ok(_) | Err(_) => {
                drop(making);
                None
            }
        };
        if plant!("creation-in-doubt-told-late", hold.is_none(), false) {
            // The leader may think that it is open.
            Shared::catch_up(&shared, None);
        }
        Ok((asked?.0, hold))
    }

    /// Answered, and whether the leader knows that what is being made is open.
    async fn ask(
        self,
        caller: &Caller,
        op: &Op,
        making: Option<&Making<E>>,
    ) -> Result<(Answered, bool), ClientError> {
        let (hold_number, hold_low_water) = making.map_or((0, 0), Making::numbers);
        let mut touching = caching::Touching::begin(&self.shared, op);
        let (lease_epoch, dropped) = touching.dropped();
        let mut request = wire::MutateRequest {
            session: self.shared.id.0,
            sequence: self.sequence,
            low_water: 0,
            slot: u32::from(op.slot().get()),
            slot_table_version: 0,
            op: Some(op.into()),
            caller: write_caller(caller),
            lease_epoch,
            dropped,
            hold_number,
            hold_low_water,
        };
        let ask = self.shared.ask_until(self.end, |client, deadline| {
            request.low_water = self.shared.lock().window.low_water();
            let request = request.clone();
            async move { client.mutate(&request, deadline).await }
        });
        let asked = ask.await;
        if let Err(ClientError::NotReached { .. } | ClientError::NoSpace { .. }) = &asked {
            touching.not_sent();
        }
        let Asked { reply, attempts, .. } = asked?;
        let answered = answered(reply.outcome, reply.index)?;
        // Asked again it may have been answered as of long ago.
        let mut granted = Granted::default();
        if attempts == 1 {
            granted = caching::granted(reply.lease_epoch, reply.leased, reply.attrs);
        }
        touching.changed(op, &answered, &granted);
        Ok((answered, reply.held))
    }
}

impl<E: Env> Drop for Change<E> {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.window.done(self.sequence);
        let woken: Vec<_> = inner.waiting.drain(..).collect();
        drop(inner);
        for wake in woken {
            let _ = wake.send(());
        }
    }
}

fn answered(
    outcome: Option<mooseng_net::proto::namespace::Outcome>,
    index: u64,
) -> Result<Answered, ClientError> {
    let malformed =
        |what: String| ClientError::Refused { what: format!("the answer makes no sense: {what}") };
    let outcome = outcome.ok_or_else(|| malformed("it has no outcome".to_owned()))?;
    let outcome = Outcome::try_from(outcome).map_err(|why| malformed(why.to_string()))?;
    Ok(Answered { outcome, index, cached: false })
}

/// What became of one attempt at one server.
enum Attempt<T> {
    Answered(T),
    /// `maybe`: it may have been carried out all the same.
    Missed {
        miss: Miss,
        why: String,
        maybe: bool,
    },
    /// There is no room for it: not carried out.
    Full(String),
    Over(ClientError),
}

fn judge<T>(result: Result<T, CallError>) -> Attempt<T> {
    let error = match result {
        Ok(reply) => return Attempt::Answered(reply),
        Err(error) => error,
    };
    let why = error.to_string();
    if matches!(&error, CallError::Status(status) if status.code == Code::UnknownSession) {
        return Attempt::Over(ClientError::SessionLost);
    }
    if matches!(&error, CallError::Status(status) if status.code == Code::NoSpace) {
        return Attempt::Full(why);
    }
    let maybe = error.maybe_carried_out();
    let Some(miss) = Miss::of(&error) else { return Attempt::Over(ClientError::Refused { what: why }) };
    Attempt::Missed { miss, why, maybe }
}

impl<E: Env> Shared<E> {
    fn lock(&self) -> MutexGuard<'_, Inner<E>> {
        // Nothing panics while it holds the lock; if something did, the maps are whole all the same.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holds(&self) -> MutexGuard<'_, Holds> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the time of something is up that begins now.
    fn end(&self) -> Instant {
        self.env.clock().now() + self.config.operation_timeout
    }

    async fn ask<T, F>(
        &self,
        call: impl FnMut(MetadataClient<E>, Instant) -> F,
    ) -> Result<Asked<T>, ClientError>
    where
        F: Future<Output = Result<T, CallError>> + Send,
    {
        self.ask_until(self.end(), call).await
    }

    /// Asks one server after another until there is an answer or the time is up. What is asked
    /// must be safe to ask again.
    async fn ask_until<T, F>(
        &self,
        end: Instant,
        mut call: impl FnMut(MetadataClient<E>, Instant) -> F,
    ) -> Result<Asked<T>, ClientError>
    where
        F: Future<Output = Result<T, CallError>> + Send,
    {
        let mut last = "nothing was tried".to_owned();
        // Of all attempts so far: what one of them may have done the later ones cannot undo.
        let mut maybe_carried_out = false;
        self.lock().budget.tried();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let now = self.env.clock().now();
            if now >= end && maybe_carried_out {
                return Err(ClientError::TimedOut { last });
            }
            if now >= end {
                return Err(ClientError::NotReached { last });
            }
            let (server, client) = self.client()?;
            // Each of the servers may have to be asked before the time is up.
            let share = end.since(now) / self.lock().route.servers() as u32;
            let most = self.config.attempt_timeout;
            let patience = plant!("attempt-leaves-others-no-time", most.min(share.max(SHARE_MIN)), most);
            let deadline = end.min(now + patience);
            let wait = match judge(call(client, deadline).await) {
                Attempt::Answered(reply) => {
                    self.lock().route.hit();
                    return Ok(Asked { reply, at: now, attempts });
                }
                Attempt::Over(error) => {
                    if error == ClientError::SessionLost {
                        self.lose(self.env.clock().now()).await;
                    }
                    return Err(error);
                }
                Attempt::Full(what) if !maybe_carried_out => {
                    return Err(ClientError::NoSpace { what });
                }
                // An earlier attempt may yet be carried out: only the log can tell.
                Attempt::Full(why) => {
                    probe!("no room for what was asked before");
                    last = format!("{server}: {why}");
                    self.pause(&server, Miss::Overloaded)
                }
                Attempt::Missed { miss, why, maybe } => {
                    last = format!("{server}: {why}");
                    maybe_carried_out |= maybe;
                    self.pause(&server, miss)
                }
            };
            if !wait.is_zero() {
                sleep(&self.env, wait).await;
            }
        }
    }

    /// How long to wait before the next attempt.
    fn pause(&self, server: &Address, miss: Miss) -> Duration {
        self.reroute(|inner| inner.route.pause(server, miss, &mut inner.budget, &mut inner.dice))
    }

    fn reroute(&self, missed: impl FnOnce(&mut Inner<E>) -> Duration) -> Duration {
        let inner = &mut *self.lock();
        let before = inner.route.current().clone();
        let wait = missed(inner);
        if *inner.route.current() != before {
            inner.rerouted.clear();
        }
        wait
    }

    /// The session is gone, and with it what it knew.
    async fn lose(&self, at: Instant) {
        self.lock().lose(at);
        if let Some(tenant) = &self.tenant {
            tenant.forget().await;
        }
    }

    /// The server to ask next, and a client for it.
    fn client(&self) -> Result<(Address, MetadataClient<E>), ClientError> {
        let mut inner = self.lock();
        if inner.lost.is_some() {
            return Err(ClientError::SessionLost);
        }
        let server = inner.route.current().clone();
        let channel = inner
            .channels
            .entry(server.clone())
            .or_insert_with(|| Channel::new(&self.env, server.clone(), self.config.channel))
            .clone();
        Ok((server, MetadataClient::new(channel)))
    }
}

/// Keeps the session alive until its last handle is gone or the service has forgotten it. Asks
/// three times in a lifetime, so that two answers in a row may be lost.
async fn keep_alive<E: Env>(session: Weak<Shared<E>>, mut lifetime: Duration) {
    loop {
        let Some(shared) = session.upgrade() else { return };
        let env = shared.env.clone();
        drop(shared);
        sleep(&env, lifetime / 3).await;
        let Some(shared) = session.upgrade() else { return };
        let request = wire::KeepAliveRequest { session: shared.id.0 };
        let reply =
            shared.ask(|client, deadline| async move { client.keep_alive(&request, deadline).await }).await;
        match reply {
            Ok(Asked { reply, at, .. }) => {
                lifetime = Duration::from_millis(reply.lifetime_ms);
                shared.lock().granted(at, lifetime);
                Shared::catch_up(&shared, reply.attach_wanted.then_some(Wanted::ByTerm(reply.attach_term)));
            }
            Err(ClientError::SessionLost) => return,
            Err(_) => {}
        }
    }
}
