//! Calls go on to the server's own port as they are, and from there to the leader if that is who has to be asked:
//! whoever comes by this door need not know who leads.

use super::status;
use crate::machine::RealEnv;
use futures::FutureExt;
use mooseng_core::env::{Address, Body, Clock, Env, Received};
use mooseng_net::rpc::{CallError, Channel, ChannelConfig, Code, Method};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::codegen::{BoxFuture, Bytes, Service};

/// A call without a time-out of its own ends after this.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How often a call is sent on to whoever is said to lead. An election moves the leader once.
const HOPS_MAX: usize = 3;

#[derive(Clone)]
pub(super) struct Calls {
    own: Channel<RealEnv>,
    /// To the server that led when it was last asked for.
    leader: Arc<Mutex<Option<Channel<RealEnv>>>>,
    env: RealEnv,
}

impl Calls {
    pub(super) fn new(own: Channel<RealEnv>, env: RealEnv) -> Self {
        Self { own, leader: Arc::default(), env }
    }

    fn to(&self, address: &Address) -> Channel<RealEnv> {
        let mut leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        match &*leader {
            Some(channel) if channel.address() == address => channel.clone(),
            _ => leader.insert(Channel::new(&self.env, address.clone(), ChannelConfig::default())).clone(),
        }
    }

    /// Whoever does not lead has done nothing, so the same call may be sent to another server.
    async fn carry(&self, method: &'static Method, request: Bytes) -> Result<Received, CallError> {
        let deadline = self.env.clock().now() + PATIENCE;
        let mut channel = self.own.clone();
        for _ in 0..HOPS_MAX {
            let answer = channel.call(method, request.clone(), Body::Empty, deadline).await;
            let Some(leader) = answer.as_ref().err().and_then(leader_of) else { return answer };
            channel = self.to(leader);
        }
        channel.call(method, request, Body::Empty, deadline).await
    }
}

/// Who has to be asked instead.
fn leader_of(error: &CallError) -> Option<&Address> {
    match error {
        CallError::Status(status) if status.code == Code::NotLeader => status.leader.as_ref(),
        _ => None,
    }
}

pub(super) struct Call {
    pub(super) calls: Calls,
    pub(super) method: Option<&'static Method>,
}

impl Service<tonic::Request<Bytes>> for Call {
    type Response = tonic::Response<Bytes>;
    type Error = tonic::Status;
    type Future = BoxFuture<tonic::Response<Bytes>, tonic::Status>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), tonic::Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (calls, method) = (self.calls.clone(), self.method);
        async move {
            let method = method.ok_or_else(|| tonic::Status::unimplemented("no such method"))?;
            // A shorter time-out of the caller's drops this future, and with it the call.
            let answer = calls.carry(method, request.into_inner()).await;
            answer.map(|answer| tonic::Response::new(answer.head)).map_err(|error| status::of(&error))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_net::rpc::Status;

    #[test]
    fn only_who_does_not_lead_is_left_for_another() {
        let leader = Address::new("10.0.0.2:9421");
        let refused = |status| CallError::Status(status);
        assert_eq!(leader_of(&refused(Status::not_leader(Some(leader.clone())))), Some(&leader));
        assert_eq!(leader_of(&refused(Status::not_leader(None))), None);
        assert_eq!(leader_of(&refused(Status::new(Code::Unavailable, "busy"))), None);
        assert_eq!(leader_of(&CallError::Deadline), None);
    }
}
