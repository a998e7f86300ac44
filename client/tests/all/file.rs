//! Open files: what was written is read, by this mount at once and by others when it is committed;
//! what failed is told.

use crate::chunk::World;
use crate::meta::{Books, Meta};
use bytes::Bytes;
use mooseng_client::data::{Store, StoreConfig};
use mooseng_client::file::{FileConfig, FileError, Files, OpenFile, Size};
use mooseng_core::chance::{Dice, stream};
use mooseng_core::env::{Env, sleep};
use mooseng_core::id::{IdKind, InodeId, PartId, ServerId, Slot};
use mooseng_sim::machine::{Fault, NodeConfig, NodeId, SimEnv};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) type Handle = OpenFile<SimEnv, Meta>;

pub(crate) struct Cluster {
    pub(crate) world: World,
    pub(crate) books: Arc<Mutex<Books>>,
    pub(crate) mount: Mount,
}

/// The files of one client.
#[derive(Clone)]
pub(crate) struct Mount {
    node: NodeId,
    files: Files<SimEnv, Meta>,
    books: Arc<Mutex<Books>>,
}

impl Mount {
    /// As a mount does: looks at the attributes, then opens.
    pub(crate) fn open(&self, number: u64, class: &str) -> Handle {
        let inode = inode(number);
        let size = {
            let mut books = self.books.lock().unwrap();
            let file = books.files.entry(inode).or_default();
            Size { bytes: file.size, version: file.version }
        };
        self.files.open(inode, class.parse().unwrap(), size)
    }
}

pub(crate) fn inode(number: u64) -> InodeId {
    InodeId::new(0, IdKind::File, Slot::new(7).unwrap(), number).unwrap()
}

fn small() -> FileConfig {
    FileConfig {
        flush_bytes: 64 << 10,
        slice_bytes_max: 48 << 10,
        file_unwritten_max: 512 << 10,
        unwritten_max: 1 << 20,
        dirty_age: Duration::from_millis(50),
        map_age: Duration::from_millis(20),
        ahead_bytes_max: 256 << 10,
        ..FileConfig::default()
    }
}

impl Cluster {
    pub(crate) fn new(seed: u64, servers: u64, config: FileConfig) -> Self {
        let store = StoreConfig { write_max: Duration::from_secs(4), ..StoreConfig::default() };
        let world = World::with(seed, servers, store);
        let books = Arc::<Mutex<Books>>::default();
        let meta = Meta::new(world.sim.env(world.client), books.clone(), world.servers.clone());
        let env = world.sim.env(world.client);
        let files = Files::new(&env, config, world.store.clone(), meta);
        let mount = Mount { node: world.client, files, books: books.clone() };
        Self { world, books, mount }
    }

    /// Another client of the same cluster.
    fn other(&mut self, name: &str, config: FileConfig) -> Mount {
        let node = self.world.sim.add_node(name, NodeConfig::default());
        self.world.sim.boot_idle(node);
        let env = self.world.sim.env(node);
        let store = Store::new(&env, StoreConfig::default(), self.world.directory.clone());
        let meta = Meta::new(env.clone(), self.books.clone(), self.world.servers.clone());
        Mount { node, files: Files::new(&env, config, store, meta), books: self.books.clone() }
    }

    pub(crate) fn run<T, F>(&mut self, mount: &Mount, task: impl FnOnce(Mount) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let task = task(mount.clone());
        self.world.sim.run(mount.node, Duration::from_secs(300), task).expect("the task ends")
    }

    fn env(&self) -> SimEnv {
        self.world.sim.env(self.world.client)
    }
}

fn noise(dice: &mut impl Dice, length: usize) -> Vec<u8> {
    (0..length).map(|_| dice.word() as u8).collect()
}

