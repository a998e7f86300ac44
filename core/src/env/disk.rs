//! A node's disk: a tree of files in which nothing is durable before somebody said so.
//!
//! Paths are relative to the node's data directory, `/`-separated, without empty parts, `.`, `..`
//! or NUL. The empty path is the data directory itself: it can be listed and synced. Any other path
//! is refused with [`DiskError::Io`] and one line that says why; nothing is touched, nothing panics.
//! An offset or a length that no file can have is refused in the same way, except that reading
//! beyond the end of a file finds nothing.

use bytes::Bytes;
use std::fmt;
use std::future::Future;

/// What went wrong with a disk. `NotFound`, `Exists` and `NoSpace` are answers; after `Io` of a
/// `sync`, nothing written since the last good sync can be trusted and the server must stop.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DiskError {
    #[error("{path}: not there")]
    NotFound { path: String },
    #[error("{path}: exists already")]
    Exists { path: String },
    #[error("{path}: no space left on the disk")]
    NoSpace { path: String },
    #[error("{path}: {what}")]
    Io { path: String, what: String },
}

/// How to open a file. All modes read and write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// It must be there.
    Existing,
    /// It must not be there. The name is durable only after `sync_dir` of its directory.
    New,
}

/// Bytes in all and bytes free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    pub total: u64,
    pub free: u64,
}

/// A range of a file that may be sent without being read. It pins its file: the file's space is
/// not reused while the extent lives, even if the name is removed. It must name bytes that never
/// change again.
pub trait Extent: Clone + Send + Sync + fmt::Debug + 'static {
    fn len(&self) -> u64;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

pub trait Disk: Send + Sync + 'static {
    type Extent: Extent;
    type File: File<Extent = Self::Extent>;

    fn open(&self, path: &str, mode: OpenMode) -> impl Future<Output = Result<Self::File, DiskError>> + Send;

    /// Puts `source` in the place of `target`, atomically; durable only after `sync_dir` of the
    /// directory (of both, if they differ).
    fn rename(&self, source: &str, target: &str) -> impl Future<Output = Result<(), DiskError>> + Send;

    /// Removes a file's name; open handles and extents go on working.
    fn remove(&self, path: &str) -> impl Future<Output = Result<(), DiskError>> + Send;

    /// Makes a directory and those above it; no error if it is there. Durable after `sync_dir` of
    /// the directory it is in (each, if several were made).
    fn create_dir(&self, path: &str) -> impl Future<Output = Result<(), DiskError>> + Send;

    /// The names in a directory ("" is the data directory itself), sorted by their bytes.
    fn list(&self, path: &str) -> impl Future<Output = Result<Vec<String>, DiskError>> + Send;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &str) -> impl Future<Output = Result<(), DiskError>> + Send;

    fn space(&self) -> impl Future<Output = Result<Space, DiskError>> + Send;
}

/// An open file. Handles are cheap and shared.
///
/// A write whose future was dropped may still land later, even after a newer one.
pub trait File: Clone + Send + Sync + 'static {
    type Extent: Extent;

    /// Up to `len` bytes from `offset`; fewer only where the file ends.
    fn read_at(&self, offset: u64, len: usize) -> impl Future<Output = Result<Bytes, DiskError>> + Send;

    /// Writes all of `bytes`, growing the file as needed. Other readers see them from now on; a
    /// crash may keep any subset of their sectors until `sync` has returned.
    fn write_at(&self, offset: u64, bytes: Bytes) -> impl Future<Output = Result<(), DiskError>> + Send;

    /// Makes every write that returned before this call durable, and the file's length with them.
    fn sync(&self) -> impl Future<Output = Result<(), DiskError>> + Send;

    /// [`File::write_at`], and [`File::sync`] when that has returned. A machine may do both in one
    /// go: a log that hands the pair from thread to thread once instead of twice commits a fifth
    /// faster.
    fn write_durably(&self, offset: u64, bytes: Bytes) -> impl Future<Output = Result<(), DiskError>> + Send {
        async move {
            self.write_at(offset, bytes).await?;
            self.sync().await
        }
    }

    fn length(&self) -> impl Future<Output = Result<u64, DiskError>> + Send;

    /// Cuts the file, or lengthens it with zeros.
    fn set_len(&self, len: u64) -> impl Future<Output = Result<(), DiskError>> + Send;

    /// A sealed range for a frame's body. The range must lie within the file.
    fn extent(&self, offset: u64, len: u64) -> impl Future<Output = Result<Self::Extent, DiskError>> + Send;
}
