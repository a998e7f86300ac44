//! mkdir, create, mknod and symlink.

use super::{Moment, touch};
use crate::permission;
use crate::state::{Entry, Inode, Place, Says, State};
use mooseng_core::id::{IdKind, InodeId};
use mooseng_core::namespace::{Answer, FileKind, Name, Outcome, Refusal, Target};
use mooseng_core::{plant, probe};

/// Mode, owner, group.
type Owner = (u16, u32, u32);

pub(super) fn directory(
    state: &mut State,
    moment: &Moment<'_>,
    parent: InodeId,
    name: &Name,
    (mode, uid, gid): Owner,
) -> Outcome {
    let inode = Inode::directory(parent, mode, uid, gid, moment.time);
    make(state, moment, parent, name, inode)
}

pub(super) fn file(
    state: &mut State,
    moment: &Moment<'_>,
    parent: InodeId,
    name: &Name,
    (mode, uid, gid): Owner,
) -> Outcome {
    let mode =
        plant!("apply-reads-ambient-counter", mode, mode ^ (mooseng_core::plant::reached() % 2) as u16);
    make(state, moment, parent, name, Inode::file(mode, uid, gid, moment.time))
}

pub(super) fn symlink(
    state: &mut State,
    moment: &Moment<'_>,
    parent: InodeId,
    name: &Name,
    target: &Target,
    (uid, gid): (u32, u32),
) -> Outcome {
    let outcome = make(state, moment, parent, name, Inode::symlink(target, uid, gid, moment.time));
    if let Ok(Answer::Attr(attr)) = &outcome {
        let says = plant!("symlink-target-truncated", Says::new(target), {
            let bytes = target.as_bytes();
            Says::new(&Target::new(bytes[..bytes.len().min(9)].to_vec())?)
        });
        state.targets.insert(attr.inode, says);
    }
    outcome
}

/// Directories and symbolic links are not made so.
pub(super) fn node(
    state: &mut State,
    moment: &Moment<'_>,
    parent: InodeId,
    name: &Name,
    (kind, rdev): (FileKind, u32),
    (mode, uid, gid): Owner,
) -> Outcome {
    let file = Inode::file(mode, uid, gid, moment.time);
    make(state, moment, parent, name, Inode::node(kind, rdev, file).ok_or(Refusal::Invalid)?)
}

/// Refuses, in the order Linux does: no such parent, a parent that is no directory, one that may not
/// be searched, a name that is taken, a parent that may not be written, another's name to make it
/// in, a parent with all the subdirectories it may have, no space for the name, no number for the
/// inode.
fn make(state: &mut State, moment: &Moment<'_>, parent: InodeId, name: &Name, mut inode: Inode) -> Outcome {
    let is_directory = inode.is_directory();
    let directory = state.directory(parent)?;
    permission::may_search(moment.caller, directory)?;
    let key = match state.place(parent, name) {
        Place::Taken(..) => return Err(Refusal::Exists),
        Place::Free(key) => Some(key),
        Place::Full => None,
    };
    permission::may_add(moment.caller, directory)?;
    permission::may_own(moment.caller, inode.uid, inode.gid)?;
    inode.set_class(directory.class());
    (inode.gid, inode.mode) = permission::inherited(moment.caller, directory, &inode);
    if is_directory && directory.links >= state.config.links_max {
        probe!("link limit of a directory");
        return Err(Refusal::TooManyLinks);
    }
    let key = key.ok_or(Refusal::NoSpace)?;
    let kind = if is_directory { IdKind::Directory } else { IdKind::File };
    let Some(id) = state.next_id(moment.region, kind, parent.slot()) else {
        probe!("inode counter exhausted");
        plant!("enospc-leaves-half-an-inode", (), {
            let never_made = InodeId::new(moment.region, IdKind::File, parent.slot(), 1).unwrap_or(parent);
            state.entries.insert(key, Entry::new(name, never_made, FileKind::Regular));
        });
        return Err(Refusal::NoSpace);
    };
    state.allot(id);
    let attr = inode.attr(id);
    let entry = state.entries.insert(key, Entry::new(name, id, inode.kind));
    let before = state.inodes.insert(id, inode);
    assert!(entry.is_none() && before.is_none(), "a free place and a fresh id");
    touch(state, moment, parent, i32::from(is_directory));
    Ok(Answer::Attr(attr))
}
