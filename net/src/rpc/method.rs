//! What the two sides of a call hand each other: methods, calls as they come in, replies as they
//! go out, and the handler between them.

use super::payload::Payload;
use super::status::Status;
use crate::convert::Malformed;
use bytes::Bytes;
use mooseng_core::env::{Address, Body, Disk, Env, Extent};
use mooseng_core::time::Instant;
use prost::Message;
use std::future::Future;

/// The extents of a machine: what a reply's body may be sent from.
pub type ExtentOf<E> = <<E as Env>::Disk as Disk>::Extent;
/// What rides behind a message.
pub type BodyOf<E> = Body<ExtentOf<E>>;

/// A method of a service. The .proto files give each its number, for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Method {
    pub number: u32,
    /// `Service.Method`.
    pub name: &'static str,
    /// Nobody answers.
    pub one_way: bool,
}

/// Who asks, and until when the answer is of use. When the deadline passes, or the caller no longer
/// waits, the handler's future is dropped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    pub peer: Address,
    pub deadline: Instant,
}

/// A call as it came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incoming {
    pub call: Call,
    pub message: Bytes,
    pub body: Bytes,
}

/// An answer as it goes out.
#[derive(Clone, Debug)]
pub struct Reply<X> {
    pub(super) payload: Payload,
    pub(super) body: Body<X>,
}

impl<X: Extent> Reply<X> {
    pub fn of<M: Message>(message: &M, body: Body<X>) -> Self {
        Self { payload: Payload::of(message), body }
    }

    pub fn from_bytes(message: &[u8], body: Body<X>) -> Self {
        Self { payload: Payload::from_bytes(message), body }
    }

    /// What a one-way method's handler gives.
    pub fn nothing() -> Self {
        Self { payload: Payload::empty(), body: Body::Empty }
    }
}

/// Carries calls out. Two handlers in a pair are one that serves what either does.
pub trait Handler<E: Env>: Clone + Send + Sync + 'static {
    /// Is this a method of a service that it knows?
    fn serves(&self, method: u32) -> bool;

    /// Would refusing it make an overload worse?
    fn is_vital(&self, method: u32) -> bool;

    fn handle(
        &self,
        method: u32,
        incoming: Incoming,
    ) -> impl Future<Output = Result<Reply<ExtentOf<E>>, Status>> + Send;
}

impl<E: Env, A: Handler<E>, B: Handler<E>> Handler<E> for (A, B) {
    fn serves(&self, method: u32) -> bool {
        self.0.serves(method) || self.1.serves(method)
    }

    fn is_vital(&self, method: u32) -> bool {
        self.0.is_vital(method) || self.1.is_vital(method)
    }

    async fn handle(&self, method: u32, incoming: Incoming) -> Result<Reply<ExtentOf<E>>, Status> {
        if self.0.serves(method) {
            self.0.handle(method, incoming).await
        } else {
            self.1.handle(method, incoming).await
        }
    }
}

/// A request's message, or a refusal that names the method.
pub fn decode_request<M: Message + Default>(method: &'static str, message: Bytes) -> Result<M, Status> {
    M::decode(message).map_err(|error| Malformed::new(method, error.to_string()).into())
}
