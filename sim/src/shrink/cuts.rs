//! What can be taken out of a plan or made plainer in it. Pure: a plan goes in, another comes out,
//! and whether that still fails is asked elsewhere.

use crate::plan::{Member, Plan, When};
use std::time::Duration;

/// Without a client; the ones behind it move up, and faults that name it are gone.
pub(super) fn without_client(plan: &Plan, client: usize) -> Plan {
    let mut plan = plan.clone();
    plan.clients.remove(client);
    let gone = client as u32 + 1;
    rename(&mut plan, |member| match member {
        Member::Client(number) if number == gone => None,
        Member::Client(number) if number > gone => Some(Member::Client(number - 1)),
        other => Some(other),
    });
    plan
}

/// With fewer servers; faults that name the ones left out are gone.
pub(super) fn with_servers(plan: &Plan, servers: u32) -> Plan {
    let mut plan = plan.clone();
    plan.topology.servers = servers;
    rename(&mut plan, |member| match member {
        Member::Server(number) if number > servers => None,
        other => Some(other),
    });
    plan
}

/// Parts (`leader`, `follower-1`) stay as they are.
fn rename(plan: &mut Plan, new: impl Fn(Member) -> Option<Member>) {
    let rename = |name: &str| match name.parse::<Member>() {
        Ok(member) => new(member).map(|member| member.to_string()),
        Err(_) => Some(name.to_owned()),
    };
    plan.faults = plan.faults.iter().filter_map(|planned| planned.renamed(&rename)).collect();
}

/// Without the events from `start` to before `end`: faults come first, then each client's steps.
/// The wait of a step that is gone is waited by the one behind it, so that nothing else moves.
pub(super) fn without_events(plan: &Plan, start: usize, end: usize) -> Plan {
    let mut number = 0;
    let mut gone = || {
        number += 1;
        (start..end).contains(&(number - 1))
    };
    let mut plan = plan.clone();
    plan.faults.retain(|_| !gone());
    for steps in &mut plan.clients {
        let mut waited = Duration::ZERO;
        steps.retain_mut(|step| {
            if gone() {
                waited += step.wait;
                return false;
            }
            step.wait += std::mem::take(&mut waited);
            true
        });
    }
    plan
}

/// No waits before the steps that are chosen by their number.
pub(super) fn without_waits(plan: &Plan, chosen: impl Fn(usize) -> bool) -> Plan {
    let mut plan = plan.clone();
    for (number, step) in plan.clients.iter_mut().flatten().enumerate() {
        if chosen(number) {
            step.wait = Duration::ZERO;
        }
    }
    plan
}

/// The plan with a step's wait made plainer, the plainest first.
pub(super) fn rounder_waits(plan: &Plan, number: usize) -> Vec<Plan> {
    let wait = plan.clients.iter().flatten().nth(number).map_or(Duration::ZERO, |step| step.wait);
    let with = |rounded: Duration| {
        let mut plan = plan.clone();
        if let Some(step) = plan.clients.iter_mut().flatten().nth(number) {
            step.wait = rounded;
        }
        plan
    };
    let rounded =
        [1_000_000, 100_000, 10_000, 1_000].map(|micros| round(wait, Duration::from_micros(micros)));
    let zero = (!wait.is_zero()).then_some(Duration::ZERO);
    zero.into_iter().chain(rounded).filter(|rounded| *rounded != wait).map(with).collect()
}

/// The plan with a fault's occasion made plainer, the plainest first.
pub(super) fn rounder_faults(plan: &Plan, number: usize) -> Vec<Plan> {
    let when = &plan.faults[number].when;
    let mut plainer = Vec::new();
    if when.then.is_some() {
        plainer.push(When { then: None, ..when.clone() });
    }
    for millis in [1_000, 100, 10] {
        plainer.push(When { wait: round(when.wait, Duration::from_millis(millis)), ..when.clone() });
    }
    if let Some(then) = &when.then
        && then.count > 1
    {
        let then = crate::plan::Operations { count: 1, ..then.clone() };
        plainer.push(When { then: Some(then), ..when.clone() });
    }
    plainer.retain(|plain| plain != when);
    let with = |when| {
        let mut plan = plan.clone();
        plan.faults[number].when = when;
        plan
    };
    plainer.into_iter().map(with).collect()
}

/// To the nearest multiple of `unit`.
fn round(span: Duration, unit: Duration) -> Duration {
    let (span, unit) = (span.as_micros() as u64, unit.as_micros() as u64);
    Duration::from_micros((span + unit / 2) / unit * unit)
}
