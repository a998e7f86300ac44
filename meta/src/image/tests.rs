//! Images there and back, damaged and foreign.

use super::{CHUNK_BYTES_MIN, FORMAT, HEADER_BYTES, Image, MARK_BYTES, RECORD_BYTES_MAX, Restorer};
use super::{header, image, restore, unread_format};
use crate::apply::apply;
use crate::command::{Command, CommandKind};
use crate::state::{State, StateConfig, check};
use bytes::Bytes;
use mooseng_core::chance::{self, Dice};
use mooseng_core::class::StorageClass;
use mooseng_core::id::{IdKind, InodeId, ServerId, SessionId, SliceId};
use mooseng_core::namespace::{
    Caller, FileExtent, Name, NewSlice, Op, Target, XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX, XattrMode,
    XattrName,
};
use mooseng_core::time::{Stamp, WallTime};

/// A state with something in every table, names of every length among them.
fn populated(files: u64) -> State {
    let mut state = State::new(StateConfig { name_hash_bits: 9, ..Default::default() });
    let mut dice = chance::stream(files, "image", 0, 0);
    let session = SessionId(1);
    let mut kinds = vec![
        CommandKind::OpenSession { nonce: [1; 16], caches: false },
        CommandKind::OpenSession { nonce: [2; 16], caches: true },
        CommandKind::AllotReplica { server: ServerId(4), nonce: [9; 16] },
    ];
    kinds.extend(data(files));
    let mut before = Name::new(&b"nothing"[..]).unwrap();
    for sequence in 1..=files {
        let mut name = sequence.to_string().into_bytes();
        name.resize(name.len().max(dice.between(1, 255) as usize), b'x');
        let (parent, name) = (InodeId::ROOT, Name::new(name).unwrap());
        let op = match dice.below(4) {
            0 => Op::Mkdir { parent, name, mode: 0o755, uid: 3, gid: 4 },
            1 => Op::Create { parent, name, mode: 0o644, uid: 3, gid: 4 },
            2 => {
                let target = Target::new(vec![b't'; dice.between(1, 4_095) as usize]).unwrap();
                Op::Symlink { parent, name, target, uid: 3, gid: 4 }
            }
            _ => Op::Unlink { parent, name: before.clone() },
        };
        if let Op::Create { name, .. } | Op::Symlink { name, .. } = &op {
            before = name.clone();
        }
        let low_water = sequence.saturating_sub(7).max(1);
        kinds.push(CommandKind::Mutate {
            session,
            sequence,
            low_water,
            slot: op.slot(),
            op,
            caller: Caller::ROOT,
        });
    }
    for (index, kind) in (1..).zip(kinds) {
        let command = Command { time: WallTime(-5), stamp: Stamp(index * 3), region: 2, kind };
        apply(&mut state, index, &command);
    }
    assert_eq!(check(&state), Ok(()));
    assert!(files < 50 || state.orphans_from(None).next().is_some(), "something lost its name");
    state
}

/// Slices in every state, of a second session's file.
fn data(seed: u64) -> Vec<CommandKind> {
    let mut dice = chance::stream(seed, "image data", 0, 0);
    let (session, parent) = (SessionId(2), InodeId::ROOT);
    let file = InodeId::new(2, IdKind::File, parent.slot(), 2).unwrap();
    let slice = |counter| SliceId::new(2, parent.slot(), counter).unwrap();
    let class = StorageClass::new(30, 34 - 2, false).unwrap();
    let mut ops = vec![
        Op::SetClass { inode: parent, class },
        Op::Create { parent, name: Name::new(&b"data"[..]).unwrap(), mode: 0o600, uid: 3, gid: 4 },
        Op::GrantSlices { inode: file, count: 40 },
    ];
    for counter in 1..=30 {
        let parts = (0..62).map(|part| (part != 3).then_some(ServerId(1 + part))).collect();
        let info = NewSlice { slice: slice(counter), class, length: 1_000, parts };
        let offset = dice.below(40_000);
        let extent = FileExtent { offset, length: 900, slice: info.slice, slice_offset: 100 };
        let (slices, extents) = (vec![info], vec![extent]);
        ops.push(Op::Commit { inode: file, slices, extents, mtime: WallTime(counter as i64) });
    }
    // The longest record that there can be.
    let attribute = XattrName::new([&b"user."[..], &[b'n'; XATTR_NAME_BYTES_MAX - 5]].concat()).unwrap();
    let value = vec![b'v'; XATTR_VALUE_BYTES_MAX].into();
    ops.push(Op::SetXattr { inode: file, name: attribute, value, mode: XattrMode::Set });
    ops.push(Op::AbandonSlices { slices: vec![slice(31)] });
    ops.push(Op::Punch { inode: file, offset: 0, length: 10_000 });
    let mut kinds: Vec<CommandKind> = (1..)
        .zip(ops)
        .map(|(sequence, op)| CommandKind::Mutate {
            session,
            sequence,
            low_water: 1,
            slot: op.slot(),
            op,
            caller: Caller::ROOT,
        })
        .collect();
    let (address, rack) = ("chunk-1:9422".into(), "left".into());
    kinds.push(CommandKind::RegisterServer { server: ServerId(1), address, rack });
    kinds
}

