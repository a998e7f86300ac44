//! Every value comes back; rubbish never panics; each impossible field is called by its name.

use super::*;
use crate::proto::{cluster, log, metadata, namespace as proto, raft, rpc};
use bytes::Bytes;
use mooseng_core::chance::{Dice, stream};
use mooseng_core::class::StorageClass;
use mooseng_core::id::{IdKind, InodeId, ServerId, SliceId, Slot};
use mooseng_core::namespace::{
    Access, Answer, Attr, AttrChange, Caller, DirEntry, FileExtent, FileKind, Name, NewTime, Op, Outcome,
    Query, Refusal, RenameMode, SliceInfo, Target, XattrMode, XattrName,
};
use mooseng_core::time::WallTime;
use prost::Message;
use rand_chacha::ChaCha8Rng;

const KINDS: [FileKind; 7] = [
    FileKind::Regular,
    FileKind::Directory,
    FileKind::Symlink,
    FileKind::Fifo,
    FileKind::Socket,
    FileKind::CharDevice,
    FileKind::BlockDevice,
];

const REFUSALS: [Refusal; 19] = [
    Refusal::NotFound,
    Refusal::Exists,
    Refusal::NotDirectory,
    Refusal::IsDirectory,
    Refusal::NotEmpty,
    Refusal::Invalid,
    Refusal::NameTooLong,
    Refusal::TooManyLinks,
    Refusal::NotPermitted,
    Refusal::Stale,
    Refusal::NoSpace,
    Refusal::NotPending,
    Refusal::TooManyPending,
    Refusal::TooFragmented,
    Refusal::Conflict,
    Refusal::AccessDenied,
    Refusal::NoAttribute,
    Refusal::TooBig,
    Refusal::Unsupported,
];

const MODES: [RenameMode; 3] = [RenameMode::Replace, RenameMode::Keep, RenameMode::Exchange];

fn inode(dice: &mut ChaCha8Rng) -> InodeId {
    let kind = *dice.pick(&[IdKind::File, IdKind::Directory]);
    let slot = Slot::new(dice.below(4096) as u16).unwrap();
    InodeId::new(dice.below(64) as u8, kind, slot, dice.between(1, (1 << 44) - 1)).unwrap()
}

fn name(dice: &mut ChaCha8Rng) -> Name {
    let length = dice.between(1, 255) as usize;
    // Neither NUL nor '/' nor '.': any other byte may stand in a name.
    let bytes: Vec<u8> = (0..length).map(|_| dice.between(u64::from(b'/') + 1, 255) as u8).collect();
    Name::new(bytes).unwrap()
}

fn time(dice: &mut ChaCha8Rng) -> WallTime {
    WallTime(dice.word() as i64)
}

fn new_time(dice: &mut ChaCha8Rng) -> NewTime {
    if dice.chance(500_000) { NewTime::Now } else { NewTime::At(time(dice)) }
}

fn xattr_name(dice: &mut ChaCha8Rng) -> XattrName {
    let space = dice.pick(&["user.", "trusted.", "security."]).as_bytes();
    XattrName::new([space, &vec![b'x'; dice.between(1, 240) as usize]].concat()).unwrap()
}

fn value(dice: &mut ChaCha8Rng) -> Bytes {
    (0..dice.below(300)).map(|_| dice.word() as u8).collect()
}

fn target(dice: &mut ChaCha8Rng) -> Target {
    Target::new(vec![b'/'; dice.between(1, 4_095) as usize]).unwrap()
}

fn maybe<T>(dice: &mut ChaCha8Rng, draw: impl FnOnce(&mut ChaCha8Rng) -> T) -> Option<T> {
    dice.chance(500_000).then(|| draw(dice))
}

fn change(dice: &mut ChaCha8Rng) -> AttrChange {
    AttrChange {
        mode: maybe(dice, |dice| dice.below(0o10000) as u16),
        uid: maybe(dice, |dice| dice.word() as u32),
        gid: maybe(dice, |dice| dice.word() as u32),
        size: maybe(dice, |dice| dice.word()),
        atime: maybe(dice, new_time),
        mtime: maybe(dice, new_time),
        by_handle: dice.chance(500_000),
    }
}

fn slice(dice: &mut ChaCha8Rng) -> SliceId {
    let slot = Slot::new(dice.below(4096) as u16).unwrap();
    SliceId::new(dice.below(64) as u8, slot, dice.between(1, (1 << 44) - 1)).unwrap()
}

fn class(dice: &mut ChaCha8Rng) -> StorageClass {
    StorageClass::new(dice.between(1, 32) as u8, dice.below(33) as u8, dice.chance(500_000)).unwrap()
}