/// Against a plain vector of bytes, while servers die and return.
async fn random_ops(env: SimEnv, mount: Mount, number: u64, steps: u32) -> Vec<u8> {
    let mut dice = env.rng("operations", number);
    let class = ["copies=2", "copies=3", "ec=2+2"][number as usize % 3];
    let handles = [mount.open(number, class), mount.open(number, class)];
    let mut model: Vec<u8> = Vec::new();
    for step in 0..steps {
        let file = dice.pick(&handles);
        let offset = dice.below(model.len() as u64 + 40_000);
        match dice.below(20) {
            0..8 => {
                let small = dice.chance(600_000);
                let length = dice.between(0, if small { 5_000 } else { 150_000 }) as usize;
                let bytes = noise(&mut dice, length);
                file.write(offset, &bytes).await.unwrap();
                let end = offset as usize + length;
                if length > 0 {
                    model.resize(model.len().max(end), 0);
                    model[offset as usize..end].copy_from_slice(&bytes);
                }
            }
            8..16 => {
                let length = dice.between(0, 200_000) as usize;
                let read = file.read(offset, length).await.unwrap();
                let from = model.len().min(offset as usize);
                let to = model.len().min(from + length);
                assert!(read == model[from..to], "file {number}, step {step}: {from}..{to}");
            }
            16 => {
                let size = dice.below(model.len() as u64 * 5 / 4 + 1);
                file.truncate(size).await.unwrap();
                model.resize(size as usize, 0);
            }
            17 => file.fsync().await.unwrap(),
            _ => sleep(&env, Duration::from_millis(dice.below(80))).await,
        }
        assert_eq!(file.size(), model.len() as u64, "file {number}, step {step}");
    }
    handles[0].flush().await.unwrap();
    model
}

#[test]
fn whatever_is_done_it_reads_as_one_file() {
    for seed in 0..6 {
        let mut cluster = Cluster::new(seed, 7, small());
        let env = cluster.env();
        for server in 1..=7u64 {
            let at = Duration::from_millis(40 + server * 60);
            let control = cluster.world.sim.control().clone();
            let (env, node) = (env.clone(), cluster.world.client);
            cluster.world.sim.spawn(node, "fault", async move {
                sleep(&env, at).await;
                let node = format!("chunk-{server}");
                control.apply(&Fault::Kill { node, restart_ms: Some(100) }).unwrap();
            });
        }
        let mount = cluster.mount.clone();
        let models = cluster.run(&mount, |mount| async move {
            let files = (1..=4).map(|number| random_ops(env.clone(), mount.clone(), number, 60));
            futures::future::join_all(files).await
        });
        let other = cluster.other("other", small());
        for (model, number) in models.into_iter().zip(1..) {
            let read = cluster.run(&other, |mount| async move {
                let file = mount.open(number, "copies=2");
                file.read(0, usize::MAX >> 1).await.unwrap()
            });
            assert!(read == model, "seed {seed}, file {number}: another mount reads something else");
        }
        assert_eq!(cluster.books.lock().unwrap().unkept, []);
    }
}

/// A writer appends; whoever looks sees the beginning of it, never a hole or a piece out of order.
#[test]
fn others_see_what_was_written_first_first() {
    let mut cluster = Cluster::new(11, 6, small());
    let reader = cluster.other("reader", FileConfig { map_age: Duration::ZERO, ..small() });
    let data: Bytes = noise(&mut stream(1, "", 0, 0), 3_000_000).into();
    let (env, whole) = (cluster.env(), data.clone());
    let writer = cluster.mount.clone();
    cluster.world.sim.spawn(writer.node, "writer", async move {
        let file = writer.open(1, "copies=2");
        let mut dice = env.rng("writer", 0);
        let mut at = 0;
        while at < whole.len() {
            let end = whole.len().min(at + dice.between(1, 90_000) as usize);
            file.write(at as u64, &whole[at..end]).await.unwrap();
            at = end;
            if dice.chance(300_000) {
                sleep(&env, Duration::from_micros(dice.below(3_000))).await;
            }
        }
        file.flush().await.unwrap();
    });
    let mut sizes = Vec::new();
    for _ in 0..200 {
        let read = cluster.run(&reader, |mount| async move {
            let file = mount.open(1, "copies=2");
            file.read(0, 1 << 30).await.unwrap()
        });
        assert!(read == data[..read.len()], "{} bytes are no beginning", read.len());
        sizes.push(read.len());
        cluster.world.sim.run_for(Duration::from_millis(1));
        if read.len() == data.len() {
            break;
        }
    }
    sizes.dedup();
    assert!(sizes.len() > 5 && sizes.last() == Some(&data.len()), "{sizes:?}");
}

