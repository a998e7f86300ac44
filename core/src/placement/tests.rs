//! What placement promises: servers apart always, racks apart where possible, shares by weight,
//! and nothing moves that need not.

use super::*;
use crate::id::Slot;
use std::collections::BTreeSet;

fn slice(number: u64) -> SliceId {
    SliceId::new(0, Slot::new(5).unwrap(), number).unwrap()
}

fn class(name: &str) -> StorageClass {
    name.parse().unwrap()
}

/// `racks` racks of `each` servers that weigh the same.
fn servers(racks: u64, each: u64) -> Vec<Candidate> {
    (0..racks * each)
        .map(|index| Candidate {
            server: ServerId(index + 1),
            rack: format!("rack {}", index % racks).into(),
            weight: 1 << 40,
            usable: true,
        })
        .collect()
}

fn chosen(number: u64, name: &str, candidates: &[Candidate]) -> BTreeSet<ServerId> {
    place(slice(number), class(name), candidates, &[]).servers.into_iter().flatten().collect()
}

fn rack_of(candidates: &[Candidate], server: ServerId) -> &str {
    &candidates.iter().find(|candidate| candidate.server == server).unwrap().rack
}

#[test]
fn every_part_has_a_server_of_its_own_and_a_rack_where_there_are_enough() {
    for (racks, each) in [(1, 12), (2, 6), (3, 4), (6, 2), (12, 1), (20, 1)] {
        let candidates = servers(racks, each);
        for (name, parts) in [("copies=1", 1), ("copies=2", 2), ("ec=4+2", 6), ("ec=8+4", 12)] {
            for number in 1..50 {
                let placed = place(slice(number), class(name), &candidates, &[]);
                assert!(placed.is_complete());
                let servers: BTreeSet<ServerId> = placed.servers.iter().copied().flatten().collect();
                assert_eq!(servers.len(), parts);
                let mut held: BTreeMap<&str, usize> = BTreeMap::new();
                servers.iter().for_each(|one| *held.entry(rack_of(&candidates, *one)).or_default() += 1);
                // As even as it can be: the fullest rack has no more than its share.
                assert_eq!(held.values().max(), Some(&parts.div_ceil(racks as usize)));
                assert_eq!(placed.racks_distinct, parts <= racks as usize);
            }
        }
    }
}

#[test]
fn what_cannot_be_placed_is_said() {
    let mut candidates = servers(2, 2);
    candidates[0].usable = false;
    candidates[1].weight = 0;
    let placed = place(slice(1), class("copies=3"), &candidates, &[]);
    assert_eq!(placed.servers.iter().flatten().count(), 2);
    assert_eq!(placed.servers[2], None);
    assert!(!placed.is_complete());
    assert_eq!(place(slice(1), class("copies=2"), &[], &[]).servers, [None, None]);
}

#[test]
fn the_rest_goes_round_what_is_taken() {
    let candidates = servers(6, 2);
    for number in 1..50 {
        let taken = [ServerId(1), ServerId(2)];
        let placed = place(slice(number), class("ec=4+2"), &candidates, &taken);
        assert_eq!(placed.servers.len(), 4);
        assert!(placed.racks_distinct);
        let racks: BTreeSet<&str> =
            placed.servers.iter().flatten().map(|one| rack_of(&candidates, *one)).collect();
        assert_eq!(racks.into_iter().collect::<Vec<_>>(), ["rack 2", "rack 3", "rack 4", "rack 5"]);
    }
    // Servers 1 and 7 share a rack: nothing that is placed now can mend that.
    let placed = place(slice(1), class("ec=4+2"), &candidates, &[ServerId(1), ServerId(7)]);
    assert!(!placed.racks_distinct);
}

#[test]
fn the_order_of_candidates_does_not_matter_and_twins_count_once() {
    let candidates = servers(4, 3);
    let mut others: Vec<Candidate> = candidates.iter().rev().cloned().collect();
    others.extend(candidates.clone());
    for number in 1..20 {
        let place = |candidates: &[Candidate]| place(slice(number), class("ec=8+4"), candidates, &[]);
        assert_eq!(place(&candidates), place(&others));
        assert_eq!(ranked(slice(number), &candidates), ranked(slice(number), &others));
    }
}

/// A server that leaves takes its own parts with it and moves no other; one that joins takes parts
/// over and moves none between the others.
#[test]
fn at_most_one_part_of_a_slice_moves_when_a_server_comes_or_goes() {
    for (racks, each) in [(1, 9), (3, 3), (4, 5), (9, 1)] {
        let candidates = servers(racks, each);
        for gone in 0..candidates.len() {
            let mut fewer = candidates.clone();
            let server = fewer.remove(gone).server;
            for number in 1..40 {
                for name in ["copies=2", "ec=4+2"] {
                    let before = chosen(number, name, &candidates);
                    let after = chosen(number, name, &fewer);
                    let left = before.difference(&after).count();
                    assert_eq!(
                        left,
                        usize::from(before.contains(&server)),
                        "{racks}x{each} {server} {before:?} {after:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn shares_follow_weights() {
    let weights = [1, 2, 3, 4];
    let mut candidates = servers(1, 4);
    candidates.iter_mut().zip(weights).for_each(|(candidate, weight)| candidate.weight = weight << 40);
    let mut held = [0u64; 4];
    let slices = 20_000;
    for number in 1..=slices {
        let server = place(slice(number), class("copies=1"), &candidates, &[]).servers[0].unwrap();
        held[server.0 as usize - 1] += 1;
    }
    for (held, weight) in held.into_iter().zip(weights) {
        let expected = slices * weight / 10;
        // Five standard deviations are below 350 here.
        assert!(held.abs_diff(expected) < 350, "{held} slices of {slices} at weight {weight}");
    }
}

/// Placements are recorded, but a changed draw would make balancing move everything.
#[test]
fn draws_are_pinned() {
    let order: Vec<u64> = ranked(slice(7), &servers(3, 2)).into_iter().map(|server| server.0).collect();
    assert_eq!(order, PINNED);
}

const PINNED: [u64; 6] = [1, 3, 6, 5, 2, 4];

#[test]
fn the_logarithm_is_one() {
    assert_eq!(log_negative(u64::MAX), 0);
    assert_eq!(log_negative(0), 64 << 32);
    assert_eq!(log_negative((1 << 63) - 1), 1 << 32);
    for word in [3u64, 1 << 20, 0x1234_5678_9abc_def0, u64::MAX - (1 << 50)] {
        let exact = 64.0 - (word as f64 + 1.0).log2();
        let ours = log_negative(word) as f64 / 4_294_967_296.0;
        assert!((exact - ours).abs() < 1e-6, "{word}: {exact} {ours}");
    }
}
