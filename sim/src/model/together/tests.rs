//! What the model takes for right, and what it does not.

use super::*;
use crate::oracle::testing::{attr, directory, file, name};
use mooseng_core::time::WallTime;

fn regular(counter: u64, links: u32, version: u64) -> Attr {
    Attr { mode: 0o644, ..attr(file(counter), links, version) }
}

fn create(child: &str) -> Op {
    Op::Create { parent: InodeId::ROOT, name: name(child), mode: 0o644, uid: 0, gid: 0 }
}

fn unlink(child: &str) -> Op {
    Op::Unlink { parent: InodeId::ROOT, name: name(child) }
}

fn lookup(child: &str) -> Query {
    Query::Lookup { parent: InodeId::ROOT, name: name(child) }
}

fn shows(attr: Attr) -> Outcome {
    Ok(Answer::Attr(attr))
}

/// A file system with the file `a`, number 2, made through mount 0.
fn with_a_file() -> Together {
    let mut together = Together::new(100);
    assert_eq!(together.changed(0, &create("a"), &shows(regular(2, 1, 1))), Ok(()));
    together
}

fn span(from: i64, to: i64) -> Span {
    (WallTime(from), WallTime(to))
}

fn written(bytes: u64, mtime: i64, version: u64) -> Outcome {
    shows(Attr { size: bytes, mtime: WallTime(mtime), ..regular(2, 1, version) })
}

#[test]
fn what_one_mount_has_done_is_seen_by_the_other() {
    let mut together = with_a_file();
    assert_eq!(together.answered(1, &lookup("a"), &shows(regular(2, 1, 1))), Ok(()));
    assert!(together.answered(1, &lookup("a"), &Err(Refusal::NotFound)).is_err());
    let mut together = with_a_file();
    assert_eq!(together.changed(1, &unlink("a"), &Ok(Answer::Done)), Ok(()));
    assert!(together.answered(0, &lookup("a"), &shows(regular(2, 1, 1))).is_err());
}

#[test]
fn a_change_in_doubt_is_there_or_not_and_then_stays_so() {
    let lost = || {
        let mut together = with_a_file();
        together.in_doubt(&unlink("a"));
        together
    };
    let gone = Err(Refusal::NotFound);
    let there = shows(regular(2, 1, 1));
    let mut together = lost();
    assert_eq!(together.answered(1, &lookup("a"), &there), Ok(()), "not yet, or never");
    assert_eq!(together.answered(1, &lookup("a"), &gone), Ok(()), "now");
    assert!(together.answered(1, &lookup("a"), &there).is_err(), "once, and not back again");
    let mut together = lost();
    // Whether it came before or after that nobody knows.
    assert_eq!(together.changed(1, &create("b"), &shows(regular(3, 1, 1))), Ok(()));
    assert_eq!(
        together.answered(1, &lookup("b"), &shows(regular(3, 1, 1))),
        Ok(()),
        "nothing else is in doubt"
    );
    assert!(together.answered(1, &lookup("b"), &gone).is_err());
}

#[test]
fn so_much_in_doubt_that_nothing_is_known_is_said() {
    let mut together = with_a_file();
    for child in ["b", "c", "d", "e", "f", "g", "h"] {
        together.in_doubt(&create(child));
    }
    assert!(!together.is_at_a_loss());
    assert_eq!(together.changed(0, &create("z"), &shows(regular(9, 1, 1))), Ok(()));
    assert!(together.is_at_a_loss());
}

#[test]
fn what_is_taken_in_is_seen_here_at_once_and_elsewhere_when_it_is_committed() {
    let get = Query::GetAttr { inode: file(2) };
    let here = |bytes, mtime| with_a_write().answered(0, &get, &written(bytes, mtime, 1));
    assert_eq!(here(30, 15), Ok(()));
    assert!(here(0, 15).is_err() && here(30, 21).is_err(), "its own write");
    let elsewhere = |bytes, mtime| with_a_write().answered(1, &get, &written(bytes, mtime, 1));
    assert_eq!((elsewhere(0, 0), elsewhere(30, 15)), (Ok(()), Ok(())));
    assert!(elsewhere(20, 15).is_err(), "half of it");
    let closed = |bytes, mtime| {
        let mut together = with_a_write();
        together.settled(0, file(2));
        together.answered(1, &get, &written(bytes, mtime, 2))
    };
    assert_eq!(closed(30, 15), Ok(()));
    assert!(closed(0, 0).is_err() && closed(30, 9).is_err());
}

fn with_a_write() -> Together {
    let mut together = with_a_file();
    together.wrote(0, file(2), 10, &[7; 20], span(10, 20));
    together
}

