//! One connection of a server: reads calls, lets the handler carry them out side by side, sends
//! each answer when it is there. One task does all of it, in turns; what to do about a frame is
//! decided by [`super::desk`].

use super::alarm::Alarm;
use super::answers::Answers;
use super::complaints::Complaints;
use super::config::ServerConfig;
use super::desk::{Desk, Task, Wish};
use super::hello::{self, Introduction};
use super::method::{ExtentOf, Handler, Reply};
use super::room::{Rooms, Seat};
use super::status::Status;
use futures::channel::oneshot;
use futures::future::{Abortable, Aborted};
use futures::stream::{FuturesUnordered, Stream, StreamExt, unfold};
use mooseng_core::env::{
    Address, Body, Clock, Conn, Env, Frame, FrameReceiver, FrameSender, Net, NetError, Received, timeout,
};
use mooseng_core::probe;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

pub(super) struct Connection<E, H> {
    pub(super) env: E,
    pub(super) peer: Address,
    pub(super) handler: H,
    pub(super) config: ServerConfig,
    pub(super) rooms: Rooms,
    pub(super) complaints: Complaints,
}

/// Why a connection is over.
enum End {
    /// The peer went away, or we have nothing more to do for it.
    Done,
    /// The peer sent what no sound caller sends.
    CutOff(String),
}

type Arrival = Result<Option<Received>, NetError>;
type SenderOf<E> = <<<E as Env>::Net as Net>::Conn as Conn>::Sender;
/// A call's number and what it came to, unless it was dropped.
type CarriedOut<E> = (u64, Result<Result<Reply<ExtentOf<E>>, Status>, Aborted>);

impl<E: Env, H: Handler<E>> Connection<E, H> {
    /// Runs until the connection is over. When the other end of `drain` is dropped it takes on
    /// nothing more and ends with the last call that is under way.
    pub(super) async fn run(self, conn: <E::Net as Net>::Conn, drain: oneshot::Receiver<()>) {
        let (mut sender, receiver) = conn.split();
        let receive = |mut receiver: <<E::Net as Net>::Conn as Conn>::Receiver| async move {
            Some((receiver.recv().await, receiver))
        };
        let mut frames = pin!(unfold(receiver, receive));
        let hello_max = self.config.hello_max;
        let end = match timeout(&self.env, hello_max, self.meet(&mut sender, frames.as_mut())).await {
            Ok(Ok((seat, control))) => self.serve(frames, sender, drain, seat, control).await,
            Ok(Err(end)) => end,
            Err(_) => End::CutOff(format!("it did not say hello within {hello_max:?}")),
        };
        if let End::CutOff(why) = end {
            probe!("rpc server cuts off a peer");
            self.complaints.tell(&self.env, &self.peer, format!("{} was cut off: {why}", self.peer));
        }
    }

    /// Exchanges hellos, and takes a place among the servers (`true`) or the clients. A stranger, and
    /// whoever finds no room, is given our hello all the same, so that both sides can say why.
    async fn meet(
        &self,
        sender: &mut SenderOf<E>,
        mut frames: Pin<&mut impl Stream<Item = Arrival>>,
    ) -> Result<(Seat, bool), End> {
        let first = match frames.next().await {
            Some(Ok(Some(first))) => first,
            Some(Err(NetError::Rubbish { what })) => return Err(End::CutOff(what)),
            Some(Ok(None) | Err(_)) | None => return Err(End::Done),
        };
        let mut ours = Introduction::new(self.config.versions, self.config.cluster, self.config.build);
        let met = hello::meet(&ours, &first.head);
        let seat = match &met {
            Ok(met) => self.rooms.of(met.control).enter(self.env.clock().now()),
            Err(_) => None,
        };
        if met.is_ok() && seat.is_none() {
            ours.refusal = "it has as many connections as it may";
        }
        sender.send(Frame { head: ours.head(), body: Body::Empty }).await.map_err(|_| End::Done)?;
        let met = met.map_err(End::CutOff)?;
        Ok((seat.ok_or(End::Done)?, met.control))
    }

