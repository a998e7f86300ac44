//! The kernel's requests, one by one: each asks the mount and answers.

use super::convert::{
    file_type, kind_of, new_time, number, open_mode, permissions, reserve, seek, xattr_mode,
};
use super::edge::{Edge, Shared, empty, known, opened, place, sized};
use super::errno::errno;
use super::process::Process;
use bytes::Bytes;
use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileHandle, Filesystem, INodeNo, InitFlags, KernelConfig, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow,
    WriteFlags,
};
use futures::FutureExt;
use mooseng_client::mount::{FsError, Handle, NewInode, Opened, Space, xattr_there};
use mooseng_core::namespace::{
    Access, AttrChange, Caller, NAME_BYTES_MAX, Refusal, RenameMode, SET_GID, Target, XattrName,
};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

/// What the kernel may do: look up in one directory side by side, keep what links say (they never
/// change), leave it to us to clear set-id bits when somebody writes, and list with attributes where they
/// are looked at.
const WANTED: [InitFlags; 5] = [
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_HANDLE_KILLPRIV_V2,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
];
/// The longest write that the kernel sends at once.
const WRITE_BYTES_MAX: u32 = 1 << 20;
/// Read-ahead and other requests that nobody waits for, at a time.
const BACKGROUND_MAX: u16 = 64;
/// Lines of a directory taken at a time: more than fit the kernel's buffer.
const LINES_MAX: usize = 1_000;
const LINES_WITH_ATTRIBUTES_MAX: usize = 256;
/// What room is counted in.
const SPACE_BLOCK_BYTES: u32 = 4_096;
const O_EXCL: i32 = 0o200;

