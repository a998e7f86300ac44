//! What the ledger takes for right, and what it does not.

use super::*;
use mooseng_core::id::{IdKind, Slot};

fn file() -> InodeId {
    InodeId::new(0, IdKind::File, Slot::default(), 7).unwrap()
}

fn at(moment: u64) -> Moment {
    Moment(moment)
}

fn put(ledger: &mut Ledger, client: usize, moment: u64, offset: u64, length: u64) -> Stamp {
    let change = Change::Write { offset, length };
    let stamp = ledger.begin(file(), client, client as u64, change, at(moment));
    ledger.taken(file(), stamp, at(moment));
    stamp
}

/// A read through what was opened at `opened`, which ends long after everything.
fn read(ledger: &Ledger, opened: u64, offset: u64, wanted: u64, bytes: &[u8]) -> Verdict {
    let (opened, began) = (at(opened), at(999));
    let read = Read { file: file(), client: 7, opened, began, ended: at(1_000), offset, wanted, bytes };
    ledger.judge(&read)
}

fn is_stale(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Stale(_))
}

#[test]
fn the_bytes_of_a_write_are_its_own_wherever_they_are_cut() {
    let whole = bytes_of(3, 5, 100);
    assert_eq!(bytes_of(3, 12, 20), whole[7..27]);
    assert_ne!(bytes_of(4, 5, 100), whole);
    assert_ne!(bytes_of(3, 6, 100), whole);
}

#[test]
fn what_was_never_acknowledged_may_be_seen_or_not() {
    let mut ledger = Ledger::default();
    let stamp = put(&mut ledger, 0, 10, 0, 100);
    let bytes = bytes_of(stamp, 0, 100);
    assert_eq!(read(&ledger, 20, 0, 100, &bytes), Verdict::Right);
    assert_eq!(read(&ledger, 20, 0, 100, &[]), Verdict::Right);
    assert_eq!(read(&ledger, 20, 0, 100, &bytes[..40]), Verdict::Right, "half of it may have been committed");
    assert!(!ledger.is_promised(file()));
}

#[test]
fn what_was_acknowledged_before_the_opening_has_to_be_seen() {
    let mut ledger = Ledger::default();
    let first = put(&mut ledger, 0, 10, 0, 100);
    ledger.kept(file(), 0, at(11), at(12));
    let second = put(&mut ledger, 0, 20, 50, 100);
    ledger.kept(file(), 0, at(21), at(25));
    let old = bytes_of(first, 0, 100);
    let new = [&bytes_of(first, 0, 50)[..], &bytes_of(second, 50, 100)].concat();
    assert_eq!(read(&ledger, 25, 0, 150, &new), Verdict::Right);
    assert_eq!(read(&ledger, 24, 0, 150, &old), Verdict::Right, "it was opened before");
    assert!(is_stale(&read(&ledger, 25, 0, 100, &old)));
    assert!(is_stale(&read(&ledger, 25, 0, 150, &new[..150 - 1])), "it ends too early");
    let hole = [&new[..60], &[0; 20], &new[80..]].concat();
    assert!(is_stale(&read(&ledger, 25, 0, 150, &hole)));
    assert!(ledger.is_promised(file()));
}

#[test]
fn bytes_of_nobody_of_another_place_or_of_the_future_are_foreign() {
    let mut ledger = Ledger::default();
    let stamp = put(&mut ledger, 0, 10, 0, 4_096);
    ledger.kept(file(), 0, at(11), at(12));
    let mut rotten = bytes_of(stamp, 0, 4_096);
    rotten[700] ^= 4;
    assert!(matches!(read(&ledger, 20, 0, 4_096, &rotten), Verdict::Foreign(what) if what.contains("700")));
    let moved = bytes_of(stamp, 512, 512);
    assert!(matches!(read(&ledger, 20, 0, 512, &moved), Verdict::Foreign(_)));
    let later = put(&mut ledger, 1, 2_000, 0, 100);
    assert!(matches!(read(&ledger, 20, 0, 100, &bytes_of(later, 0, 100)), Verdict::Foreign(_)));
    assert!(matches!(read(&ledger, 20, 5_000, 8, &[0; 8]), Verdict::Foreign(_)), "nothing is that long");
}

/// Another one may go on seeing what was there when it opened the file.
#[test]
fn whoever_made_a_change_sees_it_through_whatever_is_open() {
    let mut ledger = Ledger::default();
    let stamp = put(&mut ledger, 0, 10, 0, 100);
    ledger.kept(file(), 0, at(11), at(12));
    let cut = ledger.begin(file(), 0, 0, Change::Cut { size: 0 }, at(20));
    ledger.cut(file(), cut, at(22));
    let bytes = bytes_of(stamp, 0, 100);
    let by = |client, began| {
        let (opened, began) = (at(15), at(began));
        let read = Read {
            file: file(),
            client,
            opened,
            began,
            ended: at(99),
            offset: 0,
            wanted: 100,
            bytes: &bytes,
        };
        ledger.judge(&read)
    };
    assert_eq!((by(1, 30), by(0, 21)), (Verdict::Right, Verdict::Right));
    assert!(is_stale(&by(0, 22)));
}

