//! A caller's end of one peer. Clones share one connection, which is made when it is first needed,
//! made again after it was lost, and closed when the last clone is gone. What is decided here is
//! decided by [`super::table`], [`super::breaker`] and [`super::liveness`]; [`super::link`] moves
//! the frames.

use super::backoff::BackoffConfig;
use super::breaker::{Breaker, Verdict};
use super::config::ChannelConfig;
use super::link;
use super::liveness::Liveness;
use super::method::{BodyOf, ExtentOf, Method};
use super::payload::Payload;
use super::status::{CallError, Code, Status};
use super::table::{Ending, Table, fits};
use bytes::Bytes;
use futures::channel::oneshot;
use mooseng_core::env::{Address, Body, Clock, Env, Extent, Received};
use mooseng_core::probe;
use mooseng_core::time::Instant;
use prost::Message;
use rand_chacha::ChaCha8Rng;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

pub struct Channel<E: Env> {
    handle: Arc<Handle<E>>,
}

impl<E: Env> Clone for Channel<E> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<E: Env> Channel<E> {
    /// Nothing is connected before the first call.
    pub fn new(env: &E, address: Address, config: ChannelConfig) -> Self {
        let state = State {
            table: Table::new(&config),
            breaker: Breaker::new(config.breaker),
            liveness: Liveness::new(config.liveness),
            sending: false,
            link: Link::Asleep,
            failures: 0,
            connect_after: Instant::ZERO,
            last_line: String::new(),
            dice: None,
            waker: None,
            closed: false,
        };
        let shared = Shared { env: env.clone(), address, config, state: Mutex::new(state) };
        Self { handle: Arc::new(Handle { shared: Arc::new(shared) }) }
    }

    pub fn address(&self) -> &Address {
        &self.handle.shared.address
    }

    /// Calls a method; the answer's head is its message. The deadline travels with the call.
    /// Dropping the future takes the call back: the server drops what it does for it.
    pub async fn call(
        &self,
        method: &'static Method,
        message: Bytes,
        body: BodyOf<E>,
        deadline: Instant,
    ) -> Result<Received, CallError> {
        self.begin(method, Payload::from_bytes(&message), body, deadline)?.await
    }

    /// As [`Channel::call`], with messages of their own types.
    pub async fn call_message<M: Message, R: Message + Default>(
        &self,
        method: &'static Method,
        request: &M,
        body: BodyOf<E>,
        deadline: Instant,
    ) -> Result<(R, Bytes), CallError> {
        let answer = self.begin(method, Payload::of(request), body, deadline)?.await?;
        // It was carried out, but what came of it cannot be read.
        let reply = R::decode(answer.head)
            .map_err(|error| CallError::Lost(format!("{}: the reply: {error}", method.name)))?;
        Ok((reply, answer.body))
    }

    /// Sends a one-way message. It may be lost, and is if the queue is full.
    pub fn notify(&self, method: &'static Method, message: Bytes) -> Result<(), CallError> {
        self.tell(method, Payload::from_bytes(&message))
    }

    /// As [`Channel::notify`], with a message of its own type.
    pub fn notify_message<M: Message>(&self, method: &'static Method, message: &M) -> Result<(), CallError> {
        self.tell(method, Payload::of(message))
    }

    fn tell(&self, method: &'static Method, payload: Payload) -> Result<(), CallError> {
        assert!(method.one_way, "{} is answered: call it", method.name);
        let shared = &self.handle.shared;
        if !fits(&payload, &Body::<ExtentOf<E>>::Empty) {
            return Err(too_large(method));
        }
        if shared.env.buggify("rpc-notify-lost") {
            return Ok(());
        }
        let now = shared.env.clock().now();
        let mut state = shared.lock();
        // Over a connection that stands it goes whatever became of calls; it waits for no answer.
        if !state.is_connected() {
            shared.admit(&mut state, now)?;
        }
        state.table.notify(method.number, payload)?;
        shared.rouse(state);
        Ok(())
    }

    fn begin(
        &self,
        method: &'static Method,
        payload: Payload,
        body: BodyOf<E>,
        deadline: Instant,
    ) -> Result<Ticket<E>, CallError> {
        assert!(!method.one_way, "{} is never answered: notify it", method.name);
        let shared = &self.handle.shared;
        if !fits(&payload, &body) {
            return Err(too_large(method));
        }
        let now = shared.env.clock().now();
        if deadline <= now {
            return Err(CallError::too_late());
        }
        let mut state = shared.lock();
        shared.admit(&mut state, now)?;
        let (number, ending) = state.table.begin(method.number, payload, body, deadline)?;
        shared.rouse(state);
        Ok(Ticket { handle: self.handle.clone(), number, ending, over: false })
    }
}

fn too_large(method: &Method) -> CallError {
    CallError::Status(Status::new(Code::Invalid, format!("{}: the message is too large", method.name)))
}

/// What the clones of a channel share; the link lives while it does.
pub(super) struct Handle<E: Env> {
    shared: Arc<Shared<E>>,
}

impl<E: Env> Drop for Handle<E> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }
}

pub(super) struct Shared<E: Env> {
    pub(super) env: E,
    pub(super) address: Address,
    pub(super) config: ChannelConfig,
    state: Mutex<State<ExtentOf<E>>>,
}

