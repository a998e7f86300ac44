//! Makes a failing plan small: fewer events, clients, servers and chunk servers, usual knobs, rounder
//! numbers, and one schedule.
//!
//! Knows nothing of how a plan is run: it is given an attempt, and a candidate counts if the same
//! oracle and promise fail under any of a few schedules. What comes after the violation goes first;
//! then whatever is much at once; numbers are rounded when nothing else can go. The same plan and
//! the same attempts make the same small plan.

mod cuts;

#[cfg(test)]
mod tests;

use crate::machine::MachineConfig;
use crate::plan::{Differences, Knobs, Plan, Topology};
use crate::run::{Came, Failure, Report};
use mooseng_core::chance::{self, Dice};
use mooseng_core::time::Instant;
use std::collections::BTreeSet;
use std::time::Duration;

/// What a person reads at once.
const EVENTS_ENOUGH: usize = 12;
/// Pairs are many: they are tried only among so few events.
const PAIRS_EVENTS_MAX: usize = 30;
/// How few changes there may be to a snapshot.
const SNAPSHOT_ENTRIES: u64 = 4;
/// How often events are drawn that go together, of each share of them.
const DRAWS: u64 = 12;

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
pub fn shrink(plan: &Plan, failure: &Failure, attempt: &mut dyn FnMut(&Plan) -> Report) -> Plan {
    shrink_with(plan, failure, attempt, Effort::default())
}

pub fn shrink_with(
    plan: &Plan,
    failure: &Failure,
    attempt: &mut dyn FnMut(&Plan) -> Report,
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
        runs_kept: 0,
        tried: BTreeSet::new(),
        best: plan.clone(),
        came: Came::default(),
        over: Instant::ZERO,
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
    attempt: &'a mut dyn FnMut(&Plan) -> Report,
    failure: &'a Failure,
    /// The one that failed last comes first.
    schedules: Vec<u64>,
    runs_left: u32,
    /// So many of them are for later.
    runs_kept: u32,
    /// What was run already, by the hash of its text.
    tried: BTreeSet<[u8; 32]>,
    best: Plan,
    /// How far the best one comes before it fails.
    came: Came,
    /// When it fails.
    over: Instant,
}

