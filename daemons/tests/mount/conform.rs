//! What system calls do and refuse, family by family, by the rules of docs/posix.md: as root and as
//! other users, on a real mount. Each case is counted, and all that fail are told at the end.
//! `MOOSENG_CONFORM_DIRECTORY` names another directory to try, such as one of the local disk.

mod holding;
mod naming;

use super::Mounted;
use super::programs::installed;
use crate::support::Directory;
use rustix::fs::{
    Access, AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps, UTIME_NOW,
    UTIME_OMIT, Uid, accessat, chmod, chownat, fstat, ftruncate, link, lstat, mkdir, mkfifoat, mknodat, open,
    readlink, rename, renameat_with, rmdir, stat, symlink, unlink, utimensat,
};
use rustix::io::{Errno, Result, write};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[test]
fn system_calls_follow_the_rules() {
    if let Some(directory) = std::env::var_os("MOOSENG_CONFORM_DIRECTORY") {
        return Suite::run(Path::new(&directory));
    }
    let Some(mounted) = Mounted::start("system_calls_follow_the_rules") else { return };
    Suite::run(mounted.point.path());
    mounted.stop();
}

/// How long the path of the suite's directory is made: with some lengths its own sums go wrong, and sockets
/// bear no long ones.
const PATH_BYTES: usize = 36;

/// The suite as it is published (`cargo install pjdfstest`). What needs a file system that is mounted
/// read-only in between goes first, as other cases leave files open that keep it from being that.
#[test]
fn the_published_posix_suite_passes() {
    let case = "the_published_posix_suite_passes";
    if !installed(case, &["pjdfstest"]) {
        return;
    }
    let Some(mounted) = Mounted::start(case) else { return };
    let name = "s".repeat(PATH_BYTES - 1 - mounted.point.path().as_os_str().len());
    let other = Directory::fresh();
    let run = |remounts: bool, which: &str| {
        let settings = format!(
            "[features]\nposix_fallocate = {{}}\nrename_ctime = {{}}\nutime_now = {{}}\nutimensat = {{}}\n\
             [settings]\nnaptime = 0.01\nallow_remount = {remounts}\n\
             [dummy_auth]\nentries = [[\"nobody\", \"nogroup\"], [\"daemon\", \"daemon\"]]\n"
        );
        let told = mounted.shell(&format!(
            "mkdir -p {name} && printf '{settings}' > settings.toml\n\
             pjdfstest -c settings.toml -p $PWD/{name} -s {} {which} 2>&1 || true",
            other.path().display()
        ));
        let failed: Vec<&str> = told.lines().filter(|line| line.ends_with(" FAILED")).collect();
        let summary = told.lines().find(|line| line.starts_with("Summary: ")).unwrap_or_default();
        assert!(summary.starts_with("Summary: 0 failed, "), "{summary} {failed:#?}\n{told}");
        eprintln!("pjdfstest {which}: {summary}");
        let skipped = told.lines().filter(|line| line.ends_with(" skipped"));
        skipped.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(run(true, "erofs"), [""; 0]);
    // The suite takes 65,000 links for too many to try.
    let skipped = run(false, "");
    let skipped: Vec<&String> = skipped.iter().filter(|case| !case.contains("::erofs_")).collect();
    assert_eq!(skipped, ["link::link_count_max"]);
    mounted.stop();
}

/// A copy of the suite that others hold file systems to, which lies in the directory of this variable.
const SUITE: &str = "MOOSENG_PJDFSTEST";

#[test]
fn the_posix_suite_passes() {
    let Some(suite) = std::env::var_os(SUITE) else {
        return eprintln!("skipped: the_posix_suite_passes: {SUITE} names no copy of pjdfstest");
    };
    let tests = Path::new(&suite).join("tests");
    let tests = tests.to_str().expect("a plain name");
    let Some(mounted) = Mounted::start("the_posix_suite_passes") else { return };
    let told = mounted.shell(&format!("prove -r -j 2 '{tests}' || true"));
    let end: Vec<&str> = told.lines().filter(|line| !line.ends_with(" ok")).collect();
    assert!(end.contains(&"Result: PASS"), "{end:#?}");
    eprintln!("{}", end.join("\n"));
    mounted.stop();
}

type Family = (&'static str, fn(&mut Suite));

const FAMILIES: [Family; 13] = [
    ("paths", paths),
    ("chmod", holding::changing_modes),
    ("chown", holding::changing_owners),
    ("link", naming::linking),
    ("mkdir", naming::making_directories),
    ("mknod", naming::making_nodes),
    ("open", holding::opening),
    ("rename", naming::renaming),
    ("rmdir", naming::removing_directories),
    ("symlink", naming::linking_symbolically),
    ("truncate", holding::cutting),
    ("unlink", naming::unlinking),
    ("utimensat", holding::setting_times),
];

/// Two users without privileges, each in a group of their own.
const SOMEBODY: User = User { uid: 65_534, gid: 65_534, groups: &[] };
const OTHER: User = User { uid: 65_533, gid: 65_533, groups: &[] };
const MEMBER: User = User { uid: 65_534, gid: 65_534, groups: &[65_533] };

#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
    groups: &'static [u32],
}

impl User {
    /// What comes of it when this user does it.
    fn does<T: Send>(self, what: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let groups: Vec<Gid> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
                set_thread_groups(&groups).expect("root may");
                set_thread_gid(Gid::from_raw(self.gid)).expect("root may");
                set_thread_uid(Uid::from_raw(self.uid)).expect("root may");
                what()
            });
            thread.join().expect("it does not panic")
        })
    }
}

