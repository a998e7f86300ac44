//! Kill -9 on a chunk server, `mooseng chunk`: parts of all sizes are put through its door from many
//! tasks, it is killed at a random moment and started again, and every part that was acknowledged is
//! read from it, leaf by leaf verified. At the end parts are given up, and stay gone.

use crate::support::Directory;
use bytes::Bytes;
use mooseng::machine::RealEnv;
use mooseng_core::chance::{self, Dice, mix};
use mooseng_core::checksum::{leaf_bad_first, leaves, sums_from_bytes, sums_to_bytes};
use mooseng_core::env::{Address, Body, Clock, Env};
use mooseng_core::id::{PartId, SliceId, Slot};
use mooseng_core::time::Instant;
use mooseng_net::proto::chunk::{
    ChunkClient, DeletePartsRequest, PartName, PartOutcome, PutPartRequest, ReadPartRequest,
};
use mooseng_net::rpc::{Channel, ChannelConfig};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const KILLS: u32 = 40;
/// The test ends early on a machine that is slower than this.
const SECONDS_MAX: u64 = 40;
/// Fewer would show nothing.
const KILLS_MIN: u32 = 8;
const WRITERS: u64 = 8;

/// A server that does not outlive the test.
struct Server(Child);

impl Server {
    fn start(data: &Path, address: &Address) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_mooseng"))
            .args(["chunk", "--server", "1", "--cluster", "7", "--segment", "1MiB", "--small", "64KiB"])
            // Nobody is there: it serves all the same.
            .args(["--metadata", "127.0.0.1:1"])
            .args(["--listen", address.as_str(), "--parent", &std::process::id().to_string(), "--data"])
            .arg(data)
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn part(number: u64) -> PartId {
    let slice = Slot::new(1).and_then(|slot| SliceId::new(0, slot, number)).expect("a slice");
    PartId { slice, index: 0 }
}

/// Bytes that say whose they are.
fn bytes(number: u64) -> Bytes {
    let length = match mix(number) % 10 {
        0 => 200_000,
        1 | 2 => 70_000,
        other => other as usize * 3_000,
    };
    (0..length).map(|at| mix(number << 20 ^ (at as u64 / 8)).to_le_bytes()[at % 8]).collect()
}

#[derive(Clone)]
struct Caller {
    env: RealEnv,
    client: Arc<ChunkClient<RealEnv>>,
}

impl Caller {
    fn new(address: &Address) -> Self {
        let env = RealEnv::without_disk().expect("a machine");
        let channel = Channel::new(&env, address.clone(), ChannelConfig::default());
        Self { env, client: Arc::new(ChunkClient::new(channel)) }
    }

    fn soon(&self) -> Instant {
        self.env.clock().now() + Duration::from_secs(5)
    }

    /// Was it acknowledged?
    async fn put(&self, number: u64) -> bool {
        let (part, data) = (part(number), bytes(number));
        let request = PutPartRequest {
            server: 1,
            slice: part.slice.raw(),
            index: 0,
            offset: 0,
            sums: sums_to_bytes(&leaves(part, 0, &data)).into(),
            seal: true,
            length: data.len() as u32,
        };
        match self.client.put(&request, Body::Bytes(data), self.soon()).await {
            Ok(reply) => {
                assert_eq!(reply.outcome(), PartOutcome::Done);
                true
            }
            Err(_) => false,
        }
    }

