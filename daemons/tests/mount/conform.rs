//! What system calls do and refuse, family by family, by the rules of docs/posix.md: as root and as
//! other users, on a real mount. Each case is counted, and all that fail are told at the end.
//! `MOOSENG_CONFORM_DIRECTORY` names another directory to try, such as one of the local disk.

use super::Mounted;
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
    ("chmod", changing_modes),
    ("chown", changing_owners),
    ("link", linking),
    ("mkdir", making_directories),
    ("mknod", making_nodes),
    ("open", opening),
    ("rename", renaming),
    ("rmdir", removing_directories),
    ("symlink", linking_symbolically),
    ("truncate", cutting),
    ("unlink", unlinking),
    ("utimensat", setting_times),
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

fn changing_modes(suite: &mut Suite) {
    for (kind, path) in suite.all_kinds() {
        if kind == "a symbolic link" {
            continue;
        }
        for mode in [0o111, 0o7_777, 0o640] {
            pass();
            let before = times(&path);
            suite.works(format!("of {kind}"), chmod(&path, bits(mode)));
            suite.same(format!("of {kind}"), mode_of(&path), mode);
            let after = times(&path);
            suite
                .right(format!("ctime of {kind}"), after.ctime > before.ctime && after.mtime == before.mtime);
        }
    }
    let file = suite.file_of(SOMEBODY, 0o644);
    let link = suite.new_path();
    symlink(&file, &link).expect("a link");
    suite.works("through a link", chmod(&link, bits(0o600)));
    suite.same("through a link", mode_of(&file), 0o600);
    suite.works("by its owner", SOMEBODY.does(|| chmod(&file, bits(0o644))));
    let before = times(&file);
    suite.refused("by another", OTHER.does(|| chmod(&file, bits(0o777))), Errno::PERM);
    suite.same("by another", (mode_of(&file), times(&file)), (0o644, before));
    // Set-gid goes where its owner is not of the group.
    own(&file, None, Some(OTHER.gid)).expect("root may");
    suite.works("set-gid", SOMEBODY.does(|| chmod(&file, bits(0o2_755))));
    suite.same("set-gid of a foreign group", mode_of(&file), 0o755);
    suite.works("set-gid", MEMBER.does(|| chmod(&file, bits(0o2_755))));
    suite.same("set-gid of a group of the owner", mode_of(&file), 0o2_755);
    let directory = suite.directory_of(SOMEBODY, 0o755);
    own(&directory, None, Some(OTHER.gid)).expect("root may");
    suite.works("set-gid", SOMEBODY.does(|| chmod(&directory, bits(0o2_755))));
    suite.same("set-gid of a directory of a foreign group", mode_of(&directory), 0o755);
    suite.works("sticky", SOMEBODY.does(|| chmod(&directory, bits(0o1_755))));
    suite.same("sticky", mode_of(&directory), 0o1_755);
}

