//! What files are made of: case by case, and at random beside a model that keeps every byte.

use super::{Shard, command};
use crate::apply::apply;
use crate::command::{CommandKind, Reply};
use crate::query::{EXTENTS_MAX, query};
use crate::state::{SliceState, StateConfig, check};
use mooseng_core::chance::{self, Dice};
use mooseng_core::class::{CHUNK_BYTES, StorageClass};
use mooseng_core::extent::SIZE_MAX;
use mooseng_core::id::{InodeId, ServerId, SessionId, SliceId, Slot};
use mooseng_core::namespace::{
    Answer, Attr, AttrChange, Caller, FileExtent, Name, NewSlice, Op, Outcome, Query, Refusal, SliceInfo,
};
use mooseng_core::time::WallTime;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

const ROOT: InodeId = InodeId::ROOT;

fn named(name: &str) -> Name {
    Name::new(name.as_bytes().to_vec()).unwrap()
}

fn attr(outcome: Outcome) -> Attr {
    let Ok(Answer::Attr(attr)) = outcome else { panic!("attributes: {outcome:?}") };
    attr
}

impl Shard {
    fn file(&mut self, name: &str) -> InodeId {
        attr(self.ask(1, Op::Create { parent: ROOT, name: named(name), mode: 0o644, uid: 1, gid: 1 })).inode
    }

    fn grant(&mut self, inode: InodeId, count: u32) -> SliceId {
        match self.ask(1, Op::GrantSlices { inode, count }) {
            Ok(Answer::Slices { first, count: granted }) if granted == count => first,
            other => panic!("slices: {other:?}"),
        }
    }

    fn commit(&mut self, inode: InodeId, slices: Vec<NewSlice>, extents: Vec<FileExtent>) -> Outcome {
        self.ask(2, Op::Commit { inode, slices, extents, mtime: WallTime(77) })
    }

    /// A slice of its own for one run of bytes.
    fn write(&mut self, inode: InodeId, offset: u64, length: u32) -> SliceId {
        let slice = self.grant(inode, 1);
        let extent = FileExtent { offset, length, slice, slice_offset: 0 };
        let written = self.commit(inode, vec![stored(slice, length)], vec![extent]);
        assert!(written.is_ok(), "{written:?}");
        slice
    }

    fn truncate(&mut self, inode: InodeId, size: u64) -> Outcome {
        let change = AttrChange { size: Some(size), ..Default::default() };
        self.ask(3, Op::SetAttr { inode, change })
    }

    fn map(&self, inode: InodeId, offset: u64, length: u64) -> (Attr, Vec<FileExtent>, Vec<SliceInfo>, u64) {
        match query(&self.state, &Caller::ROOT, &Query::Map { inode, offset, length }) {
            Ok(Answer::Map { attr, extents, slices, end }) => (attr, extents, slices, end),
            other => panic!("a map: {other:?}"),
        }
    }

    /// The whole map, as text.
    fn shown(&self, inode: InodeId) -> String {
        let show = |extent: FileExtent| {
            let (offset, end, slice) = (extent.offset, extent.end(), extent.slice.counter());
            format!("{offset}..{end}=x{slice}+{}", extent.slice_offset)
        };
        let extents: Vec<String> = self.map(inode, 0, SIZE_MAX).1.into_iter().map(show).collect();
        extents.join(" ")
    }
}

fn stored(slice: SliceId, length: u32) -> NewSlice {
    let parts = vec![Some(ServerId(1)), Some(ServerId(2))];
    NewSlice { slice, class: StorageClass::default(), length, parts }
}

#[test]
fn what_is_written_later_lies_over_what_was_there() {
    let mut shard = Shard::new(StateConfig::default());
    let file = shard.file("f");
    let first = shard.write(file, 0, 100);
    let second = shard.write(file, 40, 20);
    assert_eq!(shard.shown(file), "0..40=x1+0 40..60=x2+0 60..100=x1+60");
    assert_eq!(
        shard.map(file, 50, 20).1,
        [
            FileExtent { offset: 50, length: 10, slice: second, slice_offset: 10 },
            FileExtent { offset: 60, length: 10, slice: first, slice_offset: 60 },
        ]
    );
    let third = shard.write(file, 30, 40);
    assert_eq!(shard.shown(file), "0..30=x1+0 30..70=x3+0 70..100=x1+70");
    assert_eq!(shard.state.slice_state(second), SliceState::Condemned);
    assert_eq!(shard.state.slice_state(first), SliceState::Live);
    let (attr, _, slices, end) = shard.map(file, 0, 200);
    assert_eq!((attr.size, attr.blocks, attr.mtime, end), (100, 1, WallTime(77), 200));
    assert_eq!(slices, [stored(first, 100), stored(third, 40)]);
}

