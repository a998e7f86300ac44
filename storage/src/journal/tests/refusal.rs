//! What the journal will not touch, and the one line it says about it.

use super::workload::{DIRECTORY, Round, config, formatted, go};
use crate::error::StorageError;
use crate::journal::layout::{SEGMENT, SegmentHead};
use crate::journal::{Journal, JournalConfig, StreamId};
use crate::testing::{Faults, Machine};
use bytes::Bytes;
use mooseng_core::checksum::crc32c;
use std::sync::Arc;

fn path(sequence: u64) -> String {
    format!("{DIRECTORY}/{sequence:020}.segment")
}

fn open_error(machine: &Machine, config: JournalConfig) -> StorageError {
    let env = machine.clone();
    machine.finish(async move { Journal::open(&env, DIRECTORY, config).await.map(|_| ()).unwrap_err() })
}

fn line(machine: &Machine) -> String {
    let before = machine.with_images(|images| images.dump());
    let error = open_error(machine, config());
    assert_eq!(machine.with_images(|images| images.dump()), before, "nothing was changed");
    error.to_string()
}

#[test]
fn an_empty_directory_is_no_journal() {
    let machine = Machine::new(1);
    assert_eq!(
        line(&machine),
        "journal/00000000000000000001.segment: not there; format the data directory first"
    );
}

#[test]
fn a_foreign_file_is_refused() {
    let machine = formatted(1, &config());
    machine.with_images(|images| images.alter(&path(1), |bytes| bytes[..8].copy_from_slice(b"SQLite f")));
    assert_eq!(
        line(&machine),
        "journal/00000000000000000001.segment: this is no MooseNG journal segment; move it away, or point the \
         server at its own data directory"
    );
}

/// Such a journal was ours: its server may begin again, as another replica.
#[test]
fn a_journal_without_any_readable_head_is_damaged() {
    let machine = formatted(1, &config());
    machine.with_images(|images| images.alter(&path(1), |bytes| bytes[20] ^= 1));
    assert_eq!(
        line(&machine),
        "journal/00000000000000000001.segment: no segment of this journal has a head that reads well; only \
         another replica still has it"
    );
}

#[test]
fn a_newer_version_is_refused() {
    let machine = formatted(1, &config());
    machine.with_images(|images| {
        images.alter(&path(1), |bytes| {
            bytes[8] = 2;
            let checksum = crc32c(&bytes[..80]);
            bytes[80..84].copy_from_slice(&checksum.to_le_bytes());
        })
    });
    assert_eq!(
        line(&machine),
        "journal/00000000000000000001.segment: this journal segment has format version 2, and this program knows \
         1; start the version of MooseNG that wrote it"
    );
    assert_eq!(SEGMENT.version, 1);
}

/// Whoever knows what the records say may refuse them, all of them seen, before anything is changed:
/// a doubtful end, too, is settled only later.
#[test]
fn records_that_are_refused_leave_the_journal_as_it_is() {
    let machine = formatted(1, &config());
    let env = machine.clone();
    machine.finish(async move {
        let (journal, _) = Journal::open(&env, DIRECTORY, config()).await.unwrap();
        for text in ["one", "two"] {
            journal.append(StreamId(1), vec![Bytes::from(text)]).await.unwrap();
        }
    });
    let before = machine.with_images(|images| images.dump());
    let env = machine.clone();
    machine.finish(async move {
        let refused = StorageError::Config { field: "record", why: "of another kind".into() };
        let answer = refused.clone();
        let opened = Journal::open_checked(&env, DIRECTORY, config(), move |records| {
            assert_eq!(records.iter().map(|record| &record.bytes[..]).collect::<Vec<_>>(), [b"one", b"two"]);
            Err(answer)
        });
        assert_eq!(opened.await.map(|_| ()), Err(refused));
    });
    assert_eq!(machine.with_images(|images| images.dump()), before, "nothing was changed");
}

