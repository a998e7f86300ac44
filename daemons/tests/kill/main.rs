//! Kill -9 on the real machine: a child appends to a journal from many tasks and says on its
//! standard output what was acknowledged; it is killed at a random moment, the journal is opened
//! again, and what it gives back is held against what was said. Again and again, on the same
//! journal. What a power cut does on top of this (pages that were never written) only the
//! simulator can show: the page cache survives its process.

#![allow(clippy::disallowed_methods, reason = "killing a process is a matter of the real world")]

mod child;
mod chunk;
mod ledger;
mod record;
#[path = "../support/mod.rs"]
mod support;

use ledger::Ledger;
use mooseng::machine::RealEnv;
use mooseng_core::chance::{self, Dice};
use mooseng_storage::{Journal, JournalConfig, Record, Tail};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use support::Directory;
use tokio::runtime::{Builder, Runtime};

const KILLS: u32 = 250;
/// The test ends early on a machine that is slower than this.
const SECONDS_MAX: u64 = 50;
/// Fewer would show nothing.
const KILLS_MIN: u32 = 50;
/// Where the child finds the directory; without it there is no child.
const DIRECTORY: &str = "MOOSENG_KILL_TEST_DIRECTORY";
const JOURNAL: &str = "journal";

fn config() -> JournalConfig {
    JournalConfig {
        segment_bytes: 256 << 10,
        batch_bytes_max: 64 << 10,
        queue_bytes_max: 1 << 20,
        sector_bytes: 4_096,
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[test]
#[ignore = "the child of the test below, which starts and kills it"]
fn child() {
    let directory = std::env::var_os(DIRECTORY).expect("only the test below runs this");
    runtime().block_on(child::append_for_ever(Path::new(&directory)));
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let directory = Directory::fresh();
    with_env(&directory, async |env| {
        Journal::format(&env, JOURNAL, &config()).await.expect("a new journal");
    });
    let mut ledger = Ledger::default();
    let mut dice = chance::stream(u64::from(std::process::id()), "kill", 0, 0);
    let start = Instant::now();
    let (mut kills, mut torn) = (0, 0);
    while kills < KILLS && start.elapsed() < Duration::from_secs(SECONDS_MAX) {
        let life = Duration::from_micros(dice.below(120_000));
        let status = run_and_kill(directory.path().as_os_str(), life, |line| ledger.hear(line));
        assert!(status.code().is_none(), "the child ended by itself: {status}");
        kills += 1;
        let (records, tail) = reopen(&directory);
        match tail {
            Tail::Clean => {}
            Tail::Ambiguous { .. } => torn += 1,
            damaged @ Tail::Damaged { .. } => panic!("after kill {kills}: {damaged:?}"),
        }
        ledger.compare(&records).unwrap_or_else(|why| panic!("after kill {kills}: {why}"));
    }
    let heard = ledger.acknowledged();
    eprintln!("{kills} kills, {torn} torn tails, {heard} acknowledged appends");
    assert!(kills >= KILLS_MIN, "only {kills} kills in {SECONDS_MAX} s");
    assert!(heard > u64::from(kills), "the children hardly got to append anything: {heard}");
}

/// Gives each line that the child finished to `hear`.
fn run_and_kill(directory: &OsStr, life: Duration, mut hear: impl FnMut(&str)) -> ExitStatus {
    let mut child = Command::new(std::env::current_exe().expect("this test has a file"))
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let mut output = BufReader::new(child.stdout.take().expect("it was asked for"));
    let (started, begins) = channel();
    let reader = std::thread::spawn(move || {
        let mut lines = Vec::new();
        let mut line = String::new();
        while output.read_line(&mut line).expect("the child writes text") > 0 {
            let _ = started.send(());
            // The last line may have been cut off, and then nobody has said it.
            if line.ends_with('\n') {
                lines.push(std::mem::take(&mut line));
            }
        }
        lines
    });
    // A life counts from the first sign of it, so that a slow start does not use it up.
    begins.recv().expect("the child says something");
    std::thread::sleep(life);
    child.kill().expect("the child can be killed");
    let status = child.wait().expect("the child can be waited for");
    for line in reader.join().expect("the reader does not panic") {
        hear(line.trim_end());
    }
    status
}

fn reopen(directory: &Directory) -> (Vec<Record>, Tail) {
    with_env(directory, async |env| {
        let (journal, recovered) = Journal::open(&env, JOURNAL, config()).await.expect("it opens again");
        if recovered.tail != Tail::Clean {
            journal.settle().await.expect("the tail is accounted for");
        }
        (recovered.records, recovered.tail)
    })
}

/// A machine for one job. Its tasks and its hold on the directory are gone when this returns.
fn with_env<T>(directory: &Directory, job: impl AsyncFnOnce(RealEnv) -> T) -> T {
    runtime().block_on(async { job(RealEnv::start(directory.path()).expect("a machine")).await })
}
