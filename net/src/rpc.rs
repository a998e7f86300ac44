//! Calls over frames: one multiplexed, pipelined connection per peer, for control and bulk data
//! alike. Every call has a deadline that travels with it, every queue a limit, every retry a budget;
//! a call whose caller went away is dropped where it is carried out. Knows nothing of what is called.
//!
//! A caller has a [`Channel`] for each peer; a server runs [`serve`] with a [`Handler`]. The services
//! of the .proto files come with traits, handlers and clients of their own types: see
//! [`crate::proto`]. What ends a call is a [`CallError`] or a [`Status`], whose kinds say what to do
//! and whether the call may have been carried out.
//!
//! Policies are plain state machines ([`backoff`], [`breaker`], [`liveness`], [`hello`], [`route`];
//! `table` for the calls of a channel; `desk` and `ledger` for those of a connection of a server);
//! `link` and `connection` move frames between them and the world, one task for each connection and
//! side.

mod alarm;
mod answers;
pub mod backoff;
pub mod breaker;
mod channel;
mod complaints;
mod config;
mod connection;
mod desk;
pub mod head;
pub mod hello;
mod ledger;
mod link;
pub mod liveness;
mod method;
mod payload;
mod room;
pub mod route;
mod server;
mod status;
mod table;

pub use channel::Channel;
pub use config::{ChannelConfig, ServerConfig, Share};
pub use method::{BodyOf, Call, ExtentOf, Handler, Incoming, Method, Reply, decode_request};
pub use payload::Payload;
pub use room::{Load, Rooms};
pub use server::serve;
pub use status::{CallError, Code, Status};

#[cfg(test)]
mod tests;
