//! The door. All that logic may know of the world passes through one type parameter, [`Env`]:
//! a cheap handle, cloned into every task. There are two machines behind it, the simulator and the
//! daemons, and one suite of tests that both must pass.
//!
//! Generics, not `dyn`: only static types tie a file's extent to the socket that sends it.

mod disk;
mod net;
mod wait;

#[cfg(feature = "contract")]
pub mod contract;

pub use disk::{Disk, DiskError, Extent, File, OpenMode, Space};
pub use net::{
    Accepted, Address, Body, Conn, FRAME_BODY_BYTES_MAX, FRAME_HEAD_BYTES_MAX, Frame, FrameReceiver,
    FrameSender, Listener, Net, NetError, Received,
};
pub use wait::{Elapsed, sleep, timeout, timeout_at};

use crate::event::Event;
use crate::time::{Instant, WallTime};
use rand_chacha::ChaCha8Rng;
use std::future::Future;

/// A node's handle on its machine.
pub trait Env: Clone + Send + Sync + 'static {
    type Clock: Clock;
    type Disk: Disk;
    type Net: Net<Extent = <Self::Disk as Disk>::Extent>;

    fn clock(&self) -> &Self::Clock;
    fn disk(&self) -> &Self::Disk;
    fn net(&self) -> &Self::Net;

    /// A stream of dice for (this node, `purpose`, `key`). In the simulator the same three always
    /// give the same stream; in production it is drawn from the system's entropy.
    fn rng(&self, purpose: &'static str, key: u64) -> ChaCha8Rng;

    /// Starts a task that dies with its node. Code in its destructors does no I/O.
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static);

    /// Runs heavy pure work over `bytes` bytes: off the reactor thread in production, charged as
    /// virtual time in the simulator.
    fn compute<T: Send + 'static>(
        &self,
        bytes: usize,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send;

    /// Should rarely taken but legal behaviour be taken here? Always false in production.
    fn buggify(&self, point: &'static str) -> bool;

    /// Tells the machine of a change of state.
    fn note(&self, event: Event);

    /// Stops this server, for a reason an operator reads in one line (a failed sync, say). In the
    /// simulator the node's tasks are dropped before the caller's next await returns.
    fn halt(&self, reason: String);
}

/// A node's clocks.
pub trait Clock: Send + Sync + 'static {
    /// Monotonic, counting through suspensions (CLOCK_BOOTTIME). Clocks of two nodes may drift
    /// apart within the documented bound.
    fn now(&self) -> Instant;

    /// Wall time: it may step, freeze or lie.
    fn wall(&self) -> WallTime;

    /// Resolves at or after `deadline`; at once if that has passed. Dropping it cancels it.
    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send;
}
