//! The rules, case by case, by words: each line is an operation and what the model says to an
//! answer.

use super::*;
use crate::oracle::testing::{attr, create_in, directory, entry, file, mkdir_in, name, root_tree, shows};
use mooseng_core::namespace::{Attr, AttrChange, DirEntry, NewTime, RenameMode};
use mooseng_core::time::WallTime;

const ROOT_ID: InodeId = InodeId::ROOT;

struct Case {
    model: Model,
    next: Maker,
}

impl Case {
    fn new() -> Self {
        Self { model: Model::new(6), next: 1 }
    }

    fn try_op(&mut self, operation: &Op, outcome: Option<&Outcome>) -> Result<(), Expected> {
        self.next += 1;
        self.model.carry_out(self.next, operation, outcome)
    }

    fn done(&mut self, operation: Op) {
        self.try_op(&operation, Some(&Ok(Answer::Done))).unwrap_or_else(|why| panic!("{operation:?}: {why}"));
    }

    fn shown(&mut self, operation: Op, outcome: Outcome) {
        self.try_op(&operation, Some(&outcome)).unwrap_or_else(|why| panic!("{operation:?}: {why}"));
    }

    /// The model allows these refusals and nothing else.
    fn refused(&mut self, operation: Op, reasons: &[Refusal]) {
        let said = self.model.clone().carry_out(99, &operation, Some(&Ok(Answer::Done)));
        assert_eq!(said, Err(Expected::Refused(reasons.to_vec())), "{operation:?}");
        for reason in reasons {
            self.shown(operation.clone(), Err(*reason));
        }
    }

    /// `/d` (d2) with `/d/e` (d3), and the file `/f` (f1).
    fn with_some() -> Self {
        let mut case = Self::new();
        case.shown(mkdir_in(ROOT_ID, "d"), shows(directory(2), 2, 1));
        case.shown(mkdir_in(directory(2), "e"), shows(directory(3), 2, 1));
        case.shown(create_in(ROOT_ID, "f"), shows(file(1), 1, 1));
        case
    }
}

fn rename(source: (InodeId, &str), target: (InodeId, &str), mode: RenameMode) -> Op {
    Op::Rename {
        source_parent: source.0,
        source_name: name(source.1),
        target_parent: target.0,
        target_name: name(target.1),
        mode,
    }
}

fn replace(source: (InodeId, &str), target: (InodeId, &str)) -> Op {
    rename(source, target, RenameMode::Replace)
}

fn unlink(parent: InodeId, child: &str) -> Op {
    Op::Unlink { parent, name: name(child) }
}

fn rmdir(parent: InodeId, child: &str) -> Op {
    Op::Rmdir { parent, name: name(child) }
}

fn link(inode: InodeId, parent: InodeId, child: &str) -> Op {
    Op::Link { inode, parent, name: name(child) }
}

fn look(case: &mut Case, inode: InodeId, links: u32, version: u64) -> Result<(), Expected> {
    case.model.answer(&Query::GetAttr { inode }, &shows(inode, links, version))
}

#[test]
fn what_posix_refuses_is_refused() {
    use Refusal::*;
    let (d, e, f) = (directory(2), directory(3), file(1));
    let case = &mut Case::with_some();
    case.refused(mkdir_in(ROOT_ID, "f"), &[Exists]);
    case.refused(create_in(f, "x"), &[NotDirectory]);
    case.refused(create_in(directory(77), "x"), &[Stale]);
    case.refused(create_in(file(77), "x"), &[NotDirectory, Stale]);
    case.refused(unlink(ROOT_ID, "d"), &[IsDirectory]);
    case.refused(unlink(ROOT_ID, "x"), &[NotFound]);
    case.refused(rmdir(ROOT_ID, "f"), &[NotDirectory]);
    case.refused(rmdir(ROOT_ID, "d"), &[NotEmpty]);
    case.refused(link(d, ROOT_ID, "x"), &[NotPermitted]);
    case.refused(link(f, ROOT_ID, "d"), &[Exists]);
    case.refused(link(file(77), ROOT_ID, "x"), &[Stale]);
    let sized = AttrChange { size: Some(1), ..AttrChange::default() };
    case.refused(Op::SetAttr { inode: d, change: sized }, &[IsDirectory, Invalid]);
    let huge = AttrChange { size: Some(u64::MAX), ..AttrChange::default() };
    case.refused(Op::SetAttr { inode: f, change: huge }, &[Invalid]);
    case.refused(replace((ROOT_ID, "x"), (ROOT_ID, "y")), &[NotFound]);
    case.refused(replace((ROOT_ID, "d"), (ROOT_ID, "f")), &[NotDirectory]);
    case.refused(replace((ROOT_ID, "f"), (ROOT_ID, "d")), &[IsDirectory]);
    case.refused(replace((ROOT_ID, "d"), (d, "x")), &[Invalid]);
    case.refused(replace((ROOT_ID, "d"), (e, "x")), &[Invalid]);
    case.refused(replace((d, "e"), (ROOT_ID, "d")), &[NotEmpty]);
    case.refused(rename((ROOT_ID, "f"), (ROOT_ID, "d"), RenameMode::Keep), &[Exists]);
    case.refused(rename((ROOT_ID, "f"), (ROOT_ID, "x"), RenameMode::Exchange), &[NotFound]);
    case.refused(rename((d, "e"), (ROOT_ID, "d"), RenameMode::Exchange), &[Invalid]);
    case.refused(rename((ROOT_ID, "d"), (d, "e"), RenameMode::Exchange), &[Invalid]);
}

