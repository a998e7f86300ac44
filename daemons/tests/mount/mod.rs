//! The file system as programs see it: a real mount of a real cluster. Needs root and /dev/fuse; where
//! they are missing, each case says so and passes.

mod conform;
mod doors;
mod kills;
mod leases;
mod programs;
mod verify;

use crate::support::Directory;
use crate::{Cluster, process_with};
use rustix::fs::RawDir;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Why nothing can be mounted here, if so.
fn lacking() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root");
    }
    (!Path::new("/dev/fuse").exists()).then_some("no /dev/fuse")
}

/// Every thread of these stands still when this returns: on a machine that is busy a process does some
/// work yet after it was told to stop.
fn hold_up(processes: &[Pid]) {
    let stands = |thread: io::Result<fs::DirEntry>| {
        let said =
            thread.and_then(|thread| fs::read_to_string(thread.path().join("stat"))).unwrap_or_default();
        // The name, in brackets, may hold anything.
        said.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with('T'))
    };
    for process in processes {
        kill_process(*process, Signal::STOP).expect("it can be held up");
        let threads = format!("/proc/{}/task", process.as_raw_nonzero());
        let end = Instant::now() + Duration::from_secs(20);
        while !fs::read_dir(&threads).expect("it is there").all(stands) {
            assert!(Instant::now() < end, "it does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn go_on(processes: &[Pid]) {
    processes.iter().for_each(|process| kill_process(*process, Signal::CONT).expect("it goes on"));
}

/// A mount point with a cluster mounted on it.
struct Mounted {
    point: Directory,
    cluster: Cluster,
}

impl Mounted {
    /// `None`, and a line that says why, where nothing can be mounted.
    fn start(case: &str) -> Option<Self> {
        if let Some(lacking) = lacking() {
            eprintln!("skipped: {case}: {lacking}");
            return None;
        }
        let point = Directory::fresh();
        let cluster = Cluster::start_mounted(point.path());
        Some(Self { point, cluster })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.point.path().join(name)
    }

    fn process(&self) -> Option<Pid> {
        process_with("mount", self.point.path())
    }

    /// Runs a script of the shell in the mount.
    fn shell(&self, script: &str) -> String {
        let mut command = Command::new("sh");
        command.args(["-euc", script]).current_dir(self.point.path());
        let output = command.output().expect("a shell");
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\n{}: {problem}", output.status);
        String::from_utf8(output.stdout).expect("text")
    }

    fn stop(self) {
        let Self { point, cluster } = self;
        cluster.stop();
        assert!(fs::read_dir(point.path()).expect("it is there").next().is_none(), "still mounted");
    }
}

/// A further mount of the same cluster.
struct Second {
    point: Directory,
    process: Child,
}

impl Second {
    fn start(cluster: &Cluster, options: &[&str]) -> Self {
        let point = Directory::fresh();
        let servers = cluster.servers().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let mut process = Command::new(env!("CARGO_BIN_EXE_mooseng"))
            .args(["mount", "--meta", &servers])
            .args(options)
            .arg(point.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let mut told = io::BufReader::new(process.stdout.take().expect("it was asked for"));
        io::BufRead::read_line(&mut told, &mut line).expect("a line");
        assert!(line.starts_with("mounted at "), "{line:?}");
        Self { point, process }
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

#[test]
fn a_mount_does_what_programs_ask_of_a_file_system() {
    let Some(mounted) = Mounted::start("a_mount_does_what_programs_ask_of_a_file_system") else { return };
    names_and_attributes(&mounted);
    times_stay(&mounted);
    refusals_have_their_errno(&mounted);
    large_directories_are_listed_whole(&mounted);
    two_mounts_agree(&mounted);
    contents_are_kept(&mounted);
    holes_are_made_and_found(&mounted);
    what_is_open_outlives_its_name(&mounted);
    attributes_are_kept(&mounted);
    doors::room_is_told(&mounted);
    doors::a_mount_says_how_it_is(&mounted);
    doors::what_was_unmounted_stays_so(&mounted);
    mounted.stop();
}

fn names_and_attributes(mounted: &Mounted) {
    mounted.shell("mkdir -p d/e/f && touch d/file && ln d/file d/other && mv d/other d/e/moved");
    assert_eq!(fs::metadata(mounted.path("d/file")).expect("it is there").nlink(), 2);
    symlink("../file", mounted.path("d/e/link")).expect("a link");
    assert_eq!(fs::read_link(mounted.path("d/e/link")).expect("a link"), Path::new("../file"));
    assert!(fs::metadata(mounted.path("d/e/link")).expect("it leads there").is_file());
    mounted.shell("mkfifo d/pipe && chmod 640 d/file && chown 7:8 d/file && touch -d @1000000000.5 d/file");
    assert!(fs::metadata(mounted.path("d/pipe")).expect("it is there").file_type().is_fifo());
    let attr = fs::metadata(mounted.path("d/file")).expect("it is there");
    assert_eq!((attr.permissions().mode() & 0o7_777, attr.uid(), attr.gid()), (0o640, 7, 8));
    assert_eq!((attr.mtime(), attr.mtime_nsec()), (1_000_000_000, 500_000_000));
    mounted.shell("cp -a d copy && diff -r --no-dereference d/e copy/e && rm -r d copy");
    assert_eq!(mounted.shell("ls -A"), "");
}

/// As archivers and copiers do it: times are set while what was written is on its way.
fn times_stay(mounted: &Mounted) {
    let path = mounted.path("timed");
    let mut file = fs::File::create(&path).expect("it is made");
    file.write_all(b"old").expect("it is written");
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    file.set_modified(old).expect("it is ours");
    drop(file);
    let modified = || fs::metadata(&path).and_then(|attr| attr.modified()).expect("it is there");
    assert_eq!(modified(), old, "set through what was open");
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("it is there");
    file.write_all(b"new").expect("it is written");
    let written = modified();
    assert!(written > old, "it was written to, committed or not");
    drop(file);
    assert_eq!(modified(), written, "and not since");
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("it is there");
    file.write_all(b"more").expect("it is written");
    mounted.shell("touch -d @1000000000 timed");
    drop(file);
    assert_eq!(modified(), old, "set by its name");
    fs::remove_file(&path).expect("it is there");
}

/// The errno of what must not work.
fn refused<T>(done: io::Result<T>) -> Option<i32> {
    done.err()?.raw_os_error()
}

fn refusals_have_their_errno(mounted: &Mounted) {
    fs::create_dir_all(mounted.path("full/sub")).expect("it is made");
    assert_eq!(refused(fs::remove_dir(mounted.path("full"))), Some(39), "ENOTEMPTY");
    assert_eq!(refused(fs::create_dir(mounted.path("full"))), Some(17), "EEXIST");
    assert_eq!(refused(fs::metadata(mounted.path("none"))), Some(2), "ENOENT");
    let into_itself = fs::rename(mounted.path("full"), mounted.path("full/sub/full"));
    assert_eq!(refused(into_itself), Some(22), "EINVAL");
    let long = mounted.path(&"x".repeat(256));
    assert_eq!(refused(fs::create_dir(long)), Some(36), "ENAMETOOLONG");
    let denied = mounted.shell(
        "chmod 700 full; if setpriv --reuid=65534 --regid=65534 --clear-groups ls full 2>&1; then echo seen; fi",
    );
    assert!(denied.contains("Permission denied"), "{denied}");
    mounted.shell(
        "chgrp 77 full && chmod 750 full && setpriv --reuid=65534 --regid=65534 --groups=12,77 ls full",
    );
    mounted.shell("rm -r full");
}

fn large_directories_are_listed_whole(mounted: &Mounted) {
    const FILES: usize = 2_500;
    fs::create_dir(mounted.path("large")).expect("it is made");
    let name = |file: usize| format!("file-{file:05}");
    for file in 0..FILES {
        fs::File::create_new(mounted.path("large").join(name(file))).expect("it is made");
    }
    let entries = fs::read_dir(mounted.path("large")).expect("it is there");
    let listed: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    assert_eq!(listed.len(), FILES, "each once");
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), (0..FILES).map(name).collect());
    mounted.shell("rm -r large");
}

/// Each sees what the other did at once.
fn two_mounts_agree(mounted: &Mounted) {
    let second = Second::start(&mounted.cluster, &[]);
    let there = |name: &str| second.point.path().join(name);
    for round in 0..50 {
        let name = format!("round-{round}");
        fs::create_dir(mounted.path(&name)).expect("it is made");
        assert!(there(&name).is_dir(), "round {round}");
        let moved = format!("moved-{round}");
        fs::rename(there(&name), there(&moved)).expect("it is moved");
        assert!(!mounted.path(&name).exists() && mounted.path(&moved).is_dir(), "round {round}");
        fs::set_permissions(mounted.path(&moved), fs::Permissions::from_mode(0o700)).expect("it is ours");
        assert_eq!(fs::metadata(there(&moved)).expect("it is there").mode() & 0o777, 0o700);
        fs::remove_dir(mounted.path(&moved)).expect("it is empty");
        assert!(!there(&moved).exists(), "round {round}");
    }
    what_stays_is_listed_whatever_goes(mounted, second.point.path());
}

/// What goes while somebody lists is no end of the listing, however much of it goes.
fn what_stays_is_listed_whatever_goes(mounted: &Mounted, there: &Path) {
    const FILES: usize = 300;
    const LAST: usize = FILES - 10;
    fs::create_dir(there.join("going")).expect("it is made");
    for file in 0..FILES {
        fs::File::create_new(there.join(format!("going/file-{file:05}"))).expect("it is made");
    }
    let here = mounted.path("going");
    let entries = fs::read_dir(&here).expect("it is there");
    let order: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    let open = fs::File::open(&here).expect("it is there");
    // So little is taken at a time.
    let mut space = [MaybeUninit::uninit(); 256];
    let mut listing = RawDir::new(&open, &mut space);
    let (mut seen, mut stay) = (Vec::new(), FILES);
    while let Some(entry) = listing.next() {
        seen.push(OsStr::from_bytes(entry.expect("an entry").file_name().to_bytes()).to_owned());
        if stay == FILES && seen.len() > 10 && listing.is_buffer_empty() {
            // Without `.` and `..`.
            stay = seen.len() - 2;
            order[stay..LAST].iter().for_each(|name| fs::remove_file(here.join(name)).expect("it is there"));
            // Until nothing of them is left. The kernel asks with attributes when some have been looked at.
            std::thread::sleep(Duration::from_secs(3));
            fs::metadata(here.join(&order[LAST])).expect("it is there");
        }
    }
    seen.retain(|name| !order[stay..LAST].contains(name));
    assert!(seen[2..].iter().eq(order[..stay].iter().chain(&order[LAST..])), "{} of {stay}", seen.len());
    mounted.shell("rm -r going");
}

fn contents_are_kept(mounted: &Mounted) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    mounted.shell(&format!(
        "cp -a {source} copy && diff -r {source} copy && tar cf - copy | tar xf - -C \"$(mkdir other && echo other)\"
         diff -r copy other/copy
         git init -q copy && cd copy && git add . && git -c user.name=a -c user.email=a@b commit -q -m all
         git fsck --full && test -z \"$(git status --porcelain)\"
         cd .. && git clone -q copy clone && diff -r {source} clone -x .git && rm -rf copy other clone",
        source = source.display()
    ));
    let bytes: Vec<u8> =
        (0..9_000_000_u32).flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(mounted.path("long"), &bytes).expect("it is written");
    let second = Second::start(&mounted.cluster, &[]);
    assert!(
        fs::read(second.point.path().join("long")).expect("it is read") == bytes,
        "closed, so it is seen"
    );
    mounted.shell(
        "printf one > short && printf two >> short && truncate -s 5 short && test \"$(cat short)\" = onetw",
    );
    mounted.shell("rm long short");
}

fn attributes_are_kept(mounted: &Mounted) {
    use rustix::fs::{XattrFlags, getxattr, listxattr, removexattr, setxattr};
    let path = mounted.path("attributes");
    fs::write(&path, "x").expect("it is written");
    let (none, large) = (XattrFlags::empty(), [7; 65_536]);
    let set = |name: &str, value: &[u8], flags| {
        setxattr(&path, name, value, flags).map_err(|error| error.raw_os_error())
    };
    assert_eq!(set("user.a", b"one", XattrFlags::REPLACE), Err(61), "ENODATA");
    assert_eq!(set("user.a", b"one", none), Ok(()));
    assert_eq!(set("user.a", b"two", XattrFlags::CREATE), Err(17), "EEXIST");
    assert_eq!(set("user.large", &large, none), Ok(()));
    assert_eq!(set("trusted.b", b"", none), Ok(()));
    assert_eq!(set("user.more", &large, none), Err(28), "ENOSPC");
    assert_eq!(set("system.posix_acl_access", b"", none), Err(95), "EOPNOTSUPP");
    let get = |path: &Path, name: &str| {
        let mut value = vec![0; 65_536];
        let length = getxattr(path, name, &mut value[..]).map_err(|error| error.raw_os_error())?;
        value.truncate(length);
        Ok(value)
    };
    let second = Second::start(&mounted.cluster, &[]);
    let there = second.point.path().join("attributes");
    assert_eq!(get(&there, "user.a"), Ok(b"one".to_vec()));
    assert!(get(&there, "user.large") == Ok(large.to_vec()), "it comes back whole");
    assert_eq!(get(&there, "security.capability"), Err(61), "ENODATA");
    let mut short = [0_u8; 2];
    assert_eq!(
        getxattr(&there, "user.a", &mut short).map_err(|error| error.raw_os_error()),
        Err(34),
        "ERANGE"
    );
    let mut names = [0; 100];
    let length = listxattr(&there, &mut names[..]).expect("names");
    assert_eq!(&names[..length], b"trusted.b\0user.a\0user.large\0");
    removexattr(&there, "user.a").expect("it is there");
    assert_eq!(get(&path, "user.a"), Err(61), "ENODATA");
    mounted.shell("rm attributes");
}

fn what_is_open_outlives_its_name(mounted: &Mounted) {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true);
    let mut here = options.open(mounted.path("open")).expect("it is made");
    here.write_all(b"kept").expect("it is written");
    here.sync_all().expect("it is on its servers");
    let second = Second::start(&mounted.cluster, &[]);
    let mut there = fs::File::open(second.point.path().join("open")).expect("it is seen");
    fs::remove_file(mounted.path("open")).expect("it has a name");
    assert_eq!(refused(fs::metadata(mounted.path("open"))), Some(2), "ENOENT");
    // A leader looks for what nobody has open many times in that while.
    std::thread::sleep(Duration::from_secs(2));
    here.write_all(b" for both").expect("it is there");
    here.sync_all().expect("it is on its servers");
    assert_eq!(here.metadata().expect("it is there").nlink(), 0);
    drop(here);
    std::thread::sleep(Duration::from_secs(2));
    // Whoever opens it anew sees what was closed before.
    let again = format!("/proc/self/fd/{}", there.as_raw_fd());
    assert_eq!(fs::read_to_string(again).expect("it is there"), "kept for both");
    let mut bytes = String::new();
    io::Read::read_to_string(&mut there, &mut bytes).expect("it is there");
    assert_eq!(&bytes[..4], "kept");
    // A temporary file as programs make them: made, removed and used.
    mounted.shell(
        "exec 3<>temporary && rm temporary && printf words >&3 && test \"$(cat /dev/fd/3)\" = words && ls",
    );
}

fn holes_are_made_and_found(mounted: &Mounted) {
    use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
    let path = mounted.path("holes");
    fs::write(&path, vec![7; 300_000]).expect("it is written");
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).expect("it is there");
    fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 100_000, 50_000)
        .expect("a hole");
    let mut wanted = vec![7; 300_000];
    wanted[100_000..150_000].fill(0);
    assert!(fs::read(&path).expect("it is read") == wanted);
    assert_eq!(seek(&file, SeekFrom::Hole(0)), Ok(100_000));
    assert_eq!(seek(&file, SeekFrom::Data(100_000)), Ok(150_000));
    fallocate(&file, FallocateFlags::empty(), 0, 1_000_000).expect("it grows");
    assert_eq!(fs::metadata(&path).expect("it is there").len(), 1_000_000);
    fs::remove_file(&path).expect("it is removed");
}

