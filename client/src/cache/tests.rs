//! What the table keeps, what it does not, and that each planted bug shows.

use super::*;
use crate::Answered;
use mooseng_core::class::StorageClass;
use mooseng_core::id::{IdKind, InodeId, Slot};
use mooseng_core::namespace::{
    Access, Answer, Attr, AttrChange, Caller, DirEntry, FileKind, Name, Op, Outcome, Query, Refusal,
    RenameMode, Target, XattrMode, XattrName,
};
use mooseng_core::time::{Instant, WallTime};
use std::time::Duration;

const EPOCH: u64 = 7;
const LEASE: Duration = Duration::from_secs(5);
const OWNER: u32 = 1_000;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(1_000_000 * ms)
}

fn directory(counter: u64) -> InodeId {
    InodeId::new(0, IdKind::Directory, Slot::default(), counter).unwrap()
}

fn file(counter: u64) -> InodeId {
    InodeId::new(0, IdKind::File, Slot::default(), counter).unwrap()
}

fn name(name: &'static str) -> Name {
    Name::new(name).unwrap()
}

fn attr(inode: InodeId) -> Attr {
    let time = WallTime(5);
    let kind = if inode.kind() == IdKind::Directory { FileKind::Directory } else { FileKind::Regular };
    Attr {
        inode,
        kind,
        mode: 0o750,
        links: 1,
        uid: OWNER,
        gid: OWNER,
        size: 0,
        atime: time,
        mtime: time,
        ctime: time,
        version: 1,
        class: StorageClass::default(),
        blocks: 0,
        rdev: 0,
    }
}

fn somebody(uid: u32) -> Caller {
    Caller { uid, gid: uid, groups: Vec::new() }
}

fn answered(outcome: Outcome, index: u64) -> Answered {
    Answered { outcome, index, cached: false }
}

fn granted(inodes: &[InodeId]) -> Granted {
    Granted { epoch: EPOCH, inodes: inodes.to_vec(), attrs: Vec::new() }
}

fn told(number: u64, inodes: &[InodeId]) -> Recalled {
    Recalled { epoch: EPOCH, number, inodes: inodes.to_vec(), lease: LEASE }
}

fn lookup(parent: InodeId, text: &'static str) -> Query {
    Query::Lookup { parent, name: name(text) }
}

/// A table with leases from 0 on.
fn fresh() -> Table {
    let mut table = Table::new(CacheConfig::default());
    assert_eq!(table.poll(), (0, 0));
    assert_eq!(table.polled(at(0), 0, &told(3, &[])), Dropped::Everything);
    assert_eq!(table.poll(), (EPOCH, 3));
    table
}

/// Asked as root and answered at once.
fn learn(table: &mut Table, query: &Query, outcome: Outcome, leased: &[InodeId]) {
    let sent = table.ask();
    table.learn(sent, &Caller::ROOT, query, &answered(outcome, 10), &granted(leased));
}

fn seen(table: &mut Table, caller: &Caller, query: &Query) -> Option<Outcome> {
    table.answer(caller, query, at(1_000)).map(|answered| answered.outcome)
}

/// One directory with a file in it, and one name that is not there.
fn with_a_file() -> (Table, InodeId, InodeId) {
    let (mut table, parent, child) = (fresh(), directory(5), file(6));
    learn(&mut table, &Query::GetAttr { inode: parent }, Ok(Answer::Attr(attr(parent))), &[parent]);
    learn(&mut table, &lookup(parent, "a"), Ok(Answer::Attr(attr(child))), &[parent, child]);
    learn(&mut table, &lookup(parent, "none"), Err(Refusal::NotFound), &[parent]);
    (table, parent, child)
}