#[test]
fn links_are_bounded() {
    let case = &mut Case::with_some();
    for child in ["1", "2", "3"] {
        let id = directory(10 + child.parse::<u64>().unwrap());
        case.shown(mkdir_in(ROOT_ID, child), shows(id, 2, 1));
    }
    case.refused(mkdir_in(ROOT_ID, "4"), &[Refusal::TooManyLinks]);
    case.refused(replace((directory(2), "e"), (ROOT_ID, "4")), &[Refusal::TooManyLinks]);
    // In place of another directory there is room, and a file needs none.
    case.done(replace((directory(2), "e"), (ROOT_ID, "3")));
    case.shown(create_in(ROOT_ID, "5"), shows(file(2), 1, 1));
    for (count, child) in ["a", "b", "c", "g", "h"].iter().enumerate() {
        let count = count as u32 + 2;
        case.shown(link(file(1), directory(2), child), shows(file(1), count, u64::from(count)));
    }
    case.refused(link(file(1), directory(2), "x"), &[Refusal::TooManyLinks]);
}

#[test]
fn moves_are_seen_everywhere_and_counted() {
    let case = &mut Case::with_some();
    assert_eq!(look(case, ROOT_ID, 3, 4), Ok(()));
    case.done(replace((directory(2), "e"), (ROOT_ID, "e")));
    assert_eq!(look(case, ROOT_ID, 4, 5), Ok(()));
    assert_eq!(look(case, directory(2), 2, 9), Ok(()));
    case.done(rename((ROOT_ID, "e"), (ROOT_ID, "f"), RenameMode::Exchange));
    case.refused(unlink(ROOT_ID, "f"), &[Refusal::IsDirectory]);
    case.done(unlink(ROOT_ID, "e"));
    // Somebody may have it open, so it may be there, without a name, until it is seen to be gone.
    let look = Query::GetAttr { inode: file(1) };
    let named = case.model.clone().answer(&look, &shows(file(1), 1, 1));
    assert_eq!(named, Err(Expected::Shown("links 0, not 1".to_owned())));
    assert_eq!(case.model.answer(&look, &shows(file(1), 0, 2)), Ok(()));
    assert_eq!(case.model.answer(&look, &Err(Refusal::Stale)), Ok(()));
    let back = case.model.answer(&look, &shows(file(1), 0, 2));
    assert_eq!(back, Err(Expected::Refused(vec![Refusal::Stale])));
    case.done(rmdir(ROOT_ID, "f"));
    case.refused(create_in(directory(3), "x"), &[Refusal::Stale]);
}

#[test]
fn two_names_of_one_inode_stay_as_they_are() {
    let case = &mut Case::with_some();
    case.shown(link(file(1), ROOT_ID, "g"), shows(file(1), 2, 2));
    case.done(replace((ROOT_ID, "f"), (ROOT_ID, "g")));
    case.done(rename((ROOT_ID, "g"), (ROOT_ID, "f"), RenameMode::Exchange));
    case.done(replace((ROOT_ID, "d"), (ROOT_ID, "d")));
    assert_eq!(look(case, file(1), 2, 2), Ok(()));
    case.refused(rename((ROOT_ID, "f"), (ROOT_ID, "g"), RenameMode::Keep), &[Refusal::Exists]);
}

