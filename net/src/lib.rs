//! How MooseNG's parts talk: the bytes of a frame, the messages and services, and calls over one
//! multiplexed connection per peer. Knows no socket (frames go through [`mooseng_core::env`]) and
//! nothing of what a message asks for.

pub mod belonging;
pub mod convert;
pub mod frame;
pub mod proto;
pub mod rpc;

#[cfg(test)]
mod testing;
