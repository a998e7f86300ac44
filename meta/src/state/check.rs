//! What always holds of a shard's state (promise G8): for oracles, tests and operators. Walks
//! everything, so it is not for the path of a request.

mod data;

use super::{EntryKey, Says, State, entry};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::FileKind;
use std::collections::{BTreeMap, BTreeSet};

/// Checks every invariant:
///
/// - every name leads to an inode of the kind it says, in a directory that exists, at the cookie
///   its hash gives, and no directory has a name twice;
/// - a file has as many links as names, and without one it is an orphan; a directory but the root has one name, in
///   the directory it calls its parent, and two links more than subdirectories;
/// - a symbolic link says as much as its size, and nothing else says anything;
/// - every directory is reached from the root, and none twice: no cycles, no orphans;
/// - extents lie in files, within their size and within their slices, none over another, no more in
///   a chunk than may be; every slice is live, pending (of a session there is), condemned or
///   forgotten, and a live one counts its extents;
/// - no counter will give an id again; every answer belongs to a session and lies in its window;
/// - the hash that was kept is the hash of what is there.
pub fn check(state: &State) -> Result<(), String> {
    state.inodes.check()?;
    state.entries.check()?;
    state.counters.check()?;
    state.sessions.check()?;
    state.caching.check()?;
    state.answers.check()?;
    state.replicas.check()?;
    state.targets.check()?;
    state.orphans.check()?;
    state.xattrs.check()?;
    state.nonces.check()?;
    data::check_tables(state)?;
    if state.hash() != state.hash_from_scratch() {
        return Err("the hash that was kept is not the hash of what is there".into());
    }
    let names = check_entries(state)?;
    check_inodes(state, &names)?;
    if let Some((id, _)) = state.orphans.iter().find(|(id, _)| state.inodes.get(id).is_none()) {
        return Err(format!("the orphan {id:?} does not exist"));
    }
    if let Some((key, _)) = state.xattrs.iter().find(|(key, _)| state.inodes.get(&key.inode).is_none()) {
        return Err(format!("{:?} has an extended attribute and does not exist", key.inode));
    }
    check_targets(state)?;
    check_reach(state)?;
    check_counters(state)?;
    check_sessions(state)?;
    data::check_extents(state)?;
    data::check_slices(state)
}

/// What the entries say of an inode.
#[derive(Default)]
struct Named {
    names: u32,
    /// The directory of the last of them.
    parent: Option<InodeId>,
    /// Names of directories in it.
    subdirectories: u32,
}

fn check_entries(state: &State) -> Result<BTreeMap<InodeId, Named>, String> {
    let mut named: BTreeMap<InodeId, Named> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for (EntryKey { directory, cookie }, entry) in state.entries.iter() {
        let name = String::from_utf8_lossy(entry.name());
        let wrong = |what: &str| Err(format!("{name:?} in {directory:?}: {what}"));
        if !names.insert((*directory, entry.name())) {
            return wrong("stands there twice");
        }
        if !entry::bucket(entry.name(), state.config.name_hash_bits).contains(cookie) {
            return wrong("a cookie that is not of its hash");
        }
        let Some(parent) = state.inodes.get(directory) else { return wrong("the directory does not exist") };
        if !parent.is_directory() {
            return wrong("not a directory");
        }
        let inode = entry.inode();
        let Some(held) = state.inodes.get(&inode) else { return wrong("dangles") };
        if held.kind != entry.kind() {
            return wrong("the kind is not the inode's");
        }
        let of = named.entry(inode).or_default();
        of.names += 1;
        of.parent = Some(*directory);
        named.entry(*directory).or_default().subdirectories += u32::from(held.is_directory());
    }
    Ok(named)
}

