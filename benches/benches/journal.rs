//! What a commit costs: appends of 256 bytes by 1, 16 and 256 writers who each wait for their
//! append, over the real machine, against a bare loop of write and fdatasync into preallocated
//! space on the same disk in the same run. Ends with the ratios; the aim is 0.8 of the bare rate
//! for one writer and 20 times it for 256.

#![allow(clippy::disallowed_methods, reason = "a bench measures the world")]

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use mooseng::machine::RealEnv;
use mooseng_storage::{Journal, JournalConfig, StreamId};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const RECORD_BYTES: usize = 256;
const SECTOR_BYTES: usize = 4096;
const SEGMENT_BYTES: usize = 16 << 20;
const WRITERS: [u64; 3] = [1, 16, 256];
/// How often each number of writers is compared with the bare loop, and for how long at least.
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(150);

/// An empty directory on the disk that holds the build.
fn scratch() -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("journal-bench");
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(path.join("data")).expect("the build directory takes a directory");
    path
}

/// A file as long as a segment, full of zeros and synced, as the journal prepares them.
fn prepared(directory: &Path) -> File {
    let file = OpenOptions::new().create_new(true).read(true).write(true).open(directory.join("bare"));
    let file = file.expect("a file opens");
    file.write_all_at(&vec![0; SEGMENT_BYTES], 0).expect("there is space");
    file.sync_all().expect("it syncs");
    file
}

/// One write of a sector and one fdatasync after the other, round and round a prepared file.
fn bare(file: &File, commits: u64) -> Duration {
    let sector = vec![7; SECTOR_BYTES];
    let start = Instant::now();
    for commit in 0..commits {
        let offset = commit % (SEGMENT_BYTES / SECTOR_BYTES) as u64 * SECTOR_BYTES as u64;
        file.write_all_at(&sector, offset).expect("it writes");
        rustix::fs::fdatasync(file).expect("it syncs");
    }
    start.elapsed()
}

/// `commits` appends shared among `writers`, each of whom waits for one before the next.
async fn commit(journal: &Journal<RealEnv>, writers: u64, commits: u64) -> Duration {
    let left = Arc::new(AtomicU64::new(commits));
    let bytes = Bytes::from(vec![7; RECORD_BYTES]);
    let start = Instant::now();
    let tasks: Vec<_> = (1..=writers)
        .map(|id| {
            let (journal, left, bytes) = (journal.clone(), left.clone(), bytes.clone());
            tokio::spawn(async move {
                let more = || {
                    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                        .is_ok()
                };
                while more() {
                    let stream = StreamId(id);
                    let position = journal.append(stream, vec![bytes.clone()]).await.expect("it appends");
                    journal.release(stream, position);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no writer panics");
    }
    let took = start.elapsed();
    for id in 1..=writers {
        journal.release(StreamId(id), mooseng_storage::Position(u64::MAX));
    }
    took
}

/// How many commits a second `run` does, over enough of them to last a while.
fn rate(run: impl Fn(u64) -> Duration) -> f64 {
    let mut commits = 64;
    loop {
        let took = run(commits);
        if took >= ROUND {
            return commits as f64 / took.as_secs_f64();
        }
        commits *= 2;
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The disk of a shared machine is fast now and slow then, so bare loop and journal take turns and
/// each round's rates are compared with one another.
fn compare(file: &File, runtime: &Runtime, journal: &Journal<RealEnv>) {
    let mut bare_rates = Vec::new();
    let mut ratios: [Vec<f64>; WRITERS.len()] = Default::default();
    for _ in 0..ROUNDS {
        for (writers, ratios) in WRITERS.into_iter().zip(&mut ratios) {
            let before = rate(|commits| bare(file, commits));
            let with = rate(|commits| runtime.block_on(commit(journal, writers, commits)));
            let after = rate(|commits| bare(file, commits));
            bare_rates.extend([before, after]);
            ratios.push(with / ((before + after) / 2.0));
        }
    }
    println!("\nbare write + fdatasync: {:.0} a second", median(bare_rates));
    for (writers, ratios) in WRITERS.into_iter().zip(ratios) {
        println!("{writers:>4} writers: {:.2} times the bare rate", median(ratios));
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    let directory = scratch();
    let file = prepared(&directory);
    let journal = runtime.block_on(async {
        let env = RealEnv::start(&directory.join("data")).expect("the machine starts");
        let config = JournalConfig { segment_bytes: SEGMENT_BYTES as u64, ..JournalConfig::default() };
        Journal::format(&env, "journal", &config).await.expect("it formats");
        Journal::open(&env, "journal", config).await.expect("it opens").0
    });
    let mut group = criterion.benchmark_group("journal");
    group.throughput(Throughput::Elements(1));
    group.bench_function("bare", |bencher| bencher.iter_custom(|commits| bare(&file, commits)));
    for writers in WRITERS {
        group.bench_function(format!("writers-{writers}"), |bencher| {
            bencher.iter_custom(|commits| runtime.block_on(commit(&journal, writers, commits)));
        });
    }
    group.finish();
    criterion.final_summary();
    // Not where `cargo test` only asks whether the bench runs.
    if std::env::args().any(|argument| argument == "--bench") {
        compare(&file, &runtime, &journal);
    }
}
