//! Open files: their handles, and what is asked of them by handle.

use super::service::Service;
use super::{FsError, Handle, Mount, attr};
use crate::Hold;
use crate::file::{FileError, OpenFile};
use bytes::Bytes;
use mooseng_core::env::Env;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{
    Access, Attr, AttrChange, Caller, FileKind, Name, Op, Query, Refusal, SET_GID, SET_UID, without_set_id,
};
use mooseng_core::plant;
use std::sync::{Mutex, PoisonError};

/// How often making a file that others make and remove is tried.
const CREATE_TRIES: usize = 16;

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpenMode {
    pub read: bool,
    pub write: bool,
    pub execute: bool,
}

impl OpenMode {
    fn access(self) -> Access {
        let wants = [(self.read, Access::READ), (self.write, Access::WRITE), (self.execute, Access::EXECUTE)];
        let wanted = wants.into_iter().filter(|(wanted, _)| *wanted);
        wanted.fold(Access::default(), |all, (_, access)| all.and(access))
    }
}

/// A file that was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    pub handle: Handle,
    /// What the caller has of its bytes is what is there.
    pub keeps_bytes: bool,
}

pub(super) struct File<E: Env> {
    pub(super) mode: OpenMode,
    pub(super) open: OpenFile<E, Service<E>>,
    /// The mode bits when it was opened.
    bits: u16,
    /// As long as it is here, so is the file, with a name or without. Taken out once.
    hold: Mutex<Option<Hold<E>>>,
}

impl<E: Env> Mount<E> {
    pub async fn open_file(
        &self,
        caller: &Caller,
        inode: InodeId,
        mode: OpenMode,
    ) -> Result<Opened, FsError> {
        let (attr, hold) = self.hold(caller, inode, mode.access()).await?;
        let handle = self.add_file(&attr, mode, hold)?;
        Ok(Opened { handle, keeps_bytes: self.sessions.pages().opened(inode, attr.version) })
    }

    async fn hold(
        &self,
        caller: &Caller,
        inode: InodeId,
        access: Access,
    ) -> Result<(Attr, Hold<E>), FsError> {
        let (answer, hold) = self.sessions.hold(caller, inode, access).await?;
        let told = attr(answer)?;
        // Open files take in what the service said, never what is shown here.
        let told = plant!("open-learns-what-is-shown-here", told, {
            let size = self.open_files.size(inode).map_or(told.size, |here| here.max(told.size));
            Attr { size, ..told }
        });
        Ok((told, hold))
    }