fn several<T>(dice: &mut ChaCha8Rng, mut draw: impl FnMut(&mut ChaCha8Rng) -> T) -> Vec<T> {
    (0..dice.below(4)).map(|_| draw(dice)).collect()
}

fn extent(dice: &mut ChaCha8Rng) -> FileExtent {
    let (length, slice_offset) = (dice.word() as u32, dice.word() as u32);
    FileExtent { offset: dice.word(), length, slice: slice(dice), slice_offset }
}

fn info(dice: &mut ChaCha8Rng) -> SliceInfo {
    let parts = several(dice, |dice| maybe(dice, |dice| ServerId(dice.between(1, 9))));
    SliceInfo { slice: slice(dice), class: class(dice), length: dice.word() as u32, parts }
}

fn op(dice: &mut ChaCha8Rng) -> Op {
    let (mode, uid, gid) = (dice.below(0o10000) as u16, dice.word() as u32, dice.word() as u32);
    match dice.below(17) {
        0 => Op::Mkdir { parent: inode(dice), name: name(dice), mode, uid, gid },
        1 => Op::Create { parent: inode(dice), name: name(dice), mode, uid, gid },
        2 => Op::Unlink { parent: inode(dice), name: name(dice) },
        3 => Op::Rmdir { parent: inode(dice), name: name(dice) },
        4 => Op::Rename {
            source_parent: inode(dice),
            source_name: name(dice),
            target_parent: inode(dice),
            target_name: name(dice),
            mode: *dice.pick(&MODES),
        },
        5 => Op::Link { inode: inode(dice), parent: inode(dice), name: name(dice) },
        6 => Op::GrantSlices { inode: inode(dice), count: dice.word() as u32 },
        7 => Op::AbandonSlices { slices: several(dice, slice) },
        8 => Op::Commit {
            inode: inode(dice),
            slices: several(dice, info),
            extents: several(dice, extent),
            mtime: time(dice),
        },
        9 => Op::Compact {
            inode: inode(dice),
            replaced: several(dice, extent),
            slices: several(dice, info),
            extents: several(dice, extent),
        },
        10 => Op::Punch { inode: inode(dice), offset: dice.word(), length: dice.word() },
        11 => Op::SetClass { inode: inode(dice), class: class(dice) },
        12 => Op::Symlink { parent: inode(dice), name: name(dice), target: target(dice), uid, gid },
        13 => {
            let (kind, rdev) = (*dice.pick(&KINDS), dice.word() as u32);
            Op::Mknod { parent: inode(dice), name: name(dice), kind, mode, rdev, uid, gid }
        }
        14 => Op::SetXattr {
            inode: inode(dice),
            name: xattr_name(dice),
            value: value(dice),
            mode: *dice.pick(&[XattrMode::Set, XattrMode::Create, XattrMode::Replace]),
        },
        15 => Op::RemoveXattr { inode: inode(dice), name: xattr_name(dice) },
        _ => Op::SetAttr { inode: inode(dice), change: change(dice) },
    }
}

fn query(dice: &mut ChaCha8Rng) -> Query {
    match dice.below(8) {
        0 => Query::Lookup { parent: inode(dice), name: name(dice) },
        1 => Query::GetAttr { inode: inode(dice) },
        2 => Query::ReadLink { inode: inode(dice) },
        3 => Query::Access { inode: inode(dice), access: Access::new(dice.below(8) as u8).unwrap() },
        4 => Query::Map { inode: inode(dice), offset: dice.word(), length: dice.word() },
        5 => Query::GetXattr { inode: inode(dice), name: xattr_name(dice) },
        6 => Query::ListXattr { inode: inode(dice) },
        _ => Query::ReadDir { directory: inode(dice), cookie: dice.word(), limit: dice.word() as u32 },
    }
}

fn attr(dice: &mut ChaCha8Rng) -> Attr {
    Attr {
        inode: inode(dice),
        kind: *dice.pick(&KINDS),
        mode: dice.below(0o10000) as u16,
        links: dice.word() as u32,
        uid: dice.word() as u32,
        gid: dice.word() as u32,
        size: dice.word(),
        atime: time(dice),
        mtime: time(dice),
        ctime: time(dice),
        version: dice.word(),
        class: class(dice),
        blocks: dice.word(),
        rdev: dice.word() as u32,
    }
}

