//! A seed means one run: replays a sample in this process, in a fresh one and in another
//! environment, and compares rolling trace hashes.
#![allow(clippy::disallowed_methods, reason = "the runner starts itself again in another environment")]

use mooseng_sim::plan::Plan;
use mooseng_sim::run::{RunOptions, run};
use std::process::Command;

/// The trace hashes of some seeds, one line each.
pub fn hashes(first: u64, count: u64) -> Vec<String> {
    (first..first + count)
        .map(|seed| {
            let report = run(&Plan::swarm(seed), &RunOptions::default());
            format!("{seed} {:032x} {} events", report.trace_hash, report.events)
        })
        .collect()
}

/// Compares; an error names the first seed that differs and where.
pub fn check(first: u64, count: u64) -> Result<String, String> {
    let here = hashes(first, count);
    compare(&here, &hashes(first, count), "in the same process")?;
    compare(&here, &elsewhere(first, count, false)?, "in a fresh process")?;
    compare(&here, &elsewhere(first, count, true)?, "in another environment")?;
    Ok(format!(
        "{count} seeds, run in this process twice, in a fresh one and in another environment: all the same"
    ))
}

fn elsewhere(first: u64, count: u64, other_environment: bool) -> Result<Vec<String>, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut command = Command::new(program);
    command.args(["hashes", "--seeds", &count.to_string(), "--from", &first.to_string()]);
    if other_environment {
        command.env_clear().env("TZ", "Asia/Kathmandu").env("LANG", "tr_TR.UTF-8").current_dir("/");
        // Moves the stack, and with it every address that could leak into an order.
        command.env("PADDING", "x".repeat(10_007));
    }
    let output = command.output().map_err(|error| format!("cannot start this program again: {error}"))?;
    if !output.status.success() {
        return Err(format!("the fresh process failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn compare(here: &[String], there: &[String], place: &str) -> Result<(), String> {
    if here.len() != there.len() {
        return Err(format!("{} seeds here, {} {place}", here.len(), there.len()));
    }
    match here.iter().zip(there).find(|(here, there)| here != there) {
        None => Ok(()),
        Some((here, there)) => {
            Err(format!("a seed ran differently {place}:\n  here  {here}\n  there {there}"))
        }
    }
}
