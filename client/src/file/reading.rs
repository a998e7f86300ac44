//! Reading what is committed: maps from the metadata service, bytes from the chunk servers. What is
//! not yet committed lies over it, and is not known here.

use super::error::FileError;
use super::map::{ChunkMap, by_chunk};
use super::service::FileService;
use super::shared::Shared;
use crate::data::DataError;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use mooseng_core::class::CHUNK_BYTES;
use mooseng_core::env::{Clock, Env, sleep};
use mooseng_core::event::Event;
use mooseng_core::extent::{FileExtent, chunk_of};
use mooseng_core::probe;
use std::sync::Arc;
use std::time::Duration;

/// Slices that are read side by side for one read.
const READS_MAX: usize = 8;
/// How long to wait before a map is looked at again that has not changed.
const WAIT: Duration = Duration::from_millis(200);
/// A map comes in pieces if it is long; not in more than this.
const PIECES_MAX: usize = 1 << 16;

impl<E: Env, S: FileService> Shared<E, S> {
    /// The committed bytes of a range; zeros where there is nothing.
    pub(super) async fn committed(&self, from: u64, to: u64) -> Result<Bytes, FileError> {
        let mut parts = Vec::new();
        for (from, to) in by_chunk(from, to) {
            parts.push(self.committed_in_chunk(from, to).await?);
        }
        match &parts[..] {
            [only] => Ok(only.clone()),
            _ => Ok(parts.concat().into()),
        }
    }

    /// A part that is missing may have moved: a newer map is looked at before anything is called
    /// lost.
    async fn committed_in_chunk(&self, from: u64, to: u64) -> Result<Bytes, FileError> {
        let clock = self.mounted.env.clock();
        let end = clock.now() + self.mounted.config.operation_timeout;
        let mut map = self.map(chunk_of(from)).await?;
        loop {
            let error = match self.read_by(&map, from, to).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error,
            };
            let newer = self.fetch_map(chunk_of(from)).await?;
            if newer.agrees(&map, from, to) {
                match error {
                    DataError::TimedOut { .. } if clock.now() < end => sleep(&self.mounted.env, WAIT).await,
                    error => return Err(self.unreadable(error)),
                }
            } else {
                probe!("read again by a newer map");
            }
            map = newer;
        }
    }

    fn unreadable(&self, error: DataError) -> FileError {
        self.mounted.env.note(Event::Note(format!("{:?} cannot be read: {error}", self.inode)));
        error.into()
    }

    async fn read_by(&self, map: &ChunkMap, from: u64, to: u64) -> Result<Bytes, DataError> {
        let extents = map.in_range(from, to);
        let reads: Vec<_> = extents.iter().map(|extent| self.read_extent(map, *extent)).collect();
        let read: Vec<Bytes> = stream::iter(reads).buffered(READS_MAX).try_collect().await?;
        if let ([extent], [bytes]) = (&extents[..], &read[..])
            && (extent.offset, extent.end()) == (from, to)
        {
            return Ok(bytes.clone());
        }
        let mut joined = vec![0; (to - from) as usize];
        for (extent, bytes) in extents.iter().zip(read) {
            let at = (extent.offset - from) as usize;
            joined[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(joined.into())
    }

    async fn read_extent(&self, map: &ChunkMap, extent: FileExtent) -> Result<Bytes, DataError> {
        let nonsense = |what: String| DataError::Lost { slice: extent.slice, what };
        let Some(info) = map.slices.get(&extent.slice) else {
            return Err(nonsense("the map does not say where it is".to_owned()));
        };
        let bytes = self.mounted.store.read(info, extent.slice_offset, extent.length).await?;
        if bytes.len() != extent.length as usize {
            return Err(nonsense(format!("it ends before offset {} that the map names", extent.slice_end())));
        }
        Ok(bytes)
    }

    async fn map(&self, chunk: u64) -> Result<Arc<ChunkMap>, FileError> {
        let (now, age) = (self.mounted.env.clock().now(), self.mounted.config.map_age);
        match self.with(|state| state.maps.get(chunk, now, age)) {
            Some(map) if !self.mounted.env.buggify("map asked for anew") => Ok(map),
            _ => self.fetch_map(chunk).await,
        }
    }

    pub(super) async fn fetch_map(&self, chunk: u64) -> Result<Arc<ChunkMap>, FileError> {
        let asked = self.mounted.env.clock().now();
        let generation = self.with(|state| state.generation);
        let (mut at, end) = (chunk * CHUNK_BYTES, (chunk + 1).saturating_mul(CHUNK_BYTES));
        let mut map = ChunkMap::default();
        let mut size = None;
        for _ in 0..PIECES_MAX {
            let piece = self.mounted.service.map(self.inode, at, end - at).await?;
            if size.is_some_and(|size| size != piece.size) {
                // It changed between the pieces: begin anew.
                (at, map) = (chunk * CHUNK_BYTES, ChunkMap::default());
                size = None;
                continue;
            }
            size = Some(piece.size);
            map.extents.extend(piece.extents.iter().filter_map(|extent| extent.clipped(at, end)));
            map.slices.extend(piece.slices.into_iter().map(|info| (info.slice, info)));
            if piece.end >= end {
                break;
            }
            if piece.end <= at {
                return Err(FileError::Io { what: "the metadata service sent a map of nothing".to_owned() });
            }
            at = piece.end;
        }
        let map = Arc::new(map);
        self.with(|state| {
            // What changed here while the answer was on its way is not in it.
            let fresh = state.generation == generation;
            if let Some(size) = size {
                state.learn(size);
            }
            if fresh {
                state.maps.learn(chunk, asked, map.clone());
            }
        });
        Ok(map)
    }
}
