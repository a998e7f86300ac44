//! That `check` sees what it says it sees, and that the configuration is doubted.

use super::{Counter, Entry, EntryKey, Inode, State, StateConfig, check, entry};
use mooseng_core::id::{IdKind, InodeId, SessionId, Slot};
use mooseng_core::namespace::{FileKind, LINKS_MAX, Name};
use mooseng_core::time::WallTime;

fn id(kind: IdKind, counter: u64) -> InodeId {
    InodeId::new(0, kind, Slot::default(), counter).unwrap()
}

fn name_it(state: &mut State, directory: InodeId, name: &str, inode: InodeId) {
    let name = Name::new(name.as_bytes().to_vec()).unwrap();
    let cookie = *entry::bucket(name.as_bytes(), state.config.name_hash_bits).start();
    let kind = state.inodes.get(&inode).map_or(FileKind::Regular, |held| held.kind);
    state.entries.insert(EntryKey { directory, cookie }, Entry::new(&name, inode, kind));
}

/// `/d/e` and `/f`, made by hand.
fn sound() -> State {
    let mut state = State::new(StateConfig::default());
    let (outer, inner, file) = (id(IdKind::Directory, 2), id(IdKind::Directory, 3), id(IdKind::File, 4));
    let directory = |parent| Inode::directory(parent, 0, 0, 0, WallTime(0));
    state.inodes.insert(outer, directory(InodeId::ROOT));
    state.inodes.insert(inner, directory(outer));
    state.inodes.insert(file, Inode::file(0, 0, 0, WallTime(0)));
    state.inodes.change(&InodeId::ROOT, |root| root.links = 3);
    state.inodes.change(&outer, |outer| outer.links = 3);
    name_it(&mut state, InodeId::ROOT, "d", outer);
    name_it(&mut state, outer, "e", inner);
    name_it(&mut state, InodeId::ROOT, "f", file);
    state.counters.insert(0, Counter(5));
    assert_eq!(check(&state), Ok(()));
    state
}

/// What `check` says of a sound state after some damage.
fn said(damage: impl FnOnce(&mut State)) -> String {
    let mut state = sound();
    damage(&mut state);
    check(&state).unwrap_err()
}

#[test]
fn every_kind_of_broken_tree_is_seen() {
    let (outer, inner, file) = (id(IdKind::Directory, 2), id(IdKind::Directory, 3), id(IdKind::File, 4));
    let root = InodeId::ROOT;
    let cut = |state: &mut State, name: &str| {
        let name = Name::new(name.as_bytes().to_vec()).unwrap();
        let (key, _) = state.find(root, &name).unwrap();
        state.entries.remove(&key);
    };
    assert_eq!(said(|state| _ = state.inodes.remove(&file)), r#""f" in d1: dangles"#);
    assert_eq!(said(|state| name_it(state, file, "x", file)), r#""x" in f4: not a directory"#);
    assert_eq!(said(|state| name_it(state, root, "g", file)), "f4: a file of 2 names has 1 links");
    assert_eq!(said(|state| cut(state, "f")), "f4: a file of 0 names has 1 links");
    let orphan = said(|state| cut(state, "d"));
    assert_eq!(orphan, "d1: 0 subdirectories, but 3 links");
    let count = said(|state| _ = state.inodes.change(&outer, |outer| outer.links = 2));
    assert_eq!(count, "d2: 1 subdirectories, but 2 links");
    let parent = said(|state| _ = state.inodes.change(&inner, |inner| inner.set_parent(root)));
    assert_eq!(parent, "d3: a directory of 1 names, in Some(d2), calls d1 its parent");
    let twice = said(|state| {
        name_it(state, root, "again", inner);
        state.inodes.change(&root, |root| root.links = 4);
    });
    assert!(twice.starts_with("d3: a directory of 2 names"), "{twice}");
    let cycle = said(|state| {
        cut(state, "d");
        state.inodes.change(&root, |root| root.links = 2);
        name_it(state, inner, "back", outer);
        state.inodes.change(&outer, |outer| outer.set_parent(inner));
        state.inodes.change(&inner, |inner| inner.links = 3);
    });
    assert_eq!(cycle, "3 directories, but 1 are reached from the root");
    let counter = said(|state| _ = state.counters.insert(0, Counter(4)));
    assert_eq!(counter, "f4 exists, but its slot goes on at 4");
    let nonce = said(|state| _ = state.nonces.insert([1; 16], SessionId(1)));
    assert_eq!(nonce, "a session without its nonce, or a nonce without its session");
}

#[test]
fn a_configuration_that_makes_no_sense_is_named() {
    let sound = StateConfig::default();
    assert_eq!(sound.check(), Ok(()));
    let wrong = [
        (StateConfig { name_hash_bits: 61, ..sound }, "name_hash_bits must be 0 to 60"),
        (StateConfig { first_counter: 1, ..sound }, "first_counter must be 2 to 2^44"),
        (StateConfig { first_replica: 0, ..sound }, "first_replica must be 1 to 2^62"),
        (StateConfig { links_max: LINKS_MAX + 1, ..sound }, "links_max must be 2 to 65000"),
        (StateConfig { session_window: 0, ..sound }, "session_window must be 1 to 65536"),
        (StateConfig { sessions_max: 0, ..sound }, "sessions_max must be at least 1"),
    ];
    for (config, line) in wrong {
        assert_eq!(config.check(), Err(line.to_string()));
    }
}
