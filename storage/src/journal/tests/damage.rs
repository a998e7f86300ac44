//! The disk changes what was synced: what is lost is said to be lost, and nothing else is lost
//! with it.

use super::workload::{DIRECTORY, Ledger, Round, config, formatted, go, reopen};
use crate::error::StorageError;
use crate::journal::layout::SegmentHead;
use crate::journal::opening::tail;
use crate::journal::recovery::{Scan, judge};
use crate::journal::{Journal, JournalConfig, Position, Record, Recovered, Tail};
use crate::testing::{Faults, Machine};
use bytes::Bytes;
use mooseng_core::chance::{Dice, stream};
use std::sync::Arc;

/// A machine with a few segments of records, and what they hold.
struct Written {
    machine: Machine,
    config: JournalConfig,
    records: Vec<Record>,
    /// Every batch, from its first to after its last byte, and the point that is proven.
    batches: Vec<(Position, Position)>,
    proven: Position,
}

fn path(sequence: u64) -> String {
    format!("{DIRECTORY}/{sequence:020}.segment")
}

fn written() -> Written {
    let config = config();
    let machine = formatted(3, &config);
    let round = Round { seed: 5, streams: 2, calls: 12, settle: false, release: false };
    go(&machine, &Arc::new(Ledger::default().into()), &config, round, Faults::default());
    let recovered = reopen(&machine, &config);
    assert_eq!(recovered.tail, Tail::Clean);
    let mut batches = Vec::new();
    let mut proven = Position(0);
    let dump = machine.with_images(|images| images.dump());
    for (_, image) in dump.iter().filter(|(name, _)| name.ends_with(".segment")) {
        let head = SegmentHead::decode(image).unwrap();
        for batch in Scan::new(head, &Bytes::copy_from_slice(image)).batches {
            proven = proven.max(batch.proven);
            batches.push((batch.position, batch.end));
        }
    }
    assert!(dump.len() >= 4, "several segments: {:?}", dump.keys());
    Written { machine, config, records: recovered.records, batches, proven }
}

impl Written {
    /// What a copy of the machine gives back after its disk was changed.
    fn after(&self, change: impl FnOnce(&Machine)) -> Result<Recovered, StorageError> {
        let machine = self.machine.copy(7);
        change(&machine);
        let config = self.config.clone();
        let env = machine.clone();
        machine.finish(async move { Ok(Journal::open(&env, DIRECTORY, config).await?.1) })
    }

    fn altered(&self, sequence: u64, alter: impl Fn(&mut Vec<u8>)) -> Result<Recovered, StorageError> {
        self.after(|machine| machine.with_images(|images| images.alter(&path(sequence), alter)))
    }

    /// Nothing wrong is given back, and nothing is missing without a word.
    fn judge(&self, recovered: &Recovered, what: &str) {
        let found = recovered.records.len();
        assert!(self.records.starts_with(&recovered.records), "{what}: other records came back");
        let missing = found < self.records.len();
        assert!(!missing || recovered.tail != Tail::Clean, "{what}: records are silently missing");
        if let Tail::Damaged { at, proven, .. } = recovered.tail {
            assert!(at <= proven && proven <= self.proven.max(at), "{what}: {:?}", recovered.tail);
        }
    }

    /// The bytes of the segments, in order.
    fn images(&self) -> Vec<Vec<u8>> {
        let dump = self.machine.with_images(|images| images.dump());
        dump.into_iter().filter(|(name, _)| name.ends_with(".segment")).map(|(_, image)| image).collect()
    }
}

/// Every byte of the journal, one flipped bit at a time: what the judgement says of it.
#[test]
fn a_flipped_bit_is_never_silently_wrong() {
    let written = written();
    let mut dice = stream(1, "flips", 0, 0);
    let images: Vec<Vec<u8>> = written.images();
    let scan = |image: &[u8]| {
        let head = SegmentHead::decode(image).ok()?;
        Some(Scan::new(head, &Bytes::copy_from_slice(image)))
    };
    let scans: Vec<Option<Scan>> = images.iter().map(|image| scan(image)).collect();
    let (mut damaged, mut ambiguous) = (0, 0);
    for (index, image) in images.iter().enumerate() {
        let mut image = image.clone();
        for offset in 0..image.len() {
            let bit = 1 << dice.below(8);
            image[offset] ^= bit;
            let mut found = scans.clone();
            found[index] = scan(&image);
            image[offset] ^= bit;
            let verdict = judge((1..).zip(found).collect());
            let tail = tail(&verdict.end, verdict.state.doubt.as_ref());
            let what = format!("segment {}, byte {offset}, bits {bit:#x}: {tail:?}", index + 1);
            written.judge(&Recovered { records: verdict.records, tail: tail.clone() }, &what);
            let position = Position(index as u64 * written.config.segment_bytes + offset as u64);
            match written.batches.iter().find(|(start, end)| (*start..*end).contains(&position)) {
                Some((start, _)) if *start < written.proven => {
                    assert!(matches!(tail, Tail::Damaged { at, .. } if at <= *start), "{what}");
                    damaged += 1;
                }
                Some(_) => {
                    assert!(matches!(tail, Tail::Ambiguous { .. }), "{what}");
                    ambiguous += 1;
                }
                None => {}
            }
        }
    }
    assert!(damaged > 5_000 && ambiguous > 100, "{damaged} damaged, {ambiguous} ambiguous");
}