#[test]
fn what_was_told_is_told_again_while_the_leases_last() {
    let (mut table, parent, child) = with_a_file();
    let answer = table.answer(&Caller::ROOT, &lookup(parent, "a"), at(1)).unwrap();
    assert_eq!(answer, Answered { outcome: Ok(Answer::Attr(attr(child))), index: 10, cached: true });
    assert_eq!(seen(&mut table, &Caller::ROOT, &lookup(parent, "none")), Some(Err(Refusal::NotFound)));
    assert_eq!(seen(&mut table, &Caller::ROOT, &lookup(parent, "other")), None);
    // Both clocks may be wrong by a hundredth.
    assert!(table.answer(&Caller::ROOT, &Query::GetAttr { inode: child }, at(4_899)).is_some());
    assert!(table.answer(&Caller::ROOT, &Query::GetAttr { inode: child }, at(4_900)).is_none());
    table.polled(at(3_000), EPOCH, &told(3, &[]));
    assert!(table.answer(&Caller::ROOT, &Query::GetAttr { inode: child }, at(7_899)).is_some(), "renewed");
    assert_eq!(table.confirm_attr(&attr(child), at(7_800)), Duration::from_millis(100));
    assert_eq!(table.confirm_attr(&Attr { size: 1, ..attr(child) }, at(7_800)), Duration::ZERO);
    assert_eq!(table.confirm_name(parent, &name("a"), Some(child), at(7_800)), Duration::from_millis(100));
    assert_eq!(table.confirm_name(parent, &name("none"), None, at(7_800)), Duration::from_millis(100));
    assert_eq!(table.confirm_name(parent, &name("a"), None, at(7_800)), Duration::ZERO);
}

#[test]
fn what_came_without_a_lease_is_not_kept() {
    let (parent, child) = (directory(5), file(6));
    let mut table = fresh();
    learn(&mut table, &lookup(parent, "a"), Ok(Answer::Attr(attr(child))), &[child]);
    assert_eq!(seen(&mut table, &Caller::ROOT, &lookup(parent, "a")), None);
    assert!(seen(&mut table, &Caller::ROOT, &Query::GetAttr { inode: child }).is_some());
    let sent = table.ask();
    let foreign = Granted { epoch: EPOCH + 1, ..granted(&[parent]) };
    let there = answered(Ok(Answer::Attr(attr(parent))), 10);
    table.learn(sent, &Caller::ROOT, &Query::GetAttr { inode: parent }, &there, &foreign);
    assert_eq!(seen(&mut table, &Caller::ROOT, &Query::GetAttr { inode: parent }), None, "another epoch");
    let mut without = Table::new(CacheConfig::default());
    learn(&mut without, &Query::GetAttr { inode: child }, Ok(Answer::Attr(attr(child))), &[child]);
    assert_eq!(seen(&mut without, &Caller::ROOT, &Query::GetAttr { inode: child }), None, "no epoch");
}

#[test]
fn a_recall_drops_and_is_told_of_when_it_is_dealt_with() {
    let (mut table, parent, child) = with_a_file();
    assert_eq!(table.polled(at(10), EPOCH, &told(4, &[parent])), Dropped::These(vec![parent]));
    assert_eq!(table.poll(), (EPOCH, 3), "nothing is dealt with yet");
    assert_eq!(seen(&mut table, &Caller::ROOT, &lookup(parent, "a")), None);
    assert!(seen(&mut table, &Caller::ROOT, &Query::GetAttr { inode: child }).is_some());
    table.dealt_with(EPOCH, 4);
    table.dealt_with(EPOCH - 1, 9);
    assert_eq!(table.poll(), (EPOCH, 4));
}

#[test]
fn an_answer_that_crossed_a_recall_is_not_kept() {
    let (mut table, parent, child) = with_a_file();
    let before = table.ask();
    table.polled(at(10), EPOCH, &told(4, &[parent]));
    let after = table.ask();
    let found = answered(Ok(Answer::Attr(attr(child))), 12);
    let both = granted(&[parent, child]);
    table.learn(before, &Caller::ROOT, &lookup(parent, "a"), &found, &both);
    assert_eq!(seen(&mut table, &Caller::ROOT, &lookup(parent, "a")), None);
    table.learn(after, &Caller::ROOT, &lookup(parent, "a"), &found, &both);
    assert_eq!(seen(&mut table, &Caller::ROOT, &lookup(parent, "a")), Some(found.outcome));
}

