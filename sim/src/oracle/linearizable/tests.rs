//! Answers that no order explains, and answers that only one order does.

use super::super::testing::*;
use super::*;
use crate::history::{Asked, Ending};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Answer, Op, Query, Refusal, RenameMode};

const ROOT: InodeId = InodeId::ROOT;

fn oracle() -> Linearizable {
    Linearizable::new(100, 64)
}

fn lookup(parent: InodeId, child: &str) -> Asked {
    Asked::Question(Query::Lookup { parent, name: name(child) })
}

fn rename(source: &str, target: &str) -> Op {
    Op::Rename {
        source_parent: ROOT,
        source_name: name(source),
        target_parent: ROOT,
        target_name: name(target),
        mode: RenameMode::Replace,
    }
}

fn searched(script: &Script) -> Verdict {
    search(&script.history, 100.into(), 10_000)
}

/// Both ways to judge must find it; gives what the witness says.
fn broken(script: &Script) -> Violation {
    assert!(matches!(searched(script), Verdict::Unexplained { .. }), "the search is blind here");
    verdict(oracle(), script, &[]).expect("the witness is blind here")
}

fn sound(script: &Script) {
    assert_eq!(verdict(oracle(), script, &[]), None);
    assert_eq!(searched(script), Verdict::Explained);
}

#[test]
fn a_plain_history_is_explained() {
    let mut script = Script::new();
    script.change(0, create_in(ROOT, "a"), shows(file(1), 1, 1));
    script.change(1, create_in(ROOT, "a"), Err(Refusal::Exists));
    script.change(0, rename("a", "b"), Ok(Answer::Done));
    let look = script.call(1, lookup(ROOT, "b"));
    script.answer(look, shows(file(1), 1, 2), 3);
    sound(&script);
}

#[test]
fn a_lost_update_is_found() {
    let mut script = Script::new();
    script.change(0, create_in(ROOT, "a"), shows(file(1), 1, 1));
    script.change(1, create_in(ROOT, "a"), shows(file(2), 1, 1));
    let violation = broken(&script);
    assert_eq!((violation.oracle, violation.promise), ("linearizable", Promise(1)));
    assert_eq!(violation.operation, Some(1));
    assert_eq!(violation.expected.unwrap(), "a refusal (the name is taken)");
}

#[test]
fn a_stale_read_is_found() {
    let mut script = Script::new();
    script.change(0, create_in(ROOT, "a"), shows(file(1), 1, 1));
    let look = script.call(1, lookup(ROOT, "a"));
    script.answer(look, Err(Refusal::NotFound), 0);
    let violation = broken(&script);
    assert!(violation.what.contains("but was called after operation 0"), "{violation}");
}

#[test]
fn what_a_client_knows_is_true_as_long_as_nobody_changes_it() {
    let mut script = Script::new();
    script.change(0, create_in(ROOT, "a"), shows(file(1), 1, 1));
    script.change(1, create_in(ROOT, "b"), shows(file(2), 1, 1));
    let look = script.call(0, lookup(ROOT, "a"));
    script.answer_from_cache(look, shows(file(1), 1, 1), 1);
    let look = script.call(0, lookup(ROOT, "b"));
    script.answer(look, shows(file(2), 1, 1), 2);
    sound(&script);
    script.change(1, rename("a", "c"), Ok(Answer::Done));
    let look = script.call(0, lookup(ROOT, "a"));
    script.answer_from_cache(look, shows(file(1), 1, 1), 1);
    assert_eq!(broken(&script).operation, Some(look));
}

#[test]
fn a_read_beside_a_change_may_miss_it() {
    let mut script = Script::new();
    let create = script.call(0, Asked::Change(create_in(ROOT, "a")));
    let look = script.call(1, lookup(ROOT, "a"));
    script.answer(look, Err(Refusal::NotFound), 0);
    let index = script.commit(create);
    script.answer(create, shows(file(1), 1, 1), index);
    sound(&script);
}

#[test]
fn a_rename_seen_half_done_is_found() {
    for (first, second) in [("b", "a"), ("a", "b")] {
        let mut script = Script::new();
        script.change(0, create_in(ROOT, "a"), shows(file(1), 1, 1));
        let renaming = script.call(0, Asked::Change(rename("a", "b")));
        let index = script.commit(renaming);
        // Both looks happen while the rename is under way: at both names, or at neither.
        let both = first == "b";
        let seen = |there: bool| if there { shows(file(1), 1, 1) } else { Err(Refusal::NotFound) };
        let one = script.call(1, lookup(ROOT, first));
        script.answer(one, seen(both), index);
        let other = script.call(1, lookup(ROOT, second));
        script.answer(other, seen(both), index);
        script.answer(renaming, Ok(Answer::Done), index);
        broken(&script);
    }
}

