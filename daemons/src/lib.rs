//! The real world: the machine that runs every role of a cluster on an operating system.
//!
//! What runs on it lives in the other crates and cannot tell it from the simulator.

#![warn(clippy::print_stderr, reason = "a reader may go away: tell with `stderr::tell`")]

pub mod calendar;
pub mod cli;
pub mod fuse;
pub mod grpc;
pub mod http;
pub mod machine;
pub mod settings;
mod stderr;