/// The same through the front door: the bytes of every head, and a few of the rest.
#[test]
fn a_journal_opens_with_any_bit_flipped() {
    let written = written();
    for sequence in 1..=written.images().len() as u64 {
        for offset in (0..84).chain((84..written.config.segment_bytes as usize).step_by(211)) {
            let what = format!("segment {sequence}, byte {offset}");
            let recovered = written.altered(sequence, |bytes| bytes[offset] ^= 4).unwrap();
            written.judge(&recovered, &what);
        }
    }
}

#[test]
fn a_lost_segment_is_damage() {
    let written = written();
    let used = written.images().len() as u64 - 1;
    for sequence in 1..=used {
        let recovered =
            written.after(|machine| machine.with_images(|images| images.lose(&path(sequence)))).unwrap();
        written.judge(&recovered, "lost");
        assert!(matches!(recovered.tail, Tail::Damaged { .. }), "{sequence}: {:?}", recovered.tail);
    }
}

/// A file may be cut short, and a misdirected write may lengthen it: neither is a reason to refuse
/// the journal for good.
#[test]
fn a_segment_of_another_length_is_read_as_far_as_it_goes() {
    let written = written();
    let shorter = written.altered(1, |bytes| bytes.truncate(1_000)).unwrap();
    written.judge(&shorter, "a segment was cut short");
    assert!(matches!(shorter.tail, Tail::Damaged { .. }), "{:?}", shorter.tail);
    let longer = written.altered(1, |bytes| bytes.resize(bytes.len() + 9_000, 7)).unwrap();
    assert_eq!((longer.records, longer.tail), (written.records.clone(), Tail::Clean));
    let mut last = String::new();
    let names = written.machine.with_images(|images| images.dump());
    names.keys().filter(|name| name.ends_with(".segment")).for_each(|name| last.clone_from(name));
    let cut = written.after(|machine| {
        machine.with_images(|images| images.alter(&last, |bytes| bytes.truncate(bytes.len() - 512)));
    });
    assert_ne!(cut.unwrap().tail, Tail::Clean, "what was cut off may have held something");
}

#[test]
fn an_unreadable_sector_is_damage_and_no_reason_to_stop() {
    let written = written();
    let last =
        written.batches.iter().map(|(_, end)| end.0).filter(|end| *end <= written.config.segment_bytes).max();
    for sector in 0..last.unwrap() as usize / 512 {
        let recovered = written
            .after(|machine| machine.with_images(|images| _ = images.unreadable.insert((path(1), sector))))
            .unwrap();
        written.judge(&recovered, "unreadable");
        assert!(matches!(recovered.tail, Tail::Damaged { .. }), "{sector}: {:?}", recovered.tail);
    }
}

#[test]
fn a_sector_of_zeros_below_the_proven_point_is_damage() {
    let written = written();
    for (start, end) in written.batches.iter().filter(|(_, end)| *end <= written.proven) {
        let sequence = start.0 / written.config.segment_bytes + 1;
        let base = (sequence - 1) * written.config.segment_bytes;
        let range = (start.0 - base) as usize..(end.0 - base) as usize;
        let recovered = written.altered(sequence, |bytes| bytes[range.clone()].fill(0)).unwrap();
        written.judge(&recovered, "zeros");
        assert!(matches!(recovered.tail, Tail::Damaged { at, .. } if at <= *start), "{:?}", recovered.tail);
    }
}

/// Damage is reported, what follows it is appended and found again, and the report stays until
/// the groups have settled it.
#[test]
fn damage_is_reported_until_it_is_settled() {
    let written = written();
    let machine = written.machine.copy(9);
    machine.with_images(|images| images.alter(&path(1), |bytes| bytes[5_000] ^= 1));
    let first = reopen(&machine, &written.config);
    assert!(matches!(first.tail, Tail::Damaged { .. }), "{:?}", first.tail);
    let before = machine.with_images(|images| images.dump())[&path(2)].clone();

    let (env, config) = (machine.clone(), written.config.clone());
    let appended = machine.finish(async move {
        let (journal, again) = Journal::open(&env, DIRECTORY, config).await.unwrap();
        assert_eq!(again, first, "the same report and the same records");
        journal.append(super::StreamId(9), vec![Bytes::from_static(b"after the damage")]).await.unwrap();
        first.records.len()
    });
    let third = reopen(&machine, &written.config);
    assert!(matches!(third.tail, Tail::Damaged { .. }), "{:?}", third.tail);
    assert_eq!(third.records.len(), appended + 1);
    assert_eq!(&third.records[appended].bytes[..], b"after the damage");
    assert_eq!(machine.with_images(|images| images.dump())[&path(2)], before, "the evidence stays");

    let (env, config) = (machine.clone(), written.config.clone());
    machine.finish(async move {
        Journal::open(&env, DIRECTORY, config).await.unwrap().0.settle().await.unwrap();
    });
    let settled = reopen(&machine, &written.config);
    assert_eq!((settled.tail, settled.records), (Tail::Clean, third.records));
}
