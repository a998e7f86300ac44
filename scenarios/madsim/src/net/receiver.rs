//! The receiving half of a connection: segments are collected until they are a frame.

use super::link::{End, Segment, Window};
use bytes::{Buf, Bytes, BytesMut};
use futures::StreamExt;
use madsim::net::Receiver;
use mooseng_core::env::{FrameReceiver, NetError, Received};
use mooseng_net::frame::{self, FrameError, PREFIX_BYTES, Prefix};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

pub struct MadReceiver {
    end: Arc<End>,
    window: Arc<Window>,
    receiver: Receiver,
    collected: BytesMut,
    /// The prefix of the frame whose head and body are being collected.
    prefix: Option<Prefix>,
}

impl MadReceiver {
    pub(super) fn new(end: Arc<End>, window: Arc<Window>, receiver: Receiver) -> Self {
        Self { end, window, receiver, collected: BytesMut::new(), prefix: None }
    }

    /// The next frame, if all of it is here.
    fn take(&mut self) -> Result<Option<Received>, FrameError> {
        let prefix = match self.prefix {
            Some(prefix) => prefix,
            None => {
                let Some(bytes) = self.collected.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
                let prefix = frame::decode_prefix(bytes)?;
                self.collected.advance(PREFIX_BYTES);
                *self.prefix.insert(prefix)
            }
        };
        if self.collected.len() < prefix.head_bytes + prefix.body_bytes {
            return Ok(None);
        }
        let head = self.collected.split_to(prefix.head_bytes).freeze();
        let body = match prefix.body_bytes {
            0 => Bytes::new(),
            bytes => self.collected.split_to(bytes).freeze(),
        };
        prefix.check_head(&head)?;
        prefix.check_body(&body)?;
        self.prefix = None;
        Ok(Some(Received { head, body }))
    }

    fn fail<T>(&self, error: NetError) -> Result<T, NetError> {
        self.end.fail(&error.to_string());
        Err(error)
    }

    fn closed<T>(&self, what: &str) -> Result<T, NetError> {
        self.fail(NetError::Closed { what: what.to_owned() })
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Received>, NetError>> {
        self.end.watch_as_receiver(context);
        loop {
            if let Err(error) = self.end.check() {
                return Poll::Ready(Err(error));
            }
            match self.take() {
                Ok(Some(received)) => return Poll::Ready(Ok(Some(received))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(self.fail(error.into())),
            }
            let Poll::Ready(arrived) = self.receiver.poll_next_unpin(context) else { return Poll::Pending };
            let between_frames = self.prefix.is_none() && self.collected.is_empty();
            let segment = arrived.and_then(Result::ok).map(|payload| payload.downcast::<Segment>());
            match segment {
                Some(Ok(segment)) => match *segment {
                    Segment::Bytes(bytes) => {
                        self.window.take(bytes.len());
                        self.collected.extend_from_slice(&bytes);
                    }
                    Segment::Reset => return Poll::Ready(self.closed("the far end gave up")),
                },
                Some(Err(_)) => return Poll::Ready(self.closed("the far end speaks out of turn")),
                None if between_frames => return Poll::Ready(Ok(None)),
                None => return Poll::Ready(self.closed("the far end stopped in the middle of a frame")),
            }
        }
    }
}

impl FrameReceiver for MadReceiver {
    /// Cancel-safe: what arrived is collected, or has not been taken.
    async fn recv(&mut self) -> Result<Option<Received>, NetError> {
        poll_fn(|context| self.poll(context)).await
    }
}

impl Drop for MadReceiver {
    fn drop(&mut self) {
        self.window.close();
    }
}
