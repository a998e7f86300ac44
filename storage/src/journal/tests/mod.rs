//! The journal on a machine that fails.

mod crash;
mod workload;
