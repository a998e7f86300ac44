//! What a shard's state machine costs: operations per second, bytes of memory per empty file, and
//! how long `apply` is held up while an image of a million files is taken beside it.

#![allow(clippy::disallowed_methods, reason = "a bench measures the world, with its clock and its files")]

use criterion::{BatchSize, Criterion, Throughput};
use mooseng_core::chance::mix;
use mooseng_core::id::{InodeId, SessionId};
use mooseng_core::namespace::{Answer, Caller, Name, Op, Query, RenameMode};
use mooseng_core::time::{Stamp, WallTime};
use mooseng_meta::apply::apply;
use mooseng_meta::command::{Command, CommandKind, Reply};
use mooseng_meta::image::{image, restore};
use mooseng_meta::query::query;
use mooseng_meta::state::{State, StateConfig};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const FILES: u64 = 1_000_000;
const FILES_PER_DIRECTORY: u64 = 1_000;

/// A state and the one client that asks of it, one request after the other.
#[derive(Clone)]
struct Shard {
    state: State,
    session: SessionId,
    sequence: u64,
    directories: Vec<InodeId>,
    /// Which of the files bear their other name.
    renamed: Vec<bool>,
}

impl Shard {
    fn new(directories: u64, files: u64) -> Self {
        let state = State::new(StateConfig::default());
        let renamed = vec![false; files as usize];
        let mut shard = Self { state, session: SessionId(0), sequence: 0, directories: Vec::new(), renamed };
        let Reply::Session { session } =
            shard.apply(CommandKind::OpenSession { nonce: [1; 16], caches: false })
        else {
            panic!("a session opens");
        };
        shard.session = session;
        for number in 0..directories {
            let name = name(&format!("directory-{number}"));
            let made = shard.ask(Op::Mkdir { parent: InodeId::ROOT, name, mode: 0o755, uid: 1, gid: 1 });
            shard.directories.push(made.expect("a directory is made"));
        }
        shard
    }

    fn apply(&mut self, kind: CommandKind) -> Reply {
        let index = self.state.applied() + 1;
        let command = Command { time: WallTime(index as i64), stamp: Stamp(index), region: 0, kind };
        apply(&mut self.state, index, &command).reply
    }

    /// The inode that the answer is about.
    fn ask(&mut self, op: Op) -> Option<InodeId> {
        self.sequence += 1;
        let (session, sequence) = (self.session, self.sequence);
        let slot = op.slot();
        match self.apply(CommandKind::Mutate {
            session,
            sequence,
            low_water: sequence,
            slot,
            op,
            caller: Caller::ROOT,
        }) {
            Reply::Outcome { outcome: Ok(Answer::Attr(attr)), .. } => Some(attr.inode),
            Reply::Outcome { outcome: Ok(Answer::Done), .. } => None,
            other => panic!("carried out, not {other:?}"),
        }
    }

    fn directory(&self, number: u64) -> InodeId {
        self.directories[(number / FILES_PER_DIRECTORY) as usize % self.directories.len()]
    }

    fn create(&mut self, number: u64) {
        let parent = self.directory(number);
        self.ask(Op::Create { parent, name: file_name(number), mode: 0o644, uid: 1, gid: 1 });
    }

    /// To its other name, or back.
    fn rename(&mut self, number: u64) {
        let mut names = [file_name(number), name(&format!("renamed-{number:07}"))];
        let renamed = &mut self.renamed[number as usize];
        if *renamed {
            names.reverse();
        }
        *renamed = !*renamed;
        let [source_name, target_name] = names;
        let (source_parent, target_parent) = (self.directory(number), self.directory(number));
        let mode = RenameMode::Replace;
        self.ask(Op::Rename { source_parent, source_name, target_parent, target_name, mode });
    }
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes().to_vec()).expect("a name that may stand")
}

fn file_name(number: u64) -> Name {
    name(&format!("file-{number:07}"))
}

/// The resident memory of this process.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).and_then(|word| word.parse().ok());
    kilobytes.unwrap_or(0_u64) * 1024
}

