//! Names: what makes, moves and removes them.

use super::{FsError, Mount};
use mooseng_core::env::Env;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Attr, Caller, FileKind, Name, Op, Query, RenameMode, Target};

/// What [`Mount::mknod`] makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewInode {
    pub kind: FileKind,
    pub mode: u16,
    /// Of a device its number, else 0.
    pub rdev: u32,
}

impl<E: Env> Mount<E> {
    pub async fn lookup(&self, caller: &Caller, parent: InodeId, name: Name) -> Result<Attr, FsError> {
        self.ask_attr(caller, &Query::Lookup { parent, name }).await
    }

    pub async fn mkdir(
        &self,
        caller: &Caller,
        parent: InodeId,
        name: Name,
        mode: u16,
    ) -> Result<Attr, FsError> {
        let Caller { uid, gid, .. } = *caller;
        self.change_attr(caller, &Op::Mkdir { parent, name, mode, uid, gid }).await
    }

    pub async fn mknod(
        &self,
        caller: &Caller,
        parent: InodeId,
        name: Name,
        new: NewInode,
    ) -> Result<Attr, FsError> {
        let Caller { uid, gid, .. } = *caller;
        let NewInode { kind, mode, rdev } = new;
        self.change_attr(caller, &Op::Mknod { parent, name, kind, mode, rdev, uid, gid }).await
    }

    pub async fn symlink(
        &self,
        caller: &Caller,
        parent: InodeId,
        name: Name,
        target: Target,
    ) -> Result<Attr, FsError> {
        let Caller { uid, gid, .. } = *caller;
        self.change_attr(caller, &Op::Symlink { parent, name, target, uid, gid }).await
    }

    pub async fn link(
        &self,
        caller: &Caller,
        inode: InodeId,
        parent: InodeId,
        name: Name,
    ) -> Result<Attr, FsError> {
        self.change_attr(caller, &Op::Link { inode, parent, name }).await
    }

    pub async fn unlink(&self, caller: &Caller, parent: InodeId, name: Name) -> Result<(), FsError> {
        self.change_done(caller, &Op::Unlink { parent, name }).await
    }

    pub async fn rmdir(&self, caller: &Caller, parent: InodeId, name: Name) -> Result<(), FsError> {
        self.change_done(caller, &Op::Rmdir { parent, name }).await
    }

    pub async fn rename(
        &self,
        caller: &Caller,
        (source_parent, source_name): (InodeId, Name),
        (target_parent, target_name): (InodeId, Name),
        mode: RenameMode,
    ) -> Result<(), FsError> {
        let op = Op::Rename { source_parent, source_name, target_parent, target_name, mode };
        self.change_done(caller, &op).await
    }
}
