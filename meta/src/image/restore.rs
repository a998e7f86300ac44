//! From chunks back to a state. They come from disks and networks, so nothing in them is believed:
//! what is damaged, missing, out of order or of another version is refused in one line.

use super::{FORMAT, HEAD, HEADER_BYTES, MAGIC, TRAILER, header};
use crate::state::{
    Allotted, Caches, ChunkServer, Condemned, Counter, Entry, Extent, Inode, Live, Marks, Orphan, Pending,
    Reader, Record, Recorded, Says, Session, SliceCounter, State, StateConfig, Table, Xattr,
};
use bytes::Bytes;

/// Why an image is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("image refused: {0}")]
pub struct ImageError(pub String);

fn refuse<T>(why: impl Into<String>) -> Result<T, ImageError> {
    Err(ImageError(why.into()))
}

/// The state of a whole image.
pub fn restore(chunks: impl IntoIterator<Item = Bytes>) -> Result<State, ImageError> {
    let mut restorer = Restorer::new();
    for chunk in chunks {
        restorer.chunk(&chunk)?;
    }
    restorer.finish()
}

/// Takes the chunks of an image in order.
#[derive(Default)]
pub struct Restorer {
    state: Option<State>,
    chunks: u32,
    /// The hash in the trailer, after which nothing comes.
    hash: Option<u128>,
    refused: bool,
}

impl Restorer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next chunk. After an error nothing more is taken.
    pub fn chunk(&mut self, chunk: &[u8]) -> Result<(), ImageError> {
        if self.refused {
            return refuse("an earlier chunk was refused");
        }
        let ordinal = self.chunks;
        let taken = self.take(chunk);
        self.refused = taken.is_err();
        self.chunks += 1;
        taken.map_err(|why| ImageError(format!("chunk {ordinal}: {why}")))
    }

    /// The state, if the image is whole.
    pub fn finish(self) -> Result<State, ImageError> {
        let (Some(state), Some(hash), false) = (self.state, self.hash, self.refused) else {
            return refuse(format!("it ends after {} chunks, without its last record", self.chunks));
        };
        if state.hash() != hash {
            return refuse("what it holds does not have the hash it names");
        }
        assert_eq!(state.sessions.len(), state.nonces.len(), "every session is found by its nonce");
        Ok(state)
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), String> {
        let Some((head, records)) = chunk.split_first_chunk::<HEADER_BYTES>() else {
            return Err(format!("{} bytes are no chunk", chunk.len()));
        };
        if !head.starts_with(MAGIC) {
            return Err("not a chunk of an image".into());
        }
        if head[7] != FORMAT {
            return Err(format!(
                "format {}, this build reads {FORMAT}: use the build that wrote it",
                head[7]
            ));
        }
        if *head != header(self.chunks, records) {
            return Err("damaged, or out of order".into());
        }
        let mut reader = Reader::new(records);
        while !reader.is_empty() {
            self.record(&mut reader).map_err(|field| format!("{field} is not what it can be"))?;
        }
        Ok(())
    }

    fn record(&mut self, reader: &mut Reader<'_>) -> Result<(), &'static str> {
        if self.hash.is_some() {
            return Err("what follows the last record");
        }
        let table = reader.u8("table")?;
        let Some(state) = &mut self.state else {
            if table != HEAD {
                return Err("the first record");
            }
            let config = StateConfig::take(reader)?;
            self.state = Some(State::empty(config, Marks::take(reader)?));
            return Ok(());
        };
        match table {
            Inode::TABLE => put(&mut state.inodes, reader),
            Entry::TABLE => put(&mut state.entries, reader),
            Counter::TABLE => put(&mut state.counters, reader),
            Recorded::TABLE => put(&mut state.answers, reader),
            Allotted::TABLE => put(&mut state.replicas, reader),
            Extent::TABLE => put(&mut state.extents, reader),
            Live::TABLE => put(&mut state.live, reader),
            Condemned::TABLE => put(&mut state.condemned, reader),
            SliceCounter::TABLE => put(&mut state.slice_counters, reader),
            ChunkServer::TABLE => put(&mut state.chunk_servers, reader),
            Pending::TABLE => {
                let (slice, pending) = Pending::take(reader)?;
                state.pending_of.insert((pending.session, slice), ());
                match state.pending.insert(slice, pending) {
                    Some(_) => Err("a record that comes twice"),
                    None => Ok(()),
                }
            }
            Says::TABLE => put(&mut state.targets, reader),
            Caches::TABLE => {
                let (id, caches) = Caches::take(reader)?;
                if state.sessions.get(&id).is_none() {
                    return Err("a session that caches");
                }
                match state.caching.insert(id, caches) {
                    Some(_) => Err("a record that comes twice"),
                    None => Ok(()),
                }
            }
            Orphan::TABLE => put(&mut state.orphans, reader),
            Xattr::TABLE => put(&mut state.xattrs, reader),
            Session::TABLE => {
                let (id, session) = Session::take(reader)?;
                if state.nonces.insert(session.nonce, id).is_some() {
                    return Err("a nonce of two sessions");
                }
                match state.sessions.insert(id, session) {
                    Some(_) => Err("a record that comes twice"),
                    None => Ok(()),
                }
            }
            TRAILER => {
                self.hash = Some(reader.u128("hash")?);
                Ok(())
            }
            _ => Err("table"),
        }
    }
}

fn put<R: Record>(table: &mut Table<R>, reader: &mut Reader<'_>) -> Result<(), &'static str> {
    let (key, record) = R::take(reader)?;
    if table.insert(key, record).is_some() { Err("a record that comes twice") } else { Ok(()) }
}
