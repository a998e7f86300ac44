//! Decoders against bytes that nobody wrote: no panic, and no damage taken for good.

use super::format::{batch, head};
use super::workload::part;
use crate::store::layout::{Batch, RECORD_BYTES, Record, SegmentHead};
use crate::store::scan::scan;
use crate::store::table::{OwnFile, Table};
use mooseng_core::chance::{Dice, stream};
use rand_chacha::ChaCha8Rng;

const ROUNDS: u64 = 4_000;

/// Bytes that are mostly those of something real.
fn mutate(dice: &mut ChaCha8Rng, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..dice.between(1, 6) {
        let at = dice.below(bytes.len() as u64) as usize;
        match dice.below(4) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = *dice.pick(&[0, 1, 0x7f, 0xff]),
            2 => bytes.truncate(at.max(1)),
            _ => {
                let end = (at + 8).min(bytes.len());
                bytes[at..end].fill(dice.word() as u8);
            }
        }
    }
    bytes
}

#[test]
fn rubbish_is_refused_without_a_panic() {
    let mut dice = stream(1, "fuzz", 0, 0);
    let (bytes, records) = batch();
    let head = head();
    let mut image = vec![0; head.segment_bytes as usize];
    image[1_024..1_024 + bytes.len()].copy_from_slice(&bytes);
    let table = Table { store: head.store, sequence: 7, epoch: head.epoch, used: 1_221, records };
    let own = OwnFile { part: part(3), incarnation: 5, length: 9_000 };
    let (table, end, start) = (table.encode(), own.encode_end(&[1, 2, 3], &[4; 32]), head.encode());
    for _ in 0..ROUNDS {
        let mut bad = image.clone();
        let touched = mutate(&mut dice, &image[1_024..1_024 + bytes.len()]);
        bad[1_024..1_024 + touched.len()].copy_from_slice(&touched);
        let found = scan(&head, &bad, "fuzz");
        let good = scan(&head, &image, "fuzz");
        assert!(found.records.iter().all(|record| good.records.contains(record)), "damage taken for a part");
        let _ = Batch::decode(&head, &touched, 0);
        let _ = Table::decode(&mutate(&mut dice, &table));
        let _ = SegmentHead::decode(&mutate(&mut dice, &start));
        let _ = own.decode_foot(&mutate(&mut dice, &end[12..]));
        let _ = OwnFile::from_name(&String::from_utf8_lossy(&mutate(&mut dice, own.name().as_bytes())));
        let _ = Record::decode(&std::array::from_fn::<u8, RECORD_BYTES, _>(|_| dice.word() as u8));
    }
}

#[test]
fn every_flipped_bit_of_what_describes_parts_is_seen() {
    let (bytes, records) = batch();
    let head = head();
    let table = Table { store: head.store, sequence: 7, epoch: head.epoch, used: 1_221, records };
    let own = OwnFile { part: part(3), incarnation: 5, length: 9_000 };
    let (table, foot) = (table.encode(), own.encode_end(&[1, 2, 3], &[4; 32])[12..].to_vec());
    let flips = |whole: &[u8], len: usize, look: &dyn Fn(&[u8]) -> bool| {
        for bit in 0..len * 8 {
            let mut flipped = whole.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!look(&flipped), "bit {bit}");
        }
    };
    let mut image = vec![0; 1_024];
    image.extend_from_slice(&bytes);
    flips(&bytes, 40 + 2 * RECORD_BYTES, &|flipped| {
        let mut image = vec![0; 1_024];
        image.extend_from_slice(flipped);
        Batch::decode(&head, &image, 1_024).is_some()
    });
    flips(&table, table.len(), &|flipped| Table::decode(flipped).is_ok());
    flips(&foot, foot.len(), &|flipped| own.decode_foot(flipped).is_ok());
}
