//! One connection of a channel, from the wait before it is made to its end: sends what the channel
//! has queued, hands it what arrives, and looks at the clock for it.

use super::alarm::Alarm;
use super::channel::Shared;
use super::config::ChannelConfig;
use super::head::{HEAD_BYTES, Head, Kind};
use super::hello::{self, Introduction};
use super::liveness::Due;
use super::method::ExtentOf;
use super::status::Status;
use crate::proto::rpc::StatusDetail;
use futures::future::{Either, select};
use mooseng_core::env::{
    Body, Clock, Conn, Env, Frame, FrameReceiver, FrameSender, Net, NetError, Received, timeout_at,
};
use mooseng_core::probe;
use mooseng_core::time::Instant;
use prost::Message;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Why a link ended.
struct End {
    why: String,
    /// Worth a line for an operator: not what networks do every day.
    line: bool,
}

impl End {
    fn plain(why: impl Into<String>) -> Self {
        Self { why: why.into(), line: false }
    }

    fn remarkable(why: impl Into<String>) -> Self {
        Self { why: why.into(), line: true }
    }
}

impl From<NetError> for End {
    fn from(error: NetError) -> Self {
        match error {
            // The address is said by whoever reports this.
            NetError::Unreachable { what, .. } => End::plain(what),
            NetError::Rubbish { .. } => End::remarkable(error.to_string()),
            _ => End::plain(error.to_string()),
        }
    }
}

/// Ends when the connection does, or when nobody has a handle on the channel any more.
pub(super) async fn run<E: Env>(shared: Arc<Shared<E>>) {
    let end = {
        let connection = pin!(connection(&shared));
        let clock = pin!(keep_time(&shared));
        match select(connection, clock).await {
            Either::Left((end, _)) | Either::Right((end, _)) => end,
        }
    };
    shared.disconnected(&end.why, end.line);
}

async fn connection<E: Env>(shared: &Shared<E>) -> End {
    let clock = shared.env.clock();
    let connect_after = shared.lock().connect_after;
    if connect_after > clock.now() {
        clock.sleep_until(connect_after).await;
    }
    let connect_until = clock.now() + shared.config.connect_max;
    let met = match timeout_at(&shared.env, connect_until, meet(shared)).await {
        Ok(met) => met,
        Err(_) => Err(End::plain(format!("no connection within {:?}", shared.config.connect_max))),
    };
    let (sender, receiver) = match met {
        Ok(halves) => halves,
        Err(end) => return end,
    };
    shared.connected();
    match select(pin!(send(shared, sender)), pin!(receive(shared, receiver))).await {
        Either::Left((end, _)) | Either::Right((end, _)) => end,
    }
}

type ConnOf<E> = <<E as Env>::Net as Net>::Conn;
type Halves<E> = (<ConnOf<E> as Conn>::Sender, <ConnOf<E> as Conn>::Receiver);

/// Connects, and exchanges hellos.
async fn meet<E: Env>(shared: &Shared<E>) -> Result<Halves<E>, End> {
    let ChannelConfig { versions, cluster, build, control, .. } = shared.config;
    let ours = Introduction { control, ..Introduction::new(versions, cluster, build) };
    let (mut sender, mut receiver) = shared.env.net().connect(&shared.address).await?.split();
    sender.send(Frame { head: ours.head(), body: Body::Empty }).await?;
    let Some(first) = receiver.recv().await? else {
        return Err(End::plain("it closed the connection instead of saying hello"));
    };
    match hello::meet(&ours, &first.head) {
        Ok(met) if met.refusal.is_empty() => Ok((sender, receiver)),
        Ok(met) => {
            probe!("rpc caller turned away");
            Err(End::plain(format!("it turned us away: {}", met.refusal)))
        }
        Err(line) => {
            probe!("rpc caller turns away from a stranger");
            Err(End::remarkable(line))
        }
    }
}

async fn send<E: Env>(shared: &Shared<E>, mut sender: <ConnOf<E> as Conn>::Sender) -> End {
    loop {
        let frame = next_frame(shared).await;
        if let Err(error) = sender.send(frame).await {
            return error.into();
        }
        if shared.env.buggify("rpc-connection-lost-after-a-send") {
            return End::plain("lost by buggify after a send");
        }
    }
}

