//! How a request becomes a task and a result becomes an answer.

use super::convert::{attributes, inode, number};
use super::errno::errno;
use super::kernel::{Kernel, Telling};
use super::process::Process;
use crate::machine::RealEnv;
use bytes::Bytes;
use fuser::{
    Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, ReplyAttr, ReplyCreate,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyXattr, Request,
};
use futures::FutureExt;
use futures::future::{Either, select};
use mooseng_client::mount::{FsError, Handle, Line, Mount};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Attr, Caller, Name, Refusal};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::runtime;

/// For how long the kernel may believe a name or attributes of which nobody would tell it that they change:
/// not at all. It asks once more in one system call than it must, then: the shortest time that it could be
/// given instead is a tick of its clock or two, in which another mount can change a file and close it.
const NOT_BELIEVED: Duration = Duration::ZERO;
/// Inode numbers are never used again.
const GENERATION: Generation = Generation(0);

/// An inode without a number: a name that leads nowhere.
const NOTHING: FileAttr = FileAttr {
    ino: INodeNo(0),
    size: 0,
    blocks: 0,
    atime: UNIX_EPOCH,
    mtime: UNIX_EPOCH,
    ctime: UNIX_EPOCH,
    crtime: UNIX_EPOCH,
    kind: FileType::RegularFile,
    perm: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdev: 0,
    blksize: 0,
    flags: 0,
};

/// The mount, as every request's task holds it.
pub(super) type Shared = Arc<Mount<RealEnv>>;

pub(super) struct Edge {
    pub(super) mount: Shared,
    pub(super) kernel: Arc<Kernel>,
    runtime: runtime::Handle,
}

impl Edge {
    pub(super) fn new(mount: Shared, runtime: runtime::Handle) -> Self {
        let kernel = Arc::new(Kernel::new(runtime.clone()));
        if let Some(cache) = mount.cache() {
            cache.tell(kernel.clone());
        }
        Self { mount, kernel, runtime }
    }

    /// Does `work` and answers with what came of it, or with EINTR when the process that waits has been told
    /// to end. Dropping the work is harmless: a change takes effect or not. What is known already is answered
    /// on the kernel's thread; work that has to wait for something goes on in a task of its own.
    pub(super) fn serve<T, F>(
        &self,
        request: &Request,
        work: impl Fn(Shared, Caller) -> F + Send + Sync + 'static,
        answer: impl FnOnce(Result<T, Errno>) + Send + 'static,
    ) where
        T: Send + 'static,
        F: Future<Output = Result<T, FsError>> + Send + 'static,
    {
        let mount = self.mount.clone();
        let process = Process::of(request);
        let (uid, gid) = (request.uid(), request.gid());
        let _inside = self.runtime.enter();
        let mut work = Box::pin(with_groups(mount, uid, gid, process, work));
        // A bug is the end of one request, as it would be in a task, and not of the kernel's thread.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().now_or_never())) {
            Ok(None) => {}
            Ok(Some(done)) => return answer(done.map_err(|error| errno(&error))),
            Err(_) => return answer(Err(Errno::EIO)),
        }
        self.runtime.spawn(async move {
            let done = match select(work, pin!(process.told_to_end())).await {
                Either::Left((done, _)) => done.map_err(|error| errno(&error)),
                Either::Right(((), _)) => Err(Errno::EINTR),
            };
            answer(done);
        });
    }

    /// The same with what the work needs, of which it has a copy each time that it is done. What makes no sense
    /// is answered at once.
    pub(super) fn serve_with<A, T, F>(
        &self,
        request: &Request,
        needed: Result<A, FsError>,
        work: impl Fn(Shared, Caller, A) -> F + Send + Sync + 'static,
        answer: impl FnOnce(Result<T, Errno>) + Send + 'static,
    ) where
        A: Clone + Send + Sync + 'static,
        T: Send + 'static,
        F: Future<Output = Result<T, FsError>> + Send + 'static,
    {
        match needed {
            Ok(needed) => {
                self.serve(request, move |mount, caller| work(mount, caller, needed.clone()), answer);
            }
            Err(error) => answer(Err(errno(&error))),
        }
    }

    /// The same, and tells the kernel what the name leads to then.
    pub(super) fn serve_entry<F>(
        &self,
        request: &Request,
        place: Place,
        work: impl Fn(Shared, Caller, (InodeId, Name)) -> F + Send + Sync + 'static,
        reply: ReplyEntry,
    ) where
        F: Future<Output = Result<Attr, FsError>> + Send + 'static,
    {
        let (teller, at) = (self.teller(), place.clone());
        self.serve_with(request, place, work, move |done| teller.entry(reply, &at, done));
    }
}

/// The kernel does not say which supplementary groups a process has, and they seldom matter: they are
/// looked up when an operation is refused without them.
async fn with_groups<T, F>(
    mount: Shared,
    uid: u32,
    gid: u32,
    process: Process,
    work: impl Fn(Shared, Caller) -> F,
) -> Result<T, FsError>
where
    F: Future<Output = Result<T, FsError>>,
{
    let bare = Caller { uid, gid, groups: Vec::new() };
    let done = work(mount.clone(), bare.clone()).await;
    let refused = matches!(done, Err(FsError::Refused(Refusal::AccessDenied | Refusal::NotPermitted)));
    if !refused || bare.is_root() {
        return done;
    }
    match process.groups() {
        groups if groups.iter().all(|group| *group == gid) => done,
        groups => work(mount, Caller { groups, ..bare }).await,
    }
}

pub(super) type Place = Result<(InodeId, Name), FsError>;

