//! mkdir and create.

use super::{Moment, touch};
use crate::state::{Entry, Inode, Place, State};
use mooseng_core::id::{IdKind, InodeId};
use mooseng_core::namespace::{Answer, Name, Outcome, Refusal};
use mooseng_core::{plant, probe};

/// Mode, owner, group.
type Owner = (u16, u32, u32);

pub(super) fn directory(
    state: &mut State,
    moment: &Moment,
    parent: InodeId,
    name: &Name,
    (mode, uid, gid): Owner,
) -> Outcome {
    let inode = Inode::directory(parent, mode, uid, gid, moment.time);
    make(state, moment, parent, name, inode)
}

pub(super) fn file(
    state: &mut State,
    moment: &Moment,
    parent: InodeId,
    name: &Name,
    (mode, uid, gid): Owner,
) -> Outcome {
    let mode =
        plant!("apply-reads-ambient-counter", mode, mode ^ (mooseng_core::plant::reached() % 2) as u16);
    make(state, moment, parent, name, Inode::file(mode, uid, gid, moment.time))
}

/// Refuses, in this order: no such parent, a parent that is no directory, a name that is taken, a
/// parent with all the subdirectories it may have, no space for the name, no number for the inode.
fn make(state: &mut State, moment: &Moment, parent: InodeId, name: &Name, mut inode: Inode) -> Outcome {
    let is_directory = inode.is_directory();
    let held = state.directory(parent)?;
    let parent_links = held.links;
    inode.set_class(held.class());
    let key = match state.place(parent, name) {
        Place::Taken(..) => return Err(Refusal::Exists),
        Place::Free(key) => Some(key),
        Place::Full => None,
    };
    if is_directory && parent_links >= state.config.links_max {
        probe!("link limit of a directory");
        return Err(Refusal::TooManyLinks);
    }
    let key = key.ok_or(Refusal::NoSpace)?;
    let kind = if is_directory { IdKind::Directory } else { IdKind::File };
    let Some(id) = state.next_id(moment.region, kind, parent.slot()) else {
        probe!("inode counter exhausted");
        plant!("enospc-leaves-half-an-inode", (), {
            let never_made = InodeId::new(moment.region, IdKind::File, parent.slot(), 1).unwrap_or(parent);
            state
                .entries
                .insert(key, Entry::new(name, never_made, mooseng_core::namespace::FileKind::Regular));
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
