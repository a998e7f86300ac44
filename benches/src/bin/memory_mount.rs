//! The least a FUSE file system can be: names and bytes in this process's memory, answered at once on the
//! thread that takes the request. What a mount of MooseNG is compared with: the difference is ours, the
//! rest is the kernel's.
//!
//! `memory_mount DIRECTORY` serves until it is unmounted.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::too_many_arguments,
    reason = "a benchmark measures the real world; the kernel's requests have many fields"
)]

use fuser::{
    BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// As little is believed as of a mount of MooseNG.
const BELIEVE: Duration = Duration::ZERO;
const GENERATION: Generation = Generation(0);

struct Memory(Mutex<Tree>);

struct Tree {
    entries: BTreeMap<(u64, OsString), u64>,
    files: BTreeMap<u64, File>,
}

struct File {
    attr: FileAttr,
    bytes: Vec<u8>,
}

impl Memory {
    fn new() -> Self {
        let root = File { attr: attr(INodeNo::ROOT.0, FileType::Directory, 0o755), bytes: Vec::new() };
        Self(Mutex::new(Tree { entries: BTreeMap::new(), files: BTreeMap::from([(INodeNo::ROOT.0, root)]) }))
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tree {
    fn find(&self, parent: INodeNo, name: &OsStr) -> Option<u64> {
        self.entries.get(&(parent.0, name.to_owned())).copied()
    }

    fn make(&mut self, parent: INodeNo, name: &OsStr, kind: FileType, mode: u32) -> FileAttr {
        let last = self.files.last_key_value().map_or(INodeNo::ROOT.0, |(last, _)| *last);
        let attr = attr(last + 1, kind, mode as u16);
        self.entries.insert((parent.0, name.to_owned()), last + 1);
        self.files.insert(last + 1, File { attr, bytes: Vec::new() });
        attr
    }

    fn remove(&mut self, parent: INodeNo, name: &OsStr) -> Option<()> {
        let inode = self.entries.remove(&(parent.0, name.to_owned()))?;
        self.files.remove(&inode).map(drop)
    }

    fn rename(&mut self, source: (INodeNo, &OsStr), target: (INodeNo, &OsStr)) -> Option<()> {
        let inode = self.entries.remove(&(source.0.0, source.1.to_owned()))?;
        if let Some(replaced) = self.entries.insert((target.0.0, target.1.to_owned()), inode) {
            self.files.remove(&replaced);
        }
        Some(())
    }
}

impl File {
    fn resize(&mut self, bytes: u64) {
        self.bytes.resize(bytes as usize, 0);
        self.attr.size = bytes;
        self.attr.blocks = bytes.div_ceil(512);
        self.attr.mtime = SystemTime::now();
        self.attr.ctime = self.attr.mtime;
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let end = offset + data.len() as u64;
        self.resize(end.max(self.attr.size));
        self.bytes[offset as usize..end as usize].copy_from_slice(data);
    }

    fn read(&self, offset: u64, size: u32) -> &[u8] {
        let begin = self.bytes.len().min(offset as usize);
        let end = self.bytes.len().min(begin + size as usize);
        &self.bytes[begin..end]
    }
}

fn attr(inode: u64, kind: FileType, mode: u16) -> FileAttr {
    let now = SystemTime::now();
    FileAttr {
        ino: INodeNo(inode),
        size: 0,
        blocks: 0,
        atime: now,
        mtime: now,
        ctime: now,
        crtime: now,
        kind,
        perm: mode & 0o7777,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4_096,
        flags: 0,
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
        let tree = self.tree();
        match tree.find(parent, name).and_then(|inode| tree.files.get(&inode)) {
            Some(file) => reply.entry(&BELIEVE, &file.attr, GENERATION),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.tree().files.get(&ino.0) {
            Some(file) => reply.attr(&BELIEVE, &file.attr),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut tree = self.tree();
        let Some(file) = tree.files.get_mut(&ino.0) else { return reply.error(Errno::ENOENT) };
        if let Some(mode) = mode {
            file.attr.perm = mode as u16 & 0o7777;
        }
        if let Some(size) = size {
            file.resize(size);
        }
        match mtime {
            Some(TimeOrNow::SpecificTime(time)) => file.attr.mtime = time,
            Some(TimeOrNow::Now) => file.attr.mtime = SystemTime::now(),
            None => {}
        }
        reply.attr(&BELIEVE, &file.attr);
    }

    fn mkdir(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        reply.entry(&BELIEVE, &self.tree().make(parent, name, FileType::Directory, mode), GENERATION);
    }

    fn create(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let attr = self.tree().make(parent, name, FileType::RegularFile, mode);
        reply.created(&BELIEVE, &attr, GENERATION, FileHandle(0), FopenFlags::empty());
    }

    fn open(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.tree().files.get(&ino.0) {
            Some(file) => reply.data(file.read(offset, size)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn write(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.tree().files.get_mut(&ino.0) {
            Some(file) => {
                file.write(offset, data);
                reply.written(data.len() as u32);
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    fn flush(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn fsync(&self, _request: &Request, _ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.tree().remove(parent, name));
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.tree().remove(parent, name));
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
        done(reply, self.tree().rename((parent, name), (newparent, newname)));
    }

    fn readdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let tree = self.tree();
        // A place is the inode that stands there: it survives what is made and removed meanwhile.
        let of_directory = tree.entries.range((ino.0, OsString::new())..(ino.0 + 1, OsString::new()));
        let mut found: Vec<(u64, &OsString)> = of_directory
            .map(|((_, name), inode)| (*inode, name))
            .filter(|(inode, _)| *inode > offset)
            .collect();
        found.sort_unstable();
        for (inode, name) in found {
            let kind = tree.files.get(&inode).map_or(FileType::RegularFile, |file| file.attr.kind);
            if reply.add(INodeNo(inode), inode, kind, name) {
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
    match fuser::mount(Memory::new(), &directory, &config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}