#[test]
fn what_is_cut_off_reads_as_zeros_when_the_file_grows_again() {
    let mut shard = Shard::new(StateConfig::default());
    let file = shard.file("f");
    let slice = shard.write(file, 0, 4_000);
    assert_eq!(attr(shard.truncate(file, 1_000)).blocks, 2);
    assert_eq!(attr(shard.truncate(file, 9_000)).size, 9_000);
    assert_eq!(shard.shown(file), "0..1000=x1+0");
    assert_eq!(attr(shard.truncate(file, 0)).blocks, 0);
    assert_eq!((shard.shown(file), shard.state.slice_state(slice)), (String::new(), SliceState::Condemned));
}

#[test]
fn a_hole_leaves_the_size_and_both_sides() {
    let mut shard = Shard::new(StateConfig::default());
    let file = shard.file("f");
    shard.write(file, 0, 100);
    let punched = shard.ask(5, Op::Punch { inode: file, offset: 20, length: 30 });
    assert_eq!((attr(punched.clone()).size, attr(punched).mtime), (100, WallTime(5)));
    assert_eq!(shard.shown(file), "0..20=x1+0 50..100=x1+50");
    for (offset, length) in [(0, 0), (u64::MAX, 2), (SIZE_MAX, 1)] {
        assert_eq!(shard.ask(5, Op::Punch { inode: file, offset, length }), Err(Refusal::Invalid));
    }
    shard.ask(5, Op::Punch { inode: file, offset: 0, length: SIZE_MAX }).unwrap();
    assert_eq!(shard.shown(file), "");
}

#[test]
fn a_file_that_is_gone_leaves_nothing_behind() {
    let mut shard = Shard::new(StateConfig::default());
    let (file, other) = (shard.file("f"), shard.file("g"));
    let slice = shard.write(file, 0, 100);
    shard.write(file, CHUNK_BYTES, 5);
    shard.ask(3, Op::Link { inode: file, parent: ROOT, name: named("h") }).unwrap();
    shard.ask(3, Op::Unlink { parent: ROOT, name: named("f") }).unwrap();
    assert_eq!(shard.state.slice_state(slice), SliceState::Live);
    let mode = mooseng_core::namespace::RenameMode::Replace;
    let (source_name, target_name) = (named("g"), named("h"));
    let rename = Op::Rename { source_parent: ROOT, source_name, target_parent: ROOT, target_name, mode };
    shard.ask(3, rename).unwrap();
    assert_eq!(shard.state.slice_state(slice), SliceState::Live, "somebody may have it open");
    assert_eq!(shard.map(file, 0, 9).0.links, 0);
    shard.collect();
    assert_eq!(shard.state.condemned().count(), 2);
    assert_eq!(shard.state.extents().count(), 0);
    let slices: Vec<SliceId> = shard.state.condemned().map(|(slice, _)| slice).collect();
    let forget = CommandKind::ForgetSlices { slices };
    shard.apply(4, forget.clone());
    assert_eq!(shard.state.slice_state(slice), SliceState::Forgotten);
    assert_eq!(shard.apply(4, forget).reply, Reply::Done);
    assert_eq!(shard.map(other, 0, 9).1, []);
}

