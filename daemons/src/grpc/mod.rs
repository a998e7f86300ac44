//! The gRPC door of a metadata server: the services of the .proto files for any language, with health and
//! reflection. A call goes on to the server's own port as it is ([`calls`]), so that what is said is what clients
//! of our own protocol meet; what it asks for is not known here.

mod calls;
mod connections;
mod raw;
mod status;

use crate::http::Role;
use crate::machine::RealEnv;
use calls::{Call, Calls, PATIENCE};
use connections::Connections;
use futures::FutureExt;
use mooseng_net::proto::cluster::cluster_methods;
use mooseng_net::proto::metadata::metadata_methods;
use mooseng_net::rpc::{Channel, Method};
use raw::Raw;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::Grpc;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The package of all our services.
const PACKAGE: &str = "mooseng.v1";
const SERVICES: [&[&Method]; 2] = [cluster_methods::ALL, metadata_methods::ALL];
/// What they are, and what they need of others.
static DESCRIPTIONS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/services.bin"));
/// Calls of one connection under way at once.
const CALLS_MAX: usize = 64;
/// How often it is looked whether the server is ready.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A longer request is refused.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// Answers for as long as it is polled.
pub async fn serve(listener: TcpListener, channel: Channel<RealEnv>, env: RealEnv, role: Arc<dyn Role>) {
    let (reporter, health) = tonic_health::server::health_reporter();
    tokio::spawn(look(role, reporter));
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTIONS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let sound = "what protox has written is a set of descriptions";
    let reflection = described().build_v1().expect(sound);
    let reflection_alpha = described().build_v1alpha().expect(sound);
    let door = Door { health, reflection, reflection_alpha, calls: Calls::new(channel, env) };
    let server = Server::builder()
        .concurrency_limit_per_connection(CALLS_MAX)
        .max_concurrent_streams(Some(CALLS_MAX as u32))
        .timeout(PATIENCE);
    // It ends with its listener only, which does not.
    let _ = server.serve_with_incoming(door, Connections::new(listener)).await;
}

/// Says of each service whether the server can do its work now.
async fn look(role: Arc<dyn Role>, reporter: HealthReporter) {
    loop {
        let status = match role.ready().await {
            Ok(()) => ServingStatus::Serving,
            Err(_) => ServingStatus::NotServing,
        };
        for name in ["".to_owned(), format!("{PACKAGE}.Metadata"), format!("{PACKAGE}.Cluster")] {
            reporter.set_service_status(name, status).await;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

type Request = http::Request<tonic::body::Body>;
type Response = http::Response<tonic::body::Body>;

/// Hands each call to the service that it names.
#[derive(Clone)]
struct Door<H, R, A> {
    health: H,
    reflection: R,
    /// What older clients ask, which is the same under another name.
    reflection_alpha: A,
    calls: Calls,
}

impl<H, R, A> Service<Request> for Door<H, R, A>
where
    H: Service<Request, Response = Response, Error = Infallible>,
    H::Future: Send + 'static,
    R: Service<Request, Response = Response, Error = Infallible>,
    R::Future: Send + 'static,
    A: Service<Request, Response = Response, Error = Infallible>,
    A::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<Response, Infallible>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Neither of the others ever makes anybody wait.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let path = request.uri().path();
        if path.starts_with("/grpc.health.v1.Health/") {
            return self.health.call(request).boxed();
        }
        if path.starts_with("/grpc.reflection.v1.ServerReflection/") {
            return self.reflection.call(request).boxed();
        }
        if path.starts_with("/grpc.reflection.v1alpha.ServerReflection/") {
            return self.reflection_alpha.call(request).boxed();
        }
        let call = Call { calls: self.calls.clone(), method: method(path) };
        async move {
            let mut grpc = Grpc::new(Raw).max_decoding_message_size(REQUEST_BYTES_MAX);
            Ok(grpc.unary(call, request).await)
        }
        .boxed()
    }
}

/// The method that a path like `/mooseng.v1.Metadata/Query` names.
fn method(path: &str) -> Option<&'static Method> {
    let (service, name) =
        path.strip_prefix('/')?.strip_prefix(PACKAGE)?.strip_prefix('.')?.split_once('/')?;
    let named = |method: &&&Method| method.name.split_once('.') == Some((service, name));
    SERVICES.iter().flat_map(|methods| methods.iter()).find(named).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_methods() {
        let name = |path| method(path).map(|method| method.name);
        assert_eq!(name("/mooseng.v1.Metadata/Query"), Some("Metadata.Query"));
        assert_eq!(name("/mooseng.v1.Cluster/ChunkServers"), Some("Cluster.ChunkServers"));
        for path in ["/mooseng.v1.Metadata/query", "/mooseng.v1.Raft/Step", "/Metadata/Query", "/", ""] {
            assert_eq!(name(path), None, "{path}");
        }
        let takes = |method: &&Method| !method.one_way;
        assert!(SERVICES.iter().flat_map(|methods| methods.iter()).all(takes), "each is answered");
    }
}
