//! Questions to a shard: they change nothing, and show only what the caller may see.

use crate::permission;
use crate::state::{State, XattrKey};
use bytes::Bytes;
use mooseng_core::id::{InodeId, SliceId};
use mooseng_core::namespace::{
    Access, Answer, Caller, DirEntry, FileExtent, FileKind, Name, Outcome, Query, Refusal, XattrName,
    XattrSpace,
};
use mooseng_core::{plant, probe};
use std::collections::BTreeSet;

/// The most entries of one answer, whatever is asked for: an answer fits a message.
pub const ENTRIES_MAX: u32 = 1_000;
/// The most extents of one answer.
pub const EXTENTS_MAX: usize = 512;

pub fn query(state: &State, caller: &Caller, query: &Query) -> Outcome {
    match query {
        Query::Lookup { parent, name } => {
            permission::may_search(caller, state.directory(*parent)?)?;
            let (_, inode) = state.find(*parent, name)?;
            Ok(Answer::Attr(state.named(inode)?.attr(inode)))
        }
        Query::GetAttr { inode } => state.attr(*inode).map(Answer::Attr).ok_or(Refusal::Stale),
        Query::Map { inode, offset, length } => map(state, *inode, *offset, *length),
        Query::ReadDir { directory, cookie, limit } => {
            permission::may(caller, state.directory(*directory)?, Access::READ)?;
            list(state, *directory, *cookie, *limit)
        }
        Query::ReadLink { inode } => match state.targets.get(inode) {
            Some(says) => says.target().map(Answer::Target),
            None if state.inodes.get(inode).is_some() => Err(Refusal::Invalid),
            None => Err(Refusal::Stale),
        },
        Query::Access { inode, access } => {
            let held = state.inodes.get(inode).ok_or(Refusal::Stale)?;
            permission::may(caller, held, *access)?;
            Ok(Answer::Attr(held.attr(*inode)))
        }
        Query::GetXattr { inode, name } => {
            let held = state.inodes.get(inode).ok_or(Refusal::Stale)?;
            permission::may_get_xattr(caller, held, name)?;
            let xattr = state.xattrs.get(&XattrKey::new(*inode, name)).ok_or(Refusal::NoAttribute)?;
            Ok(Answer::Value(Bytes::copy_from_slice(&xattr.0)))
        }
        Query::ListXattr { inode } => {
            state.inodes.get(inode).ok_or(Refusal::Stale)?;
            // Checked when they were made, and when they were read from an image.
            let names = state.xattrs_of(*inode).map(|(key, _)| XattrName::new(key.name().to_vec()));
            let mut names: Vec<XattrName> = names.collect::<Result<_, _>>()?;
            names.retain(|name| name.space() != XattrSpace::Trusted || caller.is_root());
            Ok(Answer::XattrNames(names))
        }
    }
}

/// What continues after a cookie is what has greater ones, whether the cookie's own name still
/// stands or not.
fn list(state: &State, directory: InodeId, cookie: u64, limit: u32) -> Outcome {
    let limit = limit.min(ENTRIES_MAX) as usize;
    let limit = plant!("control-short-listings", limit, limit.div_ceil(2));
    let after = plant!("readdir-cookie-by-position", cookie, 0);
    let skipped = plant!("readdir-cookie-by-position", 0, cookie);
    let mut left = state.entries_after(directory, after).skip(skipped as usize);
    let mut entries = Vec::with_capacity(limit.min(64));
    for (key, entry) in left.by_ref().take(limit) {
        // Checked when it was made, and when it was read from an image.
        let name = Name::new(entry.name().to_vec())?;
        let cookie = plant!("readdir-cookie-by-position", key, skipped + entries.len() as u64 + 1);
        entries.push(DirEntry { cookie, name, inode: entry.inode(), kind: entry.kind() });
    }
    let end = left.next().is_none();
    assert!(entries.len() <= limit && limit <= ENTRIES_MAX as usize, "an answer of a bounded size");
    assert!(entries.is_sorted_by_key(|entry| entry.cookie), "a listing follows its cookies");
    Ok(Answer::Entries { entries, end })
}

/// What a range is made of, as far as one answer can say.
fn map(state: &State, inode: InodeId, offset: u64, length: u64) -> Outcome {
    let attr = state.attr(inode).ok_or(Refusal::Stale)?;
    match attr.kind {
        FileKind::Regular => {}
        FileKind::Directory => return Err(Refusal::IsDirectory),
        _ => return Err(Refusal::Invalid),
    }
    let mut end = offset.saturating_add(length);
    let limit = plant!("control-short-maps", EXTENTS_MAX, 1);
    let mut left = state.extents_in(inode, offset, end);
    let taken = left.by_ref().take(limit).filter_map(|extent| extent.clipped(offset, end));
    let extents: Vec<FileExtent> = taken.collect();
    if let Some(next) = left.next() {
        probe!("a map in several answers");
        end = next.offset;
    }
    assert!(extents.iter().all(|extent| extent.offset >= offset && extent.end() <= end), "of the range");
    let slices: BTreeSet<SliceId> = extents.iter().map(|extent| extent.slice).collect();
    // That the slice of an extent is live is an invariant; were it broken, the bytes are lost.
    let slices = slices.into_iter().filter_map(|slice| state.slice(slice)).collect();
    Ok(Answer::Map { attr, extents, slices, end })
}
