//! Random operations, step by step beside the naive model.

use super::model::{Model, Thing};
use super::script::{names, walk};
use super::{Shard, command};
use crate::apply::apply;
use crate::command::CommandKind;
use crate::query::query;
use crate::state::{State, StateConfig};
use mooseng_core::chance::{self, Dice};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Answer, AttrChange, Caller, Name, Op, Query, Refusal, RenameMode};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

fn config_of(seed: u64) -> StateConfig {
    StateConfig {
        name_hash_bits: [55, 3, 0, 1][seed as usize % 4],
        first_counter: [2, 1 << 32][seed as usize % 2],
        links_max: [65_000, 4][seed as usize / 2 % 2],
        ..Default::default()
    }
}

/// A path whose parent is a directory: few names, so that most are taken now and then.
fn path(dice: &mut ChaCha8Rng, model: &Model) -> String {
    let mut directories = vec![""];
    directories.extend(
        model.paths.iter().filter(|(_, thing)| matches!(thing, Thing::Directory(_))).map(|(path, _)| &**path),
    );
    let directory = *dice.pick(&directories);
    format!("{directory}/{}", dice.pick(&["a", "b", "c", "d", "a name too long to lie in its entry"]))
}

fn place(shard: &Shard, path: &str) -> (InodeId, Name) {
    let (directory, name) = path.rsplit_once('/').unwrap();
    (walk(shard, directory).unwrap().inode, Name::new(name.as_bytes().to_vec()).unwrap())
}

/// One operation on both; gives its refusal, after both agreed.
fn step(dice: &mut ChaCha8Rng, shard: &mut Shard, model: &mut Model, time: i64) -> Option<Refusal> {
    let (one, other) = (path(dice, model), path(dice, model));
    let (parent, name) = place(shard, &one);
    let (op, wanted) = match dice.below(12) {
        0..3 => (Op::Create { parent, name, mode: 0o640, uid: 1, gid: 2 }, model.make(&one, false)),
        3..6 => (Op::Mkdir { parent, name, mode: 0o750, uid: 1, gid: 2 }, model.make(&one, true)),
        6 => (Op::Unlink { parent, name }, model.unlink(&one)),
        7 => (Op::Rmdir { parent, name }, model.rmdir(&one)),
        8 => {
            let Ok(attr) = walk(shard, &other) else { return None };
            (Op::Link { inode: attr.inode, parent, name }, model.link(&other, &one))
        }
        _ => {
            let (target_parent, target_name) = place(shard, &other);
            let mode = *dice.pick(&[RenameMode::Replace, RenameMode::Keep, RenameMode::Exchange]);
            let (source_parent, source_name) = (parent, name);
            let wanted = model.rename(&one, &other, mode);
            (Op::Rename { source_parent, source_name, target_parent, target_name, mode }, wanted)
        }
    };
    let seen = shard.ask(time, op.clone()).map(drop);
    assert_eq!(seen, wanted, "{op:?} at {one} and {other}");
    wanted.err()
}

/// Every path leads to the same thing in both, with the same links.
fn compare(shard: &Shard, model: &Model, inodes: &mut BTreeMap<u64, InodeId>) {
    let mut seen = BTreeSet::new();
    for (path, thing) in &model.paths {
        let attr = walk(shard, path).unwrap();
        assert_eq!(attr.links, model.links(path), "{path}");
        let (Thing::Directory(number) | Thing::File(number)) = thing;
        assert_eq!(*inodes.entry(*number).or_insert(attr.inode), attr.inode, "{path} is another inode now");
        seen.insert(attr.inode);
        if let Thing::Directory(_) = thing {
            let children = model.children(path).count();
            assert_eq!(names(shard, path).len(), children, "{path}");
        }
    }
    assert_eq!(shard.state.inodes_count(), seen.len() + 1 + shard.state.orphans_from(None).count());
}

#[test]
fn the_naive_model_agrees_at_every_step() {
    let mut refusals = BTreeMap::new();
    for seed in 0..12 {
        let mut dice = chance::stream(seed, "apply", 0, 0);
        let config = config_of(seed);
        let mut shard = Shard::new(config);
        let mut model = Model { links_max: config.links_max, ..Default::default() };
        let mut inodes = BTreeMap::new();
        for time in 0..400 {
            if let Some(refusal) = step(&mut dice, &mut shard, &mut model, time) {
                *refusals.entry(refusal).or_insert(0) += 1;
            }
            if time % 16 == 0 {
                compare(&shard, &model, &mut inodes);
            }
        }
    }
    for refusal in [
        Refusal::NotFound,
        Refusal::Exists,
        Refusal::NotDirectory,
        Refusal::IsDirectory,
        Refusal::NotEmpty,
        Refusal::Invalid,
        Refusal::TooManyLinks,
        Refusal::NotPermitted,
    ] {
        assert!(
            refusals.get(&refusal).is_some_and(|count| *count > 5),
            "{refusal:?} hardly came: {refusals:?}"
        );
    }
}

