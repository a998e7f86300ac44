//! What open files ask of the metadata service: of the session of now, as long as it lasts.

use super::sessions::Sessions;
use crate::Session;
use crate::data::{ChunkServer, Directory};
use crate::error::ClientError;
use crate::file::{FileError, FileService, RangeMap, Size};
use mooseng_core::env::Env;
use mooseng_core::extent::{FileExtent, NewSlice};
use mooseng_core::id::{InodeId, SliceId};
use mooseng_core::time::WallTime;
use std::sync::Arc;

pub(super) struct Service<E: Env>(pub(super) Arc<Sessions<E>>);

impl<E: Env> Service<E> {
    async fn session(&self) -> Result<Session<E>, FileError> {
        Ok(self.0.current().await?)
    }
}

/// Chunk servers are learned of from the session of now as well.
impl<E: Env> Directory for Service<E> {
    async fn chunk_servers(&self) -> Result<Vec<ChunkServer>, ClientError> {
        Directory::chunk_servers(&self.0.current().await?).await
    }
}

impl<E: Env> FileService for Service<E> {
    async fn grant(&self, inode: InodeId, count: u32) -> Result<Vec<SliceId>, FileError> {
        self.session().await?.grant(inode, count).await
    }

    async fn abandon(&self, slices: Vec<SliceId>) -> Result<(), FileError> {
        self.session().await?.abandon(slices).await
    }

    async fn commit(
        &self,
        inode: InodeId,
        slices: Vec<NewSlice>,
        extents: Vec<FileExtent>,
        mtime: WallTime,
    ) -> Result<Size, FileError> {
        self.session().await?.commit(inode, slices, extents, mtime).await
    }

    async fn compact(
        &self,
        inode: InodeId,
        replaced: Vec<FileExtent>,
        slices: Vec<NewSlice>,
        extents: Vec<FileExtent>,
    ) -> Result<Size, FileError> {
        self.session().await?.compact(inode, replaced, slices, extents).await
    }

    async fn map(&self, inode: InodeId, offset: u64, length: u64) -> Result<RangeMap, FileError> {
        self.session().await?.map(inode, offset, length).await
    }

    async fn truncate(&self, inode: InodeId, size: u64) -> Result<Size, FileError> {
        self.session().await?.truncate(inode, size).await
    }
}
