//! The gRPC door as a client of another language finds it: by reflection, health, and calls.

use crate::{Cluster, SERVERS, grpc_port};
use mooseng_core::id::InodeId;
use mooseng_net::proto::cluster::{ChunkServersReply, ChunkServersRequest, StatusReply, StatusRequest};
use mooseng_net::proto::metadata::{OpenSessionReply, OpenSessionRequest, QueryReply, QueryRequest};
use mooseng_net::proto::namespace::{GetAttr, Query, query};
use std::time::{Duration, Instant};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1alpha;

pub(crate) fn other_languages_are_served(cluster: &Cluster) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut doors = Vec::new();
        for server in 0..SERVERS {
            let door = format!("http://127.0.0.1:{}", grpc_port(cluster.port) + server);
            doors.push(Endpoint::from_shared(door).expect("an address").connect().await.expect("it listens"));
        }
        services_are_described(doors[0].clone()).await;
        health_is_told(doors[0].clone()).await;
        calls_are_answered(&doors).await;
    });
}

/// As today's clients ask, and as older ones do.
async fn services_are_described(door: Channel) {
    let alpha = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(door.clone());
    let asked = client.server_reflection_info(tokio_stream::once(alpha)).await.expect("an answer");
    let told = asked.into_inner().message().await.expect("an answer").expect("one");
    assert!(format!("{told:?}").contains("mooseng.v1.Cluster"), "{told:?}");
    let wanted = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(door);
    let asked = client.server_reflection_info(tokio_stream::once(wanted)).await.expect("an answer");
    let told = asked.into_inner().message().await.expect("an answer").expect("one");
    let Some(MessageResponse::ListServicesResponse(list)) = told.message_response else {
        panic!("{told:?}");
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    for wanted in ["mooseng.v1.Cluster", "mooseng.v1.Metadata", "grpc.health.v1.Health"] {
        assert!(names.contains(&wanted), "{names:?}");
    }
}

async fn health_is_told(door: Channel) {
    let mut client = HealthClient::new(door);
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let request = HealthCheckRequest { service: "mooseng.v1.Metadata".to_owned() };
        match client.check(request).await {
            Ok(told) if told.get_ref().status() == ServingStatus::Serving => return,
            told => assert!(Instant::now() < end, "{told:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn calls_are_answered(doors: &[Channel]) {
    let told: StatusReply = ask(&doors[1], "Cluster/Status", StatusRequest {}).await.expect("an answer");
    assert_eq!(told.server, 2);
    let session = session(doors).await;
    let kind = query::Kind::GetAttr(GetAttr { inode: InodeId::ROOT.raw() });
    let query = Some(Query { kind: Some(kind) });
    let request = QueryRequest { session, query, ..QueryRequest::default() };
    for door in doors {
        let told: QueryReply = ask(door, "Metadata/Query", request.clone()).await.expect("an answer");
        assert!(told.outcome.is_some(), "{told:?}");
        let servers: ChunkServersReply =
            ask(door, "Cluster/ChunkServers", ChunkServersRequest {}).await.expect("an answer");
        assert_eq!(servers.servers.len(), crate::CHUNKS as usize);
    }
    // Its first field is bytes where a query has a number.
    let wrong = OpenSessionRequest { nonce: vec![7; 16].into(), caches: false };
    let status = ask::<_, QueryReply>(&doors[0], "Metadata/Query", wrong).await.expect_err("no query");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let status =
        ask::<_, StatusReply>(&doors[0], "Raft/Step", StatusRequest {}).await.expect_err("not offered");
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
}

/// Each door asks the leader, whichever server's it is: the same request is the same session at all of them. While
/// nobody leads they say so.
async fn session(doors: &[Channel]) -> u64 {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let (mut opened, mut refused) = (Vec::new(), Vec::new());
        for door in doors {
            let open = OpenSessionRequest { nonce: vec![7; 16].into(), caches: false };
            match ask::<_, OpenSessionReply>(door, "Metadata/OpenSession", open).await {
                Ok(reply) => opened.push(reply.session),
                Err(status) => refused.push(status),
            }
        }
        if refused.is_empty() {
            assert!(opened.iter().all(|session| *session == opened[0]), "{opened:?}");
            return opened[0];
        }
        assert!(refused.iter().all(|status| status.code() != Code::FailedPrecondition), "{refused:?}");
        assert!(Instant::now() < end, "{refused:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn ask<M, R>(door: &Channel, path: &str, request: M) -> Result<R, Status>
where
    M: prost::Message + Send + Sync + 'static,
    R: prost::Message + Default + Send + Sync + 'static,
{
    let mut client = tonic::client::Grpc::new(door.clone());
    client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let path = PathAndQuery::try_from(format!("/mooseng.v1.{path}")).expect("a path");
    let codec = tonic_prost::ProstCodec::<M, R>::default();
    Ok(client.unary(Request::new(request), path, codec).await?.into_inner())
}
