//! What the binary says to what it cannot do: one line that names the thing and the remedy, and an
//! exit code.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "processes are a matter of the real world"
)]

mod support;

use mooseng_core::checksum::crc32c;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::Directory;

/// What runs for longer was not refused.
const REFUSED_WITHIN: Duration = Duration::from_secs(30);

/// The exit code, and the one line on standard error that tells why.
fn refusal(arguments: &[&str]) -> (Option<i32>, String) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_mooseng"));
    process.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = process.spawn().expect("the binary starts");
    let end = Instant::now() + REFUSED_WITHIN;
    while process.try_wait().expect("it can be asked").is_none() {
        if Instant::now() > end {
            process.kill().expect("it can be killed");
            panic!("{arguments:?}: it is not refused: {:?}", process.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let Output { status, stdout, stderr } = process.wait_with_output().expect("it ended");
    assert!(stdout.is_empty(), "{arguments:?} printed {:?}", String::from_utf8_lossy(&stdout));
    let stderr = String::from_utf8(stderr).expect("text");
    let last = stderr.lines().last().unwrap_or_default().to_owned();
    let greetings = stderr.lines().filter(|line| line.contains(" starts at ")).count();
    assert_eq!(stderr.lines().count(), 1 + greetings, "{arguments:?}: {stderr}");
    (status.code(), last)
}

#[track_caller]
fn assert_refused(arguments: &[&str], code: i32, wanted: &str) {
    let (found, line) = refusal(arguments);
    assert_eq!((found, line.as_str()), (Some(code), wanted), "{arguments:?}");
}

#[test]
fn settings_that_are_missing_or_bad() {
    assert_refused(
        &["meta"],
        2,
        "mooseng: data: not set; give --data, set MOOSENG_META_DATA, or write `data = …` under [meta]",
    );
    assert_refused(
        &["meta", "--data", "x", "--server", "0"],
        2,
        "mooseng: server: \"0\", given as a flag, is nobody's number; write the server's number, 1 or more",
    );
    assert_refused(
        &["up", "--servers", "2"],
        2,
        "mooseng: servers: \"2\", given as a flag, makes no good majority; write 1, 3 or 5",
    );
    let base = ["meta", "--data", "x", "--server", "1", "--listen", "a:1"];
    assert_refused(
        &[&base[..], &["--journal-segment", "1000000"]].concat(),
        2,
        "mooseng: journal-segment: \"1000000\", given as a flag, cannot be used; \
         write a multiple of 4096 from 1MiB to 1GiB",
    );
    assert_refused(
        &[&base[..], &["--session-lifetime", "0s"]].concat(),
        2,
        "mooseng: session-lifetime: \"0s\", given as a flag, is too little; write 1s or more",
    );
}

/// Before anything is made or started.
#[test]
fn clusters_that_cannot_be_started() {
    let directory = Directory::fresh();
    let data = directory.path().join("data");
    let up = |options: &[&str]| {
        let own = ["up", "--mount", "none", "--dir", data.to_str().expect("text")];
        refusal(&[&own[..], options].concat())
    };
    for (options, wanted) in [
        (
            &["--port", "9431"][..],
            "chunk-port: \"9431\", its default, gives chunk server 101 the port 9431, which is metadata server 1's",
        ),
        (
            &["--grpc-port", "9430"],
            "grpc-port: \"9430\", given as a flag, gives gRPC of metadata server 2 the port 9431, which is chunk \
             server 101's",
        ),
        (
            &["--grpc-port", "9423", "--chunks", "0"],
            "grpc-port: \"9423\", given as a flag, gives gRPC of metadata server 1 the port 9423, which is metadata \
             server 3's",
        ),
    ] {
        let wanted = format!("mooseng: {wanted}; write one that leaves each server ports of its own");
        assert_eq!(up(options), (Some(2), wanted));
    }
    assert!(!data.exists(), "nothing was begun");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("it has one").port().to_string();
    let (code, line) = up(&["--chunk-port", &port, "--chunks", "1", "--port", "9711"]);
    let wanted = format!(
        "mooseng: chunk-port: port {port}, for chunk server 101, is in use; stop who uses it, or give another \
         --chunk-port"
    );
    assert_eq!((code, line), (Some(1), wanted));
    assert!(!data.join("formed").exists(), "nothing was formed");
    let (code, line) = refusal(&["up", "--mount", "none", "--data", "/etc/passwd"]);
    assert_eq!((code, line.as_str()), (Some(1), "mooseng: data: /etc/passwd: is no directory; name one"));
}

/// As with `2>&1 | head`: what cannot be told is not told, and the exit code stands.
#[test]
fn nobody_need_hear_why() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mooseng"));
    let status = command.args(["up", "--servers", "2"]).stderr(writer).status().expect("the binary starts");
    assert_eq!(status.code(), Some(2));
}

#[test]
fn numbers_below_nothing_and_times_of_none() {
    let (code, line) = refusal(&["up", "--lost-after", "-1s"]);
    assert_eq!(code, Some(2));
    assert!(line.starts_with("mooseng: lost-after: \"-1s\", given as a flag, does not begin with"), "{line}");
    let (code, line) = refusal(&["up", "--chunks", "-1"]);
    assert_eq!(code, Some(2));
    assert!(line.starts_with("mooseng: chunks: \"-1\", given as a flag, is no whole number"), "{line}");
    assert_refused(
        &["status", "--timeout", "0s"],
        2,
        "mooseng: timeout: \"0s\", given as a flag, is too little; write 1ms or more",
    );
    assert_refused(
        &["mount", "--metadata", "127.0.0.1:0", "/"],
        2,
        "mooseng: meta: \"127.0.0.1:0\", given as a flag, has port 0, where nobody is found somewhere in the list; \
         write HOST:PORT, like 10.0.0.1:9421",
    );
}

/// Chunk servers make themselves known: nobody lists them.
#[test]
fn options_of_chunk_servers() {
    assert_refused(
        &["mount", "--chunks", "1=127.0.0.1:9431", "/"],
        2,
        "mooseng: unexpected argument '--chunks' found; --help shows what there is",
    );
    assert_refused(
        &["status", "--chunk-servers", "127.0.0.1:9431"],
        2,
        "mooseng: unexpected argument '--chunk-servers' found; --help shows what there is",
    );
    for verb in [&["up"][..], &["meta", "--data", "x", "--server", "1", "--listen", "a:1"]] {
        assert_refused(
            &[verb, &["--lost-after", "1s"]].concat(),
            2,
            "mooseng: lost-after: \"1s\", given as a flag, is too little; write 3s or more",
        );
    }
    let chunk = ["chunk", "--data", "x", "--server", "1", "--listen", "a:1"];
    assert_refused(
        &chunk,
        2,
        "mooseng: metadata: not set; give --metadata, set MOOSENG_CHUNK_METADATA, or write `metadata = …` \
         under [chunk]",
    );
    assert_refused(
        &[&chunk[..], &["--metadata", "127.0.0.1"]].concat(),
        2,
        "mooseng: metadata: \"127.0.0.1\", given as a flag, has no port somewhere in the list; \
         write HOST:PORT, like 10.0.0.1:9421",
    );
    let (code, line) = refusal(&[&chunk[..], &["--metadata", "a:1", "--rack", "a\nb"]].concat());
    assert_eq!(code, Some(2), "{line}");
    assert!(line.ends_with("has letters that cannot be shown; write a name in one line"), "{line}");
    let long = "r".repeat(65);
    let (code, line) = refusal(&[&chunk[..], &["--metadata", "a:1", "--rack", &long]].concat());
    assert_eq!(code, Some(2), "{line}");
    assert!(
        line.starts_with("mooseng: rack: ") && line.ends_with("write a name of at most 64 bytes"),
        "{line}"
    );
}

#[test]
fn a_file_with_a_slip() {
    let directory = Directory::fresh();
    let file = directory.path().join("mooseng.toml");
    std::fs::write(&file, "[up]\nport = 1\n\n[client]\ntimout = \"1s\"\n").expect("the file is written");
    let path = file.to_str().expect("text");
    let wanted = format!("mooseng: {path}: [client] has no key `timout`; use one of: servers, timeout");
    assert_refused(&["status", "--config", path], 2, &wanted);
    assert_refused(&["up", "--config", path], 2, &wanted);
}

/// Whatever a file is instead of settings, the line says what is wrong with it.
#[test]
fn files_that_are_no_settings() {
    let directory = Directory::fresh();
    let file = directory.path().join("mooseng.toml");
    let path = file.to_str().expect("text");
    let sections = "use [meta], [chunk], [mount], [client], [up]";
    let kinds = "give a string, a whole number, true or false, or a list of strings";
    for (text, wanted) in [
        (&b"[up\n"[..], format!("{path}: line 1: unclosed table, expected `]`; correct that line")),
        (b"[upp]\nport = 1\n", format!("{path}: `upp` is no section; {sections}")),
        (b"port = 1\n", format!("{path}: `port` is no section; {sections}")),
        (b"[up]\nport = {a = 1}\n", format!("{path}: `port` in [up] is a table; {kinds}")),
        (
            b"[up]\nport = true\n",
            format!("port: \"true\", from {path}, is no whole number; write a whole number, like 3"),
        ),
        (
            b"[up]\nport = 70000\n",
            format!("port: \"70000\", from {path}, leaves no ports; write a port from 1 to 65533"),
        ),
        (
            b"[up]\nport = -1\n",
            format!("port: \"-1\", from {path}, is no whole number; write a whole number, like 3"),
        ),
        (b"\xff\xfe[up]", format!("{path}: is not UTF-8; save it as UTF-8")),
    ] {
        std::fs::write(&file, text).expect("the file is written");
        assert_refused(&["up", "--config", path], 2, &format!("mooseng: {wanted}"));
    }
    std::fs::remove_file(&file).expect("it is there");
    let folder = directory.path().to_str().expect("text");
    assert_refused(
        &["status", "--config", folder],
        2,
        &format!("mooseng: {folder}: is a directory; name a file"),
    );
    let wanted = format!(
        "mooseng: {path}: No such file or directory (os error 2); name a file that this user can read"
    );
    assert_refused(&["status", "--config", path], 2, &wanted);
}

#[test]
fn mount_points_that_are_none() {
    if std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_err() {
        return eprintln!("skipped: mount_points_that_are_none: no /dev/fuse");
    }
    let directory = Directory::fresh();
    let (none, file) = (directory.path().join("none"), directory.path().join("file"));
    std::fs::write(&file, "").expect("it is written");
    let (none, file) = (none.to_str().expect("text"), file.to_str().expect("text"));
    let data = directory.path().join("data");
    let up = ["up", "--data", data.to_str().expect("text"), "--mount"];
    for verb in [&["mount"][..], &up] {
        let absent = format!("mooseng: mount point {none}: does not exist; mkdir -p {none}");
        assert_refused(&[verb, &[none]].concat(), 1, &absent);
        let kind = format!("mooseng: mount point {file}: is not a directory; name a directory");
        assert_refused(&[verb, &[file]].concat(), 1, &kind);
    }
    assert!(!data.exists(), "nothing was begun");
}

/// What is not the device, or not for this user, is told by name; nothing is mounted and nothing is begun.
#[test]
fn devices_that_are_none() {
    let directory = Directory::fresh();
    let (file, point) = (directory.path().join("file"), directory.path().join("point"));
    std::fs::write(&file, "").expect("it is written");
    std::fs::create_dir(&point).expect("it is made");
    let with = |prepare: &str| {
        let script = format!("{prepare} && exec {} mount {}", env!("CARGO_BIN_EXE_mooseng"), point.display());
        let found = Command::new("unshare").args(["-m", "sh", "-ec", &script]).output().ok()?;
        Some((found.status.code(), String::from_utf8(found.stderr).expect("text")))
    };
    let shown = file.display();
    let Some((Some(1), line)) = with(&format!("mount --bind {shown} /dev/fuse")) else {
        return eprintln!("skipped: devices_that_are_none: nobody may mount here, or there is no /dev/fuse");
    };
    let wanted = "mooseng: /dev/fuse: is not the device; remove it, and make it with `mknod -m 666 /dev/fuse c 10 229`\n";
    assert_eq!(line, wanted);
}

/// Every role reads its section of one file, and a flag beats it.
#[test]
fn one_file_for_all_roles() {
    let directory = Directory::fresh();
    let file = directory.path().join("mooseng.toml");
    let text = "[meta]\ndata = \"m\"\nserver = 1\nlisten = \"a:1\"\nlost-after = \"1s\"\n\n\
                [chunk]\ndata = \"c\"\nserver = 101\nlisten = \"a:2\"\nmetadata = [\"a:1\", \"b:1\"]\nscrub-rate = 0\n\n\
                [mount]\nmeta = [\"a:1\"]\ntimeo = \"10ms\"\n";
    std::fs::write(&file, text).expect("the file is written");
    let path = file.to_str().expect("text");
    let lost = format!("mooseng: lost-after: \"1s\", from {path}, is too little; write 3s or more");
    assert_refused(&["meta", "--config", path], 2, &lost);
    let scrub = format!(
        "mooseng: scrub-rate: \"0\", from {path}, leaves rot to be found by readers; write 1KiB or more"
    );
    assert_refused(&["chunk", "--config", path], 2, &scrub);
    assert_refused(
        &["chunk", "--config", path, "--server", "0"],
        2,
        "mooseng: server: \"0\", given as a flag, is nobody's number; write the server's number, 1 or more",
    );
    let patience = format!("mooseng: timeo: \"10ms\", from {path}, is too little; write 1s or more");
    assert_refused(&["mount", "/", "--config", path], 2, &patience);
}

#[test]
fn classes_that_there_are_not() {
    let (code, line) = refusal(&["class", "set", "/", "ec=0+2"]);
    assert_eq!(code, Some(2), "{line}");
    assert!(line.starts_with("mooseng: class: `ec=0+2` is no storage class: write copies=N"), "{line}");
    assert_eq!(line.matches("ec=0+2").count(), 1, "{line}");
    let (code, line) = refusal(&["file", "info", "relative"]);
    assert_eq!(code, Some(2), "{line}");
    assert!(line.contains("a path begins with `/`"), "{line}");
}

/// From an empty place to a formatted one, and every wrong turn on the way.
#[test]
fn data_directories_that_do_not_fit() {
    let directory = Directory::fresh();
    let data = directory.path().join("data");
    let path = data.to_str().expect("text");
    let meta = ["meta", "--data", path, "--listen", "127.0.0.1:9", "--server"];
    let meta = |server: &'static str| [&meta[..], &[server]].concat();
    assert_refused(
        &meta("1"),
        1,
        &format!("mooseng: data directory {path}: not there; create it, or name another one"),
    );
    std::fs::create_dir(&data).expect("a directory");
    assert_refused(
        &meta("1"),
        1,
        "mooseng: identity: not there; format the data directory, or name servers to join",
    );
    let format = ["format", "--data", path, "--server", "1", "--journal-segment", "1MiB", "--voters"];
    let format = |voters: &'static str| [&format[..], &[voters]].concat();
    assert_refused(&format("2=127.0.0.1:2"), 1, &format!("mooseng: {path}: voters: s1 is not among them"));
    let first = Command::new(env!("CARGO_BIN_EXE_mooseng")).args(format("1=127.0.0.1:9999")).output();
    let first = first.expect("the binary starts");
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    assert!(String::from_utf8_lossy(&first.stdout).contains("give the other servers --cluster "));
    assert_refused(
        &format("1=127.0.0.1:9999"),
        1,
        &format!("mooseng: {path}: identity: the data directory is formatted already"),
    );
    assert_refused(
        &meta("2"),
        1,
        "mooseng: identity: the data directory belongs to s1, not to s2; point each server at its own",
    );
    let (code, line) = refusal(&[&meta("1")[..], &["--cluster", "77"]].concat());
    assert_eq!(code, Some(1), "{line}");
    assert!(line.ends_with(", another cluster; point the server at its own"), "{line}");
    // Its group looks for it at port 9999, and nothing else than that port is found there.
    let elsewhere = support::address().to_string();
    let (code, line) = refusal(&["meta", "--data", path, "--server", "1", "--listen", &elsewhere]);
    let wanted = format!(
        "mooseng: listen: the others of g1 look for this server at 127.0.0.1:9999, and not at {elsewhere}; listen \
         there, or empty the data directory and let the server join again"
    );
    assert_eq!((code, line), (Some(1), wanted));
    let empty = directory.path().join("empty");
    std::fs::create_dir(&empty).expect("a directory");
    let joins =
        ["meta", "--data", empty.to_str().expect("text"), "--server", "2", "--join", "127.0.0.1:9999"];
    assert_refused(
        &[&joins[..], &["--listen", "0.0.0.0:9"]].concat(),
        1,
        "mooseng: listen: the server joins a group, which is to find it at 0.0.0.0:9, where nobody does; listen at \
         an address of this computer",
    );
    // A number of another kind of server is another number.
    let chunk = ["chunk", "--data", path, "--server", "1", "--listen", "127.0.0.1:9", "--metadata", "a:1"];
    assert_refused(
        &chunk,
        1,
        "mooseng: identity: the data directory does not belong to a chunk server; point each server at its own",
    );
    assert!(!data.join("store").exists(), "nothing was begun");
}

/// What `meta` would refuse is refused before there is a disk.
#[test]
fn disks_of_servers_that_could_not_run() {
    let directory = Directory::fresh();
    let data = directory.path().join("data");
    let format = ["format", "--data", data.to_str().expect("text"), "--server", "1"];
    for (options, wanted) in [
        (
            &["--voters", "1=a:1,2=b:1"][..],
            "voters: \"1=a:1,2=b:1\", given as a flag, are 2, which bear no more losses than 1 do; write 1, 3 or 5 \
             of them",
        ),
        (
            &["--voters", "1=a:1", "--listen", "a:2"],
            "listen: \"a:2\", given as a flag, is not where the voters are told that s1 is; write a:1, or change \
             the voters",
        ),
        (
            &["--voters", "1=a:1", "--session-lifetime", "0s"],
            "session-lifetime: \"0s\", given as a flag, is too little; write 1s or more",
        ),
        (
            &["--voters", "1=a:1", "--snapshot-every", "0"],
            "snapshot-every: \"0\", given as a flag, is too little; write 1 or more",
        ),
        (
            &["--voters", "1=a:1", "--rejoin", "maybe"],
            "rejoin: \"maybe\", given as a flag, is neither true nor false; write true or false",
        ),
        (
            &["--voters", "1=a:1", "--http", "x"],
            "http: \"x\", given as a flag, has no port; write HOST:PORT, like 10.0.0.1:9421",
        ),
    ] {
        assert_refused(&[&format[..], options].concat(), 2, &format!("mooseng: {wanted}"));
    }
    for option in ["--listen", "--join", "--grpc", "--lost-after"] {
        let (code, line) = refusal(&[&format[..], &["--voters", "1=a:1", option, "1"]].concat());
        assert_eq!(code, Some(2), "{line}");
    }
    assert!(!data.exists(), "nothing was begun");
    let (code, line) = refusal(&[&format[..], &["--voters", "1=a:1,2=b:1,3=a:1"]].concat());
    assert_eq!(code, Some(1), "{line}");
    assert!(line.ends_with("voters: a:1 is named twice; each server has an address of its own"), "{line}");
}

/// A metadata server that is alone, and ends with this.
struct Alone(Child);

impl Alone {
    /// Returns when it has taken up its data: it leads soon, for there is nobody else.
    fn start(path: &str, address: &str) -> Self {
        let arguments =
            ["meta", "--data", path, "--server", "1", "--listen", address, "--snapshot-every", "5"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_mooseng"));
        Self(command.args(arguments).stderr(Stdio::null()).spawn().expect("the binary starts"))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).expect("it runs");
    }
}

fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).expect("it is there").map_while(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).expect("it is read"));
        }
    }
    found
}

