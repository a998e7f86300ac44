//! A network within the process. Frames arrive at once; what may go wrong is switched by the test.

use super::nowhere::Sealed;
use bytes::Bytes;
use futures::StreamExt;
use futures::channel::mpsc;
use mooseng_core::env::{
    Accepted, Address, Body, Conn, Frame, FrameReceiver, FrameSender, Listener, Net, NetError, Received,
};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

#[derive(Default)]
pub(crate) struct TestNet {
    state: Mutex<NetState>,
}

#[derive(Default)]
struct NetState {
    listeners: BTreeMap<Address, mpsc::UnboundedSender<Accepted<TestConn>>>,
    pipes: Vec<Arc<Pipe>>,
    connected: usize,
}

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    state: Mutex<PipeState>,
}

#[derive(Default)]
struct PipeState {
    frames: VecDeque<Received>,
    wakers: Vec<Waker>,
    /// The sender is gone: after the last frame comes the end.
    ended: bool,
    broken: Option<NetError>,
    /// Sends wait.
    stalled: bool,
    /// Sends succeed and nothing arrives.
    silent: bool,
}

impl Pipe {
    fn change(&self, change: impl FnOnce(&mut PipeState)) {
        let wakers = {
            let mut state = self.state.lock().unwrap();
            change(&mut state);
            std::mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl TestNet {
    /// How many connections were ever made.
    pub(crate) fn connected(&self) -> usize {
        self.state.lock().unwrap().connected
    }

    /// Every connection breaks, as by a reset.
    pub(crate) fn reset(&self) {
        self.each_pipe(|pipe| pipe.broken = Some(NetError::Closed { what: "reset".into() }));
    }

    /// Sends wait from now on, or no longer.
    pub(crate) fn stall(&self, stalled: bool) {
        self.each_pipe(|pipe| pipe.stalled = stalled);
    }

    /// Nothing that is sent arrives from now on and nobody is told, or no longer.
    pub(crate) fn silence(&self, silent: bool) {
        self.each_pipe(|pipe| pipe.silent = silent);
    }

    /// The next thing every receiver sees is no frame.
    pub(crate) fn corrupt(&self) {
        self.each_pipe(|pipe| pipe.broken = Some(NetError::Rubbish { what: "a bit flipped".into() }));
    }

    fn each_pipe(&self, change: impl Fn(&mut PipeState)) {
        let pipes = self.state.lock().unwrap().pipes.clone();
        pipes.iter().for_each(|pipe| pipe.change(&change));
    }
}

impl Net for TestNet {
    type Extent = Sealed;
    type Conn = TestConn;
    type Listener = TestListener;

    async fn connect(&self, address: &Address) -> Result<TestConn, NetError> {
        let mut state = self.state.lock().unwrap();
        let unreachable = || NetError::Unreachable { address: address.clone(), what: "refused".into() };
        let listener = state.listeners.get(address).ok_or_else(unreachable)?;
        let (there, back) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
        let conn = TestConn { sends: back.clone(), receives: there.clone() };
        let peer = Address::new("caller");
        listener.unbounded_send(Accepted { conn, peer }).map_err(|_| unreachable())?;
        state.pipes.extend([there.clone(), back.clone()]);
        state.connected += 1;
        Ok(TestConn { sends: there, receives: back })
    }

    async fn listen(&self, address: &Address) -> Result<TestListener, NetError> {
        let (sender, incoming) = mpsc::unbounded();
        self.state.lock().unwrap().listeners.insert(address.clone(), sender);
        Ok(TestListener { address: address.clone(), incoming })
    }
}

pub(crate) struct TestListener {
    address: Address,
    incoming: mpsc::UnboundedReceiver<Accepted<TestConn>>,
}

impl Listener for TestListener {
    type Conn = TestConn;

    async fn accept(&mut self) -> Result<Accepted<TestConn>, NetError> {
        let closed = || NetError::Closed { what: "the world ends".into() };
        self.incoming.next().await.ok_or_else(closed)
    }

    fn address(&self) -> Address {
        self.address.clone()
    }
}

pub(crate) struct TestConn {
    sends: Arc<Pipe>,
    receives: Arc<Pipe>,
}

impl Conn for TestConn {
    type Extent = Sealed;
    type Sender = TestSender;
    type Receiver = TestReceiver;

    fn split(self) -> (TestSender, TestReceiver) {
        (TestSender(self.sends), TestReceiver(self.receives))
    }
}

pub(crate) struct TestSender(Arc<Pipe>);

impl Drop for TestSender {
    fn drop(&mut self) {
        self.0.change(|pipe| pipe.ended = true);
    }
}

impl FrameSender for TestSender {
    type Extent = Sealed;

    async fn send(&mut self, frame: Frame<Sealed>) -> Result<(), NetError> {
        poll_fn(|context| {
            let mut pipe = self.0.state.lock().unwrap();
            match &pipe.broken {
                Some(error) => Poll::Ready(Err(error.clone())),
                None if pipe.stalled => {
                    pipe.wakers.push(context.waker().clone());
                    Poll::Pending
                }
                None => Poll::Ready(Ok(())),
            }
        })
        .await?;
        let body = match frame.body {
            Body::Empty => Bytes::new(),
            Body::Bytes(bytes) | Body::Extent(Sealed(bytes)) => bytes,
        };
        self.0.change(|pipe| {
            if !pipe.silent {
                pipe.frames.push_back(Received { head: frame.head, body });
            }
        });
        Ok(())
    }
}

pub(crate) struct TestReceiver(Arc<Pipe>);

impl Drop for TestReceiver {
    fn drop(&mut self) {
        let gone = || NetError::Closed { what: "nobody receives".into() };
        self.0.change(|pipe| {
            pipe.broken.get_or_insert_with(gone);
        });
    }
}

impl FrameReceiver for TestReceiver {
    async fn recv(&mut self) -> Result<Option<Received>, NetError> {
        poll_fn(|context| {
            let mut pipe = self.0.state.lock().unwrap();
            if let Some(error) = &pipe.broken {
                return Poll::Ready(Err(error.clone()));
            }
            match pipe.frames.pop_front() {
                Some(frame) => Poll::Ready(Ok(Some(frame))),
                None if pipe.ended => Poll::Ready(Ok(None)),
                None => {
                    pipe.wakers.push(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
