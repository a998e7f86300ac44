//! A state as a stream of chunks, and back: what snapshots hold and lagging replicas are sent. Made
//! from a clone, which costs nothing, chunk by chunk as they are asked for, while the original goes
//! on changing.
//!
//! ```text
//!   chunk    magic "mng-img" | format u8 | ordinal u32 | bytes u32 | crc u32 | records
//!              7 bytes          1 byte     from 0        of records  of all else
//!
//!   records  0 | configuration | marks           once, first
//!            1..15 | record                      tables ascending, keys ascending
//!            255 | hash u128                     once, last
//! ```
//!
//! No record is cut in two. Whoever keeps or sends chunks need not look into them.

mod restore;

#[cfg(test)]
mod tests;

pub use restore::{ImageError, Restorer, restore};

use crate::state::{AnswerKey, EntryKey, ExtentKey, Record, Sink, State, Table};
use bytes::Bytes;
use mooseng_core::checksum::crc32c_of;
use mooseng_core::id::{InodeId, ServerId, SessionId, SliceId};
use mooseng_core::plant;

/// The format of the images this build writes and reads.
pub const FORMAT: u8 = 2;
/// The size of a chunk unless another is asked for.
pub const CHUNK_BYTES: usize = 256 * 1024;
/// No chunk can be asked to be smaller: any record fits.
pub const CHUNK_BYTES_MIN: usize = 1_024;

const MAGIC: &[u8; 7] = b"mng-img";
const HEADER_BYTES: usize = 20;
/// The longest record, a slice of 64 parts, has 533 bytes.
const RECORD_BYTES_MAX: usize = 560;
const _: () = assert!(HEADER_BYTES + RECORD_BYTES_MAX <= CHUNK_BYTES_MIN);
const HEAD: u8 = 0;
const TRAILER: u8 = 255;

/// The chunks of a state's image, in the usual size.
pub fn image(state: &State) -> Image {
    Image::new(state.clone(), CHUNK_BYTES)
}

/// Writes a state down, chunk by chunk.
pub struct Image {
    state: State,
    chunk_bytes: usize,
    ordinal: u32,
    at: At,
}

/// What comes next: a table's records after a key.
#[derive(Clone, Copy)]
enum At {
    Head,
    Inodes(Option<InodeId>),
    Entries(Option<EntryKey>),
    Counters(Option<u16>),
    Sessions(Option<SessionId>),
    Answers(Option<AnswerKey>),
    Replicas(Option<ServerId>),
    Extents(Option<ExtentKey>),
    Live(Option<SliceId>),
    Pending(Option<SliceId>),
    Condemned(Option<SliceId>),
    SliceCounters(Option<u16>),
    ChunkServers(Option<ServerId>),
    Trailer,
    End,
}

impl Image {
    /// No chunk is larger than `chunk_bytes`.
    pub fn new(state: State, chunk_bytes: usize) -> Self {
        assert!(chunk_bytes >= CHUNK_BYTES_MIN, "a chunk holds any record");
        let chunk_bytes = plant!("control-small-chunks", chunk_bytes, CHUNK_BYTES_MIN);
        let state = plant!("snapshot-without-sessions", state, {
            let mut state = state;
            (state.sessions, state.answers) = (Table::default(), Table::default());
            state
        });
        let state = plant!("snapshot-without-counters", state, {
            let mut state = state;
            state.counters = Table::default();
            state
        });
        let state = plant!("snapshot-drops-links", state, {
            let mut state = state;
            let linked = |(id, inode): (&InodeId, &crate::state::Inode)| {
                (!inode.is_directory() && inode.links > 1).then_some(*id)
            };
            let linked: Vec<InodeId> = state.inodes.iter().filter_map(linked).collect();
            for id in linked {
                state.inodes.change(&id, |inode| inode.links = 1);
            }
            state
        });
        Self { state, chunk_bytes, ordinal: 0, at: At::Head }
    }

