//! An open file, and ranges of it that a socket can send without anybody reading them.

use super::{Root, answer, fdatasync};
use crate::machine::pool::Pool;
use bytes::Bytes;
use mooseng_core::env::{DiskError, Extent, File};
use rustix::buffer::spare_capacity;
use rustix::fd::AsFd;
use rustix::io::ReadWriteFlags;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A read of no more than this is tried without waiting first: what is in memory already costs no change
/// of threads.
pub(in crate::machine) const AT_ONCE_BYTES_MAX: usize = 64 << 10;
/// A read of more than this asks for the file's length first, before it allocates.
const UNASKED_BYTES_MAX: usize = 1 << 20;

/// What all handles and extents of one open file share. The last of them closes it.
pub(super) struct Handle {
    pub(super) file: std::fs::File,
    pub(super) inode: u64,
    pub(super) path: String,
    pub(super) root: Arc<Root>,
    pub(super) pool: Pool,
}

impl Handle {
    fn length(&self) -> Result<u64, DiskError> {
        Ok(self.file.metadata().map_err(|error| self.answer(&error))?.len())
    }

    fn answer(&self, error: &io::Error) -> DiskError {
        answer(&self.path, error)
    }

    fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        let len = if len <= UNASKED_BYTES_MAX {
            len
        } else {
            let there = self.length()?.saturating_sub(offset);
            len.min(usize::try_from(there).unwrap_or(len))
        };
        // The kernel refuses such an offset, but no file reaches it, so there is nothing to read.
        if len == 0 || i64::try_from(offset.saturating_add(len as u64)).is_err() {
            return Ok(Bytes::new());
        }
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let from = offset + bytes.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut bytes), from) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(self.answer(&error.into())),
            }
        }
        bytes.truncate(len);
        Ok(Bytes::from(bytes))
    }

    /// All of it, if the kernel has it in memory. Never waits for a device; a file system that cannot
    /// promise that gives nothing.
    fn read_at_once(&self, offset: u64, len: usize) -> Option<Bytes> {
        // The kernel takes -1 for wherever the file was read last.
        let none_reaches = i64::try_from(offset.saturating_add(len as u64)).is_err();
        if len == 0 || len > AT_ONCE_BYTES_MAX || none_reaches {
            return None;
        }
        let mut bytes = vec![0; len];
        let mut pieces = [IoSliceMut::new(&mut bytes)];
        let read = rustix::io::preadv2(&self.file, &mut pieces, offset, ReadWriteFlags::NOWAIT);
        (read == Ok(len)).then(|| Bytes::from(bytes))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write_all_at(bytes, offset).map_err(|error| self.answer(&error))
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.root
            .failures
            .guard(self.inode, || fdatasync(&self.file))
            .map_err(|what| DiskError::Io { path: self.path.clone(), what })
    }
}

#[derive(Clone)]
pub struct RealFile(Arc<Handle>);

impl RealFile {
    pub(super) fn new(handle: Handle) -> Self {
        Self(Arc::new(handle))
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Handle) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, DiskError> {
        let handle = self.0.clone();
        self.0.pool.run(move || job(&handle)).await
    }
}

impl File for RealFile {
    type Extent = RealExtent;

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        match self.0.read_at_once(offset, len) {
            Some(bytes) => Ok(bytes),
            None => self.run(move |handle| handle.read_at(offset, len)).await,
        }
    }

    async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<(), DiskError> {
        self.run(move |handle| handle.write_at(offset, &bytes)).await
    }

    async fn write_durably(&self, offset: u64, bytes: Bytes) -> Result<(), DiskError> {
        self.run(move |handle| {
            handle.write_at(offset, &bytes)?;
            handle.sync()
        })
        .await
    }

    async fn sync(&self) -> Result<(), DiskError> {
        self.run(Handle::sync).await
    }

    /// Of an open file it is in memory.
    async fn length(&self) -> Result<u64, DiskError> {
        self.0.length()
    }

    async fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.run(move |handle| handle.file.set_len(len).map_err(|error| handle.answer(&error))).await
    }

    async fn extent(&self, offset: u64, len: u64) -> Result<RealExtent, DiskError> {
        let length = self.length().await?;
        match offset.checked_add(len) {
            Some(end) if end <= length => Ok(RealExtent { handle: self.0.clone(), offset, len }),
            _ => Err(DiskError::Io {
                path: self.0.path.clone(),
                what: format!("{len} bytes from {offset} do not lie within its {length}"),
            }),
        }
    }
}

/// A range of a file, which stays open, and its space taken, for as long as the extent lives.
#[derive(Clone)]
pub struct RealExtent {
    handle: Arc<Handle>,
    offset: u64,
    len: u64,
}

impl RealExtent {
    /// Up to `len` bytes from `offset` within the extent, for streams that the kernel cannot fill.
    pub async fn read(&self, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        let len = len.min(usize::try_from(self.len.saturating_sub(offset)).unwrap_or(len));
        RealFile(self.handle.clone()).read_at(self.offset.saturating_add(offset), len).await
    }

    /// All of it, if it is short and in memory.
    pub(in crate::machine) fn read_at_once(&self) -> Option<Bytes> {
        self.handle.read_at_once(self.offset, usize::try_from(self.len).ok()?)
    }

    /// Lets the kernel move what lies behind the first `sent` bytes of the extent into a socket
    /// that never waits; how many bytes it took. Runs off the reactor, because pages that are not
    /// in memory are waited for.
    pub(in crate::machine) async fn send_to(
        &self,
        socket: impl AsFd + Send + 'static,
        sent: u64,
    ) -> rustix::io::Result<usize> {
        assert!(sent <= self.len, "more was sent than there is");
        let (handle, mut offset, left) = (self.handle.clone(), self.offset + sent, self.len - sent);
        let count = usize::try_from(left).unwrap_or(usize::MAX);
        self.handle
            .pool
            .run(move || rustix::fs::sendfile(socket, &handle.file, Some(&mut offset), count))
            .await
    }
}

impl Extent for RealExtent {
    fn len(&self) -> u64 {
        self.len
    }
}

impl fmt::Debug for RealExtent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}, +{}]", self.handle.path, self.offset, self.len)
    }
}
