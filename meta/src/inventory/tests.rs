//! What may be taken away, and what must be there.

use super::*;
use crate::repair::tests::Cluster;
use mooseng_core::id::SliceId;

fn part(slice: SliceId, index: u8) -> PartId {
    PartId { slice, index }
}

fn held(part: PartId) -> Held {
    Held { part, incarnation: 7, damaged: false }
}

fn page(server: u64, after: Option<PartId>, parts: &[PartId], complete: bool) -> Page {
    let parts = parts.iter().copied().map(held).collect();
    Page { server: ServerId(server), after, parts, complete }
}

/// Slices 1 to 3 are in two copies at servers 1 and 2, the third at 3 and 2.
fn cluster() -> (Cluster, [SliceId; 3]) {
    let mut cluster = Cluster::new();
    let slices = [(1, [1, 2]), (2, [1, 2]), (3, [3, 2])];
    let slices = slices.map(|(counter, parts)| cluster.slice(counter, "copies=2", &parts));
    (cluster, slices)
}

#[test]
fn parts_are_where_they_should_be_or_elsewhere_or_absent() {
    let (cluster, [first, second, third]) = cluster();
    let all = page(1, None, &[part(first, 0), part(first, 1), part(third, 0)], true);
    let wanted = Findings {
        elsewhere: vec![held(part(first, 1)), held(part(third, 0))],
        absent: vec![part(second, 0)],
        present: vec![part(first, 0)],
        ..Findings::default()
    };
    assert_eq!(compare(&cluster.state, &all, 100), wanted);
}

/// A part is missing from one listing and there in the next.
fn is_missed_when_it_is_back() -> bool {
    let (mut cluster, [first, second, _]) = cluster();
    for parts in [vec![part(first, 0)], vec![part(first, 0), part(second, 0)]] {
        let found = compare(&cluster.state, &page(1, None, &parts, true), 100);
        tell(&mut cluster.census, ServerId(1), &found);
        assert!(parts.len() > 1 || cluster.census.is_damaged(part(second, 0), ServerId(1)));
    }
    cluster.census.is_damaged(part(second, 0), ServerId(1))
}

#[test]
fn what_is_back_is_missed_no_more() {
    assert!(!is_missed_when_it_is_back());
    mooseng_core::plant::activate(Some("part-that-is-back-stays-missing"));
    let missed = is_missed_when_it_is_back();
    mooseng_core::plant::activate(None);
    assert!(missed, "the planted bug goes unseen");
}

#[test]
fn what_is_listed_as_damaged_is_as_good_as_absent() {
    let (cluster, [first, second, _]) = cluster();
    let mut all = page(1, None, &[part(first, 0), part(second, 0)], true);
    all.parts[1].damaged = true;
    let (absent, present) = (vec![part(second, 0)], vec![part(first, 0)]);
    assert_eq!(compare(&cluster.state, &all, 100), Findings { absent, present, ..Findings::default() });
}

#[test]
fn a_page_says_nothing_of_what_is_behind_its_end() {
    let (cluster, [first, second, third]) = cluster();
    let found = compare(&cluster.state, &page(2, None, &[part(first, 1)], false), 100);
    let present = vec![part(first, 1)];
    assert_eq!(found, Findings { next: Some(part(first, 1)), present, ..Findings::default() });
    let found = compare(&cluster.state, &page(2, found.next, &[part(third, 1)], true), 100);
    let (absent, present) = (vec![part(second, 1)], vec![part(third, 1)]);
    assert_eq!(found, Findings { absent, present, ..Findings::default() });
    let nothing = page(2, None, &[], false);
    assert_eq!(compare(&cluster.state, &nothing, 100), Findings::default(), "it says nothing at all");
}

#[test]
fn only_so_many_slices_are_looked_at() {
    let (cluster, [first, second, third]) = cluster();
    let found = compare(&cluster.state, &page(2, None, &[part(third, 1)], true), 2);
    let absent = vec![part(first, 1), part(second, 1)];
    assert_eq!(found, Findings { absent, next: Some(part(second, u8::MAX)), ..Findings::default() });
    let found = compare(&cluster.state, &page(2, found.next, &[part(third, 1)], true), 2);
    assert_eq!(found, Findings { present: vec![part(third, 1)], ..Findings::default() });
}

#[test]
fn what_a_slice_that_lacks_something_could_be_made_from_stays() {
    let (mut cluster, [first, second, _]) = cluster();
    let may_go = |cluster: &Cluster, part: PartId, server| {
        may_go(&cluster.state, &cluster.census, cluster.now, part, ServerId(server))
    };
    assert!(may_go(&cluster, part(first, 0), 4) && may_go(&cluster, part(first, 0), 2));
    assert!(!may_go(&cluster, part(first, 0), 1), "it is needed there");
    cluster.census.damaged(part(first, 1), ServerId(2));
    assert!(!may_go(&cluster, part(first, 0), 4) && may_go(&cluster, part(second, 0), 4));
    cluster.wait(4, &[1, 3, 4]);
    assert!(!may_go(&cluster, part(second, 0), 4), "server 2 is silent");
}

#[test]
fn a_part_must_have_been_seen_for_long() {
    let mut sightings = Sightings::default();
    let (slice, long) = (cluster().1[0], Duration::from_secs(60));
    let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
    let (server, one) = (ServerId(1), held(part(slice, 0)));
    assert!(!sightings.seen(server, one, at(0), long) && !sightings.seen(server, one, at(59), long));
    assert!(sightings.seen(server, one, at(60), long));
    let other = Held { incarnation: 8, ..one };
    assert!(!sightings.seen(server, other, at(61), long), "it was put there anew");
    sightings.passed(server, at(62));
    assert!(!sightings.seen(server, other, at(200), long), "it was gone in between");
}