#[test]
fn a_time_that_is_set_stays_when_what_was_written_before_is_committed() {
    let time = NewTime::At(WallTime(-5));
    let set =
        Op::SetAttr { inode: file(2), change: AttrChange { mtime: Some(time), ..AttrChange::default() } };
    let later = |mtime| {
        let mut together = with_a_write();
        assert_eq!(together.changed(0, &set, &written(30, -5, 3)), Ok(()));
        together.settled(0, file(2));
        together.answered(1, &Query::GetAttr { inode: file(2) }, &written(30, mtime, 4))
    };
    assert_eq!(later(-5), Ok(()));
    assert!(later(15).is_err());
}

#[test]
fn what_is_in_doubt_of_bytes_is_not_predicted() {
    let mut together = with_a_write();
    together.begins(0);
    for bytes in [0, 30, 17] {
        assert_eq!(together.answered(1, &Query::GetAttr { inode: file(2) }, &written(bytes, 0, 1)), Ok(()));
    }
    assert!(together.answered(1, &lookup("a"), &Err(Refusal::NotFound)).is_err(), "names are");
}

#[test]
fn bytes_are_known_where_only_one_mount_writes_at_a_time() {
    let bytes = [&[0; 10][..], &[7; 20]].concat();
    let mut together = with_a_write();
    let (before, all) = (together.turn(), (0, 100));
    assert_eq!(together.read(0, file(2), before, all, &bytes), Ok(()));
    assert!(together.read(0, file(2), before, all, &bytes[..29]).is_err());
    assert!(together.read(0, file(2), before, all, &[7; 30]).is_err());
    assert_eq!(together.read(1, file(2), before, all, &[]), Ok(()), "not committed yet");
    together.settled(0, file(2));
    assert_eq!(together.read(1, file(2), before, all, &[]), Ok(()), "opened before");
    assert!(together.read(1, file(2), together.turn(), all, &[]).is_err());
    together.punched(1, file(2), 15, 5);
    let punched = [&bytes[..15], &[0; 5], &bytes[20..]].concat();
    assert_eq!(together.read(1, file(2), together.turn(), all, &punched), Ok(()));
    assert!(together.read(1, file(2), together.turn(), all, &bytes).is_err());
}

#[test]
fn holes_and_data_are_where_they_are_found() {
    let sought = |from, hole, found| with_a_write().sought(0, file(2), from, hole, found);
    assert_eq!((sought(0, false, Some(10)), sought(3, true, Some(3))), (Ok(()), Ok(())));
    assert_eq!((sought(12, true, Some(30)), sought(30, false, None)), (Ok(()), Ok(())));
    assert!(sought(0, false, None).is_err() && sought(0, false, Some(11)).is_err());
    assert!(sought(12, true, Some(13)).is_err() && sought(12, true, None).is_err());
}

#[test]
fn a_listing_shows_what_is_there_throughout_once() {
    let begun = || {
        let mut together = with_a_file();
        assert_eq!(together.changed(0, &create("b"), &shows(regular(3, 1, 1))), Ok(()));
        together.listing_begins((1, 9), InodeId::ROOT);
        assert_eq!(together.changed(0, &create("c"), &shows(regular(4, 1, 1))), Ok(()));
        assert_eq!(together.changed(0, &unlink("b"), &Ok(Answer::Done)), Ok(()));
        together
    };
    let line = |child: &str, counter| (name(child), file(counter));
    let listed = |lines: &[(Name, InodeId)]| {
        let mut together = begun();
        together.listed((1, 9), lines)?;
        together.listed((1, 9), &[])
    };
    assert_eq!(listed(&[line("a", 2)]), Ok(()));
    assert_eq!(listed(&[line("a", 2), line("b", 3), line("c", 4)]), Ok(()), "they came or went meanwhile");
    assert!(listed(&[line("c", 4)]).is_err(), "it was there throughout");
    assert!(listed(&[line("a", 2), line("a", 2)]).is_err(), "once");
    assert!(listed(&[line("a", 2), line("x", 5)]).is_err(), "it never was");
    assert!(listed(&[line("a", 3)]).is_err(), "it never stood for that");
}

#[test]
fn what_is_opened_is_there_and_can_be() {
    let mut together = with_a_file();
    assert!(together.is_file(file(2)) && !together.is_file(directory(1)));
    assert_eq!(together.opened(file(2), Access::READ, Ok(())), Ok(()));
    assert!(together.opened(file(2), Access::READ, Err(Refusal::AccessDenied)).is_err());
    assert!(together.opened(file(7), Access::READ, Ok(())).is_err());
}
