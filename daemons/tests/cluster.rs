//! A whole cluster of real processes: `mooseng up`, its verbs, and servers killed and held up.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "processes are a matter of the real world"
)]

mod grpc;
mod mount;
mod support;

use bytes::Bytes;
use mooseng::machine::RealEnv;
use mooseng_client::{Session, SessionConfig};
use mooseng_core::env::Address;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Answer, Name, Op, Query};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use support::Directory;

const SERVERS: u32 = 3;
/// How many cases of this binary may run a cluster.
const CASES_MAX: u32 = 20;
const CHUNKS: u32 = 2;
/// The most of any case.
const CHUNKS_MAX: u32 = 6;
/// How often a server is killed or held up.
const BLOWS: usize = 8;

/// The chunk servers' ports follow the others'.
fn chunk_port(port: u32) -> u32 {
    port + SERVERS
}

/// And after them come those for gRPC.
fn grpc_port(port: u32) -> u32 {
    chunk_port(port) + CHUNKS_MAX
}

struct Cluster {
    directory: Option<Directory>,
    port: u32,
    up: Child,
}

impl Cluster {
    fn start() -> Self {
        Self::start_in(Directory::fresh(), free_port())
    }

    /// Returns when the cluster serves.
    fn start_in(directory: Directory, port: u32) -> Self {
        let grpc = grpc_port(port).to_string();
        let options = ["--chunks", &CHUNKS.to_string(), "--mount", "none", "--grpc-port", &grpc];
        Self::start_with(directory, port, &options, "ready: ")
    }

    /// Returns when the cluster is mounted.
    fn start_mounted(point: &Path) -> Self {
        Self::start_with_chunks(point, CHUNKS, &[])
    }

    /// The same with so many chunk servers.
    fn start_with_chunks(point: &Path, chunks: u32, options: &[&str]) -> Self {
        let point = point.to_str().expect("a plain name");
        let chunks = chunks.to_string();
        let options = [&["--mount", point, "--chunks", &chunks], options].concat();
        Self::start_with(Directory::fresh(), free_port(), &options, "mounted at ")
    }

    /// Returns when it says that it is ready.
    fn start_with(directory: Directory, port: u32, options: &[&str], ready: &str) -> Self {
        let mut up = Command::new(env!("CARGO_BIN_EXE_mooseng"))
            .args(["up", "--port", &port.to_string()])
            .args(["--chunk-port", &chunk_port(port).to_string(), "--data"])
            .arg(directory.path())
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let lines = BufReader::new(up.stdout.take().expect("it was asked for")).lines();
        let mut lines = lines.map_while(Result::ok);
        assert!(lines.any(|line| line.starts_with(ready)), "the cluster never said {ready:?}");
        Self { directory: Some(directory), port, up }
    }

    fn directory(&self) -> &Path {
        self.directory.as_ref().expect("it is there until the cluster is stopped").path()
    }

    fn servers(&self) -> Vec<Address> {
        (0..SERVERS).map(|index| Address::new(format!("127.0.0.1:{}", self.port + index))).collect()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.told(&["status", "--json"])).expect("JSON")
    }

    fn verb(&self, arguments: &[&str]) -> Output {
        let servers = self.servers().iter().map(Address::to_string).collect::<Vec<_>>().join(",");
        let mut command = Command::new(env!("CARGO_BIN_EXE_mooseng"));
        command.args(arguments).args(["--servers", &servers]).output().expect("the binary starts")
    }

    /// What a verb printed, which must have worked.
    fn told(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.verb(arguments);
        let problem = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{arguments:?}: {status}: {problem}");
        String::from_utf8(stdout).expect("text")
    }

    /// What each server that answers says of its group, by server.
    fn groups(&self) -> BTreeMap<u64, Value> {
        let status = self.status();
        let servers = status["servers"].as_array().expect("a list").iter();
        let group = |server: &Value| Some((server["server"].as_u64()?, server["groups"].get(0)?.clone()));
        servers.filter_map(group).collect()
    }

    /// The number of the server that leads, which is its replica's, as the others see it.
    fn leader(&self) -> Option<u64> {
        self.groups().values().filter_map(|group| group["leader"].as_u64()).find(|leader| *leader != 0)
    }

    fn process(&self, server: u64) -> Option<Pid> {
        process_with("meta", &self.directory().join(format!("meta-{server}")))
    }

    fn chunk_process(&self, server: u64) -> Option<Pid> {
        process_with("chunk", &self.directory().join(format!("chunk-{server}")))
    }

    /// Ends it as an operator would, sees that nothing of it is left, and gives its data back.
    fn stop(mut self) -> Directory {
        kill_process(Pid::from_child(&self.up), Signal::TERM).expect("it runs");
        let status = self.up.wait().expect("it ends");
        assert!(status.success(), "{status}");
        for server in 1..=u64::from(SERVERS) {
            assert_eq!(self.process(server), None, "server {server} outlives its cluster");
        }
        self.directory.take().expect("it is stopped once")
    }
}

