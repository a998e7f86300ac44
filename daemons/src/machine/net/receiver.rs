//! The receiving half of a connection: bytes are collected until they are a frame.

use super::{End, Streams};
use bytes::{Buf, Bytes, BytesMut};
use mooseng_core::env::{FrameReceiver, NetError, Received};
use mooseng_net::frame::{self, FrameError, PREFIX_BYTES, Prefix};
use tokio::io::AsyncReadExt;

/// How much is asked for when nothing says how much will come.
const READ_BYTES: usize = 64 << 10;
/// Heads and bodies up to this length are copied out of the buffer.
const COPY_BYTES_MAX: usize = 4 << 10;
/// With less room than this in the buffer, more is made.
const ROOM_BYTES_MIN: usize = 4 << 10;

pub struct TcpReceiver<S: Streams> {
    reader: S::Reader,
    end: End,
    collected: BytesMut,
    /// The prefix of the frame whose head and body are being collected.
    prefix: Option<Prefix>,
}

impl<S: Streams> TcpReceiver<S> {
    pub(super) fn new(reader: S::Reader, end: End) -> Self {
        Self { reader, end, collected: BytesMut::new(), prefix: None }
    }

    /// The next frame, if all of it is here.
    fn take(&mut self) -> Result<Option<Received>, FrameError> {
        let prefix = match self.prefix {
            Some(prefix) => prefix,
            None => {
                let Some(bytes) = self.collected.first_chunk::<PREFIX_BYTES>() else {
                    return Ok(None);
                };
                let prefix = frame::decode_prefix(bytes)?;
                self.collected.advance(PREFIX_BYTES);
                *self.prefix.insert(prefix)
            }
        };
        if self.collected.len() < prefix.head_bytes + prefix.body_bytes {
            return Ok(None);
        }
        let head = self.cut(prefix.head_bytes);
        let body = self.cut(prefix.body_bytes);
        prefix.check_head(&head)?;
        prefix.check_body(&body)?;
        self.prefix = None;
        Ok(Some(Received { head, body }))
    }

    /// Takes `len` bytes off the front. A few are copied: kept for long, they would keep the whole
    /// buffer with them, and the buffer can be used again.
    fn cut(&mut self, len: usize) -> Bytes {
        if len > COPY_BYTES_MAX {
            return self.collected.split_to(len).freeze();
        }
        let bytes = Bytes::copy_from_slice(&self.collected[..len]);
        self.collected.advance(len);
        bytes
    }

    /// A large frame is read straight into a buffer of its size.
    fn make_room(&mut self) {
        let whole = self.prefix.map_or(PREFIX_BYTES, |prefix| prefix.head_bytes + prefix.body_bytes);
        assert!(self.collected.len() < whole, "a whole frame is here already");
        let missing = whole - self.collected.len();
        let room = self.collected.capacity() - self.collected.len();
        if room < missing.max(ROOM_BYTES_MIN) {
            self.collected.reserve(missing.max(READ_BYTES));
        }
    }

    fn fail<T>(&self, error: NetError) -> Result<T, NetError> {
        self.end.set(&error.to_string());
        S::cut_reader(&self.reader);
        Err(error)
    }

    /// The stream has ended; in good order only between two frames.
    fn at_end(&self) -> Result<Option<Received>, NetError> {
        self.end.check()?;
        if self.prefix.is_none() && self.collected.is_empty() {
            return Ok(None);
        }
        self.fail(NetError::Closed { what: "the far end stopped in the middle of a frame".to_owned() })
    }
}

impl<S: Streams> FrameReceiver for TcpReceiver<S> {
    async fn recv(&mut self) -> Result<Option<Received>, NetError> {
        loop {
            match self.take() {
                Ok(Some(received)) => return Ok(Some(received)),
                Ok(None) => {}
                Err(error) => return self.fail(NetError::Rubbish { what: error.to_string() }),
            }
            self.make_room();
            // Cancel-safe: what was read is in `collected`, or was not read.
            match self.reader.read_buf(&mut self.collected).await {
                Ok(0) => return self.at_end(),
                Ok(_) => {}
                Err(error) => return self.fail(NetError::Closed { what: error.to_string() }),
            }
        }
    }
}