    /// The same, and nothing if it is not whole.
    async fn look(&self, number: u64) -> Option<Bytes> {
        let part = part(number);
        let request = ReadPartRequest { slice: part.slice.raw(), index: 0, offset: 0, length: 1 << 20 };
        for _ in 0..500 {
            if let Ok((reply, data)) = self.client.read(&request, self.soon()).await {
                let whole = reply.outcome() == PartOutcome::Done
                    && leaf_bad_first(part, 0, &data, &sums_from_bytes(&reply.sums)).is_none();
                return whole.then_some(data);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the server never answers");
    }

    /// What the server has of it, once it answers.
    async fn read(&self, number: u64) -> Option<Bytes> {
        let part = part(number);
        let request = ReadPartRequest { slice: part.slice.raw(), index: 0, offset: 0, length: 1 << 20 };
        for _ in 0..500 {
            if let Ok((reply, data)) = self.client.read(&request, self.soon()).await {
                if reply.outcome() == PartOutcome::Absent {
                    return None;
                }
                assert_eq!(reply.outcome(), PartOutcome::Done, "{part}");
                let sums = sums_from_bytes(&reply.sums);
                assert_eq!(leaf_bad_first(part, 0, &data, &sums), None, "{part}");
                return Some(data);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the server never answers");
    }
}

/// Puts parts until the server is killed; the numbers of those acknowledged.
async fn put_until_killed(
    address: &Address,
    next: &Arc<AtomicU64>,
    server: Server,
    life: Duration,
) -> Vec<u64> {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let begun = Arc::new(tokio::sync::Notify::new());
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (caller, next, kept, begun) =
                (Caller::new(address), next.clone(), kept.clone(), begun.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if caller.put(number).await {
                        kept.lock().expect("nothing panics here").push(number);
                        begun.notify_one();
                    } else {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            })
        })
        .collect();
    // A life counts from the first sign of it, so that a slow start does not use it up.
    begun.notified().await;
    tokio::time::sleep(life).await;
    drop(server);
    // What was acknowledged is heard, though the one who said it is gone.
    tokio::time::sleep(Duration::from_millis(20)).await;
    writers.iter().for_each(tokio::task::JoinHandle::abort);
    for writer in writers {
        let ended = writer.await;
        assert!(ended.is_err_and(|ended| ended.is_cancelled()), "a writer found what must not be");
    }
    std::mem::take(&mut kept.lock().expect("nothing panics here"))
}

#[test]
fn parts_that_were_acknowledged_survive_kill_9() {
    let directory = Directory::fresh();
    let port = 61_000 + std::process::id() % 4_000;
    let address = Address::new(format!("127.0.0.1:{port}"));
    let mut dice = chance::stream(u64::from(std::process::id()), "kill chunk", 0, 0);
    let begun = std::time::Instant::now();
    let next = Arc::new(AtomicU64::new(1));
    let mut kept: BTreeMap<u64, u32> = BTreeMap::new();
    let mut kills = 0;
    crate::runtime().block_on(async {
        while kills < KILLS && begun.elapsed() < Duration::from_secs(SECONDS_MAX) {
            let life = Duration::from_micros(dice.below(200_000));
            let server = Server::start(directory.path(), &address);
            let fresh = put_until_killed(&address, &next, server, life).await;
            kills += 1;
            let server = Server::start(directory.path(), &address);
            let caller = Caller::new(&address);
            for number in &fresh {
                let read = caller.read(*number).await;
                assert!(read == Some(bytes(*number)), "kill {kills} lost part {number}");
            }
            kept.extend(fresh.iter().map(|number| (*number, kills)));
            drop(server);
        }
        let gone: Vec<u64> = kept.keys().copied().filter(|number| number % 3 == 0).collect();
        let server = Server::start(directory.path(), &address);
        let caller = Caller::new(&address);
        assert!(caller.read(u64::from(u32::MAX)).await.is_none(), "it answers");
        for gone in gone.chunks(1_000) {
            let name = |number: &u64| PartName { slice: part(*number).slice.raw(), index: 0, incarnation: 0 };
            let request =
                DeletePartsRequest { server: 1, parts: gone.iter().map(name).collect(), moment: None };
            let reply = caller.client.delete(&request, caller.soon()).await.expect("it answers");
            assert!(reply.outcomes().all(|outcome| outcome == PartOutcome::Done));
        }
        drop(server);
        let _server = Server::start(directory.path(), &address);
        for (number, kill) in &kept {
            let read = caller.read(*number).await;
            let right = if number % 3 == 0 { read.is_none() } else { read == Some(bytes(*number)) };
            assert!(right, "part {number} of life {kill} is not as it should be");
        }
    });
    eprintln!("{kills} kills, {} acknowledged parts", kept.len());
    assert!(kills >= KILLS_MIN, "only {kills} kills in {SECONDS_MAX} s");
    assert!(kept.len() as u64 > u64::from(kills) * 2, "hardly anything was put: {}", kept.len());
}

/// Files of a store are cut short while nobody looks. The server starts all the same, what was in the others
/// is served, and what was in these is right or missing.
#[test]
fn what_a_cut_file_held_is_missing_and_nothing_else() {
    const PARTS: u64 = 120;
    let directory = Directory::fresh();
    let address = crate::support::address();
    crate::runtime().block_on(async {
        let server = Server::start(directory.path(), &address);
        let caller = Caller::new(&address);
        for number in 1..=PARTS {
            while !caller.put(number).await {}
        }
        drop(server);
        let store = directory.path().join("store");
        let largest = |directory: &Path| {
            let entries =
                std::fs::read_dir(directory).expect("it is there").map(|entry| entry.expect("an entry"));
            let files = entries.filter(|entry| entry.metadata().is_ok_and(|found| found.is_file()));
            files.max_by_key(|entry| entry.metadata().map_or(0, |found| found.len())).expect("a file").path()
        };
        let segments =
            std::fs::read_dir(&store).expect("it is there").map(|entry| entry.expect("an entry").path());
        let first = segments.filter(|path| path.is_file()).min().expect("a segment");
        for (path, kept) in [(largest(&store.join("parts")), 50_000), (first, 200_000)] {
            let file = std::fs::OpenOptions::new().write(true).open(&path).expect("it is there");
            file.set_len(kept).expect("it is cut");
        }
        let _server = Server::start(directory.path(), &address);
        let mut missing = 0;
        for number in 1..=PARTS {
            match caller.look(number).await {
                Some(found) => assert!(found == bytes(number), "part {number} has other bytes"),
                None => missing += 1,
            }
        }
        eprintln!("{missing} of {PARTS} parts were in what was cut");
        assert!((1..PARTS / 2).contains(&missing), "{missing} parts are missing");
        assert!(caller.put(PARTS + 1).await, "it takes new ones");
        assert_eq!(caller.read(PARTS + 1).await, Some(bytes(PARTS + 1)));
    });
}
