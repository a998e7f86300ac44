//! Random operations on files, at two mounts of one cluster by turns, against a model in memory: every
//! byte that is read, every size and every hole is held against it. 20 seconds; `MOOSENG_VERIFY_SECONDS`
//! says how long else, `MOOSENG_VERIFY_SEED` which dice, `MOOSENG_VERIFY_DIRECTORY` where instead of on
//! a mount of its own.

use super::{Mounted, Second};
use crate::support::Directory;
use mooseng_core::chance::{self, Dice, mix};
use rustix::fs::{Advice, FallocateFlags, SeekFrom, copy_file_range, fadvise, fallocate, seek};
use std::collections::VecDeque;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Each works on files of its own.
const WORKERS: u64 = 3;
const FILES: u64 = 3;
/// No file is longer than this, counted from where its contents begin.
const LENGTH_MAX: usize = 3 << 20;
/// Files begin here by turns, so that pages, leaves and chunks end in the middle of them.
const BASES: [u64; 3] = [0, (64 << 20) - (1 << 20) - 77, (128 << 20) - 5_000];
/// How many operations a failure tells.
const TOLD: usize = 40;

#[test]
fn files_hold_what_a_model_says() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let length = Duration::from_secs(number("MOOSENG_VERIFY_SECONDS").unwrap_or(20));
    let seed = number("MOOSENG_VERIFY_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    if let Some(directory) = std::env::var_os("MOOSENG_VERIFY_DIRECTORY") {
        let directory = PathBuf::from(directory);
        return verify([&directory, &directory], seed, length);
    }
    let Some(mounted) = Mounted::start("files_hold_what_a_model_says") else { return };
    let second = Second::start(&mounted.cluster, &[]);
    verify([mounted.point.path(), second.point.path()], seed, length);
    drop(second);
    mounted.stop();
}

fn verify(points: [&Path; 2], seed: u64, length: Duration) {
    eprintln!("MOOSENG_VERIFY_SEED={seed}");
    let compiled = Mapper::compile();
    let end = Instant::now() + length;
    let (operations, bytes) = std::thread::scope(|scope| {
        let workers = (0..WORKERS).map(|worker| {
            let mapper = compiled.as_ref().map(|directory| Mapper::start(directory.path()));
            scope.spawn(move || {
                let mut dice = chance::stream(seed, "verify", worker, 0);
                let mut files: Vec<File> = (0..FILES)
                    .map(|file| File::new(points, &format!("verified-{worker}-{file}"), BASES[file as usize]))
                    .collect();
                let mut mapper = mapper;
                let mut count = 0;
                while Instant::now() < end {
                    let file = dice.below(FILES) as usize;
                    for _ in 0..=dice.below(30) {
                        files[file].step(&mut dice, mapper.as_mut());
                        count += 1;
                    }
                    files[file].check_all();
                }
                let bytes = files.into_iter().map(File::end).sum::<u64>();
                (count, bytes)
            })
        });
        let workers: Vec<_> = workers.collect();
        let done = workers.into_iter().map(|worker| worker.join().expect("it finds what it should"));
        done.fold((0_u64, 0_u64), |sum, worker| (sum.0 + worker.0, sum.1 + worker.1))
    });
    eprintln!("{operations} operations, {} MB written, in {length:?}", bytes / 1_000_000);
    assert!(operations > 100, "hardly anything was done");
}

/// What maps files.
struct Mapper {
    process: Child,
    requests: ChildStdin,
    answers: ChildStdout,
}

impl Mapper {
    /// `None`, and a line that says why, without a C compiler.
    fn compile() -> Option<Directory> {
        if !super::programs::installed("mappings", &["cc"]) {
            return None;
        }
        let directory = Directory::fresh();
        let source = directory.path().join("mapper.c");
        fs::write(&source, include_str!("mapper.c")).expect("it is written");
        let program = directory.path().join("mapper");
        let done = Command::new("cc").arg("-O1").arg("-o").arg(program).arg(source).status();
        assert!(done.expect("it starts").success(), "it compiles");
        Some(directory)
    }

    fn start(directory: &Path) -> Self {
        let mut command = Command::new(directory.join("mapper"));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let requests = process.stdin.take().expect("it was asked for");
        let answers = process.stdout.take().expect("it was asked for");
        Self { process, requests, answers }
    }