#[test]
fn another_epoch_drops_everything_and_so_does_forgetting() {
    let (mut table, _, child) = with_a_file();
    let sent = table.ask();
    let renewed = Recalled { epoch: EPOCH + 1, number: 1, inodes: vec![], lease: LEASE };
    assert_eq!(table.polled(at(10), EPOCH, &renewed), Dropped::Everything);
    assert_eq!(table.poll(), (EPOCH + 1, 1));
    assert_eq!(seen(&mut table, &Caller::ROOT, &Query::GetAttr { inode: child }), None);
    let there = answered(Ok(Answer::Attr(attr(child))), 12);
    let leased = Granted { epoch: EPOCH + 1, ..granted(&[child]) };
    let query = Query::GetAttr { inode: child };
    table.learn(sent, &Caller::ROOT, &query, &there, &leased);
    assert_eq!(seen(&mut table, &Caller::ROOT, &query), None, "asked for before");
    let sent = table.ask();
    table.learn(sent, &Caller::ROOT, &query, &there, &leased);
    assert!(seen(&mut table, &Caller::ROOT, &query).is_some());
    assert_eq!(table.forget(), Dropped::Everything);
    assert_eq!((table.poll().0, seen(&mut table, &Caller::ROOT, &query)), (0, None));
    // The answer to a poll of before says nothing of now.
    table.polled(at(20), EPOCH + 1, &renewed);
    assert_eq!(table.poll().0, 0);
}

#[test]
fn permissions_are_those_of_who_asks() {
    let (mut table, parent, child) = with_a_file();
    let (owner, stranger) = (somebody(OWNER), somebody(7));
    assert!(seen(&mut table, &owner, &lookup(parent, "a")).unwrap().is_ok());
    assert_eq!(seen(&mut table, &stranger, &lookup(parent, "a")), Some(Err(Refusal::AccessDenied)));
    assert_eq!(seen(&mut table, &stranger, &lookup(parent, "none")), Some(Err(Refusal::AccessDenied)));
    let read = Query::Access { inode: child, access: Access::READ };
    assert_eq!(seen(&mut table, &stranger, &read), Some(Err(Refusal::AccessDenied)));
    assert_eq!(seen(&mut table, &owner, &read), Some(Ok(Answer::Attr(attr(child)))));
    let page = Query::ReadDir { directory: parent, cookie: 0, limit: 10 };
    learn(&mut table, &page, Ok(Answer::Entries { entries: vec![], end: true }), &[parent]);
    assert_eq!(seen(&mut table, &stranger, &page), Some(Err(Refusal::AccessDenied)));
    // Whose directory it is was never told: only root needs no permission.
    let unknown = directory(50);
    learn(&mut table, &lookup(unknown, "a"), Ok(Answer::Attr(attr(child))), &[unknown]);
    assert_eq!(seen(&mut table, &owner, &lookup(unknown, "a")), None);
    assert!(seen(&mut table, &Caller::ROOT, &lookup(unknown, "a")).is_some());
}

fn entries(cookies: std::ops::Range<u64>) -> Vec<DirEntry> {
    let entry = |cookie: u64| DirEntry {
        cookie,
        name: Name::new(cookie.to_string()).unwrap(),
        inode: file(cookie),
        kind: FileKind::Regular,
    };
    cookies.map(entry).collect()
}

#[test]
fn a_listing_is_told_from_its_pages_and_whole_it_knows_what_is_absent() {
    let (mut table, parent) = (fresh(), directory(5));
    let page = |cookie, limit| Query::ReadDir { directory: parent, cookie, limit };
    let told = |range, end| Ok(Answer::Entries { entries: entries(range), end });
    learn(&mut table, &page(0, 3), told(1..4, false), &[parent]);
    learn(&mut table, &page(6, 3), told(7..9, true), &[parent]);
    assert_eq!(seen(&mut table, &Caller::ROOT, &page(0, 9)), Some(told(1..4, false)));
    assert_eq!(seen(&mut table, &Caller::ROOT, &page(1, 1)), Some(told(2..3, false)));
    assert_eq!(seen(&mut table, &Caller::ROOT, &page(3, 9)), None, "a gap");
    assert_eq!(seen(&mut table, &Caller::ROOT, &lookup(parent, "no")), None);
    learn(&mut table, &page(3, 3), told(4..7, false), &[parent]);
    learn(&mut table, &page(6, 3), told(7..9, true), &[parent]);
    assert_eq!(seen(&mut table, &Caller::ROOT, &page(2, 99)), Some(told(3..9, true)));
    assert_eq!(seen(&mut table, &Caller::ROOT, &page(8, 99)), Some(told(0..0, true)));
    assert_eq!(seen(&mut table, &Caller::ROOT, &lookup(parent, "no")), Some(Err(Refusal::NotFound)));
    assert_eq!(seen(&mut table, &Caller::ROOT, &lookup(parent, "4")), None, "its attributes are not known");
    let child = Query::GetAttr { inode: file(4) };
    learn(&mut table, &child, Ok(Answer::Attr(attr(file(4)))), &[file(4)]);
    assert!(seen(&mut table, &Caller::ROOT, &lookup(parent, "4")).is_some());
}

