//! The generated traits, handlers and clients, end to end.

use super::lab::{ECHO, Lab};
use crate::convert;
use crate::proto::cluster::cluster_methods;
use crate::proto::metadata::{
    CloseSessionReply, CloseSessionRequest, HoldReply, HoldRequest, KeepAliveReply, KeepAliveRequest,
    Metadata, MetadataClient, MetadataHandler, MutateReply, MutateRequest, OpenSessionReply,
    OpenSessionRequest, QueryReply, QueryRequest, RecallsReply, RecallsRequest, metadata_methods,
};
use crate::proto::raft::{
    FetchSnapshotReply, FetchSnapshotRequest, InquireReply, InquireRequest, Raft, RaftClient, RaftHandler,
    RaftMessage, raft_methods,
};
use crate::rpc::{
    BodyOf, Call, CallError, Channel, ChannelConfig, Code, Method, Rooms, ServerConfig, Status, serve,
};
use crate::testing::TestEnv;
use bytes::Bytes;
use mooseng_core::env::{Body, Env, Net};
use std::sync::{Arc, Mutex};

/// Numbers are on the wire: a method keeps its own for good.
#[test]
fn the_numbers_of_methods_are_pinned() {
    let all = [metadata_methods::ALL, raft_methods::ALL, cluster_methods::ALL].concat();
    let numbers: Vec<(u32, &str, bool)> =
        all.iter().map(|method| (method.number, method.name, method.one_way)).collect();
    assert_eq!(
        numbers,
        [
            (101, "Metadata.OpenSession", false),
            (102, "Metadata.KeepAlive", false),
            (103, "Metadata.CloseSession", false),
            (104, "Metadata.Mutate", false),
            (105, "Metadata.Query", false),
            (106, "Metadata.Hold", false),
            (107, "Metadata.Recalls", false),
            (201, "Raft.Step", true),
            (202, "Raft.Inquire", false),
            (203, "Raft.FetchSnapshot", false),
            (301, "Cluster.Status", false),
            (302, "Cluster.JoinReplica", false),
            (303, "Cluster.RemoveReplica", false),
            (304, "Cluster.TransferLeader", false),
            (305, "Cluster.RegisterChunkServer", false),
            (306, "Cluster.ChunkHeartbeat", false),
            (307, "Cluster.ChunkServers", false),
        ]
    );
}

#[derive(Clone, Default)]
struct Server {
    steps: Arc<Mutex<Vec<RaftMessage>>>,
}

impl Metadata<TestEnv> for Server {
    async fn open_session(&self, _: Call, request: OpenSessionRequest) -> Result<OpenSessionReply, Status> {
        let nonce = convert::nonce("open_session.nonce", &request.nonce)?;
        Ok(OpenSessionReply { session: u64::from(nonce[0]), lifetime_ms: 60_000, index: 3 })
    }

    async fn keep_alive(&self, _: Call, _: KeepAliveRequest) -> Result<KeepAliveReply, Status> {
        Ok(KeepAliveReply { lifetime_ms: 1, attach_wanted: false, attach_term: 0 })
    }

    async fn close_session(&self, _: Call, _: CloseSessionRequest) -> Result<CloseSessionReply, Status> {
        Err(Status::new(Code::UnknownSession, "no such session"))
    }

    async fn mutate(&self, _: Call, request: MutateRequest) -> Result<MutateReply, Status> {
        Ok(MutateReply { index: request.sequence, ..MutateReply::default() })
    }

    async fn hold(&self, _: Call, _: HoldRequest) -> Result<HoldReply, Status> {
        Err(Status::new(Code::Unimplemented, "nothing is held here"))
    }

    async fn recalls(&self, _: Call, _: RecallsRequest) -> Result<RecallsReply, Status> {
        Err(Status::new(Code::Unimplemented, "nothing is leased here"))
    }

    async fn query(&self, _: Call, _: QueryRequest) -> Result<QueryReply, Status> {
        Err(Status::not_leader(None))
    }
}

impl Raft<TestEnv> for Server {
    async fn step(&self, _: Call, request: RaftMessage) {
        self.steps.lock().unwrap().push(request);
    }

    async fn inquire(&self, _: Call, request: InquireRequest) -> Result<InquireReply, Status> {
        Ok(InquireReply { voters: vec![request.replica], ..InquireReply::default() })
    }