#[test]
fn only_what_is_pending_for_the_session_is_committed() {
    let mut shard = Shard::new(StateConfig::default());
    let file = shard.file("f");
    let [one, two, three] = std::array::from_fn(|_| shard.grant(file, 1));
    let extent = |slice| FileExtent { offset: 0, length: 9, slice, slice_offset: 0 };
    shard.commit(file, vec![stored(one, 9)], vec![extent(one)]).unwrap();
    assert_eq!(shard.commit(file, vec![stored(one, 9)], vec![extent(one)]), Err(Refusal::NotPending));
    shard.ask(1, Op::AbandonSlices { slices: vec![two] }).unwrap();
    assert_eq!(shard.ask(1, Op::AbandonSlices { slices: vec![three, two] }), Err(Refusal::NotPending));
    assert_eq!(shard.commit(file, vec![stored(two, 9)], vec![extent(two)]), Err(Refusal::NotPending));
    assert_eq!(shard.state.slice_state(two), SliceState::Forgotten);
    let (before, sequence) = (shard.session, shard.sequence);
    let Reply::Session { session } =
        shard.apply(1, CommandKind::OpenSession { nonce: [2; 16], caches: false }).reply
    else {
        panic!("a session");
    };
    (shard.session, shard.sequence) = (session, 0);
    assert_eq!(shard.commit(file, vec![stored(three, 9)], vec![extent(three)]), Err(Refusal::NotPending));
    (shard.session, shard.sequence) = (before, sequence);
    shard.apply(1, CommandKind::ExpireSessions { sessions: vec![before] });
    assert_eq!(check(&shard.state), Ok(()));
    assert_eq!(shard.state.slice_state(three), SliceState::Forgotten);
    assert_eq!(shard.state.slice_state(three.plus(1).unwrap()), SliceState::Unknown);
}

#[test]
fn a_session_has_so_many_pending_slices_and_no_more() {
    let mut shard = Shard::new(StateConfig { pending_max: 5, ..Default::default() });
    let file = shard.file("f");
    let first = shard.grant(file, 3);
    assert_eq!(shard.ask(1, Op::GrantSlices { inode: file, count: 3 }), Err(Refusal::TooManyPending));
    for count in [0, 257] {
        assert_eq!(shard.ask(1, Op::GrantSlices { inode: file, count }), Err(Refusal::Invalid));
    }
    shard.ask(1, Op::AbandonSlices { slices: vec![first.plus(2).unwrap()] }).unwrap();
    assert_eq!(shard.grant(file, 3), first.plus(3).unwrap(), "no number is given twice");
    assert_eq!(shard.ask(1, Op::GrantSlices { inode: ROOT, count: 1 }), Err(Refusal::IsDirectory));
    let gone = InodeId::from_raw(999).unwrap();
    assert_eq!(shard.ask(1, Op::GrantSlices { inode: gone, count: 1 }), Err(Refusal::Stale));
}

#[test]
fn a_commit_that_makes_no_sense_is_refused() {
    let mut shard = Shard::new(StateConfig::default());
    let file = shard.file("f");
    let slice = shard.grant(file, 2);
    let other = slice.plus(1).unwrap();
    let foreign = SliceId::new(0, Slot::new(4_000).unwrap(), 1).unwrap();
    let extent = FileExtent { offset: 0, length: 10, slice, slice_offset: 0 };
    let info = stored(slice, 10);
    let server = |server| Some(ServerId(server));
    let odd: [(Vec<NewSlice>, Vec<FileExtent>); 11] = [
        (vec![info.clone()], vec![]),
        (vec![], vec![extent]),
        (vec![info.clone(), stored(other, 10)], vec![extent]),
        (vec![info.clone(), info.clone()], vec![extent]),
        (vec![info.clone()], vec![FileExtent { length: 0, ..extent }]),
        (vec![info.clone()], vec![FileExtent { slice_offset: 1, ..extent }]),
        (vec![info.clone()], vec![FileExtent { offset: CHUNK_BYTES - 9, ..extent }]),
        (vec![info.clone()], vec![FileExtent { offset: SIZE_MAX - 9, ..extent }]),
        (vec![stored(foreign, 10)], vec![FileExtent { slice: foreign, ..extent }]),
        (vec![NewSlice { parts: vec![server(1)], ..info.clone() }], vec![extent]),
        (vec![NewSlice { parts: vec![server(1), server(1)], ..info.clone() }], vec![extent]),
    ];
    for (slices, extents) in odd {
        assert_eq!(
            shard.commit(file, slices.clone(), extents.clone()),
            Err(Refusal::Invalid),
            "{slices:?} {extents:?}"
        );
    }
    let short = NewSlice { parts: vec![server(1), None], ..info.clone() };
    assert_eq!(shard.commit(file, vec![short], vec![extent]), Err(Refusal::NoSpace));
    let three: StorageClass = "copies=3".parse().unwrap();
    let deficit = NewSlice { class: three, parts: vec![server(1), None, server(2)], ..info };
    shard.commit(file, vec![deficit], vec![extent]).unwrap();
    assert_eq!(shard.map(file, 0, 9).2[0].parts, [server(1), None, server(2)]);
}