#[test]
fn a_change_of_our_own_drops_what_it_changes_and_keeps_the_rest() {
    let (mut table, parent, child) = with_a_file();
    learn(&mut table, &lookup(parent, "b"), Ok(Answer::Attr(attr(file(9)))), &[parent, file(9)]);
    let op = Op::Unlink { parent, name: name("a") };
    let changing = table.begin(&op);
    assert_eq!((changing.epoch, &changing.touched[..]), (EPOCH, &[child, parent][..]));
    for query in [lookup(parent, "a"), Query::GetAttr { inode: parent }, Query::GetAttr { inode: child }] {
        assert_eq!(seen(&mut table, &Caller::ROOT, &query), None, "{query:?} may change");
    }
    let owner = somebody(OWNER);
    assert!(seen(&mut table, &owner, &lookup(parent, "b")).is_some(), "it stays, and so do permissions");
    table.changed(changing, &op, &answered(Ok(Answer::Done), 20), &granted(&[]));
    assert_eq!(seen(&mut table, &owner, &lookup(parent, "a")), Some(Err(Refusal::NotFound)));
    assert_eq!(seen(&mut table, &Caller::ROOT, &Query::GetAttr { inode: parent }), None);
    let known = table.answer(&owner, &lookup(parent, "b"), at(1)).unwrap();
    assert_eq!(known.index, 20, "it is true where the change took effect, too");
}

/// A directory whose change was answered with what it is like now, and recalled meanwhile if so wanted.
fn told_beside(recalled: bool) -> Option<Outcome> {
    let (mut table, parent, _) = with_a_file();
    let op = Op::Unlink { parent, name: name("a") };
    let changing = table.begin(&op);
    if recalled {
        table.polled(at(10), EPOCH, &told(4, &[parent]));
    }
    let now = Granted { attrs: vec![Attr { version: 7, ..attr(parent) }], ..granted(&[parent]) };
    table.changed(changing, &op, &answered(Ok(Answer::Done), 20), &now);
    seen(&mut table, &Caller::ROOT, &Query::GetAttr { inode: parent })
}

#[test]
fn what_a_directory_is_like_after_our_own_change_is_kept_with_its_lease() {
    let now = Attr { version: 7, ..attr(directory(5)) };
    assert_eq!(told_beside(false), Some(Ok(Answer::Attr(now))));
    assert_eq!(told_beside(true), None, "the lease may be the one that was recalled");
}

#[test]
fn what_is_listed_is_known_with_its_lease() {
    let (mut table, parent, _) = with_a_file();
    let [still, recalled, unleased] = [21, 22, 23].map(file);
    let page = Query::ReadDir { directory: parent, cookie: 0, limit: 10 };
    let sent = table.ask();
    table.polled(at(10), EPOCH, &told(4, &[recalled]));
    let all = Granted {
        attrs: [still, recalled, unleased].map(attr).to_vec(),
        ..granted(&[parent, still, recalled])
    };
    let entries = Ok(Answer::Entries { entries: vec![], end: true });
    table.learn(sent, &Caller::ROOT, &page, &answered(entries, 10), &all);
    let known = [still, recalled, unleased]
        .map(|inode| seen(&mut table, &Caller::ROOT, &Query::GetAttr { inode }).is_some());
    assert_eq!(known, [true, false, false]);
}