pub(super) fn place(parent: INodeNo, name: &OsStr) -> Place {
    Ok((known(parent)?, Name::new(Bytes::copy_from_slice(name.as_bytes()))?))
}

pub(super) fn known(inode_number: INodeNo) -> Result<InodeId, FsError> {
    inode(inode_number).map_err(|_| FsError::Refused(Refusal::Stale))
}

/// How things are answered: what is true for a while may be believed for as long.
#[derive(Clone)]
pub(super) struct Teller {
    mount: Shared,
    kernel: Arc<Kernel>,
}

impl Edge {
    pub(super) fn teller(&self) -> Teller {
        Teller { mount: self.mount.clone(), kernel: self.kernel.clone() }
    }
}

impl Teller {
    /// What a name leads to, or that it leads nowhere.
    pub(super) fn entry(&self, reply: ReplyEntry, place: &Place, done: Result<Attr, Errno>) {
        let mut telling = self.kernel.tell();
        match done {
            Ok(attr) => {
                let (attr_ttl, name_ttl) = self.lifetimes(&mut telling, place, &attr);
                reply.entry_with_ttls(&attr_ttl, &name_ttl, &attributes(&attr), GENERATION);
            }
            Err(error) if error == Errno::ENOENT => match self.name_lifetime(&mut telling, place, None) {
                Some(lifetime) => {
                    reply.entry_with_ttls(&lifetime, &lifetime, &NOTHING, GENERATION);
                }
                None => reply.error(error),
            },
            Err(error) => reply.error(error),
        }
    }

    pub(super) fn attribute(&self, reply: ReplyAttr, done: Result<Attr, Errno>) {
        match done {
            Ok(attr) => {
                let mut telling = self.kernel.tell();
                let lifetime = self.attr_lifetime(&mut telling, &attr);
                reply.attr(&lifetime.unwrap_or(NOT_BELIEVED), &attributes(&attr));
            }
            Err(error) => reply.error(error),
        }
    }

    /// A file that was made, or was there, and is open now.
    pub(super) fn created(&self, reply: ReplyCreate, place: &Place, done: Result<(Attr, Handle), Errno>) {
        match done {
            Ok((attr, Handle(handle))) => {
                let mut telling = self.kernel.tell();
                let (attr_ttl, name_ttl) = self.lifetimes(&mut telling, place, &attr);
                let (ttl, handle) = (attr_ttl.min(name_ttl), FileHandle(handle));
                reply.created(&ttl, &attributes(&attr), GENERATION, handle, FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    /// Lines of a directory, as far as they fit the reply.
    pub(super) fn lines(
        &self,
        mut reply: ReplyDirectoryPlus,
        directory: INodeNo,
        lines: &[(Line, Option<Attr>)],
    ) {
        let mut telling = self.kernel.tell();
        for (line, attr) in lines {
            let (inode, name) = (number(line.inode), OsStr::from_bytes(&line.name));
            let (lifetime, attr) = match attr {
                Some(attr) => {
                    let lifetimes = self.lifetimes(&mut telling, &place(directory, name), attr);
                    (lifetimes.0.min(lifetimes.1), attributes(attr))
                }
                // The kernel looks at nothing but the name of these.
                None => (NOT_BELIEVED, FileAttr { ino: inode, kind: FileType::Directory, ..NOTHING }),
            };
            if reply.add(inode, line.offset, name, &lifetime, &attr, GENERATION) {
                break;
            }
        }
        reply.ok();
    }

    /// Of attributes, and of the name that led to them.
    fn lifetimes(&self, telling: &mut Telling<'_>, place: &Place, attr: &Attr) -> (Duration, Duration) {
        let attributes = self.attr_lifetime(telling, attr).unwrap_or(NOT_BELIEVED);
        let name = self.name_lifetime(telling, place, Some(attr.inode)).unwrap_or(NOT_BELIEVED);
        (attributes, name)
    }

    fn attr_lifetime(&self, telling: &mut Telling<'_>, attr: &Attr) -> Option<Duration> {
        telling.attributes(attr.inode, self.mount.attributes_true_for(attr))
    }

    fn name_lifetime(
        &self,
        telling: &mut Telling<'_>,
        place: &Place,
        leads_to: Option<InodeId>,
    ) -> Option<Duration> {
        let (parent, name) = place.as_ref().ok()?;
        let true_for = self.mount.name_true_for(*parent, name, leads_to);
        telling.name(*parent, name.as_bytes(), true_for)
    }
}

/// So many bytes fit what the kernel asks with; with none it asks how many there are.
pub(super) fn sized(reply: ReplyXattr, size: u32, done: Result<Bytes, Errno>) {
    match done {
        Ok(bytes) if size == 0 => reply.size(bytes.len() as u32),
        Ok(bytes) if bytes.len() <= size as usize => reply.data(&bytes),
        Ok(_) => reply.error(Errno::ERANGE),
        Err(error) => reply.error(error),
    }
}

pub(super) fn empty(reply: ReplyEmpty, done: Result<(), Errno>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

/// `keeps_bytes`: what the kernel has cached of the bytes is what is there. What was not opened to be
/// written has nothing to say when it is closed.
pub(super) fn opened(reply: ReplyOpen, handle: Handle, keeps_bytes: bool, writes: bool) {
    let mut flags = FopenFlags::empty();
    flags.set(FopenFlags::FOPEN_KEEP_CACHE, keeps_bytes);
    flags.set(FopenFlags::FOPEN_NOFLUSH, !writes);
    reply.opened(FileHandle(handle.0), flags);
}
