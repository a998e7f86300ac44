//! Calls over the real frame code: on this computer's TCP, with bodies that the kernel moves from
//! the disk to the socket, and over turmoil's, where a cable can be pulled.

#[path = "support/real.rs"]
mod real;
#[path = "support/simulated.rs"]
mod simulated;
mod support;

use bytes::Bytes;
use futures::channel::oneshot;
use futures::future::{join_all, select};
use mooseng_core::env::{Address, Body, Clock, Disk, Env, File, Net, OpenMode, sleep};
use mooseng_net::rpc::{
    CallError, Channel, ChannelConfig, Code, ExtentOf, Handler, Incoming, Method, Reply, Rooms, ServerConfig,
    Status, serve,
};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

static ECHO: Method = Method { number: 1, name: "Test.Echo", one_way: false };
/// Answers with a piece of a file behind the message.
static PIECE: Method = Method { number: 2, name: "Test.Piece", one_way: false };
/// Never answers.
static SILENCE: Method = Method { number: 3, name: "Test.Silence", one_way: false };
static STOP: Method = Method { number: 4, name: "Test.Stop", one_way: false };

const FILE_BYTES: usize = 3 << 20;

fn pattern(len: usize) -> Bytes {
    Bytes::from_iter((0..len as u64).map(|index| mooseng_core::chance::mix(index) as u8))
}

struct Service<E: Env> {
    file: <E::Disk as Disk>::File,
    stop: Arc<Mutex<Option<oneshot::Sender<()>>>>,
}

impl<E: Env> Clone for Service<E> {
    fn clone(&self) -> Self {
        Self { file: self.file.clone(), stop: self.stop.clone() }
    }
}

impl<E: Env> Handler<E> for Service<E> {
    fn serves(&self, method: u32) -> bool {
        (1..=4).contains(&method)
    }

    fn is_vital(&self, _: u32) -> bool {
        false
    }

    async fn handle(&self, method: u32, incoming: Incoming) -> Result<Reply<ExtentOf<E>>, Status> {
        let Incoming { message, body, .. } = incoming;
        match method {
            1 => Ok(Reply::from_bytes(&message, Body::Bytes(body))),
            2 => {
                let range = message.first_chunk::<8>().ok_or(Status::new(Code::Invalid, "no range"))?;
                let [offset, len] = [&range[..4], &range[4..]]
                    .map(|half| u64::from(u32::from_le_bytes(half.try_into().expect("four bytes"))));
                match self.file.extent(offset, len).await {
                    Ok(extent) => Ok(Reply::from_bytes(&message, Body::Extent(extent))),
                    Err(error) => Err(Status::new(Code::Invalid, error.to_string())),
                }
            }
            3 => std::future::pending().await,
            _ => {
                // The answer is on its way before the server stops; if not, the caller sees a loss.
                if let Some(stop) = self.stop.lock().expect("nobody panics").take() {
                    let _ = stop.send(());
                }
                Ok(Reply::nothing())
            }
        }
    }
}

async fn listen<E: Env>(env: E, address: Address) {
    let file = env.disk().open("file", OpenMode::New).await.expect("a new file");
    file.write_at(0, pattern(FILE_BYTES)).await.expect("the disk takes bytes");
    let (stop, stopped) = oneshot::channel();
    let service = Service::<E> { file, stop: Arc::new(Mutex::new(Some(stop))) };
    let listener = env.net().listen(&address).await.expect("the address is free");
    let serving = pin!(serve(
        env.clone(),
        listener,
        service,
        ServerConfig::default(),
        Rooms::new(&ServerConfig::default())
    ));
    select(serving, stopped).await;
}

/// Asks until there is an answer, as somebody would whose call may be carried out twice.
async fn ask<E: Env>(
    env: &E,
    channel: &Channel<E>,
    method: &'static Method,
    message: Bytes,
    body: Bytes,
) -> Result<(Bytes, Bytes), Status> {
    loop {
        let deadline = env.clock().now() + Duration::from_secs(5);
        match channel.call(method, message.clone(), Body::Bytes(body.clone()), deadline).await {
            Ok(answer) => return Ok((answer.head, answer.body)),
            Err(CallError::Status(status)) => return Err(status),
            Err(_) => sleep(env, Duration::from_millis(20)).await,
        }
    }
}

