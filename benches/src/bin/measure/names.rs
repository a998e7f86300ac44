//! Small files as programs use them: made, looked at, listed, read, renamed and removed, by one thread and
//! by several, each in a directory of its own.

use super::{Scale, Times, forget, noise, say_rate};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

const THREADS: usize = 8;
const SMALL_BYTES: usize = 4_096;

pub(crate) fn measure(base: &Path, scale: &Scale) -> io::Result<()> {
    let files = scale.files;
    let directories: Vec<PathBuf> =
        (0..=THREADS).map(|number| base.join(format!("names-{number}"))).collect();
    let moved: Vec<PathBuf> = (0..=THREADS).map(|number| base.join(format!("moved-{number}"))).collect();
    directories.iter().chain(&moved).try_for_each(fs::create_dir)?;
    // One thread works in the last directory, several in the others.
    let (alone, alone_moved) = (&directories[THREADS], &moved[THREADS]);
    let each = files / THREADS;
    let all = each * THREADS;

    let created = Times::of(files, |number| File::create_new(path(alone, number)).map(drop))?;
    created.say_rate("create_1_thread");
    created.say_median("create_p50");
    let time = Times::side_by_side(THREADS, each, |thread, number| {
        File::create_new(path(&directories[thread], number)).map(drop)
    })?;
    say_rate("create_8_threads", all, time);

    forget()?;
    Times::of(files, |number| fs::metadata(path(alone, number)).map(drop))?.say_rate("stat_cold");
    Times::of(files, |number| fs::metadata(path(alone, number)).map(drop))?.say_rate("stat_warm");
    let time = Times::side_by_side(THREADS, each, |thread, number| {
        fs::metadata(path(&directories[thread], number)).map(drop)
    })?;
    say_rate("stat_8_threads", all, time);

    forget()?;
    let start = Instant::now();
    let mut listed = 0;
    for entry in fs::read_dir(alone)? {
        entry?.metadata()?;
        listed += 1;
    }
    say_rate("list_with_attributes_cold", files, start.elapsed());
    if listed != files {
        return Err(io::Error::other(format!("{listed} of {files} files are listed")));
    }

    let renamed = |from: &Path, to: &Path, number| fs::rename(path(from, number), path(to, number));
    Times::of(files, |number| renamed(alone, alone_moved, number))?.say_rate("rename_1_thread");
    let time = Times::side_by_side(THREADS, each, |thread, number| {
        renamed(&directories[thread], &moved[thread], number)
    })?;
    say_rate("rename_8_threads", all, time);
    Times::of(files, |number| fs::remove_file(path(alone_moved, number)))?.say_rate("unlink_1_thread");
    let time =
        Times::side_by_side(THREADS, each, |thread, number| fs::remove_file(path(&moved[thread], number)))?;
    say_rate("unlink_8_threads", all, time);
    small_contents(&directories, scale)
}

fn small_contents(directories: &[PathBuf], scale: &Scale) -> io::Result<()> {
    let files = scale.files / 4;
    let alone = &directories[THREADS];
    let each = files / THREADS;
    let contents = noise(SMALL_BYTES, 1);
    let write = |at: PathBuf| File::create_new(at)?.write_all(&contents);
    let written = Times::of(files, |number| write(path(alone, number)))?;
    written.say_rate("create_write_4k_1_thread");
    written.say_median("create_write_4k_p50");
    let time =
        Times::side_by_side(THREADS, each, |thread, number| write(path(&directories[thread], number)))?;
    say_rate("create_write_4k_8_threads", each * THREADS, time);

    let read = |at: PathBuf| {
        let mut found = Vec::with_capacity(SMALL_BYTES);
        File::open(at)?.read_to_end(&mut found)?;
        if found == contents { Ok(()) } else { Err(io::Error::other("other bytes than were written")) }
    };
    forget()?;
    Times::of(files, |number| read(path(alone, number)))?.say_rate("open_read_4k_cold");
    let time = Times::side_by_side(THREADS, each, |thread, number| read(path(&directories[thread], number)))?;
    say_rate("open_read_4k_8_threads", each * THREADS, time);
    Ok(())
}

fn path(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("file-{number:06}"))
}