struct Suite {
    base: PathBuf,
    family: &'static str,
    names: u32,
    counts: BTreeMap<&'static str, u32>,
    failed: Vec<String>,
}

impl Suite {
    fn run(point: &Path) {
        rustix::process::umask(Mode::from_raw_mode(0o022));
        let mut suite =
            Suite { base: PathBuf::new(), family: "", names: 0, counts: BTreeMap::new(), failed: Vec::new() };
        for (family, cases) in FAMILIES {
            suite.family = family;
            suite.base = point.join(format!("conform-{family}"));
            mkdir(&suite.base, bits(0o755)).expect("it is new");
            cases(&mut suite);
            std::fs::remove_dir_all(&suite.base).expect("it goes");
        }
        let count: u32 = suite.counts.values().sum();
        eprintln!("{count} cases, {} failed: {:?}", suite.failed.len(), suite.counts);
        assert!(suite.failed.is_empty(), "{:#?}", suite.failed);
    }

    #[track_caller]
    fn same<T: PartialEq + Debug>(&mut self, what: impl Display, found: T, wanted: T) {
        *self.counts.entry(self.family).or_default() += 1;
        if found != wanted {
            let line = std::panic::Location::caller().line();
            self.failed.push(format!("{} (line {line}): {what}: {found:?}, not {wanted:?}", self.family));
        }
    }

    #[track_caller]
    fn works<T>(&mut self, what: impl Display, done: Result<T>) {
        self.same(what, done.err(), None);
    }

    #[track_caller]
    fn refused<T>(&mut self, what: impl Display, done: Result<T>, error: Errno) {
        self.same(what, done.err(), Some(error));
    }

    #[track_caller]
    fn right(&mut self, what: impl Display, right: bool) {
        self.same(what, right, true);
    }

    /// A path that nothing is at.
    fn new_path(&mut self) -> PathBuf {
        self.names += 1;
        self.base.join(format!("n{}", self.names))
    }

    fn file(&mut self, mode: u32) -> PathBuf {
        let path = self.new_path();
        let made = open(&path, OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY, bits(0o600));
        made.expect("a file is made");
        chmod(&path, bits(mode)).expect("root may");
        path
    }

    fn directory(&mut self, mode: u32) -> PathBuf {
        let path = self.new_path();
        mkdir(&path, bits(0o700)).expect("a directory is made");
        chmod(&path, bits(mode)).expect("root may");
        path
    }

    /// The same, given to a user.
    fn file_of(&mut self, user: User, mode: u32) -> PathBuf {
        let path = self.file(mode);
        give(&path, user, mode);
        path
    }

    fn directory_of(&mut self, user: User, mode: u32) -> PathBuf {
        let path = self.directory(mode);
        give(&path, user, mode);
        path
    }

    /// One of every kind.
    fn all_kinds(&mut self) -> Vec<(&'static str, PathBuf)> {
        let [fifo, socket, device, symbolic] = [(); 4].map(|()| self.new_path());
        mkfifoat(CWD, &fifo, bits(0o644)).expect("a fifo");
        mknodat(CWD, &socket, FileType::Socket, bits(0o644), 0).expect("a socket");
        mknodat(CWD, &device, FileType::CharacterDevice, bits(0o644), 0x103).expect("a device");
        symlink("nowhere", &symbolic).expect("a symbolic link");
        vec![
            ("a file", self.file(0o644)),
            ("a directory", self.directory(0o755)),
            ("a fifo", fifo),
            ("a socket", socket),
            ("a device", device),
            ("a symbolic link", symbolic),
        ]
    }
}

fn bits(mode: u32) -> Mode {
    Mode::from_raw_mode(mode)
}

fn give(path: &Path, user: User, mode: u32) {
    own(path, Some(user.uid), Some(user.gid)).expect("root may");
    chmod(path, bits(mode)).expect("root may");
}

fn own(path: &Path, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    chownat(CWD, path, uid.map(Uid::from_raw), gid.map(Gid::from_raw), AtFlags::empty())
}

/// The permission bits.
fn mode_of(path: &Path) -> u32 {
    lstat(path).map_or(0, |stat| stat.st_mode & 0o7_777)
}

fn links(path: &Path) -> u64 {
    lstat(path).map_or(0, |stat| stat.st_nlink)
}

fn owners(path: &Path) -> (u32, u32) {
    lstat(path).map_or((0, 0), |stat| (stat.st_uid, stat.st_gid))
}

