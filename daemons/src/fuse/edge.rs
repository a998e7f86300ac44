//! How a request becomes a task and a result becomes an answer.

use super::convert::{attributes, inode};
use super::errno::errno;
use super::process::Process;
use crate::machine::RealEnv;
use bytes::Bytes;
use fuser::{
    Errno, FileHandle, FopenFlags, Generation, INodeNo, ReplyAttr, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyXattr, Request,
};
use futures::future::{Either, select};
use mooseng_client::mount::{FsError, Handle, Mount};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Attr, Caller, Name, Refusal};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime;

/// For how long the kernel may believe a name: not at all, since nobody tells it when it changes
/// elsewhere. So every path is looked up, and its attributes come with it.
pub(super) const NAME_BELIEVED: Duration = Duration::ZERO;
/// For how long it may believe attributes: for the rest of the system call that looked the path up. The
/// kernel rounds it up to a tick of its clock or two, 8 ms at most. Without it each call asks twice.
pub(super) const ATTR_BELIEVED: Duration = Duration::from_nanos(1);
/// Inode numbers are never used again.
pub(super) const GENERATION: Generation = Generation(0);

/// The mount, as every request's task holds it.
pub(super) type Shared = Arc<Mount<RealEnv>>;

pub(super) struct Edge {
    pub(super) mount: Shared,
    runtime: runtime::Handle,
}

impl Edge {
    pub(super) fn new(mount: Shared, runtime: runtime::Handle) -> Self {
        Self { mount, runtime }
    }

    /// Does `work` in a task of its own and answers with what came of it, or with EINTR when the process
    /// that waits has been told to end. Dropping the work is harmless: a change takes effect or not.
    pub(super) fn serve<T, F>(
        &self,
        request: &Request,
        work: impl Fn(Shared, Caller) -> F + Send + Sync + 'static,
        answer: impl FnOnce(Result<T, Errno>) + Send + 'static,
    ) where
        T: Send,
        F: Future<Output = Result<T, FsError>> + Send + 'static,
    {
        let mount = self.mount.clone();
        let process = Process::of(request);
        let (uid, gid) = (request.uid(), request.gid());
        self.runtime.spawn(async move {
            let work = pin!(with_groups(mount, uid, gid, process, work));
            let done = match select(work, pin!(process.told_to_end())).await {
                Either::Left((done, _)) => done.map_err(|error| errno(&error)),
                Either::Right(((), _)) => Err(Errno::EINTR),
            };
            answer(done);
        });
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

pub(super) fn entry(reply: ReplyEntry, done: Result<Attr, Errno>) {
    match done {
        Ok(attr) => {
            reply.entry_with_ttls(&ATTR_BELIEVED, &NAME_BELIEVED, &attributes(&attr), GENERATION);
        }
        Err(error) => reply.error(error),
    }
}

pub(super) fn attribute(reply: ReplyAttr, done: Result<Attr, Errno>) {
    match done {
        Ok(attr) => reply.attr(&ATTR_BELIEVED, &attributes(&attr)),
        Err(error) => reply.error(error),
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

pub(super) fn opened(reply: ReplyOpen, done: Result<Handle, Errno>) {
    match done {
        Ok(Handle(handle)) => reply.opened(FileHandle(handle), FopenFlags::empty()),
        Err(error) => reply.error(error),
    }
}
