//! The sending half of a connection.

use super::{End, Streams};
use crate::machine::RealExtent;
use bytes::{Buf, Bytes};
use mooseng_core::env::{Body, Frame, FrameSender, NetError};
use mooseng_net::frame;
use std::io;
use tokio::io::AsyncWriteExt;

pub struct TcpSender<S: Streams> {
    /// Taken out while a frame is under way, and put back when the whole of it has gone.
    writer: Option<S::Writer>,
    end: End,
}

impl<S: Streams> TcpSender<S> {
    pub(super) fn new(writer: S::Writer, end: End) -> Self {
        Self { writer: Some(writer), end }
    }
}

impl<S: Streams> FrameSender for TcpSender<S> {
    type Extent = RealExtent;

    async fn send(&mut self, frame: Frame<RealExtent>) -> Result<(), NetError> {
        let head = frame::encode(&frame).map_err(|error| NetError::TooLarge { what: error.to_string() })?;
        self.end.check()?;
        let writer = self.writer.take();
        let mut midway = Midway::<S> { writer, end: &self.end };
        let sent = match &mut midway.writer {
            Some(writer) => write::<S>(writer, head, frame.body).await,
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        match sent {
            Ok(()) => {
                self.writer = midway.writer.take();
                Ok(())
            }
            Err(error) => {
                midway.end.set(&error.to_string());
                Err(NetError::Closed { what: error.to_string() })
            }
        }
    }
}

async fn write<S: Streams>(writer: &mut S::Writer, head: Bytes, body: Body<RealExtent>) -> io::Result<()> {
    match body {
        Body::Empty => writer.write_all(&head).await,
        Body::Bytes(body) => writer.write_all_buf(&mut head.chain(body)).await,
        Body::Extent(extent) => match extent.read_at_once() {
            Some(body) => writer.write_all_buf(&mut head.chain(body)).await,
            None => {
                writer.write_all(&head).await?;
                S::send_extent(writer, &extent).await
            }
        },
    }
}

/// A frame that has begun to go out. Unless the writer is taken back from it, the connection ends
/// here: half a frame must not be followed by another.
struct Midway<'a, S: Streams> {
    writer: Option<S::Writer>,
    end: &'a End,
}

impl<S: Streams> Drop for Midway<'_, S> {
    fn drop(&mut self) {
        if let Some(writer) = &self.writer {
            self.end.set("a frame was given up midway");
            S::cut_writer(writer);
        }
    }
}