#[test]
fn a_segment_of_another_journal_is_refused() {
    let (machine, other) = (formatted(1, &config()), formatted(2, &config()));
    let foreign = other.with_images(|images| images.dump())[&path(1)].clone();
    let mut head = SegmentHead::decode(&foreign).unwrap();
    head.sequence = 2;
    head.base = head.end();
    let mut bytes = foreign;
    bytes[..84].copy_from_slice(&head.encode());
    machine.with_images(|images| images.put(&path(2), &bytes));
    assert_eq!(
        line(&machine),
        "journal/00000000000000000002.segment: this segment belongs to another journal or to another place in this \
         one; move it back to where it was, or empty the data directory and let the server join again"
    );
}

#[test]
fn a_segment_under_another_name_is_refused() {
    let machine = formatted(1, &config());
    let bytes = machine.with_images(|images| images.dump())[&path(1)].clone();
    machine.with_images(|images| images.put(&path(2), &bytes));
    assert!(line(&machine).contains("another place in this one"));
}

#[test]
fn formatting_twice_is_refused() {
    let machine = formatted(1, &config());
    let env = machine.clone();
    let error = machine.finish(async move {
        Journal::format(&env, DIRECTORY, &config()).await.map(|_: ()| ()).unwrap_err()
    });
    assert_eq!(
        error.to_string(),
        "journal/00000000000000000001.segment: there is a journal already; open it, or empty the data directory if \
         its server is gone for good"
    );
}

#[test]
fn limits_that_cannot_work_name_their_field() {
    let machine = formatted(1, &config());
    let check = |config, text: &str| assert_eq!(open_error(&machine, config).to_string(), text);
    check(
        JournalConfig { sector_bytes: 513, ..config() },
        "sector_bytes: 513 is no power of two from 512 to 65536",
    );
    check(
        JournalConfig { segment_bytes: 4_096, ..config() },
        "segment_bytes: 4096 is not between two sectors, 8 KiB and 1 GiB",
    );
    check(
        JournalConfig { segment_bytes: 8_193, ..config() },
        "segment_bytes: 8193 is no multiple of sector_bytes, 512",
    );
}

#[test]
fn an_append_longer_than_a_segment_is_refused_and_nothing_else_is() {
    let machine = formatted(1, &config());
    let env = machine.clone();
    machine.finish(async move {
        let (journal, _) = Journal::open(&env, DIRECTORY, config()).await.unwrap();
        let longest = journal.append_bytes_max();
        let append = |len: usize| journal.append(StreamId(1), vec![Bytes::from(vec![7; len - 16])]);
        assert_eq!(
            append(longest + 1).await,
            Err(StorageError::TooLarge { bytes: longest + 1, bytes_max: longest })
        );
        let position = append(longest).await.unwrap();
        assert!(append(longest).await.unwrap() > position);
    });
}

/// Random bytes in the place of segments: an error or a report, never a panic and never a record.
#[test]
fn rubbish_is_never_a_record() {
    use mooseng_core::chance::{Dice, stream};
    for seed in 0..200 {
        let mut dice = stream(seed, "rubbish", 0, 0);
        let machine = formatted(seed, &config());
        let round = Round { seed, streams: 1, calls: 0, settle: false, release: false };
        go(&machine, &Arc::default(), &config(), round, Faults::default());
        machine.with_images(|images| {
            let rubbish: Vec<u8> = (0..8_192).map(|_| dice.word() as u8).collect();
            let from = *dice.pick(&[0, 84, 512, 4_096]);
            images.alter(&path(dice.between(1, 1)), |bytes| bytes[from..].copy_from_slice(&rubbish[from..]));
        });
        let env = machine.clone();
        let opened =
            machine.finish(async move { Journal::open(&env, DIRECTORY, config()).await.map(|it| it.1) });
        match opened {
            Ok(recovered) => assert_eq!(recovered.records, []),
            Err(error) => assert!(matches!(error, StorageError::Refused { .. }), "{error}"),
        }
    }
}