/// Applications see no error and lose nothing while leaders are killed under them, and a killed mount
/// is replaced.
#[test]
fn a_mount_outlives_its_servers_and_is_replaced_when_it_dies() {
    let Some(mounted) = Mounted::start("a_mount_outlives_its_servers_and_is_replaced_when_it_dies") else {
        return;
    };
    let stop = AtomicBool::new(false);
    let made = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|worker| {
                scope.spawn({
                    let (mounted, stop) = (&mounted, &stop);
                    move || work(mounted, worker, stop)
                })
            })
            .collect();
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(800));
            let leader = mounted.cluster.leader().and_then(|leader| mounted.cluster.process(leader));
            if let Some(leader) = leader {
                kill_process(leader, Signal::KILL).expect("it can be killed");
            }
        }
        std::thread::sleep(Duration::from_millis(1_500));
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().map(|worker| worker.join().expect("no operation fails")).collect::<Vec<_>>()
    });
    eprintln!("{made:?} rounds while four leaders died");
    assert!(made.iter().all(|rounds| *rounds > 10), "hardly anything was done: {made:?}");
    for (worker, rounds) in made.iter().enumerate() {
        let left = fs::read_dir(mounted.path(&format!("worker-{worker}"))).expect("it is there").count();
        assert_eq!(left as u64, *rounds, "one directory for each round");
    }
    kill_process(mounted.process().expect("it runs"), Signal::KILL).expect("it can be killed");
    let end = Instant::now() + Duration::from_secs(20);
    while !mounted.path("worker-0").is_dir() {
        assert!(Instant::now() < end, "it was never mounted again");
        std::thread::sleep(Duration::from_millis(100));
    }
    mounted.stop();
}

