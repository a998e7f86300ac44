//! The bytes of large files: in order, and here and there, by one job and by several.

use super::{Scale, Times, forget, noise, say_rate};
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

const PIECE_BYTES: usize = 1 << 20;
const BLOCK_BYTES: usize = 4_096;
const JOBS: usize = 16;

pub(crate) fn measure(base: &Path, scale: &Scale) -> io::Result<()> {
    let path = base.join("large");
    sequential(&path, scale)?;
    random_reads(&path, scale)?;
    random_writes(&path, scale)?;
    appends(&base.join("log"), scale)?;
    std::fs::remove_file(path)
}

fn sequential(path: &Path, scale: &Scale) -> io::Result<()> {
    let piece = noise(PIECE_BYTES, 2);
    let pieces = scale.bytes / PIECE_BYTES as u64;
    let start = Instant::now();
    let mut file = File::create_new(path)?;
    (0..pieces).try_for_each(|_| file.write_all(&piece))?;
    file.sync_all()?;
    say_throughput("write_and_fsync", scale.bytes, start.elapsed());
    drop(file);

    forget()?;
    for name in ["read_cold", "read_warm"] {
        let mut file = File::open(path)?;
        let mut found = vec![0; PIECE_BYTES];
        let start = Instant::now();
        for _ in 0..pieces {
            file.read_exact(&mut found)?;
        }
        say_throughput(name, scale.bytes, start.elapsed());
        if found != piece {
            return Err(io::Error::other("other bytes than were written"));
        }
    }
    Ok(())
}

/// Where block number so many of a job lies: all over the file, and for no two jobs in step.
fn block(job: usize, number: usize, scale: &Scale) -> u64 {
    let blocks = scale.bytes / BLOCK_BYTES as u64;
    let mixed = ((job as u64) << 32 | number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 20) % blocks * BLOCK_BYTES as u64
}

fn random_reads(path: &Path, scale: &Scale) -> io::Result<()> {
    let read = |file: &File, at: u64| file.read_exact_at(&mut [0; BLOCK_BYTES], at);
    forget()?;
    let file = File::open(path)?;
    Times::of(scale.random, |number| read(&file, block(0, number, scale)))?.say_rate("random_read_4k_1_job");
    forget()?;
    let each = scale.random / JOBS;
    let time = Times::side_by_side(JOBS, each, |job, number| read(&file, block(job + 1, number, scale)))?;
    say_rate("random_read_4k_16_jobs", each * JOBS, time);
    forget()?;
    // Past the page cache; the buffer lies as the device wants it.
    let direct =
        OpenOptions::new().read(true).custom_flags(OFlags::DIRECT.bits().cast_signed()).open(path)?;
    let mut room = vec![0; 2 * BLOCK_BYTES];
    let begin = room.as_ptr().align_offset(BLOCK_BYTES);
    let room = &mut room[begin..begin + BLOCK_BYTES];
    Times::of(scale.random, |number| direct.read_exact_at(room, block(50, number, scale)))?
        .say_median("direct_read_4k_p50");
    Ok(())
}

fn random_writes(path: &Path, scale: &Scale) -> io::Result<()> {
    let contents = noise(BLOCK_BYTES, 3);
    let file = OpenOptions::new().write(true).open(path)?;
    let written = Times::of(scale.random / 4, |number| {
        file.write_all_at(&contents, block(70, number, scale))?;
        file.sync_data()
    })?;
    written.say_rate("random_write_4k_fsync");
    written.say_median("random_write_4k_fsync_p50");
    let synchronous =
        OpenOptions::new().write(true).custom_flags(OFlags::SYNC.bits().cast_signed()).open(path)?;
    let each = scale.random / 4 / JOBS;
    let time = Times::side_by_side(JOBS, each, |job, number| {
        synchronous.write_all_at(&contents, block(job + 100, number, scale))
    })?;
    say_rate("synchronous_write_4k_16_jobs", each * JOBS, time);
    Ok(())
}

fn appends(path: &Path, scale: &Scale) -> io::Result<()> {
    let contents = noise(BLOCK_BYTES, 4);
    let mut log = File::create_new(path)?;
    let appended = Times::of(scale.random / 4, |_| {
        log.write_all(&contents)?;
        log.sync_data()
    })?;
    appended.say_rate("append_4k_fsync");
    Ok(())
}

fn say_throughput(name: &str, bytes: u64, time: Duration) {
    println!("{name} {:.0} MiB/s", bytes as f64 / f64::from(1 << 20) / time.as_secs_f64());
}
