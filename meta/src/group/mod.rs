//! A Raft group: several replicas, on as many servers, that apply one log. The pure ring is
//! [`replica::Replica`] and what it is made of; [`driver`] moves values between it, the journal,
//! the network and the state that the log is about.
//!
//! The pure ring knows no clock, no dice, no disk and no network; time is an argument, wishes come
//! out as values. raft-rs rolls dice of its own for election timeouts, which are overwritten after
//! every call into it.

pub mod ambiguity;
pub mod check;
pub mod config;
pub mod contacts;
pub mod driver;
pub mod election;
pub mod handle;
pub mod inbox;
pub mod lease;
pub mod leases;
pub mod log;
pub mod members;
pub mod opens;
pub mod records;
pub mod recovery;
pub mod replica;
pub mod room;
pub mod stream;
pub mod trail;
pub mod wire;

pub use config::GroupConfig;
pub use members::Members;
pub use replica::Replica;
