//! Chunk servers register with the leader, tell it that they live, and are found by whoever asks.

use super::Server;
use super::metadata::status;
use crate::census::{Life, Space};
use crate::command::{CommandKind, Reply};
use crate::group::handle::{Handle, Look};
use crate::state::{PLACE_BYTES_MAX, State};
use mooseng_core::env::{Clock, Env};
use mooseng_core::id::{GroupId, PartId, ServerId};
use mooseng_core::{plant, probe};
use mooseng_net::convert::{self, DAMAGED_MAX};
use mooseng_net::proto::cluster::{
    ChunkHeartbeatReply, ChunkHeartbeatRequest, ChunkServerLife, ChunkServerStatus, ChunkServersReply,
    RegisterChunkServerReply, RegisterChunkServerRequest, SlicesStatus,
};
use mooseng_net::rpc::{Code, Status};

impl<E: Env> Server<E> {
    /// The group that keeps the registry, as long as there is but one.
    pub(super) fn registry(&self) -> GroupId {
        self.config.groups.first().copied().unwrap_or_default()
    }

    /// The state, if this server leads: nobody else hears heartbeats.
    async fn leading(&self) -> Result<(Handle, Look, State), Status> {
        let handle = self.slots.serving(self.registry())?;
        let (look, state) = handle.copy().await.map_err(status)?;
        if !leads(&look) {
            let leader = look.leader.and_then(|(_, address)| address);
            return Err(Status::not_leader(leader));
        }
        self.with_census(|census| census.lead(look.answer.term, self.env.clock().now()));
        Ok((handle, look, state))
    }

    pub(super) async fn register_chunk_server(
        &self,
        request: RegisterChunkServerRequest,
    ) -> Result<RegisterChunkServerReply, Status> {
        let server = ServerId(convert::count("server", request.server)?);
        let RegisterChunkServerRequest { address, rack, total, free, life, disk, .. } = request;
        if address.is_empty() || address.len().max(rack.len()) > PLACE_BYTES_MAX {
            let why = format!("address, rack: an address of 1 to {PLACE_BYTES_MAX} bytes, a rack of no more");
            return Err(Status::new(Code::Invalid, why));
        }
        let (handle, look, state) = self.leading().await?;
        let known = state.chunk_server(server);
        if let Some(other) = known.filter(|known| *known.address != *address)
            && self.with_census(|census| census.is_taken(server, life, self.env.clock().now()))
        {
            probe!("two chunk servers go by one number");
            let why =
                format!("server: {server} lives at {}; give this one a number of its own", other.address);
            plant!("chunk-server-number-taken-over", return Err(Status::new(Code::Invalid, why)), ());
        }
        if known.is_none_or(|known| *known.address != *address || *known.rack != *rack) {
            let (address, rack) = (address.into(), rack.into());
            let proposed = handle.propose(CommandKind::RegisterServer { server, address, rack }).await;
            if let (Reply::Refused(refusal), _) = proposed.map_err(status)? {
                return Err(Status::new(Code::Invalid, format!("the chunk server is not taken: {refusal}")));
            }
        }
        let now = self.env.clock().now();
        let heartbeat = self.with_census(|census| {
            census.heard(server, life, Space { total, free, disk }, now);
            census.config().heartbeat
        });
        let heartbeat_ms = heartbeat.as_millis() as u64;
        Ok(RegisterChunkServerReply { heartbeat_ms, term: look.answer.term })
    }

    pub(super) async fn chunk_heartbeat(
        &self,
        request: ChunkHeartbeatRequest,
    ) -> Result<ChunkHeartbeatReply, Status> {
        let server = ServerId(convert::count("server", request.server)?);
        if request.damaged.len() > DAMAGED_MAX {
            return Err(Status::new(Code::Invalid, format!("damaged: more than {DAMAGED_MAX} parts")));
        }
        let mut damaged = Vec::with_capacity(request.damaged.len());
        let ChunkHeartbeatRequest { total, free, life, disk, .. } = request;
        for part in request.damaged {
            let slice = convert::slice("damaged.slice", part.slice)?;
            damaged.push(PartId { slice, index: convert::part_index("damaged.index", part.index)? });
        }
        let (_, look, state) = self.leading().await?;
        let registered = state.chunk_server(server).is_some();
        let now = self.env.clock().now();
        let (known, heartbeat) = self.with_census(|census| {
            let known = registered && census.goes_by(server, life);
            if known {
                let space = Space { total, free, disk };
                census.heard(server, life, space, now);
                damaged.into_iter().for_each(|part| census.damaged(part, server));
            }
            (known, census.config().heartbeat)
        });
        let heartbeat_ms = heartbeat.as_millis() as u64;
        Ok(ChunkHeartbeatReply { known, heartbeat_ms, term: look.answer.term })
    }

    pub(super) async fn chunk_servers(&self) -> Result<ChunkServersReply, Status> {
        let (_, look, state) = self.leading().await?;
        let now = self.env.clock().now();
        let servers = self.with_census(|census| {
            let each = state.chunk_servers().map(|(server, held)| {
                let Space { total, free, disk } = census.space(server);
                let life = match census.life(server, now) {
                    Life::Alive => ChunkServerLife::Alive,
                    Life::Silent => ChunkServerLife::Silent,
                    Life::Lost => ChunkServerLife::Lost,
                };
                let (address, rack) = (held.address.to_string(), held.rack.to_string());
                let life = life as i32;
                ChunkServerStatus { server: server.0, address, rack, total, free, life, disk }
            });
            each.collect()
        });
        let progress = self.with_progress(|progress| *progress);
        let slices = progress.found.map(|found| SlicesStatus {
            live: found.live,
            lacking: found.lacking,
            endangered: found.endangered,
            lost: found.lost,
            condemned: state.condemned_count() as u64,
            mended: progress.mended,
        });
        let disk_free = self.disk.told().map_or(0, |(_, free)| free);
        let (inodes, inodes_free) = (state.inodes_count() as u64, look.room.inodes(disk_free));
        Ok(ChunkServersReply { servers, slices, inodes, inodes_free })
    }
}

/// Does the replica that looked lead its group, as far as it knows?
pub(super) fn leads(look: &Look) -> bool {
    let leader = look.leader.as_ref().map(|(replica, _)| *replica);
    leader.is_some() && leader == look.answer.replica
}
