//! A node's network: connections that carry frames, in order, each whole or not at all.

use super::disk::Extent;
use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// The longest head of a frame.
pub const FRAME_HEAD_BYTES_MAX: usize = 1 << 20;
/// The longest body of a frame.
pub const FRAME_BODY_BYTES_MAX: usize = 16 << 20;

/// Where a node listens: `host:port`. Names mean what the machine says they mean.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Arc<str>);

impl Address {
    pub fn new(address: impl Into<Arc<str>>) -> Self {
        Self(address.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NetError {
    /// Nothing was sent.
    #[error("{address}: cannot be reached: {what}")]
    Unreachable { address: Address, what: String },
    /// The connection is over; what was sent last may or may not have arrived.
    #[error("the connection was closed: {what}")]
    Closed { what: String },
    /// The peer sent what is no frame. The connection is over.
    #[error("the peer sent rubbish: {what}")]
    Rubbish { what: String },
    /// The frame's head or body is longer than any may be. Nothing was sent and the connection goes
    /// on.
    #[error("the frame is too large: {what}")]
    TooLarge { what: String },
    #[error("{address}: cannot listen: {what}")]
    Listen { address: Address, what: String },
}

/// What rides behind a frame's head.
#[derive(Clone, Debug)]
pub enum Body<X> {
    Empty,
    Bytes(Bytes),
    /// Sent straight from the disk; nobody looks at the bytes before the far end does.
    Extent(X),
}

impl<X: Extent> Body<X> {
    pub fn len(&self) -> u64 {
        match self {
            Body::Empty => 0,
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Extent(extent) => extent.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Frame<X> {
    pub head: Bytes,
    pub body: Body<X>,
}

/// What arrives: the head is checked by the frame's own checksum, a body that was an extent is not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    pub head: Bytes,
    pub body: Bytes,
}

pub trait Net: Send + Sync + 'static {
    type Extent: Extent;
    type Conn: Conn<Extent = Self::Extent>;
    type Listener: Listener<Conn = Self::Conn>;

    fn connect(&self, address: &Address) -> impl Future<Output = Result<Self::Conn, NetError>> + Send;

    fn listen(&self, address: &Address) -> impl Future<Output = Result<Self::Listener, NetError>> + Send;
}

/// A connection that came in, and where it says it comes from.
pub struct Accepted<C> {
    pub conn: C,
    pub peer: Address,
}

pub trait Listener: Send + 'static {
    type Conn: Conn;

    /// The next connection. Cancel-safe.
    fn accept(&mut self) -> impl Future<Output = Result<Accepted<Self::Conn>, NetError>> + Send;

    /// Where it listens (a port of 0 has become a real one).
    fn address(&self) -> Address;
}

/// A connection. It closes when both halves are gone, or one of them has failed; dropping the
/// sender tells the far end that nothing more comes.
pub trait Conn: Send + 'static {
    type Extent: Extent;
    type Sender: FrameSender<Extent = Self::Extent>;
    type Receiver: FrameReceiver;

    fn split(self) -> (Self::Sender, Self::Receiver);
}

pub trait FrameSender: Send + 'static {
    type Extent: Extent;

    /// Resolves when the machine has taken the frame, waiting while the link is full. Frames that
    /// are too large are refused with [`NetError::TooLarge`]. Dropping it midway closes the
    /// connection: half a frame must not be followed by another.
    fn send(&mut self, frame: Frame<Self::Extent>) -> impl Future<Output = Result<(), NetError>> + Send;
}

pub trait FrameReceiver: Send + 'static {
    /// The next frame; `None` when the far end closed in good order. Cancel-safe.
    fn recv(&mut self) -> impl Future<Output = Result<Option<Received>, NetError>> + Send;
}