    fn ask(&mut self, what: char, offset: u64, length: usize, first: u8, path: &Path) -> Vec<u8> {
        writeln!(self.requests, "{what} {offset} {length} {first} {}", path.display()).expect("it lives");
        let mut answer = vec![0; if what == 'r' { length } else { 1 }];
        self.answers.read_exact(&mut answer).expect("a mapping works");
        answer
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A file and its model: zeros up to `base`, then `bytes`.
struct File {
    points: [PathBuf; 2],
    /// At which of them it is open.
    at: usize,
    base: u64,
    bytes: Vec<u8>,
    open: fs::File,
    told: VecDeque<String>,
    written: u64,
    noise: u64,
}

impl File {
    fn new(points: [&Path; 2], name: &str, base: u64) -> Self {
        let points = points.map(|point| point.join(name));
        let mut options = fs::OpenOptions::new();
        let open = options.read(true).write(true).create(true).truncate(true).open(&points[0]);
        let open = open.expect("it is made");
        open.set_len(base).expect("it grows");
        let (bytes, told) = (Vec::new(), VecDeque::new());
        Self { points, at: 0, base, bytes, open, told, written: 0, noise: mix(base) }
    }

    /// How many bytes were written to it.
    fn end(mut self) -> u64 {
        self.reopen(0);
        self.check_all();
        fs::remove_file(&self.points[self.at]).expect("it is there");
        self.written
    }

    fn path(&self) -> &Path {
        &self.points[self.at]
    }

    fn tell(&mut self, what: String) {
        if self.told.len() == TOLD {
            self.told.pop_front();
        }
        self.told.push_back(what);
    }

    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        let told = self.told.iter().map(|line| format!("\n  {line}")).collect::<String>();
        panic!("{}: {what}; what came before, positions from {} on:{told}", self.path().display(), self.base);
    }

    #[track_caller]
    fn hold<T, E: std::fmt::Display>(&self, what: &str, done: Result<T, E>) -> T {
        done.unwrap_or_else(|error| self.fail(&format!("{what}: {error}")))
    }

    /// Bytes that were never there before.
    fn fresh(&mut self, length: usize) -> Vec<u8> {
        self.noise = mix(self.noise);
        let noise = self.noise;
        self.written += length as u64;
        let words = (0..length.div_ceil(8) as u64).flat_map(|word| mix(noise ^ word).to_le_bytes());
        words.take(length).map(|byte| byte.max(1)).collect()
    }

    /// Puts `new` into the model; what is skipped is zeros.
    fn put(&mut self, at: usize, new: &[u8]) {
        let end = at + new.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(new);
    }

    /// Somewhere, seldom far behind the end.
    fn place(&self, dice: &mut impl Dice) -> usize {
        let end = self.bytes.len() as u64 + if dice.chance(200_000) { dice.below(200_000) } else { 1 };
        (dice.below(end) as usize).min(LENGTH_MAX - 1)
    }

    /// A stretch of what is there, which is not nothing.
    fn range(&self, dice: &mut impl Dice) -> (usize, usize) {
        let at = dice.below(self.bytes.len() as u64) as usize;
        (at, length(dice).min(self.bytes.len() - at))
    }

    fn step(&mut self, dice: &mut impl Dice, mapper: Option<&mut Mapper>) {
        // The first three suit an empty file as well.
        let weights = [30, 8, 6, 25, 6, 6, 6, 8, 5, 8, 6, 3, 2, 2, 2, 2];
        let choice = if self.bytes.is_empty() { dice.below(3) as usize } else { dice.weighted(&weights) };
        match (choice, mapper) {
            (0, _) => self.write(dice),
            (1, _) => self.append(dice),
            (2, _) => self.truncate(dice),
            (3, _) => self.read(dice),
            (4, _) => self.zero(dice, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE),
            (5, _) => self.zero(dice, FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE),
            (6, _) => self.grow(dice),
            (7, Some(mapper)) => self.read_mapped(dice, mapper),
            (8, Some(mapper)) => self.write_mapped(dice, mapper),
            (9, _) => self.copy(dice),
            (10, _) => self.look_for_holes(),
            (11, _) => self.reopen(self.at),
            (12, _) => self.reopen(1 - self.at),
            (13, _) => self.make_anew(),
            (14, _) => self.forget_cached(),
            (15, _) => self.sync(dice),
            _ => self.check_size(),
        }
    }

    fn write(&mut self, dice: &mut impl Dice) {
        let at = self.place(dice);
        let new = self.fresh(length(dice).min(LENGTH_MAX - at));
        self.tell(format!("write {at} + {}", new.len()));
        self.hold("write", self.open.write_all_at(&new, self.base + at as u64));
        self.put(at, &new);
        self.check(at.saturating_sub(1), new.len() + 2);
    }

    fn append(&mut self, dice: &mut impl Dice) {
        let at = self.bytes.len();
        let new = self.fresh(length(dice).min(LENGTH_MAX - at));
        self.tell(format!("append {at} + {}", new.len()));
        let through = fs::OpenOptions::new().append(true).open(self.path());
        let mut through = self.hold("open to append", through);
        self.hold("append", through.write_all(&new));
        self.put(at, &new);
        self.check_size();
    }

    fn truncate(&mut self, dice: &mut impl Dice) {
        let size = if dice.chance(200_000) { 0 } else { self.place(dice) };
        self.tell(format!("truncate {size} (was {})", self.bytes.len()));
        self.hold("truncate", self.open.set_len(self.base + size as u64));
        self.bytes.resize(size, 0);
        self.check_size();
    }

    fn read(&mut self, dice: &mut impl Dice) {
        let (at, length) = self.range(dice);
        self.tell(format!("read {at} + {length}"));
        self.check(at, length);
    }

    fn zero(&mut self, dice: &mut impl Dice, how: FallocateFlags) {
        let (at, length) = self.range(dice);
        self.tell(format!("{how:?} {at} + {length}"));
        self.hold("zero", fallocate(&self.open, how, self.base + at as u64, length as u64));
        self.bytes[at..at + length].fill(0);
        self.check(at.saturating_sub(1), length + 2);
    }

    fn grow(&mut self, dice: &mut impl Dice) {
        let at = self.place(dice);
        let length = length(dice).min(LENGTH_MAX - at);
        self.tell(format!("allocate {at} + {length}"));
        let done = fallocate(&self.open, FallocateFlags::empty(), self.base + at as u64, length as u64);
        self.hold("allocate", done);
        self.bytes.resize(self.bytes.len().max(at + length), 0);
        self.check_size();
    }

    fn read_mapped(&mut self, dice: &mut impl Dice, mapper: &mut Mapper) {
        let (at, length) = self.range(dice);
        self.tell(format!("read mapped {at} + {length}"));
        let found = mapper.ask('r', self.base + at as u64, length, 0, self.path());
        self.compare(at, &found);
    }

    fn write_mapped(&mut self, dice: &mut impl Dice, mapper: &mut Mapper) {
        let (at, length) = self.range(dice);
        let (first, what) = (dice.below(256) as u8, *dice.pick(&['w', 's']));
        self.tell(format!("write mapped {at} + {length} ({what})"));
        mapper.ask(what, self.base + at as u64, length, first, self.path());
        let new: Vec<u8> = (0..length).map(|byte| first.wrapping_add(byte as u8)).collect();
        self.put(at, &new);
        self.check(at, length);
    }

    /// From one place in the file to another that it does not overlap.
    fn copy(&mut self, dice: &mut impl Dice) {
        let (from, length) = self.range(dice);
        let to = self.place(dice);
        let length = length.min(from.abs_diff(to)).min(LENGTH_MAX - to);
        self.tell(format!("copy {from} to {to} + {length}"));
        let (mut source, mut target) = (self.base + from as u64, self.base + to as u64);
        let mut copied = 0;
        while copied < length {
            let done = copy_file_range(
                &self.open,
                Some(&mut source),
                &self.open,
                Some(&mut target),
                length - copied,
            );
            match self.hold("copy", done) {
                0 => self.fail("copy: nothing is copied"),
                some => copied += some,
            }
        }
        let new = self.bytes[from..from + length].to_vec();
        if !new.is_empty() {
            self.put(to, &new);
        }
        self.check(to, length);
    }

    /// What is called a hole holds nothing, and the last one is at the end.
    fn look_for_holes(&mut self) {
        self.tell("look for holes".to_owned());
        let size = self.base + self.bytes.len() as u64;
        let mut at = self.base;
        while at < size {
            let data = match seek(&self.open, SeekFrom::Data(at)) {
                Ok(data) => data,
                Err(rustix::io::Errno::NXIO) => size,
                Err(error) => self.fail(&format!("SEEK_DATA: {error}")),
            };
            let hole = (at - self.base) as usize..(data.min(size) - self.base) as usize;
            if let Some(wrong) = self.bytes[hole].iter().position(|byte| *byte != 0) {
                self.fail(&format!("a hole is found from {at} to {data}, with data at +{wrong}"));
            }
            if data >= size {
                return;
            }
            at = self.hold("SEEK_HOLE", seek(&self.open, SeekFrom::Hole(data)));
            if at <= data || at > size {
                self.fail(&format!("SEEK_HOLE from {data} finds {at}"));
            }
        }
    }

    fn reopen(&mut self, at: usize) {
        self.tell(format!("open at mount {at}"));
        // Closed before it is opened: that is what the promise needs.
        self.open = self.hold("open", fs::File::open("/dev/null"));
        self.at = at;
        let mut options = fs::OpenOptions::new();
        self.open = self.hold("open", options.read(true).write(true).open(self.path()));
        self.check_size();
    }

    /// Another file takes the name.
    fn make_anew(&mut self) {
        self.tell("make anew".to_owned());
        let kept = self.path().with_extension("kept");
        self.hold("rename", fs::rename(self.path(), &kept));
        let mut options = fs::OpenOptions::new();
        let new = options.read(true).write(true).create_new(true).open(self.path());
        let new = self.hold("create", new);
        self.check(0, self.bytes.len());
        self.hold("unlink", fs::remove_file(&kept));
        self.check(0, self.bytes.len());
        self.open = new;
        self.hold("grow", self.open.set_len(self.base));
        self.bytes.clear();
        self.check_size();
    }

    fn forget_cached(&mut self) {
        self.tell("forget what is cached".to_owned());
        self.hold("fadvise", fadvise(&self.open, 0, None, Advice::DontNeed));
    }

    fn sync(&mut self, dice: &mut impl Dice) {
        self.tell("sync".to_owned());
        if dice.chance(100_000) {
            // Long enough that what waits to be written is written by itself.
            std::thread::sleep(Duration::from_millis(1_200));
        }
        self.hold("fsync", if dice.chance(500_000) { self.open.sync_all() } else { self.open.sync_data() });
    }

    #[track_caller]
    fn check_size(&self) {
        let found = self.hold("stat", fs::metadata(self.path())).len();
        let wanted = self.base + self.bytes.len() as u64;
        if found != wanted {
            self.fail(&format!("it has {found} bytes instead of {wanted}"));
        }
    }

    /// The bytes of a range, which ends where the file ends at the latest.
    #[track_caller]
    fn check(&self, at: usize, length: usize) {
        let mut found = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let read = self.open.read_at(&mut found[filled..], self.base + (at + filled) as u64);
            match self.hold("read", read) {
                0 => break,
                some => filled += some,
            }
        }
        let wanted = length.min(self.bytes.len().saturating_sub(at));
        if filled != wanted {
            self.fail(&format!("{filled} bytes are read from {at} on instead of {wanted}"));
        }
        self.compare(at, &found[..filled]);
    }