fn changing_owners(suite: &mut Suite) {
    for (kind, path) in suite.all_kinds() {
        pass();
        let before = times(&path);
        let done =
            chownat(CWD, &path, Some(Uid::from_raw(12)), Some(Gid::from_raw(34)), AtFlags::SYMLINK_NOFOLLOW);
        suite.works(format!("of {kind}"), done);
        suite.same(format!("of {kind}"), owners(&path), (12, 34));
        suite.right(format!("ctime of {kind}"), times(&path).ctime > before.ctime);
    }
    let file = suite.file_of(SOMEBODY, 0o644);
    suite.works("nothing", own(&file, None, None));
    suite.works("the user alone", own(&file, Some(7), None));
    suite.same("the user alone", owners(&file), (7, SOMEBODY.gid));
    suite.works("the group alone", own(&file, None, Some(8)));
    suite.same("the group alone", owners(&file), (7, 8));
    give(&file, SOMEBODY, 0o644);
    for (what, user, uid, gid) in [
        ("the user by its owner", SOMEBODY, Some(OTHER.uid), None),
        ("a foreign group by its owner", SOMEBODY, None, Some(OTHER.gid)),
        ("by another", OTHER, Some(OTHER.uid), None),
        ("the group by another", OTHER, None, Some(OTHER.gid)),
    ] {
        suite.refused(what, user.does(|| own(&file, uid, gid)), Errno::PERM);
    }
    suite.works("to a group of the owner", MEMBER.does(|| own(&file, None, Some(OTHER.gid))));
    suite.works("to the owner itself", SOMEBODY.does(|| own(&file, Some(SOMEBODY.uid), None)));
    suite.same("to a group of the owner", owners(&file), (SOMEBODY.uid, OTHER.gid));
    for (mode, left) in [(0o6_755, 0o755), (0o6_745, 0o2_745), (0o4_644, 0o644), (0o1_755, 0o1_755)] {
        give(&file, SOMEBODY, mode);
        suite.works("by root", own(&file, Some(0), Some(0)));
        suite.same(format!("{mode:o} after root"), mode_of(&file), left);
        give(&file, SOMEBODY, mode);
        suite.works("by the owner", SOMEBODY.does(|| own(&file, None, Some(SOMEBODY.gid))));
        suite.same(format!("{mode:o} after its owner"), mode_of(&file), left);
    }
    let directory = suite.directory_of(SOMEBODY, 0o6_755);
    suite.works("of a directory", own(&directory, Some(0), Some(0)));
    suite.same("set-id bits of a directory", mode_of(&directory), 0o6_755);
}

fn linking(suite: &mut Suite) {
    for (kind, path) in suite.all_kinds() {
        if kind == "a directory" {
            let new = suite.new_path();
            suite.refused("of a directory", link(&path, &new), Errno::PERM);
            continue;
        }
        let (parent, before) = (suite.base.clone(), times(&path));
        let parent_before = times(&parent);
        pass();
        let new = suite.new_path();
        suite.works(format!("of {kind}"), link(&path, &new));
        suite.same(format!("of {kind}"), (links(&path), links(&new)), (2, 2));
        let inodes = [&path, &new].map(|path| lstat(path).map(|stat| stat.st_ino));
        suite.same("the same inode", inodes[0], inodes[1]);
        suite.right("its ctime", times(&path).ctime > before.ctime && times(&path).mtime == before.mtime);
        suite.right("its directory's mtime", times(&parent).mtime > parent_before.mtime);
        suite.works("one is removed", unlink(&path));
        suite.same("the other stays", links(&new), 1);
    }
    let (file, new) = (suite.file_of(SOMEBODY, 0o666), suite.new_path());
    suite.refused("into another file system", link(&file, Path::new("/dev/shm/conform")), Errno::XDEV);
    let denied = OTHER.does(|| link(&file, &new));
    suite.refused("without write permission", denied, Errno::ACCESS);
}

fn making_directories(suite: &mut Suite) {
    for (mode, found) in [(0o755, 0o755), (0o777, 0o755), (0o151, 0o151), (0o700, 0o700)] {
        let path = suite.new_path();
        let parent_links = links(&suite.base.clone());
        suite.works("made", mkdir(&path, bits(mode)));
        suite.same("its mode, less the umask", mode_of(&path), found);
        suite.same("its links", (links(&path), links(&suite.base.clone())), (2, parent_links + 1));
    }
    let parent = suite.directory_of(OTHER, 0o2_777);
    let path = parent.join("new");
    let before = times(&parent);
    pass();
    suite.works("in a set-gid directory", SOMEBODY.does(|| mkdir(&path, bits(0o755))));
    suite.same("whose it is", owners(&path), (SOMEBODY.uid, OTHER.gid));
    suite.same("it has the bit as well", mode_of(&path), 0o2_755);
    let (made, after) = (times(&path), times(&parent));
    suite.right("the parent's times", after.mtime > before.mtime && after.ctime > before.ctime);
    suite.right("its times", made.mtime == made.ctime && made.mtime > before.mtime);
    suite.works("the root of a tree", mkdir(parent.join("a"), bits(0o755)));
    suite.works("below it", mkdir(parent.join("a/b"), bits(0o755)));
    suite.same(
        "..",
        stat(parent.join("a/b/..")).map(|stat| stat.st_ino),
        stat(parent.join("a")).map(|stat| stat.st_ino),
    );
}

