//! The order in which the system says it carried things out, checked against clock and model. What a client
//! answered for itself stands as early as the clock allows: it says that nothing has changed since.

use crate::history::{Asked, CommitLog, Committed, Ending, History, Operation};
use crate::model::{Expected, Limits, Model};
use mooseng_core::time::Instant;

/// Where an operation stands in the order: behind the entry of this index, a question also behind
/// the change that is the entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    index: u64,
    question: bool,
}

struct Placed<'a> {
    operation: &'a Operation,
    place: Place,
}

/// What is wrong with the order.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) at: Option<Instant>,
    pub(super) what: String,
    pub(super) operation: Option<usize>,
    pub(super) expected: Option<String>,
}

impl Wrong {
    fn of(operation: &Operation, what: String) -> Self {
        Self { at: operation.ended(), what, operation: Some(operation.number), expected: None }
    }

    fn answer(operation: &Operation, expected: &Expected) -> Self {
        let got = match operation.answered() {
            Some((_, Ok(answer), _)) => format!("{answer:?}"),
            Some((_, Err(refusal), _)) => format!("a refusal ({refusal})"),
            None => "nothing, but a replica told what it answered".to_owned(),
        };
        let expected = Some(expected.to_string());
        Self { expected, ..Self::of(operation, format!("{operation} got {got}")) }
    }
}

pub(super) fn check(history: &History, log: &CommitLog, limits: Limits) -> Result<(), Wrong> {
    if let Some(hole) = log.hole() {
        let what = format!("no replica told what it applied at index {hole}: the order is not known");
        return Err(Wrong { at: None, what, operation: None, expected: None });
    }
    let mut placed = places(history, log)?;
    place_cached(&mut placed);
    between_call_and_answer(&placed)?;
    replay(&placed, log, limits)
}

/// Every operation that took effect, in the order it did.
fn places<'a>(history: &'a History, log: &CommitLog) -> Result<Vec<Placed<'a>>, Wrong> {
    let mut placed = Vec::with_capacity(history.operations().len());
    let mut index_of = vec![None; history.operations().len()];
    for (index, entry) in log.iter() {
        let Some(request) = entry.request else { continue };
        let Some(operation) = history.of_request(request) else {
            let what = format!("request {request} took effect at index {index}, and nobody asked for it");
            return Err(Wrong { at: None, what, operation: None, expected: None });
        };
        if let Ending::NotCarriedOut { .. } = operation.ending {
            let what =
                format!("{operation} took effect at index {index}; its client was told it never would");
            return Err(Wrong::of(operation, what));
        }
        index_of[operation.number] = Some(index);
        placed.push(Placed { operation, place: Place { index, question: false } });
    }
    for operation in history.operations() {
        let Some((_, _, index)) = operation.answered() else { continue };
        if operation.change().is_none() {
            placed.push(Placed { operation, place: Place { index, question: true } });
        } else if index_of[operation.number] != Some(index) {
            let committed = index_of[operation.number].map_or("nowhere".to_owned(), |at| at.to_string());
            let what =
                format!("{operation} was answered with index {index}, but took effect at index {committed}");
            return Err(Wrong::of(operation, what));
        }
    }
    placed.sort_by_key(|one| (one.place, one.operation.number));
    Ok(placed)
}

/// What was answered from a cache stands behind what was answered before it was asked.
fn place_cached(placed: &mut [Placed<'_>]) {
    if !placed.iter().any(|one| one.operation.is_cached()) {
        return;
    }
    let mut by_call: Vec<usize> = (0..placed.len()).collect();
    by_call.sort_by_key(|one| placed[*one].operation.called);
    let answered = |one: &usize| Some((placed[*one].operation.answered()?.0, *one));
    let mut by_answer: Vec<(Instant, usize)> = (0..placed.len()).filter_map(|one| answered(&one)).collect();
    by_answer.sort_unstable();
    let mut over = by_answer.into_iter().peekable();
    let mut furthest = 0;
    for one in by_call {
        while let Some((_, earlier)) = over.next_if(|(at, _)| *at < placed[one].operation.called) {
            furthest = furthest.max(placed[earlier].place.index);
        }
        if placed[one].operation.is_cached() {
            placed[one].place.index = placed[one].place.index.max(furthest);
        }
    }
    placed.sort_by_key(|one| (one.place, one.operation.number));
}

/// What was answered before another operation was called must not stand behind it.
fn between_call_and_answer(placed: &[Placed<'_>]) -> Result<(), Wrong> {
    let mut by_call: Vec<&Placed<'_>> = placed.iter().collect();
    by_call.sort_by_key(|one| one.operation.called);
    let answered = placed.iter().filter_map(|one| Some((one.operation.answered()?.0, one)));
    let mut by_answer: Vec<(Instant, &Placed<'_>)> = answered.collect();
    by_answer.sort_by_key(|(at, _)| *at);

    let mut over = by_answer.into_iter().peekable();
    let mut furthest: Option<&Placed<'_>> = None;
    for one in by_call {
        while let Some((_, earlier)) = over.next_if(|(at, _)| *at < one.operation.called) {
            if furthest.is_none_or(|furthest| furthest.place < earlier.place) {
                furthest = Some(earlier);
            }
        }
        if let Some(earlier) = furthest
            && earlier.place > one.place
        {
            let what = format!(
                "{} saw the state of index {}, but was called after {} was answered from index {}",
                one.operation, one.place.index, earlier.operation, earlier.place.index
            );
            return Err(Wrong::of(one.operation, what));
        }
    }
    Ok(())
}

fn replay(placed: &[Placed<'_>], log: &CommitLog, limits: Limits) -> Result<(), Wrong> {
    let mut model = Model::new(limits);
    for one in placed {
        let operation = one.operation;
        let heard = operation.answered().map(|(_, outcome, _)| outcome);
        let judged = match &operation.asked {
            Asked::Change(change) => {
                let told = log.get(one.place.index).and_then(|entry: &Committed| entry.outcome.as_ref());
                if let (Some(heard), Some(told)) = (heard, told)
                    && heard != told
                {
                    let what = format!("{operation} got {heard:?}, but the replicas answered {told:?}");
                    return Err(Wrong::of(operation, what));
                }
                let session = operation.request.map(|request| request.session);
                let caller = &operation.caller;
                model.carry_out_of(session, caller, operation.maker(), change, heard.or(told))
            }
            Asked::Question(query) => {
                model.answer_as(&operation.caller, query, heard.expect("only answers have a place"))
            }
        };
        judged.map_err(|expected| Wrong::answer(operation, &expected))?;
    }
    Ok(())
}
