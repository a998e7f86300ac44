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

/// Compares; an error names the first seed that differs, and the first event of it that does.
pub fn check(first: u64, count: u64) -> Result<String, String> {
    let here = hashes(first, count);
    compare(&here, &hashes(first, count), "in the same process", |seed| Ok(turns(seed)))?;
    for (place, other) in [("in a fresh process", false), ("in another environment", true)] {
        let arguments =
            ["hashes", "--seeds", &count.to_string(), "--from", &first.to_string()].map(str::to_owned);
        let there = elsewhere(&arguments, other)?;
        compare(&here, &there, place, |seed| {
            let arguments = ["replay", "swarm", "--seed", &seed.to_string(), "--turns"].map(str::to_owned);
            elsewhere(&arguments, other)
        })?;
    }
    Ok(format!(
        "{count} seeds, run in this process twice, in a fresh one and in another environment: all the same"
    ))
}

/// Every turn of a run.
fn turns(seed: u64) -> Vec<String> {
    let report = run(&Plan::swarm(seed), &RunOptions { trace: true });
    report.told.map(|told| told.turns).unwrap_or_default()
}

/// What this program prints when it is started again. It may fail: a seed with a finding does.
fn elsewhere(arguments: &[String], other_environment: bool) -> Result<Vec<String>, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut command = Command::new(program);
    command.args(arguments);
    if other_environment {
        command.env_clear().env("TZ", "Asia/Kathmandu").env("LANG", "tr_TR.UTF-8").current_dir("/");
        // Moves the stack, and with it every address that could leak into an order.
        command.env("PADDING", "x".repeat(10_007));
    }
    let output = command.output().map_err(|error| format!("cannot start this program again: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn compare(
    here: &[String],
    there: &[String],
    place: &str,
    turns_there: impl Fn(u64) -> Result<Vec<String>, String>,
) -> Result<(), String> {
    if here.len() != there.len() {
        return Err(format!("{} seeds here, {} {place}", here.len(), there.len()));
    }
    let Some((here, there)) = here.iter().zip(there).find(|(here, there)| here != there) else {
        return Ok(());
    };
    let seed = here.split(' ').next().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let (ours, theirs) = (turns(seed), turns_there(seed)?);
    let event = ours.iter().zip(&theirs).enumerate().find(|(_, (ours, theirs))| ours != theirs);
    let event = event
        .map_or("the one ends where the other goes on".to_owned(), |(number, (ours, theirs))| {
            format!("first at event {number}:\n  here  {ours}\n  there {theirs}")
        });
    Err(format!("a seed ran differently {place}:\n  here  {here}\n  there {there}\n{event}"))
}