fn making_nodes(suite: &mut Suite) {
    for (what, kind, device) in [
        ("a fifo", FileType::Fifo, 0),
        ("a socket", FileType::Socket, 0),
        ("a file", FileType::RegularFile, 0),
        ("a character device", FileType::CharacterDevice, 0x103),
        ("a block device", FileType::BlockDevice, 0x801),
    ] {
        let path = suite.new_path();
        suite.works(what, mknodat(CWD, &path, kind, bits(0o666), device));
        suite.same(what, (kind_of(&path), mode_of(&path)), (Some(kind), 0o644));
        suite.same(format!("{what}: its number"), lstat(&path).map(|stat| stat.st_rdev), Ok(device));
        let open_directory = suite.directory(0o777);
        let path = open_directory.join("new");
        let done = SOMEBODY.does(|| mknodat(CWD, &path, kind, bits(0o600), device));
        if device == 0 {
            suite.works(format!("{what} by anybody"), done);
            suite.same("whose it is", owners(&path), (SOMEBODY.uid, SOMEBODY.gid));
        } else {
            suite.refused(format!("{what} by anybody"), done, Errno::PERM);
        }
    }
}

fn opening(suite: &mut Suite) {
    let parent = suite.directory_of(SOMEBODY, 0o755);
    let path = parent.join("new");
    let before = times(&parent);
    pass();
    let made = SOMEBODY.does(|| open(&path, OFlags::CREATE | OFlags::RDWR, bits(0o642)));
    suite.works("made", made);
    suite.same("its mode and owner", (mode_of(&path), owners(&path)), (0o640, (SOMEBODY.uid, SOMEBODY.gid)));
    suite.right(
        "the directory's times",
        times(&parent).mtime > before.mtime && times(&parent).ctime > before.ctime,
    );
    let before = times(&parent);
    pass();
    suite.works("once more", open(&path, OFlags::CREATE | OFlags::RDWR, bits(0o777)));
    suite.same("nothing changes", (mode_of(&path), times(&parent)), (0o640, before));
    let exclusive = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
    for (kind, path) in suite.all_kinds() {
        suite.refused(format!("{kind} is there"), open(&path, exclusive, bits(0o644)), Errno::EXIST);
    }
    let file = suite.file(0o644);
    let written = open(&file, OFlags::WRONLY, Mode::empty()).and_then(|file| write(file, b"words"));
    suite.same("written", written, Ok(5));
    let before = times(&file);
    pass();
    suite.works("cut", open(&file, OFlags::WRONLY | OFlags::TRUNC, Mode::empty()));
    suite.same("cut", stat(&file).map(|stat| stat.st_size), Ok(0));
    suite.right("its times", times(&file).mtime > before.mtime && times(&file).ctime > before.ctime);
    for (mode, flags) in [
        (0o077, OFlags::RDONLY),
        (0o377, OFlags::RDONLY),
        (0o477, OFlags::WRONLY),
        (0o477, OFlags::RDWR),
        (0o277, OFlags::RDWR),
        (0o477, OFlags::RDONLY | OFlags::TRUNC),
    ] {
        let file = suite.file_of(SOMEBODY, mode);
        let denied = SOMEBODY.does(|| open(&file, flags, Mode::empty()));
        suite.refused(format!("{mode:o} with {flags:?}"), denied, Errno::ACCESS);
        suite.works(
            format!("{mode:o} with {flags:?} by another"),
            OTHER.does(|| open(&file, flags, Mode::empty())),
        );
        suite.works(format!("{mode:o} with {flags:?} by root"), open(&file, flags, Mode::empty()));
    }
    let directory = suite.directory(0o755);
    for flags in
        [OFlags::WRONLY, OFlags::RDWR, OFlags::RDONLY | OFlags::TRUNC, OFlags::RDONLY | OFlags::CREATE]
    {
        let denied = open(&directory, flags, bits(0o644));
        suite.refused(format!("a directory with {flags:?}"), denied, Errno::ISDIR);
    }
    suite.works("a directory", open(&directory, OFlags::DIRECTORY, Mode::empty()));
    suite.refused("no directory", open(&file, OFlags::DIRECTORY, Mode::empty()), Errno::NOTDIR);
    let link = suite.new_path();
    symlink(&file, &link).expect("a link");
    suite.refused("a link itself", open(&link, OFlags::NOFOLLOW, Mode::empty()), Errno::LOOP);
    let fifo = suite.new_path();
    mkfifoat(CWD, &fifo, bits(0o644)).expect("a fifo");
    let unread = open(&fifo, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty());
    suite.refused("a fifo that nobody reads", unread, Errno::NXIO);
    let sticky = suite.directory_of(OTHER, 0o2_777);
    let path = sticky.join("new");
    suite.works("in a set-gid directory", SOMEBODY.does(|| create(&path)));
    suite.same("its group", owners(&path), (SOMEBODY.uid, OTHER.gid));
}