#[test]
fn nothing_is_kept_of_what_a_change_under_way_may_touch() {
    let (mut table, parent, child) = with_a_file();
    let op = Op::SetAttr { inode: child, change: AttrChange { mode: Some(0o600), ..AttrChange::default() } };
    let query = Query::GetAttr { inode: child };
    let (old, new) = (attr(child), Attr { mode: 0o600, version: 2, ..attr(child) });
    let before = table.ask();
    let changing = table.begin(&op);
    let meanwhile = table.ask();
    let old = answered(Ok(Answer::Attr(old)), 12);
    table.learn(before, &Caller::ROOT, &query, &old, &granted(&[child]));
    assert_eq!(seen(&mut table, &Caller::ROOT, &query), None, "asked for before, answered meanwhile");
    table.changed(changing, &op, &answered(Ok(Answer::Attr(new)), 13), &granted(&[]));
    assert_eq!(seen(&mut table, &Caller::ROOT, &query), Some(Ok(Answer::Attr(new))), "the lease stayed");
    table.learn(meanwhile, &Caller::ROOT, &query, &old, &granted(&[child]));
    assert_eq!(seen(&mut table, &Caller::ROOT, &query), Some(Ok(Answer::Attr(new))), "asked meanwhile");
    assert!(seen(&mut table, &Caller::ROOT, &lookup(parent, "none")).is_some());
}

#[test]
fn a_recall_during_a_change_leaves_nothing_of_its_answer() {
    let (mut table, parent, child) = with_a_file();
    let op = Op::Create { parent, name: name("new"), mode: 0o600, uid: 0, gid: 0 };
    let changing = table.begin(&op);
    table.polled(at(10), EPOCH, &told(4, &[parent]));
    let made = file(20);
    let outcome = Ok(Answer::Attr(attr(made)));
    table.changed(changing, &op, &answered(outcome.clone(), 20), &granted(&[parent, made]));
    assert_eq!(seen(&mut table, &Caller::ROOT, &lookup(parent, "new")), None);
    assert_eq!(seen(&mut table, &Caller::ROOT, &Query::GetAttr { inode: made }), Some(outcome));
    assert!(seen(&mut table, &Caller::ROOT, &Query::GetAttr { inode: child }).is_some());
}

#[test]
fn of_two_changes_at_a_time_neither_answer_is_kept() {
    let (mut table, parent, _) = with_a_file();
    let make = Op::Create { parent, name: name("new"), mode: 0o600, uid: 0, gid: 0 };
    let remove = Op::Unlink { parent, name: name("new") };
    let (making, removing) = (table.begin(&make), table.begin(&remove));
    let made = answered(Ok(Answer::Attr(attr(file(20)))), 20);
    table.changed(removing, &remove, &answered(Ok(Answer::Done), 21), &granted(&[]));
    table.changed(making, &make, &made, &granted(&[parent]));
    assert_eq!(seen(&mut table, &Caller::ROOT, &lookup(parent, "new")), None);
    assert!(seen(&mut table, &Caller::ROOT, &lookup(parent, "none")).is_some(), "nobody else was there");
}

#[test]
fn what_was_just_made_is_known_whole() {
    let (mut table, parent, _) = with_a_file();
    let made = directory(30);
    let op = Op::Mkdir { parent, name: name("d"), mode: 0o700, uid: 0, gid: 0 };
    let changing = table.begin(&op);
    table.changed(changing, &op, &answered(Ok(Answer::Attr(attr(made))), 20), &granted(&[made]));
    assert_eq!(seen(&mut table, &Caller::ROOT, &lookup(parent, "d")), Some(Ok(Answer::Attr(attr(made)))));
    assert_eq!(seen(&mut table, &Caller::ROOT, &lookup(made, "x")), Some(Err(Refusal::NotFound)));
    let page = Query::ReadDir { directory: made, cookie: 0, limit: 5 };
    assert_eq!(
        seen(&mut table, &Caller::ROOT, &page),
        Some(Ok(Answer::Entries { entries: vec![], end: true }))
    );
    let names = Query::ListXattr { inode: made };
    assert_eq!(seen(&mut table, &somebody(9), &names), Some(Ok(Answer::XattrNames(vec![]))));
    // Also while files are made in it.
    let op = Op::Symlink { parent: made, name: name("l"), target: Target::new("a").unwrap(), uid: 0, gid: 0 };
    let changing = table.begin(&op);
    assert_eq!(seen(&mut table, &Caller::ROOT, &lookup(made, "l")), None);
    assert_eq!(seen(&mut table, &Caller::ROOT, &lookup(made, "x")), Some(Err(Refusal::NotFound)));
    table.changed(changing, &op, &answered(Ok(Answer::Attr(attr(file(31)))), 21), &granted(&[file(31)]));
    assert_eq!(seen(&mut table, &Caller::ROOT, &page), None, "its listing is another one");
    let says = Query::ReadLink { inode: file(31) };
    assert_eq!(seen(&mut table, &Caller::ROOT, &says), Some(Ok(Answer::Target(Target::new("a").unwrap()))));
}

