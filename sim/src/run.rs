//! One run: a plan goes in, a report comes out. The same plan gives the same report, on any
//! machine, in any process.

use crate::cluster;
use crate::history::History;
use crate::machine::OperationCounts;
use crate::oracle::Violation;
use crate::plan::{Member, Plan};
use crate::timeline::Timeline;
use crate::trace::Line;
use mooseng_core::plant;
use mooseng_core::time::Instant;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

pub use crate::bugs::PROBES;

/// The kinds of fault that runs within the budget inject: none of them may stay at zero.
pub const FAULT_KINDS: &[&str] = &[
    "bit-rot",
    "clog",
    "corrupt",
    "crash",
    "cut",
    "disk-full",
    "disk-slow",
    "disk-stall",
    "drift",
    "empty",
    "half-open",
    "isolate",
    "kill",
    "latent-error",
    "misdirected-read",
    "misdirected-write",
    "partition",
    "pause",
    "reset",
    "rubbish",
    "slow-cpu",
    "slow-link",
    "suspend",
    "swap-disks",
    "sync-fails",
    "version",
    "wall-freeze",
    "wall-step",
];

/// A finding is told in no more than so many characters.
const TEXT_CHARS_MAX: usize = 2_000;

/// What to keep of a run beside its result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RunOptions {
    /// Everything that was told: one readable line per event, and what the timeline draws.
    pub trace: bool,
}

/// A promise that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub oracle: String,
    /// As `G1`.
    pub promise: String,
    pub at: Instant,
    pub what: String,
    /// The operation of the history that went wrong, where it is one.
    pub operation: Option<usize>,
    /// What the model expected of it.
    pub expected: Option<String>,
}

impl Failure {
    /// A panic breaks the promise that nothing from outside makes one.
    pub fn panic(what: String) -> Self {
        let (oracle, promise) = ("panic".to_owned(), "G9".to_owned());
        Self { oracle, promise, at: Instant::ZERO, what, operation: None, expected: None }
    }

    /// Is it the same trouble as another one?
    pub fn is_like(&self, other: &Failure) -> bool {
        self.oracle == other.oracle && self.promise == other.promise
    }
}

impl From<Violation> for Failure {
    fn from(violation: Violation) -> Self {
        let Violation { oracle, promise, at, what, operation, expected } = violation;
        let (oracle, promise) = (oracle.to_owned(), promise.to_string());
        let (what, expected) = (shown(what), expected.map(shown));
        Self { oracle, promise, at, what, operation, expected }
    }
}

/// What is said of long bytes begins as they do.
fn shown(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX) {
        text.truncate(end);
        text.push_str(" ...");
    }
    text
}

/// What a run was like.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub failure: Option<Failure>,
    /// Calls that clients made, all of them checked.
    pub operations: u64,
    pub acknowledged: u64,
    /// How often each kind of fault struck.
    pub faults: BTreeMap<&'static str, u64>,
    pub probes: BTreeMap<&'static str, u64>,
    pub elections: u64,
    /// From the loss of a leader to the next acknowledged change, where nothing else was wrong.
    pub failovers: Vec<Duration>,
    pub simulated: Duration,
    pub events: u64,
    pub trace_hash: u128,
    /// How often the planted bug took its wrong turn.
    pub bug_reached: u64,
    pub came: Came,
    /// What each server had done when the safety phase ended.
    pub counts: Vec<OperationCounts>,
    /// If it was asked for.
    pub told: Option<Told>,
}

/// How far a run came through its plan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Came {
    /// When the occasion of each fault came, where it did.
    pub faults: Vec<Option<Instant>>,
    /// When each client began its steps, as far as it came.
    pub steps: Vec<Vec<Instant>>,
}

/// What a run told, for a person to read.
#[derive(Clone, Debug)]
pub struct Told {
    pub history: History,
    pub members: Vec<Member>,
    /// In the order of true time.
    pub lines: Vec<Line>,
    /// Every turn of the machine, tasks and timers included: what two runs are compared by.
    pub turns: Vec<String>,
    pub end: Instant,
}

/// The part of a report that is worth a line of JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub found: Option<String>,
    pub oracle: Option<String>,
    pub promise: Option<String>,
    pub at_seconds: Option<f64>,
    pub operations: u64,
    pub acknowledged: u64,
    pub elections: u64,
    pub simulated_seconds: f64,
    pub events: u64,
    pub trace_hash: String,
    pub faults: BTreeMap<&'static str, u64>,
    pub probes: BTreeMap<&'static str, u64>,
}

impl Report {
    /// The run as a page, if it was told.
    pub fn html(&self, plan: &Plan, replay: String) -> Option<String> {
        let told = self.told.clone()?;
        let timeline = Timeline {
            replay,
            plan: plan.clone(),
            history: told.history,
            failure: self.failure.clone(),
            members: told.members,
            lines: told.lines,
            end: told.end,
        };
        Some(timeline.html())
    }

    pub fn summary(&self) -> Summary {
        let failure = self.failure.as_ref();
        Summary {
            found: failure.map(|failure| failure.what.clone()),
            oracle: failure.map(|failure| failure.oracle.clone()),
            promise: failure.map(|failure| failure.promise.clone()),
            at_seconds: failure.map(|failure| failure.at.as_nanos() as f64 / 1e9),
            operations: self.operations,
            acknowledged: self.acknowledged,
            elections: self.elections,
            simulated_seconds: self.simulated.as_secs_f64(),
            events: self.events,
            trace_hash: format!("{:032x}", self.trace_hash),
            faults: self.faults.clone(),
            probes: self.probes.clone(),
        }
    }
}

/// Runs a plan under each of its schedules until one fails.
pub fn run(plan: &Plan, options: &RunOptions) -> Report {
    let planted = plan.planted.as_deref().and_then(crate::bugs::find);
    let mut last = Report::default();
    for schedule in &plan.schedules {
        plant::activate(planted.map(|bug| bug.name));
        drop(plant::take_probes());
        last = cluster::run(plan, *schedule, options);
        last.bug_reached = plant::reached();
        last.probes = plant::take_probes();
        plant::activate(None);
        if last.failure.is_some() {
            break;
        }
    }
    last
}