/// Of two clients that write at the same time either may be last, byte by byte.
#[test]
fn writes_at_the_same_time_may_take_effect_in_any_order() {
    let mut ledger = Ledger::default();
    let one = put(&mut ledger, 0, 10, 0, 100);
    let other = put(&mut ledger, 1, 11, 0, 100);
    ledger.kept(file(), 0, at(12), at(20));
    ledger.kept(file(), 1, at(12), at(20));
    for stamp in [one, other] {
        assert_eq!(read(&ledger, 30, 0, 100, &bytes_of(stamp, 0, 100)), Verdict::Right);
    }
    let mixed = [&bytes_of(one, 0, 50)[..], &bytes_of(other, 50, 50)].concat();
    assert_eq!(read(&ledger, 30, 0, 100, &mixed), Verdict::Right);
    assert!(is_stale(&read(&ledger, 30, 0, 100, &[0; 100])) && is_stale(&read(&ledger, 30, 0, 100, &[])));
}

#[test]
fn a_file_that_was_cut_and_grew_again_reads_as_zeros_between() {
    let mut ledger = Ledger::default();
    let first = put(&mut ledger, 0, 10, 0, 100);
    ledger.kept(file(), 0, at(11), at(12));
    let cut = ledger.begin(file(), 0, 0, Change::Cut { size: 40 }, at(20));
    ledger.cut(file(), cut, at(22));
    let head = bytes_of(first, 0, 40);
    assert_eq!(read(&ledger, 30, 0, 100, &head), Verdict::Right);
    assert!(is_stale(&read(&ledger, 30, 0, 100, &bytes_of(first, 0, 100))));
    let second = put(&mut ledger, 0, 40, 80, 20);
    ledger.kept(file(), 0, at(41), at(42));
    let grown = [&head[..], &[0; 40], &bytes_of(second, 80, 20)].concat();
    assert_eq!(read(&ledger, 50, 0, 200, &grown), Verdict::Right);
    let back = [&bytes_of(first, 0, 80)[..], &bytes_of(second, 80, 20)].concat();
    assert!(is_stale(&read(&ledger, 50, 0, 200, &back)), "what was cut off is back");
}

#[test]
fn a_cut_in_the_midst_of_a_long_write_leaves_its_end() {
    let mut ledger = Ledger::default();
    let long = put(&mut ledger, 0, 10, 0, 100);
    let torn = [&[0; 60][..], &bytes_of(long, 60, 40)].concat();
    assert!(matches!(read(&ledger, 50, 0, 100, &torn), Verdict::Foreign(_)), "nobody cut it");
    let cut = ledger.begin(file(), 1, 1, Change::Cut { size: 0 }, at(11));
    ledger.cut(file(), cut, at(12));
    ledger.kept(file(), 0, at(13), at(20));
    assert_eq!(read(&ledger, 50, 0, 100, &torn), Verdict::Right);
}

#[test]
fn a_close_speaks_only_for_what_went_through_it() {
    let mut ledger = Ledger::default();
    put(&mut ledger, 0, 10, 0, 100);
    ledger.kept(file(), 9, at(20), at(21));
    assert!(!ledger.is_promised(file()), "another handle");
    ledger.kept(file(), 0, at(9), at(21));
    assert!(!ledger.is_promised(file()), "it began before");
    ledger.kept(file(), 0, at(10), at(21));
    assert!(ledger.is_promised(file()));
    assert_eq!((ledger.files().count(), ledger.length_max(file())), (1, 101));
}

#[test]
fn a_hole_reads_as_zeros_and_leaves_the_length() {
    let mut ledger = Ledger::default();
    let first = put(&mut ledger, 0, 10, 0, 100);
    ledger.kept(file(), 0, at(11), at(12));
    let hole = ledger.begin(file(), 1, 1, Change::Punch { offset: 20, length: 30 }, at(20));
    let bytes = bytes_of(first, 0, 100);
    let punched = [&bytes[..20], &[0; 30], &bytes[50..]].concat();
    assert_eq!(read(&ledger, 15, 0, 200, &punched), Verdict::Right, "it may have taken effect");
    ledger.cut(file(), hole, at(22));
    assert_eq!(read(&ledger, 30, 0, 200, &punched), Verdict::Right);
    assert!(is_stale(&read(&ledger, 30, 0, 200, &bytes)), "what was punched out is back");
    assert!(is_stale(&read(&ledger, 30, 0, 200, &punched[..20])), "a hole is no end");
    let again = put(&mut ledger, 0, 40, 30, 10);
    ledger.kept(file(), 0, at(41), at(42));
    let filled = [&punched[..30], &bytes_of(again, 30, 10), &punched[40..]].concat();
    assert_eq!(read(&ledger, 50, 0, 200, &filled), Verdict::Right);
}
