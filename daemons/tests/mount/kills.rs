//! Round after round something is killed with `kill -9` while programs write, read and rename: the
//! metadata servers' leader, a chunk server, both, all servers, the mount. Nothing that was synced is
//! lost, no program is told of an error unless its own mount died, and how long each round held a
//! program up is printed. A round of each kind; `MOOSENG_KILL_ROUNDS=20` makes it more.

use super::{Mounted, Second};
use crate::support::Directory;
use crate::{Cluster, process_with};
use mooseng_core::chance::{self, Dice, mix};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const CHUNK_SERVERS: u64 = 5;
/// Each makes files at the mount that is killed now and then.
const WRITERS: usize = 2;
/// The writers, one that renames, one that reads at another mount.
const WORKERS: usize = WRITERS + 2;
/// A program that waits longer than this waits for ever.
const STALL_MAX: Duration = Duration::from_secs(50);
/// How long work goes on between two kills at least.
const QUIET: Duration = Duration::from_millis(1_200);
/// From so many rounds on the median of stalls is held against the promise.
const ROUNDS_MANY: usize = 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Victim {
    Leader,
    ChunkServer,
    LeaderAndChunkServer,
    AllServers,
    Mount,
}

const VICTIMS: [Victim; 5] =
    [Victim::Leader, Victim::ChunkServer, Victim::LeaderAndChunkServer, Victim::AllServers, Victim::Mount];

#[test]
fn nothing_synced_is_lost_when_servers_are_killed() {
    const CASE: &str = "nothing_synced_is_lost_when_servers_are_killed";
    if let Some(lacking) = super::lacking() {
        return eprintln!("skipped: {CASE}: {lacking}");
    }
    let rounds =
        std::env::var("MOOSENG_KILL_ROUNDS").map_or(VICTIMS.len(), |text| text.parse().expect("a number"));
    let point = Directory::fresh();
    let cluster = Cluster::start_with_chunks(point.path(), CHUNK_SERVERS as u32, &[]);
    let mounted = Mounted { point, cluster };
    let second = Second::start(&mounted.cluster, &[]);
    until("all chunk servers are there", || chunks_alive(&mounted.cluster) == CHUNK_SERVERS as usize);
    let watch = Watch::default();
    for worker in 0..WORKERS {
        fs::create_dir(mounted.path(&format!("worker-{worker}"))).expect("it is new");
    }
    let stalls = std::thread::scope(|scope| {
        let (here, there) = (mounted.point.path(), second.point.path());
        for worker in 0..WRITERS {
            scope.spawn({
                let watch = &watch;
                move || write_files(watch, worker, &here.join(format!("worker-{worker}")))
            });
        }
        scope.spawn(|| rename_directories(&watch, WRITERS, &here.join(format!("worker-{WRITERS}"))));
        scope.spawn(|| read_files(&watch, WRITERS + 1, there));
        let _ended = Ended(&watch);
        let mut dice = chance::stream(u64::from(std::process::id()), "kills", 0, 0);
        (0..rounds)
            .map(|round| kill(&mounted, &watch, &mut dice, VICTIMS[round % VICTIMS.len()]))
            .collect::<Vec<_>>()
    });
    let errors = watch.errors.into_inner().expect("nobody panicked");
    assert!(errors.is_empty(), "programs were told of errors: {errors:#?}");
    let kept = watch.kept.into_inner().expect("nobody panicked");
    // Whoever has seen none of it finds all of it.
    let witness = Second::start(&mounted.cluster, &[]);
    for kept in &kept {
        kept.check(witness.point.path()).unwrap_or_else(|error| panic!("{}: {error}", kept.path.display()));
    }
    drop((witness, second));
    summarize(&stalls, kept.len());
    mounted.stop();
}

