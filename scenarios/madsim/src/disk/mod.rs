//! A node's disk: the image of its host, reached by the process that runs there now. Draws how long
//! things take from madsim; knows neither what is stored nor when a crash comes.

mod image;

use crate::env::MadEnv;
use bytes::Bytes;
use image::NodeId;
use madsim::rand::Rng;
use mooseng_core::chance::Dice;
use mooseng_core::env::{Clock, Disk, DiskError, Extent, File, OpenMode, Space};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A host's disk; it outlives the processes that use it.
#[derive(Clone)]
pub(crate) struct Storage(Arc<Mutex<image::Image>>);

impl Storage {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(image::Image::new())))
    }

    pub(crate) fn crash(&self, dice: &mut impl Dice) {
        self.lock().crash(dice);
    }

    pub(crate) fn unsynced_sectors(&self) -> usize {
        self.lock().unsynced_sectors()
    }

    fn lock(&self) -> MutexGuard<'_, image::Image> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MadEnv {
    fn image(&self) -> MutexGuard<'_, image::Image> {
        self.storage().lock()
    }

    /// A moment before an operation takes place, now and then; for ever if the process is gone.
    async fn reach_disk(&self) {
        if madsim::rand::thread_rng().gen_ratio(1, 8) {
            self.sleep_until(self.now() + Duration::from_millis(1)).await;
        }
        self.while_alive().await;
    }

    async fn wait_for_platter(&self) {
        let micros = madsim::rand::thread_rng().gen_range(1_000..4_000);
        self.sleep_until(self.now() + Duration::from_micros(micros)).await;
        self.while_alive().await;
    }
}

impl Disk for MadEnv {
    type Extent = MadExtent;
    type File = MadFile;

    async fn open(&self, path: &str, mode: OpenMode) -> Result<MadFile, DiskError> {
        self.reach_disk().await;
        let id = self.image().open(path, mode)?;
        Ok(MadFile { env: self.clone(), id, path: path.into() })
    }

    async fn rename(&self, source: &str, target: &str) -> Result<(), DiskError> {
        self.reach_disk().await;
        self.image().rename(source, target)
    }

    async fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.reach_disk().await;
        self.image().remove(path)
    }

    async fn create_dir(&self, path: &str) -> Result<(), DiskError> {
        self.reach_disk().await;
        self.image().create_dir(path)
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, DiskError> {
        self.reach_disk().await;
        self.image().list(path)
    }

    async fn sync_dir(&self, path: &str) -> Result<(), DiskError> {
        self.wait_for_platter().await;
        self.image().sync_dir(path)
    }

    async fn space(&self) -> Result<Space, DiskError> {
        self.while_alive().await;
        let used = self.image().used_bytes().min(image::DISK_BYTES);
        Ok(Space { total: image::DISK_BYTES, free: image::DISK_BYTES - used })
    }
}

#[derive(Clone)]
pub struct MadFile {
    env: MadEnv,
    id: NodeId,
    path: Arc<str>,
}

impl MadFile {
    /// The image does not know by which name a file was opened.
    fn named(&self, error: DiskError) -> DiskError {
        match error {
            DiskError::Io { what, .. } => DiskError::Io { path: self.path.to_string(), what },
            other => other,
        }
    }
}

impl File for MadFile {
    type Extent = MadExtent;

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, DiskError> {
        self.env.reach_disk().await;
        Ok(self.env.image().read_at(self.id, offset, len))
    }

    async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<(), DiskError> {
        self.env.reach_disk().await;
        self.env.image().write_at(self.id, offset, &bytes).map_err(|error| self.named(error))
    }

    async fn sync(&self) -> Result<(), DiskError> {
        self.env.while_alive().await;
        let sync = self.env.image().start_sync(self.id);
        self.env.wait_for_platter().await;
        self.env.image().finish_sync(self.id, &sync);
        Ok(())
    }

    async fn length(&self) -> Result<u64, DiskError> {
        self.env.while_alive().await;
        Ok(self.env.image().length(self.id))
    }

    async fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.env.reach_disk().await;
        self.env.image().set_len(self.id, len).map_err(|error| self.named(error))
    }

    async fn extent(&self, offset: u64, len: u64) -> Result<MadExtent, DiskError> {
        self.env.while_alive().await;
        let length = self.env.image().length(self.id);
        match offset.checked_add(len) {
            Some(end) if end <= length => Ok(MadExtent { file: self.clone(), offset, len }),
            _ => {
                let what = format!("{len} bytes from {offset} do not lie within {length} bytes");
                Err(DiskError::Io { path: self.path.to_string(), what })
            }
        }
    }
}

/// A range of a file. Numbers of files are not reused, so it pins what it names by existing.
#[derive(Clone)]
pub struct MadExtent {
    file: MadFile,
    offset: u64,
    len: u64,
}

impl MadExtent {
    pub(crate) fn read(&self) -> Bytes {
        self.file.env.image().read_at(self.file.id, self.offset, self.len as usize)
    }
}

impl fmt::Debug for MadExtent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes from {} of {}", self.len, self.offset, self.file.path)
    }
}

impl Extent for MadExtent {
    fn len(&self) -> u64 {
        self.len
    }
}
