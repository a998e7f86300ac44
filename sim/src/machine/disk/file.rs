//! The disk as tasks see it: paths, handles and extents.

use super::super::env::SimEnv;
use super::super::slab::Key;
use super::operation::{Ask, Reply, Work};
use bytes::Bytes;
use mooseng_core::env::{Disk, DiskError, Extent, File, OpenMode, Space};
use std::fmt;
use std::sync::Arc;

#[derive(Clone)]
pub struct SimFile(Arc<Handle>);

struct Handle {
    env: SimEnv,
    key: Key,
    path: Arc<str>,
    pin: Arc<()>,
}

/// A range of a file. It holds the file as a handle does.
#[derive(Clone)]
pub struct SimExtent {
    pub(crate) handle: SimFile,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl SimExtent {
    pub(crate) fn place(&self) -> (&SimEnv, Key, &Arc<str>) {
        (&self.handle.0.env, self.handle.0.key, &self.handle.0.path)
    }
}

impl fmt::Debug for SimExtent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}, {} bytes", self.handle.0.path, self.offset, self.len)
    }
}

impl Extent for SimExtent {
    fn len(&self) -> u64 {
        self.len
    }
}

impl SimEnv {
    fn ask(&self, path: &str, work: Work) -> Ask {
        Ask::new(self.clone(), path.into(), work)
    }
}

impl Disk for SimEnv {
    type Extent = SimExtent;
    type File = SimFile;

    async fn open(&self, path: &str, mode: OpenMode) -> Result<SimFile, DiskError> {
        let path: Arc<str> = path.into();
        let reply = Ask::new(self.clone(), path.clone(), Work::Open { new: mode == OpenMode::New }).await?;
        let Reply::Opened(key, pin) = reply else { unreachable!("opening gives a file") };
        Ok(SimFile(Arc::new(Handle { env: self.clone(), key, path, pin })))
    }

    async fn rename(&self, source: &str, target: &str) -> Result<(), DiskError> {
        self.ask(source, Work::Rename { target: target.into() }).await.map(drop)
    }

    async fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.ask(path, Work::Remove).await.map(drop)
    }

    async fn create_dir(&self, path: &str) -> Result<(), DiskError> {
        self.ask(path, Work::CreateDirectory).await.map(drop)
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, DiskError> {
        let Reply::Names(names) = self.ask(path, Work::List).await? else {
            unreachable!("listing gives names")
        };
        Ok(names)
    }

    async fn sync_dir(&self, path: &str) -> Result<(), DiskError> {
        self.ask(path, Work::SyncDirectory).await.map(drop)
    }

    async fn space(&self) -> Result<Space, DiskError> {
        let Reply::Space(space) = self.ask("", Work::Space).await? else {
            unreachable!("asking for space gives it")
        };
        Ok(space)
    }
}

impl SimFile {
    fn ask(&self, work: impl FnOnce(Key) -> Work) -> Ask {
        Ask::new(self.0.env.clone(), self.0.path.clone(), work(self.0.key))
    }
}

impl File for SimFile {
    type Extent = SimExtent;

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        let Reply::Bytes(bytes) = self.ask(|file| Work::Read { file, offset, len }).await? else {
            unreachable!("reading gives bytes")
        };
        Ok(bytes)
    }

    async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<(), DiskError> {
        self.ask(|file| Work::Write { file, offset, bytes }).await.map(drop)
    }

    async fn sync(&self) -> Result<(), DiskError> {
        self.ask(|file| Work::Sync { file }).await.map(drop)
    }

    async fn length(&self) -> Result<u64, DiskError> {
        let Reply::Length(length) = self.ask(|file| Work::Length { file }).await? else {
            unreachable!("asking for the length gives it")
        };
        Ok(length)
    }

    async fn set_len(&self, length: u64) -> Result<(), DiskError> {
        self.ask(|file| Work::SetLength { file, length }).await.map(drop)
    }

    async fn extent(&self, offset: u64, len: u64) -> Result<SimExtent, DiskError> {
        let length = self.length().await?;
        if offset.checked_add(len).is_none_or(|end| end > length) {
            let what = format!("{len} bytes at {offset} do not lie in the file, which has {length}");
            return Err(DiskError::Io { path: self.0.path.to_string(), what });
        }
        assert!(Arc::strong_count(&self.0.pin) > 1, "the disk knows of every handle");
        Ok(SimExtent { handle: self.clone(), offset, len })
    }
}
