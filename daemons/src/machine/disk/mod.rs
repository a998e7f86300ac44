//! A directory as a disk. Every call that may wait for a device runs on a pool of its own, so that
//! a slow disk holds up neither the reactor nor the other pool.

mod file;
mod path;

pub use file::{RealExtent, RealFile};

use super::StartError;
use super::pool::Pool;
use file::Handle;
use mooseng_core::chance::mix;
use mooseng_core::env::{Disk, DiskError, OpenMode, Space};
use rustix::fs::{FlockOperation, Mode, OFlags, fdatasync, flock, fstatvfs, fsync};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How many calls may wait for the device at once.
const IO_THREADS_MAX: usize = 16;
/// Where the kernel says what name it has drawn when it was started.
const KERNEL_NAME: &str = "/proc/sys/kernel/random/boot_id";

#[derive(Clone)]
pub struct RealDisk {
    root: Option<Arc<Root>>,
    pool: Pool,
}

/// The data directory, locked for as long as anybody uses it.
struct Root {
    path: PathBuf,
    directory: File,
    failures: SyncFailures,
}

/// What could not be synced once, by inode. The kernel reports a failed write-back once and then
/// forgets it, while the pages it could not write look clean: a later success would be a lie.
#[derive(Default)]
struct SyncFailures(Mutex<BTreeMap<u64, String>>);

impl SyncFailures {
    /// Lets `sync` decide, unless this inode has failed before.
    fn guard(&self, inode: u64, sync: impl FnOnce() -> rustix::io::Result<()>) -> Result<(), String> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(what) = lock().get(&inode) {
            return Err(format!("a sync failed before: {what}"));
        }
        sync().map_err(|error| {
            lock().insert(inode, error.to_string());
            format!("sync failed: {error}")
        })
    }
}

impl RealDisk {
    /// Takes an existing directory for this process alone. Must be called on a tokio runtime.
    pub fn open(path: &Path) -> Result<Self, StartError> {
        let refuse =
            |what: String, remedy| StartError::Data { path: path.display().to_string(), what, remedy };
        let directory = open_directory(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => refuse("not there".to_owned(), "create it, or name another one"),
            io::ErrorKind::NotADirectory => refuse("no directory".to_owned(), "name a directory"),
            _ => refuse(error.to_string(), "let this user read and write it"),
        })?;
        flock(&directory, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => refuse(
                "in use by another process".to_owned(),
                "stop that process, or give each one a directory of its own",
            ),
            other => refuse(other.to_string(), "use a file system that can lock"),
        })?;
        let root = Root { path: path.to_owned(), directory, failures: SyncFailures::default() };
        Ok(Self { root: Some(Arc::new(root)), pool: Pool::new(IO_THREADS_MAX) })
    }

    /// A disk that refuses everything.
    pub(super) fn absent() -> Self {
        Self { root: None, pool: Pool::new(1) }
    }

    /// Names the file system of the data directory: the same for all of this computer's processes whose data
    /// is there, and another everywhere else. Which device it is means something under one kernel only, and
    /// that has drawn a name of its own. 0 if it cannot be told.
    pub(super) fn file_system(&self) -> u64 {
        let device =
            self.root.as_ref().and_then(|root| root.directory.metadata().ok()).map(|found| found.dev());
        let kernel = fs::read_to_string(KERNEL_NAME).ok().and_then(|text| number_of(&text));
        kernel.zip(device).map_or(0, |(kernel, device)| mix(kernel ^ mix(device)).max(1))
    }

    /// Runs `job` with the data directory, off the reactor.
    async fn run<T: Send + 'static>(
        &self,
        path: &str,
        job: impl FnOnce(Arc<Root>, &str) -> Result<T, DiskError> + Send + 'static,
    ) -> Result<T, DiskError> {
        let Some(root) = self.root.clone() else {
            let what = "this process has no data directory".to_owned();
            return Err(DiskError::Io { path: path.to_owned(), what });
        };
        let path = path.to_owned();
        self.pool.run(move || job(root, &path)).await
    }
}

impl Root {
    /// Where a path of ours is; a bad one is nowhere.
    fn place(&self, path: &str) -> Result<PathBuf, DiskError> {
        path::check(path)?;
        Ok(self.path.join(path))
    }