#[test]
fn what_failed_sticks_to_the_handle() {
    let mut cluster = Cluster::new(12, 3, small());
    for server in cluster.world.servers.values() {
        server.kept().full = true;
    }
    let mount = cluster.mount.clone();
    let full = cluster.world.servers.clone();
    cluster.run(&mount, |mount| async move {
        let file = mount.open(1, "copies=2");
        file.write(0, b"lost").await.unwrap();
        assert_eq!(file.read(0, 9).await.unwrap(), &b"lost"[..]);
        for _ in 0..2 {
            assert!(matches!(file.fsync().await, Err(FileError::NoSpace { .. })));
            assert!(matches!(file.write(0, b"more").await, Err(FileError::NoSpace { .. })));
            assert!(matches!(file.flush().await, Err(FileError::NoSpace { .. })));
        }
        assert_eq!((file.size(), file.read(0, 9).await.unwrap()), (0, Bytes::new()));
        full.values().for_each(|server| server.kept().full = false);
        let anew = mount.open(1, "copies=2");
        anew.write(0, b"kept").await.unwrap();
        anew.fsync().await.unwrap();
        assert!(file.fsync().await.is_err(), "what this handle wrote is still lost");
        assert_eq!(anew.read(0, 9).await.unwrap(), &b"kept"[..]);
    });
    assert!(!cluster.books.lock().unwrap().abandoned.is_empty(), "slices that failed are given back");
}

#[test]
fn a_commit_that_fails_is_told_and_its_slices_are_given_back() {
    let mut cluster = Cluster::new(13, 3, small());
    cluster.books.lock().unwrap().commit_error = Some(FileError::TimedOut { what: "nobody".to_owned() });
    let mount = cluster.mount.clone();
    cluster.run(&mount, |mount| async move {
        let file = mount.open(1, "copies=2");
        file.write(0, b"lost").await.unwrap();
        assert!(matches!(file.flush().await, Err(FileError::TimedOut { .. })));
    });
    assert_eq!(cluster.books.lock().unwrap().abandoned.len(), 1);
}

/// However long the servers are silent: what is held stays within its bounds, of one file and of
/// all, and goes on when they answer.
#[test]
fn a_writer_waits_while_too_much_is_unwritten() {
    let config = small();
    let (file_max, all_max) = (config.file_unwritten_max, config.unwritten_max);
    let mut cluster = Cluster::new(14, 3, config);
    cluster.world.servers.values().for_each(|server| server.kept().puts_left = Some(0));
    let taken = Arc::new(Mutex::new([0usize; 4]));
    let (mount, env) = (cluster.mount.clone(), cluster.env());
    for writer in 0..4usize {
        let (mount, env, taken) = (mount.clone(), env.clone(), taken.clone());
        cluster.world.sim.spawn(mount.node, "writer", async move {
            let file = mount.open(writer as u64 + 1, "copies=2");
            let block = noise(&mut env.rng("block", writer as u64), 50_000);
            for step in 0..60 {
                file.write(step * 50_000, &block).await.unwrap();
                taken.lock().unwrap()[writer] += block.len();
            }
            file.flush().await.unwrap();
            assert_eq!(file.read(2_950_000, 1 << 20).await.unwrap(), block);
            taken.lock().unwrap()[writer] = usize::MAX;
        });
    }
    cluster.world.sim.run_for(Duration::from_millis(500));
    let held = *taken.lock().unwrap();
    assert!(held.iter().all(|held| *held <= file_max) && held.iter().sum::<usize>() <= all_max, "{held:?}");
    assert!(held.iter().sum::<usize>() > all_max / 2, "{held:?}: room that nobody uses");
    cluster.world.servers.values().for_each(|server| server.kept().puts_left = None);
    cluster.world.sim.run_for(Duration::from_secs(60));
    assert_eq!(*taken.lock().unwrap(), [usize::MAX; 4]);
}