#[test]
fn what_timed_out_may_have_happened_or_not() {
    for happened in [false, true] {
        let mut script = Script::new();
        let create = script.call(0, Asked::Change(create_in(ROOT, "a")));
        script.give_up(create);
        let mut index = 0;
        if happened {
            index = script.commit(create);
        }
        let look = script.call(1, lookup(ROOT, "a"));
        let seen = if happened { shows(file(1), 1, 1) } else { Err(Refusal::NotFound) };
        script.answer(look, seen, index);
        sound(&script);
    }
}

#[test]
fn what_timed_out_cannot_happen_and_then_not() {
    let mut script = Script::new();
    let create = script.call(0, Asked::Change(create_in(ROOT, "a")));
    script.give_up(create);
    let index = script.commit(create);
    let first = script.call(1, lookup(ROOT, "a"));
    script.answer(first, shows(file(1), 1, 1), index);
    let second = script.call(1, lookup(ROOT, "a"));
    script.answer(second, Err(Refusal::NotFound), index);
    assert_eq!(broken(&script).operation, Some(2));
}

#[test]
fn an_id_used_twice_is_found() {
    let mut script = Script::new();
    script.change(0, create_in(ROOT, "a"), shows(file(1), 1, 1));
    script.change(0, Op::Unlink { parent: ROOT, name: name("a") }, Ok(Answer::Done));
    script.change(0, create_in(ROOT, "b"), shows(file(1), 1, 1));
    assert_eq!(broken(&script).expected.unwrap(), "an inode id never used before, not f1");
}

#[test]
fn an_order_against_the_clock_is_found() {
    let mut script = Script::new();
    let early = script.call(0, Asked::Change(create_in(ROOT, "a")));
    script.answer(early, shows(file(1), 1, 1), 2);
    let late = script.call(0, Asked::Change(create_in(ROOT, "b")));
    script.answer(late, shows(file(2), 1, 1), 1);
    script.commit(late);
    script.commit(early);
    let violation = verdict(oracle(), &script, &[]).unwrap();
    assert!(violation.what.contains("was called after"), "{violation}");
}

#[test]
fn an_effect_that_nobody_asked_for_or_that_was_called_off_is_found() {
    let mut script = Script::new();
    let number = script.call(0, Asked::Change(create_in(ROOT, "a")));
    script.commit(number);
    script.history.end(number, Ending::NotCarriedOut { at: script.now });
    assert!(verdict(oracle(), &script, &[]).unwrap().what.contains("told it never would"));
    let mut other = Script::new();
    std::mem::swap(&mut other.log, &mut script.log);
    assert!(verdict(oracle(), &other, &[]).unwrap().what.contains("nobody asked for it"));
}

#[test]
fn a_hole_in_the_order_is_found() {
    let mut script = Script::new();
    let made = script.mkdir(0, "a");
    script.mkdir(0, "b");
    script.log.record(9, &crate::history::Committed { term: 1, request: None, outcome: None }).unwrap();
    assert!(verdict(oracle(), &script, &[]).unwrap().what.contains("index 3"), "{}", made.number);
}

/// Work in two settled directories is searched apart: together it would be far too much.
#[test]
fn directories_that_know_nothing_of_each_other_are_searched_apart() {
    let mut script = Script::new();
    let homes: Vec<InodeId> = (0..8)
        .map(|client| {
            let number = script.call_mkdir(client, &format!("home{client}"));
            script.answer_mkdir(number)
        })
        .collect();
    let mut calls = Vec::new();
    for (client, home) in homes.iter().enumerate() {
        for child in ["a", "b", "c"] {
            calls.push((client, script.call(client, Asked::Change(create_in(*home, child)))));
        }
    }
    for (_, call) in &calls {
        let index = script.commit(*call);
        script.answer(*call, shows(file(*call as u64), 1, 1), index);
    }
    let parts = partition::partition(&script.history);
    assert_eq!(parts.len(), 9, "the root, and eight homes");
    assert!(parts.iter().filter(|part| part.given.len() == 1).count() == 8);
    sound(&script);
}

/// Whether a directory may move depends on what it holds, however deep: nothing may be cut there.
#[test]
fn a_move_into_the_own_subtree_is_found_through_settled_directories() {
    let mut script = Script::new();
    let mut above = ROOT;
    let mut homes = Vec::new();
    for depth in 0..3 {
        let id = directory(depth + 2);
        script.change(0, mkdir_in(above, "d"), shows(id, 2, 1));
        homes.push(id);
        above = id;
    }
    let moves = Op::Rename {
        source_parent: ROOT,
        source_name: name("d"),
        target_parent: homes[2],
        target_name: name("x"),
        mode: RenameMode::Replace,
    };
    script.change(0, moves.clone(), Err(Refusal::Invalid));
    sound(&script);
    script.change(0, moves, Ok(Answer::Done));
    assert!(broken(&script).expected.unwrap().contains("cannot be moved into itself"));
}

#[test]
fn a_search_without_steps_gives_up() {
    let mut script = Script::new();
    script.mkdir(0, "a");
    assert_eq!(search(&script.history, 100.into(), 0), Verdict::GaveUp);
}