impl Filesystem for Edge {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // What an older kernel lacks is only slower.
        for wanted in WANTED {
            let _ = config.add_capabilities(wanted);
        }
        let _ = config.set_max_write(WRITE_BYTES_MAX);
        let _ = config.set_max_background(BACKGROUND_MAX);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let work = move |mount: Shared, caller, (parent, name)| async move {
            mount.lookup(&caller, parent, name).await
        };
        self.serve_entry(request, place(parent, name), work, reply);
    }

    fn getattr(&self, request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let work = move |mount: Shared, caller| async move { mount.getattr(&caller, known(ino)?).await };
        let teller = self.teller();
        self.serve(request, work, move |done| teller.attribute(reply, done));
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = AttrChange {
            mode: mode.map(permissions),
            uid,
            gid,
            size,
            atime: atime.map(new_time),
            mtime: mtime.map(new_time),
            by_handle: false,
        };
        // Whether a set-gid bit stays depends on the groups of who sets it, without a refusal to tell.
        let through = fh.map(|FileHandle(handle)| Handle(handle));
        let process = Process::of(request);
        let asks_groups = change.mode.is_some_and(|mode| mode & SET_GID != 0);
        let work = move |mount: Shared, caller: Caller| async move {
            let groups = if asks_groups && !caller.is_root() { process.groups() } else { caller.groups };
            let caller = Caller { groups, ..caller };
            mount.setattr(&caller, known(ino)?, through, change).await
        };
        let teller = self.teller();
        self.serve(request, work, move |done| teller.attribute(reply, done));
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        let work = move |mount: Shared, caller| async move { mount.readlink(&caller, known(ino)?).await };
        self.serve(request, work, |done| match done {
            Ok(target) => reply.data(target.as_bytes()),
            Err(error) => reply.error(error),
        });
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let work = move |mount: Shared, caller, (parent, name)| async move {
            let kind = kind_of(mode).ok_or(FsError::Refused(Refusal::Invalid))?;
            mount.mknod(&caller, parent, name, NewInode { kind, mode: permissions(mode), rdev }).await
        };
        self.serve_entry(request, place(parent, name), work, reply);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let work = move |mount: Shared, caller, (parent, name)| async move {
            mount.mkdir(&caller, parent, name, permissions(mode)).await
        };
        self.serve_entry(request, place(parent, name), work, reply);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let work = move |mount: Shared, caller, (parent, name)| async move {
            mount.unlink(&caller, parent, name).await
        };
        self.serve_with(request, place(parent, name), work, |done| empty(reply, done));
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let work = move |mount: Shared, caller, (parent, name)| async move {
            mount.rmdir(&caller, parent, name).await
        };
        self.serve_with(request, place(parent, name), work, |done| empty(reply, done));
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        link_name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let target = Target::new(Bytes::copy_from_slice(target.as_os_str().as_bytes()));
        let work = move |mount: Shared, caller, (parent, name)| {
            let target = target.clone();
            async move { mount.symlink(&caller, parent, name, target?).await }
        };
        self.serve_entry(request, place(parent, link_name), work, reply);
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mode = match flags {
            flags if flags.is_empty() => Ok(RenameMode::Replace),
            RenameFlags::RENAME_NOREPLACE => Ok(RenameMode::Keep),
            RenameFlags::RENAME_EXCHANGE => Ok(RenameMode::Exchange),
            // RENAME_WHITEOUT makes devices for overlays to find; and no two flags go together.
            _ => Err(FsError::Refused(Refusal::Invalid)),
        };
        let needed = || Ok((place(parent, name)?, place(newparent, newname)?, mode?));
        let work = move |mount: Shared, caller, (source, target, mode)| async move {
            mount.rename(&caller, source, target, mode).await
        };
        self.serve_with(request, needed(), work, |done| empty(reply, done));
    }

    fn link(&self, request: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let work = move |mount: Shared, caller, (parent, name)| async move {
            mount.link(&caller, known(ino)?, parent, name).await
        };
        self.serve_entry(request, place(newparent, newname), work, reply);
    }

    fn setxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let needed = || {
            let mode = xattr_mode(flags).ok_or(FsError::Refused(Refusal::Invalid))?;
            let name = XattrName::new(Bytes::copy_from_slice(name.as_bytes()))?;
            Ok((name, Bytes::copy_from_slice(value), mode))
        };
        let work = move |mount: Shared, caller, (name, value, mode)| async move {
            mount.setxattr(&caller, known(ino)?, name, value, mode).await
        };
        self.serve_with(request, needed(), work, |done| empty(reply, done));
    }

    fn getxattr(&self, request: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let work = move |mount: Shared, caller, name| async move {
            mount.getxattr(&caller, known(ino)?, name).await
        };
        self.serve_with(request, xattr_there(name.as_bytes()), work, move |done| sized(reply, size, done));
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let work = move |mount: Shared, caller| async move { mount.listxattr(&caller, known(ino)?).await };
        self.serve(request, work, move |done| sized(reply, size, done));
    }

    fn removexattr(&self, request: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let work = move |mount: Shared, caller, name| async move {
            mount.removexattr(&caller, known(ino)?, name).await
        };
        self.serve_with(request, xattr_there(name.as_bytes()), work, |done| empty(reply, done));
    }

    fn access(&self, request: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        let work = move |mount: Shared, caller| async move {
            let bits = (mask.bits() & 7) as u8;
            let access = Access::new(bits).ok_or(FsError::Refused(Refusal::Invalid))?;
            mount.access(&caller, known(ino)?, access).await
        };
        self.serve(request, work, |done| empty(reply, done));
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let mode = open_mode(flags.0);
        let work =
            move |mount: Shared, caller| async move { mount.open_file(&caller, known(ino)?, mode).await };
        self.serve(request, work, move |done| match done {
            Ok(Opened { handle, keeps_bytes }) => opened(reply, handle, keeps_bytes, mode.write),
            Err(error) => reply.error(error),
        });
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let place = place(parent, name);
        let (teller, at) = (self.teller(), place.clone());
        let exclusive = flags & O_EXCL != 0;
        let work = move |mount: Shared, caller, place| async move {
            mount.create(&caller, place, permissions(mode), open_mode(flags), exclusive).await
        };
        self.serve_with(request, place, work, move |done| teller.created(reply, &at, done));
    }

    fn read(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let work =
            move |mount: Shared, _| async move { mount.read(Handle(fh.0), offset, size as usize).await };
        self.serve(request, work, |done| match done {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        });
    }

    fn write(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let (handle, length) = (Handle(fh.0), data.len() as u32);
        let drops = write_flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        // Mostly there is room: then nothing is copied for a task, and nobody waits for one. What is asked
        // again below was taken in once already, at the same place.
        match self.mount.write(handle, offset, data, drops).now_or_never() {
            Some(Ok(())) => return reply.written(length),
            Some(Err(error)) => return reply.error(errno(&error)),
            None => {}
        }
        let work = move |mount: Shared, _, data: Bytes| async move {
            mount.write(handle, offset, &data, drops).await
        };
        self.serve_with(request, Ok(Bytes::copy_from_slice(data)), work, move |done| match done {
            Ok(()) => reply.written(length),
            Err(error) => reply.error(error),
        });
    }

    fn flush(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        let work = move |mount: Shared, _| async move { mount.flush(Handle(fh.0)).await };
        self.serve(request, work, |done| empty(reply, done));
    }

    fn fsync(&self, request: &Request, _ino: INodeNo, fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        let work = move |mount: Shared, _| async move { mount.fsync(Handle(fh.0)).await };
        self.serve(request, work, |done| empty(reply, done));
    }

    /// Nobody waits for it, whatever comes of it.
    fn release(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let work = move |mount: Shared, _| async move { mount.release(Handle(fh.0)).await };
        self.serve(request, work, |done| empty(reply, done));
    }

    fn fallocate(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let work = move |mount: Shared, _| async move {
            let what = reserve(mode).ok_or(FsError::Unsupported)?;
            mount.reserve(Handle(fh.0), offset, length, what).await
        };
        self.serve(request, work, |done| empty(reply, done));
    }

    fn lseek(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let work = move |mount: Shared, _| async move {
            let what = seek(whence).ok_or(FsError::Refused(Refusal::Invalid))?;
            match u64::try_from(offset) {
                Ok(from) => mount.seek(Handle(fh.0), from, what).await,
                Err(_) => Ok(None),
            }
        };
        self.serve(request, work, |done| match done {
            Ok(Some(found)) => reply.offset(i64::try_from(found).unwrap_or(i64::MAX)),
            Ok(None) => reply.error(Errno::ENXIO),
            Err(error) => reply.error(error),
        });
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let work = move |mount: Shared, caller| async move { mount.opendir(&caller, known(ino)?).await };
        self.serve(request, work, |done| match done {
            Ok(handle) => opened(reply, handle, false, true),
            Err(error) => reply.error(error),
        });
    }

    fn readdir(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let work =
            move |mount: Shared, _| async move { mount.readdir(Handle(fh.0), offset, LINES_MAX).await };
        self.serve(request, work, |done| match done {
            Ok(lines) => {
                for line in lines {
                    let name = OsStr::from_bytes(&line.name);
                    if reply.add(number(line.inode), line.offset, file_type(line.kind), name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(error),
        });
    }

    /// With the attributes, which are asked for side by side: whoever looks at each of them in turn, as `ls -l`
    /// does, finds them known.
    fn readdirplus(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        let work = move |mount: Shared, _| async move {
            mount.readdir_with_attributes(Handle(fh.0), offset, LINES_WITH_ATTRIBUTES_MAX).await
        };
        let teller = self.teller();
        self.serve(request, work, move |done| match done {
            Ok(lines) => teller.lines(reply, ino, &lines),
            Err(error) => reply.error(error),
        });
    }

    fn releasedir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        empty(reply, self.mount.releasedir(Handle(fh.0)).map_err(|error| errno(&error)));
    }

    fn statfs(&self, request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        let work = move |mount: Shared, _| async move { mount.space(known(ino)?).await };
        self.serve(request, work, |done| match done {
            Ok((Space { total, free }, inodes)) => {
                let blocks = |bytes: u64| bytes / u64::from(SPACE_BLOCK_BYTES);
                let (block, name) = (SPACE_BLOCK_BYTES, NAME_BYTES_MAX as u32);
                let (total, free) = (blocks(total), blocks(free));
                let files = inodes.used.saturating_add(inodes.free);
                reply.statfs(total, free, free, files, inodes.free, block, name, block);
            }
            Err(error) => reply.error(error),
        });
    }

    /// What was answered is durable already.
    fn fsyncdir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }
}