fn renaming(suite: &mut Suite) {
    for (kind, path) in suite.all_kinds() {
        let (new, before) = (suite.new_path(), times(&path));
        let inode = lstat(&path).map(|stat| stat.st_ino);
        pass();
        suite.works(kind, rename(&path, &new));
        suite.refused(format!("{kind}: the old name"), lstat(&path), Errno::NOENT);
        suite.same(format!("{kind}: the new name"), lstat(&new).map(|stat| stat.st_ino), inode);
        suite.right(format!("{kind}: its ctime"), times(&new).ctime > before.ctime);
        suite.right(format!("{kind}: its mtime"), times(&new).mtime == before.mtime);
    }
    for (source_kind, source) in suite.all_kinds() {
        for (target_kind, target) in suite.all_kinds() {
            let what = format!("{source_kind} over {target_kind}");
            let directories = [source_kind, target_kind].map(|kind| kind == "a directory");
            match directories {
                [true, false] => suite.refused(what, rename(&source, &target), Errno::NOTDIR),
                [false, true] => suite.refused(what, rename(&source, &target), Errno::ISDIR),
                _ => {
                    let inode = lstat(&source).map(|stat| stat.st_ino);
                    let keep = renameat_with(CWD, &source, CWD, &target, RenameFlags::NOREPLACE);
                    suite.refused(format!("{what}, keeping it"), keep, Errno::EXIST);
                    let swap = renameat_with(CWD, &source, CWD, &target, RenameFlags::EXCHANGE);
                    suite.works(format!("{what}, exchanged"), swap);
                    suite.same(&what, lstat(&target).map(|stat| stat.st_ino), inode);
                    suite.works(format!("{what}, back"), rename(&target, &source));
                    suite.same(&what, lstat(&source).map(|stat| stat.st_ino), inode);
                }
            }
        }
    }
    let (full, empty) = (suite.directory(0o755), suite.directory(0o755));
    create(&full.join("file")).expect("a file");
    suite.same("over what is not empty", rename(&empty, &full).err(), Some(Errno::NOTEMPTY));
    suite.refused("into itself", rename(&full, full.join("below")), Errno::INVAL);
    suite.refused("of .", rename(full.join("."), suite.base.join("dot")), Errno::BUSY);
    suite.refused("over ..", rename(&empty, full.join("..")), Errno::BUSY);
    let (parent, other) = (suite.directory(0o755), suite.directory(0o755));
    mkdir(parent.join("child"), bits(0o755)).expect("a directory");
    suite.works("into another directory", rename(parent.join("child"), other.join("child")));
    suite.same("links of both", (links(&parent), links(&other)), (2, 3));
    let (file, same) = (suite.file(0o644), suite.new_path());
    link(&file, &same).expect("a link");
    suite.works("over itself", rename(&file, &same));
    suite.same("both stay", (links(&file), links(&same)), (2, 2));
    suite.works("to its own name", rename(&file, &file));
    renaming_with_permissions(suite);
}

