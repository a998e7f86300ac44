//! link.

use super::{Moment, touch};
use crate::permission;
use crate::state::{Entry, Place, State};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Answer, Name, Outcome, Refusal};
use mooseng_core::{plant, probe};

/// Refuses, in this order: no such inode, no such parent, a parent that is no directory, one that may
/// not be searched, a name that is taken, a parent that may not be written, an inode that is a
/// directory, one that has no name any more, one that has all the names it may have, no space for the name.
pub(super) fn link(
    state: &mut State,
    moment: &Moment<'_>,
    inode: InodeId,
    parent: InodeId,
    name: &Name,
) -> Outcome {
    let held = state.inodes.get(&inode).ok_or(Refusal::Stale)?;
    let (kind, links, is_directory) = (held.kind, held.links, held.is_directory());
    let directory = state.directory(parent)?;
    permission::may_search(moment.caller, directory)?;
    let key = match state.place(parent, name) {
        Place::Taken(..) => return Err(Refusal::Exists),
        Place::Free(key) => Some(key),
        Place::Full => None,
    };
    permission::may_add(moment.caller, directory)?;
    if is_directory {
        plant!("link-to-directory-allowed", return Err(Refusal::NotPermitted), ());
    }
    if links == 0 {
        probe!("link to what has no name");
        return Err(Refusal::NotFound);
    }
    if links >= state.config.links_max {
        probe!("link limit of a file");
        return Err(Refusal::TooManyLinks);
    }
    let key = key.ok_or(Refusal::NoSpace)?;
    let before = state.entries.insert(key, Entry::new(name, inode, kind));
    assert!(before.is_none(), "the place was free");
    state.inodes.change(&inode, |held| {
        held.links += 1;
        held.changed(moment.time);
    });
    touch(state, moment, parent, 0);
    state.attr(inode).map(Answer::Attr).ok_or(Refusal::Stale)
}
