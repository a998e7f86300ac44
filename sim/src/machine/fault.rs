//! What can go wrong, as values that a plan can hold: each names its nodes and its duration and
//! nothing else. How each is done to the machine is told elsewhere.

use serde::{Deserialize, Serialize};

/// A fault. `for_ms` is in true time; without it the fault lasts until everything is healed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Fault {
    /// The power fails: tasks are gone, connections fall silent, the disk keeps any subset of what
    /// was not synced. With `restart_ms` the node boots again by itself.
    Crash {
        node: String,
        restart_ms: Option<u64>,
    },
    /// The process dies and its kernel lives: what was written stays, connections are reset.
    Kill {
        node: String,
        restart_ms: Option<u64>,
    },
    /// The process is killed and comes back speaking another version of messages.
    Version {
        node: String,
        wire_version: u32,
        restart_ms: Option<u64>,
    },
    /// A node that is down boots again.
    Restart {
        node: String,
    },
    /// None of the node's tasks runs; its clock, disk and connections go on.
    Pause {
        node: String,
        for_ms: Option<u64>,
    },
    /// The whole machine sleeps: nothing arrives and nothing is done, but its clock counts.
    Suspend {
        node: String,
        for_ms: Option<u64>,
    },
    /// Heavy work takes so many times longer.
    SlowCpu {
        node: String,
        factor: u32,
        for_ms: Option<u64>,
    },

    /// Nothing passes from `source` to `target`; the other direction is as it was.
    Cut {
        source: String,
        target: String,
        for_ms: Option<u64>,
    },
    /// Nothing passes between the two groups.
    Partition {
        left: Vec<String>,
        right: Vec<String>,
        for_ms: Option<u64>,
    },
    /// Nothing passes between the node and all others.
    Isolate {
        node: String,
        for_ms: Option<u64>,
    },
    /// What goes from `source` to `target` waits, and arrives afterwards.
    Clog {
        source: String,
        target: String,
        for_ms: Option<u64>,
    },
    SlowLink {
        source: String,
        target: String,
        extra_us: u64,
        bytes_per_second: Option<u64>,
        for_ms: Option<u64>,
    },
    /// Every connection between the two is lost.
    Reset {
        left: String,
        right: String,
    },
    /// `source` knows nothing any more of its connections to `target`, which believes that they stand
    /// until it sends something: then it is answered with a reset, or with nothing, where something
    /// between the two has forgotten them as well (`silent`).
    HalfOpen {
        source: String,
        target: String,
        silent: bool,
    },
    /// The next frames from `source` to `target` have a bit flipped on the way.
    Corrupt {
        source: String,
        target: String,
        frames: u32,
    },
    /// The next frames from `source` to `target` say something else on the way, and their checksums
    /// are right: what a peer sends that is broken, or none of ours.
    Rubbish {
        source: String,
        target: String,
        frames: u32,
    },

    /// The clock runs this much too fast (or too slow).
    Drift {
        node: String,
        ppm: i32,
    },
    /// Monotonic time jumps ahead of everyone else's: no clock within its bound does that.
    ClockJump {
        node: String,
        by_ms: u64,
    },
    WallStep {
        node: String,
        by_ms: i64,
    },
    WallFreeze {
        node: String,
        for_ms: Option<u64>,
    },

    /// Only so much space is left.
    DiskFull {
        node: String,
        free_bytes: u64,
        for_ms: Option<u64>,
    },
    /// Every operation takes so many times longer.
    DiskSlow {
        node: String,
        factor: u32,
        for_ms: Option<u64>,
    },
    /// No operation is done for a while.
    DiskStall {
        node: String,
        for_ms: u64,
    },
    /// The next sync of a file or a directory whose path begins with `prefix` fails.
    SyncFails {
        node: String,
        prefix: String,
    },
    /// Syncs are acknowledged and not done.
    SyncLies {
        node: String,
        for_ms: Option<u64>,
    },
    /// So many durable sectors cannot be read any more until they are written again.
    LatentError {
        node: String,
        spot: Spot,
        sectors: u32,
    },
    /// One bit flips in each of so many durable sectors.
    BitRot {
        node: String,
        spot: Spot,
        sectors: u32,
    },
    /// The next write to such a file lands elsewhere in it.
    MisdirectedWrite {
        node: String,
        prefix: String,
    },
    /// The next read of such a file brings another part of it.
    MisdirectedRead {
        node: String,
        prefix: String,
    },
    /// Keeps an image of what is durable now.
    Checkpoint {
        node: String,
    },
    /// The power fails and the disk comes back as the last image that was kept.
    Rollback {
        node: String,
        restart_ms: Option<u64>,
    },
    /// The power fails on both, and each comes back with the other's disk: for so long, and then the
    /// power fails again and each has its own, or, where it is not said how long, for good.
    SwapDisks {
        left: String,
        right: String,
        restart_ms: Option<u64>,
        for_ms: Option<u64>,
    },
    /// The power fails and the node comes back with an empty disk.
    Empty {
        node: String,
        restart_ms: Option<u64>,
    },
}

/// Where damage strikes: sectors that were written, of files whose path begins with `prefix`,
/// between two offsets. Which of them is drawn.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Spot {
    pub prefix: String,
    pub from: Option<u64>,
    pub to: Option<u64>,
    /// Only what the last sync of such a file made durable.
    #[serde(default)]
    pub newest: bool,
}

/// The name of a kind of fault, for counting.
pub(crate) type FaultKind = &'static str;

