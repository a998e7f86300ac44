//! A chunk server as the state knows it: where it listens and which rack it stands in. Whether it
//! lives, and how much space it has, the leader hears from its heartbeats and forgets with its term.

use super::record::{Reader, Record, Sink};
use mooseng_core::id::ServerId;

/// The longest address, and the longest name of a rack, in bytes.
pub const PLACE_BYTES_MAX: usize = 200;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkServer {
    pub address: Box<str>,
    pub rack: Box<str>,
}

fn take_text(reader: &mut Reader<'_>, field: &'static str) -> Result<Box<str>, &'static str> {
    let bytes = reader.bytes(field)?;
    if bytes.len() > PLACE_BYTES_MAX {
        return Err(field);
    }
    std::str::from_utf8(bytes).map(Into::into).map_err(|_| field)
}

impl Record for ChunkServer {
    type Key = ServerId;
    const TABLE: u8 = 15;

    fn put<S: Sink>(&self, key: &ServerId, sink: &mut S) {
        sink.u64(key.0);
        sink.bytes(self.address.as_bytes());
        sink.bytes(self.rack.as_bytes());
    }

    fn take(reader: &mut Reader<'_>) -> Result<(ServerId, Self), &'static str> {
        let server = ServerId(reader.u64("chunk server")?);
        if server == ServerId(0) {
            return Err("chunk server");
        }
        let address = take_text(reader, "address of a chunk server")?;
        Ok((server, Self { address, rack: take_text(reader, "rack of a chunk server")? }))
    }
}
