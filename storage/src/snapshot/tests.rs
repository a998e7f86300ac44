//! Snapshots on a machine that fails.

use super::layout::{BLOCK_BYTES, FOOT, FOOT_BYTES, Foot, HEAD, Head};
use super::{Manifest, SnapshotReader, SnapshotWriter, list, open_directory, remove};
use crate::envelope::Format;
use crate::error::StorageError;
use crate::testing::{End, Faults, Machine, hex};
use bytes::{Bytes, BytesMut};
use mooseng_core::chance::{Dice, mix, stream};
use mooseng_core::id::GroupId;

const DIRECTORY: &str = "snapshots";
const PATH: &str = "snapshots/00000000000000000042.snapshot";

fn image(len: usize) -> Bytes {
    (0..len as u64).map(|at| mix(at) as u8).collect::<Vec<u8>>().into()
}

async fn write(env: Machine, len: usize, piece: usize) -> Manifest {
    open_directory(&env, DIRECTORY).await.unwrap();
    let meta = Bytes::from_static(b"members");
    let mut writer = SnapshotWriter::create(&env, DIRECTORY, GroupId(1), 42, 7, meta).await.unwrap();
    for piece in image(len).chunks(piece) {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    writer.finish().await.unwrap()
}

async fn read(env: Machine) -> Result<(Manifest, Bytes), StorageError> {
    let (mut reader, manifest) = SnapshotReader::open(&env, DIRECTORY, 42).await?;
    let mut bytes = BytesMut::new();
    while let Some(piece) = reader.next().await? {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(reader.next().await?, None, "the end stays the end");
    Ok((manifest, bytes.freeze()))
}

fn written(len: usize) -> (Machine, Manifest) {
    let machine = Machine::new(1);
    let manifest = machine.finish(write(machine.clone(), len, 10_000));
    (machine, manifest)
}

#[test]
fn the_bytes_are_pinned() {
    let (machine, manifest) = written(100);
    insta::assert_snapshot!(hex(&machine.with_images(|images| images.dump())[PATH]));
    insta::assert_snapshot!(hex(&manifest.encode()));
}

#[test]
fn what_was_written_is_read_back_whatever_the_pieces() {
    for len in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 200_000] {
        let mut roots = Vec::new();
        for piece in [1_000, BLOCK_BYTES, 1 << 20] {
            let machine = Machine::new(1);
            let manifest = machine.finish(write(machine.clone(), len, piece));
            assert_eq!((manifest.group, manifest.index, manifest.term), (GroupId(1), 42, 7));
            assert_eq!((manifest.bytes, &manifest.meta[..]), (len as u64, &b"members"[..]));
            assert_eq!(machine.finish(read(machine.clone())), Ok((manifest.clone(), image(len))));
            assert_eq!(Manifest::decode(&manifest.encode()), Some(manifest.clone()));
            roots.push(manifest.root);
        }
        assert!(roots.iter().all(|root| *root == roots[0]));
    }
}

#[test]
fn any_part_is_read_and_checked_alone() {
    let len = 200_000;
    let (machine, _) = written(len);
    let env = machine.clone();
    machine.finish(async move {
        let (reader, _) = SnapshotReader::open(&env, DIRECTORY, 42).await.unwrap();
        let mut dice = stream(1, "parts", 0, 0);
        for _ in 0..200 {
            let offset = dice.below(len as u64 + 10);
            let part = *dice.pick(&[0, 1, 4_096, BLOCK_BYTES, 150_000, usize::MAX]);
            let start = (offset as usize).min(len);
            let end = start.saturating_add(part).min(len);
            assert_eq!(reader.read_at(offset, part).await.unwrap(), image(len)[start..end]);
        }
    });
}

/// Wherever the power goes, the name stands for a whole snapshot or does not stand at all, and
/// what was left behind is cleaned.
#[test]
fn a_snapshot_is_whole_or_not_there() {
    let whole = Machine::new(1);
    whole.finish(write(whole.clone(), 150_000, 50_000));
    let (operations, _) = whole.operations();
    let (mut there, mut cleaned) = (0, 0);
    for crash_at in 0..operations {
        for seed in 0..4 {
            let machine = Machine::new(seed);
            let faults = Faults { crash_at: Some(crash_at), ..Faults::default() };
            assert_eq!(machine.run(faults, write(machine.clone(), 150_000, 50_000)), End::Crashed);
            machine.lose_power();
            cleaned += machine.with_images(|images| images.dump()).len();
            let env = machine.clone();
            let listed = machine.finish(async move {
                open_directory(&env, DIRECTORY).await.unwrap();
                list(&env, DIRECTORY).await.unwrap()
            });
            assert_eq!(
                machine.with_images(|images| images.dump()).len(),
                listed.len(),
                "nothing partial is left"
            );
            match machine.finish(read(machine.clone())) {
                Ok((_, bytes)) => {
                    assert_eq!((bytes, listed), (image(150_000), vec![42]));
                    there += 1;
                }
                Err(error) => {
                    assert_eq!((error, listed), (StorageError::Absent { file: PATH.to_owned() }, vec![]));
                }
            }
        }
    }
    assert!(there > 0 && cleaned > there, "{there} whole ones, {cleaned} files");
}

/// Every byte flipped, the file cut anywhere, a sector unreadable: an error of one line.
#[test]
fn damage_is_never_data() {
    let len = BLOCK_BYTES + 500;
    let (machine, _) = written(len);
    let bytes = machine.with_images(|images| images.dump())[PATH].clone();
    let result = |change: &dyn Fn(&mut Vec<u8>)| {
        machine.with_images(|images| {
            images.alter(PATH, |file| {
                file.clone_from(&bytes);
                change(file);
            })
        });
        machine.finish(read(machine.clone()))
    };
    let near_the_ends = (0..200).chain(bytes.len() - 700..bytes.len());
    for at in near_the_ends.chain((200..bytes.len()).step_by(1_009)) {
        let error = result(&|file| file[at] ^= 1).unwrap_err();
        assert!(!error.to_string().contains('\n') && error.to_string().starts_with(PATH), "{error}");
        assert!(result(&|file| file.truncate(at)).is_err(), "cut to {at}");
    }
    assert!(result(&|file| file.push(0)).is_err());
    assert_eq!(result(&|_| ()).unwrap().1, image(len));
    machine.with_images(|images| _ = images.unreadable.insert((PATH.to_owned(), 50)));
    let error = result(&|_| ()).unwrap_err();
    assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
}

#[test]
fn what_is_no_snapshot_is_refused_by_one_line() {
    let (machine, _) = written(100);
    let line = |bytes: &[u8]| {
        machine.with_images(|images| images.alter(PATH, |file| *file = bytes.to_vec()));
        machine.finish(read(machine.clone())).unwrap_err().to_string()
    };
    let whole = machine.with_images(|images| images.dump())[PATH].clone();
    assert_eq!(
        line(b"GIF89a......"),
        format!("{PATH}: it does not begin as a snapshot does; only another replica still has it")
    );
    assert_eq!(
        line(&whole[..whole.len() - 1]),
        format!("{PATH}: it is cut short, or its foot fails its checksum; only another replica still has it")
    );
}

/// What a newer version wrote is no damage, head or foot: nobody may conclude that it is lost.
#[test]
fn another_version_is_refused_and_is_no_damage() {
    let (machine, _) = written(100);
    let whole = machine.with_images(|images| images.dump())[PATH].clone();
    let head = Format { version: 2, ..HEAD }.seal(b"");
    let mut foot = whole.clone();
    let at = foot.len() - FOOT_BYTES;
    let sealed = Format { version: 2, ..FOOT }.seal(&whole[at + 16..whole.len() - 4]);
    foot.splice(at.., sealed);
    for bytes in [head, foot] {
        machine.with_images(|images| images.alter(PATH, |file| file.clone_from(&bytes)));
        let error = machine.finish(read(machine.clone())).unwrap_err();
        assert!(matches!(error, StorageError::Refused { .. }), "{error:?}");
        let wanted = "this snapshot has format version 2, and this program knows 1; start the version of MooseNG \
                      that wrote it";
        assert_eq!(error.to_string(), format!("{PATH}: {wanted}"));
    }
}

/// Whole blocks in the wrong order, or of another snapshot, are not this one's.
#[test]
fn blocks_do_not_change_places() {
    let (machine, _) = written(3 * BLOCK_BYTES);
    let head = Head { group: GroupId(1), index: 42, term: 7, meta: Bytes::from_static(b"members") };
    let (start, size) = (head.encode().len(), BLOCK_BYTES + 8);
    machine.with_images(|images| {
        images.alter(PATH, |file| {
            let first = file[start..start + size].to_vec();
            file.copy_within(start + size..start + 2 * size, start);
            file[start + size..start + 2 * size].copy_from_slice(&first);
        })
    });
    let error = machine.finish(read(machine.clone())).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{PATH}: block 0 fails its checksum; only another replica still has it")
    );
}

