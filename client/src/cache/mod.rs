//! What a session was told and keeps, to answer from while its leases last. [`Table`] decides and knows no
//! clock; [`crate::session`] asks it first, tells it what was answered, and polls for recalls.

mod directory;
mod known;
mod leases;
mod table;
mod tenant;

#[cfg(test)]
mod tests;

pub use leases::{Granted, Recalled, Sent};
pub use table::{Changing, Dropped, Table};
pub(crate) use tenant::Tenant;
pub use tenant::{Beyond, Cache};

/// How much is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheConfig {
    pub inodes_max: usize,
    pub bytes_max: usize,
    /// Leases held, also on what was pushed out: with more all are given up, before the service gives no
    /// more of them.
    pub leases_max: usize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { inodes_max: 40_000, bytes_max: 64 << 20, leases_max: 50_000 }
    }
}
