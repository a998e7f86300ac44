//! What can be taken out of a plan or made plainer in it. Pure: a plan goes in, another comes out,
//! and whether that still fails is asked elsewhere.

use crate::plan::{Action, Member, Milestone, Operations, Plan, Step, When};
use crate::run::Came;
use mooseng_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Places are many, and what happens at most of them goes in other ways.
const PLACES_MAX: usize = 12;
const LONGER: Duration = Duration::from_secs(2);

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

/// With fewer servers; spares move up, and what names the ones left out is gone.
pub(super) fn with_servers(plan: &Plan, servers: u32) -> Plan {
    let mut plan = plan.clone();
    let before = std::mem::replace(&mut plan.topology.servers, servers);
    rename(&mut plan, |member| match member {
        Member::Server(number) if number > before => Some(Member::Server(number - before + servers)),
        Member::Server(number) if number > servers => None,
        other => Some(other),
    });
    plan
}

/// With fewer spares; what names the ones left out is gone.
pub(super) fn with_spares(plan: &Plan, spares: u32) -> Plan {
    let mut plan = plan.clone();
    plan.topology.spares = spares;
    let last = plan.topology.servers + spares;
    rename(&mut plan, |member| match member {
        Member::Server(number) if number > last => None,
        other => Some(other),
    });
    plan
}

/// With one chunk server less; the ones behind it move up, and faults that name it are gone.
pub(super) fn without_chunk_server(plan: &Plan, gone: u32) -> Plan {
    let mut plan = plan.clone();
    plan.topology.chunk_servers -= 1;
    rename(&mut plan, |member| match member {
        Member::Chunk(number) if number == gone => None,
        Member::Chunk(number) if number > gone => Some(Member::Chunk(number - 1)),
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
    for steps in &mut plan.clients {
        steps.retain_mut(|step| match &mut step.action {
            Action::AddServer { server } | Action::RemoveServer { server } => {
                match new(Member::Server(*server)) {
                    Some(Member::Server(number)) => *server = number,
                    _ => return false,
                }
                true
            }
            _ => true,
        });
    }
}

/// Without the events that have these numbers: faults come first, then each client's steps. The wait
/// of a step that is gone is waited by the one behind it, so that nothing else moves.
pub(super) fn without_events(plan: &Plan, gone: &BTreeSet<usize>) -> Plan {
    let mut numbers = 0..;
    let mut stays = || numbers.next().is_some_and(|number: usize| !gone.contains(&number));
    let mut plan = plan.clone();
    plan.faults.retain(|_| stays());
    for steps in &mut plan.clients {
        let mut waited = Duration::ZERO;
        steps.retain_mut(|step| {
            if !stays() {
                waited += step.wait;
                return false;
            }
            step.wait += std::mem::take(&mut waited);
            true
        });
    }
    plan
}

/// With faults that count what happens before them waiting for as much less as these events, which
/// are to go, brought about: they strike where they did.
pub(super) fn with_counts_lowered(plan: &Plan, came: &Came, gone: &BTreeSet<usize>) -> Plan {
    let mut lowered = plan.clone();
    let steps = plan.clients.iter().zip(&came.steps).flat_map(|(steps, came)| {
        let times = came.iter().copied().map(Some).chain(std::iter::repeat(None));
        steps.iter().zip(times)
    });
    let gone: Vec<Instant> = steps
        .enumerate()
        .filter(|(number, (step, _))| {
            gone.contains(&(plan.faults.len() + number)) && !step.action.is_question()
        })
        .filter_map(|(_, (_, came))| came)
        .collect();
    for (planned, came) in lowered.faults.iter_mut().zip(&came.faults) {
        let each = match planned.when.after {
            Some((Milestone::Answered, _)) => 1,
            Some((Milestone::Applied | Milestone::Acknowledged, _)) => plan.topology.servers,
            _ => continue,
        };
        let before = gone.iter().filter(|begun| came.is_none_or(|came| **begun < came)).count() as u32;
        if let Some((_, count)) = &mut planned.when.after {
            *count = count.saturating_sub(each.saturating_mul(before)).max(1);
        }
    }
    lowered
}

/// The numbers of all events, in their own order.
pub(super) fn by_number(plan: &Plan, _: &Came) -> Vec<usize> {
    (0..plan.events()).collect()
}

/// The numbers of all events, in the order in which they came.
pub(super) fn by_time(plan: &Plan, came: &Came) -> Vec<usize> {
    let steps = plan.clients.iter().enumerate().flat_map(|(client, steps)| {
        let came = came.steps.get(client).map_or(&[][..], Vec::as_slice);
        (0..steps.len()).map(|step| came.get(step).copied())
    });
    let faults = (0..plan.faults.len()).map(|fault| came.faults.get(fault).copied().flatten());
    let times: Vec<Instant> = faults.chain(steps).map(|came| came.unwrap_or(Instant::MAX)).collect();
    let mut numbers: Vec<usize> = (0..times.len()).collect();
    numbers.sort_by_key(|number| times[*number]);
    numbers
}

/// Without what no run comes to that ends at `end`, and without the time behind it, but for some: with
/// fewer events the same may take a little longer.
pub(super) fn only_what_came(plan: &Plan, came: &Came, end: Instant) -> Plan {
    let mut plan = plan.clone();
    if came.faults.len() == plan.faults.len() {
        let mut came = came.faults.iter();
        plan.faults.retain(|_| came.next().is_some_and(Option::is_some));
    }
    for (steps, came) in plan.clients.iter_mut().zip(&came.steps) {
        steps.truncate(came.len());
    }
    let end = Duration::from_millis(end.as_nanos().div_ceil(1_000_000)) + LONGER;
    if end < plan.faults_end {
        plan.end -= plan.faults_end - end;
        plan.faults_end = end;
    }
    plan
}

/// What can be asked for and what can go wrong, by the words that plans use, the most frequent first.
pub(super) fn kinds(plan: &Plan) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let faults = plan.faults.iter().map(|planned| planned.fault.kind().to_owned());
    for kind in faults.chain(plan.clients.iter().flatten().map(verb)) {
        *counts.entry(kind).or_default() += 1;
    }
    let mut kinds: Vec<_> = counts.into_iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    kinds.into_iter().map(|(kind, _)| kind).collect()
}

fn verb(step: &Step) -> String {
    let line = step.action.to_string();
    line.split(' ').next().unwrap_or_default().to_owned()
}

/// The numbers of all events of a kind.
pub(super) fn of_kind(plan: &Plan, kind: &str) -> BTreeSet<usize> {
    let faults = plan.faults.iter().map(|planned| planned.fault.kind() == kind);
    let steps = plan.clients.iter().flatten().map(|step| verb(step) == kind);
    let of_kind = faults.chain(steps).enumerate().filter(|(_, of_kind)| *of_kind);
    of_kind.map(|(number, _)| number).collect()
}

/// Places that several steps name, the most frequent first, and not too many.
pub(super) fn places(plan: &Plan) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for step in plan.clients.iter().flatten() {
        for place in places_of(step) {
            *counts.entry(place).or_default() += 1;
        }
    }
    let mut places: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 1).collect();
    places.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    places.into_iter().map(|(place, _)| place).take(PLACES_MAX).collect()
}

