//! The machine that is this computer: tokio, sockets, files, the kernel's clocks and entropy. Knows
//! nothing of what runs on it. Only here may a crate of ours ask the world directly.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this module is the door's far side: somebody has to ask the world"
)]

mod clock;
mod disk;
mod log;
mod net;
mod pool;

pub use clock::BootClock;
pub use disk::{RealDisk, RealExtent, RealFile};
pub(crate) use net::why_not;
pub use net::{Halves, Streams, Tcp, TcpNet, TcpReceiver, TcpSender};

use crate::stderr;
use log::Log;
use mooseng_core::env::Env;
use mooseng_core::event::Event;
use pool::Pool;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rustix::rand::{GetRandomFlags, getrandom};
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Handle;

/// How the process exits when its server had to stop: EX_SOFTWARE of sysexits.h.
pub const HALTED: i32 = 70;
/// Work over fewer bytes than this costs less than handing it to another thread.
const COMPUTE_BYTES_MIN: usize = 256 << 10;

/// Why a machine could not be set up: one line for whoever started the process.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StartError {
    #[error("data directory {path}: {what}; {remedy}")]
    Data { path: String, what: String, remedy: &'static str },
    #[error("the system gives no entropy: {what}")]
    Entropy { what: String },
}

/// What `halt` does with its reason. It must not return in production.
type Halt = Box<dyn Fn(&str) + Send + Sync>;

/// A handle on this computer, with one directory of it as the disk.
#[derive(Clone)]
pub struct RealEnv(Arc<Inner>);

struct Inner {
    clock: BootClock,
    disk: RealDisk,
    net: TcpNet<Tcp>,
    runtime: Handle,
    compute: Pool,
    log: Log,
    halt: Halt,
}

impl RealEnv {
    /// Takes the data directory for this process alone. Must be called on a tokio runtime, which
    /// must outlive the machine.
    pub fn start(data: &Path) -> Result<Self, StartError> {
        Self::start_with(data, exit)
    }

    /// As [`Self::start`], with another end than the process's.
    pub fn start_with(data: &Path, halt: impl Fn(&str) + Send + Sync + 'static) -> Result<Self, StartError> {
        Self::assemble(RealDisk::open(data)?, Box::new(halt))
    }

    /// For a process that keeps nothing: every use of its disk is refused.
    pub fn without_disk() -> Result<Self, StartError> {
        Self::assemble(RealDisk::absent(), Box::new(exit))
    }

    /// Names the file system that the disk is a directory of: whoever shares it has the same number. 0: nobody
    /// knows.
    pub fn file_system(&self) -> u64 {
        self.0.disk.file_system()
    }

    fn assemble(disk: RealDisk, halt: Halt) -> Result<Self, StartError> {
        draw_seed().map_err(|error| StartError::Entropy { what: error.to_string() })?;
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
        Ok(Self(Arc::new(Inner {
            clock: BootClock,
            disk,
            net: TcpNet::new(Tcp),
            runtime: Handle::current(),
            compute: Pool::new(threads),
            log: Log::start(),
            halt,
        })))
    }
}

fn exit(reason: &str) {
    stderr::tell(format_args!("stopped: {reason}"));
    std::process::exit(HALTED)
}

fn draw_seed() -> rustix::io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    let mut drawn = 0;
    while drawn < seed.len() {
        drawn += getrandom(&mut seed[drawn..], GetRandomFlags::empty())?;
    }
    Ok(seed)
}

impl Env for RealEnv {
    type Clock = BootClock;
    type Disk = RealDisk;
    type Net = TcpNet<Tcp>;

    fn clock(&self) -> &BootClock {
        &self.0.clock
    }

    fn disk(&self) -> &RealDisk {
        &self.0.disk
    }

    fn net(&self) -> &TcpNet<Tcp> {
        &self.0.net
    }

    fn rng(&self, _purpose: &'static str, _key: u64) -> ChaCha8Rng {
        // Drawing worked when the machine was set up, and never stops working after that.
        ChaCha8Rng::from_seed(draw_seed().expect("the kernel's entropy was there before"))
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let watch = PanicWatch { env: self.clone(), name };
        self.0.runtime.spawn(async move {
            let _watch = watch;
            task.await;
        });
    }

    async fn compute<T: Send + 'static>(&self, bytes: usize, job: impl FnOnce() -> T + Send + 'static) -> T {
        if bytes < COMPUTE_BYTES_MIN { job() } else { self.0.compute.run(job).await }
    }

    fn buggify(&self, _point: &'static str) -> bool {
        false
    }

    fn note(&self, event: Event) {
        self.0.log.tell(&event);
    }

    fn halt(&self, reason: String) {
        (self.0.halt)(&reason);
    }
}

/// A task that panics leaves its server half alive, which is worse than stopped.
struct PanicWatch {
    env: RealEnv,
    name: &'static str,
}

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.env.halt(format!("the task `{}` panicked: this is a bug", self.name));
        }
    }
}

#[cfg(test)]
mod tests;
