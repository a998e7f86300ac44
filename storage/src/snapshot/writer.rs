//! Writes one snapshot beside everything else that goes on.

use super::layout::{BLOCK_BYTES, BLOCK_HEAD_BYTES, Foot, Head, META_BYTES_MAX, encode_block};
use super::{Manifest, partial_path, path};
use crate::error::StorageError;
use bytes::{Buf, Bytes};
use mooseng_core::env::{Disk, DiskError, Env, File, OpenMode};
use mooseng_core::id::GroupId;
use mooseng_core::plant;

/// How much is written between syncs: a sync of everything at the end would make the log's own
/// syncs wait behind it.
const SYNC_BYTES: usize = 4 << 20;

/// A snapshot being written. Dropped before [`SnapshotWriter::finish`] it leaves a partial file,
/// which [`super::discard`] and
/// [`super::open_directory`] remove.
pub struct SnapshotWriter<E: Env> {
    env: E,
    directory: String,
    file: <E::Disk as Disk>::File,
    head: Head,
    hasher: blake3::Hasher,
    /// Of the image: what was given, and what of it is not written yet, less than a block.
    bytes: u64,
    rest: Vec<u8>,
    /// Of the file: what is written, and how much of it is not synced.
    written: u64,
    unsynced: usize,
    blocks: u64,
}

impl<E: Env> SnapshotWriter<E> {
    /// Begins a snapshot of `group` at `index`. An unfinished one of the same index is replaced.
    pub async fn create(
        env: &E,
        directory: &str,
        group: GroupId,
        index: u64,
        term: u64,
        meta: Bytes,
    ) -> Result<Self, StorageError> {
        if meta.len() > META_BYTES_MAX {
            return Err(StorageError::TooLarge { bytes: meta.len(), bytes_max: META_BYTES_MAX });
        }
        let path = partial_path(directory, index);
        match env.disk().remove(&path).await {
            Ok(()) | Err(DiskError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let file = env.disk().open(&path, OpenMode::New).await?;
        let head = Head { group, index, term, meta };
        let mut writer = Self {
            env: env.clone(),
            directory: directory.to_owned(),
            file,
            hasher: head.hasher(),
            rest: Vec::new(),
            bytes: 0,
            written: 0,
            unsynced: 0,
            blocks: 0,
            head,
        };
        let encoded = writer.head.encode();
        writer.put(encoded).await?;
        Ok(writer)
    }

    /// The next piece of the image, of any length.
    pub async fn write(&mut self, mut piece: Bytes) -> Result<(), StorageError> {
        self.hasher.update(&piece);
        self.bytes += piece.len() as u64;
        let whole = (self.rest.len() + piece.len()) / BLOCK_BYTES;
        if whole > 0 {
            let mut blocks = Vec::with_capacity(whole * (BLOCK_BYTES + BLOCK_HEAD_BYTES));
            for _ in 0..whole {
                self.rest.extend_from_slice(&piece.split_to(BLOCK_BYTES - self.rest.len()));
                self.block(&mut blocks);
            }
            self.put(blocks).await?;
        }
        self.rest.extend_from_slice(piece.chunk());
        assert!(self.rest.len() < BLOCK_BYTES, "whole blocks are written at once");
        Ok(())
    }

    /// Makes the snapshot durable under its name.
    pub async fn finish(mut self) -> Result<Manifest, StorageError> {
        let mut end = Vec::new();
        if !self.rest.is_empty() {
            self.block(&mut end);
        }
        let foot = Foot { bytes: self.bytes, root: *self.hasher.finalize().as_bytes() };
        end.extend_from_slice(&foot.encode());
        self.put(end).await?;
        plant!("snapshot-without-sync-before-rename", self.file.sync().await?, ());
        let (index, disk) = (self.head.index, self.env.disk());
        disk.rename(&partial_path(&self.directory, index), &path(&self.directory, index)).await?;
        disk.sync_dir(&self.directory).await?;
        Ok(self.head.with(&foot))
    }

    fn block(&mut self, blocks: &mut Vec<u8>) {
        encode_block(self.blocks, &self.rest, blocks);
        self.blocks += 1;
        self.rest.clear();
    }

    async fn put(&mut self, bytes: Vec<u8>) -> Result<(), StorageError> {
        let length = bytes.len();
        self.file.write_at(self.written, bytes.into()).await?;
        self.written += length as u64;
        self.unsynced += length;
        if self.unsynced >= SYNC_BYTES {
            self.file.sync().await?;
            self.unsynced = 0;
        }
        Ok(())
    }
}