#[test]
fn what_is_restored_is_the_same() {
    for files in [0, 1, 200, 3_000] {
        let state = populated(files);
        assert!(state.extents().count() > 5 && state.condemned().count() > 0 && state.pending().count() == 9);
        for chunk_bytes in [CHUNK_BYTES_MIN, 5_000, 1 << 20] {
            let chunks: Vec<Bytes> = Image::new(state.clone(), chunk_bytes).collect();
            let bytes_max = chunk_bytes.max(HEADER_BYTES + RECORD_BYTES_MAX);
            let longest = chunks.iter().map(Bytes::len).max();
            assert!(longest.is_some_and(|bytes| bytes <= bytes_max));
            assert!(
                chunk_bytes > RECORD_BYTES_MAX || longest == Some(bytes_max),
                "one has the longest record"
            );
            let restored = restore(chunks).unwrap();
            assert_eq!(restored.hash(), state.hash());
            assert_eq!(check(&restored), Ok(()));
            assert_eq!(restored.config(), state.config());
            assert!(Image::new(restored, 5_000).eq(Image::new(state.clone(), 5_000)));
        }
    }
}

#[test]
fn a_restored_state_goes_on_as_the_original() {
    let mut original = populated(300);
    let mut restored = restore(image(&original)).unwrap();
    let session = SessionId(1);
    for sequence in 294..400 {
        let name = Name::new(format!("later {sequence}").into_bytes()).unwrap();
        let op = Op::Create { parent: InodeId::ROOT, name, mode: 0, uid: 0, gid: 0 };
        let kind = CommandKind::Mutate {
            session,
            sequence,
            low_water: 294,
            slot: op.slot(),
            op,
            caller: Caller::ROOT,
        };
        let command = Command { time: WallTime(1), stamp: Stamp(1), region: 0, kind };
        let index = original.applied() + 1;
        // The first few are retries of what was applied before the image was taken.
        assert_eq!(apply(&mut original, index, &command), apply(&mut restored, index, &command));
        assert_eq!(original.hash(), restored.hash());
    }
}

#[test]
fn an_image_is_of_the_moment_it_was_asked_for() {
    let mut state = populated(500);
    let hash = state.hash();
    let mut chunks = Image::new(state.clone(), CHUNK_BYTES_MIN);
    let mut taken = vec![chunks.next().unwrap()];
    for number in 0..400_u32 {
        let name = Name::new(format!("new {number}").into_bytes()).unwrap();
        let op = Op::Mkdir { parent: InodeId::ROOT, name, mode: 0, uid: 0, gid: 0 };
        let sequence = 1_000 + u64::from(number);
        let kind = CommandKind::Mutate {
            session: SessionId(2),
            sequence,
            low_water: sequence,
            slot: op.slot(),
            op,
            caller: Caller::ROOT,
        };
        let index = state.applied() + 1;
        apply(&mut state, index, &Command { time: WallTime(0), stamp: Stamp(0), region: 0, kind });
        taken.extend(chunks.next());
    }
    taken.extend(chunks);
    assert_eq!(restore(taken).unwrap().hash(), hash);
    assert_ne!(state.hash(), hash);
}

fn refusal(chunks: &[Bytes]) -> String {
    restore(chunks.to_vec()).err().map_or_else(String::new, |error| error.to_string())
}

