//! `cargo sim`: run, replay and shrink simulations, and measure how good the simulator is.
#![allow(clippy::disallowed_methods, reason = "a command line reads and writes files")]

use clap::{Args, Parser, Subcommand};
use mooseng_scenarios::sweep::{Sweep, run_caught};
use mooseng_scenarios::{SCENARIOS, bench, bugs, determinism, draw, exhaustive, output, remark, say};
use mooseng_sim::plan::Plan;
use mooseng_sim::run::{Failure, Report, RunOptions};
use mooseng_sim::shrink::shrink;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo sim", about = "Run whole clusters under simulated disasters, one seed each")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run many seeds and say what they found.
    Run {
        #[arg(value_parser = SCENARIOS)]
        scenario: String,
        #[arg(long, default_value_t = 1_000)]
        seeds: u64,
        /// The first seed.
        #[arg(long, default_value = "0", value_parser = number)]
        from: u64,
        #[command(flatten)]
        common: Common,
        /// Stop at the first finding.
        #[arg(long)]
        until_found: bool,
        /// Fail too if a kind of fault was never injected or a probe never reached.
        #[arg(long)]
        complete: bool,
    },
    /// Run one seed or plan again.
    Replay {
        #[command(flatten)]
        which: Which,
        /// Print one line per event.
        #[arg(long)]
        trace: bool,
        /// Print every turn of the machine, tasks and timers included.
        #[arg(long)]
        turns: bool,
        /// Write a page with a lane per node.
        #[arg(long)]
        html: Option<PathBuf>,
        #[arg(long)]
        json: bool,
    },
    /// Reduce a failing seed or plan to the few events that matter.
    Shrink {
        #[command(flatten)]
        which: Which,
        /// Where to write the smaller plan; it is printed otherwise.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Plant each known bug and say whether it is caught.
    Bugs {
        /// Fewer seeds for each: what CI runs.
        #[arg(long)]
        quick: bool,
        #[arg(long)]
        only: Option<String>,
        /// Shrink each finding and count the events left.
        #[arg(long)]
        shrink: bool,
        #[arg(long)]
        seeds: Option<u64>,
        #[arg(long)]
        json: bool,
        #[arg(long, default_value_t = cores())]
        threads: usize,
    },
    /// Measure the simulator beside its own bare executor.
    Bench {
        #[arg(long, default_value_t = 400)]
        seeds: u64,
        #[arg(long)]
        json: bool,
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// Check that a seed means one run, here, in a fresh process and in another environment.
    Determinism {
        #[arg(long, default_value_t = 50)]
        seeds: u64,
        #[arg(long, default_value = "0", value_parser = number)]
        from: u64,
    },
    /// Every small workload of the journal, the chunk store and the shard, with a crash at every place.
    Exhaustive {
        /// The longest workload, in operations.
        #[arg(long, default_value_t = 2)]
        longest: usize,
        /// Crash at every so many-th place of the shard.
        #[arg(long, default_value_t = 20)]
        stride: u64,
        #[arg(long, default_value_t = cores())]
        threads: usize,
    },
    /// Print the plan that a seed expands into.
    Plan {
        #[command(flatten)]
        which: Which,
    },
    /// Print the trace hashes of some seeds.
    #[command(hide = true)]
    Hashes {
        #[arg(long)]
        seeds: u64,
        #[arg(long, value_parser = number)]
        from: u64,
    },
}

#[derive(Args)]
struct Common {
    /// Plant this bug.
    #[arg(long)]
    bug: Option<String>,
    #[arg(long)]
    json: bool,
    #[arg(long, default_value_t = cores())]
    threads: usize,
}

#[derive(Args)]
struct Which {
    #[arg(value_parser = SCENARIOS)]
    scenario: Option<String>,
    #[arg(long, value_parser = number)]
    seed: Option<u64>,
    /// A plan file, instead of a seed.
    #[arg(long, conflicts_with = "seed")]
    plan: Option<PathBuf>,
    /// Plant this bug.
    #[arg(long)]
    bug: Option<String>,
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A number, decimal or with `0x`.
fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("{text:?} is not a number from 0 to 2^64 - 1, decimal or with 0x"))
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(line) => {
            remark!("cargo sim: {line}");
            ExitCode::from(2)
        }
    }
}