    #[track_caller]
    fn compare(&self, at: usize, found: &[u8]) {
        let wanted = &self.bytes[at..at + found.len()];
        if let Some(wrong) = found.iter().zip(wanted).position(|(found, wanted)| found != wanted) {
            let same =
                found[wrong..].iter().zip(&wanted[wrong..]).position(|(found, wanted)| found == wanted);
            let (length, zero) = (same.unwrap_or(found.len() - wrong), found[wrong] == 0);
            let first = at + wrong;
            self.fail(&format!("{length} bytes are wrong from {first} on (zero: {zero})"));
        }
    }

    /// All of it, by whoever opens it at the other mount, too.
    fn check_all(&mut self) {
        self.tell("all of it".to_owned());
        self.check_size();
        self.check(0, self.bytes.len() + 1);
        self.hold("fsync", self.open.sync_all());
        let other = self.hold("open elsewhere", fs::File::open(&self.points[1 - self.at]));
        let own = std::mem::replace(&mut self.open, other);
        self.check(0, self.bytes.len() + 1);
        self.open = own;
    }
}

/// Mostly short.
fn length(dice: &mut impl Dice) -> usize {
    let most = *dice.pick(&[100, 5_000, 5_000, 70_000, 400_000]);
    dice.between(1, most) as usize
}