    fn step(&mut self, out: &mut Vec<u8>) {
        let state = &self.state;
        let room = self.chunk_bytes;
        self.at = match self.at {
            At::Head => {
                out.u8(HEAD);
                state.config.put(out);
                state.marks.put(out);
                At::Inodes(None)
            }
            At::Inodes(after) => put_after(&state.inodes, after, out, room)
                .map_or(At::Entries(None), |last| At::Inodes(Some(last))),
            At::Entries(after) => put_after(&state.entries, after, out, room)
                .map_or(At::Counters(None), |last| At::Entries(Some(last))),
            At::Counters(after) => put_after(&state.counters, after, out, room)
                .map_or(At::Sessions(None), |last| At::Counters(Some(last))),
            At::Sessions(after) => put_after(&state.sessions, after, out, room)
                .map_or(At::Answers(None), |last| At::Sessions(Some(last))),
            At::Answers(after) => put_after(&state.answers, after, out, room)
                .map_or(At::Replicas(None), |last| At::Answers(Some(last))),
            At::Replicas(after) => put_after(&state.replicas, after, out, room)
                .map_or(At::Extents(None), |last| At::Replicas(Some(last))),
            At::Extents(after) => put_after(&state.extents, after, out, room)
                .map_or(At::Live(None), |last| At::Extents(Some(last))),
            At::Live(after) => put_after(&state.live, after, out, room)
                .map_or(At::Pending(None), |last| At::Live(Some(last))),
            At::Pending(after) => put_after(&state.pending, after, out, room)
                .map_or(At::Condemned(None), |last| At::Pending(Some(last))),
            At::Condemned(after) => put_after(&state.condemned, after, out, room)
                .map_or(At::SliceCounters(None), |last| At::Condemned(Some(last))),
            At::SliceCounters(after) => put_after(&state.slice_counters, after, out, room)
                .map_or(At::ChunkServers(None), |last| At::SliceCounters(Some(last))),
            At::ChunkServers(after) => put_after(&state.chunk_servers, after, out, room)
                .map_or(At::Trailer, |last| At::ChunkServers(Some(last))),
            At::Trailer => {
                out.u8(TRAILER);
                out.extend_from_slice(&state.hash().to_le_bytes());
                At::End
            }
            At::End => At::End,
        };
    }
}

/// Writes the records after a key, as many as there is room for, one at least; gives the last of
/// them unless that is the table's last.
fn put_after<R: Record>(
    table: &Table<R>,
    after: Option<R::Key>,
    out: &mut Vec<u8>,
    room: usize,
) -> Option<R::Key> {
    let from = match &after {
        Some(key) => table.iter_from(key),
        None => table.iter(),
    };
    let mut last = after.clone();
    for (key, record) in from.filter(|(key, _)| after.as_ref() != Some(*key)) {
        if out.len() + RECORD_BYTES_MAX > room && last != after {
            return last;
        }
        let before = out.len();
        out.u8(R::TABLE);
        record.put(key, out);
        assert!(out.len() - before <= RECORD_BYTES_MAX, "no record is longer");
        last = Some(key.clone());
    }
    None
}

impl Iterator for Image {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if matches!(self.at, At::End) {
            return None;
        }
        let mut chunk = Vec::with_capacity(self.chunk_bytes);
        chunk.resize(HEADER_BYTES, 0);
        while !matches!(self.at, At::End) && chunk.len() + RECORD_BYTES_MAX <= self.chunk_bytes {
            self.step(&mut chunk);
        }
        assert!(chunk.len() > HEADER_BYTES && chunk.len() <= self.chunk_bytes, "a chunk of a bounded size");
        let header = header(self.ordinal, &chunk[HEADER_BYTES..]);
        chunk[..HEADER_BYTES].copy_from_slice(&header);
        self.ordinal += 1;
        Some(Bytes::from(chunk))
    }
}

fn header(ordinal: u32, records: &[u8]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..7].copy_from_slice(MAGIC);
    header[7] = FORMAT;
    header[8..12].copy_from_slice(&ordinal.to_le_bytes());
    header[12..16].copy_from_slice(&(records.len() as u32).to_le_bytes());
    let crc = crc32c_of(&[&header[..16], records]);
    header[16..].copy_from_slice(&crc.to_le_bytes());
    header
}
