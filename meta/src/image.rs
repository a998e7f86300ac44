//! A state as a stream of chunks, and back: what snapshots hold and lagging replicas are sent. Made
//! from a clone, which costs nothing, chunk by chunk as they are asked for, while the original goes
//! on changing.
//!
//! ```text
//!   chunk    magic "mng-img" | format u8 | ordinal u32 | bytes u32 | crc u32 | records
//!              7 bytes          1 byte     from 0        of records  of all else
//!
//!   records  0 | configuration | marks           once, first
//!            1..17 | record                      tables ascending, keys ascending
//!            255 | hash u128                     once, last
//! ```
//!
//! No record is cut in two. Whoever keeps or sends chunks need not look into them.

mod restore;

#[cfg(test)]
mod tests;

pub use restore::{ImageError, Restorer, restore};

use crate::state::{AnswerKey, EntryKey, ExtentKey, Record, Sink, State, Table, XattrKey};
use bytes::Bytes;
use mooseng_core::checksum::crc32c_of;
use mooseng_core::id::{InodeId, ServerId, SessionId, SliceId};
use mooseng_core::namespace::{XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX};
use mooseng_core::plant;

/// The format of the images this build writes and reads.
pub const FORMAT: u8 = 2;
/// The size of a chunk unless another is asked for.
pub const CHUNK_BYTES: usize = 256 * 1024;
/// No chunk can be asked to be smaller: a few ordinary records fit. A record that is longer than a
/// chunk has one for itself.
pub const CHUNK_BYTES_MIN: usize = 1_024;

/// How much of an image tells its format.
pub const MARK_BYTES: usize = 8;

/// Is this the beginning of an image that this build does not read? Says which one it is.
pub fn unread_format(start: &[u8]) -> Option<u8> {
    let format = start.strip_prefix(MAGIC)?.first()?;
    (*format != FORMAT).then_some(*format)
}

const MAGIC: &[u8; 7] = b"mng-img";
const HEADER_BYTES: usize = 20;
/// The longest record is an extended attribute with the longest name and value: its table, its inode, and
/// both with their lengths.
const RECORD_BYTES_MAX: usize = 1 + 8 + 1 + XATTR_NAME_BYTES_MAX + 4 + XATTR_VALUE_BYTES_MAX;
const HEAD: u8 = 0;
const TRAILER: u8 = 255;
const TRAILER_BYTES: usize = 17;

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
#[derive(Clone)]
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
    Caching(Option<SessionId>),
    Targets(Option<InodeId>),
    Orphans(Option<InodeId>),
    Xattrs(Option<XattrKey>),
    Trailer,
    End,
}

impl Image {
    /// No chunk is larger than `chunk_bytes`, save one of a single record.
    pub fn new(state: State, chunk_bytes: usize) -> Self {
        assert!(chunk_bytes >= CHUNK_BYTES_MIN, "a chunk holds any record");
        let chunk_bytes = plant!("control-small-chunks", chunk_bytes, CHUNK_BYTES_MIN);
        let state = plant!("snapshot-without-sessions", state, {
            let mut state = state;
            (state.sessions, state.answers) = (Table::default(), Table::default());
            state.caching = Table::default();
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

    /// Writes what comes next; says whether the chunk is full.
    fn step(&mut self, out: &mut Vec<u8>) -> bool {
        let state = &self.state;
        let room = self.chunk_bytes;
        let (at, full) = match self.at.clone() {
            At::Head => {
                out.u8(HEAD);
                state.config.put(out);
                state.marks.put(out);
                (At::Inodes(None), false)
            }
            At::Inodes(after) => go(&state.inodes, after, out, room, At::Inodes, At::Entries(None)),
            At::Entries(after) => go(&state.entries, after, out, room, At::Entries, At::Counters(None)),
            At::Counters(after) => go(&state.counters, after, out, room, At::Counters, At::Sessions(None)),
            At::Sessions(after) => go(&state.sessions, after, out, room, At::Sessions, At::Answers(None)),
            At::Answers(after) => go(&state.answers, after, out, room, At::Answers, At::Replicas(None)),
            At::Replicas(after) => go(&state.replicas, after, out, room, At::Replicas, At::Targets(None)),
            At::Targets(after) => go(&state.targets, after, out, room, At::Targets, At::Orphans(None)),
            At::Orphans(after) => go(&state.orphans, after, out, room, At::Orphans, At::Xattrs(None)),
            At::Xattrs(after) => go(&state.xattrs, after, out, room, At::Xattrs, At::Extents(None)),
            At::Extents(after) => go(&state.extents, after, out, room, At::Extents, At::Live(None)),
            At::Live(after) => go(&state.live, after, out, room, At::Live, At::Pending(None)),
            At::Pending(after) => go(&state.pending, after, out, room, At::Pending, At::Condemned(None)),
            At::Condemned(after) => {
                go(&state.condemned, after, out, room, At::Condemned, At::SliceCounters(None))
            }
            At::SliceCounters(after) => {
                go(&state.slice_counters, after, out, room, At::SliceCounters, At::ChunkServers(None))
            }
            At::ChunkServers(after) => {
                go(&state.chunk_servers, after, out, room, At::ChunkServers, At::Caching(None))
            }
            At::Caching(after) => go(&state.caching, after, out, room, At::Caching, At::Trailer),
            At::Trailer if out.len() + TRAILER_BYTES > room && out.len() > HEADER_BYTES => {
                (At::Trailer, true)
            }
            At::Trailer => {
                out.u8(TRAILER);
                out.extend_from_slice(&state.hash().to_le_bytes());
                (At::End, true)
            }
            At::End => (At::End, true),
        };
        self.at = at;
        full
    }
}

/// Writes on in a table; gives where to go on, and whether the chunk is full.
fn go<R: Record>(
    table: &Table<R>,
    after: Option<R::Key>,
    out: &mut Vec<u8>,
    room: usize,
    same: fn(Option<R::Key>) -> At,
    next: At,
) -> (At, bool) {
    match put_after(table, after, out, room) {
        Ok(()) => (next, false),
        Err(last) => (same(last), true),
    }
}

/// Writes the records after a key, into an empty chunk one at least. An error if there is no room
/// for all: the key of the last one written.
fn put_after<R: Record>(
    table: &Table<R>,
    after: Option<R::Key>,
    out: &mut Vec<u8>,
    room: usize,
) -> Result<(), Option<R::Key>> {
    let from = match &after {
        Some(key) => table.iter_from(key),
        None => table.iter(),
    };
    let mut last = after.clone();
    for (key, record) in from.filter(|(key, _)| after.as_ref() != Some(*key)) {
        let before = out.len();
        out.u8(R::TABLE);
        record.put(key, out);
        assert!(out.len() - before <= RECORD_BYTES_MAX, "no record is longer");
        if out.len() > room && before > HEADER_BYTES {
            out.truncate(before);
            return Err(last);
        }
        last = Some(key.clone());
    }
    Ok(())
}

impl Iterator for Image {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if matches!(self.at, At::End) {
            return None;
        }
        let mut chunk = Vec::with_capacity(self.chunk_bytes);
        chunk.resize(HEADER_BYTES, 0);
        while !self.step(&mut chunk) {}
        let bytes_max = self.chunk_bytes.max(HEADER_BYTES + RECORD_BYTES_MAX);
        assert!(chunk.len() > HEADER_BYTES && chunk.len() <= bytes_max, "a chunk of a bounded size");
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
