//! The least a FUSE file system can be: names in this process's memory, answered at once on the thread
//! that takes the request. What a mount of MooseNG is compared with: the difference is ours, the rest is
//! the kernel's. Files hold nothing.
//!
//! `memory_mount DIRECTORY` serves until it is unmounted.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::too_many_arguments,
    reason = "a benchmark measures the real world; the kernel's requests have many fields"
)]

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyDirectory, ReplyEmpty, ReplyEntry, Request,
};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

/// As little is believed as of a mount of MooseNG.
const BELIEVE: Duration = Duration::ZERO;
const GENERATION: Generation = Generation(0);

#[derive(Default)]
struct Memory(Mutex<Names>);

#[derive(Default)]
struct Names {
    last: u64,
    entries: BTreeMap<(u64, OsString), (u64, FileType)>,
    kinds: BTreeMap<u64, FileType>,
}

impl Names {
    fn attr(&self, inode: u64) -> Option<FileAttr> {
        let root = (inode == INodeNo::ROOT.0).then_some(FileType::Directory);
        Some(attr(inode, root.or_else(|| self.kinds.get(&inode).copied())?))
    }

    fn make(&mut self, parent: INodeNo, name: &OsStr, kind: FileType) -> FileAttr {
        self.last = self.last.max(INodeNo::ROOT.0) + 1;
        self.entries.insert((parent.0, name.to_owned()), (self.last, kind));
        self.kinds.insert(self.last, kind);
        attr(self.last, kind)
    }

    fn remove(&mut self, parent: INodeNo, name: &OsStr) -> Option<()> {
        let (inode, _) = self.entries.remove(&(parent.0, name.to_owned()))?;
        self.kinds.remove(&inode).map(drop)
    }
}

fn attr(inode: u64, kind: FileType) -> FileAttr {
    FileAttr {
        ino: INodeNo(inode),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm: 0o755,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4_096,
        flags: 0,
    }
}

impl Memory {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn done(reply: ReplyEmpty, done: Option<()>) {
    match done {
        Some(()) => reply.ok(),
        None => reply.error(Errno::ENOENT),
    }
}

impl Filesystem for Memory {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.names().entries.get(&(parent.0, name.to_owned())) {
            Some((inode, kind)) => reply.entry(&BELIEVE, &attr(*inode, *kind), GENERATION),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.names().attr(ino.0) {
            Some(attr) => reply.attr(&BELIEVE, &attr),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn mkdir(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        reply.entry(&BELIEVE, &self.names().make(parent, name, FileType::Directory), GENERATION);
    }

    fn create(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let attr = self.names().make(parent, name, FileType::RegularFile);
        reply.created(&BELIEVE, &attr, GENERATION, FileHandle(0), FopenFlags::empty());
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.names().remove(parent, name));
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.names().remove(parent, name));
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let names = &mut *self.names();
        let entry = names.entries.remove(&(parent.0, name.to_owned()));
        let entry = entry.map(|entry| names.entries.insert((newparent.0, newname.to_owned()), entry));
        done(reply, entry.map(drop));
    }

    fn readdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let names = self.names();
        let of_directory = names.entries.range((ino.0, OsString::new())..(ino.0 + 1, OsString::new()));
        for (index, ((_, name), (inode, kind))) in of_directory.enumerate().skip(offset as usize) {
            if reply.add(INodeNo(*inode), index as u64 + 1, *kind, name) {
                break;
            }
        }
        reply.ok();
    }
}

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1) else {
        eprintln!("usage: memory_mount DIRECTORY");
        return ExitCode::from(2);
    };
    let mut config = Config::default();
    config.n_threads = Some(2);
    config.clone_fd = true;
    match fuser::mount(Memory::default(), &directory, &config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}