/// Repair moves a part, and collection takes the old one: a reader with an old map finds it.
#[test]
fn a_part_that_moved_is_found() {
    let mut cluster = Cluster::new(15, 4, FileConfig { map_age: Duration::from_secs(100), ..small() });
    let mount = cluster.mount.clone();
    let data: Bytes = noise(&mut stream(2, "", 0, 0), 30_000).into();
    let written = data.clone();
    let file = cluster.run(&mount, |mount| async move {
        let file = mount.open(1, "copies=2");
        file.write(0, &written).await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(file.read(100, 100).await.unwrap(), written[100..200]);
        file
    });
    let slice = cluster.books.lock().unwrap().files[&inode(1)].extents[0].slice;
    let mut info = cluster.books.lock().unwrap().slices[&slice].clone();
    let unused: Vec<u64> = (1..=4).filter(|server| !info.parts.contains(&Some(ServerId(*server)))).collect();
    for (index, target) in unused.into_iter().enumerate() {
        let part = PartId { slice, index: index as u8 };
        let source = info.parts[index].replace(ServerId(target)).unwrap();
        let moved = cluster.world.server(source).kept().sealed.remove(&part).unwrap();
        cluster.world.server(ServerId(target)).kept().sealed.insert(part, moved);
    }
    cluster.books.lock().unwrap().slices.insert(slice, info);
    let file = cluster.run(&mount, |_| async move {
        assert_eq!(file.read(0, 1 << 20).await.unwrap(), data);
        file
    });
    // When it is nowhere, it is lost, and that is said soon.
    cluster.world.servers.values().for_each(|server| server.kept().sealed.clear());
    cluster.run(&mount, |_| async move {
        assert!(matches!(file.read(0, 100).await, Err(FileError::Io { .. })));
    });
}

#[test]
fn what_was_closed_before_an_open_is_seen() {
    let old_maps = FileConfig { map_age: Duration::from_secs(100), ..small() };
    let mut cluster = Cluster::new(16, 3, old_maps.clone());
    let other = cluster.other("other", old_maps);
    let mount = cluster.mount.clone();
    for round in 0..4u8 {
        cluster.run(&mount, |mount| async move {
            let file = mount.open(1, "copies=2");
            file.write(0, &vec![round; 200_000]).await.unwrap();
            file.flush().await.unwrap();
        });
        cluster.run(&other, |mount| async move {
            let file = mount.open(1, "copies=2");
            assert_eq!(file.read(50_000, 100_000).await.unwrap(), vec![round; 100_000]);
        });
    }
}

/// Reading ahead changes when bytes are read, not how often, and never what is seen.
#[test]
fn a_stream_is_read_once_and_ahead() {
    let config = FileConfig { ahead_bytes_max: 4 << 20, ..FileConfig::default() };
    let mut cluster = Cluster::new(17, 3, config.clone());
    let mount = cluster.mount.clone();
    let data: Bytes = noise(&mut stream(3, "", 0, 0), 12 << 20).into();
    let written = data.clone();
    cluster.run(&mount, |mount| async move {
        let file = mount.open(1, "copies=2");
        file.write(0, &written).await.unwrap();
        file.flush().await.unwrap();
    });
    let mut took = Vec::new();
    for (name, ahead_max) in [("plain", 0), ("ahead", 256 << 20)] {
        let reads =
            |cluster: &Cluster| cluster.world.servers.values().map(|server| server.kept().reads).sum::<u32>();
        let before = reads(&cluster);
        let reader = cluster.other(name, FileConfig { ahead_max, ..config.clone() });
        let begun = cluster.world.sim.now();
        let whole = data.clone();
        cluster.run(&reader, |mount| async move {
            let file = mount.open(1, "copies=2");
            for at in (0..whole.len()).step_by(128 << 10) {
                let read = file.read(at as u64, 128 << 10).await.unwrap();
                assert!(read == whole[at..at + read.len()]);
            }
        });
        took.push((cluster.world.sim.now().since(begun), reads(&cluster) - before));
    }
    let [(plain, plain_reads), (ahead, ahead_reads)] = took[..] else { panic!("two readers") };
    assert!(ahead * 2 < plain, "ahead {ahead:?}, plain {plain:?}");
    assert!(ahead_reads * 2 < plain_reads, "ahead {ahead_reads} reads, plain {plain_reads}");
}

/// However slowly it is read: nothing is read twice.
#[test]
fn a_slow_stream_is_read_once() {
    let config = FileConfig { ahead_bytes_max: 4 << 20, ..FileConfig::default() };
    let mut cluster = Cluster::new(21, 3, config);
    let mount = cluster.mount.clone();
    let env = cluster.env();
    cluster.run(&mount, |mount| async move {
        let file = mount.open(1, "copies=1");
        file.write(0, &vec![7; 6 << 20]).await.unwrap();
        file.flush().await.unwrap();
        for at in (0..6u64 << 20).step_by(128 << 10) {
            assert_eq!(file.read(at, 128 << 10).await.unwrap(), vec![7; 128 << 10]);
            sleep(&env, Duration::from_millis(200)).await;
        }
    });
    let bytes: u64 = cluster.world.servers.values().map(|server| server.kept().read_bytes).sum();
    assert!(bytes < 13 << 19, "{bytes} bytes of {}", 6 << 20);
}