#[test]
fn later_extents_of_a_commit_lie_over_earlier_ones() {
    let mut shard = Shard::new(StateConfig::default());
    let file = shard.file("f");
    let first = shard.grant(file, 2);
    let second = first.plus(1).unwrap();
    let extent = |offset, length, slice, slice_offset| FileExtent { offset, length, slice, slice_offset };
    let extents = vec![extent(0, 10, first, 0), extent(0, 20, second, 0), extent(5, 5, first, 5)];
    shard.commit(file, vec![stored(first, 10), stored(second, 20)], extents).unwrap();
    assert_eq!(shard.shown(file), "0..5=x2+0 5..10=x1+5 10..20=x2+10");
    let (covered, over) = (shard.grant(file, 1), shard.grant(file, 1));
    let extents = vec![extent(0, 10, covered, 0), extent(0, 20, over, 0)];
    shard.commit(file, vec![stored(covered, 10), stored(over, 20)], extents).unwrap();
    assert_eq!(
        (shard.shown(file).as_str(), shard.state.slice_state(covered)),
        ("0..20=x4+0", SliceState::Condemned)
    );
}

#[test]
fn a_chunk_of_too_many_extents_is_written_anew() {
    let mut shard = Shard::new(StateConfig { extents_max: 4, ..Default::default() });
    let file = shard.file("f");
    shard.write(file, CHUNK_BYTES, 5);
    shard.write(file, 0, 100);
    shard.write(file, 10, 10);
    let slice = shard.grant(file, 1);
    let extent = |offset, length, slice_offset| FileExtent { offset, length, slice, slice_offset };
    let refused = shard.commit(file, vec![stored(slice, 10)], vec![extent(30, 10, 0)]);
    assert_eq!(refused, Err(Refusal::TooFragmented));
    let (_, replaced, _, _) = shard.map(file, 5, 50);
    assert_eq!(replaced.len(), 3);
    let compact = |replaced: &[FileExtent], extents| Op::Compact {
        inode: file,
        replaced: replaced.to_vec(),
        slices: vec![stored(slice, 50)],
        extents,
    };
    let outside = compact(&replaced, vec![extent(4, 50, 0)]);
    assert_eq!(shard.ask(2, outside), Err(Refusal::Invalid));
    let stale = compact(&replaced[..2], vec![extent(5, 15, 0)]);
    shard.ask(2, Op::Punch { inode: file, offset: 19, length: 1 }).unwrap();
    assert_eq!(shard.ask(2, stale), Err(Refusal::Conflict));
    let (before, replaced, _, _) = shard.map(file, 5, 50);
    let after = attr(shard.ask(9, compact(&replaced, vec![extent(5, 14, 0), extent(20, 35, 15)])));
    assert_eq!((after.mtime, after.ctime, after.size), (before.mtime, before.ctime, before.size));
    assert!(after.version > before.version && after.blocks == before.blocks);
    assert_eq!(shard.shown(file), "0..5=x2+0 5..19=x4+0 20..55=x4+15 55..100=x2+55 67108864..67108869=x1+0");
    assert_eq!(shard.ask(2, Op::Punch { inode: file, offset: 30, length: 1 }), Err(Refusal::TooFragmented));
    shard.ask(2, Op::Punch { inode: file, offset: 50, length: 50 }).unwrap();
}

#[test]
fn a_map_too_long_for_one_answer_goes_on_where_it_ended() {
    let mut shard = Shard::new(StateConfig::default());
    let file = shard.file("f");
    let many = EXTENTS_MAX as u64 + 3;
    for number in 0..many {
        shard.write(file, number * 20, 10);
    }
    let (_, extents, slices, end) = shard.map(file, 5, SIZE_MAX);
    assert_eq!((extents.len(), slices.len(), end), (EXTENTS_MAX, EXTENTS_MAX, EXTENTS_MAX as u64 * 20));
    let (_, rest, _, end) = shard.map(file, end, SIZE_MAX - end);
    assert_eq!((rest.len(), end), (3, SIZE_MAX));
    assert_eq!((shard.map(file, 10, 5).1, shard.map(file, 10, 0).1), (vec![], vec![]));
}