fn kind_of(path: &Path) -> Option<FileType> {
    lstat(path).ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
struct Times {
    atime: (i64, u64),
    mtime: (i64, u64),
    ctime: (i64, u64),
}

fn times(path: &Path) -> Times {
    let stat: Stat = lstat(path).expect("it is there");
    Times {
        atime: (stat.st_atime, stat.st_atime_nsec),
        mtime: (stat.st_mtime, stat.st_mtime_nsec),
        ctime: (stat.st_ctime, stat.st_ctime_nsec),
    }
}

/// So long that a clock of ticks has moved on.
fn pass() {
    std::thread::sleep(Duration::from_millis(12));
}

fn create(path: &Path) -> Result<OwnedFd> {
    open(path, OFlags::CREATE | OFlags::WRONLY, bits(0o644))
}

fn cut(path: &Path, size: u64) -> Result<()> {
    // As truncate(2), which asks for write permission by the path.
    open(path, OFlags::WRONLY, Mode::empty()).and_then(|file| ftruncate(file, size))
}

fn now() -> Timestamps {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    Timestamps { last_access: now, last_modification: now }
}

fn at(seconds: i64, nanos: i64) -> Timespec {
    Timespec { tv_sec: seconds, tv_nsec: nanos as _ }
}

fn touch(path: &Path, times: &Timestamps) -> Result<()> {
    utimensat(CWD, path, times, AtFlags::empty())
}

/// Every call that takes a path, with another that is there where it takes two.
type Call = (&'static str, fn(&Path, &Path) -> Result<()>);

/// Those that want something to be there, and those that want a name for something new.
const LOOKING: [Call; 12] = [
    ("stat", |path, _| stat(path).map(drop)),
    ("lstat", |path, _| lstat(path).map(drop)),
    ("chmod", |path, _| chmod(path, bits(0o644))),
    ("chown", |path, _| own(path, Some(0), Some(0))),
    ("open", |path, _| open(path, OFlags::RDONLY, Mode::empty()).map(drop)),
    ("truncate", |path, _| cut(path, 0)),
    ("utimensat", |path, _| touch(path, &now())),
    ("access", |path, _| accessat(CWD, path, Access::EXISTS, AtFlags::empty())),
    ("readlink", |path, _| readlink(path, Vec::new()).map(drop)),
    ("unlink", |path, _| unlink(path)),
    ("rmdir", |path, _| rmdir(path)),
    ("rename from", |path, there| rename(path, there.with_extension("moved"))),
];

const MAKING: [Call; 8] = [
    ("create", |path, _| create(path).map(drop)),
    ("mkdir", |path, _| mkdir(path, bits(0o755))),
    ("mkfifo", |path, _| mkfifoat(CWD, path, bits(0o644))),
    ("mknod", |path, _| mknodat(CWD, path, FileType::RegularFile, bits(0o644), 0)),
    ("symlink", |path, _| symlink("target", path)),
    ("link to", |path, there| link(there, path)),
    ("link from", |path, there| link(path, there.with_extension("linked"))),
    ("rename to", |path, there| rename(there, path)),
];

/// How every call finds its way, and what stops it.
fn paths(suite: &mut Suite) {
    let there = suite.file(0o644);
    let closed = suite.directory(0o755);
    let inside = closed.join("inside");
    create(&inside).expect("a file");
    chmod(&closed, bits(0o600)).expect("root may");
    let (one, two) = (suite.new_path(), suite.new_path());
    symlink(&two, &one).expect("a link");
    symlink(&one, &two).expect("a link");
    let long = suite.base.join("x".repeat(256));
    let far = suite.base.join(vec!["x".repeat(255); 17].join("/"));
    for (name, call) in LOOKING.iter().chain(&MAKING) {
        let gone = suite.base.join("none/name");
        suite.refused(format!("{name}: a part is missing"), call(&gone, &there), Errno::NOENT);
        suite.refused(format!("{name}: a part is a file"), call(&there.join("name"), &there), Errno::NOTDIR);
        suite.refused(format!("{name}: a name of 256 bytes"), call(&long, &there), Errno::NAMETOOLONG);
        suite.refused(format!("{name}: a path of 4 KiB"), call(&far, &there), Errno::NAMETOOLONG);
        suite.refused(format!("{name}: links in a circle"), call(&one.join("name"), &there), Errno::LOOP);
        let denied = SOMEBODY.does(|| call(&inside, &there));
        suite.refused(format!("{name}: no search permission"), denied, Errno::ACCESS);
    }
    for (name, call) in LOOKING {
        let missing = suite.new_path();
        suite.refused(format!("{name}: nothing there"), call(&missing, &there), Errno::NOENT);
    }
    let read_only = suite.directory(0o755);
    for (name, call) in &MAKING[..5] {
        let denied = SOMEBODY.does(|| call(&read_only.join("new"), &there));
        suite.refused(format!("{name}: no write permission"), denied, Errno::ACCESS);
    }
    for (name, call) in &MAKING[1..6] {
        for (kind, path) in suite.all_kinds() {
            suite.refused(format!("{name}: {kind} has the name"), call(&path, &there), Errno::EXIST);
        }
    }
    let longest = suite.base.join("y".repeat(255));
    suite.works("a name of 255 bytes", create(&longest));
    suite.works("it is found", stat(&longest));
}