fn renaming_with_permissions(suite: &mut Suite) {
    for (directory_owner, file_owner, allowed) in
        [(OTHER, OTHER, false), (SOMEBODY, OTHER, true), (OTHER, SOMEBODY, true)]
    {
        let sticky = suite.directory_of(directory_owner, 0o1_777);
        let (source, target) = (sticky.join("source"), sticky.join("target"));
        create(&source).expect("a file");
        give(&source, file_owner, 0o644);
        let done = SOMEBODY.does(|| rename(&source, &target));
        suite.same("in a sticky directory", done.err(), (!allowed).then_some(Errno::PERM));
    }
    let (source, target) = (suite.directory_of(SOMEBODY, 0o777), suite.directory_of(SOMEBODY, 0o777));
    for (what, read_only) in [("from", &source), ("into", &target)] {
        create(&source.join("file")).expect("a file");
        chmod(read_only, bits(0o555)).expect("root may");
        let denied = SOMEBODY.does(|| rename(source.join("file"), target.join("file")));
        suite.refused(format!("{what} a directory without write permission"), denied, Errno::ACCESS);
        chmod(read_only, bits(0o777)).expect("root may");
    }
    mkdir(source.join("foreign"), bits(0o755)).expect("a directory");
    let denied = SOMEBODY.does(|| rename(source.join("foreign"), target.join("foreign")));
    suite.refused("of a foreign directory into another", denied, Errno::ACCESS);
    let done = SOMEBODY.does(|| rename(source.join("foreign"), source.join("here")));
    suite.works("of a foreign directory where it is", done);
}

fn removing_directories(suite: &mut Suite) {
    let parent = suite.directory(0o755);
    let (path, before) = (parent.join("child"), times(&parent));
    mkdir(&path, bits(0o755)).expect("a directory");
    pass();
    suite.works("an empty one", rmdir(&path));
    suite.right(
        "the parent's times",
        times(&parent).mtime > before.mtime && times(&parent).ctime > before.ctime,
    );
    suite.same("the parent's links", links(&parent), 2);
    suite.refused("it is gone", lstat(&path), Errno::NOENT);
    for (kind, path) in suite.all_kinds() {
        if kind == "a directory" {
            for (other, inside) in suite.all_kinds() {
                rename(&inside, path.join("inside")).expect("it moves");
                suite.refused(format!("with {other} in it"), rmdir(&path), Errno::NOTEMPTY);
                let done = if other == "a directory" {
                    rmdir(path.join("inside"))
                } else {
                    unlink(path.join("inside"))
                };
                suite.works(format!("{other} goes"), done);
            }
        } else {
            suite.refused(kind, rmdir(&path), Errno::NOTDIR);
        }
    }
    suite.refused(".", rmdir(parent.join(".")), Errno::INVAL);
    suite.refused("..", rmdir(parent.join("..")), Errno::NOTEMPTY);
    let sticky = suite.directory_of(OTHER, 0o1_777);
    let path = sticky.join("child");
    mkdir(&path, bits(0o755)).expect("a directory");
    give(&path, OTHER, 0o755);
    suite.refused("of another in a sticky directory", SOMEBODY.does(|| rmdir(&path)), Errno::PERM);
    suite.works("by its owner", OTHER.does(|| rmdir(&path)));
    let read_only = suite.directory_of(SOMEBODY, 0o755);
    mkdir(read_only.join("child"), bits(0o777)).expect("a directory");
    chmod(&read_only, bits(0o555)).expect("root may");
    suite.refused(
        "without write permission",
        SOMEBODY.does(|| rmdir(read_only.join("child"))),
        Errno::ACCESS,
    );
}