async fn many_calls<E: Env>(env: &E, channel: &Channel<E>) {
    let echoes = (0..300_usize).map(|index| async move {
        let (message, body) = (pattern(index * 31), pattern(index * 997 % 70_000));
        let answer = ask(env, channel, &ECHO, message.clone(), body.clone()).await;
        assert!(answer == Ok((message, body)), "call {index} got another answer than its own");
    });
    let pieces = (0..20_u32).map(|index| async move {
        let (offset, len) = (index * 50_021, 1_000_000 + index);
        let range = Bytes::from([offset.to_le_bytes(), len.to_le_bytes()].concat());
        let (_, body) = ask(env, channel, &PIECE, range, Bytes::new()).await.expect("a piece of the file");
        let wanted = pattern(FILE_BYTES).slice(offset as usize..(offset + len) as usize);
        assert!(body == wanted, "piece {index} is not what the file holds");
    });
    futures::join!(join_all(echoes), join_all(pieces));
}

async fn dial<E: Env>(env: E, address: Address) {
    let channel = Channel::new(&env, address, ChannelConfig::default());
    many_calls(&env, &channel).await;
    let beyond = Bytes::from([u32::MAX.to_le_bytes(), [1, 0, 0, 0]].concat());
    let refused = ask(&env, &channel, &PIECE, beyond, Bytes::new()).await;
    assert!(refused.is_err_and(|status| status.code == Code::Invalid), "a range beyond the file");
    let deadline = env.clock().now() + Duration::from_millis(50);
    let silence = channel.call(&SILENCE, Bytes::new(), Body::Empty, deadline).await;
    assert_eq!(silence, Err(CallError::Deadline));
    stop(&env, &channel).await;
}

async fn stop<E: Env>(env: &E, channel: &Channel<E>) {
    let deadline = env.clock().now() + Duration::from_secs(5);
    // Lost or answered, it has stopped.
    let _ = channel.call(&STOP, Bytes::new(), Body::Empty, deadline).await;
}

#[test]
fn calls_on_this_computer() {
    real::run_pair(listen, dial);
}

#[test]
fn calls_between_simulated_hosts() {
    simulated::run_pair(listen, dial);
}

/// A send may be held back when the peer dies, and something may have been heard after its frame was
/// taken up: the silence counts all the same.
#[test]
fn a_channel_that_is_held_back_is_given_up() {
    simulated::run_pair(listen, |env, address| async move {
        let channel = Channel::new(&env, address, ChannelConfig::default());
        ask(&env, &channel, &ECHO, Bytes::new(), Bytes::new()).await.expect("an answer");
        let pulled = async {
            sleep(&env, Duration::from_millis(7)).await;
            turmoil::partition(simulated::LISTENER, simulated::DIALLER);
            sleep(&env, Duration::from_millis(1_500)).await;
            turmoil::repair(simulated::LISTENER, simulated::DIALLER);
        };
        let callers = (0..300_usize).map(|caller| {
            let (env, channel) = (&env, &channel);
            async move {
                let body = pattern(caller * 233);
                let answer = ask(env, channel, &ECHO, body.clone(), Bytes::new()).await;
                assert_eq!(answer, Ok((body, Bytes::new())));
            }
        });
        futures::join!(pulled, join_all(callers));
        stop(&env, &channel).await;
    });
}

/// Turmoil drops what is sent over a pulled cable and sends nothing again, so the connection is
/// dead without either side being told.
#[test]
fn calls_outlive_a_pulled_cable() {
    simulated::run_pair(listen, |env, address| async move {
        let channel = Channel::new(&env, address, ChannelConfig::default());
        ask(&env, &channel, &ECHO, Bytes::new(), Bytes::new()).await.expect("an answer");
        let pulled = async {
            for _ in 0..3 {
                sleep(&env, Duration::from_millis(207)).await;
                turmoil::partition(simulated::LISTENER, simulated::DIALLER);
                sleep(&env, Duration::from_millis(1_500)).await;
                turmoil::repair(simulated::LISTENER, simulated::DIALLER);
            }
        };
        let callers = (0..10_usize).map(|caller| {
            let (env, channel) = (&env, &channel);
            async move {
                for index in 0..100 {
                    let message = pattern(caller * 1_000 + index);
                    let answer = ask(env, channel, &ECHO, message.clone(), Bytes::new()).await;
                    assert_eq!(answer, Ok((message, Bytes::new())));
                }
            }
        });
        futures::join!(pulled, join_all(callers));
        stop(&env, &channel).await;
    });
}
