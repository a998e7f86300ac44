//! The scoreboard: plants each known bug, looks for it, and says whether it was reached, caught, by
//! which oracle and after how many seeds. A bug that is not caught means that the simulator is
//! blind there; a control that is reported means that it sees what is not.

use crate::sweep::run_caught;
use crate::{draw, remark};
use mooseng_sim::bugs::{BLIND, BUGS, BUGS_OF_SCENARIOS, Bug, CONTROLS};
use mooseng_sim::plan::Plan;
use mooseng_sim::run::{Failure, RunOptions};
use mooseng_sim::shrink::shrink;
use serde::Serialize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const SWARM: &str = "swarm";

#[derive(Clone, Debug)]
pub struct Hunt {
    pub seeds: u64,
    /// Fewer seeds for controls: nothing is to be found there, so all of them are run.
    pub control_seeds: u64,
    /// Fewer too for bugs that are known to go unseen.
    pub blind_seeds: u64,
    pub threads: usize,
    pub shrink: bool,
    pub only: Option<String>,
}

/// What became of one planted bug.
#[derive(Clone, Debug, Serialize)]
pub struct Score {
    pub bug: String,
    /// Where it was looked for.
    pub scenario: &'static str,
    pub control: bool,
    /// Known to go unseen: neither right nor wrong.
    pub blind: bool,
    pub reached: bool,
    pub caught_by: Option<String>,
    pub promise: Option<String>,
    /// Seeds run until it was caught, or all.
    pub seeds: u64,
    pub seed: Option<u64>,
    pub shrunk: Option<Shrunk>,
    pub right: bool,
}

/// How small the plan became that caught it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Shrunk {
    pub events_before: usize,
    pub events: usize,
    pub runs: u32,
}

/// Every bug's score, in the order of the list.
pub fn scoreboard(hunt: &Hunt) -> Vec<Score> {
    let wanted = |bug: &Bug| hunt.only.as_ref().is_none_or(|only| *only == bug.name);
    let others = BUGS_OF_SCENARIOS.iter().map(|(scenario, bug)| (bug, false, *scenario));
    let all: Vec<(&Bug, bool, &'static str)> = BUGS
        .iter()
        .map(|bug| (bug, false, SWARM))
        .chain(others)
        .chain(CONTROLS.iter().map(|bug| (bug, true, SWARM)))
        .filter(|(bug, ..)| wanted(bug))
        .collect();
    let next = AtomicUsize::new(0);
    let scores = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..hunt.threads.max(1) {
            scope.spawn(|| {
                while let Some((bug, control, scenario)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let score = score(bug, *control, scenario, hunt);
                    remark!("{}", line(&score));
                    scores.lock().expect("no thread panics while it adds").push(score);
                }
            });
        }
    });
    let mut scores = scores.into_inner().expect("no thread panics while it adds");
    scores.sort_by_key(|score| {
        all.iter().position(|(bug, _, scenario)| bug.name == score.bug && *scenario == score.scenario)
    });
    scores
}

fn score(bug: &Bug, control: bool, scenario: &'static str, hunt: &Hunt) -> Score {
    let blind = BLIND.contains(&bug.name);
    let seeds = match (control, blind) {
        (true, _) => hunt.control_seeds,
        (false, true) => hunt.blind_seeds,
        (false, false) => hunt.seeds,
    };
    let mut score = Score {
        bug: bug.name.to_owned(),
        scenario,
        control,
        blind,
        reached: false,
        caught_by: None,
        promise: None,
        seeds: 0,
        seed: None,
        shrunk: None,
        right: control || blind,
    };
    for seed in 0..seeds {
        let plan = draw(scenario, seed).with_bug(bug.name);
        let report = run_caught(&plan, &RunOptions::default());
        score.seeds += 1;
        score.reached |= report.bug_reached > 0;
        let Some(failure) = report.failure else { continue };
        // A failure that was not the bug's doing would be a finding of its own: `run` reports those.
        let expected = control || bug.oracles.contains(&failure.oracle.as_str());
        // A bug that is caught is blind no more, and has to leave that list.
        score.right = !control && !blind && expected;
        score.seed = Some(seed);
        score.promise = Some(failure.promise.clone());
        score.caught_by = Some(failure.oracle.clone());
        if hunt.shrink && expected && !control {
            score.shrunk = Some(shrunk(&plan, &failure));
        }
        if expected {
            break;
        }
    }
    score.right &= score.reached || blind;
    score
}

fn shrunk(plan: &Plan, failure: &Failure) -> Shrunk {
    let mut runs = 0;
    let mut attempt = |candidate: &Plan| {
        runs += 1;
        run_caught(candidate, &RunOptions::default())
    };
    let events = shrink(plan, failure, &mut attempt).events();
    Shrunk { events_before: plan.events(), events, runs }
}

/// One line of the scoreboard.
pub fn line(score: &Score) -> String {
    let mark = match (score.right, score.blind) {
        (true, false) => "ok   ",
        (true, true) => "BLIND",
        (false, _) => "WRONG",
    };
    let what = match (&score.caught_by, score.control) {
        (Some(oracle), _) => {
            format!(
                "caught by {oracle} ({}) after {} seeds",
                score.promise.as_deref().unwrap_or("-"),
                score.seeds
            )
        }
        (None, true) => format!("a control, not reported in {} seeds", score.seeds),
        (None, false) => format!("not caught in {} seeds", score.seeds),
    };
    let reached = if score.reached { "" } else { ", never reached" };
    let shrunk = score.shrunk.map_or_else(String::new, |Shrunk { events_before, events, runs }| {
        format!(", shrunk from {events_before} events to {events} in {runs} runs")
    });
    let place = if score.scenario == SWARM { String::new() } else { format!(" ({})", score.scenario) };
    format!("{mark} {:<36} {what}{reached}{shrunk}", format!("{}{place}", score.bug))
}
