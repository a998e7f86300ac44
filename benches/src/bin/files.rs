//! Small files as programs use them: made, looked at, listed and removed in a directory, by one thread
//! and by several, each in a directory of its own. Prints `name value unit` lines.
//!
//! `files DIRECTORY [FILES]`; `benches/mount.sh` runs it where it makes sense.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures the real world")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

const THREADS: [usize; 2] = [1, 8];
const FILES: usize = 10_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(directory) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: files DIRECTORY [FILES]");
        return ExitCode::from(2);
    };
    let files = arguments.next().and_then(|files| files.to_str()?.parse().ok()).unwrap_or(FILES);
    for threads in THREADS {
        if let Err(error) = measure(&directory, threads, files) {
            eprintln!("{}: {error}", directory.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

type Step = fn(&Path, usize) -> io::Result<()>;

/// What each thread does with its directory, in this order.
const STEPS: [(&str, Step); 5] =
    [("create", create), ("stat", stat), ("readdir", list), ("rename", rename), ("unlink", unlink)];

fn measure(base: &Path, threads: usize, files: usize) -> io::Result<()> {
    let directories: Vec<PathBuf> =
        (0..threads).map(|thread| base.join(format!("files-{}-{thread}", std::process::id()))).collect();
    for directory in &directories {
        fs::create_dir(directory)?;
    }
    let each = files / threads;
    for (name, step) in STEPS {
        let start = Instant::now();
        std::thread::scope(|scope| {
            let running: Vec<_> =
                directories.iter().map(|directory| scope.spawn(|| step(directory, each))).collect();
            running.into_iter().try_for_each(|thread| thread.join().expect("a step does not panic"))
        })?;
        let rate = (each * threads) as f64 / start.elapsed().as_secs_f64();
        println!("{name}_{threads}_threads {rate:.0} files/s");
    }
    directories.iter().try_for_each(fs::remove_dir)
}

fn path(directory: &Path, file: usize) -> PathBuf {
    directory.join(format!("file-{file:06}"))
}

fn moved(directory: &Path, file: usize) -> PathBuf {
    directory.join(format!("moved-{file:06}"))
}

fn create(directory: &Path, files: usize) -> io::Result<()> {
    (0..files).try_for_each(|file| fs::File::create_new(path(directory, file)).map(drop))
}

fn stat(directory: &Path, files: usize) -> io::Result<()> {
    (0..files).try_for_each(|file| fs::metadata(path(directory, file)).map(drop))
}

fn list(directory: &Path, files: usize) -> io::Result<()> {
    let listed = fs::read_dir(directory)?.count();
    if listed == files {
        Ok(())
    } else {
        Err(io::Error::other(format!("{listed} of {files} files are listed")))
    }
}

fn rename(directory: &Path, files: usize) -> io::Result<()> {
    (0..files).try_for_each(|file| fs::rename(path(directory, file), moved(directory, file)))
}

fn unlink(directory: &Path, files: usize) -> io::Result<()> {
    (0..files).try_for_each(|file| fs::remove_file(moved(directory, file)))
}
