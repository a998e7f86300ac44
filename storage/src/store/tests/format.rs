//! The bytes, pinned.

use super::workload::part;
use crate::store::layout::{Batch, BatchEncoder, Kill, Record, SegmentHead};
use crate::store::table::{OwnFile, Table};
use crate::testing::hex;
use bytes::Bytes;
use mooseng_core::checksum::{leaves, root};

pub(super) fn head() -> SegmentHead {
    SegmentHead {
        store: *b"the store's name",
        sequence: 7,
        segment_bytes: 16_384,
        sector_bytes: 512,
        epoch: 0x1122_3344_5566_7788,
    }
}

fn kill() -> Kill {
    Kill { part: part(3), incarnation: 0xabcd, oldest: 2, newest: 5 }
}

pub(super) fn batch() -> (Bytes, Vec<Record>) {
    let head = head();
    let data = Bytes::from_static(b"the bytes of a small part");
    let sums = leaves(part(1), 0, &data);
    let mut encoder = BatchEncoder::new(&head, 1_024);
    encoder.put(part(1), 0x77, root(part(1), data.len() as u64, &sums), &sums, data);
    encoder.kill(kill());
    encoder.finish()
}

#[test]
fn the_head_of_a_segment() {
    insta::assert_snapshot!(hex(&head().encode()));
    assert_eq!(SegmentHead::decode(&head().encode()), Ok(head()));
}

#[test]
fn a_batch() {
    let (bytes, records) = batch();
    insta::assert_snapshot!(hex(&bytes));
    let mut image = vec![0; 1_024];
    image.extend_from_slice(&bytes);
    let batch = Batch::decode(&head(), &image, 1_024).unwrap();
    assert_eq!((batch.records, batch.end), (records, 1_024 + 40 + 128 + 4 + 25));
}

#[test]
fn a_table() {
    let (_, records) = batch();
    let head = head();
    let table = Table { store: head.store, sequence: 7, epoch: head.epoch, used: 1_221, records };
    insta::assert_snapshot!(hex(&table.encode()));
    assert_eq!(Table::decode(&table.encode()), Ok(table));
}

#[test]
fn the_end_of_a_large_part() {
    let own = OwnFile { part: part(2), incarnation: 0x77, length: 5_000 };
    assert_eq!(own.name(), "0000700000000001-02-0000000000000077-00001388.part");
    assert_eq!(OwnFile::from_name(&own.name()), Some(own));
    let end = own.encode_end(&[1, 2], &[9; 32]);
    insta::assert_snapshot!(hex(&end));
    assert_eq!((own.sums_at(), own.decode_foot(&end[8..])), (8_192, Ok([9; 32])));
}
