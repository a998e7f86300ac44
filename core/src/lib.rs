//! What everything else in MooseNG stands on: the door to the world ([`env`]), time, ids, chance,
//! checksums, the vocabulary of the namespace, and the pure rules of data: storage classes, erasure
//! coding, placement.
//!
//! Nothing here knows a socket, a file system or a clock. A machine (the simulator, the daemons)
//! implements [`env::Env`]; logic is written against it and cannot tell which one it runs on.

pub mod chance;
pub mod checksum;
pub mod class;
pub mod env;
pub mod erasure;
pub mod event;
pub mod extent;
pub mod id;
pub mod namespace;
pub mod placement;
pub mod plant;
pub mod time;
