//! Extended attributes.

use super::{FsError, Mount, surprise};
use bytes::Bytes;
use mooseng_core::env::Env;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Answer, Caller, Op, Query, Refusal, XattrMode, XattrName};

impl<E: Env> Mount<E> {
    pub async fn setxattr(
        &self,
        caller: &Caller,
        inode: InodeId,
        name: XattrName,
        value: Bytes,
        mode: XattrMode,
    ) -> Result<(), FsError> {
        self.change_done(caller, &Op::SetXattr { inode, name, value, mode }).await
    }

    pub async fn removexattr(&self, caller: &Caller, inode: InodeId, name: XattrName) -> Result<(), FsError> {
        self.change_done(caller, &Op::RemoveXattr { inode, name }).await
    }

    pub async fn getxattr(&self, caller: &Caller, inode: InodeId, name: XattrName) -> Result<Bytes, FsError> {
        match self.sessions.ask(caller, &Query::GetXattr { inode, name }).await? {
            Answer::Value(value) => Ok(value),
            other => Err(surprise(&other)),
        }
    }

    /// The names, each with a NUL behind it, as listxattr(2) has them.
    pub async fn listxattr(&self, caller: &Caller, inode: InodeId) -> Result<Bytes, FsError> {
        match self.sessions.ask(caller, &Query::ListXattr { inode }).await? {
            Answer::XattrNames(names) => {
                Ok(names.iter().flat_map(|name| [name.as_bytes(), b"\0"].concat()).collect())
            }
            other => Err(surprise(&other)),
        }
    }
}

/// The name of an attribute to be read or taken away. What can never be there is found missing
/// without asking anybody: the kernel asks for `security.capability` time and again.
pub fn xattr_there(name: &[u8]) -> Result<XattrName, FsError> {
    if name == b"security.capability" {
        return Err(FsError::Refused(Refusal::NoAttribute));
    }
    Ok(XattrName::new(Bytes::copy_from_slice(name))?)
}