/// What a client may say that makes no sense: ids that never were, from any slot and region.
#[test]
fn ids_that_lead_nowhere_are_stale() {
    let mut shard = Shard::new(StateConfig::default());
    let mut dice = chance::stream(5, "stale", 0, 0);
    let name = Name::new(&b"x"[..]).unwrap();
    for _ in 0..200 {
        let Some(inode) = InodeId::from_raw(dice.word()) else { continue };
        let ops = [
            Op::Create { parent: inode, name: name.clone(), mode: 0, uid: 0, gid: 0 },
            Op::Unlink { parent: inode, name: name.clone() },
            Op::Link { inode, parent: InodeId::ROOT, name: name.clone() },
            Op::SetAttr { inode, change: AttrChange::default() },
        ];
        for op in ops {
            assert_eq!(shard.ask(1, op), Err(Refusal::Stale));
        }
        let queries = [
            Query::GetAttr { inode },
            Query::Lookup { parent: inode, name: name.clone() },
            Query::ReadDir { directory: inode, cookie: dice.word(), limit: 9 },
        ];
        for question in queries {
            assert_eq!(query(&shard.state, &Caller::ROOT, &question), Err(Refusal::Stale));
        }
    }
}

/// While names come and go, a listing in pages sees every name that stays exactly once.
#[test]
fn a_listing_sees_what_stays_exactly_once() {
    for seed in 0..16 {
        let mut dice = chance::stream(seed, "listing", 0, 0);
        let mut shard = Shard::new(config_of(seed));
        let name = |kind: &str, number: u64| Name::new(format!("{kind}{number}").into_bytes()).unwrap();
        let parent = InodeId::ROOT;
        let make = |name| Op::Create { parent, name, mode: 0, uid: 0, gid: 0 };
        for number in 0..60 {
            shard.ask(0, make(name("stays", number))).unwrap();
            shard.ask(0, make(name("goes", number))).unwrap();
        }
        let (mut seen, mut cookie, mut round) = (Vec::new(), 0, 0);
        loop {
            let limit = dice.between(1, 7) as u32;
            let page =
                query(&shard.state, &Caller::ROOT, &Query::ReadDir { directory: parent, cookie, limit });
            let Ok(Answer::Entries { entries, end }) = page else { panic!("a page: {page:?}") };
            cookie = entries.last().map_or(cookie, |entry| entry.cookie);
            seen.extend(entries.into_iter().map(|entry| entry.name));
            if end {
                break;
            }
            for _ in 0..3 {
                round += 1;
                _ = shard.ask(1, Op::Unlink { parent, name: name("goes", dice.below(60)) });
                shard.ask(1, make(name("comes", round))).unwrap();
            }
        }
        for number in 0..60 {
            let stays = name("stays", number);
            assert_eq!(seen.iter().filter(|seen| **seen == stays).count(), 1, "{stays:?}");
        }
        assert_eq!(seen.len(), seen.iter().collect::<BTreeSet<_>>().len(), "nothing came twice");
    }
}

/// Two replicas that apply the same commands have the same hash, and the hash is of the contents:
/// undoing in another order leads back to it.
#[test]
fn the_hash_depends_on_what_is_there_alone() {
    let make = |number: u32| {
        let name = Name::new(number.to_string().into_bytes()).unwrap();
        Op::Create { parent: InodeId::ROOT, name, mode: 0, uid: 0, gid: 0 }
    };
    let (mut one, mut other) = (Shard::new(StateConfig::default()), Shard::new(StateConfig::default()));
    for number in 0..50 {
        one.ask(1, make(number)).unwrap();
        other.ask(1, make(number)).unwrap();
        assert_eq!(one.state.hash(), other.state.hash());
    }
    let clone: State = one.state.clone();
    one.ask(2, make(50)).unwrap();
    assert_ne!(one.state.hash(), other.state.hash());
    assert_eq!(clone.hash(), other.state.hash());
    let index = other.state.applied() + 1;
    apply(&mut other.state, index, &command(9, CommandKind::Noop));
    assert_ne!(clone.hash(), other.state.hash(), "even a command of nothing counts");
}
