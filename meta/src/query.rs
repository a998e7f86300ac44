//! Questions to a shard: they change nothing.

use crate::state::State;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Answer, DirEntry, Name, Outcome, Query, Refusal};
use mooseng_core::plant;

/// The most entries of one answer, whatever is asked for: an answer fits a message.
pub const ENTRIES_MAX: u32 = 1_000;

pub fn query(state: &State, query: &Query) -> Outcome {
    match query {
        Query::Lookup { parent, name } => {
            state.directory(*parent)?;
            let (_, inode) = state.find(*parent, name)?;
            Ok(Answer::Attr(state.named(inode)?.attr(inode)))
        }
        Query::GetAttr { inode } => state.attr(*inode).map(Answer::Attr).ok_or(Refusal::Stale),
        Query::ReadDir { directory, cookie, limit } => list(state, *directory, *cookie, *limit),
    }
}

/// What continues after a cookie is what has greater ones, whether the cookie's own name still
/// stands or not.
fn list(state: &State, directory: InodeId, cookie: u64, limit: u32) -> Outcome {
    state.directory(directory)?;
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