impl Fault {
    /// The kind's name, as plans write it.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Crash { .. } => "crash",
            Fault::Kill { .. } => "kill",
            Fault::Version { .. } => "version",
            Fault::Restart { .. } => "restart",
            Fault::Pause { .. } => "pause",
            Fault::Suspend { .. } => "suspend",
            Fault::SlowCpu { .. } => "slow-cpu",
            Fault::Cut { .. } => "cut",
            Fault::Partition { .. } => "partition",
            Fault::Isolate { .. } => "isolate",
            Fault::Clog { .. } => "clog",
            Fault::SlowLink { .. } => "slow-link",
            Fault::Reset { .. } => "reset",
            Fault::HalfOpen { .. } => "half-open",
            Fault::Corrupt { .. } => "corrupt",
            Fault::Rubbish { .. } => "rubbish",
            Fault::Drift { .. } => "drift",
            Fault::ClockJump { .. } => "clock-jump",
            Fault::WallStep { .. } => "wall-step",
            Fault::WallFreeze { .. } => "wall-freeze",
            Fault::DiskFull { .. } => "disk-full",
            Fault::DiskSlow { .. } => "disk-slow",
            Fault::DiskStall { .. } => "disk-stall",
            Fault::SyncFails { .. } => "sync-fails",
            Fault::SyncLies { .. } => "sync-lies",
            Fault::LatentError { .. } => "latent-error",
            Fault::BitRot { .. } => "bit-rot",
            Fault::MisdirectedWrite { .. } => "misdirected-write",
            Fault::MisdirectedRead { .. } => "misdirected-read",
            Fault::Checkpoint { .. } => "checkpoint",
            Fault::Rollback { .. } => "rollback",
            Fault::SwapDisks { .. } => "swap-disks",
            Fault::Empty { .. } => "empty",
        }
    }

    /// How long the fault lasts, if it ends by itself: then [`super::MachineEvent::FaultOver`] is
    /// told. A fault that is done in a moment, and one that waits to be healed, have no such end.
    pub fn lasts_ms(&self) -> Option<u64> {
        match self {
            Fault::DiskStall { for_ms, .. } => Some(*for_ms),
            Fault::Pause { for_ms, .. }
            | Fault::Suspend { for_ms, .. }
            | Fault::SlowCpu { for_ms, .. }
            | Fault::Cut { for_ms, .. }
            | Fault::Partition { for_ms, .. }
            | Fault::Isolate { for_ms, .. }
            | Fault::Clog { for_ms, .. }
            | Fault::SlowLink { for_ms, .. }
            | Fault::WallFreeze { for_ms, .. }
            | Fault::DiskFull { for_ms, .. }
            | Fault::DiskSlow { for_ms, .. }
            | Fault::SwapDisks { for_ms, .. }
            | Fault::SyncLies { for_ms, .. } => *for_ms,
            _ => None,
        }
    }

    /// Every node the fault names.
    pub fn nodes(&self) -> Vec<&str> {
        match self {
            Fault::Cut { source, target, .. }
            | Fault::Clog { source, target, .. }
            | Fault::SlowLink { source, target, .. }
            | Fault::HalfOpen { source, target, .. }
            | Fault::Corrupt { source, target, .. }
            | Fault::Rubbish { source, target, .. } => vec![source, target],
            Fault::Reset { left, right } | Fault::SwapDisks { left, right, .. } => vec![left, right],
            Fault::Partition { left, right, .. } => left.iter().chain(right).map(String::as_str).collect(),
            Fault::Crash { node, .. }
            | Fault::Kill { node, .. }
            | Fault::Version { node, .. }
            | Fault::Restart { node }
            | Fault::Pause { node, .. }
            | Fault::Suspend { node, .. }
            | Fault::SlowCpu { node, .. }
            | Fault::Isolate { node, .. }
            | Fault::Drift { node, .. }
            | Fault::ClockJump { node, .. }
            | Fault::WallStep { node, .. }
            | Fault::WallFreeze { node, .. }
            | Fault::DiskFull { node, .. }
            | Fault::DiskSlow { node, .. }
            | Fault::DiskStall { node, .. }
            | Fault::SyncFails { node, .. }
            | Fault::SyncLies { node, .. }
            | Fault::LatentError { node, .. }
            | Fault::BitRot { node, .. }
            | Fault::MisdirectedWrite { node, .. }
            | Fault::MisdirectedRead { node, .. }
            | Fault::Checkpoint { node }
            | Fault::Rollback { node, .. }
            | Fault::Empty { node, .. } => vec![node],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_readable_table_and_comes_back_from_it() {
        let spot = Spot { prefix: "journal/".into(), from: Some(4096), to: None, newest: false };
        let fault = Fault::BitRot { node: "meta-1".into(), spot, sectors: 2 };
        let text = toml::to_string(&fault).unwrap();
        assert!(text.starts_with("fault = \"bit-rot\"\nnode = \"meta-1\"\n"), "{text}");
        assert_eq!(toml::from_str::<Fault>(&text).unwrap(), fault);
        let cut: Fault = toml::from_str("fault = \"cut\"\nsource = \"a\"\ntarget = \"b\"").unwrap();
        assert_eq!(cut, Fault::Cut { source: "a".into(), target: "b".into(), for_ms: None });
    }

    #[test]
    fn kinds_are_named_as_plans_write_them() {
        let fault = Fault::SyncFails { node: "a".into(), prefix: String::new() };
        let value = serde_json::to_value(&fault).unwrap();
        assert_eq!(value["fault"], fault.kind());
        assert_eq!(fault.nodes(), ["a"]);
    }
}
