//! What an open file asks of the metadata service, in the file's own words.

use super::error::FileError;
use mooseng_core::extent::{FileExtent, NewSlice, SliceInfo};
use mooseng_core::id::{InodeId, SliceId};
use mooseng_core::namespace::Attr;
use mooseng_core::time::WallTime;
use std::future::Future;

/// How long a file is, and the version of its inode that says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Size {
    pub bytes: u64,
    pub version: u64,
}

impl From<&Attr> for Size {
    fn from(attr: &Attr) -> Self {
        Self { bytes: attr.size, version: attr.version }
    }
}

/// What a range of a file is made of: extents in order, none over another; what none covers reads
/// as zeros. It speaks for the range up to `end`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RangeMap {
    pub size: Size,
    pub extents: Vec<FileExtent>,
    pub slices: Vec<SliceInfo>,
    pub end: u64,
}

/// The permission for all this was asked for when the file was opened.
pub trait FileService: Send + Sync + 'static {
    /// Up to `count` numbers of slices, at least one, for this file and others of its slot.
    fn grant(
        &self,
        inode: InodeId,
        count: u32,
    ) -> impl Future<Output = Result<Vec<SliceId>, FileError>> + Send;

    /// Gives slices back that were not committed and never will be.
    fn abandon(&self, slices: Vec<SliceId>) -> impl Future<Output = Result<(), FileError>> + Send;

    /// Makes slices part of the file.
    fn commit(
        &self,
        inode: InodeId,
        slices: Vec<NewSlice>,
        extents: Vec<FileExtent>,
        mtime: WallTime,
    ) -> impl Future<Output = Result<Size, FileError>> + Send;

    /// Puts the same bytes into other slices, if `replaced` is what the file holds there.
    fn compact(
        &self,
        inode: InodeId,
        replaced: Vec<FileExtent>,
        slices: Vec<NewSlice>,
        extents: Vec<FileExtent>,
    ) -> impl Future<Output = Result<Size, FileError>> + Send;

    fn map(
        &self,
        inode: InodeId,
        offset: u64,
        length: u64,
    ) -> impl Future<Output = Result<RangeMap, FileError>> + Send;

    fn truncate(&self, inode: InodeId, size: u64) -> impl Future<Output = Result<Size, FileError>> + Send;
}