fn next_frame<E: Env>(shared: &Shared<E>) -> impl Future<Output = Frame<ExtentOf<E>>> {
    poll_fn(|context| {
        let mut state = shared.lock();
        let now = shared.env.clock().now();
        state.sending = false;
        if let Some(frame) = state.table.next_frame(now) {
            state.sending = true;
            state.liveness.spoke(now);
            return Poll::Ready(frame);
        }
        state.register(context);
        Poll::Pending
    })
}

async fn receive<E: Env>(shared: &Shared<E>, mut receiver: <ConnOf<E> as Conn>::Receiver) -> End {
    loop {
        match receiver.recv().await {
            Ok(Some(received)) => {
                if let Err(what) = take(shared, received) {
                    probe!("rpc caller cuts off a peer for rubbish");
                    return End::remarkable(format!("it was cut off: {what}"));
                }
            }
            Ok(None) => return End::plain("the peer closed the connection"),
            Err(error) => return error.into(),
        }
    }
}

/// Hands a frame to the call it belongs to. What no sound server sends is an error.
fn take<E: Env>(shared: &Shared<E>, mut received: Received) -> Result<(), String> {
    let head = Head::decode(&received.head).map_err(|error| error.to_string())?;
    received.head = received.head.slice(HEAD_BYTES..);
    let ending = match head.kind {
        Kind::Answer => Ok(received),
        Kind::Refusal => {
            let detail =
                StatusDetail::decode(received.head).map_err(|error| format!("a refusal: {error}"))?;
            Err(Status::from(detail).into())
        }
        Kind::Pong => {
            let now = shared.env.clock().now();
            shared.lock().succeeded(now);
            return Ok(());
        }
        Kind::Hello | Kind::Call | Kind::Notify | Kind::Cancel | Kind::Ping => {
            return Err(format!("a server does not send a {:?}", head.kind));
        }
    };
    let mut state = shared.lock();
    if state.table.was_never_sent(head.number) {
        return Err(format!("it answers call {}, which it was not sent", head.number));
    }
    state.table.end(head.number, ending);
    state.succeeded(shared.env.clock().now());
    Ok(())
}

/// Ends calls at their deadlines, pings, and ends when the peer has gone silent or the channel is
/// no longer needed.
async fn keep_time<E: Env>(shared: &Shared<E>) -> End {
    let clock = shared.env.clock();
    let mut alarm = Alarm::new();
    poll_fn(|context| {
        loop {
            let Some(due) = next_due(shared, context) else {
                return Poll::Ready(End::plain("nobody needs the channel any more"));
            };
            if !alarm.rings(due, |due| clock.sleep_until(due), context) {
                return Poll::Pending;
            }
            if let Some(end) = look_at_the_clock(shared, context) {
                return Poll::Ready(end);
            }
        }
    })
    .await
}

/// When something is due next (never is the end of time), or `None` if the channel is closed.
fn next_due<E: Env>(shared: &Shared<E>, context: &Context<'_>) -> Option<Instant> {
    let mut state = shared.lock();
    if state.closed {
        return None;
    }
    state.register(context);
    let dues = [state.table.due(), state.liveness.due()];
    Some(dues.into_iter().flatten().min().unwrap_or(Instant::MAX))
}

fn look_at_the_clock<E: Env>(shared: &Shared<E>, context: &Context<'_>) -> Option<End> {
    let now = shared.env.clock().now();
    let mut state = shared.lock();
    let expired = state.table.expire(now);
    if expired.unanswered > 0 {
        probe!("rpc deadline passed without an answer");
        state.failed(now);
    }
    match state.liveness.look(now) {
        Due::Nothing => None,
        Due::Ping => {
            state.table.ping();
            // The sender, in this same task, has looked at the queue already.
            context.waker().wake_by_ref();
            None
        }
        Due::GiveUp => {
            probe!("rpc connection given up for its silence");
            let silence = shared.config.liveness.silence_max;
            Some(End::plain(format!("nothing was heard for {silence:?}")))
        }
    }
}