#[test]
fn answers_must_show_what_is_there() {
    let wrong = |outcome: Outcome, words: &str| {
        let mut case = Case::with_some();
        let why = case.model.answer(&Query::GetAttr { inode: file(1) }, &outcome).unwrap_err();
        assert!(why.to_string().contains(words), "{why}");
    };
    let base = attr(file(1), 1, 1);
    wrong(Ok(Answer::Attr(Attr { links: 2, ..base })), "links 1, not 2");
    wrong(Ok(Answer::Attr(Attr { mode: 0, ..base })), "mode 493, not 0");
    wrong(Ok(Answer::Attr(Attr { uid: 5, ..base })), "uid 0, not 5");
    wrong(Ok(Answer::Attr(Attr { size: 5, ..base })), "size 0, not 5");
    wrong(Ok(Answer::Attr(Attr { version: 2, ..base })), "version 1, not 2");
    wrong(Ok(Answer::Attr(Attr { mtime: WallTime(1), ..base })), "mtime 0, not 1");
    wrong(Ok(Answer::Attr(attr(file(2), 1, 1))), "inode f1, not f2");
    wrong(Err(Refusal::Stale), "that it is carried out");
    wrong(Ok(Answer::Done), "an answer of the kind");
}

#[test]
fn versions_grow_with_every_change_and_times_stay_without_one() {
    let case = &mut Case::with_some();
    let inode = file(1);
    let change = AttrChange { mtime: Some(NewTime::At(WallTime(7))), ..AttrChange::default() };
    let shown = |mtime, version| Ok(Answer::Attr(Attr { mtime: WallTime(mtime), ..attr(inode, 1, version) }));
    case.shown(Op::SetAttr { inode, change }, shown(7, 2));
    assert!(case.model.clone().answer(&Query::GetAttr { inode }, &shown(8, 2)).is_err());
    assert_eq!(case.model.answer(&Query::GetAttr { inode }, &shown(7, 2)), Ok(()));
    let owner = AttrChange { uid: Some(0), gid: Some(0), mode: Some(0o755), ..AttrChange::default() };
    assert!(case.clone_try(&Op::SetAttr { inode, change: owner }, &shown(8, 3)).is_err());
    let sized = AttrChange { size: Some(0), ..AttrChange::default() };
    case.shown(Op::SetAttr { inode, change: sized }, shown(9, 3));
    case.shown(link(inode, ROOT_ID, "g"), Ok(Answer::Attr(Attr { mtime: WallTime(9), ..attr(inode, 2, 4) })));
    let stuck = Ok(Answer::Attr(Attr { mtime: WallTime(9), ..attr(inode, 3, 4) }));
    let why = case.clone_try(&link(inode, ROOT_ID, "h"), &stuck).unwrap_err();
    assert_eq!(why.to_string(), "a version that grew from 4, not 4");
}

impl Case {
    fn clone_try(&self, operation: &Op, outcome: &Outcome) -> Result<(), Expected> {
        self.model.clone().carry_out(99, operation, Some(outcome))
    }
}

fn page(entries: &[(u64, &str, InodeId)], end: bool) -> Outcome {
    let entries = entries.iter().map(|(cookie, child, inode)| DirEntry {
        cookie: *cookie,
        name: name(child),
        inode: *inode,
        kind: attr(*inode, 0, 0).kind,
    });
    Ok(Answer::Entries { entries: entries.collect(), end })
}

#[test]
fn listings_show_everything_once_and_cookies_stay() {
    let case = &mut Case::with_some();
    let list = |case: &mut Case, cookie, limit, outcome: Outcome| {
        case.model.answer(&Query::ReadDir { directory: ROOT_ID, cookie, limit }, &outcome)
    };
    let (d, f) = ((5, "d", directory(2)), (9, "f", file(1)));
    let wrong = |case: &Case, cookie, limit, outcome: Outcome, words: &str| {
        let query = Query::ReadDir { directory: ROOT_ID, cookie, limit };
        let why = case.model.clone().answer(&query, &outcome).unwrap_err().to_string();
        assert!(why.contains(words), "{why}");
    };
    wrong(case, 0, 9, page(&[d], true), "the entry \"f\"");
    wrong(case, 0, 1, page(&[d, f], true), "at most 1 entries");
    wrong(case, 0, 9, page(&[(9, "d", directory(2)), (5, "f", file(1))], true), "cookies that ascend");
    wrong(case, 0, 9, page(&[d, (9, "x", file(1))], true), "no entry \"x\"");
    wrong(case, 0, 9, page(&[d, (9, "f", file(2))], true), "inode f1, not f2");
    wrong(case, 0, 9, page(&[], false), "or the end");
    assert_eq!(list(case, 0, 1, page(&[d], false)), Ok(()));
    assert_eq!(list(case, 5, 9, page(&[f], true)), Ok(()));
    wrong(case, 5, 9, page(&[(8, "f", file(1))], true), "the cookie of \"f\" as it was");
    wrong(case, 0, 9, page(&[f], true), "the entry \"d\"");
    wrong(case, 5, 9, page(&[d], true), "cookies that ascend");
    // A name that was taken over keeps its place.
    case.shown(create_in(ROOT_ID, "g"), shows(file(2), 1, 1));
    case.done(replace((ROOT_ID, "g"), (ROOT_ID, "f")));
    assert_eq!(list(case, 5, 9, page(&[(9, "f", file(2))], true)), Ok(()));
}

