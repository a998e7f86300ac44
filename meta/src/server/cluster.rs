//! What operators, and servers that want to take part, ask.

use super::Server;
use super::metadata::status;
use super::slots::Slot;
use crate::command::{CommandKind, Reply};
use crate::group::ambiguity::Standing;
use crate::group::handle::{Handle, Wish};
use crate::group::members::{ADDRESS_BYTES_MAX, Newcomer};
use crate::group::room::Room;
use mooseng_core::env::{Address, Env};
use mooseng_core::id::{GroupId, ReplicaId, ServerId};
use mooseng_net::convert;
use mooseng_net::proto::cluster::{
    ChunkHeartbeatReply, ChunkHeartbeatRequest, ChunkServersReply, ChunkServersRequest, Cluster, DiskRoom,
    GroupStatus, JoinReplicaReply, JoinReplicaRequest, RegisterChunkServerReply, RegisterChunkServerRequest,
    RemoveReplicaReply, RemoveReplicaRequest, StatusReply, StatusRequest, TransferLeaderReply,
    TransferLeaderRequest,
};
use mooseng_net::proto::raft::ReplicaState;
use mooseng_net::rpc::{Call, Code, Status};
use std::sync::Arc;

pub(super) struct Service<E: Env> {
    server: Arc<Server<E>>,
}

impl<E: Env> Clone for Service<E> {
    fn clone(&self) -> Self {
        Self { server: self.server.clone() }
    }
}

impl<E: Env> Service<E> {
    pub(super) fn new(server: Arc<Server<E>>) -> Self {
        Self { server }
    }

    async fn look(&self, group: GroupId) -> GroupStatus {
        let state =
            |state: ReplicaState| GroupStatus { group: group.0, state: state as i32, ..Default::default() };
        match self.server.slots.get(group) {
            None => state(ReplicaState::Absent),
            Some(Slot::Starting) => state(ReplicaState::Unspecified),
            Some(Slot::Lost(replica)) => {
                let replica = replica.map_or(0, |replica| replica.0);
                GroupStatus { replica, ..state(ReplicaState::Damaged) }
            }
            Some(Slot::Serving(handle)) => match handle.look().await {
                Ok(look) => group_status(group, &look),
                Err(_) => state(ReplicaState::Unspecified),
            },
        }
    }
}

fn group_status(group: GroupId, look: &crate::group::handle::Look) -> GroupStatus {
    let raw = |replicas: Vec<ReplicaId>| replicas.into_iter().map(|replica| replica.0).collect();
    let state = match look.answer.standing {
        Standing::Serving => ReplicaState::Serving,
        Standing::Waiting => ReplicaState::Waiting,
        Standing::Damaged => ReplicaState::Damaged,
        Standing::Absent => ReplicaState::Absent,
    };
    let (leader, leader_address) = match &look.leader {
        Some((leader, address)) => (leader.0, address.as_ref().map(|address| address.as_str().to_owned())),
        None => (0, None),
    };
    GroupStatus {
        group: group.0,
        replica: look.answer.replica.map_or(0, |replica| replica.0),
        state: state as i32,
        leader,
        leader_address: leader_address.unwrap_or_default(),
        term: look.answer.term,
        commit: look.committed,
        applied: look.applied,
        last_index: look.answer.end.index,
        voters: raw(look.answer.members.voters()),
        learners: raw(look.answer.members.learners()),
        snapshot_index: look.snapshot,
        sessions: look.sessions,
        state_hash: look.state_hash.to_le_bytes().to_vec().into(),
        room: match look.room {
            Room::Enough => DiskRoom::Enough,
            Room::NearlyFull => DiskRoom::NearlyFull,
            Room::Full => DiskRoom::Full,
        } as i32,
    }
}

fn replica(raw: u64) -> Result<ReplicaId, Status> {
    if raw == 0 {
        return Err(Status::new(Code::Invalid, "replica: 0 is nobody"));
    }
    Ok(ReplicaId(raw))
}

async fn allot(handle: &Handle, server: ServerId, nonce: [u8; 16]) -> Result<ReplicaId, Status> {
    match handle.propose(CommandKind::AllotReplica { server, nonce }).await.map_err(status)? {
        (Reply::Replica { replica }, _) => Ok(replica),
        (other, _) => Err(Status::new(Code::Internal, format!("{other:?} is no replica"))),
    }
}

impl<E: Env> Cluster<E> for Service<E> {
    async fn status(&self, _: Call, _: StatusRequest) -> Result<StatusReply, Status> {
        let mut groups = Vec::new();
        for group in self.server.slots.groups() {
            groups.push(self.look(group).await);
        }
        let identity = self.server.identity;
        let build = self.server.config.rpc.build.to_owned();
        let (disk_bytes, disk_bytes_free) = self.server.disk.told().unwrap_or_default();
        let (cluster, server) = (identity.cluster.0, identity.server.0);
        Ok(StatusReply { cluster, server, build, groups, disk_bytes, disk_bytes_free })
    }

    async fn join_replica(&self, _: Call, request: JoinReplicaRequest) -> Result<JoinReplicaReply, Status> {
        let nonce = convert::nonce("nonce", &request.nonce)?;
        if request.address.is_empty() || request.address.len() > ADDRESS_BYTES_MAX {
            return Err(Status::new(Code::Invalid, "address: it is empty or too long"));
        }
        let handle = self.server.slots.serving(GroupId(request.group))?;
        let server = ServerId(request.server);
        let replica = allot(&handle, server, nonce).await?;
        let address = Address::new(request.address);
        let newcomer = Newcomer { replica, server, address, seat_wanted: true };
        let index = handle.wish(Wish::Admit(newcomer)).await.map_err(status)?;
        Ok(JoinReplicaReply { replica: replica.0, index })
    }

    async fn remove_replica(
        &self,
        _: Call,
        request: RemoveReplicaRequest,
    ) -> Result<RemoveReplicaReply, Status> {
        let handle = self.server.slots.serving(GroupId(request.group))?;
        let index = handle.wish(Wish::Remove(replica(request.replica)?)).await.map_err(status)?;
        Ok(RemoveReplicaReply { index })
    }

    async fn transfer_leader(
        &self,
        _: Call,
        request: TransferLeaderRequest,
    ) -> Result<TransferLeaderReply, Status> {
        let handle = self.server.slots.serving(GroupId(request.group))?;
        handle.transfer(replica(request.replica)?).await.map_err(status)?;
        Ok(TransferLeaderReply {})
    }

    async fn register_chunk_server(
        &self,
        _: Call,
        request: RegisterChunkServerRequest,
    ) -> Result<RegisterChunkServerReply, Status> {
        self.server.register_chunk_server(request).await
    }

    async fn chunk_heartbeat(
        &self,
        _: Call,
        request: ChunkHeartbeatRequest,
    ) -> Result<ChunkHeartbeatReply, Status> {
        self.server.chunk_heartbeat(request).await
    }

    async fn chunk_servers(&self, _: Call, _: ChunkServersRequest) -> Result<ChunkServersReply, Status> {
        self.server.chunk_servers().await
    }
}
