//! The limits of a shard. They are part of its state: replicas that disagreed about them would
//! apply the same command differently. Chosen when the group is made.

use super::record::{Reader, Sink};
use mooseng_core::namespace::LINKS_MAX;

/// Limits that every replica of a group shares, for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StateConfig {
    /// How many bits of a name's hash are part of its cookie; the rest, up to 63, tells names with
    /// the same hash apart. Few bits make collisions common.
    pub name_hash_bits: u32,
    /// The first counter a slot gives to an inode. 1 is the root directory's.
    pub first_counter: u64,
    /// The first replica id that is allotted; lower ones belong to the founders of the group.
    pub first_replica: u64,
    /// The most names a file may have, and the most links a directory.
    pub links_max: u32,
    /// How many consecutive requests of one session may be on their way at once: so many answers
    /// are kept for it at most.
    pub session_window: u64,
    /// The most sessions at once.
    pub sessions_max: u64,
    /// The most extents of one chunk.
    pub extents_max: u32,
    /// The most pending slices of one session.
    pub pending_max: u32,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self {
            name_hash_bits: 55,
            first_counter: 2,
            first_replica: 1_000,
            links_max: LINKS_MAX,
            session_window: 256,
            sessions_max: 100_000,
            extents_max: 1_024,
            pending_max: 4_096,
        }
    }
}

impl StateConfig {
    /// One line naming the value that makes no sense.
    pub fn check(&self) -> Result<(), String> {
        let wrong = |name: &str, range: &str| Err(format!("{name} must be {range}"));
        if self.name_hash_bits > 60 {
            return wrong("name_hash_bits", "0 to 60");
        }
        if !(2..=1 << 44).contains(&self.first_counter) {
            return wrong("first_counter", "2 to 2^44");
        }
        if !(1..=1 << 62).contains(&self.first_replica) {
            return wrong("first_replica", "1 to 2^62");
        }
        if !(2..=LINKS_MAX).contains(&self.links_max) {
            return wrong("links_max", "2 to 65000");
        }
        if !(1..=65_536).contains(&self.session_window) {
            return wrong("session_window", "1 to 65536");
        }
        if self.sessions_max == 0 {
            return wrong("sessions_max", "at least 1");
        }
        if !(4..=4_096).contains(&self.extents_max) {
            return wrong("extents_max", "4 to 4096");
        }
        if !(1..=65_536).contains(&self.pending_max) {
            return wrong("pending_max", "1 to 65536");
        }
        Ok(())
    }

    pub(crate) fn put<S: Sink>(&self, sink: &mut S) {
        sink.u32(self.name_hash_bits);
        sink.u64(self.first_counter);
        sink.u64(self.first_replica);
        sink.u32(self.links_max);
        sink.u64(self.session_window);
        sink.u64(self.sessions_max);
        sink.u32(self.extents_max);
        sink.u32(self.pending_max);
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        let config = Self {
            name_hash_bits: reader.u32("name_hash_bits")?,
            first_counter: reader.u64("first_counter")?,
            first_replica: reader.u64("first_replica")?,
            links_max: reader.u32("links_max")?,
            session_window: reader.u64("session_window")?,
            sessions_max: reader.u64("sessions_max")?,
            extents_max: reader.u32("extents_max")?,
            pending_max: reader.u32("pending_max")?,
        };
        config.check().map_err(|_| "configuration")?;
        Ok(config)
    }
}
