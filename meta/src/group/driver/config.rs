//! The limits of a group's task, and which of them make sense.

use crate::group::config::GroupConfig;
use crate::group::leases::LeasesConfig;
use std::time::Duration;

/// The limits of a group's task.
#[derive(Clone, PartialEq, Debug)]
pub struct DriverConfig {
    pub group: GroupConfig,
    /// The region whose changes these are.
    pub region: u8,
    /// Inputs taken in before their outputs are carried out.
    pub batch_inputs_max: usize,
    pub requests_max: usize,
    pub messages_max: usize,
    /// Outputs under way to the disk; beyond it nothing new is taken in.
    pub persisting_max: usize,
    pub session_lifetime: Duration,
    /// What clients may keep, and for how long.
    pub leases: LeasesConfig,
    pub snapshot_every_entries: u64,
    /// The journal may keep this much because of this group before it takes a snapshot.
    pub journal_pinned_bytes_max: u64,
    /// Entries kept in memory behind a snapshot, for replicas that are a little behind.
    pub log_trailing_entries: u64,
    pub image_chunk_bytes: usize,
    pub fetch_bytes: u32,
    /// A snapshot that was offered and is not fetched for this long is offered anew.
    pub fetch_patience: Duration,
    pub inquiry_ticks: u64,
    /// How often a leader looks after sessions, members and snapshots.
    pub chores_ticks: u64,
    /// How often a leader without proposals lets its state be compared.
    pub compare_ticks: u64,
}

impl Default for DriverConfig {
    fn default() -> Self {
        Self {
            group: GroupConfig::default(),
            region: 0,
            batch_inputs_max: 256,
            requests_max: 4096,
            messages_max: 4096,
            persisting_max: 1024,
            session_lifetime: Duration::from_secs(60),
            leases: LeasesConfig::default(),
            snapshot_every_entries: 10_000,
            journal_pinned_bytes_max: 64 << 20,
            log_trailing_entries: 1_000,
            image_chunk_bytes: crate::image::CHUNK_BYTES,
            fetch_bytes: 256 << 10,
            fetch_patience: Duration::from_secs(2),
            inquiry_ticks: 4,
            chores_ticks: 4,
            compare_ticks: 100,
        }
    }
}

impl DriverConfig {
    /// One clear line that names the value that makes no sense.
    pub fn check(&self) -> Result<(), String> {
        let zero = [
            ("batch_inputs_max", self.batch_inputs_max as u64),
            ("requests_max", self.requests_max as u64),
            ("messages_max", self.messages_max as u64),
            ("persisting_max", self.persisting_max as u64),
            ("snapshot_every_entries", self.snapshot_every_entries),
            ("fetch_bytes", u64::from(self.fetch_bytes)),
            ("inquiry_ticks", self.inquiry_ticks),
            ("chores_ticks", self.chores_ticks),
            ("compare_ticks", self.compare_ticks),
        ];
        if let Some((name, _)) = zero.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{name}: it must be at least 1"));
        }
        if self.image_chunk_bytes < crate::image::CHUNK_BYTES_MIN {
            return Err(format!("image_chunk_bytes: at least {}", crate::image::CHUNK_BYTES_MIN));
        }
        if self.region >= 64 {
            return Err("region: it must be below 64".into());
        }
        self.group.check()
    }
}