fn report_memory() -> Shard {
    let mut shard = Shard::new(FILES / FILES_PER_DIRECTORY, FILES);
    let before = resident_bytes();
    let start = Instant::now();
    (0..FILES).for_each(|number| shard.create(number));
    let rate = FILES as f64 / start.elapsed().as_secs_f64();
    let resident = (resident_bytes() - before) as f64 / FILES as f64;
    let own = shard.state.footprint() as f64 / FILES as f64;
    println!("a million empty files in a thousand directories, made at {rate:.0} a second");
    println!("  bytes per file: {resident:.1} resident, {own:.1} by the trees' own account");
    shard
}

/// The processor time this thread has had: other tenants of the machine do not show in it.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// Applies renames and creations for a while and says how long single ones took.
fn apply_while(shard: &mut Shard, first: u64, go_on: impl Fn() -> bool) -> String {
    let (mut wall, mut own) = (Vec::with_capacity(4 << 20), Vec::with_capacity(4 << 20));
    let mut number = first;
    while go_on() {
        let (start, start_own) = (Instant::now(), processor_time());
        if number.is_multiple_of(2) {
            shard.rename(mix(number) % FILES);
        } else {
            shard.create(number);
        }
        own.push(processor_time() - start_own);
        wall.push(start.elapsed());
        number += 1;
    }
    let say = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100_000];
        format!("median {:?}, 99.9 % below {:?}, the longest {:?}", at(50_000), at(99_900), at(100_000))
    };
    let (own, wall, count) = (say(&mut own), say(&mut wall), number - first);
    format!("{count} applied\n    processor time: {own}\n    wall time:      {wall}")
}

fn report_pause(shard: &mut Shard) {
    let alone = Instant::now();
    let said = apply_while(shard, 2 * FILES, || alone.elapsed() < Duration::from_secs(1));
    println!("apply alone, for a second: {said}");

    let start = Instant::now();
    let frozen = shard.state.clone();
    let cloned = start.elapsed();
    let hash = frozen.hash();
    let done = AtomicBool::new(false);
    let mut chunks = Vec::new();
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            chunks.extend(image(&frozen));
            done.store(true, Ordering::Release);
        });
        apply_while(shard, 20 * FILES, || !done.load(Ordering::Acquire))
    });
    let took = start.elapsed();
    let bytes: usize = chunks.iter().map(|chunk| chunk.len()).sum();
    println!("image: clone {cloned:?}, {} MB written in {took:?}", bytes >> 20);
    println!("  meanwhile: {said}");
    let start = Instant::now();
    let restored = restore(chunks).expect("the image is sound");
    println!("  restored in {:?}", start.elapsed());
    assert_eq!(restored.hash(), hash, "what is restored is what was frozen");
    let own = restored.footprint() as f64 / restored.inodes_count() as f64;
    println!("  bytes per file when restored: {own:.1} by the trees' own account");
}

fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    group.throughput(Throughput::Elements(1_000));
    let mut base = Shard::new(100, 100_000);
    (0..100_000).for_each(|number| base.create(number));
    group.bench_function("create", |bencher| {
        let make = |mut shard: Shard| {
            (0..1_000).for_each(|number| shard.create(200_000 + mix(number) % 100_000_000));
            shard
        };
        bencher.iter_batched(|| base.clone(), make, BatchSize::PerIteration);
    });
    group.bench_function("rename", |bencher| {
        let rename = |mut shard: Shard| {
            (0..1_000).for_each(|number| shard.rename(number * 97 % 100_000));
            shard
        };
        bencher.iter_batched(|| base.clone(), rename, BatchSize::PerIteration);
    });
    group.bench_function("lookup", |bencher| {
        let ask = |number: u64| {
            let number = mix(number) % 100_000;
            let lookup = Query::Lookup { parent: base.directory(number), name: file_name(number) };
            assert!(query(&base.state, &Caller::ROOT, &lookup).is_ok());
        };
        bencher.iter(|| (0..1_000).for_each(ask));
    });
    group.bench_function("list", |bencher| {
        let listing = Query::ReadDir { directory: base.directories[0], cookie: 0, limit: 1_000 };
        bencher.iter(|| black_box(query(&base.state, &Caller::ROOT, &listing)));
    });
    group.finish();
}

fn main() {
    // `cargo test` runs a bench for a moment, to see that it runs.
    if std::env::args().any(|argument| argument == "--bench") {
        let mut shard = report_memory();
        report_pause(&mut shard);
    }
    let mut criterion = Criterion::default().configure_from_args();
    measure(&mut criterion);
    criterion.final_summary();
}
