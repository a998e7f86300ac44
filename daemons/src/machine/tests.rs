//! What only this machine promises: how it starts and stops, and what it answers when the world
//! is not as it should be.

use super::*;
use bytes::Bytes;
use mooseng_core::env::{
    Address, Body, Conn, Disk, DiskError, File, Frame, FrameReceiver, FrameSender, Listener, Net, NetError,
    OpenMode,
};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

struct Directory(PathBuf);

impl Directory {
    fn fresh() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("mooseng-unit-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs `test` with a machine, its directory, and what it halted for.
fn run<F: Future<Output = ()>>(test: impl FnOnce(RealEnv, PathBuf, Receiver<String>) -> F) {
    let directory = Directory::fresh();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (halt, halted) = channel();
    runtime.block_on(async {
        let env = RealEnv::start_with(&directory.0, move |reason| {
            let _ = halt.send(reason.to_owned());
        });
        let limit = Duration::from_secs(30);
        let test = test(env.unwrap(), directory.0.clone(), halted);
        tokio::time::timeout(limit, test).await.expect("the test hangs");
    });
}

fn refusal(path: &std::path::Path) -> String {
    RealDisk::open(path).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn machines_on_one_file_system_say_the_same_of_it() {
    run(|one, path, _| async move {
        let beside = Directory::fresh();
        let other = RealEnv::start(&beside.0).unwrap();
        assert_ne!(one.file_system(), 0);
        assert_eq!(one.file_system(), other.file_system());
        assert_eq!(RealEnv::without_disk().unwrap().file_system(), 0);
        let elsewhere = PathBuf::from("/dev/shm").join(beside.0.file_name().unwrap());
        let device = |path: &std::path::Path| std::fs::metadata(path).map(|found| found.dev()).ok();
        // Where there is no such file system, or it is the same, there is nothing to tell apart.
        if device(&path) != device("/dev/shm".as_ref()) && std::fs::create_dir(&elsewhere).is_ok() {
            let elsewhere = Directory(elsewhere);
            assert_ne!(RealEnv::start(&elsewhere.0).unwrap().file_system(), one.file_system());
        }
    });
}

#[test]
fn a_data_directory_that_cannot_serve_is_refused_in_one_line() {
    run(|env, path, _| async move {
        let taken = refusal(&path);
        assert!(taken.contains("in use by another process; stop that process"), "{taken}");
        let missing = refusal(&path.join("missing"));
        assert!(missing.ends_with("missing: not there; create it, or name another one"), "{missing}");
        std::fs::write(path.join("file"), b"x").unwrap();
        let file = refusal(&path.join("file"));
        assert!(file.ends_with("file: no directory; name a directory"), "{file}");
        drop(env);
    });
}

#[test]
fn a_directory_is_free_again_when_its_machine_is_gone() {
    run(|env, path, _| async move {
        drop(env);
        assert!(RealDisk::open(&path).is_ok());
    });
}

#[test]
fn a_disk_that_is_not_there_refuses_everything() {
    run(|_, _, _| async {
        let env = RealEnv::without_disk().unwrap();
        let refused = env.disk().open("file", OpenMode::New).await.map(|_| ());
        assert!(matches!(refused, Err(DiskError::Io { .. })), "{refused:?}");
        assert!(env.disk().space().await.is_err());
    });
}

#[test]
fn names_that_are_no_text_are_an_answer() {
    run(|env, path, _| async move {
        use std::os::unix::ffi::OsStrExt;
        std::fs::write(path.join(std::ffi::OsStr::from_bytes(b"\xff")), b"x").unwrap();
        let refused = env.disk().list("").await;
        assert!(matches!(refused, Err(DiskError::Io { .. })), "{refused:?}");
    });
}

/// `/dev/full` takes no bytes and cannot be synced.
#[test]
fn a_full_disk_and_a_failed_sync_are_told_apart() {
    run(|env, path, _| async move {
        std::os::unix::fs::symlink("/dev/full", path.join("full")).unwrap();
        let file = env.disk().open("full", OpenMode::Existing).await.unwrap();
        let full = file.write_at(0, Bytes::from_static(b"x")).await;
        assert_eq!(full, Err(DiskError::NoSpace { path: "full".to_owned() }));
        assert!(matches!(file.sync().await, Err(DiskError::Io { .. })));
        let again = env.disk().open("full", OpenMode::Existing).await.unwrap();
        let Err(DiskError::Io { what, .. }) = again.sync().await else {
            panic!("a file that could not be synced was synced");
        };
        assert!(what.starts_with("a sync failed before"), "another handle knows: {what}");
    });
}

/// What is in memory is read at once or by a thread beside; both give the same, also at the end of a file.
#[test]
fn short_reads_and_long_ones_give_the_same() {
    run(|env, _, _| async move {
        let disk = env.disk();
        let file = disk.open("file", OpenMode::New).await.expect("a new file");
        let bytes: Vec<u8> = (0..200_000u32).map(|at| (at % 251) as u8).collect();
        file.write_at(0, bytes.clone().into()).await.expect("it is written");
        for (offset, len) in
            [(0, 1), (4_095, 2), (100_000, 65_536), (100_000, 65_537), (199_999, 9), (200_000, 9)]
        {
            let there = &bytes[offset.min(bytes.len())..(offset + len).min(bytes.len())];
            assert_eq!(file.read_at(offset as u64, len).await.as_deref(), Ok(there), "{len} at {offset}");
        }
        let extent = file.extent(199_000, 1_000).await.expect("it lies within");
        assert_eq!(extent.read_at_once().as_deref().unwrap_or(&bytes[199_000..]), &bytes[199_000..]);
        assert!(file.extent(199_000, 1_001).await.is_err());
    });
}

#[test]
fn a_taken_port_is_one_line_with_a_remedy() {
    run(|env, _, _| async move {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::new(taken.local_addr().unwrap().to_string());
        let error = env.net().listen(&address).await.map(|_| ()).unwrap_err().to_string();
        let remedy = "cannot listen: the port is in use; stop who uses it or name another";
        assert_eq!(error, format!("{address}: {remedy}"));
    });
}

#[test]
fn what_is_no_address_is_an_answer() {
    run(|env, _, _| async move {
        for bad in ["", "nonsense", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "[::1:1", "no host:1"] {
            let address = Address::new(bad);
            let listen = env.net().listen(&address).await.map(|_| ());
            assert!(matches!(listen, Err(NetError::Listen { .. })), "{bad:?}: {listen:?}");
            let connect = env.net().connect(&address).await.map(|_| ());
            assert!(matches!(connect, Err(NetError::Unreachable { .. })), "{bad:?}: {connect:?}");
        }
    });
}

#[test]
fn halting_and_panicking_stop_the_server() {
    run(|env, _, halted| async move {
        env.halt("the disk is gone".to_owned());
        assert_eq!(halted.recv().unwrap(), "the disk is gone");
        env.spawn("good", async {});
        env.spawn("bad", async { panic!("on purpose") });
        assert_eq!(halted.recv().unwrap(), "the task `bad` panicked: this is a bug");
    });
}

type Halves = (TcpSender<Tcp>, TcpReceiver<Tcp>);

/// A connection of ours, and the far end as a bare socket.
async fn connection(env: &RealEnv) -> (Halves, TcpStream) {
    let mut listener = env.net().listen(&Address::new("127.0.0.1:0")).await.unwrap();
    let stranger = TcpStream::connect(listener.address().as_str()).unwrap();
    stranger.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (listener.accept().await.unwrap().conn.split(), stranger)
}

fn small() -> Frame<RealExtent> {
    Frame { head: Bytes::from_static(b"head"), body: Body::Bytes(Bytes::from_static(b"body")) }
}

/// Both directions are over for the stranger, and for us.
async fn assert_cut_off((mut sender, _receiver): Halves, mut stranger: TcpStream) {
    assert_eq!(stranger.read(&mut [0; 16]).unwrap_or(0), 0, "the stranger is cut off");
    let refused = sender.send(small()).await;
    assert!(matches!(refused, Err(NetError::Closed { .. })), "{refused:?}");
}

#[test]
fn rubbish_is_cut_off() {
    run(|env, _, _| async move {
        let mut good = mooseng_net::frame::encode(&small()).unwrap().to_vec();
        good.extend_from_slice(b"body");
        let flipped = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 0x40;
            bytes
        };
        let last = good.len() - 1;
        for bytes in
            [b"GET / HTTP/1.1\r\nHost: moose\r\n\r\n".to_vec(), flipped(5), flipped(25), flipped(last)]
        {
            let ((sender, mut receiver), mut stranger) = connection(&env).await;
            stranger.write_all(&bytes).unwrap();
            let found = receiver.recv().await;
            assert!(matches!(found, Err(NetError::Rubbish { .. })), "{found:?}");
            assert_cut_off((sender, receiver), stranger).await;
        }
    });
}

#[test]
fn an_end_within_a_frame_is_no_good_order() {
    run(|env, _, _| async move {
        let mut whole = mooseng_net::frame::encode(&small()).unwrap().to_vec();
        whole.extend_from_slice(b"body");
        for len in [1, 23, 24, 25, 28, whole.len() - 1] {
            let ((sender, mut receiver), mut stranger) = connection(&env).await;
            stranger.write_all(&whole).unwrap();
            stranger.write_all(&whole[..len]).unwrap();
            stranger.shutdown(std::net::Shutdown::Write).unwrap();
            assert!(receiver.recv().await.unwrap().is_some(), "the whole frame is there");
            let found = receiver.recv().await;
            assert!(matches!(found, Err(NetError::Closed { .. })), "after {len} bytes: {found:?}");
            assert_cut_off((sender, receiver), stranger).await;
        }
    });
}

/// The far end reads nothing, so the second of two large frames is under way when it is dropped.
#[test]
fn a_dropped_send_ends_its_own_receiver_too() {
    run(|env, _, _| async move {
        let ((mut sender, mut receiver), stranger) = connection(&env).await;
        let body = Bytes::from(vec![7; 16 << 20]);
        let large = || Frame { head: Bytes::new(), body: Body::Bytes(body.clone()) };
        let both = async {
            sender.send(large()).await.unwrap();
            sender.send(large()).await.unwrap();
        };
        assert!(tokio::time::timeout(Duration::from_millis(200), both).await.is_err(), "nobody reads");
        let found = receiver.recv().await;
        assert!(matches!(found, Err(NetError::Closed { .. })), "{found:?}");
        drop(stranger);
    });
}

#[test]
fn an_extent_whose_file_was_cut_closes_the_connection() {
    run(|env, _, _| async move {
        let file = env.disk().open("file", OpenMode::New).await.unwrap();
        file.write_at(0, Bytes::from(vec![1; 10_000])).await.unwrap();
        let extent = file.extent(0, 10_000).await.unwrap();
        file.set_len(5_000).await.unwrap();
        let ((mut sender, _receiver), _stranger) = connection(&env).await;
        let sent = sender.send(Frame { head: Bytes::new(), body: Body::Extent(extent) }).await;
        assert!(matches!(sent, Err(NetError::Closed { .. })), "{sent:?}");
    });
}