/// Many small files in one directory: numbers of slices are asked for once in a while.
#[test]
fn slices_are_granted_ahead() {
    let mut cluster = Cluster::new(18, 3, small());
    let mount = cluster.mount.clone();
    cluster.run(&mount, |mount| async move {
        for number in 1..=40 {
            let file = mount.open(number, "copies=2");
            file.write(0, &[1; 500]).await.unwrap();
            file.flush().await.unwrap();
        }
    });
    let books = cluster.books.lock().unwrap();
    assert_eq!((books.commits, books.grants_asked), (40, 3));
}

/// Scattered writes fill a chunk's list; runs of it are written anew, and nothing changes but that.
#[test]
fn a_fragmented_chunk_is_written_anew() {
    let mut cluster = Cluster::new(19, 4, FileConfig { slice_bytes_max: 512 << 10, ..small() });
    cluster.books.lock().unwrap().extents_max = Some(60);
    let mount = cluster.mount.clone();
    let env = cluster.env();
    let model = cluster.run(&mount, |mount| async move {
        let file = mount.open(1, "copies=2");
        let mut dice = env.rng("scattered", 0);
        let mut model = vec![0u8; 2_000_000];
        for round in 1..200u8 {
            let at = dice.below(1_999_900) as usize;
            file.write(at as u64, &[round; 100]).await.unwrap();
            model[at..at + 100].fill(round);
            if round % 20 == 0 {
                file.fsync().await.unwrap();
            }
        }
        file.flush().await.unwrap();
        model.truncate(file.size() as usize);
        assert!(file.read(0, 1 << 22).await.unwrap() == model);
        model
    });
    assert!(cluster.books.lock().unwrap().compactions > 0);
    let other = cluster.other("other", small());
    cluster.run(&other, |mount| async move {
        assert!(mount.open(1, "copies=2").read(0, 1 << 22).await.unwrap() == model);
    });
}

/// Numbers that are kept for other slots are given back when there are no more to be had.
#[test]
fn numbers_that_lie_idle_are_given_back() {
    let mut cluster = Cluster::new(20, 3, small());
    cluster.books.lock().unwrap().pending_max = Some(20);
    let mount = cluster.mount.clone();
    cluster.run(&mount, |mount| async move {
        for slot in 1..=6 {
            let inode = InodeId::new(0, IdKind::File, Slot::new(slot).unwrap(), 1).unwrap();
            let file = mount.files.open(inode, "copies=2".parse().unwrap(), Size { bytes: 0, version: 0 });
            file.write(0, &[1; 500]).await.unwrap();
            file.flush().await.unwrap();
        }
    });
    assert!(cluster.books.lock().unwrap().abandoned.len() > 20);
}

/// One hand asks to open a file, another closes it, and only then is the first one answered: what that
/// answer says is older than what the mount knows.
#[test]
fn an_open_that_was_answered_late_sees_what_was_closed_here() {
    let mut cluster = Cluster::new(21, 3, small());
    let mount = cluster.mount.clone();
    cluster.run(&mount, |mount| async move {
        let asked = Size { bytes: 0, version: 0 };
        let file = mount.open(1, "copies=2");
        file.write(0, &[1; 500]).await.unwrap();
        file.flush().await.unwrap();
        drop(file);
        let late = mount.files.open(inode(1), "copies=2".parse().unwrap(), asked);
        assert_eq!(late.read(0, 1_000).await.unwrap(), [1; 500][..]);
        drop(late);
        let cut_elsewhere = {
            let mut books = mount.books.lock().unwrap();
            let file = books.files.get_mut(&inode(1)).unwrap();
            (file.size, file.version) = (0, file.version + 1);
            Size { bytes: 0, version: file.version }
        };
        let cut = mount.files.open(inode(1), "copies=2".parse().unwrap(), cut_elsewhere);
        assert!(cut.read(0, 1_000).await.unwrap().is_empty(), "what is newer counts");
    });
}
