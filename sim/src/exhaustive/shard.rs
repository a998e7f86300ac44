//! A shard on three servers: every workload of up to so many operations, and a power cut of one
//! server at every disk operation and every message of it, with all oracles watching.

use super::{Tried, sequences};
use crate::machine::{Fault, Moment, OperationKind};
use crate::plan::{Plan, PlannedFault, Step, When};
use crate::run::{RunOptions, run};
use std::time::Duration;

const STEPS: [&str; 7] =
    ["mkdir /a", "create /a/x", "create /b", "rename /b /a/x", "exchange /a /b", "rmdir /a", "link /b /a/y"];

/// Where a server's power may fail.
const PLACES: [(OperationKind, Moment); 6] = [
    (OperationKind::Write, Moment::During),
    (OperationKind::Sync, Moment::Before),
    (OperationKind::Sync, Moment::During),
    (OperationKind::Sync, Moment::After),
    (OperationKind::Send, Moment::Before),
    (OperationKind::Receive, Moment::After),
];

/// Messages never end, so the search does; disk operations end with the workload.
const COUNT_MAX: u32 = 40;

/// Tries everything, crashing at every `stride`-th place; an error is the plan that failed.
pub fn shard(longest: usize, stride: u32) -> Result<Tried, String> {
    assert!(stride > 0, "a stride of nothing goes nowhere");
    let mut tried = Tried::default();
    let mut turn = 0;
    for steps in sequences(&STEPS, longest) {
        tried.workloads += 1;
        check(&plan(&steps, None))?;
        for server in 1..=3 {
            for (kind, moment) in PLACES {
                for count in 1..=COUNT_MAX {
                    turn += 1;
                    if turn % stride != 0 {
                        continue;
                    }
                    tried.crashes += 1;
                    let when = When::at(Duration::ZERO).then(&format!("meta-{server}"), kind, count, moment);
                    if !check(&plan(&steps, Some((server, when))))? {
                        break;
                    }
                }
            }
        }
    }
    Ok(tried)
}

fn plan(steps: &[&str], crash: Option<(u32, When)>) -> Plan {
    let mut plan = Plan::quiet("exhaustive", 0);
    (plan.faults_end, plan.end) = (Duration::from_secs(3), Duration::from_secs(13));
    plan.clients =
        vec![steps.iter().map(|step| step.parse::<Step>().expect("a step as plans write it")).collect()];
    let fault = |server| Fault::Crash { node: format!("meta-{server}"), restart_ms: Some(300) };
    plan.faults.extend(crash.map(|(server, when)| PlannedFault { when, fault: fault(server) }));
    plan
}

/// Did the crash come? An error is a broken promise.
fn check(plan: &Plan) -> Result<bool, String> {
    let report = run(plan, &RunOptions::default());
    match report.failure {
        Some(failure) => {
            Err(format!("{} {}: {}\n{}", failure.promise, failure.oracle, failure.what, plan.to_text()))
        }
        None => Ok(report.faults.get("crash").is_some_and(|count| *count > 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_of_every_single_operation_are_survived() {
        let tried = shard(1, 5).unwrap();
        assert_eq!(tried.workloads, STEPS.len() as u64);
        assert!(tried.crashes > 400, "{tried:?}");
    }
}
