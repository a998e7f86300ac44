//! The journal on a machine that fails.

use super::StreamId;

mod behaviour;
mod crash;
mod damage;
mod format;
mod refusal;
mod workload;
