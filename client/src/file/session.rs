//! The metadata service as an open file sees it, through a session or whatever else asks it. The permission was asked for
//! when the file was opened, so what is asked here is asked in nobody's name.

use super::error::FileError;
use super::service::{FileService, RangeMap, Size};
use crate::{ClientError, Session};
use mooseng_core::env::Env;
use mooseng_core::extent::{FileExtent, NewSlice};
use mooseng_core::id::{InodeId, SliceId};
use mooseng_core::namespace::{Answer, AttrChange, Op, Outcome, Query, Refusal};
use mooseng_core::time::WallTime;
use std::future::Future;

/// Whoever asks the metadata service in an open file's name.
pub trait Metadata: Send + Sync + 'static {
    fn change(&self, op: &Op) -> impl Future<Output = Result<Outcome, ClientError>> + Send;

    fn ask(&self, query: &Query) -> impl Future<Output = Result<Outcome, ClientError>> + Send;
}

impl<E: Env> Metadata for Session<E> {
    async fn change(&self, op: &Op) -> Result<Outcome, ClientError> {
        Ok(self.mutate(op).await?.outcome)
    }

    async fn ask(&self, query: &Query) -> Result<Outcome, ClientError> {
        Ok(self.query(query).await?.outcome)
    }
}

impl<M: Metadata> FileService for M {
    async fn grant(&self, inode: InodeId, count: u32) -> Result<Vec<SliceId>, FileError> {
        match answer(self.change(&Op::GrantSlices { inode, count }).await?)? {
            Answer::Slices { first, count } => {
                Ok((0..u64::from(count)).filter_map(|at| first.plus(at)).collect())
            }
            other => Err(surprise(&other)),
        }
    }

    async fn abandon(&self, slices: Vec<SliceId>) -> Result<(), FileError> {
        answer(self.change(&Op::AbandonSlices { slices }).await?).map(|_| ())
    }

    async fn commit(
        &self,
        inode: InodeId,
        slices: Vec<NewSlice>,
        extents: Vec<FileExtent>,
        mtime: WallTime,
    ) -> Result<Size, FileError> {
        size(answer(self.change(&Op::Commit { inode, slices, extents, mtime }).await?)?)
    }

    async fn compact(
        &self,
        inode: InodeId,
        replaced: Vec<FileExtent>,
        slices: Vec<NewSlice>,
        extents: Vec<FileExtent>,
    ) -> Result<Size, FileError> {
        size(answer(self.change(&Op::Compact { inode, replaced, slices, extents }).await?)?)
    }

    async fn map(&self, inode: InodeId, offset: u64, length: u64) -> Result<RangeMap, FileError> {
        match answer(Metadata::ask(self, &Query::Map { inode, offset, length }).await?)? {
            Answer::Map { attr, extents, slices, end } => {
                Ok(RangeMap { size: (&attr).into(), extents, slices, end })
            }
            other => Err(surprise(&other)),
        }
    }

    async fn truncate(&self, inode: InodeId, bytes: u64) -> Result<Size, FileError> {
        let change = AttrChange { size: Some(bytes), ..AttrChange::default() };
        size(answer(self.change(&Op::SetAttr { inode, change }).await?)?)
    }
}

/// A slice that is not pending for this session was granted to one that is gone.
fn answer(outcome: Outcome) -> Result<Answer, FileError> {
    outcome.map_err(|refusal| match refusal {
        Refusal::NotPending => FileError::SessionLost,
        other => FileError::Refused(other),
    })
}

fn size(answer: Answer) -> Result<Size, FileError> {
    match answer {
        Answer::Attr(attr) => Ok((&attr).into()),
        other => Err(surprise(&other)),
    }
}

/// The service may be of another version, or broken: that is no reason to panic.
fn surprise(answer: &Answer) -> FileError {
    FileError::Io { what: format!("the metadata service answered something else: {answer:?}") }
}
