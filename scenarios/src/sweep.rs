//! Many seeds on many threads: each a simulation of its own, a panic in one a finding like any
//! other.
#![allow(
    clippy::disallowed_methods,
    reason = "the runner measures how fast the simulator is, and shows progress"
)]

use crate::tally::{Finding, Tally};
use crate::{output, remark};
use mooseng_sim::plan::Plan;
use mooseng_sim::run::{Failure, Report, RunOptions, run};
use std::cell::{Cell, RefCell};
use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Which seeds to look at, and how.
pub struct Sweep<'a> {
    pub first: u64,
    pub count: u64,
    pub threads: usize,
    /// End at the first finding.
    pub until_found: bool,
    pub progress: bool,
    pub plan: &'a (dyn Fn(u64) -> Plan + Sync),
    pub replay_line: &'a (dyn Fn(u64, &Failure) -> String + Sync),
}

impl Sweep<'_> {
    pub fn run(&self) -> Tally {
        let next = AtomicU64::new(self.first);
        let end = self.first.saturating_add(self.count);
        let stop = AtomicBool::new(false);
        let tally = Mutex::new(Tally::default());
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= end || stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let start = thread_time();
                        let report = run_caught(&(self.plan)(seed), &RunOptions::default());
                        let took = thread_time().saturating_sub(start);
                        let finding = report.failure.as_ref().map(|failure| self.finding(seed, failure));
                        if let (true, Some(finding)) = (self.progress, &finding) {
                            remark!("{}\n    {}", finding.replay, finding.what);
                        }
                        if finding.is_some() && self.until_found {
                            stop.store(true, Ordering::Relaxed);
                        }
                        let mut tally = tally.lock().expect("no thread panics while it adds");
                        tally.add(&report, took);
                        tally.findings.extend(finding);
                    }
                });
            }
            if self.progress {
                self.show_progress(&tally, &stop);
            }
        });
        let mut tally = tally.into_inner().expect("no thread panics while it adds");
        tally.findings.sort_by_key(|finding| finding.seed);
        tally
    }

    fn finding(&self, seed: u64, failure: &Failure) -> Finding {
        Finding {
            seed,
            oracle: failure.oracle.clone(),
            promise: failure.promise.clone(),
            what: failure.what.clone(),
            at: failure.at.to_string(),
            replay: (self.replay_line)(seed, failure),
        }
    }

    /// One line that is written over on a terminal, a line now and then elsewhere.
    fn show_progress(&self, tally: &Mutex<Tally>, stop: &AtomicBool) {
        let terminal = std::io::stderr().is_terminal();
        let pause = Duration::from_millis(if terminal { 500 } else { 100 });
        let mut said = 0;
        loop {
            std::thread::sleep(pause);
            let (seeds, findings, speed) = {
                let tally = tally.lock().expect("no thread panics while it adds");
                (tally.seeds, tally.findings.len(), tally.seeds_per_core_hour())
            };
            let over = seeds >= self.count || stop.load(Ordering::Relaxed);
            let line =
                format!("{seeds}/{} seeds, {findings} findings, {speed:.0} seeds per core-hour", self.count);
            if terminal {
                output::remark(format_args!("\r{line}   {}", if over { "\n" } else { "" }));
            } else if seeds * 10 / self.count.max(1) > said {
                said = seeds * 10 / self.count.max(1);
                remark!("{line}");
            }
            if over {
                return;
            }
        }
    }
}

/// How long this thread has had a core to itself, by the kernel's account: what a seed costs does
/// not depend on what else the machine is doing. Zero where the kernel does not say.
pub(crate) fn thread_time() -> Duration {
    let account = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = account.split_ascii_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs a plan; a panic of the logic or the simulator becomes a failure of the oracle `panic`.
pub fn run_caught(plan: &Plan, options: &RunOptions) -> Report {
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !CATCHING.get() {
                return usual(panic);
            }
            let place = panic.location().map(|location| format!("{}:{}", location.file(), location.line()));
            let text =
                format!("{} at {}", panic.payload_as_str().unwrap_or("a panic"), place.unwrap_or_default());
            PANIC.set(Some(text));
        }));
    });
    CATCHING.set(true);
    let result = catch_unwind(AssertUnwindSafe(|| run(plan, options)));
    CATCHING.set(false);
    match result {
        Ok(report) => report,
        Err(_) => {
            let what = PANIC.take().unwrap_or_else(|| "a panic without words".to_owned());
            Report { failure: Some(Failure::panic(what)), ..Report::default() }
        }
    }
}
