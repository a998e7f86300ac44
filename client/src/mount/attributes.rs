//! What an inode says of itself.

use super::{FsError, Handle, Mount, surprise};
use mooseng_core::env::Env;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Access, Answer, Attr, AttrChange, Caller, Op, Query, Target};
use mooseng_core::plant;

impl<E: Env> Mount<E> {
    pub async fn getattr(&self, caller: &Caller, inode: InodeId) -> Result<Attr, FsError> {
        self.ask_attr(caller, &Query::GetAttr { inode }).await
    }

    /// `through`: the file that the change is asked through, if there is one (ftruncate, futimens).
    pub async fn setattr(
        &self,
        caller: &Caller,
        inode: InodeId,
        through: Option<Handle>,
        change: AttrChange,
    ) -> Result<Attr, FsError> {
        let file = through.and_then(|handle| self.files.get(handle).ok()).filter(|file| file.mode.write);
        let change = AttrChange { by_handle: file.is_some(), ..change };
        if change.mtime.is_some() {
            // What was written before is no newer than that when it is committed.
            plant!("time-set-before-what-was-written", self.open_files.settle(inode).await, ());
        }
        let Some(size) = change.size else { return self.set(caller, inode, change).await };
        // In order with what is being written to the file here.
        match file {
            Some(file) => file.open.truncate(size).await?,
            None if plant!("resize-overtakes-writes", self.open_files.size(inode).is_some(), false) => {
                self.resize(caller, inode, size).await?
            }
            None => return self.set(caller, inode, change).await,
        }
        if !caller.is_root() {
            self.drop_privileges(inode).await?;
        }
        let rest = AttrChange { size: None, ..change };
        if rest == (AttrChange { by_handle: rest.by_handle, ..AttrChange::default() }) {
            return self.getattr(&Caller::ROOT, inode).await;
        }
        self.set(caller, inode, rest).await
    }

    async fn set(&self, caller: &Caller, inode: InodeId, change: AttrChange) -> Result<Attr, FsError> {
        self.change_attr(caller, &Op::SetAttr { inode, change }).await
    }

    /// May the caller do all this?
    pub async fn access(&self, caller: &Caller, inode: InodeId, access: Access) -> Result<(), FsError> {
        self.ask_attr(caller, &Query::Access { inode, access }).await.map(|_| ())
    }

    pub async fn readlink(&self, caller: &Caller, inode: InodeId) -> Result<Target, FsError> {
        match self.sessions.ask(caller, &Query::ReadLink { inode }).await? {
            Answer::Target(target) => Ok(target),
            other => Err(surprise(&other)),
        }
    }
}