pub(super) struct State<X> {
    pub(super) table: Table<X>,
    breaker: Breaker,
    pub(super) liveness: Liveness,
    /// A frame is being handed to the connection, which may hold it back.
    pub(super) sending: bool,
    link: Link,
    /// Connections that failed, or were never made, since the peer last answered.
    failures: u32,
    pub(super) connect_after: Instant,
    /// The last line an operator was told about this peer, so as not to repeat it.
    last_line: String,
    dice: Option<ChaCha8Rng>,
    /// Of the link's task.
    waker: Option<Waker>,
    pub(super) closed: bool,
}

/// What becomes of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Link {
    /// There is none, and no task that makes one.
    Asleep,
    Connecting,
    Connected,
}

impl<X: Extent> State<X> {
    fn is_connected(&self) -> bool {
        self.link == Link::Connected
    }

    /// The link's task waits for whatever changes the state.
    pub(super) fn register(&mut self, context: &Context<'_>) {
        match &self.waker {
            Some(waker) if waker.will_wake(context.waker()) => {}
            _ => self.waker = Some(context.waker().clone()),
        }
    }

    /// The peer has answered a call or a ping. A hello is no such sign: a server that falls over
    /// whenever it is asked something says hello before.
    pub(super) fn succeeded(&mut self, now: Instant) {
        self.liveness.heard();
        // What it has not answered or taken yet may be all that it ever leaves behind: the silence
        // begins anew. A peer that is merely slow answers the ping.
        if self.sending || self.table.expects_answers() {
            self.liveness.spoke(now);
        }
        self.failures = 0;
        if self.breaker.succeeded() {
            probe!("rpc breaker closed again");
        }
    }

    pub(super) fn failed(&mut self, now: Instant) {
        if self.breaker.failed(now) == Verdict::Opened {
            probe!("rpc breaker opened");
        }
    }
}

impl<E: Env> Shared<E> {
    /// No code panics while it holds this lock; if one did, the state would still be sound.
    pub(super) fn lock(&self) -> MutexGuard<'_, State<ExtentOf<E>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, state: &mut State<ExtentOf<E>>, now: Instant) -> Result<(), CallError> {
        state.breaker.admit(now).map_err(|until| {
            let rest = until.since(now);
            CallError::Unreachable(format!(
                "{}: it keeps failing and is left alone for {rest:?}",
                self.address
            ))
        })
    }

    /// Something is queued: wakes the link, or makes one.
    fn rouse(self: &Arc<Self>, mut state: MutexGuard<'_, State<ExtentOf<E>>>) {
        if state.link == Link::Asleep {
            state.link = Link::Connecting;
            drop(state);
            self.env.spawn("rpc link", link::run(self.clone()));
        } else if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }

    /// The hellos were exchanged.
    pub(super) fn connected(&self) {
        let mut state = self.lock();
        assert_eq!(state.link, Link::Connecting, "a channel has one link");
        state.link = Link::Connected;
        state.last_line.clear();
    }

    /// The link is over; the next call makes another. `line`: what an operator should hear.
    pub(super) fn disconnected(&self, why: &str, line: bool) {
        let now = self.env.clock().now();
        let mut state = self.lock();
        let never_connected = !state.is_connected();
        let calls_failed = state.table.lose(&format!("{}: {why}", self.address));
        state.link = Link::Asleep;
        state.waker = None;
        state.liveness = Liveness::new(self.config.liveness);
        state.sending = false;
        if never_connected || calls_failed {
            state.failures = state.failures.saturating_add(1);
            let wait = state.wait(&self.env, &self.address, self.config.backoff);
            state.connect_after = now + wait;
            state.failed(now);
        }
        if line && state.last_line != why {
            state.last_line = why.to_owned();
            drop(state);
            self.env.note(mooseng_core::event::Event::Note(format!("{}: {why}", self.address)));
        }
    }

    fn abandon(&self, number: u64) {
        // Telling is a courtesy: the deadline ends the call at the server too.
        let tell = !self.env.buggify("rpc-cancel-not-sent");
        let mut state = self.lock();
        if !state.table.abandon(number, tell) {
            return;
        }
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }
}

impl<X: Extent> State<X> {
    fn wait<E: Env>(&mut self, env: &E, address: &Address, backoff: BackoffConfig) -> std::time::Duration {
        let key = u64::from(mooseng_core::checksum::crc32c(address.as_str().as_bytes()));
        let dice = self.dice.get_or_insert_with(|| env.rng("rpc backoff", key));
        backoff.wait(self.failures, dice)
    }
}

/// A call under way.
struct Ticket<E: Env> {
    /// A channel lives while one of its calls does.
    handle: Arc<Handle<E>>,
    number: u64,
    ending: oneshot::Receiver<Ending>,
    over: bool,
}

impl<E: Env> Future for Ticket<E> {
    type Output = Ending;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ending> {
        match Pin::new(&mut self.ending).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(ending) => {
                self.over = true;
                let gone = || CallError::Lost("the caller's side is shutting down".to_owned());
                Poll::Ready(ending.unwrap_or_else(|oneshot::Canceled| Err(gone())))
            }
        }
    }
}

impl<E: Env> Drop for Ticket<E> {
    fn drop(&mut self) {
        if !self.over {
            self.handle.shared.abandon(self.number);
        }
    }
}
