//! What the permissions of an inode let somebody see: what a server answers by, and whoever answers in its
//! place from what it was told. Who may change something is the server's alone.

use super::{Access, Attr, Caller, FileKind, Refusal, XattrName, XattrSpace};

const ANY_EXECUTE: u16 = 0o0111;

/// What decides, of an inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    pub kind: FileKind,
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
}

impl From<&Attr> for Rights {
    fn from(attr: &Attr) -> Self {
        let Attr { kind, mode, uid, gid, .. } = *attr;
        Self { kind, mode, uid, gid }
    }
}

impl Rights {
    /// May the caller do all this? The first class they belong to decides, even if it may do less than
    /// the next.
    pub fn may(&self, caller: &Caller, access: Access) -> Result<(), Refusal> {
        if caller.is_root() {
            let executable = self.kind == FileKind::Directory || self.mode & ANY_EXECUTE != 0;
            return if access.wants(Access::EXECUTE) && !executable {
                Err(Refusal::AccessDenied)
            } else {
                Ok(())
            };
        }
        let class = if caller.uid == self.uid {
            self.mode >> 6
        } else if caller.in_group(self.gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        let wanted = u16::from(access.bits());
        if class & wanted == wanted { Ok(()) } else { Err(Refusal::AccessDenied) }
    }

    /// May the caller see what this attribute says? Of what they may not know of it is said that it is
    /// not there.
    pub fn may_get_xattr(&self, caller: &Caller, name: &XattrName) -> Result<(), Refusal> {
        match name.space() {
            XattrSpace::Trusted if !caller.is_root() => Err(Refusal::NoAttribute),
            XattrSpace::User if !matches!(self.kind, FileKind::Regular | FileKind::Directory) => {
                Err(Refusal::NoAttribute)
            }
            XattrSpace::User => self.may(caller, Access::READ),
            XattrSpace::Trusted | XattrSpace::Security => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_class_that_somebody_belongs_to_decides() {
        let rights = Rights { kind: FileKind::Regular, mode: 0o046, uid: 7, gid: 8 };
        let caller = |uid, gid, groups: &[u32]| Caller { uid, gid, groups: groups.to_vec() };
        let denied = Err(Refusal::AccessDenied);
        assert_eq!(rights.may(&caller(7, 8, &[]), Access::READ), denied, "the owner");
        assert_eq!(rights.may(&caller(9, 1, &[8]), Access::READ), Ok(()), "the group");
        assert_eq!(rights.may(&caller(9, 1, &[8]), Access::WRITE), denied);
        assert_eq!(rights.may(&caller(9, 1, &[]), Access::READ.and(Access::WRITE)), Ok(()), "others");
        assert_eq!(rights.may(&Caller::ROOT, Access::READ.and(Access::WRITE)), Ok(()));
        assert_eq!(rights.may(&Caller::ROOT, Access::EXECUTE), denied, "nobody may");
        let directory = Rights { kind: FileKind::Directory, ..rights };
        assert_eq!(directory.may(&Caller::ROOT, Access::EXECUTE), Ok(()));
    }

    #[test]
    fn what_somebody_may_not_know_of_is_not_there() {
        let rights = Rights { kind: FileKind::Symlink, mode: 0o777, uid: 7, gid: 8 };
        let (owner, missing) = (Caller { uid: 7, ..Caller::default() }, Err(Refusal::NoAttribute));
        let name = |name: &'static str| XattrName::new(name).unwrap();
        assert_eq!(rights.may_get_xattr(&owner, &name("trusted.a")), missing);
        assert_eq!(rights.may_get_xattr(&Caller::ROOT, &name("trusted.a")), Ok(()));
        assert_eq!(rights.may_get_xattr(&owner, &name("user.a")), missing, "no file");
        assert_eq!(rights.may_get_xattr(&owner, &name("security.a")), Ok(()));
        let file = Rights { kind: FileKind::Regular, mode: 0o200, ..rights };
        assert_eq!(file.may_get_xattr(&owner, &name("user.a")), Err(Refusal::AccessDenied));
    }
}
