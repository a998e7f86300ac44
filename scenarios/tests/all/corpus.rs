//! Plans that once failed, kept with a sentence of history each. Seeds mean something else when
//! code changes; plans stay what they are.

use mooseng_scenarios::sweep::run_caught;
use mooseng_sim::plan::Plan;
use mooseng_sim::run::RunOptions;
use std::path::Path;

#[test]
fn what_failed_once_does_not_fail_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut plans: Vec<_> = std::fs::read_dir(&folder)
        .expect("scenarios/corpus is there")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    plans.sort();
    assert!(!plans.is_empty(), "no plan is kept in {}", folder.display());
    for path in plans {
        let text = std::fs::read_to_string(&path).expect("a kept plan is readable");
        let plan = Plan::from_text(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
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
