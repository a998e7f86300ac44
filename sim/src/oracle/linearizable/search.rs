//! Wing and Gong's search, with Lowe's memory of what was tried: depth first through the orders
//! that the clock allows, carrying the model along, never twice into the same set of operations
//! with the same state.

use super::partition::{Part, partition};
use crate::history::{Asked, Ending, History, Operation};
use crate::model::{Limits, Model};
use mooseng_core::time::Instant;
use std::collections::BTreeSet;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// There is an order that explains every answer.
    Explained,
    /// There is none. The operation is the one at which the longest attempt got stuck.
    Unexplained { operation: usize },
    /// The search ran out of steps.
    GaveUp,
}

/// Looks for an order that explains the history, part by part.
pub fn search(history: &History, limits: Limits, steps_max: usize) -> Verdict {
    let mut steps = steps_max;
    let mut verdict = Verdict::Explained;
    for part in partition(history) {
        match search_part(&part, limits, &mut steps) {
            Verdict::Explained => {}
            Verdict::GaveUp => verdict = Verdict::GaveUp,
            unexplained => return unexplained,
        }
    }
    verdict
}

/// One operation to be put in order.
struct Candidate<'a> {
    operation: &'a Operation,
    called: Instant,
    /// The end of time for what was never answered: it may take effect at any later moment.
    answered: Instant,
    /// Whether it has to be part of the order.
    certain: bool,
}

struct Level {
    /// The state before the choice at this level.
    model: Model,
    /// The candidate chosen here, to go on behind it.
    chosen: usize,
}

fn candidates<'a>(part: &Part<'a>) -> Vec<Candidate<'a>> {
    let mut candidates: Vec<Candidate<'a>> = part
        .operations
        .iter()
        .filter_map(|operation| {
            let (answered, certain) = match &operation.ending {
                Ending::Answered { at, .. } => (*at, true),
                Ending::NotCarriedOut { .. } => return None,
                // A question that nobody heard the answer of tells nothing.
                Ending::Never | Ending::Unknown { .. } if operation.change().is_none() => return None,
                Ending::Never | Ending::Unknown { .. } => (Instant::MAX, false),
            };
            Some(Candidate { operation, called: operation.called, answered, certain })
        })
        .collect();
    candidates.sort_by_key(|candidate| (candidate.called, candidate.answered));
    candidates
}

pub(super) fn search_part(part: &Part<'_>, limits: Limits, steps: &mut usize) -> Verdict {
    let candidates = candidates(part);
    let mut model = Model::new(limits);
    for (maker, operation, outcome) in &part.given {
        if model.adopt(*maker, operation, outcome).is_err() {
            return Verdict::Unexplained { operation: *maker as usize - 1 };
        }
    }
    let mut placed = vec![false; candidates.len()];
    let mut tried: BTreeSet<(Vec<bool>, u128)> = BTreeSet::new();
    let mut path: Vec<Level> = Vec::new();
    let mut from = 0;
    let mut furthest = (0, 0);
    loop {
        let Some(limit) = earliest_answer(&candidates, &placed) else { return Verdict::Explained };
        let stuck_at = first_left(&candidates, &placed);
        let mut stepped = None;
        for choice in from..candidates.len() {
            let candidate = &candidates[choice];
            if candidate.called > limit {
                break;
            }
            if placed[choice] {
                continue;
            }
            if *steps == 0 {
                return Verdict::GaveUp;
            }
            *steps -= 1;
            let mut next = model.clone();
            if !takes_effect(&mut next, candidate.operation) {
                continue;
            }
            placed[choice] = true;
            if tried.insert((placed.clone(), next.fingerprint())) {
                stepped = Some((choice, next));
                break;
            }
            placed[choice] = false;
        }
        if let Some((chosen, next)) = stepped {
            path.push(Level { model: std::mem::replace(&mut model, next), chosen });
            from = 0;
            continue;
        }
        if path.len() >= furthest.0 {
            furthest = (path.len(), stuck_at);
        }
        let Some(back) = path.pop() else { return Verdict::Unexplained { operation: furthest.1 } };
        placed[back.chosen] = false;
        model = back.model;
        from = back.chosen + 1;
    }
}

/// Nothing may be put in front of an operation that was answered before it was called, so nothing
/// called after this moment is a choice now. `None`: everything certain has its place.
fn earliest_answer(candidates: &[Candidate<'_>], placed: &[bool]) -> Option<Instant> {
    let left = candidates.iter().zip(placed).filter(|(candidate, placed)| candidate.certain && !**placed);
    left.map(|(candidate, _)| candidate.answered).min()
}

fn first_left(candidates: &[Candidate<'_>], placed: &[bool]) -> usize {
    let left = candidates.iter().zip(placed).filter(|(candidate, placed)| candidate.certain && !**placed);
    let first = left.min_by_key(|(candidate, _)| candidate.answered);
    first.map_or(0, |(candidate, _)| candidate.operation.number)
}

fn takes_effect(model: &mut Model, operation: &Operation) -> bool {
    let heard = operation.answered().map(|(_, outcome, _)| outcome);
    let session = operation.request.map(|request| request.session);
    match (&operation.asked, heard) {
        (Asked::Change(change), heard) => {
            let caller = &operation.caller;
            model.carry_out_of(session, caller, operation.maker(), change, heard).is_ok()
        }
        (Asked::Question(query), Some(heard)) => model.answer_as(&operation.caller, query, heard).is_ok(),
        (Asked::Question(_), None) => unreachable!("unanswered questions are no candidates"),
    }
}
