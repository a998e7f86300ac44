//! The shard: every workload of up to so many operations of one client, and the power of one server
//! failing at every disk operation and every message of it, with all oracles watching.
//!
//! There is one of each kind of change, on names that are given in one order only: other names would
//! be the same workloads once more. Of three operations or more, only those are tried of which each
//! takes effect: one that is refused leaves what a shorter workload leaves as well.

use super::sequences;
use crate::machine::{Fault, Moment, OperationCounts, OperationKind};
use crate::plan::{Plan, PlannedFault, Step, When};
use crate::run::{Report, RunOptions, run};
use mooseng_core::namespace::Op;
use mooseng_core::time::Instant;
use std::time::Duration;

const STEPS: [&str; 16] = [
    "mkdir /a",
    "create /b",
    "create /a/x",
    "symlink /a/s ../b",
    "link /b /a/y",
    "rename /b /a/x",
    "rename /a/x /b",
    "exchange /a /b",
    "unlink /b",
    "rmdir /a",
    "setattr /b mode=600",
    "setattr /b size=5",
    "set-class /b copies=3",
    "write /b offset=0 length=20",
    "write /b offset=10 length=20",
    "punch /b offset=5 length=10",
];
/// Longer workloads are only tried if every step of them takes effect.
const REFUSED_LENGTH_MAX: usize = 2;

/// Where a server's power may fail.
const PLACES: [(OperationKind, Moment); 8] = [
    (OperationKind::Write, Moment::During),
    (OperationKind::Sync, Moment::Before),
    (OperationKind::Sync, Moment::During),
    (OperationKind::Sync, Moment::After),
    (OperationKind::SyncDir, Moment::During),
    (OperationKind::Names, Moment::During),
    (OperationKind::Send, Moment::Before),
    (OperationKind::Receive, Moment::After),
];

const SERVERS: usize = 3;
const FAULTS_END: Duration = Duration::from_secs(3);

/// One workload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workload(Vec<&'static str>);

/// All workloads, shortest first.
pub fn workloads(longest: usize) -> Vec<Workload> {
    sequences(&STEPS, longest).into_iter().map(Workload).collect()
}

impl Workload {
    /// Tries the workload, and then again with a crash at every `stride`-th place of those from
    /// `first` on. Gives how many crashes were tried; none at all if it is left out. An error is the
    /// plan that failed.
    pub fn check(&self, first: u64, stride: u64) -> Result<Option<u64>, String> {
        let Self(steps) = self;
        let whole = check(&self.plan(FAULTS_END, None), &RunOptions { trace: true })?;
        let (effective, over) = outcome(&whole);
        if steps.len() > REFUSED_LENGTH_MAX && effective < steps.len() {
            return Ok(None);
        }
        // Heartbeats never end, so the last answer ends the search.
        let faults_end = Duration::from_millis(over.as_nanos().div_ceil(1_000_000));
        let counts = check(&self.plan(faults_end, None), &RunOptions::default())?.counts;
        let mut crashes = 0;
        for (place, (server, kind, moment, count)) in places(&counts).enumerate() {
            if !(first + place as u64).is_multiple_of(stride.max(1)) {
                continue;
            }
            let when = When::at(Duration::ZERO).then(&format!("meta-{server}"), kind, count, moment);
            let fault = Fault::Crash { node: format!("meta-{server}"), restart_ms: Some(300) };
            let report =
                check(&self.plan(FAULTS_END, Some(PlannedFault { when, fault })), &RunOptions::default())?;
            crashes += u64::from(report.faults.contains_key("crash"));
        }
        Ok(Some(crashes))
    }

    fn plan(&self, faults_end: Duration, crash: Option<PlannedFault>) -> Plan {
        let mut plan = Plan::quiet("exhaustive", 0);
        (plan.faults_end, plan.end) = (faults_end, faults_end + Duration::from_secs(10));
        let step = |step: &&str| step.parse::<Step>().expect("a step as plans write it");
        plan.clients = vec![self.0.iter().map(step).collect()];
        plan.faults.extend(crash);
        plan
    }
}

/// Every operation of every server, as it may be crashed at.
fn places(counts: &[OperationCounts]) -> impl Iterator<Item = (usize, OperationKind, Moment, u32)> {
    (1..).zip(counts).take(SERVERS).flat_map(|(server, counts)| {
        PLACES.into_iter().flat_map(move |(kind, moment)| {
            (1..=counts.of(kind) as u32).map(move |count| (server, kind, moment, count))
        })
    })
}

/// How many steps of the safety phase took effect, and when the last call of it was answered.
fn outcome(report: &Report) -> (usize, Instant) {
    let operations = report.told.iter().flat_map(|told| told.history.operations());
    let (mut effective, mut over) = (0, Instant::ZERO);
    for operation in operations.filter(|operation| operation.called < Instant::ZERO + FAULTS_END) {
        let Some((at, outcome, _)) = operation.answered() else { continue };
        over = over.max(at);
        let change = operation.change().filter(|change| !matches!(change, Op::GrantSlices { .. }));
        effective += usize::from(change.is_some() && outcome.is_ok());
    }
    (effective, over)
}

/// An error is a broken promise.
fn check(plan: &Plan, options: &RunOptions) -> Result<Report, String> {
    let report = run(plan, options);
    match report.failure {
        Some(failure) => {
            Err(format!("{} {}: {}\n{}", failure.promise, failure.oracle, failure.what, plan.to_text()))
        }
        None => Ok(report),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_of_every_single_operation_are_survived() {
        let mut crashes = 0;
        for (number, workload) in (0..).zip(workloads(1)) {
            crashes += workload.check(number, 9).unwrap().expect("one operation is never left out");
        }
        assert!(crashes > 300, "{crashes}");
    }

    #[test]
    fn long_workloads_of_which_a_step_is_refused_are_left_out() {
        let left_out = Workload(vec!["mkdir /a", "create /b", "create /b"]);
        assert_eq!(left_out.check(1, u64::MAX), Ok(None));
        let tried = Workload(vec!["mkdir /a", "create /b", "rename /b /a/x"]);
        assert_eq!(tried.check(1, u64::MAX), Ok(Some(0)));
    }
}
