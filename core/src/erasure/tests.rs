//! Every pattern of losses that a class is made for is survived, and the codec agrees with
//! `reed-solomon-erasure` to the last byte.

use super::*;
use crate::chance::{Dice, stream};
use reed_solomon_erasure::galois_8::ReedSolomon;

fn random(dice: &mut impl Dice, length: usize) -> Vec<u8> {
    (0..length.div_ceil(8)).flat_map(|_| dice.word().to_le_bytes()).take(length).collect()
}

fn encoded(data: &[Vec<u8>], parity: u8, length: usize) -> Vec<Vec<u8>> {
    let mut made = vec![vec![0xee; length]; usize::from(parity)];
    let sources: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    codec(data.len() as u8, parity).encode(&sources, &mut made);
    made
}

/// Every choice of `count` from `0..all`.
fn choices(all: u8, count: u8) -> Vec<Vec<u8>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    (count - 1..all)
        .flat_map(|last| {
            choices(last, count - 1).into_iter().map(move |mut rest| {
                rest.push(last);
                rest
            })
        })
        .collect()
}

#[test]
fn every_loss_that_a_class_is_made_for_is_survived() {
    for (data, parity) in [(1u8, 3u8), (2, 1), (4, 2), (8, 3), (8, 4), (16, 4)] {
        let mut dice = stream(1, "losses", u64::from(data), u64::from(parity));
        let length = 5;
        let mut parts: Vec<Vec<u8>> = (0..data).map(|_| random(&mut dice, length)).collect();
        parts.extend(encoded(&parts, parity, length));
        let codec = codec(data, parity);
        for count in 0..=parity {
            for lost in choices(data + parity, count) {
                let mut left: Vec<Option<Vec<u8>>> = parts.iter().cloned().map(Some).collect();
                lost.iter().for_each(|index| left[usize::from(*index)] = None);
                codec.reconstruct(&mut left, &lost, length).unwrap();
                assert!(left.iter().zip(&parts).all(|(left, part)| left.as_ref() == Some(part)), "{lost:?}");
            }
        }
        let mut left: Vec<Option<Vec<u8>>> = parts.iter().cloned().map(Some).collect();
        left[..=usize::from(parity)].fill(None);
        let missing = PartsMissing { present: usize::from(data) - 1, needed: usize::from(data) };
        assert_eq!(codec.reconstruct(&mut left, &[0], length), Err(missing));
    }
}

#[test]
fn only_what_is_wanted_comes_back() {
    let mut dice = stream(2, "wanted", 0, 0);
    let data: Vec<Vec<u8>> = (0..4).map(|_| random(&mut dice, 100)).collect();
    let parity = encoded(&data, 2, 100);
    let mut left: Vec<Option<Vec<u8>>> = data.iter().chain(&parity).cloned().map(Some).collect();
    (left[1], left[5]) = (None, None);
    codec(4, 2).reconstruct(&mut left, &[0, 1], 100).unwrap();
    assert_eq!((&left[1], &left[5]), (&Some(data[1].clone()), &None));
}

#[test]
fn the_reference_makes_the_same_parity() {
    for (data, parity) in [(1u8, 2u8), (2, 1), (3, 2), (4, 2), (8, 3), (8, 4), (16, 4), (32, 32), (5, 17)] {
        let mut dice = stream(3, "reference", u64::from(data), u64::from(parity));
        for length in [1, 2, 127, 128, 129, 255, 256, 4096, 4097] {
            let parts: Vec<Vec<u8>> = (0..data).map(|_| random(&mut dice, length)).collect();
            let mut reference = vec![vec![0; length]; usize::from(parity)];
            let rows = ReedSolomon::new(usize::from(data), usize::from(parity)).unwrap();
            rows.encode_sep(&parts, &mut reference).unwrap();
            assert_eq!(encoded(&parts, parity, length), reference, "{data}+{parity} of {length}");
        }
    }
}

/// A slice of every awkward length goes through its layout, loses parts and comes back.
#[test]
fn a_short_part_stands_for_itself_and_the_zeros_behind_it() {
    let class: crate::class::StorageClass = "ec=4+2".parse().unwrap();
    for length in [1u32, 4095, 4096, 4097, 8192, 12_289, 16_383, 16_384, 16_385, 40_000] {
        let slice = random(&mut stream(4, "slice", 0, u64::from(length)), length as usize);
        let layout = Layout::new(class, length);
        let longest = layout.part_bytes_max() as usize;
        let mut parts: Vec<Vec<u8>> = slice.chunks(longest).map(<[u8]>::to_vec).collect();
        parts.resize(4, Vec::new());
        assert!((0..4).all(|index| parts[usize::from(index)].len() == layout.part_bytes(index) as usize));
        parts.extend(encoded(&parts, 2, longest));
        for lost in choices(6, 2) {
            let mut left: Vec<Option<Vec<u8>>> = parts.iter().cloned().map(Some).collect();
            lost.iter().for_each(|index| left[usize::from(*index)] = None);
            codec(4, 2).reconstruct(&mut left, &lost, longest).unwrap();
            for index in lost {
                let mut whole = parts[usize::from(index)].clone();
                whole.resize(longest, 0);
                assert_eq!(left[usize::from(index)], Some(whole), "part {index} of {length}");
            }
        }
    }
}