#[test]
fn what_is_not_whole_is_refused_in_one_line() {
    let chunks: Vec<Bytes> = Image::new(populated(200), 4_096).collect();
    assert!(chunks.len() > 4);
    assert_eq!(refusal(&[]), "image refused: it ends after 0 chunks, without its last record");
    assert_eq!(refusal(&chunks[..2]), "image refused: it ends after 2 chunks, without its last record");
    assert_eq!(refusal(&chunks[1..]), "image refused: chunk 0: damaged, or out of order");
    let mut swapped = chunks.clone();
    swapped.swap(1, 2);
    assert_eq!(refusal(&swapped), "image refused: chunk 1: damaged, or out of order");
    let mut longer = chunks.clone();
    longer.push(chunks[0].clone());
    let ordinal = chunks.len();
    assert_eq!(refusal(&longer), format!("image refused: chunk {ordinal}: damaged, or out of order"));
    let mut newer = chunks.clone();
    newer[0] = Bytes::from([&b"mng-img\x03"[..], &chunks[0][8..]].concat());
    let wanted = "image refused: chunk 0: format 3, this build reads 2: use the build that wrote it";
    assert_eq!(refusal(&newer), wanted);
    let mut restorer = Restorer::new();
    assert!(restorer.chunk(b"rubbish").is_err());
    assert!(restorer.chunk(&chunks[0]).is_err(), "after an error nothing is taken");
    assert!(restorer.finish().is_err());
}

#[test]
fn any_flipped_bit_is_seen() {
    let chunks: Vec<Bytes> = Image::new(populated(60), 2_048).collect();
    let mut dice = chance::stream(3, "flips", 0, 0);
    for _ in 0..2_000 {
        let mut damaged = chunks.clone();
        let which = dice.below(chunks.len() as u64) as usize;
        let mut bytes = damaged[which].to_vec();
        let at = dice.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << dice.below(8);
        damaged[which] = Bytes::from(bytes);
        assert!(restore(damaged).is_err(), "byte {at} of chunk {which}");
    }
}

/// Rubbish under a sound checksum: refused, or at least without a panic.
#[test]
fn rubbish_with_a_sound_checksum_does_not_panic() {
    let chunks: Vec<Bytes> = Image::new(populated(60), 1 << 20).collect();
    let mut dice = chance::stream(4, "rubbish", 0, 0);
    for _ in 0..3_000 {
        let mut records = chunks[0][HEADER_BYTES..].to_vec();
        for _ in 0..dice.between(1, 4) {
            let at = dice.below(records.len() as u64) as usize;
            match dice.below(3) {
                0 => records[at] = dice.word() as u8,
                1 => records.truncate(at.max(1)),
                _ => drop(records.drain(at..(at + 3).min(records.len()))),
            }
            if records.is_empty() {
                break;
            }
        }
        let chunk = [&header(0, &records)[..], &records].concat();
        let restored = restore([Bytes::from(chunk)]);
        let unharmed = records == chunks[0][HEADER_BYTES..];
        assert_eq!(restored.is_ok(), unharmed, "a changed image was believed");
    }
}

/// One slice that is live, one that is condemned, one that is pending, and the server of them.
fn written_twice() -> Vec<CommandKind> {
    let inode = InodeId::new(1, IdKind::File, InodeId::ROOT.slot(), 2).unwrap();
    let slice = |counter| SliceId::new(1, inode.slot(), counter).unwrap();
    let commit = |counter, length| {
        let (slice, class) = (slice(counter), StorageClass::default());
        let info = NewSlice { slice, class, length, parts: vec![Some(ServerId(6)), Some(ServerId(7))] };
        let extent = FileExtent { offset: 4_096, length: length - 1, slice, slice_offset: 1 };
        Op::Commit { inode, slices: vec![info], extents: vec![extent], mtime: WallTime(8) }
    };
    let ops = [Op::GrantSlices { inode, count: 3 }, commit(1, 100), commit(2, 200)];
    let mutate = |(sequence, op): (u64, Op)| {
        let (session, low_water, slot) = (SessionId(1), sequence, op.slot());
        CommandKind::Mutate { session, sequence, low_water, slot, op, caller: Caller::ROOT }
    };
    let mut kinds: Vec<CommandKind> = (2..).zip(ops).map(mutate).collect();
    let (address, rack) = ("h:1".into(), "r".into());
    kinds.push(CommandKind::RegisterServer { server: ServerId(6), address, rack });
    // And a file that has lost its name.
    let (parent, name) = (InodeId::ROOT, Name::new(&b"g"[..]).unwrap());
    let make = Op::Create { parent, name: name.clone(), mode: 0o600, uid: 0, gid: 0 };
    let attribute = XattrName::new(&b"user.a"[..]).unwrap();
    let value = Bytes::from_static(b"v");
    let says = Op::SetXattr { inode, name: attribute, value, mode: XattrMode::Set };
    kinds.extend((5..).zip([make, Op::Unlink { parent, name }, says]).map(mutate));
    kinds
}

