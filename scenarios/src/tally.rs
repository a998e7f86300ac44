//! What many runs add up to, and how it is printed. Knows reports, not how they were made.

use mooseng_sim::run::Report;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A failing run, with what reproduces it.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub seed: u64,
    pub oracle: String,
    pub promise: String,
    pub what: String,
    /// Simulated time of the failure.
    pub at: String,
    /// The line to paste.
    pub replay: String,
}

/// Sums over runs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    pub seeds: u64,
    pub operations: u64,
    pub acknowledged: u64,
    pub elections: u64,
    pub simulated_seconds: f64,
    pub core_seconds: f64,
    pub faults: BTreeMap<String, u64>,
    pub probes: BTreeMap<String, u64>,
    pub findings: Vec<Finding>,
    /// Milliseconds from the loss of a leader to the next acknowledged change.
    #[serde(skip)]
    pub failovers_ms: Vec<f64>,
    #[serde(skip)]
    pub acknowledged_each: Vec<u64>,
    #[serde(skip)]
    pub faults_each: Vec<u64>,
}

impl Tally {
    pub fn add(&mut self, report: &Report, took: Duration) {
        self.seeds += 1;
        self.operations += report.operations;
        self.acknowledged += report.acknowledged;
        self.elections += report.elections;
        self.simulated_seconds += report.simulated.as_secs_f64();
        self.core_seconds += took.as_secs_f64();
        for (kind, count) in &report.faults {
            *self.faults.entry((*kind).to_owned()).or_default() += count;
        }
        for (probe, count) in &report.probes {
            *self.probes.entry((*probe).to_owned()).or_default() += count;
        }
        self.failovers_ms.extend(report.failovers.iter().map(|took| took.as_secs_f64() * 1e3));
        self.acknowledged_each.push(report.acknowledged);
        self.faults_each.push(report.faults.values().sum());
    }

    pub fn seeds_per_core_hour(&self) -> f64 {
        self.seeds as f64 * 3_600.0 / self.core_seconds.max(1e-9)
    }

    /// Simulated seconds per second of one core.
    pub fn speed(&self) -> f64 {
        self.simulated_seconds / self.core_seconds.max(1e-9)
    }

    /// Kinds of fault, of all there are, that no run has injected.
    pub fn faults_missing(&self) -> Vec<&'static str> {
        mooseng_sim::run::FAULT_KINDS
            .iter()
            .copied()
            .filter(|kind| !self.faults.contains_key(*kind))
            .collect()
    }

    /// Probes, of all there are, that no run has reached.
    pub fn probes_missing(&self) -> Vec<&'static str> {
        mooseng_sim::run::PROBES.iter().copied().filter(|probe| !self.probes.contains_key(*probe)).collect()
    }
}

/// The value at a percentage of a list, 0 if there is none.
pub fn percentile<T: Copy + PartialOrd + Default>(values: &[T], percent: usize) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|left, right| left.partial_cmp(right).unwrap_or(std::cmp::Ordering::Equal));
    if sorted.is_empty() { T::default() } else { sorted[(sorted.len() - 1) * percent / 100] }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seeds                      {:>12}", self.seeds)?;
        writeln!(f, "seeds per core-hour        {:>12.0}", self.seeds_per_core_hour())?;
        writeln!(f, "simulated s per core s     {:>12.0}", self.speed())?;
        writeln!(f, "operations checked         {:>12}", self.operations)?;
        let acknowledged = percentile(&self.acknowledged_each, 50);
        writeln!(f, "operations acknowledged    {:>12}   median a seed {acknowledged}", self.acknowledged)?;
        let faults: u64 = self.faults.values().sum();
        writeln!(
            f,
            "faults injected            {faults:>12}   median a seed {}",
            percentile(&self.faults_each, 50)
        )?;
        for (kind, count) in &self.faults {
            writeln!(f, "  {kind:<24} {count:>12}")?;
        }
        writeln!(f, "elections                  {:>12}", self.elections)?;
        if !self.failovers_ms.is_empty() {
            let at = |percent| percentile(&self.failovers_ms, percent);
            let (median, late, longest) = (at(50), at(99), at(100));
            writeln!(
                f,
                "failovers                  {:>12}   ms: median {median:.0}, p99 {late:.0}, longest {longest:.0}",
                self.failovers_ms.len()
            )?;
        }
        writeln!(
            f,
            "fault kinds never injected {:>12}   {}",
            self.faults_missing().len(),
            self.faults_missing().join(", ")
        )?;
        writeln!(f, "probes reached             {:>12}", self.probes.len())?;
        writeln!(
            f,
            "probes never reached       {:>12}   {}",
            self.probes_missing().len(),
            self.probes_missing().join("; ")
        )?;
        let elsewhere = mooseng_sim::bugs::PROBES_ELSEWHERE;
        writeln!(f, "probes left to other tests {:>12}", elsewhere.len())?;
        for (probe, why) in elsewhere {
            writeln!(f, "  {probe}: {why}")?;
        }
        write!(f, "findings                   {:>12}", self.findings.len())?;
        for finding in &self.findings {
            write!(f, "\n{}\n    {}", finding.replay, finding.what.replace('\n', "\n    "))?;
        }
        Ok(())
    }
}