fn check_inodes(state: &State, named: &BTreeMap<InodeId, Named>) -> Result<(), String> {
    let none = Named::default();
    for (id, held) in state.inodes.iter() {
        let of = named.get(id).unwrap_or(&none);
        let (names, links) = (of.names, held.links);
        if !held.is_directory() {
            if names != links || (links == 0) != state.orphans.get(id).is_some() {
                return Err(format!("{id:?}: a file of {names} names has {links} links"));
            }
            continue;
        }
        if *id == InodeId::ROOT {
            if names != 0 || held.parent() != InodeId::ROOT {
                return Err(format!("the root directory has {names} names, parent {:?}", held.parent()));
            }
        } else if names != 1 || of.parent != Some(held.parent()) {
            let (parent, in_directory) = (held.parent(), of.parent);
            return Err(format!(
                "{id:?}: a directory of {names} names, in {in_directory:?}, calls {parent:?} its parent"
            ));
        }
        if links != 2 + of.subdirectories {
            return Err(format!("{id:?}: {} subdirectories, but {links} links", of.subdirectories));
        }
    }
    Ok(())
}

/// Every symbolic link says something as long as its size, and nothing else does.
fn check_targets(state: &State) -> Result<(), String> {
    for (id, held) in state.inodes.iter().filter(|(_, held)| held.kind == FileKind::Symlink) {
        if state.targets.get(id).map(Says::len) != Some(held.size()) {
            return Err(format!("{id:?}: a symbolic link that does not say as much as its size"));
        }
    }
    let links = state.inodes.iter().filter(|(_, held)| held.kind == FileKind::Symlink).count();
    if links != state.targets.len() {
        return Err(format!("{} targets of {links} symbolic links", state.targets.len()));
    }
    Ok(())
}

fn check_reach(state: &State) -> Result<(), String> {
    let directories = state.inodes.iter().filter(|(_, held)| held.is_directory()).count();
    let mut reached = BTreeSet::from([InodeId::ROOT]);
    let mut left = vec![InodeId::ROOT];
    while let Some(directory) = left.pop() {
        for (_, entry) in state.entries_after(directory, 0) {
            let inode = entry.inode();
            if state.inodes.get(&inode).is_some_and(|held| held.is_directory()) {
                if !reached.insert(inode) {
                    return Err(format!("{inode:?} is reached twice"));
                }
                left.push(inode);
            }
        }
    }
    if reached.len() != directories {
        return Err(format!("{directories} directories, but {} are reached from the root", reached.len()));
    }
    Ok(())
}

fn check_counters(state: &State) -> Result<(), String> {
    for (id, _) in state.inodes.iter().filter(|(id, _)| **id != InodeId::ROOT) {
        let next = state.counters.get(&id.birth_slot().get()).map_or(0, |counter| counter.0);
        if id.counter() >= next {
            return Err(format!("{id:?} exists, but its slot goes on at {next}"));
        }
    }
    if let Some((server, allotted)) =
        state.replicas.iter().find(|(_, allotted)| allotted.replica.0 >= state.marks.next_replica)
    {
        return Err(format!("{server:?} has {:?}, which will be given again", allotted.replica));
    }
    Ok(())
}

fn check_sessions(state: &State) -> Result<(), String> {
    if state.sessions.len() != state.nonces.len() {
        return Err("a session without its nonce, or a nonce without its session".into());
    }
    for (id, session) in state.sessions.iter() {
        if id.0 >= state.marks.next_session {
            return Err(format!("{id:?} exists, and will be given again"));
        }
        if state.nonces.get(&session.nonce) != Some(id) {
            return Err(format!("{id:?} is not found by its nonce"));
        }
    }
    if let Some((id, _)) = state.caching.iter().find(|(id, _)| state.sessions.get(id).is_none()) {
        return Err(format!("{id:?} caches and does not exist"));
    }
    for (key, recorded) in state.answers.iter() {
        let Some(session) = state.sessions.get(&key.session) else {
            return Err(format!("an answer of {:?}, which does not exist", key.session));
        };
        let within = key.sequence.checked_sub(session.low_water);
        if within.is_none_or(|ahead| ahead >= state.config.session_window) {
            return Err(format!("{:?} keeps answer {} outside its window", key.session, key.sequence));
        }
        if recorded.index > state.marks.applied {
            return Err(format!("{:?} has an answer of the future", key.session));
        }
    }
    Ok(())
}
