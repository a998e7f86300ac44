//! Makes a failing plan small: fewer events, clients and servers, usual knobs, rounder numbers,
//! and one schedule.
//!
//! Knows nothing of how a plan is run: it is given an attempt, and a candidate counts if the same
//! oracle and promise fail under any of a few schedules. The same plan and the same attempts make
//! the same small plan.

mod cuts;

#[cfg(test)]
mod tests;

use crate::machine::MachineConfig;
use crate::plan::{Differences, Knobs, Plan};
use crate::run::Failure;
use mooseng_core::chance;
use std::collections::BTreeSet;
use std::time::Duration;

/// Pairs are many: they are tried only among so few events.
const PAIRS_EVENTS_MAX: usize = 30;

/// How hard to try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effort {
    pub runs_max: u32,
    /// How many schedules a candidate may fail under, the plan's own included.
    pub schedules: u32,
}

impl Default for Effort {
    fn default() -> Self {
        Self { runs_max: 2_000, schedules: 3 }
    }
}

/// The smallest plan found that fails like `failure`, with the usual effort.
pub fn shrink(plan: &Plan, failure: &Failure, attempt: &mut dyn FnMut(&Plan) -> Option<Failure>) -> Plan {
    shrink_with(plan, failure, attempt, Effort::default())
}

pub fn shrink_with(
    plan: &Plan,
    failure: &Failure,
    attempt: &mut dyn FnMut(&Plan) -> Option<Failure>,
    effort: Effort,
) -> Plan {
    let mut schedules = plan.schedules.clone();
    let others = (0..u64::from(effort.schedules)).map(|number| chance::once(plan.seed, "shrink", 0, number));
    schedules.extend(others);
    schedules.truncate(effort.schedules.max(1) as usize);
    let mut shrinker = Shrinker {
        attempt,
        failure,
        schedules,
        runs_left: effort.runs_max,
        tried: BTreeSet::new(),
        best: plan.clone(),
    };
    shrinker.shrink();
    shrinker.best
}

/// How widely a candidate is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Under {
    /// The schedule that failed last: for coarse cuts, of which most fail to fail.
    OneSchedule,
    AnySchedule,
}

struct Shrinker<'a> {
    attempt: &'a mut dyn FnMut(&Plan) -> Option<Failure>,
    failure: &'a Failure,
    /// The one that failed last comes first.
    schedules: Vec<u64>,
    runs_left: u32,
    /// What was run already, by the hash of its text.
    tried: BTreeSet<[u8; 32]>,
    best: Plan,
}