#[test]
fn an_unfinished_snapshot_is_replaced_and_an_old_one_removed() {
    let machine = Machine::new(1);
    let env = machine.clone();
    machine.finish(async move {
        open_directory(&env, DIRECTORY).await.unwrap();
        let create = |term| SnapshotWriter::create(&env, DIRECTORY, GroupId(1), 42, term, Bytes::new());
        let mut dropped = create(1).await.unwrap();
        dropped.write(image(100_000)).await.unwrap();
        drop(dropped);
        assert_eq!(list(&env, DIRECTORY).await.unwrap(), []);
        assert_eq!(create(2).await.unwrap().finish().await.unwrap().term, 2);
        assert_eq!(list(&env, DIRECTORY).await.unwrap(), [42]);
        let (mut reader, _) = SnapshotReader::open(&env, DIRECTORY, 42).await.unwrap();
        remove(&env, DIRECTORY, 42).await.unwrap();
        remove(&env, DIRECTORY, 42).await.unwrap();
        assert_eq!(list(&env, DIRECTORY).await.unwrap(), []);
        assert_eq!(reader.next().await.unwrap(), None, "an open snapshot can still be read");
        assert_eq!(list(&env, "elsewhere").await.unwrap(), []);
    });
}

#[test]
fn random_bytes_decode_to_nothing() {
    let mut dice = stream(1, "random", 0, 0);
    for _ in 0..5_000 {
        let mut bytes: Vec<u8> = (0..dice.below(40)).flat_map(|_| dice.word().to_le_bytes()).collect();
        assert_eq!(Manifest::decode(&bytes), None);
        let magic = *dice.pick(&[b"MOOSESNP", b"MOOSESNM", b"MOOSESNE"]);
        bytes.splice(0..0, *magic);
        assert_eq!(Manifest::decode(&bytes), None);
        assert!(Head::decode(&bytes).is_err() && Foot::decode(&bytes).is_err());
    }
    let manifest = written(100).1;
    let whole = manifest.encode();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Manifest::decode(&flipped), None, "bit {bit}");
    }
    for len in 0..whole.len() {
        assert_eq!(Manifest::decode(&whole[..len]), None, "cut to {len}");
    }
}