/// Leaves one directory a round. Every operation must take effect once, and none may fail.
fn work(mounted: &Mounted, worker: usize, stop: &AtomicBool) -> u64 {
    let base = mounted.path(&format!("worker-{worker}"));
    fs::create_dir(&base).expect("it is new");
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        let (made, kept) = (base.join("made"), base.join(format!("kept-{round}")));
        fs::create_dir(&made).expect("made once");
        fs::rename(&made, &kept).expect("moved once");
        let file = base.join("file");
        let bytes = vec![round as u8; 10_000];
        fs::File::create_new(&file).expect("created once").write_all(&bytes).expect("written");
        assert!(fs::read(&file).expect("it is there") == bytes, "round {round}");
        fs::remove_file(&file).expect("removed once");
        round += 1;
    }
    round
}

/// Chunk servers die for good and come back: nothing is lost, what they had is made anew elsewhere, and
/// what they still have of it goes.
#[test]
fn a_lost_chunk_server_is_made_up_for() {
    let Some(lacking) = lacking() else { return chunk_servers_are_lost_and_come_back() };
    eprintln!("skipped: a_lost_chunk_server_is_made_up_for: {lacking}");
}

/// Lost after three seconds, and made up for soon after.
const LOST_AFTER: &str = "3s";
const MADE_UP_FOR: Duration = Duration::from_secs(60);