    async fn fetch_snapshot(
        &self,
        _: Call,
        request: FetchSnapshotRequest,
    ) -> Result<(FetchSnapshotReply, BodyOf<TestEnv>), Status> {
        let reply = FetchSnapshotReply { total: 10, manifest: Bytes::from_static(b"manifest") };
        Ok((reply, Body::Bytes(Bytes::from(vec![7; request.bytes_max as usize]))))
    }
}

async fn open(lab: &Lab, server: &Server) -> Channel<TestEnv> {
    let listener = lab.env.net().listen(&Lab::address()).await.unwrap();
    let metadata = MetadataHandler::<TestEnv, _>::new(server.clone());
    let raft = RaftHandler::<TestEnv, _>::new(server.clone());
    let env = lab.env.clone();
    lab.env.spawn(
        "server",
        serve(env, listener, (metadata, raft), ServerConfig::default(), Rooms::new(&ServerConfig::default())),
    );
    lab.channel(ChannelConfig::default())
}

#[test]
fn two_services_share_a_server_and_a_connection() {
    let lab = Lab::new();
    lab.env.run(async {
        let server = Server::default();
        let channel = open(&lab, &server).await;
        let metadata = MetadataClient::new(channel.clone());
        let raft = RaftClient::new(channel.clone());
        let request = OpenSessionRequest { nonce: Bytes::from_static(&[9; 16]), caches: false };
        let opened = metadata.open_session(&request, lab.within(100)).await;
        assert_eq!(opened, Ok(OpenSessionReply { session: 9, lifetime_ms: 60_000, index: 3 }));
        let request = FetchSnapshotRequest { bytes_max: 5, ..FetchSnapshotRequest::default() };
        let (reply, body) = raft.fetch_snapshot(&request, lab.within(100)).await.unwrap();
        assert_eq!((reply.total, &reply.manifest[..], &body[..]), (10, &b"manifest"[..], &[7; 5][..]));
        let message =
            RaftMessage { group: 1, payload: Bytes::from_static(b"opaque"), ..RaftMessage::default() };
        assert_eq!(raft.step(&message), Ok(()));
        lab.pause(1).await;
        assert_eq!(*server.steps.lock().unwrap(), [message]);
        assert_eq!(lab.env.network().connected(), 1);
    });
}

#[test]
fn bad_fields_and_messages_are_refused_by_name() {
    let lab = Lab::new();
    lab.env.run(async {
        let channel = open(&lab, &Server::default()).await;
        let metadata = MetadataClient::new(channel.clone());
        let request = OpenSessionRequest { nonce: Bytes::from_static(b"short"), caches: false };
        let refused = metadata.open_session(&request, lab.within(100)).await;
        let why = "open_session.nonce: a nonce has 16 bytes, not 5";
        assert_eq!(refused, Err(CallError::Status(Status::new(Code::Invalid, why))));
        let rubbish = Bytes::from_static(&[0xff; 9]);
        let mutate = &metadata_methods::MUTATE;
        let refused = channel.call(mutate, rubbish, Body::Empty, lab.within(100)).await.unwrap_err();
        assert!(
            matches!(&refused, CallError::Status(status)
            if status.code == Code::Invalid && status.message.starts_with("Metadata.Mutate: ")),
            "{refused}"
        );
        let unknown = channel.call(&ECHO, Bytes::new(), Body::Empty, lab.within(100)).await.unwrap_err();
        assert!(
            matches!(&unknown, CallError::Status(status) if status.code == Code::Unimplemented),
            "{unknown}"
        );
    });
}

/// A reply that cannot be read does not undo what was done.
#[test]
fn a_reply_that_does_not_decode_may_have_been_carried_out() {
    let lab = Lab::new();
    lab.env.run(async {
        lab.open(ServerConfig::default()).await;
        let channel = lab.channel(ChannelConfig::default());
        // The echo of this request is no reply: its first field has another type.
        static ECHOED: Method = Method { number: 1, name: "Lab.Echo", one_way: false };
        let request = OpenSessionRequest { nonce: Bytes::from_static(&[9; 16]), caches: false };
        let error = channel
            .call_message::<_, OpenSessionReply>(&ECHOED, &request, Body::Empty, lab.within(100))
            .await
            .unwrap_err();
        assert!(error.maybe_carried_out() && matches!(error, CallError::Lost(_)));
    });
}