/// On disks and in archives: the bytes never change within a format.
#[test]
fn the_bytes_of_a_small_image_are_pinned() {
    let mut state = State::new(StateConfig::default());
    let (parent, name) = (InodeId::ROOT, Name::new(&b"f"[..]).unwrap());
    let op = Op::Create { parent, name, mode: 0o640, uid: 1, gid: 2 };
    let mutate = CommandKind::Mutate {
        session: SessionId(1),
        sequence: 1,
        low_water: 1,
        slot: op.slot(),
        op,
        caller: Caller::ROOT,
    };
    let allot = CommandKind::AllotReplica { server: ServerId(5), nonce: [4; 16] };
    let open = |nonce: u8, caches| CommandKind::OpenSession { nonce: [nonce; 16], caches };
    let mut kinds = vec![open(3, false), mutate, allot];
    kinds.extend(written_twice());
    kinds.push(open(5, true));
    for (index, kind) in (1..).zip(kinds) {
        let command = Command { time: WallTime(7), stamp: Stamp(9), region: 1, kind };
        apply(&mut state, index, &command);
    }
    let chunks: Vec<Bytes> = image(&state).collect();
    let lines: Vec<String> = chunks[0]
        .chunks(32)
        .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        .collect();
    assert_eq!(lines, PINNED, "{lines:#?}");
}

const PINNED: [&str; 22] = [
    "6d6e672d696d6702000000009f0200002b9f88af003700000002000000000000",
    "00e803000000000000e8fd00000001000000000000a086010000000000000400",
    "00001000000b0000000000000009000000000000000300000000000000e90300",
    "000000000001010000000000000102ed01020000000000000000000000010000",
    "0000000001000000000000000007000000000000000700000000000000040000",
    "000000000001010000000000000000000001020000000050520401a001010000",
    "000100000002000000c710000000000000070000000000000008000000000000",
    "000700000000000000040000000000000001010000c700000000000000010300",
    "0000005052040180010000000000000000000000000000000000000000070000",
    "0000000000070000000000000007000000000000000200000000000000010100",
    "0000000000000000000201000000000000010159445fee21757a020000000050",
    "5204010166032505040000000000000004010000000000000003030303030303",
    "0303030303030303030700000000000000040200000000000000050505050505",
    "0505050505050505050501000000000000000501000000000000000700000000",
    "0000000a00000000000000010605000000000000000404040404040404040404",
    "0404040404e80300000000000009030000000050520408020000000050520406",
    "757365722e6101000000760a0200000000505204c71000000000000002000000",
    "0050520401000000c70000000b020000000050520401000000c8000000010100",
    "00060000000000000007000000000000000c0300000000505204010000000000",
    "00000d010000000050520401010000060000000000000007000000000000000e",
    "250504000000000000000f060000000000000003683a31017210020000000000",
    "0000ffd4328c15e622dd6fce9c0bc9d3eee9d7",
];

/// Which format it is can be told from the first bytes, whatever follows.
#[test]
fn an_image_of_another_format_is_known_by_its_beginning() {
    let whole: Bytes = image(&State::new(StateConfig::default())).next().expect("a first chunk");
    assert_eq!(unread_format(&whole[..MARK_BYTES]), None);
    let mut newer = whole[..MARK_BYTES].to_vec();
    newer[MARK_BYTES - 1] = FORMAT + 1;
    assert_eq!(unread_format(&newer), Some(FORMAT + 1));
    assert_eq!(unread_format(&newer[..MARK_BYTES - 1]), None, "cut short is damage");
    assert_eq!(unread_format(b"something else"), None);
}
