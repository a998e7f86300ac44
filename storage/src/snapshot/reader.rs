//! Reads a snapshot and believes nothing in it that is not checked.

use super::layout::{
    BLOCK_BYTES, BLOCK_HEAD_BYTES, FOOT, FOOT_BYTES, Foot, HEAD, Head, Places, decode_block,
};
use super::{Manifest, path};
use crate::envelope::Fault;
use crate::error::StorageError;
use bytes::{Bytes, BytesMut};
use mooseng_core::env::{Disk, DiskError, Env, File, OpenMode};
use mooseng_core::probe;

/// An open snapshot. It can be read even when it has been removed meanwhile.
pub struct SnapshotReader<E: Env> {
    file: <E::Disk as Disk>::File,
    path: String,
    places: Places,
    root: [u8; 32],
    /// For [`SnapshotReader::next`]: what was read so far.
    hasher: blake3::Hasher,
    next: u64,
    checked: bool,
}

impl<E: Env> SnapshotReader<E> {
    /// Opens the snapshot of `index` and says what it is. Its blocks are checked as they are read.
    pub async fn open(env: &E, directory: &str, index: u64) -> Result<(Self, Manifest), StorageError> {
        let path = path(directory, index);
        let file = match env.disk().open(&path, OpenMode::Existing).await {
            Ok(file) => file,
            Err(DiskError::NotFound { .. }) => return Err(StorageError::Absent { file: path }),
            Err(error) => return Err(error.into()),
        };
        let (head, head_bytes) = match Head::decode(&read(&file, &path, 0, HEAD.bytes_max).await?) {
            Ok(head) => head,
            Err(fault @ Fault::Version(_)) => return Err(HEAD.explain(fault, &path)),
            Err(Fault::Broken) => return Err(damaged(&path, "its head is cut short or fails its checksum")),
            // Its name is a snapshot's, so it was one: what it begins with now is damage.
            Err(Fault::Foreign) => return Err(damaged(&path, "it does not begin as a snapshot does")),
        };
        if head.index != index {
            return Err(damaged(&path, "it is the snapshot of another index"));
        }
        let length = file.length().await?;
        let foot_at = length.checked_sub(FOOT_BYTES as u64);
        let foot_at = foot_at.ok_or_else(|| damaged(&path, "it is cut short"))?;
        let foot = match Foot::decode(&read(&file, &path, foot_at, FOOT_BYTES).await?) {
            Ok(foot) => foot,
            Err(fault @ Fault::Version(_)) => return Err(FOOT.explain(fault, &path)),
            Err(_) => return Err(damaged(&path, "it is cut short, or its foot fails its checksum")),
        };
        let places = Places { head_bytes: head_bytes as u64, bytes: foot.bytes };
        if places.foot() != Some(foot_at) {
            return Err(damaged(&path, "its length is not what its foot tells"));
        }
        let hasher = head.hasher();
        let reader = Self { file, path, places, root: foot.root, hasher, next: 0, checked: false };
        Ok((reader, head.with(&foot)))
    }

    /// The next piece of the image; `None` after the last one, once the root has been checked. A
    /// reader of the whole image must not believe it before it has seen `None`.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        if self.next == self.places.blocks() {
            if !self.checked && self.hasher.finalize() != self.root {
                return Err(damaged(&self.path, "its blocks are whole and their root is not its own"));
            }
            self.checked = true;
            return Ok(None);
        }
        let data = self.block(self.next).await?;
        self.hasher.update(&data);
        self.next += 1;
        Ok(Some(data))
    }

    /// Up to `len` bytes of the image from `offset`, checked; fewer only at its end.
    pub async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let end = offset.saturating_add(len as u64).min(self.places.bytes);
        if offset >= end {
            return Ok(Bytes::new());
        }
        let block_bytes = BLOCK_BYTES as u64;
        let (first, last) = (offset / block_bytes, (end - 1) / block_bytes);
        let skip = (offset - first * block_bytes) as usize;
        let wanted = (end - offset) as usize;
        if first == last {
            return Ok(self.block(first).await?.slice(skip..skip + wanted));
        }
        let mut bytes = BytesMut::with_capacity(wanted + skip + BLOCK_BYTES);
        for number in first..=last {
            bytes.extend_from_slice(&self.block(number).await?);
        }
        Ok(bytes.freeze().slice(skip..skip + wanted))
    }

    async fn block(&self, number: u64) -> Result<Bytes, StorageError> {
        let length = self.places.block_bytes(number) + BLOCK_HEAD_BYTES;
        let block = read(&self.file, &self.path, self.places.block(number), length).await?;
        decode_block(number, &block).ok_or_else(|| {
            probe!("snapshot block damaged");
            damaged(&self.path, &format!("block {number} fails its checksum"))
        })
    }
}

fn damaged(path: &str, why: &str) -> StorageError {
    StorageError::Damaged { file: path.to_owned(), why: why.to_owned() }
}

/// A range the disk cannot read is damage like any other.
async fn read<F: File>(file: &F, path: &str, offset: u64, len: usize) -> Result<Bytes, StorageError> {
    file.read_at(offset, len).await.map_err(|error| match error {
        DiskError::Io { what, .. } => damaged(path, &what),
        other => other.into(),
    })
}
