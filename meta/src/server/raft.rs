//! What replicas say to each other, from the network to the group's task.

use super::slots::{Slot, without};
use super::{Server, disk};
use crate::group::ambiguity::Standing;
use crate::group::driver::inquire;
use bytes::Bytes;
use mooseng_core::env::{Body, Env, sleep};
use mooseng_core::id::{GroupId, ReplicaId};
use mooseng_net::proto::raft::{
    FetchSnapshotReply, FetchSnapshotRequest, InquireReply, InquireRequest, Raft, RaftMessage,
};
use mooseng_net::rpc::{BodyOf, Call, Code, Status};
use mooseng_storage::{SnapshotReader, StorageError};
use protobuf::Message as _;
use raft::eraftpb::Message;
use std::sync::Arc;
use std::time::Duration;

/// The most bytes of a snapshot in one answer.
const PIECE_BYTES_MAX: u32 = 4 << 20;

/// How late a message may be on a whim.
const LATE: Duration = Duration::from_millis(15);

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
}

impl<E: Env> Raft<E> for Service<E> {
    async fn step(&self, _: Call, request: RaftMessage) {
        let Some(Slot::Serving(handle)) = self.server.slots.get(GroupId(request.group)) else { return };
        // What is not even a message is nobody's.
        let Ok(message) = Message::parse_from_carllerche_bytes(&request.payload) else { return };
        if (message.from, message.to) == (request.source, request.target) {
            // Messages may overtake one another.
            if self.server.env.buggify("raft message handled late") {
                sleep(&self.server.env, LATE).await;
            }
            handle.step(message, request.sent, request.echo, request.full);
        }
    }

    async fn inquire(&self, _: Call, request: InquireRequest) -> Result<InquireReply, Status> {
        let group = GroupId(request.group);
        let answer = match self.server.slots.get(group) {
            None => without(None, Standing::Absent),
            Some(Slot::Lost(replica)) => without(replica, Standing::Damaged),
            Some(Slot::Starting) => {
                return Err(Status::new(Code::Unavailable, format!("{group} is starting")));
            }
            Some(Slot::Serving(handle)) => {
                handle.inquire(ReplicaId(request.replica)).await.map_err(super::metadata::status)?
            }
        };
        Ok(inquire::reply(&answer))
    }

    async fn fetch_snapshot(
        &self,
        _: Call,
        request: FetchSnapshotRequest,
    ) -> Result<(FetchSnapshotReply, BodyOf<E>), Status> {
        let (group, index) = (GroupId(request.group), request.index);
        let handle = self.server.slots.serving(group)?;
        let gone = |error: StorageError| {
            if matches!(error, StorageError::Damaged { .. }) {
                self.server.slots.drop_snapshot(group, index);
                handle.spoiled(index);
            }
            Status::new(Code::NotHere, error.to_string())
        };
        let open = match self.server.slots.snapshot(group, index) {
            Some(open) => open,
            None => {
                let directory = disk::group_directory(group);
                let opened = SnapshotReader::open(&self.server.env, &directory, index).await.map_err(gone)?;
                let open = Arc::new(opened);
                self.server.slots.keep_snapshot(group, open.clone());
                open
            }
        };
        handle.serving(index);
        let (reader, manifest) = &*open;
        if request.offset >= manifest.bytes {
            return Err(Status::new(Code::Invalid, "offset: the snapshot ends before it"));
        }
        let length = request.bytes_max.clamp(1, PIECE_BYTES_MAX) as usize;
        let piece: Bytes = reader.read_at(request.offset, length).await.map_err(gone)?;
        let reply = FetchSnapshotReply { total: manifest.bytes, manifest: manifest.encode() };
        Ok((reply, Body::Bytes(piece)))
    }
}