#[test]
fn a_rename_leaves_neither_name_known() {
    let (mut table, parent, child) = with_a_file();
    learn(&mut table, &lookup(parent, "b"), Ok(Answer::Attr(attr(file(9)))), &[parent, file(9)]);
    let op = Op::Rename {
        source_parent: parent,
        source_name: name("a"),
        target_parent: parent,
        target_name: name("b"),
        mode: RenameMode::Replace,
    };
    let changing = table.begin(&op);
    assert_eq!(changing.touched, [child, file(9), parent]);
    table.changed(changing, &op, &answered(Ok(Answer::Done), 20), &granted(&[]));
    for query in [lookup(parent, "a"), lookup(parent, "b"), Query::GetAttr { inode: child }] {
        assert_eq!(seen(&mut table, &Caller::ROOT, &query), None, "{query:?}");
    }
    assert!(seen(&mut table, &Caller::ROOT, &lookup(parent, "none")).is_some());
}

#[test]
fn a_change_that_was_given_up_ends_the_epoch() {
    let (mut table, parent, child) = with_a_file();
    let op = Op::Unlink { parent, name: name("a") };
    let changing = table.begin(&op);
    table.not_sent(changing);
    assert_eq!(table.poll().0, EPOCH, "nothing was asked for");
    let changing = table.begin(&Op::GrantSlices { inode: child, count: 1 });
    assert_eq!(table.change_given_up(changing), Dropped::These(vec![]), "it changes nothing");
    let changing = table.begin(&op);
    assert_eq!(table.change_given_up(changing), Dropped::Everything);
    assert_eq!((table.poll().0, seen(&mut table, &Caller::ROOT, &lookup(parent, "none"))), (0, None));
}

#[test]
fn extended_attributes_are_known_one_by_one_or_all() {
    let (mut table, _, child) = with_a_file();
    let xattr = |text: &'static str| XattrName::new(text).unwrap();
    let get = |text| Query::GetXattr { inode: child, name: xattr(text) };
    learn(&mut table, &get("user.a"), Ok(Answer::Value("one".into())), &[child]);
    learn(&mut table, &get("user.b"), Err(Refusal::NoAttribute), &[child]);
    assert_eq!(seen(&mut table, &Caller::ROOT, &get("user.a")), Some(Ok(Answer::Value("one".into()))));
    assert_eq!(seen(&mut table, &somebody(7), &get("user.a")), Some(Err(Refusal::AccessDenied)));
    assert_eq!(seen(&mut table, &Caller::ROOT, &get("user.b")), Some(Err(Refusal::NoAttribute)));
    assert_eq!(seen(&mut table, &Caller::ROOT, &get("user.c")), None);
    let names = vec![xattr("trusted.t"), xattr("user.a")];
    let list = Query::ListXattr { inode: child };
    learn(&mut table, &list, Ok(Answer::XattrNames(names.clone())), &[child]);
    assert_eq!(seen(&mut table, &Caller::ROOT, &get("user.c")), Some(Err(Refusal::NoAttribute)));
    assert_eq!(seen(&mut table, &Caller::ROOT, &list), Some(Ok(Answer::XattrNames(names))));
    let shown = vec![xattr("user.a")];
    assert_eq!(seen(&mut table, &somebody(OWNER), &list), Some(Ok(Answer::XattrNames(shown))));
    // What somebody may not know of was never told to them.
    let sent = table.ask();
    let none = answered(Err(Refusal::NoAttribute), 10);
    table.learn(sent, &somebody(OWNER), &get("trusted.t"), &none, &granted(&[child]));
    assert_eq!(seen(&mut table, &Caller::ROOT, &get("trusted.t")), None, "it is there");
    let op = Op::SetXattr { inode: child, name: xattr("user.a"), value: "two".into(), mode: XattrMode::Set };
    let changing = table.begin(&op);
    table.changed(changing, &op, &answered(Ok(Answer::Done), 20), &granted(&[]));
    assert_eq!(seen(&mut table, &Caller::ROOT, &get("user.a")), None);
}

