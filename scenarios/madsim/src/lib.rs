//! An [`Env`](mooseng_core::env::Env) over madsim, an outside simulator: the same logic, under
//! somebody else's clock, network and order of tasks. It is there to disagree with `sim`, and to show
//! where logic asks the world behind the door's back.
//!
//! It shares nothing with `sim`: what is modelled here is modelled again, smaller, and without faults
//! of disks or clocks. madsim draws latencies, losses and the order of tasks; it stands in for the C
//! library's clock and entropy calls, which is why it must be the only world of its binary.

#[cfg(not(madsim))]
compile_error!("madsim is switched on by a cfg: start cargo in scenarios/madsim, with RUSTFLAGS unset");

mod disk;
mod env;
mod host;
mod net;
mod run;
mod trail;
mod world;

pub use env::MadEnv;
pub use host::Host;
pub use run::{Surroundings, run, seeds};
pub use trail::{Entry, Trail};
pub use world::World;
