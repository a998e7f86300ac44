//! Who may do what with an inode: the rules of POSIX, in the way Linux reads them. Knows the
//! caller, the inode and nothing else; that the caller is who they say is for others to see to.

use crate::state::{Inode, MODE_MASK};
use mooseng_core::namespace::{
    Access, AttrChange, Caller, FileKind, NewTime, Refusal, SET_GID, XattrName, XattrSpace, without_set_id,
};
use mooseng_core::{plant, probe};

const STICKY: u16 = 0o1000;
const GROUP_EXECUTE: u16 = 0o0010;

/// May the caller do all this?
pub(crate) fn may(caller: &Caller, inode: &Inode, access: Access) -> Result<(), Refusal> {
    inode.rights().may(caller, access).inspect_err(|_| {
        probe!("access denied");
    })
}

/// May the caller look for names in this directory?
pub(crate) fn may_search(caller: &Caller, directory: &Inode) -> Result<(), Refusal> {
    may(caller, directory, Access::EXECUTE)
}

/// May the caller put a name into this directory?
pub(crate) fn may_add(caller: &Caller, directory: &Inode) -> Result<(), Refusal> {
    may(caller, directory, Access::WRITE.and(Access::EXECUTE))
}

/// May the caller take a name of this inode out of this directory? From a sticky one only its owner
/// or the inode's may.
pub(crate) fn may_take(caller: &Caller, directory: &Inode, inode: &Inode) -> Result<(), Refusal> {
    may_add(caller, directory)?;
    let owner = caller.is_root() || caller.uid == inode.uid || caller.uid == directory.uid;
    if directory.mode & STICKY == 0 || owner {
        return Ok(());
    }
    probe!("sticky directory");
    plant!("sticky-bit-ignored", Err(Refusal::NotPermitted), Ok(()))
}

/// May the caller make something that belongs to `uid` and `gid`?
pub(crate) fn may_own(caller: &Caller, uid: u32, gid: u32) -> Result<(), Refusal> {
    let own = caller.is_root() || (caller.uid == uid && caller.in_group(gid));
    if own { Ok(()) } else { Err(Refusal::NotPermitted) }
}

/// What only the owner may do.
pub(crate) fn must_own(caller: &Caller, inode: &Inode) -> Result<(), Refusal> {
    if caller.is_root() || caller.uid == inode.uid { Ok(()) } else { Err(Refusal::NotPermitted) }
}

/// May the caller change these attributes?
pub(crate) fn may_change(caller: &Caller, inode: &Inode, change: &AttrChange) -> Result<(), Refusal> {
    let (root, owner) = (caller.is_root(), caller.uid == inode.uid);
    let permitted = |permitted: bool| if permitted { Ok(()) } else { Err(Refusal::NotPermitted) };
    permitted(change.mode.is_none() || root || owner)?;
    permitted(change.uid.is_none_or(|uid| root || (owner && uid == inode.uid)))?;
    permitted(change.gid.is_none_or(|gid| root || (owner && (gid == inode.gid || caller.in_group(gid)))))?;
    for time in [change.atime, change.mtime].into_iter().flatten() {
        match time {
            NewTime::At(_) => permitted(root || owner)?,
            NewTime::Now if root || owner || change.by_handle => {}
            NewTime::Now => may(caller, inode, Access::WRITE)?,
        }
    }
    if change.size.is_some() && !change.by_handle {
        may(caller, inode, Access::WRITE)?;
    }
    Ok(())
}

/// May the caller set this attribute, or take it away?
pub(crate) fn may_set_xattr(caller: &Caller, inode: &Inode, name: &XattrName) -> Result<(), Refusal> {
    let permitted = match name.space() {
        XattrSpace::Trusted | XattrSpace::Security => caller.is_root(),
        // In a sticky directory everybody may write, but not on the directory itself.
        XattrSpace::User if inode.is_directory() && inode.mode & STICKY != 0 => {
            caller.is_root() || caller.uid == inode.uid
        }
        XattrSpace::User => matches!(inode.kind, FileKind::Regular | FileKind::Directory),
    };
    match name.space() {
        _ if !permitted => Err(Refusal::NotPermitted),
        XattrSpace::User => may(caller, inode, Access::WRITE),
        XattrSpace::Trusted | XattrSpace::Security => Ok(()),
    }
}

/// May the caller see what this attribute says?
pub(crate) fn may_get_xattr(caller: &Caller, inode: &Inode, name: &XattrName) -> Result<(), Refusal> {
    inode.rights().may_get_xattr(caller, name)
}

/// The mode an inode has after a change that was permitted.
pub(crate) fn changed_mode(caller: &Caller, inode: &Inode, change: &AttrChange) -> u16 {
    let mut mode = change.mode.map_or(inode.mode, |mode| mode & MODE_MASK);
    let gid = change.gid.unwrap_or(inode.gid);
    if change.mode.is_some() && !caller.is_root() && !caller.in_group(gid) {
        mode &= !SET_GID;
    }
    if (change.uid.is_some() || change.gid.is_some()) && inode.kind != FileKind::Directory {
        // Also root's: a program must not run as somebody it was not made for.
        mode = plant!("chown-keeps-setuid", without_set_id(mode), mode);
    }
    if change.size.is_some() { written_mode(caller, mode) } else { mode }
}

/// The mode a regular file has after this caller wrote to it.
pub(crate) fn written_mode(caller: &Caller, mode: u16) -> u16 {
    if caller.is_root() { mode } else { without_set_id(mode) }
}

/// The group and mode of what is made in a directory: a set-gid directory passes its group on, and
/// to directories the bit itself.
pub(crate) fn inherited(caller: &Caller, directory: &Inode, made: &Inode) -> (u32, u16) {
    if directory.mode & SET_GID == 0 {
        return (made.gid, made.mode);
    }
    let gid = directory.gid;
    let foreign = !caller.is_root() && !caller.in_group(gid);
    match made.kind {
        FileKind::Directory => (gid, made.mode | SET_GID),
        _ if foreign && made.mode & GROUP_EXECUTE != 0 => (gid, made.mode & !SET_GID),
        _ => (gid, made.mode),
    }
}
