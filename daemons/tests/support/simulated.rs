//! A host of turmoil as a machine: its TCP and its clock are simulated, and the frame code over them
//! is what production runs. The disk is the real one and is judged elsewhere.

use crate::support::Directory;
use mooseng::machine::{Halves, RealDisk, Streams, TcpNet};
use mooseng_core::env::{Address, Clock, Env};
use mooseng_core::event::Event;
use mooseng_core::time::{Instant, WallTime};
use rand_chacha::ChaCha8Rng;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use turmoil::net::{TcpListener, TcpStream};

/// The hosts of a pair.
pub(crate) const LISTENER: &str = "listener";
pub(crate) const DIALLER: &str = "dialler";

#[derive(Clone, Copy)]
pub(crate) struct Simulated;

impl Streams for Simulated {
    type Listener = TcpListener;
    type Reader = OwnedReadHalf;
    type Writer = OwnedWriteHalf;

    async fn connect(&self, address: &str) -> io::Result<Halves<Self>> {
        Ok(TcpStream::connect(address).await?.into_split())
    }

    /// A simulated host listens at every address it has.
    async fn bind(&self, address: &str) -> io::Result<(TcpListener, u16)> {
        let (_, port) = address.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
        let listener = TcpListener::bind(format!("0.0.0.0:{port}")).await?;
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    }

    async fn accept(listener: &mut TcpListener) -> io::Result<(Halves<Self>, SocketAddr)> {
        let (stream, peer) = listener.accept().await?;
        Ok((stream.into_split(), peer))
    }
}

/// The clock that a simulated host's runtime has.
pub(crate) struct VirtualClock {
    start: tokio::time::Instant,
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    fn wall(&self) -> WallTime {
        WallTime(0)
    }

    async fn sleep_until(&self, deadline: Instant) {
        tokio::time::sleep(deadline.since(self.now())).await;
    }
}

#[derive(Clone)]
pub(crate) struct Host(Arc<Parts>);

pub(crate) struct Parts {
    clock: VirtualClock,
    disk: RealDisk,
    net: TcpNet<Simulated>,
}

impl Env for Host {
    type Clock = VirtualClock;
    type Disk = RealDisk;
    type Net = TcpNet<Simulated>;

    fn clock(&self) -> &VirtualClock {
        &self.0.clock
    }

    fn disk(&self) -> &RealDisk {
        &self.0.disk
    }

    fn net(&self) -> &TcpNet<Simulated> {
        &self.0.net
    }

    fn rng(&self, purpose: &'static str, key: u64) -> ChaCha8Rng {
        mooseng_core::chance::stream(0, purpose, 0, key)
    }

    fn spawn(&self, _name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    async fn compute<T: Send + 'static>(&self, _bytes: usize, job: impl FnOnce() -> T + Send + 'static) -> T {
        job()
    }

    fn buggify(&self, _point: &'static str) -> bool {
        false
    }

    fn note(&self, _event: Event) {}

    fn halt(&self, reason: String) {
        panic!("halted: {reason}");
    }
}

/// Runs on the host whose clock it takes.
pub(crate) fn host(disk: RealDisk) -> Host {
    let clock = VirtualClock { start: tokio::time::Instant::now() };
    Host(Arc::new(Parts { clock, disk, net: TcpNet::new(Simulated) }))
}

/// Runs two sides on two hosts, the listening one under the name in the address.
pub(crate) fn run_pair<A, B>(
    listen: impl FnOnce(Host, Address) -> A + 'static,
    dial: impl FnOnce(Host, Address) -> B + 'static,
) where
    A: Future<Output = ()> + 'static,
    B: Future<Output = ()> + 'static,
{
    // Disks work on threads of their own in real time, while virtual time runs on.
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let entered = threads.enter();
    let (one, two) = (Directory::fresh(), Directory::fresh());
    let disk = |directory: &Directory| RealDisk::open(directory.path()).expect("a disk");
    let disks = (disk(&one), disk(&two));
    drop(entered);
    let address = Address::new(format!("{LISTENER}:9419"));
    let mut sim = turmoil::Builder::new()
        .rng_seed(1)
        .simulation_duration(Duration::from_secs(600))
        .max_message_latency(Duration::from_millis(10))
        .build();
    let running = Arc::new(AtomicU32::new(2));
    sim.client(LISTENER, on_host(listen, disks.0, address.clone(), running.clone()));
    sim.client(DIALLER, on_host(dial, disks.1, address, running));
    sim.run().expect("both sides come to a good end");
}

/// A host that is done refuses nothing any more, it is silent: so it stays until the other is done.
async fn on_host<F: Future<Output = ()>>(
    side: impl FnOnce(Host, Address) -> F,
    disk: RealDisk,
    address: Address,
    running: Arc<AtomicU32>,
) -> turmoil::Result {
    side(host(disk), address).await;
    running.fetch_sub(1, Ordering::Relaxed);
    while running.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