/// True if everything was as it should be.
fn dispatch(command: Command) -> Result<bool, String> {
    match command {
        Command::Run { scenario, seeds, from, common, until_found, complete } => {
            sweep(&scenario, seeds, from, &common, until_found, complete)
        }
        Command::Replay { which, trace, turns, html, json } => {
            let show = Show { trace, turns, html, json };
            replay(&which, show)
        }
        Command::Shrink { which, out } => shrink_one(&which, out),
        Command::Bugs { quick, only, shrink, seeds, json, threads } => {
            let seeds = seeds.unwrap_or(2_000);
            let control_seeds = if quick { 100 } else { seeds.min(1_000) };
            let blind_seeds = if quick { 20 } else { seeds };
            let hunt = bugs::Hunt { seeds, control_seeds, blind_seeds, threads, shrink, only };
            Ok(scoreboard(&hunt, json))
        }
        Command::Bench { seeds, json, threads } => {
            let speed = bench::measure(seeds, threads);
            print_as(json, &speed);
            Ok(speed.findings == 0)
        }
        Command::Determinism { seeds, from } => {
            let result = determinism::check(from, seeds);
            say!("{}", result.as_ref().unwrap_or_else(|differs| differs));
            Ok(result.is_ok())
        }
        Command::Exhaustive { longest, stride, threads } => {
            let journal = mooseng_sim::exhaustive::journal(longest)?;
            say!("journal: {} workloads, {} crashes, all survived", journal.workloads, journal.crashes);
            let store = mooseng_sim::exhaustive::store(longest)?;
            say!("chunk store: {} workloads, {} crashes, all survived", store.workloads, store.crashes);
            say!("shard: {}, all survived", exhaustive::shard(longest, stride, threads)?);
            Ok(true)
        }
        Command::Plan { which } => {
            output::say(format_args!("{}", which.plan()?.to_text()));
            Ok(true)
        }
        Command::Hashes { seeds, from } => {
            determinism::hashes(from, seeds).iter().for_each(|line| say!("{line}"));
            Ok(true)
        }
    }
}

fn print_as<T: serde::Serialize + std::fmt::Display>(json: bool, value: &T) {
    if json {
        say!("{}", serde_json::to_string_pretty(value).expect("figures are always JSON"));
    } else {
        say!("{value}");
    }
}

fn planted(plan: Plan, bug: Option<&str>) -> Result<Plan, String> {
    let Some(bug) = bug else { return Ok(plan) };
    let known = mooseng_sim::bugs::find(bug)
        .ok_or_else(|| format!("no bug is called {bug:?}: `cargo sim bugs` lists them"))?;
    Ok(plan.with_bug(known.name))
}

fn sweep(
    scenario: &str,
    seeds: u64,
    from: u64,
    common: &Common,
    until_found: bool,
    complete: bool,
) -> Result<bool, String> {
    let bug = common.bug.as_deref();
    planted(draw(scenario, from), bug)?;
    let sweep = Sweep {
        first: from,
        count: seeds,
        threads: common.threads,
        until_found,
        progress: !common.json,
        plan: &|seed| planted(draw(scenario, seed), bug).expect("the bug's name was checked"),
        replay_line: &|seed, failure| replay_line(scenario, seed, bug, failure),
    };
    let tally = sweep.run();
    print_as(common.json, &tally);
    if !common.json {
        say!("excluded combinations of faults:");
        mooseng_sim::plan::EXCLUDED.iter().for_each(|excluded| say!("  {}: {}", excluded.what, excluded.why));
    }
    let whole = tally.faults_missing().is_empty() && tally.probes_missing().is_empty();
    Ok(tally.findings.is_empty() && (whole || !complete))
}

/// The one line to paste.
fn replay_line(scenario: &str, seed: u64, bug: Option<&str>, failure: &Failure) -> String {
    let bug = bug.map(|name| format!(" --bug {name}")).unwrap_or_default();
    let place = commit().map(|commit| format!("commit {commit}, ")).unwrap_or_default();
    format!(
        "cargo sim replay {scenario} --seed {seed:#x}{bug}   # {place}at {}: {} {}",
        failure.at, failure.promise, failure.oracle
    )
}