impl Shrinker<'_> {
    /// Events first; where too many of them are left, settings first, from the beginning: neither way
    /// is always the better one.
    fn shrink(&mut self) {
        let whole = self.best.clone();
        self.runs_kept = self.runs_left / 2;
        self.reduce(&whole, [Self::drop_events, Self::usual_settings]);
        self.runs_kept = 0;
        if self.best.events() > EVENTS_ENOUGH {
            let small = std::mem::replace(&mut self.best, whole.clone());
            self.tried.clear();
            self.reduce(&whole, [Self::usual_settings, Self::drop_events]);
            if small.events() <= self.best.events() {
                self.best = small;
            }
        }
    }

    fn reduce(&mut self, whole: &Plan, order: [fn(&mut Self); 2]) {
        if !self.fails(whole, Under::AnySchedule) {
            return;
        }
        while self.runs_left > self.runs_kept {
            let before = self.best.clone();
            self.cut_time_short();
            self.drop_clients();
            self.drop_kinds();
            self.plain_occasions();
            order.iter().for_each(|part| part(self));
            self.drop_servers();
            self.drop_chunk_servers();
            self.usual_settings_one_by_one();
            if self.best == before && !self.drop_drawn() {
                self.round_numbers();
                if self.best == before {
                    return;
                }
            }
        }
    }

    /// Runs the candidate; keeps it as the best if it fails in the same way.
    fn fails(&mut self, candidate: &Plan, under: Under) -> bool {
        if candidate.check().is_err() {
            return false;
        }
        let count = if under == Under::OneSchedule { 1 } else { self.schedules.len() };
        for place in 0..count {
            let schedule = self.schedules[place];
            let plan = Plan { schedules: vec![schedule], ..candidate.clone() };
            if !self.tried.insert(*blake3::hash(plan.to_text().as_bytes()).as_bytes()) {
                continue;
            }
            if self.runs_left <= self.runs_kept {
                return false;
            }
            self.runs_left -= 1;
            let Report { failure, came, .. } = (self.attempt)(&plan);
            if let Some(failure) = failure.filter(|found| found.is_like(self.failure)) {
                self.schedules[..=place].rotate_right(1);
                let enough = cuts::only_what_came(&plan, &came, failure.at);
                (self.best, self.came, self.over) = (plan, came, failure.at);
                self.fails(&enough, Under::OneSchedule);
                return true;
            }
        }
        false
    }

    /// Tries without these events; faults that count what happens strike where they did, or when they
    /// have counted as much as they did.
    fn drop(&mut self, gone: &BTreeSet<usize>, under: Under) -> bool {
        if gone.is_empty() {
            return false;
        }
        let lowered = cuts::with_counts_lowered(&self.best, &self.came, gone);
        let [lowered, counted] = [&lowered, &self.best].map(|plan| cuts::without_events(plan, gone));
        self.fails(&lowered, under) || self.fails(&counted, under)
    }

    /// Less simulated time makes every later run cheaper. Where it is the safety phase that fails, what
    /// is behind the violation is gone already.
    fn cut_time_short(&mut self) {
        while self.over > Instant::ZERO + self.best.faults_end {
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
            // More than one may have gone at once.
            if client < self.best.clients.len() {
                let candidate = cuts::without_client(&self.best, client);
                self.fails(&candidate, Under::AnySchedule);
            }
        }
    }

    /// Everything of one kind, and everything that is done to one file.
    fn drop_kinds(&mut self) {
        for kind in cuts::kinds(&self.best) {
            self.drop(&cuts::of_kind(&self.best, &kind), Under::OneSchedule);
        }
        for place in cuts::places(&self.best) {
            self.drop(&cuts::at_place(&self.best, &place), Under::OneSchedule);
        }
    }

    /// Delta debugging: cuts out ever smaller stretches of events, the last ones first, of what all
    /// did at some time and of what one did.
    fn drop_events(&mut self) {
        let mut stretch = self.best.events().div_ceil(2);
        while stretch > 1 {
            self.drop_stretches(stretch, cuts::by_time, Under::OneSchedule);
            self.drop_stretches(stretch, cuts::by_number, Under::OneSchedule);
            stretch /= 2;
        }
        self.drop_stretches(1, cuts::by_number, Under::AnySchedule);
        self.drop_pairs();
    }

    fn drop_stretches(&mut self, stretch: usize, order: fn(&Plan, &Came) -> Vec<usize>, under: Under) {
        let mut end = self.best.events();
        while end > 0 {
            let start = end.saturating_sub(stretch);
            let gone = order(&self.best, &self.came)[start..end].iter().copied().collect();
            self.drop(&gone, under);
            end = start.min(self.best.events());
        }
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
                if self.drop(&BTreeSet::from([first, last]), Under::OneSchedule) {
                    last = last.min(self.best.events());
                    break;
                }
            }
        }
    }

    /// Events that are drawn: what no cut that is thought out can do may go by luck. True if any did.
    fn drop_drawn(&mut self) -> bool {
        let events = self.best.events();
        for (number, share) in [(1, 500_000), (2, 250_000), (3, 100_000)] {
            for draw in 0..DRAWS {
                let mut dice = chance::stream(self.best.seed, "shrink: drawn", number, draw);
                let gone = (0..self.best.events()).filter(|_| dice.chance(share)).collect();
                self.drop(&gone, Under::OneSchedule);
            }
        }
        self.best.events() < events
    }

    fn drop_servers(&mut self) {
        for spares in 0..self.best.topology.spares {
            if self.fails(&cuts::with_spares(&self.best, spares), Under::AnySchedule) {
                break;
            }
        }
        for servers in [1, 3, 5] {
            if servers < self.best.topology.servers
                && self.fails(&cuts::with_servers(&self.best, servers), Under::AnySchedule)
            {
                return;
            }
        }
    }

    fn drop_chunk_servers(&mut self) {
        for number in (1..=self.best.topology.chunk_servers).rev() {
            // More than one may have gone at once.
            if number <= self.best.topology.chunk_servers {
                self.fails(&cuts::without_chunk_server(&self.best, number), Under::AnySchedule);
            }
        }
        if self.best.topology.racks > 1 {
            let topology = Topology { racks: 1, ..self.best.topology };
            self.fails(&Plan { topology, ..self.best.clone() }, Under::AnySchedule);
        }
    }

    /// Many settings at once.
    fn usual_settings(&mut self) {
        let usual = (Knobs::default(), MachineConfig::calm());
        let candidate = Plan { knobs: usual.0.clone(), machine: usual.1.clone(), ..self.best.clone() };
        if !self.fails(&candidate, Under::AnySchedule) {
            self.fails(&Plan { machine: usual.1, ..self.best.clone() }, Under::AnySchedule);
            self.fails(&Plan { knobs: usual.0, ..self.best.clone() }, Under::AnySchedule);
            // Hands blur what comes after what, and every later cut with it.
            let knobs = Knobs { client_hands: 1, ..self.best.knobs.clone() };
            self.fails(&Plan { knobs, ..self.best.clone() }, Under::AnySchedule);
            // Whatever needs a snapshot needs fewer changes that way.
            if self.best.knobs.snapshot_entries != Knobs::default().snapshot_entries {
                let knobs = Knobs { snapshot_entries: SNAPSHOT_ENTRIES, ..self.best.knobs.clone() };
                self.fails(&Plan { knobs, ..self.best.clone() }, Under::AnySchedule);
            }
        }
    }

    fn usual_settings_one_by_one(&mut self) {
        let usual = (Knobs::default(), MachineConfig::calm());
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

    /// What is counted from the beginning on goes wrong with every event that goes: times do not.
    fn plain_occasions(&mut self) {
        for fault in (0..self.best.faults.len()).rev() {
            let came = self.came.faults.get(fault).copied().flatten();
            for candidate in cuts::plainer_occasions(&self.best, fault, came) {
                if self.fails(&candidate, Under::AnySchedule) {
                    break;
                }
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
        let all_at_once = cuts::without_waits(&self.best);
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
