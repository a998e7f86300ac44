//! A story: a few lines that set a scene, say what goes wrong, and which property has to hold all
//! the same. Told under several seeds, so that it does not hold by luck.

use crate::sweep::run_caught;
use mooseng_sim::machine::Fault;
use mooseng_sim::plan::{Plan, PlannedFault, Step, When};
use mooseng_sim::run::{Report, RunOptions};
use std::time::Duration;

/// How many seeds a story is told under.
const SEEDS: u64 = 16;

#[derive(Clone)]
pub struct Story {
    plan: Plan,
}

impl Story {
    /// Three servers and no clients, on a good day.
    pub fn new(name: &str) -> Self {
        Self { plan: Plan::quiet(name, 0) }
    }

    /// The first phase, in which things go wrong, and the second, in which they are well again.
    #[must_use]
    pub fn lasting(mut self, seconds: u64, then_seconds: u64) -> Self {
        self.plan.faults_end = Duration::from_secs(seconds);
        self.plan.end = Duration::from_secs(seconds + then_seconds);
        self
    }

    /// Another client, and what it does.
    #[must_use]
    pub fn client(mut self, steps: &[&str]) -> Self {
        let read = |step: &&str| step.parse::<Step>().unwrap_or_else(|line| panic!("{step}: {line}"));
        self.plan.clients.push(steps.iter().map(read).collect());
        self
    }

    /// A client that does `steps` over and over, `times` times; `#` in a step is the round.
    #[must_use]
    pub fn busy_client(self, times: u32, steps: &[&str]) -> Self {
        let rounds: Vec<String> = (0..times)
            .flat_map(|round| steps.iter().map(move |step| step.replace('#', &round.to_string())))
            .collect();
        let rounds: Vec<&str> = rounds.iter().map(String::as_str).collect();
        self.client(&rounds)
    }

    /// Something goes wrong.
    #[must_use]
    pub fn fault(mut self, when: When, fault: Fault) -> Self {
        self.plan.faults.push(PlannedFault { when, fault });
        self
    }

    /// Some time into the story.
    #[must_use]
    pub fn at(self, millis: u64, fault: Fault) -> Self {
        self.fault(When::at(Duration::from_millis(millis)), fault)
    }

    /// Anything else about the scene.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Plan)) -> Self {
        change(&mut self.plan);
        self
    }

    /// Tells it; every promise has to hold under every seed. Gives the reports for more questions.
    pub fn holds(self) -> Vec<Report> {
        (0..SEEDS).map(|seed| self.tell(seed)).collect()
    }

    fn tell(&self, seed: u64) -> Report {
        let plan = Plan { seed, ..self.plan.clone() };
        let report = run_caught(&plan, &RunOptions::default());
        if let Some(failure) = &report.failure {
            panic!(
                "{}, seed {seed}: {} {} at {}: {}\n{}",
                plan.story,
                failure.promise,
                failure.oracle,
                failure.at,
                failure.what,
                plan.to_text()
            );
        }
        report
    }
}