    /// Calls in, answers out, until the connection is over.
    async fn serve(
        &self,
        mut frames: Pin<&mut impl Stream<Item = Arrival>>,
        sender: SenderOf<E>,
        mut drain: oneshot::Receiver<()>,
        mut seat: Seat,
        control: bool,
    ) -> End {
        let clock = self.env.clock();
        let room = self.rooms.of(control);
        let mut desk = Desk::new(self.peer.clone(), self.config, room, clock.now());
        let answers = Answers::new(room.share().connection_calls_max);
        let mut sending = pin!(send(sender, &answers));
        let mut running = FuturesUnordered::new();
        let mut alarm = Alarm::new();
        poll_fn(|context| {
            loop {
                if !desk.is_draining() && Pin::new(&mut drain).poll(context).is_ready() {
                    desk.drain(clock.now());
                }
                // What is done goes first: it makes room.
                collect::<E>(&mut running, &mut desk, &answers, context);
                seat.idle(desk.idle_since());
                if Pin::new(&mut seat.asked_to_leave).poll(context).is_ready() {
                    return Poll::Ready(End::Done);
                }
                while alarm.rings(desk.due(), |due| clock.sleep_until(due), context) {
                    expire(&mut desk, &answers, clock.now());
                    if desk.is_over(clock.now(), answers.are_sent()) {
                        return Poll::Ready(End::Done);
                    }
                }
                let was_full = answers.are_full();
                if !was_full && let Poll::Ready(arrival) = frames.as_mut().poll_next(context) {
                    match self.arrived(&mut desk, arrival) {
                        Ok(Wish::Nothing) => {}
                        Ok(Wish::Send(frame)) => answers.push(frame),
                        Ok(Wish::CarryOut(task)) => running.push(carry_out(self.handler.clone(), task)),
                        Err(end) => return Poll::Ready(end),
                    }
                    continue;
                }
                let gone = sending.as_mut().poll(context).is_ready();
                if gone || desk.is_over(clock.now(), answers.are_sent()) {
                    return Poll::Ready(End::Done);
                }
                if !was_full || answers.are_full() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    fn arrived(&self, desk: &mut Desk, arrival: Option<Arrival>) -> Result<Wish<ExtentOf<E>>, End> {
        match arrival {
            Some(Ok(Some(received))) => {
                let crowded = self.env.buggify("rpc-server-overloaded");
                let vital = |method| self.handler.is_vital(method);
                desk.arrived(self.env.clock().now(), received, vital, crowded).map_err(End::CutOff)
            }
            Some(Err(NetError::Rubbish { what })) => Err(End::CutOff(what)),
            Some(Ok(None) | Err(_)) | None => Err(End::Done),
        }
    }
}

async fn carry_out<E: Env, H: Handler<E>>(handler: H, task: Task) -> CarriedOut<E> {
    let work = handler.handle(task.method, task.incoming);
    (task.number, Abortable::new(work, task.abort).await)
}

/// Puts the answers of the calls that are done where they are sent from.
fn collect<E: Env>(
    running: &mut FuturesUnordered<impl Future<Output = CarriedOut<E>>>,
    desk: &mut Desk,
    answers: &Answers<ExtentOf<E>>,
    context: &mut Context<'_>,
) {
    while let Poll::Ready(Some((number, result))) = running.poll_next_unpin(context) {
        // A call that was dropped is off the books already.
        let Ok(result) = result else { continue };
        if let Some(frame) = desk.carried_out(number, result) {
            answers.push(frame);
        }
    }
}

fn expire<X: mooseng_core::env::Extent>(
    desk: &mut Desk,
    answers: &Answers<X>,
    now: mooseng_core::time::Instant,
) {
    while let Some(wish) = desk.expire(now) {
        if let Wish::Send(frame) = wish {
            answers.push(frame);
        }
    }
}

/// Ends when nothing can be sent any more.
async fn send<S: FrameSender>(mut sender: S, answers: &Answers<S::Extent>) {
    loop {
        let frame = answers.next().await;
        if sender.send(frame).await.is_err() {
            return;
        }
    }
}
