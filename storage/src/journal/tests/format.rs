//! The bytes, pinned: a journal written by any build of this version is read by every other. And
//! decoders that are given anything at all.

use crate::envelope::Fault;
use crate::journal::layout::{Batch, BatchEncoder, Doubt, DoubtKind, SegmentHead, State};
use crate::journal::{Position, StreamId};
use crate::testing::hex;
use bytes::Bytes;
use mooseng_core::chance::{Dice, stream};

fn head() -> SegmentHead {
    SegmentHead {
        journal: *b"the journal's id",
        sequence: 7,
        base: Position(0xc000),
        segment_bytes: 8_192,
        sector_bytes: 512,
        epoch: 0x1122_3344_5566_7788,
        proven: Position(0xbe00),
    }
}

/// A segment's image with one batch at its start.
fn image_with(batch: &Bytes) -> Bytes {
    let mut image = vec![0; 8_192];
    let encoded = head().encode();
    image[..encoded.len()].copy_from_slice(&encoded);
    image[512..512 + batch.len()].copy_from_slice(batch);
    image.into()
}

fn batch() -> Bytes {
    let mut encoder = BatchEncoder::new(&head(), head().data_start(), Position(0xbe00), 100);
    encoder.resume();
    encoder.state(&State {
        first: 3,
        doubt: Some(Doubt {
            kind: DoubtKind::Ambiguous,
            at: Position(0xbe00),
            proven: Position(0xbc00),
            why: "torn".to_owned(),
        }),
    });
    encoder.record(StreamId(5), b"one record");
    encoder.record(StreamId(6), b"");
    encoder.finish(512)
}

#[test]
fn the_head_of_a_segment() {
    insta::assert_snapshot!(hex(&head().encode()));
    assert_eq!(SegmentHead::decode(&head().encode()), Ok(head()));
}

#[test]
fn a_batch() {
    insta::assert_snapshot!(hex(&batch()));
    let decoded = Batch::decode(&head(), &image_with(&batch()), 512).unwrap();
    assert_eq!((decoded.position, decoded.end), (Position(0xc200), Position(0xc400)));
    assert_eq!((decoded.proven, decoded.resume), (Position(0xbe00), true));
    assert_eq!(decoded.state.unwrap().doubt.unwrap().why, "torn");
    let records: Vec<_> = decoded.records.iter().map(|it| (it.stream.0, &it.bytes[..])).collect();
    assert_eq!(records, [(5, &b"one record"[..]), (6, b"")]);
}

#[test]
fn a_batch_is_at_home_in_one_place_of_one_life_of_one_segment() {
    let image = image_with(&batch());
    let decodes = |head: &SegmentHead, image: &Bytes, offset| Batch::decode(head, image, offset).is_some();
    assert!(decodes(&head(), &image, 512));
    assert!(!decodes(&SegmentHead { epoch: 1, ..head() }, &image, 512), "another life");
    assert!(!decodes(&SegmentHead { base: Position(0xe000), ..head() }, &image, 512), "another segment");
    let mut moved = vec![0; 8_192];
    moved[1_024..1_536].copy_from_slice(&batch());
    assert!(!decodes(&head(), &moved.into(), 1_024), "another place");
}

/// A reason of any length is cut to what fits, between two characters.
#[test]
fn a_long_reason_is_cut() {
    let why = "ä".repeat(1_000);
    let doubt = Doubt { kind: DoubtKind::Damaged, at: Position(1), proven: Position(2), why };
    let mut encoder = BatchEncoder::new(&head(), head().data_start(), Position(0), 0);
    encoder.state(&State { first: 1, doubt: Some(doubt) });
    let state = Batch::decode(&head(), &image_with(&encoder.finish(512)), 512).unwrap().state.unwrap();
    assert_eq!(state.doubt.unwrap().why, "ä".repeat(104));
}

/// Every bit, every cut.
#[test]
fn damaged_bytes_are_never_decoded() {
    let batch = batch();
    for bit in 0..batch.len() * 8 {
        let mut flipped = batch.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Batch::decode(&head(), &image_with(&flipped.into()), 512), None, "bit {bit}");
    }
    for len in 0..8_192 {
        let cut = image_with(&batch).slice(..len);
        assert_eq!(Batch::decode(&head(), &cut, 512).is_some(), len >= 1_024, "cut to {len}");
        assert_eq!(SegmentHead::decode(&cut).is_ok(), len >= 84, "cut to {len}");
    }
    let encoded = head().encode();
    for bit in 0..encoded.len() * 8 {
        let mut flipped = encoded.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let fault = SegmentHead::decode(&flipped).unwrap_err();
        assert!(matches!(fault, Fault::Foreign | Fault::Broken), "bit {bit}: {fault:?}");
    }
}

/// Heads that are whole and tell of what cannot be, and batches of rubbish behind a checksum that
/// holds: a decoder that believes a checksum must still doubt every length.
#[test]
fn a_checksum_that_holds_makes_nothing_true() {
    let mut dice = stream(1, "forged", 0, 0);
    for _ in 0..20_000 {
        let mut forged = batch().to_vec();
        for _ in 0..dice.between(1, 4) {
            let at = dice.between(32, forged.len() as u64 - 1) as usize;
            forged[at] = *dice.pick(&[0, 1, 0x7f, 0x80, 0xff, 17]);
        }
        let padded = (u32::from_le_bytes(forged[32..36].try_into().unwrap()) as usize).next_multiple_of(512);
        let covered = padded.clamp(8, forged.len());
        let checksum = mooseng_core::checksum::crc32c(&forged[8..covered]);
        forged[4..8].copy_from_slice(&checksum.to_le_bytes());
        if let Some(batch) = Batch::decode(&head(), &image_with(&forged.into()), 512) {
            let bytes: usize = batch.records.iter().map(|record| 16 + record.bytes.len()).sum();
            assert!(48 + bytes <= (batch.end.0 - batch.position.0) as usize, "{batch:?}");
        }
    }
    for (sector_bytes, segment_bytes) in [(0, 8_192), (3, 8_192), (512, 512), (512, 700), (1 << 20, 1 << 21)]
    {
        let mut body = head().encode()[16..80].to_vec();
        body[..4].copy_from_slice(&u32::to_le_bytes(sector_bytes));
        body[40..48].copy_from_slice(&u64::to_le_bytes(segment_bytes));
        let sealed = crate::journal::layout::SEGMENT.seal(&body);
        assert_eq!(SegmentHead::decode(&sealed), Err(Fault::Broken), "{sector_bytes} {segment_bytes}");
    }
}

#[test]
fn random_bytes_are_no_batch_and_no_head() {
    let mut dice = stream(2, "random", 0, 0);
    for _ in 0..3_000 {
        let mut image: Vec<u8> = (0..256).flat_map(|_| dice.word().to_le_bytes()).collect();
        image[512..516].copy_from_slice(b"MJB1");
        image[520..528].copy_from_slice(&head().data_start().0.to_le_bytes());
        image[528..536].copy_from_slice(&head().epoch.to_le_bytes());
        image[540..544].fill(0);
        assert_eq!(Batch::decode(&head(), &image.clone().into(), 512), None);
        assert!(SegmentHead::decode(&image).is_err());
    }
}