fn outcome(dice: &mut ChaCha8Rng) -> Outcome {
    match dice.below(9) {
        0 => Err(*dice.pick(&REFUSALS)),
        1 => Ok(Answer::Attr(attr(dice))),
        2 => Ok(Answer::Done),
        3 => Ok(Answer::Slices { first: slice(dice), count: dice.word() as u32 }),
        4 => Ok(Answer::Map {
            attr: attr(dice),
            extents: several(dice, extent),
            slices: several(dice, info),
            end: dice.word(),
        }),
        5 => Ok(Answer::Target(target(dice))),
        6 => Ok(Answer::Value(value(dice))),
        7 => Ok(Answer::XattrNames(several(dice, xattr_name))),
        _ => {
            let entries = (0..dice.below(5))
                .map(|_| DirEntry {
                    cookie: dice.word(),
                    name: name(dice),
                    inode: inode(dice),
                    kind: *dice.pick(&KINDS),
                })
                .collect();
            Ok(Answer::Entries { entries, end: dice.chance(500_000) })
        }
    }
}

/// Through bytes, as it goes over the wire.
fn over_the_wire<M: Message + Default>(message: &M) -> M {
    M::decode(Bytes::from(message.encode_to_vec())).unwrap()
}

#[test]
fn every_value_comes_back() {
    let mut dice = stream(1, "round trips", 0, 0);
    for _ in 0..2_000 {
        let sent = op(&mut dice);
        assert_eq!(Op::try_from(over_the_wire(&proto::Op::from(&sent))), Ok(sent));
        let sent = query(&mut dice);
        assert_eq!(Query::try_from(over_the_wire(&proto::Query::from(&sent))), Ok(sent));
        let sent = outcome(&mut dice);
        assert_eq!(Outcome::try_from(over_the_wire(&proto::Outcome::from(&sent))), Ok(sent));
    }
}

#[test]
fn every_refusal_and_kind_has_its_own_number() {
    for refusal in REFUSALS {
        let sent: Outcome = Err(refusal);
        assert_eq!(Outcome::try_from(proto::Outcome::from(&sent)), Ok(sent));
    }
    let numbers: std::collections::BTreeSet<i32> =
        KINDS.iter().map(|kind| proto::FileKind::from(*kind) as i32).collect();
    assert_eq!(numbers.len(), KINDS.len());
}

/// The field that a broken copy of a sound message is refused for.
fn blamed<M, T>(sound: &M, damage: impl FnOnce(&mut M)) -> &'static str
where
    M: Clone,
    T: TryFrom<M, Error = Malformed> + std::fmt::Debug,
{
    let mut broken = sound.clone();
    damage(&mut broken);
    T::try_from(broken).expect_err("accepted what cannot be").field
}

#[test]
fn what_cannot_be_is_called_by_its_name() {
    use proto::{op, outcome};
    let parent = InodeId::ROOT.raw();
    let name = Bytes::from_static(b"a");
    let op = |kind| proto::Op { kind: Some(kind) };
    let mkdir = proto::Mkdir { parent, name: name.clone(), mode: 0o755, uid: 1, gid: 2 };
    let mkdir = op(op::Kind::Mkdir(mkdir));
    let of = |op: &mut proto::Op, change: fn(&mut proto::Mkdir)| match &mut op.kind {
        Some(op::Kind::Mkdir(mkdir)) => change(mkdir),
        other => panic!("not a mkdir: {other:?}"),
    };
    assert_eq!(blamed::<_, Op>(&mkdir, |op| op.kind = None), "op.kind");
    assert_eq!(blamed::<_, Op>(&mkdir, |op| of(op, |mkdir| mkdir.parent = 0)), "mkdir.parent");
    assert_eq!(blamed::<_, Op>(&mkdir, |op| of(op, |mkdir| mkdir.mode = 0o10000)), "mkdir.mode");
    for bad in [&b""[..], b"..", b"a/b", &[b'x'; 256]] {
        let mut broken = mkdir.clone();
        if let Some(op::Kind::Mkdir(mkdir)) = &mut broken.kind {
            mkdir.name = Bytes::copy_from_slice(bad);
        }
        assert_eq!(Op::try_from(broken).unwrap_err().field, "mkdir.name");
    }
    for mode in [0, 4, -1] {
        let rename = op(op::Kind::Rename(proto::Rename {
            source_parent: parent,
            source_name: name.clone(),
            target_parent: parent,
            target_name: name.clone(),
            mode,
        }));
        assert_eq!(Op::try_from(rename).unwrap_err().field, "rename.mode");
    }
    let set_attr = op(op::Kind::SetAttr(proto::SetAttr { inode: parent, change: None }));
    assert_eq!(Op::try_from(set_attr).unwrap_err().field, "set_attr.change");
    let punched = proto::FileExtent::default();
    let commit = proto::Commit { inode: 9, extents: vec![punched], ..Default::default() };
    let blamed_for = |commit| Op::try_from(op(op::Kind::Commit(commit))).unwrap_err().field;
    assert_eq!(blamed_for(commit), "commit.extents");
    let classless = proto::SliceInfo { slice: 9, ..Default::default() };
    let commit = proto::Commit { inode: 9, slices: vec![classless], ..Default::default() };
    assert_eq!(blamed_for(commit), "commit.slices");
    let symlink = proto::Symlink { parent, name, target: Bytes::new(), uid: 0, gid: 0 };
    assert_eq!(Op::try_from(op(op::Kind::Symlink(symlink))).unwrap_err().field, "symlink.target");
    let access = proto::query::Kind::Access(proto::Access { inode: parent, access: 8 });
    assert_eq!(Query::try_from(proto::Query { kind: Some(access) }).unwrap_err().field, "access.access");
    let refusal = proto::Outcome { kind: Some(outcome::Kind::Refusal(99)) };
    let error = Outcome::try_from(refusal).unwrap_err();
    assert_eq!(error.to_string(), "outcome.refusal: value 99 is unknown here");
}