impl Shrinker<'_> {
    fn shrink(&mut self) {
        loop {
            let before = self.best.clone();
            self.cut_time_short();
            self.drop_clients();
            self.drop_events();
            self.drop_servers();
            self.usual_settings();
            self.round_numbers();
            if self.best == before || self.runs_left == 0 {
                return;
            }
        }
    }

    /// Runs the candidate; keeps it as the best if it fails in the same way.
    fn fails(&mut self, candidate: &Plan, under: Under) -> bool {
        if self.runs_left == 0 || candidate.check().is_err() {
            return false;
        }
        let count = if under == Under::OneSchedule { 1 } else { self.schedules.len() };
        for place in 0..count {
            let schedule = self.schedules[place];
            let plan = Plan { schedules: vec![schedule], ..candidate.clone() };
            let fresh = self.tried.insert(*blake3::hash(plan.to_text().as_bytes()).as_bytes());
            if !fresh || plan == self.best {
                continue;
            }
            if self.runs_left == 0 {
                return false;
            }
            self.runs_left -= 1;
            if (self.attempt)(&plan).is_some_and(|found| found.is_like(self.failure)) {
                self.schedules[..=place].rotate_right(1);
                self.best = plan;
                return true;
            }
        }
        false
    }

    /// Less simulated time makes every later run cheaper.
    fn cut_time_short(&mut self) {
        loop {
            let Plan { faults_end, end, .. } = self.best;
            let shorter = Duration::from_millis(faults_end.as_millis() as u64 / 2);
            let calm = end.saturating_sub(faults_end);
            let candidate = Plan { faults_end: shorter, end: shorter + calm, ..self.best.clone() };
            if shorter.is_zero() || !self.fails(&candidate, Under::OneSchedule) {
                return;
            }
        }
    }

    fn drop_clients(&mut self) {
        for client in (0..self.best.clients.len()).rev() {
            let candidate = cuts::without_client(&self.best, client);
            self.fails(&candidate, Under::AnySchedule);
        }
    }

    /// Delta debugging: cuts out ever smaller stretches of events, the last ones first.
    fn drop_events(&mut self) {
        let mut stretch = self.best.events().div_ceil(2);
        while stretch > 0 {
            let under = if stretch > 1 { Under::OneSchedule } else { Under::AnySchedule };
            let mut end = self.best.events();
            while end > 0 {
                let start = end.saturating_sub(stretch);
                let candidate = cuts::without_events(&self.best, start, end);
                self.fails(&candidate, under);
                end = start;
            }
            stretch /= 2;
        }
        self.drop_pairs();
    }

    /// Events that only make sense together, as a name's making and its removal.
    fn drop_pairs(&mut self) {
        let mut last = self.best.events();
        if last > PAIRS_EVENTS_MAX {
            return;
        }
        while last > 1 {
            last -= 1;
            for first in (0..last).rev() {
                let candidate = cuts::without_events(&self.best, last, last + 1);
                let candidate = cuts::without_events(&candidate, first, first + 1);
                if self.fails(&candidate, Under::OneSchedule) {
                    last = last.min(self.best.events());
                    break;
                }
            }
        }
    }

    fn drop_servers(&mut self) {
        if self.best.topology.spares > 0 {
            let mut candidate = self.best.clone();
            candidate.topology.spares = 0;
            self.fails(&candidate, Under::AnySchedule);
        }
        for servers in [1, 3, 5] {
            if servers < self.best.topology.servers
                && self.fails(&cuts::with_servers(&self.best, servers), Under::AnySchedule)
            {
                return;
            }
        }
    }

    /// All settings at once, and where that is too much, one by one.
    fn usual_settings(&mut self) {
        let usual = (Knobs::default(), MachineConfig::calm());
        let candidate = Plan { knobs: usual.0.clone(), machine: usual.1.clone(), ..self.best.clone() };
        if self.fails(&candidate, Under::AnySchedule) {
            return;
        }
        let candidate = Plan { machine: usual.1.clone(), ..self.best.clone() };
        self.fails(&candidate, Under::AnySchedule);
        for number in (0..Differences::of(&self.best.knobs, &usual.0).len()).rev() {
            let differences = Differences::of(&self.best.knobs, &usual.0);
            if let Some(knobs) = differences.keep(|other| other != number) {
                self.fails(&Plan { knobs, ..self.best.clone() }, Under::OneSchedule);
            }
        }
        for number in (0..Differences::of(&self.best.machine, &usual.1).len()).rev() {
            let differences = Differences::of(&self.best.machine, &usual.1);
            if let Some(machine) = differences.keep(|other| other != number) {
                self.fails(&Plan { machine, ..self.best.clone() }, Under::OneSchedule);
            }
        }
    }

    /// Times and waits that a person can read at a glance.
    fn round_numbers(&mut self) {
        for fault in 0..self.best.faults.len() {
            for candidate in cuts::rounder_faults(&self.best, fault) {
                if self.fails(&candidate, Under::OneSchedule) {
                    break;
                }
            }
        }
        let all_at_once = cuts::without_waits(&self.best, |_| true);
        if self.fails(&all_at_once, Under::AnySchedule) {
            return;
        }
        let steps = self.best.clients.iter().map(Vec::len).sum();
        for number in 0..steps {
            for candidate in cuts::rounder_waits(&self.best, number) {
                if self.fails(&candidate, Under::OneSchedule) {
                    break;
                }
            }
        }
    }
}