fn summarize(stalls: &[(Victim, Duration)], kept: usize) {
    for victim in VICTIMS {
        let mut of =
            stalls.iter().filter(|(of, _)| *of == victim).map(|(_, stall)| *stall).collect::<Vec<_>>();
        of.sort();
        let Some(median) = of.get(of.len() / 2) else { continue };
        eprintln!(
            "{victim:?}: {} kills, stalls: median {median:?}, longest {:?}",
            of.len(),
            of[of.len() - 1]
        );
        let promised = victim != Victim::Leader || *median < Duration::from_secs(1);
        assert!(promised || stalls.len() < ROUNDS_MANY, "a leader is replaced within a second");
    }
    eprintln!("{} rounds, {kept} synced files, none of them lost", stalls.len());
    assert!(kept > 20 * stalls.len(), "hardly anything was done: {kept} files");
}

/// What workers tell each other.
#[derive(Default)]
struct Watch {
    /// The longest that anything has taken since this was last set to nothing.
    longest_micros: AtomicU64,
    /// How much each worker has done.
    done: [AtomicU64; WORKERS],
    /// The first mount is dead, and who uses it may be told so.
    unmounted: AtomicBool,
    stop: AtomicBool,
    errors: Mutex<Vec<String>>,
    kept: Mutex<Vec<Kept>>,
}

/// Work ends when this goes, for whatever reason.
struct Ended<'a>(&'a Watch);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

impl Watch {
    fn going(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// `None` if it failed.
    fn timed<T>(&self, worker: usize, what: &str, mut work: impl FnMut() -> io::Result<T>) -> Option<T> {
        let unmounted = || worker <= WRITERS && self.unmounted.load(Ordering::Relaxed);
        let (before, begun) = (unmounted(), Instant::now());
        let done = work();
        self.longest_micros.fetch_max(begun.elapsed().as_micros() as u64, Ordering::Relaxed);
        match done {
            Ok(done) => {
                self.done[worker].fetch_add(1, Ordering::Relaxed);
                Some(done)
            }
            Err(_) if before || unmounted() => {
                std::thread::sleep(Duration::from_millis(20));
                None
            }
            Err(error) => {
                let line = format!("worker {worker}: {what}: {error} after {:?}", begun.elapsed());
                self.errors.lock().expect("nobody panics here").push(line);
                None
            }
        }
    }
}

/// A file that was synced.
#[derive(Clone)]
struct Kept {
    /// Below the mount point.
    path: PathBuf,
    noise: u64,
    length: usize,
}

impl Kept {
    fn bytes(&self) -> Vec<u8> {
        let words = (0..self.length.div_ceil(8) as u64).flat_map(|word| mix(self.noise ^ word).to_le_bytes());
        words.take(self.length).collect()
    }