fn linking_symbolically(suite: &mut Suite) {
    for target in ["a", "../x/./y", "/absolute", "with space\nand line", &"z".repeat(4_095)] {
        let path = suite.new_path();
        suite.works("made", symlink(target, &path));
        let found = readlink(&path, Vec::new()).map(|found| found.into_bytes());
        suite.same("its target", found, Ok(target.as_bytes().to_vec()));
        let size = lstat(&path).map(|stat| (stat.st_size, FileType::from_raw_mode(stat.st_mode)));
        suite.same("its size", size, Ok((target.len() as i64, FileType::Symlink)));
    }
    let path = suite.new_path();
    suite.refused("a target of 4,096 bytes", symlink("z".repeat(4_096), &path), Errno::NAMETOOLONG);
    suite.refused("no target", symlink("", &path), Errno::NOENT);
    let file = suite.file(0o644);
    suite.refused("no link is read", readlink(&file, Vec::new()), Errno::INVAL);
    let parent = suite.directory_of(SOMEBODY, 0o755);
    let before = times(&parent);
    pass();
    let path = parent.join("link");
    suite.works("by anybody", SOMEBODY.does(|| symlink(&file, &path)));
    suite.same("whose it is", owners(&path), (SOMEBODY.uid, SOMEBODY.gid));
    suite.right(
        "the directory's times",
        times(&parent).mtime > before.mtime && times(&parent).ctime > before.ctime,
    );
    suite.same("it leads there", stat(&path).map(|stat| stat.st_ino), stat(&file).map(|stat| stat.st_ino));
    suite.works("it goes, what it led to stays", unlink(&path).and_then(|()| stat(&file).map(drop)));
}

fn cutting(suite: &mut Suite) {
    let file = suite.file(0o644);
    for size in [1_000_000, 4_097, 4_096, 0, 1 << 40, 5] {
        let before = times(&file);
        pass();
        suite.works(format!("to {size}"), cut(&file, size));
        suite.same(format!("to {size}"), stat(&file).map(|stat| stat.st_size as u64), Ok(size));
        let after = times(&file);
        suite.right(format!("to {size}: times"), after.mtime > before.mtime && after.ctime > before.ctime);
    }
    suite.same("what is new is zeros", std::fs::read(&file).ok(), Some(vec![0; 5]));
    suite.refused("a directory", cut(&suite.base.clone(), 0), Errno::ISDIR);
    let foreign = suite.file_of(OTHER, 0o644);
    suite.refused("without write permission", SOMEBODY.does(|| cut(&foreign, 0)), Errno::ACCESS);
    suite.refused(
        "for reading",
        open(&file, OFlags::RDONLY, Mode::empty()).and_then(|file| ftruncate(file, 1)),
        Errno::INVAL,
    );
    suite.refused("beyond all", cut(&file, u64::MAX / 2 + 1), Errno::INVAL);
    // Open for writing, it does not matter what its mode is now.
    let own = suite.file_of(SOMEBODY, 0o644);
    let done = SOMEBODY.does(|| {
        let open = open(&own, OFlags::WRONLY, Mode::empty())?;
        chmod(&own, bits(0o400))?;
        ftruncate(&open, 77)
    });
    suite.works("through a file that is open for writing", done);
    suite.same("through a file that is open for writing", stat(&own).map(|stat| stat.st_size), Ok(77));
    for (mode, left) in [(0o6_777, 0o777), (0o2_767, 0o2_767), (0o4_766, 0o766)] {
        let file = suite.file_of(OTHER, mode);
        suite.works("set-id bits", MEMBER.does(|| cut(&file, 3)));
        suite.same(format!("{mode:o} after another's cut"), mode_of(&file), left);
    }
}

fn unlinking(suite: &mut Suite) {
    for (kind, path) in suite.all_kinds() {
        if kind == "a directory" {
            suite.refused(kind, unlink(&path), Errno::ISDIR);
            continue;
        }
        let parent = suite.base.clone();
        let other = suite.new_path();
        link(&path, &other).expect("a link");
        let (before, parent_before) = (times(&other), times(&parent));
        pass();
        suite.works(kind, unlink(&path));
        suite.refused(format!("{kind}: its name"), lstat(&path), Errno::NOENT);
        suite.right(format!("{kind}: the other name's ctime"), times(&other).ctime > before.ctime);
        let after = times(&parent);
        suite.right(
            "the directory's times",
            after.mtime > parent_before.mtime && after.ctime > parent_before.ctime,
        );
    }
    for (directory_owner, file_owner, allowed) in
        [(OTHER, OTHER, false), (SOMEBODY, OTHER, true), (OTHER, SOMEBODY, true)]
    {
        let sticky = suite.directory_of(directory_owner, 0o1_777);
        let path = sticky.join("file");
        create(&path).expect("a file");
        give(&path, file_owner, 0o666);
        let done = SOMEBODY.does(|| unlink(&path));
        suite.same("in a sticky directory", done.err(), (!allowed).then_some(Errno::PERM));
    }
    let read_only = suite.directory_of(SOMEBODY, 0o777);
    create(&read_only.join("file")).expect("a file");
    chmod(&read_only, bits(0o555)).expect("root may");
    suite.refused(
        "without write permission",
        SOMEBODY.does(|| unlink(read_only.join("file"))),
        Errno::ACCESS,
    );
    let path = suite.file(0o644);
    let open = open(&path, OFlags::RDWR, Mode::empty()).expect("it is there");
    suite.works("while it is open", unlink(&path));
    suite.same("it is without a name", fstat(&open).map(|stat| stat.st_nlink), Ok(0));
    suite.same("and is written", write(&open, b"Hello, World!"), Ok(13));
    let mut bytes = [0; 20];
    let read = rustix::io::pread(&open, &mut bytes, 0);
    suite.same("and read", (read, &bytes[..13]), (Ok(13), &b"Hello, World!"[..]));
}