/// Without an orderly end the servers go with their parent all the same.
impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.up.kill();
        let _ = self.up.wait();
    }
}

/// The first of some ports that no other case is given. They lie below those that Linux gives to
/// whoever connects without naming one: a connection of another case would hold the port for good.
fn free_port() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    assert!(count < CASES_MAX, "ports for each case of this binary");
    10_000 + (std::process::id() % 90 * CASES_MAX + count) * (SERVERS + CHUNKS_MAX + SERVERS)
}

/// The process of this role that has this path among its arguments.
fn process_with(role: &str, path: &Path) -> Option<Pid> {
    let wanted = path.as_os_str().as_encoded_bytes();
    let processes = std::fs::read_dir("/proc").expect("this is Linux");
    let mut numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let number = numbers.find(|number| {
        let line = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        arguments.contains(&role.as_bytes()) && arguments.contains(&wanted)
    });
    Pid::from_raw(number?)
}

#[test]
fn a_cluster_serves_its_verbs_and_survives_its_servers() {
    let cluster = Cluster::start();
    verbs_do_what_they_say(&cluster);
    chunk_servers_belong_to_the_cluster(&cluster);
    nobody_takes_it_for_another(&cluster);
    rubbish_is_cut_off(&cluster);
    grpc::other_languages_are_served(&cluster);
    acknowledged_files_survive_kills(&cluster);
    cluster.stop();
}

/// Whatever is sent to whichever port: the one who sends it is cut off, and nothing else happens.
fn rubbish_is_cut_off(cluster: &Cluster) {
    let processes = || {
        let metadata = (1..=u64::from(SERVERS)).map(|server| cluster.process(server));
        metadata
            .chain((101..101 + u64::from(CHUNKS)).map(|server| cluster.chunk_process(server)))
            .collect::<Vec<_>>()
    };
    let before = processes();
    let noise: Vec<u8> = (0..70_000_u64).map(|byte| mooseng_core::chance::mix(byte) as u8).collect();
    let rubbish = [
        &b""[..],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[0; 4_096],
        &[0xff; 4_096],
        &noise,
    ];
    let grpc = grpc_port(cluster.port);
    for port in (cluster.port..cluster.port + SERVERS + CHUNKS).chain(grpc..grpc + SERVERS) {
        for bytes in rubbish {
            let mut stream = TcpStream::connect(("127.0.0.1", port as u16)).expect("it listens");
            // It may be cut off before all of it is sent.
            let _ = stream.write_all(bytes);
            stream.shutdown(std::net::Shutdown::Write).ok();
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time");
            let mut answer = Vec::new();
            if let Err(error) = stream.read_to_end(&mut answer) {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{port} stays: {bytes:?}");
            }
        }
    }
    assert_eq!(processes(), before, "nobody was started again");
    cluster.told(&["ns", "ls", "/"]);
}