/// Of a chunk server: its life and how many parts it keeps; and how all slices fare.
type Seen = (String, Option<u64>, Value);

/// A file in a directory of another class.
fn write_coded(mounted: &Mounted, bytes: &[u8]) {
    let end = Instant::now() + Duration::from_secs(30);
    while mounted.cluster.status()["chunk_servers"].as_array().is_none_or(|servers| servers.len() < 6) {
        assert!(Instant::now() < end, "six chunk servers were started");
        std::thread::sleep(Duration::from_millis(100));
    }
    mounted.shell("mkdir coded");
    assert_eq!(mounted.cluster.told(&["class", "set", "/coded", "ec=3+2"]), "ec=3+2\n");
    let wide = mounted.cluster.verb(&["class", "set", "/coded", "ec=8+3"]);
    let line = String::from_utf8_lossy(&wide.stderr).into_owned();
    assert!(line.starts_with("mooseng: class: ec=8+3 has 11 parts"), "{line}");
    fs::write(mounted.path("coded/file"), bytes).expect("it is written");
    loop {
        let told = mounted.cluster.told(&["file", "info", "/coded/file", "--json"]);
        let info: Value = serde_json::from_str(&told).expect("JSON");
        let slice = &info["slices"][0];
        assert_eq!(slice["class"].as_str(), Some("ec=3+2"), "{info:#}");
        // A part whose server took too long is made up for.
        if slice["parts_alive"].as_u64() == Some(5) {
            break;
        }
        assert!(Instant::now() < end, "{info:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let told = mounted.cluster.told(&["file", "info", "/coded/file"]);
    assert!(told.contains("ec=3+2; 5 parts alive, 3 needed"), "{told}");
}

fn chunk_servers_are_lost_and_come_back() {
    let point = Directory::fresh();
    let cluster = Cluster::start_with_chunks(point.path(), 6, &["--lost-after", LOST_AFTER]);
    let mounted = Mounted { point, cluster };
    let bytes = |file: u64| -> Vec<u8> {
        let word = |at: u64| (at ^ file << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        (0..20_000 + file * 40_000).flat_map(word).collect()
    };
    write_coded(&mounted, &bytes(6));
    for file in 0..6 {
        fs::write(mounted.path(&format!("file-{file}")), bytes(file)).expect("it is written");
    }
    let parts = |server: u64| -> Seen {
        let status = mounted.cluster.status();
        let servers = status["chunk_servers"].as_array().expect("a list");
        let found = servers.iter().find(|chunk| chunk["server"] == server).expect("it is registered");
        (found["life"].as_str().expect("text").to_owned(), found["parts"].as_u64(), status["slices"].clone())
    };
    let victim = (101..107).max_by_key(|server| parts(*server).1).expect("there are six");
    let mended = || parts(victim).2["mended"].as_u64().unwrap_or(0);
    // What was written while a server was slow may be made up for before anything is lost.
    let (before, kept) = (mended(), parts(victim).1.expect("it answers"));
    assert!(kept > 0, "it has nothing to lose");
    // Held up rather than killed: nothing starts it again, and it comes back with all that it had.
    let process = mounted.cluster.chunk_process(victim).expect("it runs");
    hold_up(&[process]);
    let begun = Instant::now();
    let check = |when: &str| {
        for file in 0..6 {
            let read = fs::read(mounted.path(&format!("file-{file}"))).expect("it is read");
            assert!(read == bytes(file), "file-{file} {when}");
        }
        assert!(fs::read(mounted.path("coded/file")).expect("it is read") == bytes(6), "coded {when}");
    };
    check("while a server hangs");
    let until = |what: &str, reached: &dyn Fn(&Seen) -> bool| {
        let end = Instant::now() + MADE_UP_FOR;
        loop {
            let seen = parts(victim);
            if reached(&seen) {
                return eprintln!("{what} after {:?}", begun.elapsed());
            }
            assert!(Instant::now() < end, "{what}: not in time: {seen:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    until("lost", &|(life, ..)| life == "lost");
    until("made up for", &|(_, _, slices)| {
        slices["lacking"] == 0 && slices["lost"] == 0 && slices["mended"].as_u64() >= Some(before + kept)
    });
    check("without that server");
    go_on(&[process]);
    until("back, and rid of what is elsewhere now", &|(life, parts, _)| life == "alive" && *parts == Some(0));
    check("when it is back");
    // Killed with all its data, it is a server with an empty disk: started again, it is put to use.
    let second = (101..107).max_by_key(|server| parts(*server).1).expect("there are six");
    fs::remove_dir_all(mounted.cluster.directory().join(format!("chunk-{second}/store")))
        .expect("it is lost");
    let process = mounted.cluster.chunk_process(second).expect("it runs");
    kill_process(process, Signal::KILL).expect("it can be killed");
    let before = mended();
    until("an empty disk made up for", &|(.., slices)| slices["lacking"] == 0 && mended() > before);
    check("after a disk was lost");
    mounted.stop();
}

/// Servers that hang hold an application up, which a signal ends, and in the end ETIMEDOUT does.
#[test]
fn a_mount_never_hangs_unkillably() {
    let Some(mounted) = Mounted::start("a_mount_never_hangs_unkillably") else { return };
    let second = Second::start(&mounted.cluster, &["--timeo", "4s"]);
    let servers: Vec<Pid> = (1..=3).filter_map(|server| mounted.cluster.process(server)).collect();
    assert_eq!(servers.len(), 3);
    hold_up(&servers);
    for signal in [Signal::KILL, Signal::INT, Signal::TERM] {
        // Whoever runs the tests in the background lets them ignore SIGINT.
        let mut waiting = Command::new("env");
        waiting.args(["--default-signal=INT", "ls"]).arg(second.point.path()).stderr(Stdio::null());
        let mut waiting = waiting.spawn().expect("ls");
        std::thread::sleep(Duration::from_millis(500));
        let ended = waiting.try_wait().expect("it can be asked");
        assert!(ended.is_none(), "ls has nothing to wait for before {signal:?}: {ended:?}");
        let told = Instant::now();
        kill_process(Pid::from_child(&waiting), signal).expect("it can be told");
        waiting.wait().expect("it ends");
        assert!(told.elapsed() < Duration::from_secs(2), "{signal:?} took {:?}", told.elapsed());
    }
    let begun = Instant::now();
    let error = fs::metadata(second.point.path()).expect_err("nobody answers");
    assert_eq!(error.raw_os_error(), Some(110), "ETIMEDOUT");
    assert!((3..8).contains(&begun.elapsed().as_secs()), "it took {:?}", begun.elapsed());
    go_on(&servers);
    let end = Instant::now() + Duration::from_secs(20);
    while fs::metadata(second.point.path()).is_err() {
        assert!(Instant::now() < end, "it never recovered");
    }
    drop(second);
    mounted.stop();
}
