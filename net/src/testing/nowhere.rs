//! A disk that holds nothing: what is tested here has no business with one.

use bytes::Bytes;
use mooseng_core::env::{Disk, DiskError, Extent, File, OpenMode, Space};

#[derive(Clone)]
pub(crate) struct Nowhere;

/// An extent that is its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Sealed(pub(crate) Bytes);

impl Extent for Sealed {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

fn nothing<T>(path: &str) -> Result<T, DiskError> {
    Err(DiskError::NotFound { path: path.to_owned() })
}

impl Disk for Nowhere {
    type Extent = Sealed;
    type File = Nowhere;

    async fn open(&self, path: &str, _mode: OpenMode) -> Result<Nowhere, DiskError> {
        nothing(path)
    }

    async fn rename(&self, source: &str, _target: &str) -> Result<(), DiskError> {
        nothing(source)
    }

    async fn remove(&self, path: &str) -> Result<(), DiskError> {
        nothing(path)
    }

    async fn create_dir(&self, path: &str) -> Result<(), DiskError> {
        nothing(path)
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, DiskError> {
        nothing(path)
    }

    async fn sync_dir(&self, path: &str) -> Result<(), DiskError> {
        nothing(path)
    }

    async fn space(&self) -> Result<Space, DiskError> {
        Ok(Space { total: 0, free: 0 })
    }
}

impl File for Nowhere {
    type Extent = Sealed;

    async fn read_at(&self, _offset: u64, _len: usize) -> Result<Bytes, DiskError> {
        nothing("")
    }

    async fn write_at(&self, _offset: u64, _bytes: Bytes) -> Result<(), DiskError> {
        nothing("")
    }

    async fn sync(&self) -> Result<(), DiskError> {
        nothing("")
    }

    async fn length(&self) -> Result<u64, DiskError> {
        nothing("")
    }

    async fn set_len(&self, _len: u64) -> Result<(), DiskError> {
        nothing("")
    }

    async fn extent(&self, _offset: u64, _len: u64) -> Result<Sealed, DiskError> {
        nothing("")
    }
}