    fn check(&self, point: &Path) -> io::Result<()> {
        let found = fs::read(point.join(&self.path))?;
        if found == self.bytes() { Ok(()) } else { Err(io::Error::other("other bytes than were written")) }
    }
}

fn write_files(watch: &Watch, worker: usize, directory: &Path) {
    let mut dice = chance::stream(u64::from(std::process::id()), "writer", worker as u64, 0);
    for number in 0.. {
        if !watch.going() {
            return;
        }
        let name = format!("file-{number}");
        let length = dice.below(*dice.clone().pick(&[1_000, 20_000, 300_000])) as usize;
        let kept =
            Kept { path: Path::new(&format!("worker-{worker}")).join(&name), noise: dice.word(), length };
        let bytes = kept.bytes();
        let path = directory.join(&name);
        let Some(mut file) = watch.timed(worker, "create", || fs::File::create_new(&path)) else { continue };
        let synced = watch.timed(worker, "write", || file.write_all(&bytes)).is_some()
            && watch.timed(worker, "fsync", || file.sync_all()).is_some();
        if synced {
            watch.kept.lock().expect("nobody panics here").push(kept);
        }
    }
}

/// Every operation takes effect once: what was made and moved is found where it was moved to.
fn rename_directories(watch: &Watch, worker: usize, directory: &Path) {
    for number in 0.. {
        if !watch.going() {
            return;
        }
        let (made, moved) =
            (directory.join(format!("made-{number}")), directory.join(format!("moved-{number}")));
        let _ = watch.timed(worker, "mkdir", || fs::create_dir(&made)).is_some()
            && watch.timed(worker, "rename", || fs::rename(&made, &moved)).is_some()
            && watch.timed(worker, "stat", || fs::metadata(&moved)).is_some()
            && watch.timed(worker, "rmdir", || fs::remove_dir(&moved)).is_some();
    }
}

/// Reads what was synced at the other mount.
fn read_files(watch: &Watch, worker: usize, point: &Path) {
    let mut dice = chance::stream(u64::from(std::process::id()), "reader", 0, 0);
    while watch.going() {
        let kept = {
            let all = watch.kept.lock().expect("nobody panics here");
            // Mostly something new.
            let from = if dice.chance(700_000) { all.len().saturating_sub(20) } else { 0 };
            all.get(from + dice.below((all.len() - from).max(1) as u64) as usize).cloned()
        };
        match kept {
            Some(kept) => {
                let what = format!("read {}", kept.path.display());
                watch.timed(worker, &what, || kept.check(point));
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn until(what: &str, reached: impl Fn() -> bool) {
    let end = Instant::now() + STALL_MAX;
    while !reached() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn chunks_alive(cluster: &Cluster) -> usize {
    let status = cluster.status();
    let servers = status["chunk_servers"].as_array().map_or(&[][..], Vec::as_slice);
    servers.iter().filter(|server| server["life"] == "alive" && server["parts"].is_u64()).count()
}

/// Everything runs, and everything has all its parts.
fn whole(cluster: &Cluster) -> bool {
    let status = cluster.status();
    let slices = &status["slices"];
    let known = cluster.groups().values().filter(|group| group["leader"].as_u64() > Some(0)).count();
    known == crate::SERVERS as usize
        && chunks_alive(cluster) == CHUNK_SERVERS as usize
        && (&slices["lacking"], &slices["lost"]) == (&0.into(), &0.into())
}

/// Kills and waits until everybody works again; how long somebody was held up.
fn kill(mounted: &Mounted, watch: &Watch, dice: &mut impl Dice, victim: Victim) -> (Victim, Duration) {
    let cluster = &mounted.cluster;
    std::thread::sleep(QUIET + Duration::from_millis(dice.below(300)));
    // What a server missed while it was down is made up for before the next one goes.
    until("everything is whole again", || whole(cluster));
    let leader = || cluster.process(cluster.leader()?);
    let chunk = |number: u64| cluster.chunk_process(101 + number);
    let one = dice.below(CHUNK_SERVERS);
    let victims: Vec<Pid> = match victim {
        Victim::Leader => leader().into_iter().collect(),
        Victim::ChunkServer => chunk(one).into_iter().collect(),
        Victim::LeaderAndChunkServer => leader().into_iter().chain(chunk(one)).collect(),
        Victim::AllServers => {
            let metadata = (1..=u64::from(crate::SERVERS)).filter_map(|server| cluster.process(server));
            metadata.chain((0..CHUNK_SERVERS).filter_map(chunk)).collect()
        }
        Victim::Mount => process_with("mount", mounted.point.path()).into_iter().collect(),
    };
    assert!(!victims.is_empty(), "{victim:?}: nobody to kill");
    watch.unmounted.store(victim == Victim::Mount, Ordering::Relaxed);
    watch.longest_micros.store(0, Ordering::Relaxed);
    victims.iter().for_each(|process| kill_process(*process, Signal::KILL).expect("it can be killed"));
    let begun = Instant::now();
    if victim == Victim::Mount {
        until("it is mounted again", || mounted.path("worker-0").is_dir());
    }
    // Everybody has begun something after the kill and done it, and so did those that it reaches late.
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(750));
        let before: Vec<u64> = watch.done.iter().map(|done| done.load(Ordering::Relaxed)).collect();
        until("everybody works again", || {
            watch.done.iter().zip(&before).all(|(done, before)| done.load(Ordering::Relaxed) > before + 1)
        });
    }
    let stall = match victim {
        // What its own users meet is told as an error, not as a wait.
        Victim::Mount => begun.elapsed().saturating_sub(Duration::from_millis(1_500)),
        _ => Duration::from_micros(watch.longest_micros.load(Ordering::Relaxed)),
    };
    watch.unmounted.store(false, Ordering::Relaxed);
    eprintln!("{victim:?} killed: held up for {stall:?} at most");
    (victim, stall)
}
