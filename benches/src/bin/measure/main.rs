//! What programs feel of a file system: names, bytes and trees of small files, each line a figure.
//! Prints `name value unit`.
//!
//! `measure DIRECTORY [--quick]` works in a directory of its own there and removes it at the end.
//! `benches/mount.sh` runs it where comparing makes sense.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures the real world")]

mod bytes;
mod names;
mod trees;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How much is done of each.
pub(crate) struct Scale {
    pub(crate) files: usize,
    /// Of the large file.
    pub(crate) bytes: u64,
    /// Random reads and writes, by each line.
    pub(crate) random: usize,
    pub(crate) tree_files: usize,
}

const USUAL: Scale = Scale { files: 10_000, bytes: 1 << 30, random: 4_000, tree_files: 5_000 };
const QUICK: Scale = Scale { files: 1_000, bytes: 64 << 20, random: 500, tree_files: 500 };

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(directory) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: measure DIRECTORY [--quick]");
        return ExitCode::from(2);
    };
    let scale = match arguments.next() {
        None => USUAL,
        Some(quick) if quick == "--quick" => QUICK,
        Some(other) => {
            eprintln!("measure: {}: only --quick may follow the directory", other.display());
            return ExitCode::from(2);
        }
    };
    match measure(&directory, &scale) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("measure: {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}

fn measure(directory: &Path, scale: &Scale) -> io::Result<()> {
    let base = directory.join(format!("measure-{}", std::process::id()));
    fs::create_dir(&base)?;
    let measured = names::measure(&base, scale)
        .and_then(|()| bytes::measure(&base, scale))
        .and_then(|()| trees::measure(&base, scale));
    // What failed is said; what it left is in nobody's way.
    let removed = fs::remove_dir_all(&base);
    measured.and(removed)
}

/// Times of single operations.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// As many operations, one after the other.
    pub(crate) fn of(count: usize, mut operation: impl FnMut(usize) -> io::Result<()>) -> io::Result<Self> {
        let mut times = Vec::with_capacity(count);
        for number in 0..count {
            let start = Instant::now();
            operation(number)?;
            times.push(start.elapsed());
        }
        Ok(Self(times))
    }

    /// The same by so many threads, each told its number.
    pub(crate) fn side_by_side(
        threads: usize,
        count: usize,
        operation: impl Fn(usize, usize) -> io::Result<()> + Sync,
    ) -> io::Result<Duration> {
        let start = Instant::now();
        std::thread::scope(|scope| {
            let operation = &operation;
            let work = |thread| move || (0..count).try_for_each(|number| operation(thread, number));
            let running: Vec<_> = (0..threads).map(|thread| scope.spawn(work(thread))).collect();
            running.into_iter().try_for_each(|thread| thread.join().expect("an operation does not panic"))
        })?;
        Ok(start.elapsed())
    }

    pub(crate) fn total(&self) -> Duration {
        self.0.iter().sum()
    }

    pub(crate) fn say_rate(&self, name: &str) {
        say_rate(name, self.0.len(), self.total());
    }

    pub(crate) fn say_median(mut self, name: &str) {
        self.0.sort_unstable();
        if let Some(median) = self.0.get(self.0.len() / 2) {
            println!("{name} {:.1} us", median.as_secs_f64() * 1e6);
        }
    }
}

pub(crate) fn say_rate(name: &str, count: usize, time: Duration) {
    println!("{name} {:.0} ops/s", count as f64 / time.as_secs_f64());
}

pub(crate) fn say_seconds(name: &str, time: Duration) {
    println!("{name} {:.3} s", time.as_secs_f64());
}

/// Everything is written back, and nothing is in memory any more: of this file system, and of
/// whatever serves it on this machine. Needs root.
pub(crate) fn forget() -> io::Result<()> {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3")
}

/// The same bytes in every run, none of which a file system could leave out.
pub(crate) fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..bytes.div_ceil(8)).flat_map(|_| word()).take(bytes).collect()
}
