//! What a run did, in numbers.

use super::fault::FaultKind;
use std::collections::BTreeMap;

/// How often a kind of fault was injected, and how often it changed anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FaultCount {
    pub injected: u64,
    pub struck: u64,
}

/// What one buggify point did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PointCount {
    pub asked: u64,
    pub fired: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    pub polls: u64,
    pub happenings: u64,
    pub tasks_spawned: u64,
    pub connections: u64,
    pub frames: u64,
    pub frame_bytes: u64,
    /// Frames that were really encoded and decoded.
    pub frames_encoded: u64,
    pub disk_operations: u64,
    pub disk_bytes: u64,
    pub syncs: u64,
    /// Writes whose futures were dropped and that landed after all.
    pub late_writes: u64,
    pub faults: BTreeMap<&'static str, FaultCount>,
    pub points: BTreeMap<&'static str, PointCount>,
}

impl Stats {
    pub(crate) fn injected(&mut self, kind: FaultKind) {
        self.faults.entry(kind).or_default().injected += 1;
    }

    pub(crate) fn struck(&mut self, kind: FaultKind) {
        self.faults.entry(kind).or_default().struck += 1;
    }
}