#[test]
fn the_oldest_goes_when_there_is_no_room_and_what_is_of_use_stays() {
    let config = CacheConfig { inodes_max: 3, bytes_max: 40_000, leases_max: 5 };
    let mut table = Table::new(config);
    table.polled(at(0), 0, &told(0, &[]));
    let query = |counter| Query::GetAttr { inode: file(counter) };
    let put = |table: &mut Table, counter| {
        learn(table, &query(counter), Ok(Answer::Attr(attr(file(counter)))), &[file(counter)]);
    };
    (1..4).for_each(|counter| put(&mut table, counter));
    assert!(seen(&mut table, &Caller::ROOT, &query(1)).is_some());
    put(&mut table, 4);
    let kept: Vec<bool> =
        (1..5).map(|counter| seen(&mut table, &Caller::ROOT, &query(counter)).is_some()).collect();
    assert_eq!((kept, table.is_worn()), (vec![true, false, true, true], false));
    put(&mut table, 5);
    put(&mut table, 6);
    assert!(table.is_worn(), "leases are held on what is not kept");
    // A directory that would take all the room is not kept.
    let large = directory(9);
    let page = Query::ReadDir { directory: large, cookie: 0, limit: 1_000 };
    learn(&mut table, &page, Ok(Answer::Entries { entries: entries(1..500), end: true }), &[large]);
    assert_eq!(seen(&mut table, &Caller::ROOT, &page), None);
}

/// `true` if all is well.
type Look = fn() -> bool;

const PLANTED: &[(&str, Look)] = &[
    ("cache-outlives-its-leases", || {
        let (mut table, _, child) = with_a_file();
        table.answer(&Caller::ROOT, &Query::GetAttr { inode: child }, at(6_000)).is_none()
    }),
    ("cached-listing-shown-to-all", || {
        let (mut table, parent, _) = with_a_file();
        let page = Query::ReadDir { directory: parent, cookie: 0, limit: 10 };
        learn(&mut table, &page, Ok(Answer::Entries { entries: vec![], end: true }), &[parent]);
        seen(&mut table, &somebody(7), &page) == Some(Err(Refusal::AccessDenied))
    }),
    ("lease-that-was-recalled-kept", || {
        let (mut table, _, child) = with_a_file();
        let (sent, query) = (table.ask(), Query::GetAttr { inode: child });
        table.polled(at(10), EPOCH, &told(4, &[child]));
        let old = answered(Ok(Answer::Attr(attr(child))), 10);
        table.learn(sent, &Caller::ROOT, &query, &old, &granted(&[child]));
        seen(&mut table, &Caller::ROOT, &query).is_none()
    }),
    ("own-change-drops-nothing", || {
        let (mut table, parent, _) = with_a_file();
        table.begin(&Op::Unlink { parent, name: name("a") });
        seen(&mut table, &Caller::ROOT, &lookup(parent, "a")).is_none()
    }),
    ("told-beside-and-kept-anyway", || told_beside(true).is_none()),
    ("recalled-lease-kept", || {
        let (mut table, _, child) = with_a_file();
        table.polled(at(10), EPOCH, &told(4, &[child]));
        seen(&mut table, &Caller::ROOT, &Query::GetAttr { inode: child }).is_none()
    }),
];

#[test]
fn every_planted_bug_shows() {
    for (bug, look) in PLANTED {
        assert!(look(), "{bug}: all is well without it");
        mooseng_core::plant::activate(Some(bug));
        let well = look();
        let reached = mooseng_core::plant::reached();
        mooseng_core::plant::activate(None);
        assert!(reached > 0 && !well, "{bug} goes unseen");
    }
}