fn commit() -> Option<String> {
    let output = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

impl Which {
    fn plan(&self) -> Result<Plan, String> {
        if let Some(path) = &self.plan {
            let text =
                std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let plan = Plan::from_text(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            return planted(plan, self.bug.as_deref());
        }
        let seed = self.seed.ok_or("name what to run: --seed N or --plan FILE")?;
        planted(draw(self.scenario.as_deref().unwrap_or("swarm"), seed), self.bug.as_deref())
    }
}

/// What to show of a run.
struct Show {
    trace: bool,
    turns: bool,
    html: Option<PathBuf>,
    json: bool,
}

fn replay(which: &Which, show: Show) -> Result<bool, String> {
    let plan = which.plan()?;
    let trace = show.trace || show.turns || show.html.is_some();
    let report = run_caught(&plan, &RunOptions { trace });
    if let (true, Some(told)) = (show.turns, &report.told) {
        told.turns.iter().for_each(|line| say!("{line}"));
    }
    if let (true, Some(told)) = (show.trace, &report.told) {
        told.lines.iter().for_each(|line| say!("{line}"));
    }
    if let Some(path) = show.html {
        let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        let page =
            report.html(&plan, format!("cargo sim {command}")).ok_or("a panic leaves nothing to draw")?;
        std::fs::write(&path, page).map_err(|error| format!("{}: {error}", path.display()))?;
        remark!("wrote {}", path.display());
    }
    if show.json {
        say!("{}", serde_json::to_string_pretty(&report.summary()).expect("a report is always JSON"));
    } else {
        say!("{}", describe(&report));
    }
    Ok(report.failure.is_none())
}

fn describe(report: &Report) -> String {
    let what = match &report.failure {
        None => "nothing found".to_owned(),
        Some(failure) => {
            let expected = failure.expected.as_ref();
            let expected =
                expected.map(|expected| format!("; the model expects {expected}")).unwrap_or_default();
            format!("{} {} at {}: {}{expected}", failure.promise, failure.oracle, failure.at, failure.what)
        }
    };
    format!(
        "{what}\n{} operations, {} acknowledged, {} simulated, {} events, trace {:032x}",
        report.operations,
        report.acknowledged,
        format_args!("{:.3} s", report.simulated.as_secs_f64()),
        report.events,
        report.trace_hash
    )
}

fn shrink_one(which: &Which, out: Option<PathBuf>) -> Result<bool, String> {
    let plan = which.plan()?;
    let failure = run_caught(&plan, &RunOptions::default())
        .failure
        .ok_or("this run does not fail: nothing to shrink")?;
    remark!("{} events fail with {} {}: {}", plan.events(), failure.promise, failure.oracle, failure.what);
    let mut runs = 0;
    let mut attempt = |candidate: &Plan| {
        runs += 1;
        run_caught(candidate, &RunOptions::default())
    };
    let small = shrink(&plan, &failure, &mut attempt);
    remark!("{} events after {runs} runs", small.events());
    match out {
        None => output::say(format_args!("{}", small.to_text())),
        Some(path) => {
            std::fs::write(&path, small.to_text()).map_err(|error| format!("{}: {error}", path.display()))?;
            say!("cargo sim replay --plan {}", path.display());
        }
    }
    Ok(true)
}

fn scoreboard(hunt: &bugs::Hunt, json: bool) -> bool {
    let scores = bugs::scoreboard(hunt);
    let wrong = scores.iter().filter(|score| !score.right).count();
    if json {
        say!("{}", serde_json::to_string_pretty(&scores).expect("scores are always JSON"));
    } else {
        say!("");
        scores.iter().for_each(|score| say!("{}", bugs::line(score)));
        let mut events: Vec<usize> =
            scores.iter().filter_map(|score| score.shrunk.map(|shrunk| shrunk.events)).collect();
        events.sort_unstable();
        if let (Some(median), Some(most)) = (events.get(events.len() / 2), events.last()) {
            say!("events of the shrunk plans: {median} in the median, {most} at the most");
        }
        let blind = scores.iter().filter(|score| score.blind).count();
        say!("{} bugs and controls, {blind} known to go unseen, {wrong} not as they should be", scores.len());
    }
    wrong == 0
}
