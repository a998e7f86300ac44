//! A connection and its sending half: frames, as bytes, in segments that arrive one after the other.

use super::link::{End, Segment, Window};
use super::receiver::MadReceiver;
use crate::disk::MadExtent;
use bytes::{Buf, Bytes};
use futures::FutureExt;
use madsim::net::{Receiver, Sender};
use mooseng_core::env::{Body, Conn, Frame, FrameSender, NetError};
use mooseng_net::frame;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::Poll;

/// What travels at once. Frames longer than this arrive in pieces.
const SEGMENT_BYTES: usize = 128 << 10;

/// A pair of channels between two endpoints, over which nothing was said yet.
pub(super) struct Knock {
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
}

/// The first thing that is said, by the end that was called: what both ends keep of each direction.
#[derive(Clone, Default)]
pub(super) struct Welcome {
    called_to_caller: Arc<Window>,
    caller_to_called: Arc<Window>,
}

impl Knock {
    pub(super) async fn wait_for_welcome(mut self) -> io::Result<MadConn> {
        let refused = || io::Error::other("the connection was refused");
        let payload = self.receiver.recv().await.map_err(|_| refused())?;
        let welcome = payload.downcast::<Welcome>().map_err(|_| refused())?;
        let end = End::new(self.sender);
        let (sending, receiving) = (welcome.caller_to_called, welcome.called_to_caller);
        Ok(MadConn { end, sending, receiving, receiver: self.receiver })
    }

    pub(super) fn welcome(self, welcome: Welcome) -> MadConn {
        let _ = self.sender.send(Box::new(welcome.clone())).now_or_never();
        let end = End::new(self.sender);
        let (sending, receiving) = (welcome.called_to_caller, welcome.caller_to_called);
        MadConn { end, sending, receiving, receiver: self.receiver }
    }
}

pub struct MadConn {
    end: Arc<End>,
    sending: Arc<Window>,
    receiving: Arc<Window>,
    receiver: Receiver,
}

impl Conn for MadConn {
    type Extent = MadExtent;
    type Sender = MadSender;
    type Receiver = MadReceiver;

    fn split(self) -> (MadSender, MadReceiver) {
        let sender = MadSender { end: self.end.clone(), window: self.sending };
        (sender, MadReceiver::new(self.end, self.receiving, self.receiver))
    }
}

pub struct MadSender {
    end: Arc<End>,
    window: Arc<Window>,
}

impl MadSender {
    async fn send_segment(&self, bytes: Bytes) -> Result<(), NetError> {
        poll_fn(|context| {
            self.end.watch_as_sender(context);
            if self.end.check().is_err() { Poll::Ready(()) } else { self.window.poll_room(context) }
        })
        .await;
        let len = bytes.len();
        self.end.send(Segment::Bytes(bytes))?;
        self.window.put(len);
        Ok(())
    }
}

impl FrameSender for MadSender {
    type Extent = MadExtent;

    async fn send(&mut self, frame: Frame<MadExtent>) -> Result<(), NetError> {
        let head = frame::encode(&frame).map_err(|error| NetError::TooLarge { what: error.to_string() })?;
        self.end.check()?;
        let body = match frame.body {
            Body::Empty => Bytes::new(),
            Body::Bytes(bytes) => bytes,
            Body::Extent(extent) => extent.read(),
        };
        let mut midway = Midway { end: &self.end, under_way: true };
        let mut rest = head.chain(body);
        while rest.has_remaining() {
            let segment = rest.copy_to_bytes(rest.remaining().min(SEGMENT_BYTES));
            self.send_segment(segment).await?;
        }
        midway.under_way = false;
        Ok(())
    }
}

impl Drop for MadSender {
    fn drop(&mut self) {
        self.end.finish();
    }
}

/// A frame that has begun to go out: unless all of it does, the connection ends here.
struct Midway<'a> {
    end: &'a End,
    under_way: bool,
}

impl Drop for Midway<'_> {
    fn drop(&mut self) {
        if self.under_way {
            self.end.fail("a frame was given up midway");
        }
    }
}
