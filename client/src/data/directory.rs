//! The table of chunk servers as the metadata service tells it, through a session.

use super::{ChunkServer, Directory};
use crate::Session;
use crate::error::ClientError;
use mooseng_core::env::{Address, Env};
use mooseng_core::id::ServerId;
use mooseng_net::proto::cluster::{ChunkServerLife, ChunkServerStatus, ChunkServersReply};

impl<E: Env> Directory for Session<E> {
    async fn chunk_servers(&self) -> Result<Vec<ChunkServer>, ClientError> {
        let reply = Session::chunk_servers(self).await?;
        Ok(known(reply))
    }
}

/// Who can be asked for something.
pub(crate) fn known(reply: ChunkServersReply) -> Vec<ChunkServer> {
    reply.servers.into_iter().filter_map(place_of).collect()
}

/// Who listens nowhere cannot be asked for anything.
fn place_of(status: ChunkServerStatus) -> Option<ChunkServer> {
    let alive = status.life() == ChunkServerLife::Alive;
    (status.server != 0 && !status.address.is_empty()).then(|| ChunkServer {
        server: ServerId(status.server),
        address: Address::new(status.address),
        rack: status.rack.into(),
        total: status.total,
        free: status.free,
        disk: status.disk,
        alive,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_heard_of_lately_is_alive_and_nobody_is_nobody() {
        let status = |server, address: &str, life: ChunkServerLife| ChunkServerStatus {
            server,
            address: address.to_owned(),
            rack: "a".to_owned(),
            total: 9,
            free: 4,
            life: life.into(),
            disk: 3,
        };
        let alive = place_of(status(1, "c:1", ChunkServerLife::Alive)).unwrap();
        assert_eq!((alive.server, alive.alive, alive.disk), (ServerId(1), true, 3));
        assert_eq!((alive.total, alive.free), (9, 4));
        assert!(!place_of(status(1, "c:1", ChunkServerLife::Silent)).unwrap().alive);
        assert_eq!(place_of(status(0, "c:1", ChunkServerLife::Alive)), None);
        assert_eq!(place_of(status(1, "", ChunkServerLife::Alive)), None);
    }
}