/// The newest snapshot there is.
fn snapshot_in(directory: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(directory.join("group-1")).ok()?.map_while(Result::ok);
    names.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "snapshot")).max()
}

/// Whoever starts an older version by mistake loses nothing by it: the server does not start, nothing is
/// changed, and the version that wrote it goes on.
#[test]
fn a_snapshot_of_a_newer_version() {
    let directory = Directory::fresh();
    let path = directory.path().to_str().expect("text");
    let address = support::address().to_string();
    let voters = format!("1={address}");
    let format =
        ["format", "--data", path, "--server", "1", "--voters", &voters, "--journal-segment", "1MiB"];
    let done = Command::new(env!("CARGO_BIN_EXE_mooseng")).args(format).output().expect("the binary starts");
    assert!(done.status.success());
    let verb = |arguments: &[&str]| {
        let arguments = [arguments, &["--servers", &address, "--timeout", "20s"]].concat();
        let Output { status, stdout, stderr } =
            Command::new(env!("CARGO_BIN_EXE_mooseng")).args(arguments).output().expect("the binary starts");
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).expect("text")
    };
    let server = Alone::start(path, &address);
    let end = Instant::now() + Duration::from_secs(30);
    let mut count = 0;
    while snapshot_in(directory.path()).is_none() {
        assert!(Instant::now() < end, "no snapshot was taken");
        verb(&["ns", "mkdir", &format!("/d{count}")]);
        count += 1;
    }
    drop(server);
    let snapshot = snapshot_in(directory.path()).expect("it was there a moment ago");
    let name = format!("group-1/{}", snapshot.file_name().expect("it has one").to_str().expect("text"));
    let ours = std::fs::read(&snapshot).expect("it is read");
    let mut newer = ours.clone();
    newer[8] = 9;
    let length = u32::from_le_bytes(newer[12..16].try_into().expect("four bytes")) as usize;
    let sum = crc32c(&newer[..length - 4]);
    newer[length - 4..length].copy_from_slice(&sum.to_le_bytes());
    std::fs::write(&snapshot, newer).expect("it is written");
    let before = contents(directory.path());
    let meta = ["meta", "--data", path, "--server", "1", "--listen", &address];
    for _ in 0..2 {
        assert_refused(
            &meta,
            1,
            &format!(
                "mooseng: {name}: this snapshot has format version 9, and this program knows 1; start the version \
                 of MooseNG that wrote it"
            ),
        );
    }
    assert!(contents(directory.path()) == before, "nothing was changed");
    std::fs::write(&snapshot, ours).expect("it is written");
    let server = Alone::start(path, &address);
    assert_eq!(verb(&["ns", "ls", "/"]).lines().count(), count, "the cluster is what it was");
    drop(server);
}