#[test]
fn a_class_is_inherited_and_changes_nothing_that_is_there() {
    let mut shard = Shard::new(StateConfig::default());
    let class: StorageClass = "ec=4+2,strict".parse().unwrap();
    let early = shard.file("early");
    assert_eq!(attr(shard.ask(4, Op::SetClass { inode: ROOT, class })).class, class);
    let late = shard.file("late");
    let made = |shard: &Shard, inode| shard.state.attr(inode).unwrap().class;
    assert_eq!((made(&shard, early), made(&shard, late)), (StorageClass::default(), class));
    let mkdir = Op::Mkdir { parent: ROOT, name: named("d"), mode: 0o755, uid: 1, gid: 1 };
    assert_eq!(attr(shard.ask(4, mkdir)).class, class);
    let set = attr(shard.ask(5, Op::SetClass { inode: early, class }));
    assert_eq!((set.class, set.ctime), (class, WallTime(5)));
}

#[test]
fn a_part_moves_only_from_where_it_is() {
    let mut shard = Shard::new(StateConfig::default());
    let file = shard.file("f");
    let slice = shard.write(file, 0, 10);
    let server = |server: u64| Some(ServerId(server));
    let moved = |index, source, target| CommandKind::MovePart { slice, index, source, target };
    let conflict = Reply::Refused(Refusal::Conflict);
    assert_eq!(shard.apply(1, moved(0, server(2), server(3))).reply, conflict);
    assert_eq!(shard.apply(1, moved(0, server(1), server(2))).reply, conflict, "the other part is there");
    assert_eq!(shard.apply(1, moved(2, server(1), server(3))).reply, Reply::Refused(Refusal::Invalid));
    assert_eq!(shard.apply(1, moved(0, server(1), None)).reply, Reply::Done);
    assert_eq!(shard.apply(1, moved(0, None, server(3))).reply, Reply::Done);
    assert_eq!(shard.state.slice(slice).unwrap().parts, [server(3), server(2)]);
    shard.truncate(file, 0).unwrap();
    assert_eq!(shard.apply(1, moved(0, server(3), server(4))).reply, conflict);
    assert_eq!(check(&shard.state), Ok(()));
}

#[test]
fn chunk_servers_come_and_go() {
    let mut shard = Shard::new(StateConfig::default());
    let register = |server, address: &str, rack: &str| CommandKind::RegisterServer {
        server: ServerId(server),
        address: address.into(),
        rack: rack.into(),
    };
    assert_eq!(shard.apply(1, register(4, "a:1", "")).reply, Reply::Done);
    assert_eq!(shard.apply(1, register(4, "a:2", "left")).reply, Reply::Done);
    let held = shard.state.chunk_server(ServerId(4)).unwrap();
    assert_eq!((&*held.address, &*held.rack), ("a:2", "left"));
    let long = "x".repeat(201);
    for odd in
        [register(0, "a:1", ""), register(5, "", ""), register(5, &long, ""), register(5, "a:1", &long)]
    {
        assert_eq!(shard.apply(1, odd).reply, Reply::Refused(Refusal::Invalid));
    }
    shard.apply(1, CommandKind::RetireServer { server: ServerId(4) });
    assert_eq!(shard.state.chunk_servers().count(), 0);
}

/// Every byte by itself: which byte of which slice it is.
#[derive(Default)]
struct Bytes {
    bytes: BTreeMap<u64, (SliceId, u32)>,
    size: u64,
}

impl Bytes {
    fn lay(&mut self, extent: &FileExtent) {
        for ahead in 0..extent.length {
            self.bytes.insert(extent.offset + u64::from(ahead), (extent.slice, extent.slice_offset + ahead));
        }
        self.size = self.size.max(extent.end());
    }

    fn clear(&mut self, from: u64, to: u64) {
        self.bytes.retain(|at, _| !(from..to).contains(at));
    }
}

/// Offsets on both sides of the end of a chunk.
fn offset(dice: &mut ChaCha8Rng) -> u64 {
    CHUNK_BYTES - 40 + dice.below(80)
}