/// Whoever is to be started in its place, or looks for another cluster where it is, says so in one line.
fn nobody_takes_it_for_another(cluster: &Cluster) {
    let refused = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mooseng"));
        let Output { status, stderr, .. } = command.args(arguments).output().expect("the binary starts");
        assert!(!status.success(), "{arguments:?}");
        String::from_utf8(stderr).expect("text")
    };
    let data = cluster.directory().to_str().expect("text");
    let again = refused(&["up", "--mount", "none", "--data", data]);
    let wanted = "another `mooseng up` runs on it; stop that one, or name another directory";
    assert_eq!(again, format!("mooseng: data: {data}: {wanted}\n"));
    let other = Directory::fresh();
    let path = other.path().to_str().expect("text");
    let port = cluster.port.to_string();
    let beside = refused(&["up", "--mount", "none", "--data", path, "--port", &port]);
    let wanted = "for metadata server 1, is in use; stop who uses it, or give another --port";
    assert_eq!(beside, format!("mooseng: port: port {port}, {wanted}\n"));
    assert!(std::fs::read_dir(other.path()).expect("it is there").next().is_none(), "nothing was begun");
    if std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_err() {
        return eprintln!("skipped: mounts of another cluster: no /dev/fuse");
    }
    let number = cluster.status()["servers"][0]["cluster"].as_str().expect("text").to_owned();
    let address = format!("127.0.0.1:{port}");
    let mount = refused(&["mount", "--metadata", &address, "--cluster", "7", path]);
    let wanted = format!(
        "mooseng: cluster: {address} belongs to cluster-{number}, and cluster-7 is wanted; name servers of that cluster\n"
    );
    assert_eq!(mount, wanted);
    let address = format!("127.0.0.1:{}", chunk_port(cluster.port));
    let mount = refused(&["mount", "--metadata", &address, path]);
    let wanted = "is no metadata server; name the metadata servers' addresses";
    assert_eq!(mount, format!("mooseng: {address}: {wanted}\n"));
    let mount = refused(&["mount", "--metadata", "127.0.0.1:9", "--timeo", "2s", path]);
    let (waits, gives_up) = mount.split_once('\n').expect("two lines");
    assert!(waits.starts_with("mooseng: waiting for a metadata server; 127.0.0.1:9: "), "{mount}");
    assert!(gives_up.starts_with("mooseng: the metadata service could not be reached in time"), "{mount}");
}