#[test]
fn a_caller_comes_back_and_none_is_root() {
    for sent in [
        Caller::ROOT,
        Caller { uid: 0, gid: 7, groups: vec![] },
        Caller { uid: 1, gid: 2, groups: vec![3, 3] },
    ] {
        assert_eq!(caller("caller", write_caller(&sent)), Ok(sent));
    }
    let crowd = proto::Caller { uid: 1, gid: 1, groups: vec![9; 1_025] };
    assert_eq!(caller("x", Some(crowd)).unwrap_err().to_string(), "x: 1025 groups are more than 1024");
}

#[test]
fn single_fields_are_doubted() {
    assert_eq!(nonce("x", &[7; 16]), Ok([7; 16]));
    assert_eq!(nonce("x", &[7; 15]).unwrap_err().to_string(), "x: a nonce has 16 bytes, not 15");
    assert!(session("x", 0).is_err() && session("x", 1).is_ok());
    assert!(slot("x", 4095).is_ok() && slot("x", 4096).is_err() && slot("x", 65_536).is_err());
    assert!(count("x", 1).is_ok() && count("x", 0).is_err());
    assert!(part_index("x", 63).is_ok() && part_index("x", 64).is_err() && part_index("x", 256).is_err());
    assert_eq!((server(0), server(7)), (None, Some(ServerId(7))));
    assert_eq!(required::<u8>("x", None).unwrap_err().to_string(), "x: missing");
}

/// Damaged copies of sound messages, and plain noise, through every decoder: an answer or an
/// error, never a panic.
#[test]
fn rubbish_never_panics() {
    let mut dice = stream(2, "rubbish messages", 0, 0);
    let mut decoded = 0;
    for round in 0..6_000 {
        let mut bytes = match round % 4 {
            0 => proto::Op::from(&op(&mut dice)).encode_to_vec(),
            1 => proto::Query::from(&query(&mut dice)).encode_to_vec(),
            2 => proto::Outcome::from(&outcome(&mut dice)).encode_to_vec(),
            _ => (0..dice.below(64)).map(|_| dice.word() as u8).collect(),
        };
        for _ in 0..dice.below(4) {
            if !bytes.is_empty() {
                let at = dice.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << dice.below(8);
            }
        }
        bytes.truncate(dice.between(0, 3 * bytes.len() as u64) as usize);
        decoded += decode_everything(&Bytes::from(bytes));
    }
    assert!(decoded > 1_000, "too little got as far as the conversions: {decoded}");
}

/// How many of the decoders took the bytes for a message.
fn decode_everything(bytes: &Bytes) -> u32 {
    fn plain<M: Message + Default>(bytes: &Bytes) -> u32 {
        u32::from(M::decode(bytes.clone()).is_ok())
    }
    fn domain<M: Message + Default, T: TryFrom<M>>(bytes: &Bytes) -> u32 {
        M::decode(bytes.clone()).map_or(0, |message| {
            let _either_will_do = T::try_from(message).is_ok();
            1
        })
    }
    domain::<proto::Op, Op>(bytes)
        + domain::<proto::Query, Query>(bytes)
        + domain::<proto::Outcome, Outcome>(bytes)
        + plain::<metadata::OpenSessionRequest>(bytes)
        + plain::<metadata::MutateRequest>(bytes)
        + plain::<metadata::MutateReply>(bytes)
        + plain::<metadata::QueryRequest>(bytes)
        + plain::<metadata::QueryReply>(bytes)
        + plain::<raft::RaftMessage>(bytes)
        + plain::<raft::InquireReply>(bytes)
        + plain::<raft::FetchSnapshotReply>(bytes)
        + plain::<cluster::StatusReply>(bytes)
        + plain::<cluster::JoinReplicaRequest>(bytes)
        + plain::<log::CommandRecord>(bytes)
        + plain::<rpc::Hello>(bytes)
        + plain::<rpc::StatusDetail>(bytes)
}