/// One or more slices with several extents, in any order and over one another.
fn draw_commit(dice: &mut ChaCha8Rng, shard: &mut Shard, file: InodeId) -> (Vec<NewSlice>, Vec<FileExtent>) {
    let count = dice.between(1, 3) as u32;
    let first = shard.grant(file, count);
    let (mut slices, mut extents) = (Vec::new(), Vec::new());
    for slice in (0..u64::from(count)).map(|ahead| first.plus(ahead).unwrap()) {
        let length = dice.between(1, 24) as u32;
        slices.push(stored(slice, length));
        for _ in 0..dice.between(1, 2) {
            let offset = offset(dice);
            let room = if offset < CHUNK_BYTES { CHUNK_BYTES - offset } else { 24 } as u32;
            let slice_offset = dice.below(u64::from(length)) as u32;
            let length = (length - slice_offset).min(room);
            extents.push(FileExtent { offset, length, slice, slice_offset });
        }
    }
    (slices, extents)
}

fn compare(shard: &Shard, file: InodeId, bytes: &Bytes, (from, to): (u64, u64)) {
    let (attr, extents, slices, end) = shard.map(file, from, to - from);
    assert_eq!((attr.size, end), (bytes.size, to));
    assert_eq!(attr.blocks, (bytes.bytes.len() as u64).div_ceil(512));
    let mut seen = Bytes::default();
    extents.iter().for_each(|extent| seen.lay(extent));
    let wanted: BTreeMap<u64, (SliceId, u32)> =
        bytes.bytes.range(from..to).map(|(at, of)| (*at, *of)).collect();
    assert_eq!(seen.bytes, wanted);
    assert!(extents.iter().all(|extent| slices.iter().any(|info| info.slice == extent.slice)));
    assert!(slices.iter().all(|info| extents.iter().any(|extent| info.slice == extent.slice)));
}

#[test]
fn a_model_that_keeps_every_byte_agrees() {
    let mut refused = 0;
    for seed in 0..25 {
        let mut dice = chance::stream(seed, "extents", 0, 0);
        let mut shard =
            Shard::new(StateConfig { extents_max: [1_024, 9][seed as usize % 2], ..Default::default() });
        let file = shard.file("f");
        let mut bytes = Bytes::default();
        for _ in 0..120 {
            let (from, to) = (offset(&mut dice), offset(&mut dice));
            match dice.below(8) {
                0 => {
                    shard.truncate(file, from).unwrap();
                    bytes.clear(from, u64::MAX);
                    bytes.size = from;
                }
                1 if from < to => {
                    let punched = shard.ask(1, Op::Punch { inode: file, offset: from, length: to - from });
                    match punched {
                        Ok(_) => bytes.clear(from, to),
                        Err(refusal) => assert_eq!(refusal, Refusal::TooFragmented),
                    }
                }
                _ => {
                    let (slices, extents) = draw_commit(&mut dice, &mut shard, file);
                    match shard.commit(file, slices.clone(), extents.clone()) {
                        Ok(_) => extents.iter().for_each(|extent| bytes.lay(extent)),
                        Err(refusal) => {
                            assert_eq!(refusal, Refusal::TooFragmented);
                            let slices = slices.iter().map(|info| info.slice).collect();
                            shard.ask(1, Op::AbandonSlices { slices }).unwrap();
                            refused += 1;
                        }
                    }
                }
            }
            compare(&shard, file, &bytes, (from.min(to), from.max(to)));
            compare(&shard, file, &bytes, (0, 2 * CHUNK_BYTES));
        }
        let live = shard.state.slices_from(None).count();
        let seen: std::collections::BTreeSet<SliceId> =
            bytes.bytes.values().map(|(slice, _)| *slice).collect();
        assert_eq!(live, seen.len(), "seed {seed}");
    }
    assert!(refused > 20, "{refused}");
}

/// A replica that comes back under another index grants the same numbers.
#[test]
fn two_replicas_grant_the_same() {
    let grant = |state: &mut crate::state::State, inode| {
        let op = Op::GrantSlices { inode, count: 2 };
        let slot = op.slot();
        let (session, sequence, low_water) = (SessionId(1), 50, 1);
        let index = state.applied() + 1;
        apply(
            state,
            index,
            &command(1, CommandKind::Mutate { session, sequence, low_water, slot, op, caller: Caller::ROOT }),
        )
        .reply
    };
    let mut shard = Shard::new(StateConfig::default());
    let file = shard.file("f");
    shard.write(file, 0, 5);
    let mut other = shard.state.clone();
    assert_eq!(grant(&mut shard.state, file), grant(&mut other, file));
    assert_eq!(shard.state.hash(), other.hash());
}
