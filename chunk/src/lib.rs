//! The chunk server: keeps the parts of slices on its disk, hands them out as they lie there, gives
//! them up when it is told to, and makes lost ones from others. It knows no file and no slice's
//! meaning: what is unknown to it is never garbage, and what nobody needs any more is decided
//! elsewhere.
//!
//! [`incoming`] holds what is said of parts on their way in, [`rebuild`] the plan of a repair,
//! [`rebuilt`] what repairs were answered with, [`presence`] what the metadata servers are to be told; all are plain state. [`server`] carries
//! things out.

mod incoming;
mod presence;
mod rebuild;
mod rebuilt;
mod server;

pub use server::{ChunkServerConfig, ServerError, run};