/// What a step names by path or by what made it, its own label included.
fn places_of(step: &Step) -> BTreeSet<String> {
    let line = step.action.to_string();
    let words = line.split(' ').skip(1).filter(|word| word.starts_with(['/', '@']));
    words.map(str::to_owned).chain(step.label.map(|label| format!("@{label}"))).collect()
}

/// The numbers of all steps that name a place.
pub(super) fn at_place(plan: &Plan, place: &str) -> BTreeSet<usize> {
    let steps = plan.clients.iter().flatten().enumerate();
    let named = steps.filter(|(_, step)| places_of(step).contains(place));
    named.map(|(number, _)| plan.faults.len() + number).collect()
}

/// Nobody waits for anything but answers.
pub(super) fn without_waits(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    plan.clients.iter_mut().flatten().for_each(|step| step.wait = Duration::ZERO);
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

/// The plan with a fault whose occasion depends on less: on no operation of a node, on the time when
/// it `came` and on nothing that happens before, or on less of that.
pub(super) fn plainer_occasions(plan: &Plan, number: usize, came: Option<Instant>) -> Vec<Plan> {
    const SOON_MS: [u64; 6] = [0, 20, 100, 300, 1_000, 2_000];
    // A plan that still fails when it is cut short has fewer faults than the one that was looked at.
    let Some(when) = plan.faults.get(number).map(|planned| &planned.when) else { return Vec::new() };
    let came = came.map(|came| came.as_nanos() as f64 / 1e6);
    let mut plainer = Vec::new();
    if when.then.is_some() {
        let soon = SOON_MS.map(Duration::from_millis);
        plainer.extend(soon.map(|soon| When { then: None, wait: when.wait + soon, ..when.clone() }));
    }
    if let Some((milestone, count)) = when.after {
        for millis in came.into_iter().flat_map(|millis| [millis.round(), millis.floor(), millis.ceil()]) {
            plainer.push(When { after: None, wait: Duration::from_millis(millis as u64), ..when.clone() });
        }
        let fewer = [1, count / 4, count / 2, count - count / 8, count.saturating_sub(1)];
        let fewer = fewer.into_iter().filter(|fewer| (1..count).contains(fewer));
        plainer.extend(fewer.map(|fewer| When { after: Some((milestone, fewer)), ..when.clone() }));
    }
    if let Some(then) = &when.then {
        let fewer = [1, then.count / 2].into_iter().filter(|fewer| (1..then.count).contains(fewer));
        plainer.extend(fewer.map(|count| {
            let then = Operations { count, ..then.clone() };
            When { then: Some(then), ..when.clone() }
        }));
    }
    plainer.into_iter().map(|when| with_occasion(plan, number, when)).collect()
}

/// The plan with a fault's occasion rounded, the plainest first.
pub(super) fn rounder_faults(plan: &Plan, number: usize) -> Vec<Plan> {
    let Some(when) = plan.faults.get(number).map(|planned| &planned.when) else { return Vec::new() };
    let rounder = [1_000, 100, 10].map(|millis| round(when.wait, Duration::from_millis(millis)));
    let rounder = rounder.into_iter().filter(|wait| *wait != when.wait);
    rounder.map(|wait| with_occasion(plan, number, When { wait, ..when.clone() })).collect()
}

fn with_occasion(plan: &Plan, number: usize, when: When) -> Plan {
    let mut plan = plan.clone();
    plan.faults[number].when = when;
    plan
}

/// To the nearest multiple of `unit`.
fn round(span: Duration, unit: Duration) -> Duration {
    let (span, unit) = (span.as_micros() as u64, unit.as_micros() as u64);
    Duration::from_micros((span + unit / 2) / unit * unit)
}