    fn place_or_root(&self, path: &str) -> Result<PathBuf, DiskError> {
        if path.is_empty() { Ok(self.path.clone()) } else { self.place(path) }
    }

    fn list(&self, path: &str) -> Result<Vec<String>, DiskError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.place_or_root(path)?).map_err(|error| answer(path, &error))? {
            let name = entry.map_err(|error| answer(path, &error))?.file_name();
            names.push(name.into_string().map_err(|name| DiskError::Io {
                path: path.to_owned(),
                what: format!("{name:?} is no name of ours: it is not UTF-8"),
            })?);
        }
        names.sort();
        Ok(names)
    }

    fn sync_dir(&self, path: &str) -> Result<(), DiskError> {
        let directory = open_directory(&self.place_or_root(path)?).map_err(|error| answer(path, &error))?;
        let inode = directory.metadata().map_err(|error| answer(path, &error))?.ino();
        self.failures
            .guard(inode, || fsync(&directory))
            .map_err(|what| DiskError::Io { path: path.to_owned(), what })
    }
}

fn open_directory(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// A name like `f399e1c2-18ea-4d8c-828b-470d781ef974`, in half as many bits.
fn number_of(name: &str) -> Option<u64> {
    let digits: String = name.trim().chars().filter(|letter| *letter != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok()?;
    Some((number >> 64) as u64 ^ number as u64)
}

/// An operating system's error as an answer about `path`.
fn answer(path: &str, error: &io::Error) -> DiskError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => DiskError::NotFound { path },
        io::ErrorKind::AlreadyExists => DiskError::Exists { path },
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskError::NoSpace { path },
        _ => DiskError::Io { path, what: error.to_string() },
    }
}

impl Disk for RealDisk {
    type Extent = RealExtent;
    type File = RealFile;

    async fn open(&self, path: &str, mode: OpenMode) -> Result<RealFile, DiskError> {
        let pool = self.pool.clone();
        self.run(path, move |root, path| {
            let place = root.place(path)?;
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(mode == OpenMode::New);
            let file = options.open(place).map_err(|error| answer(path, &error))?;
            let inode = file.metadata().map_err(|error| answer(path, &error))?.ino();
            Ok(RealFile::new(Handle { file, inode, path: path.to_owned(), root, pool }))
        })
        .await
    }

    async fn rename(&self, source: &str, target: &str) -> Result<(), DiskError> {
        let target = target.to_owned();
        self.run(source, move |root, source| {
            let (from, to) = (root.place(source)?, root.place(&target)?);
            fs::rename(from, to).map_err(|error| answer(source, &error))
        })
        .await
    }

    async fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.run(path, |root, path| fs::remove_file(root.place(path)?).map_err(|error| answer(path, &error)))
            .await
    }

    async fn create_dir(&self, path: &str) -> Result<(), DiskError> {
        self.run(path, |root, path| {
            fs::create_dir_all(root.place_or_root(path)?).map_err(|error| answer(path, &error))
        })
        .await
    }

    async fn list(&self, path: &str) -> Result<Vec<String>, DiskError> {
        self.run(path, |root, path| root.list(path)).await
    }

    async fn sync_dir(&self, path: &str) -> Result<(), DiskError> {
        self.run(path, |root, path| root.sync_dir(path)).await
    }

    async fn space(&self) -> Result<Space, DiskError> {
        self.run("", |root, path| {
            let found = fstatvfs(&root.directory).map_err(|error| answer(path, &error.into()))?;
            let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
            Ok(Space { total: bytes(found.f_blocks), free: bytes(found.f_bavail) })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_have_names() {
        assert_eq!(number_of("00000000-0000-0005-0000-000000000003\n"), Some(6));
        assert_eq!((number_of("\n"), number_of("a kernel")), (None, None));
    }

    #[test]
    fn a_failed_sync_is_never_forgotten() {
        let failures = SyncFailures::default();
        assert_eq!(failures.guard(1, || Ok(())), Ok(()));
        let first = failures.guard(1, || Err(rustix::io::Errno::IO));
        assert!(first.is_err_and(|what| what.starts_with("sync failed: ")));
        let second = failures.guard(1, || Ok(()));
        assert!(second.is_err_and(|what| what.starts_with("a sync failed before: ")));
        assert_eq!(failures.guard(2, || Ok(())), Ok(()), "another file is not to blame");
    }
}
