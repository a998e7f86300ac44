//! Random histories of a system that is right, and the same with an answer changed: both ways to
//! judge accept the first, and cutting a history into parts changes no verdict on the second.

use super::partition::{Part, partition};
use super::search::search_part;
use super::{Verdict, search, witness};
use crate::history::{Asked, CommitLog, Committed, Ending, History, Request};
use crate::model::agreement::{Draw, Shard};
use mooseng_core::chance::{self, Dice};
use mooseng_core::namespace::{Answer, Caller, Outcome, Refusal};
use mooseng_core::time::Instant;
use mooseng_meta::query::query;
use mooseng_meta::state::StateConfig;

const STEPS_MAX: usize = 200_000;
const LINKS_MAX: u32 = 6;
const CLIENTS: usize = 3;

/// What a call has come to.
enum Stage {
    Called(usize),
    Effective(usize, Outcome, u64),
}

struct Concurrent {
    history: History,
    log: CommitLog,
    shard: Shard,
    draw: Draw,
    stages: [Option<Stage>; CLIENTS],
    now: u64,
}

impl Concurrent {
    fn run(seed: u64, operations: usize) -> Self {
        let config = StateConfig { links_max: LINKS_MAX, ..StateConfig::default() };
        let draw = Draw::new(chance::stream(seed, "concurrent", 0, 0));
        let stages = [const { None }; CLIENTS];
        let (history, log) = (History::default(), CommitLog::default());
        let mut run = Self { history, log, shard: Shard::new(config), draw, stages, now: 0 };
        while run.history.operations().len() < operations || run.stages.iter().any(Option::is_some) {
            let client = run.draw.dice.below(CLIENTS as u64) as usize;
            run.now += 1;
            run.advance(client, operations);
        }
        run
    }

    fn advance(&mut self, client: usize, operations: usize) {
        let at = Instant::from_nanos(self.now);
        self.stages[client] = match self.stages[client].take() {
            None if self.history.operations().len() < operations => Some(self.call(client, at)),
            None => None,
            Some(Stage::Called(number)) => self.take_effect(number, at),
            Some(Stage::Effective(number, outcome, index)) => {
                if self.draw.dice.chance(150_000) {
                    self.history.end(number, Ending::Unknown { at });
                    return;
                }
                match &self.history.operations()[number].asked {
                    Asked::Change(op) => self.draw.learn(op, &outcome),
                    Asked::Question(query) => self.draw.learn_map(query, &outcome),
                }
                self.history.end(number, Ending::Answered { at, outcome, index, cached: false });
                None
            }
        };
    }

    fn call(&mut self, client: usize, at: Instant) -> Stage {
        let change = self.draw.dice.chance(700_000);
        let asked = if change { Asked::Change(self.draw.op()) } else { Asked::Question(self.draw.query()) };
        let anybody = self.draw.dice.chance(250_000);
        let caller = if anybody { self.draw.caller() } else { Caller::ROOT };
        let number = self.history.call(client, caller, asked, at);
        if change {
            // Whoever asks, the shard is asked in one session.
            let request = Request { session: self.shard.session, sequence: number as u64 + 1 };
            assert_eq!(self.history.name(number, request), None);
        }
        Stage::Called(number)
    }

    /// Now and then the client gives up first, and nothing ever happens.
    fn take_effect(&mut self, number: usize, at: Instant) -> Option<Stage> {
        if self.draw.dice.chance(50_000) {
            self.history.end(number, Ending::Unknown { at });
            return None;
        }
        let operation = &self.history.operations()[number];
        let outcome = match &operation.asked {
            Asked::Question(question) => query(&self.shard.state, &operation.caller, question),
            Asked::Change(op) => {
                let outcome = self.shard.change(&operation.caller, op);
                let entry = Committed { term: 1, request: operation.request, outcome: None };
                self.log.record(self.shard.index, &entry).unwrap();
                outcome
            }
        };
        Some(Stage::Effective(number, outcome, self.shard.index))
    }