    /// Makes a file that is open, mostly from the start. `None`: somebody has removed it before it was.
    async fn make_open(&self, caller: &Caller, op: &Op) -> Result<Option<(Attr, Hold<E>)>, FsError> {
        let (answer, hold) = self.sessions.make_open(caller, op).await?;
        let made = attr(answer)?;
        let held = match hold {
            Some(hold) => return Ok(Some((made, hold))),
            // Who makes a file may do with it what it was opened for, whatever its permissions say.
            None => self.hold(&Caller::ROOT, made.inode, Access::default()).await,
        };
        match held {
            Ok(held) => Ok(Some(held)),
            Err(FsError::Refused(Refusal::Stale)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn add_file(&self, attr: &Attr, mode: OpenMode, hold: Hold<E>) -> Result<Handle, FsError> {
        if attr.kind == FileKind::Directory {
            return Err(FsError::Refused(Refusal::IsDirectory));
        }
        let open = self.open_files.open(attr.inode, attr.class, attr.into());
        self.files.add(File { mode, open, bits: attr.mode, hold: Mutex::new(Some(hold)) })
    }

    /// Makes a file and opens it. `exclusive`: refused if the name is taken; else what has the name is
    /// opened, if its permissions allow that.
    pub async fn create(
        &self,
        caller: &Caller,
        (parent, name): (InodeId, Name),
        permissions: u16,
        mode: OpenMode,
        exclusive: bool,
    ) -> Result<(Attr, Handle), FsError> {
        let Caller { uid, gid, .. } = *caller;
        for _ in 0..CREATE_TRIES {
            let op = Op::Create { parent, name: name.clone(), mode: permissions, uid, gid };
            match self.make_open(caller, &op).await {
                Ok(Some((attr, hold))) => {
                    self.sessions.pages().opened(attr.inode, attr.version);
                    let handle = self.add_file(&attr, mode, hold)?;
                    return Ok((self.as_here(attr), handle));
                }
                Ok(None) => continue,
                // What is gone is the directory: it does not come back.
                Err(FsError::Refused(Refusal::Stale))
                    if plant!("gone-directory-tried-again", false, true) =>
                {
                    continue;
                }
                Err(FsError::Refused(Refusal::Exists)) if !exclusive => {}
                Err(error) => return Err(error),
            }
            match self.lookup(caller, parent, name.clone()).await {
                Ok(attr) => match self.open_file(caller, attr.inode, mode).await {
                    Err(FsError::Refused(Refusal::Stale)) => continue,
                    opened => return Ok((attr, opened?.handle)),
                },
                Err(FsError::Refused(Refusal::NotFound)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(FsError::Io { what: format!("{name:?} was made and removed again and again") })
    }

    /// Up to `length` bytes; fewer only where the file ends.
    pub async fn read(&self, handle: Handle, offset: u64, length: usize) -> Result<Bytes, FsError> {
        let file = self.files.get(handle)?;
        let inode = file.open.inode();
        self.sessions.pages().read_begins(inode);
        let reading = Reading { mount: self, inode };
        let read = file.open.read(offset, length).await;
        drop(reading);
        Ok(read?)
    }

    /// Takes bytes in. `drops_privileges`: the writer may not keep a set-id bit.
    pub async fn write(
        &self,
        handle: Handle,
        offset: u64,
        bytes: &[u8],
        drops_privileges: bool,
    ) -> Result<(), FsError> {
        let file = self.files.get(handle)?;
        if !file.mode.write {
            return Err(FsError::BadHandle);
        }
        if drops_privileges && file.bits & (SET_UID | SET_GID) != 0 {
            self.drop_privileges(file.open.inode()).await?;
        }
        Ok(file.open.write(offset, bytes).await?)
    }

    /// Set-id bits fall when anybody but root has changed the contents.
    pub(super) async fn drop_privileges(&self, inode: InodeId) -> Result<(), FsError> {
        let held = self.ask_attr(&Caller::ROOT, &Query::GetAttr { inode }).await?.mode;
        let kept = without_set_id(held);
        if kept != held {
            let change = AttrChange { mode: Some(kept), ..AttrChange::default() };
            self.change_attr(&Caller::ROOT, &Op::SetAttr { inode, change }).await?;
        }
        Ok(())
    }

    /// Waits until what was written is on its servers; as close(2) wants it.
    pub async fn flush(&self, handle: Handle) -> Result<(), FsError> {
        let file = self.files.get(handle)?;
        // Nobody waits at close for what others write.
        if file.mode.write { self.kept(&file, file.open.flush().await) } else { Ok(()) }
    }

    /// What was to be kept was, or what is cached of it elsewhere is not what is there.
    fn kept(&self, file: &File<E>, kept: Result<(), FileError>) -> Result<(), FsError> {
        if kept.is_err() {
            self.sessions.pages().doubt(file.open.inode());
        }
        Ok(kept?)
    }

    pub async fn fsync(&self, handle: Handle) -> Result<(), FsError> {
        let file = self.files.get(handle)?;
        self.kept(&file, file.open.fsync().await)
    }

    /// Forgets the handle. What was written through a mapping after the last close goes on its way; nobody
    /// is left to be told how that went.
    pub async fn release(&self, handle: Handle) -> Result<(), FsError> {
        let file = self.files.remove(handle)?;
        let flushed = if file.mode.write { file.open.flush().await } else { Ok(()) };
        let flushed = self.kept(&file, flushed);
        let hold = file.hold.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(hold) = hold {
            self.sessions.let_go(hold).await;
        }
        flushed
    }

    /// Sets the size of a file that is open here, by its name.
    pub(super) async fn resize(&self, caller: &Caller, inode: InodeId, to: u64) -> Result<(), FsError> {
        let attr = attr(self.sessions.ask(caller, &Query::Access { inode, access: Access::WRITE }).await?)?;
        Ok(self.open_files.open(inode, attr.class, (&attr).into()).truncate(to).await?)
    }
}

/// A read on its way.
struct Reading<'a, E: Env> {
    mount: &'a Mount<E>,
    inode: InodeId,
}

impl<E: Env> Drop for Reading<'_, E> {
    fn drop(&mut self) {
        self.mount.sessions.pages().read_ends(self.inode);
    }
}