fn setting_times(suite: &mut Suite) {
    let stamps = |atime, mtime| Timestamps { last_access: atime, last_modification: mtime };
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    for (kind, path) in suite.all_kinds() {
        let before = times(&path);
        pass();
        let some = stamps(at(1_900_000_000, 123_456_789), at(-77, 5));
        suite.works(kind, utimensat(CWD, &path, &some, AtFlags::SYMLINK_NOFOLLOW));
        let after = times(&path);
        suite.same(kind, (after.atime, after.mtime), ((1_900_000_000, 123_456_789), (-77, 5)));
        suite.right(format!("{kind}: ctime"), after.ctime > before.ctime);
        let one = stamps(omit, at(5, 6));
        suite.works("one of them", utimensat(CWD, &path, &one, AtFlags::SYMLINK_NOFOLLOW));
        suite.same("one of them", (times(&path).atime, times(&path).mtime), (after.atime, (5, 6)));
        suite.works("now", utimensat(CWD, &path, &now(), AtFlags::SYMLINK_NOFOLLOW));
        suite.right("now", times(&path).mtime >= after.ctime && times(&path).atime == times(&path).mtime);
        let before = times(&path);
        pass();
        let neither = utimensat(CWD, &path, &stamps(omit, omit), AtFlags::SYMLINK_NOFOLLOW);
        suite.works("neither", neither);
        suite.same("neither", times(&path), before);
    }
    let some = stamps(at(1, 0), at(2, 0));
    for (what, mode, user, times, wanted) in [
        ("by the owner", 0o444, SOMEBODY, &some, None),
        ("now, by the owner", 0o444, SOMEBODY, &now(), None),
        ("by who may write", 0o666, OTHER, &some, Some(Errno::PERM)),
        ("now, by who may write", 0o666, OTHER, &now(), None),
        ("now, by who may not", 0o644, OTHER, &now(), Some(Errno::ACCESS)),
        ("by who may not write", 0o644, OTHER, &some, Some(Errno::PERM)),
    ] {
        let file = suite.file_of(SOMEBODY, mode);
        suite.same(what, user.does(|| touch(&file, times)).err(), wanted);
    }
    for seconds in [i64::MIN, i64::MIN + 1, i64::MAX] {
        let file = suite.file(0o644);
        suite.works(format!("{seconds} s"), touch(&file, &stamps(at(seconds, 5), at(seconds, 5))));
        let found = times(&file).mtime.0;
        suite.right(format!("{seconds} s: {found}"), found.signum() == seconds.signum());
    }
    let file = suite.file(0o644);
    suite.refused(
        "too many nanoseconds",
        touch(&file, &stamps(at(1, 1_000_000_000), at(1, 0))),
        Errno::INVAL,
    );
    let link = suite.new_path();
    symlink(&file, &link).expect("a link");
    suite.works("through a link", touch(&link, &some));
    suite.same("through a link", times(&file).mtime, (2, 0));
    suite.right("the link's own stay", times(&link).mtime != (2, 0));
}
