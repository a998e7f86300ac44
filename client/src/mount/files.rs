//! Open files.

use super::{FsError, Handle, Mount};
use mooseng_core::env::Env;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Access, Attr, Caller, Name, Op, Refusal};

/// How often making a file that others make and remove is tried.
const CREATE_TRIES: usize = 16;

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpenMode {
    pub read: bool,
    pub write: bool,
    pub execute: bool,
    /// Every write goes to the end.
    pub append: bool,
}

impl OpenMode {
    fn access(self) -> Access {
        let wants = [(self.read, Access::READ), (self.write, Access::WRITE), (self.execute, Access::EXECUTE)];
        let wanted = wants.into_iter().filter(|(wanted, _)| *wanted);
        wanted.fold(Access::default(), |all, (_, access)| all.and(access))
    }
}

pub(super) struct File {
    pub(super) mode: OpenMode,
}

impl<E: Env> Mount<E> {
    pub async fn open_file(
        &self,
        caller: &Caller,
        inode: InodeId,
        mode: OpenMode,
    ) -> Result<Handle, FsError> {
        self.access(caller, inode, mode.access()).await?;
        self.files.add(File { mode })
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
            match self.change_attr(caller, &op).await {
                // Who makes a file may do with it what it was opened for, whatever its permissions say.
                Ok(attr) => return Ok((attr, self.files.add(File { mode })?)),
                Err(FsError::Refused(Refusal::Exists)) if !exclusive => {}
                Err(error) => return Err(error),
            }
            match self.lookup(caller, parent, name.clone()).await {
                Ok(attr) => return Ok((attr, self.open_file(caller, attr.inode, mode).await?)),
                Err(FsError::Refused(Refusal::NotFound)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(FsError::Io { what: format!("{name:?} was made and removed again and again") })
    }

    pub fn release(&self, handle: Handle) -> Result<(), FsError> {
        self.files.remove(handle).map(|_| ())
    }
}