    /// The same history with one answer changed, if there is one to change.
    fn with_a_wrong_answer(&mut self) -> Option<History> {
        let answered: Vec<usize> = (0..self.history.operations().len())
            .filter(|number| self.history.operations()[*number].answered().is_some())
            .collect();
        if answered.is_empty() {
            return None;
        }
        let changed = *self.draw.dice.pick(&answered);
        let mut history = History::default();
        for operation in self.history.operations() {
            history.call(
                operation.client,
                operation.caller.clone(),
                operation.asked.clone(),
                operation.called,
            );
            if let Some(request) = operation.request {
                assert_eq!(history.name(operation.number, request), None);
            }
        }
        for operation in self.history.operations() {
            let mut ending = operation.ending.clone();
            if let (true, Ending::Answered { outcome, .. }) = (operation.number == changed, &mut ending) {
                *outcome = self.draw.wrong(outcome);
            }
            if ending != Ending::Never {
                history.end(operation.number, ending);
            }
        }
        Some(history)
    }
}

impl Draw {
    fn wrong(&mut self, outcome: &Outcome) -> Outcome {
        let refusals = [Refusal::NotFound, Refusal::Exists, Refusal::Stale, Refusal::NotEmpty];
        match outcome {
            Ok(Answer::Attr(attr)) if self.dice.chance(500_000) => {
                let mut attr = *attr;
                match self.dice.below(3) {
                    0 => attr.links += 1,
                    1 => attr.version = attr.version.saturating_sub(1),
                    _ => attr.inode = *self.dice.pick(&self.ids),
                }
                Ok(Answer::Attr(attr))
            }
            Ok(Answer::Entries { entries, end }) if !entries.is_empty() => {
                Ok(Answer::Entries { entries: entries[1..].to_vec(), end: *end })
            }
            Ok(Answer::Map { attr, extents, slices, end }) if !extents.is_empty() => {
                let (attr, extents, slices) = (*attr, extents[1..].to_vec(), slices.clone());
                Ok(Answer::Map { attr, extents, slices, end: *end })
            }
            Err(_) if self.dice.chance(300_000) => Ok(Answer::Done),
            _ => Err(*self.dice.pick(&refusals)),
        }
    }
}

fn whole(history: &History) -> Verdict {
    let part = Part { given: Vec::new(), operations: history.operations().iter().collect() };
    search_part(&part, LINKS_MAX.into(), &mut { STEPS_MAX })
}

#[test]
fn what_a_right_system_answers_is_explained() {
    for seed in 0..150 {
        let run = Concurrent::run(seed, 12);
        let witnessed = witness::check(&run.history, &run.log, LINKS_MAX.into());
        assert!(witnessed.is_ok(), "seed {seed}: {witnessed:?}");
        assert_eq!(search(&run.history, LINKS_MAX.into(), STEPS_MAX), Verdict::Explained, "seed {seed}");
    }
}

#[test]
fn cutting_a_history_into_parts_changes_no_verdict() {
    let (mut counts, mut cuts) = ([0, 0], 0);
    for seed in 0..300 {
        let mut run = Concurrent::run(seed, 9);
        let Some(history) = run.with_a_wrong_answer() else { continue };
        let explained = |verdict| match verdict {
            Verdict::Explained => Some(true),
            Verdict::Unexplained { .. } => Some(false),
            Verdict::GaveUp => None,
        };
        let (cut, uncut) = (search(&history, LINKS_MAX.into(), STEPS_MAX), whole(&history));
        let (Some(cut), Some(uncut)) = (explained(cut), explained(uncut)) else { continue };
        assert_eq!(cut, uncut, "seed {seed}: {:#?}", history.operations());
        counts[usize::from(cut)] += 1;
        cuts += usize::from(partition(&history).iter().any(|part| !part.given.is_empty()));
    }
    let [unexplained, explained] = counts;
    assert!(unexplained > 150 && explained > 5 && cuts > 30, "{counts:?}, {cuts} cut");
}
