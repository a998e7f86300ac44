//! The chunk server on the simulator's machine, as those who call it see it.
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod announce;
mod crash;
mod repair;
mod service;
mod world;