#[test]
fn a_port_that_somebody_has() {
    let directory = Directory::fresh();
    let path = directory.path().to_str().expect("text");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it has one").to_string();
    let voters = format!("1={address}");
    let format =
        ["format", "--data", path, "--server", "1", "--voters", &voters, "--journal-segment", "1MiB"];
    let done = Command::new(env!("CARGO_BIN_EXE_mooseng")).args(format).output().expect("the binary starts");
    assert!(done.status.success());
    assert_refused(
        &["meta", "--data", path, "--server", "1", "--listen", &address],
        1,
        &format!("mooseng: {address}: cannot listen: the port is in use; stop who uses it or name another"),
    );
}

#[test]
fn nobody_at_home() {
    let nobody = ["--servers", "127.0.0.1:1", "--timeout", "300ms"];
    let (code, line) = refusal(&[&["ns", "ls", "/"][..], &nobody].concat());
    assert_eq!(code, Some(1));
    let wanted = "mooseng: the metadata service could not be reached in time, and nothing was done";
    assert!(line.starts_with(wanted), "{line}");
}

/// A chunk server that finds a directory which is not its own, or that it does not understand.
#[test]
fn directories_of_chunk_servers_that_do_not_fit() {
    let directory = Directory::fresh();
    let path = directory.path().to_str().expect("text");
    let address = support::address().to_string();
    let chunk = |server, cluster| {
        let own = ["chunk", "--data", path, "--listen", &address, "--metadata", "127.0.0.1:1"];
        [&own[..], &["--segment", "1MiB", "--server", server, "--cluster", cluster]].concat()
    };
    let mut first = Command::new(env!("CARGO_BIN_EXE_mooseng"));
    let mut first = first.args(chunk("101", "5")).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut lines =
        BufReader::new(first.stderr.take().expect("it was asked for")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("s101 keeps 0 parts")), "the directory becomes its own");
    first.kill().and_then(|()| first.wait()).expect("it runs");
    assert_refused(
        &chunk("101", "6"),
        1,
        "mooseng: identity: the data directory belongs to cluster-5, another cluster; point the server at its own",
    );
    assert_refused(
        &chunk("102", "5"),
        1,
        "mooseng: identity: the data directory belongs to s101, not to s102; point each server at its own",
    );
    let taken = TcpListener::bind(&address).expect("nobody has it now");
    assert_refused(
        &chunk("101", "5"),
        1,
        &format!("mooseng: {address}: cannot listen: the port is in use; stop who uses it or name another"),
    );
    assert_refused(
        &[&chunk("101", "5")[..], &["--http", &address]].concat(),
        1,
        &format!(
            "mooseng: http: {address}: cannot listen: the port is in use; stop who uses it or name another"
        ),
    );
    drop(taken);
    assert_refused(
        &["meta", "--data", path, "--server", "101", "--listen", &address],
        1,
        "mooseng: identity: the data directory does not belong to a metadata server; point each server at its own",
    );
    assert!(!directory.path().join("journal").exists(), "nothing was begun");
    // As a newer version would write it, both copies.
    let identity = directory.path().join("identity");
    let mut bytes = std::fs::read(&identity).expect("it is there");
    for copy in [0, 4_096] {
        bytes[copy + 8] = 2;
        let sum = crc32c(&bytes[copy..copy + 32]);
        bytes[copy + 32..copy + 36].copy_from_slice(&sum.to_le_bytes());
    }
    std::fs::write(&identity, &bytes).expect("it is written");
    let (code, line) = refusal(&chunk("101", "5"));
    assert_eq!(code, Some(1), "{line}");
    assert!(line.starts_with("mooseng: identity: ") && line.contains("version 2"), "{line}");
}