#[test]
fn what_was_never_answered_is_known_by_its_maker_until_it_is_seen() {
    let case = &mut Case::new();
    assert_eq!(case.try_op(&mkdir_in(ROOT_ID, "d"), None), Ok(()));
    let seen = Query::Lookup { parent: ROOT_ID, name: name("d") };
    assert_eq!(case.model.answer(&seen, &shows(directory(4), 2, 1)), Ok(()));
    case.shown(create_in(directory(4), "x"), shows(file(1), 1, 1));
    assert!(case.model.answer(&seen, &shows(directory(5), 2, 2)).is_err());
}

#[test]
fn a_whole_tree_is_compared() {
    let mut tree = root_tree();
    tree.inodes[0].links = 3;
    tree.inodes.extend([attr(directory(2), 3, 9), attr(directory(3), 2, 1), attr(file(1), 1, 1)]);
    tree.entries = vec![
        entry(ROOT_ID, "d", directory(2)),
        entry(ROOT_ID, "f", file(1)),
        entry(directory(2), "e", directory(3)),
    ];
    let compare = |tree: &Tree| Case::with_some().model.compare(tree);
    assert_eq!(compare(&tree), Ok(()));
    let broken = |breaks: &dyn Fn(&mut Tree), words: &str| {
        let mut tree = tree.clone();
        breaks(&mut tree);
        let why = compare(&tree).unwrap_err();
        assert!(why.contains(words), "{why}");
    };
    broken(&|tree| drop(tree.entries.pop()), "the name \"e\"");
    broken(&|tree| tree.entries.push(entry(ROOT_ID, "x", file(1))), "no name \"x\"");
    broken(&|tree| tree.inodes.push(attr(file(9), 1, 1)), "no inode f9");
    broken(&|tree| tree.inodes.truncate(3), "that inode f1 exists");
    broken(&|tree| tree.inodes[3].size = 4, "size 0, not 4");
    broken(&|tree| tree.entries[1].inode = directory(3), "inode f1, not d3");
}

#[test]
fn numbers_run_out_after_the_last_and_not_before() {
    let no_space = Err(Refusal::NoSpace);
    let mut model = Model::new(Limits { links_max: 6, numbers_max: 2 });
    assert!(model.clone().carry_out(1, &create_in(ROOT_ID, "a"), Some(&no_space)).is_err());
    assert_eq!(model.carry_out(1, &create_in(ROOT_ID, "a"), None), Ok(()));
    assert_eq!(model.carry_out(2, &create_in(ROOT_ID, "b"), None), Ok(()));
    assert_eq!(model.carry_out(3, &create_in(ROOT_ID, "c"), Some(&no_space)), Ok(()));
    // Nobody heard the answer to the one that found none: it made nothing.
    assert_eq!(model.carry_out(4, &create_in(ROOT_ID, "d"), None), Ok(()));
    assert_eq!(model.carry_out(5, &unlink(ROOT_ID, "d"), Some(&Err(Refusal::NotFound))), Ok(()));
    assert_eq!(model.carry_out(6, &unlink(ROOT_ID, "a"), None), Ok(()));
    assert_eq!(model.carry_out(7, &create_in(ROOT_ID, "e"), Some(&no_space)), Ok(()), "none comes back");
}

#[test]
fn fingerprints_tell_states_apart_and_not_the_ways_there() {
    let (one, other) = (create_in(ROOT_ID, "a"), create_in(ROOT_ID, "b"));
    let after = |first: (u64, &Op), second: (u64, &Op)| {
        let mut model = Model::new(6);
        for (maker, operation) in [first, second] {
            assert_eq!(model.carry_out(maker, operation, None), Ok(()));
        }
        model.fingerprint()
    };
    assert_eq!(after((1, &one), (2, &other)), after((2, &other), (1, &one)));
    assert_ne!(after((1, &one), (2, &other)), after((2, &one), (1, &other)));
}
