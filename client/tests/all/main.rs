//! The drivers of the client on the simulator's machine: against chunk servers that keep parts in
//! memory and misbehave on request, and against the servers that there really are.
#![allow(clippy::unwrap_used, reason = "this is a test")]

mod chunk;
mod data;
mod file;
mod meta;
mod numbers;
mod plants;
mod whole;
