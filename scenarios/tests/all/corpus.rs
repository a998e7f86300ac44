//! Plans that once failed, kept with a sentence of history each. Seeds mean something else when
//! code changes; plans stay what they are.

use mooseng_core::chance::{self, Dice};
use mooseng_scenarios::sweep::run_caught;
use mooseng_sim::bugs::BUGS_OF_PLANS;
use mooseng_sim::plan::Plan;
use mooseng_sim::run::RunOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Each kept plan, and where it lies.
fn kept() -> Vec<(PathBuf, Plan)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .expect("scenarios/corpus is there")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no plan is kept in {}", folder.display());
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a kept plan is readable");
        let plan = Plan::from_text(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, plan)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn what_failed_once_does_not_fail_again() {
    for (path, plan) in kept() {
        let report = run_caught(&plan, &RunOptions::default());
        if let Some(failure) = report.failure {
            panic!(
                "cargo sim replay --plan {}   # {} {}: {}",
                path.display(),
                failure.promise,
                failure.oracle,
                failure.what
            );
        }
    }
}

/// A bug that runs are too seldom caught by is planted where a kept plan meets it, or one like it: when code
/// changes, the moment that matters moves by a little.
#[test]
fn a_kept_plan_fails_with_the_bug_it_is_kept_for() {
    let plans = kept();
    for (name, bug) in BUGS_OF_PLANS {
        let plan = plans.iter().find(|(path, _)| path.ends_with(name));
        let (_, plan) = plan.unwrap_or_else(|| panic!("{name} is not kept"));
        let caught = (0..TRIES_MAX).any(|number| {
            let failure = run_caught(&like(plan, number).with_bug(bug.name), &RunOptions::default()).failure;
            failure.is_some_and(|failure| bug.oracles.contains(&failure.oracle.as_str()))
        });
        assert!(caught, "{name}, and {TRIES_MAX} plans like it, say nothing of {}", bug.name);
    }
}

const TRIES_MAX: u64 = 300;
/// How far a fault is moved.
const MOVED_MAX: Duration = Duration::from_millis(16);

/// The plan itself, and then others like it.
fn like(plan: &Plan, number: u64) -> Plan {
    let mut plan = plan.clone();
    if number > 0 {
        let mut dice = chance::stream(number, "a plan like it", 0, 0);
        plan.seed = dice.word();
        for fault in plan.faults.iter_mut().filter(|fault| fault.when.after.is_none()) {
            let moved = Duration::from_millis(dice.below(2 * MOVED_MAX.as_millis() as u64 + 1));
            fault.when.wait = (fault.when.wait + moved).saturating_sub(MOVED_MAX);
        }
    }
    plan
}