/// They find out from the metadata servers whose they are, and tell the leader that they are there.
fn chunk_servers_belong_to_the_cluster(cluster: &Cluster) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let status = cluster.status();
        let chunks = status["chunk_servers"].as_array().expect("a list");
        let own = |chunk: &Value| {
            let cluster = &status["servers"][0]["cluster"];
            (&chunk["cluster"], &chunk["parts"], &chunk["life"]) == (cluster, &json!(0), &json!("alive"))
                && chunk["free"].as_u64().is_some_and(|free| free > 0)
        };
        if chunks.len() == CHUNKS as usize && chunks.iter().all(own) && status["slices"].is_object() {
            let racks: BTreeSet<_> = chunks.iter().map(|chunk| chunk["rack"].to_string()).collect();
            assert_eq!(racks.len(), CHUNKS as usize, "each in a rack of its own: {status}");
            let lines = cluster.told(&["status"]);
            assert!(lines.contains("chunk server 102 in rack b alive; "), "{lines}");
            return assert!(lines.contains("slices: 0; 0 lack parts"), "{lines}");
        }
        assert!(Instant::now() < end, "{status:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// It may have acknowledged what it does not know any more, so it takes part under a new number.
#[test]
fn a_server_that_lost_its_disk_comes_back_as_another_replica() {
    let cluster = Cluster::start();
    cluster.told(&["ns", "mkdir", "/before"]);
    let port = cluster.port;
    let directory = cluster.stop();
    std::fs::remove_dir_all(directory.path().join("meta-2")).expect("its disk is lost");
    let cluster = Cluster::start_in(directory, port);
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let groups = cluster.groups();
        let replica = groups.get(&2).and_then(|group| group["replica"].as_u64());
        if let Some(replica @ 1_000..) = replica
            && groups.values().all(|group| group["voters"] == json!([1, 3, replica]))
            && groups.values().all(|group| group["applied"] == groups[&1]["applied"])
        {
            break;
        }
        assert!(Instant::now() < end, "it never came back: {groups:#?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(cluster.told(&["ns", "ls", "/"]), "before\n");
    // The listing's own session is still on its way to some of them: only who is equally far is compared.
    let groups = loop {
        let groups = cluster.groups();
        if groups.len() == 3 && groups.values().all(|group| group["applied"] == groups[&1]["applied"]) {
            break groups;
        }
        assert!(Instant::now() < end, "they never agreed how far they are: {groups:#?}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let hashes: BTreeSet<_> = groups.values().map(|group| group["state_hash"].to_string()).collect();
    assert_eq!(hashes.len(), 1, "it knows what the others know: {groups:#?}");
    cluster.stop();
}

/// A small disk of its own, mounted until this goes.
struct SmallDisk(Directory);

impl SmallDisk {
    /// `None`, and a line that says why, where nothing can be mounted.
    fn mount(case: &str, size: &str) -> Option<Self> {
        let directory = Directory::fresh();
        let arguments = ["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"];
        let mounted = Command::new("mount").args(arguments).arg(directory.path()).output();
        if !mounted.is_ok_and(|done| done.status.success()) {
            eprintln!("skipped: {case}: no tmpfs can be mounted here");
            return None;
        }
        Some(Self(directory))
    }

    /// Takes all that is left of it, and gives it back with the file.
    fn fill(&self) -> PathBuf {
        let path = self.0.path().join("fill");
        let mut file = std::fs::File::create(&path).expect("a name takes no room here");
        let bytes = vec![0; 1 << 20];
        while file.write_all(&bytes).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// On a full disk growth is refused at once, and everything else goes on: what is there can be read and
/// removed, and when there is room again it can grow.
#[test]
fn a_full_disk_refuses_growth_and_nothing_else() {
    let Some(disk) = SmallDisk::mount("a_full_disk_refuses_growth_and_nothing_else", "320m") else { return };
    let directory = Directory::beneath(disk.0.path());
    let cluster = Cluster::start_in(directory, free_port());
    for name in ["/kept", "/removed"] {
        cluster.told(&["ns", "mkdir", name]);
    }
    let room = |wanted: &str| {
        let end = Instant::now() + Duration::from_secs(10);
        while !cluster.groups().values().all(|group| group["room"] == wanted) {
            assert!(Instant::now() < end, "{wanted} is not said: {:#?}", cluster.groups());
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    room("enough");
    let fill = disk.fill();
    room("full");
    // It is full before nothing at all is left, and measured four times a second.
    let end = Instant::now() + Duration::from_secs(10);
    while !cluster.told(&["status"]).contains("disk full, growth refused: 0 of 335544320 bytes free") {
        assert!(Instant::now() < end, "{}", cluster.told(&["status"]));
        std::thread::sleep(Duration::from_millis(100));
    }
    let began = Instant::now();
    for growth in [&["ns", "mkdir", "/new"][..], &["ns", "create", "/kept/file"]] {
        let Output { status, stderr, .. } = cluster.verb(growth);
        let line = String::from_utf8_lossy(&stderr);
        assert!(!status.success() && line.contains("no room on the metadata servers' disks"), "{line}");
    }
    cluster.told(&["ns", "rmdir", "/removed"]);
    cluster.told(&["ns", "mv", "/kept", "/moved"]);
    assert_eq!(cluster.told(&["ns", "ls", "/"]), "moved\n");
    // A refusal by the clock would take sixty seconds, or ten.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    std::fs::remove_file(fill).expect("it is there");
    // The leader hears a moment later of the others that they have room again.
    let end = Instant::now() + Duration::from_secs(10);
    while !cluster.verb(&["ns", "mkdir", "/new"]).status.success() {
        assert!(Instant::now() < end, "there is room, and growth is refused");
        std::thread::sleep(Duration::from_millis(50));
    }
    cluster.stop();
}

fn verbs_do_what_they_say(cluster: &Cluster) {
    cluster.told(&["ns", "mkdir", "-p", "/a/b"]);
    cluster.told(&["ns", "mkdir", "-p", "/a/b"]);
    cluster.told(&["ns", "create", "/a/file", "--mode", "0640"]);
    cluster.told(&["ns", "ln", "/a/file", "/a/b/other"]);
    cluster.told(&["ns", "mv", "/a/file", "/a/moved"]);
    assert_eq!(cluster.told(&["ns", "ls", "/a"]).lines().collect::<BTreeSet<_>>(), ["b", "moved"].into());
    let stat: Value =
        serde_json::from_str(&cluster.told(&["ns", "stat", "/a/b/other", "--json"])).expect("JSON");
    assert_eq!((&stat["links"], &stat["mode"]), (&2.into(), &"0640".into()));
    for (arguments, wanted) in [
        (["ns", "rmdir", "/a"], "mooseng: /a: the directory is not empty\n"),
        (["ns", "rm", "/a/none"], "mooseng: /a/none: no such entry\n"),
        (["ns", "mkdir", "/a"], "mooseng: /a: the name is taken\n"),
    ] {
        let Output { status, stderr, .. } = cluster.verb(&arguments);
        assert_eq!((status.code(), String::from_utf8_lossy(&stderr).as_ref()), (Some(1), wanted));
    }
    nobody_need_read_what_is_printed(cluster);
}

/// As with `| head -1`: a verb ends without a word when its reader has.
fn nobody_need_read_what_is_printed(cluster: &Cluster) {
    let server = cluster.servers()[0].to_string();
    for arguments in
        [&["ns", "ls", "-l", "/a"][..], &["ns", "stat", "/a"], &["status"], &["status", "--json"]]
    {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_mooseng"));
        let command = command.args(arguments).args(["--servers", &server]).stdout(writer);
        let Output { status, stderr, .. } =
            command.stderr(Stdio::piped()).output().expect("the binary starts");
        assert_eq!(
            (status.code(), String::from_utf8_lossy(&stderr).as_ref()),
            (Some(1), ""),
            "{arguments:?}"
        );
    }
}

/// Files are created, and looked for by another session, while one server after another is killed
/// or held up, the leader most of the time. What was acknowledged is seen at once, and is there at
/// the end.
fn acknowledged_files_survive_kills(cluster: &Cluster) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let _entered = runtime.enter();
    let env = RealEnv::without_disk().expect("a machine");
    let open = || runtime.block_on(Session::open(&env, SessionConfig::new(cluster.servers())));
    let (session, witness) = (open().expect("a session"), open().expect("another"));
    let (stop, stopped) = std::sync::mpsc::channel();
    let writer = runtime.spawn(create_until(session.clone(), witness, stopped));
    for blow in 0..BLOWS {
        std::thread::sleep(Duration::from_millis(600));
        let server = if blow % 4 == 3 { 1 + blow as u64 % 3 } else { cluster.leader().unwrap_or(1) };
        let Some(process) = cluster.process(server) else { continue };
        if blow.is_multiple_of(2) {
            kill_process(process, Signal::KILL).expect("it can be killed");
        } else {
            kill_process(process, Signal::STOP).expect("it can be held up");
            std::thread::sleep(Duration::from_millis(1_200));
            kill_process(process, Signal::CONT).expect("it goes on");
        }
    }
    std::thread::sleep(Duration::from_millis(1_500));
    stop.send(()).expect("the writer goes on until it is told");
    let (acknowledged, pause) = runtime.block_on(writer).expect("the writer does not panic");
    eprintln!("{acknowledged} files over {BLOWS} blows; the longest pause between two was {pause:?}");
    assert!(acknowledged > 100, "hardly anything was done: {acknowledged} files");
    let there = runtime.block_on(names(&session));
    let missing: Vec<u64> = (0..acknowledged).filter(|file| !there.contains(&name(*file))).collect();
    assert!(missing.is_empty(), "acknowledged and gone: {missing:?}");
    runtime.block_on(session.close()).expect("the session ends");
}

fn name(file: u64) -> Bytes {
    Bytes::from(format!("file-{file}"))
}

/// How many files were acknowledged, and the longest time between two.
async fn create_until(
    session: Session<RealEnv>,
    witness: Session<RealEnv>,
    stopped: std::sync::mpsc::Receiver<()>,
) -> (u64, Duration) {
    let (mut count, mut pause, mut last) = (0, Duration::ZERO, Instant::now());
    while stopped.try_recv().is_err() {
        let (parent, name) = (InodeId::ROOT, Name::new(name(count)).expect("a good name"));
        let op = Op::Create { parent, name: name.clone(), mode: 0o644, uid: 0, gid: 0 };
        let created = session.mutate(&op).await.expect("the session outlives its servers");
        assert!(created.outcome.is_ok(), "file {count} was created once: {:?}", created.outcome);
        let seen = witness.query(&Query::Lookup { parent, name }).await.expect("so does the other");
        assert_eq!(seen.outcome, created.outcome, "file {count}: a read after its acknowledgement");
        count += 1;
        pause = pause.max(last.elapsed());
        last = Instant::now();
    }
    (count, pause)
}

async fn names(session: &Session<RealEnv>) -> BTreeSet<Bytes> {
    let mut names = BTreeSet::new();
    let mut cookie = 0;
    loop {
        let query = Query::ReadDir { directory: InodeId::ROOT, cookie, limit: 1_000 };
        let answered = session.query(&query).await.expect("an answer");
        let Ok(Answer::Entries { entries, end }) = answered.outcome else {
            panic!("the root is a directory: {:?}", answered.outcome);
        };
        cookie = entries.last().map_or(cookie, |last| last.cookie);
        names.extend(entries.into_iter().map(|entry| entry.name.into_bytes()));
        if end {
            return names;
        }
    }
}
