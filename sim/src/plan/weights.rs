//! How a seed draws: how much of everything, and how likely which. A swarm does not draw from all
//! kinds every time: each seed leaves some out, for what is rare among many is common among few.

use super::Budget;
use std::time::Duration;

/// A kind of operation, with the weight it is drawn with.
const OPERATIONS: [(&str, u32); 30] = [
    ("mkdir", 12),
    ("create", 18),
    ("unlink", 8),
    ("rmdir", 8),
    ("rename", 14),
    ("rename-keep", 3),
    ("exchange", 4),
    ("link", 8),
    ("setattr", 6),
    ("write", 20),
    ("truncate", 3),
    ("punch", 3),
    ("compact", 3),
    ("set-class", 2),
    ("map", 8),
    ("leave", 2),
    ("lookup", 14),
    ("getattr", 8),
    ("readdir", 8),
    ("symlink", 4),
    ("mknod", 2),
    ("readlink", 4),
    ("access", 3),
    ("open", 8),
    ("close", 4),
    ("look-at-open", 6),
    ("set-xattr", 5),
    ("remove-xattr", 2),
    ("get-xattr", 4),
    ("list-xattr", 2),
];

/// A kind of fault, with the weight it is drawn with.
const FAULTS: [(&str, u32); 42] = [
    ("crash", 14),
    ("crash-leader", 10),
    ("crash-at-operation", 12),
    ("crash-at-promise", 12),
    ("crash-at-snapshot", 5),
    ("restarted-voters", 6),
    ("crash-all", 4),
    ("kill", 6),
    ("pause", 8),
    ("suspend", 3),
    ("slow-cpu", 2),
    ("cut", 6),
    ("partition", 10),
    ("isolate", 6),
    ("clog", 4),
    ("slow-link", 4),
    ("reset", 4),
    ("corrupt", 3),
    ("drift", 2),
    ("wall-step", 3),
    ("wall-freeze", 2),
    ("disk-full", 4),
    ("disk-slow", 3),
    ("disk-stall", 3),
    ("sync-fails", 3),
    ("latent-error", 2),
    ("damaged-restart", 5),
    ("bit-rot", 2),
    ("misdirected-write", 5),
    ("misdirected-read", 2),
    ("swap-disks", 1),
    ("empty", 3),
    ("absent-client", 8),
    ("kill-client", 4),
    ("deaf-leader", 5),
    ("sleepy-leader", 5),
    ("kill-at-answer", 4),
    ("change-of-members", 3),
    ("rotten-snapshot", 3),
    ("version", 3),
    ("rubbish", 3),
    ("half-open", 5),
];

/// What is done to files where their bytes matter; several steps each.
const FILE_OPERATIONS: [(&str, u32); 13] = [
    ("hand-over", 10),
    ("put", 24),
    ("get", 20),
    ("fsync", 10),
    ("close", 12),
    ("open", 6),
    ("cut", 5),
    ("save", 5),
    ("storm", 3),
    ("remove", 2),
    ("append", 4),
    ("update", 4),
    ("rewrite", 4),
];

/// What may strike a whole cluster: `chunk-` before what strikes a chunk server, `client-` before what
/// strikes the machine of a client.
const CLUSTER_FAULTS: [(&str, u32); 62] = [
    ("crash", 3),
    ("crash-leader", 5),
    ("crash-all", 2),
    ("crash-at-operation", 3),
    ("kill", 2),
    ("pause", 3),
    ("suspend", 2),
    ("cut", 3),
    ("isolate", 3),
    ("partition", 3),
    ("reset", 2),
    ("corrupt", 2),
    ("slow-link", 2),
    ("disk-stall", 2),
    ("disk-full", 1),
    ("absent-client", 5),
    ("kill-client", 4),
    ("chunk-crash", 12),
    ("chunk-crash-all", 8),
    ("chunk-crash-at-commit", 5),
    ("chunk-crash-at-operation", 12),
    ("chunk-kill", 5),
    ("chunk-pause", 6),
    ("chunk-suspend", 3),
    ("chunk-slow-cpu", 2),
    ("chunk-cut", 6),
    ("chunk-isolate", 5),
    ("chunk-clog", 3),
    ("chunk-slow-link", 4),
    ("chunk-reset", 4),
    ("chunk-corrupt", 4),
    ("chunk-disk-full", 5),
    ("chunk-disk-slow", 3),
    ("chunk-disk-stall", 3),
    ("chunk-sync-fails", 4),
    ("chunk-latent-error", 4),
    ("chunk-bit-rot", 8),
    ("chunk-misdirected-write", 5),
    ("chunk-misdirected-read", 4),
    ("chunk-empty", 5),
    ("version", 2),
    ("rubbish", 2),
    ("half-open", 2),
    ("drift", 1),
    ("wall-step", 1),
    ("wall-freeze", 1),
    ("swap-disks", 2),
    ("chunk-version", 3),
    ("chunk-rubbish", 3),
    ("chunk-half-open", 4),
    ("chunk-drift", 2),
    ("chunk-wall-step", 1),
    ("chunk-wall-freeze", 1),
    ("chunk-swap-disks", 3),
    ("client-version", 3),
    ("client-rubbish", 2),
    ("client-half-open", 3),
    ("client-drift", 2),
    ("client-wall-step", 2),
    ("client-wall-freeze", 1),
    ("client-slow-cpu", 1),
    ("client-slow-link", 2),
];

/// What is done through mounts; some are several steps.
const MOUNT_OPERATIONS: [(&str, u32); 32] = [
    ("create", 16),
    ("mkdir", 4),
    ("unlink", 10),
    ("rmdir", 3),
    ("rename", 8),
    ("rename-keep", 2),
    ("exchange", 2),
    ("link", 4),
    ("symlink", 3),
    ("readlink", 3),
    ("set-xattr", 4),
    ("remove-xattr", 2),
    ("get-xattr", 4),
    ("list-xattr", 2),
    ("lookup", 8),
    ("getattr", 14),
    ("readdir", 5),
    ("list-on", 12),
    ("open", 6),
    ("put", 20),
    ("append", 8),
    ("get", 12),
    ("fsync", 5),
    ("flush", 4),
    ("close", 10),
    ("cut", 6),
    ("setattr", 12),
    ("punch", 4),
    ("seek", 5),
    ("reserve", 4),
    ("scene", 36),
    ("access", 2),
];

/// What may strike a cluster of mounts.
const MOUNT_FAULTS: [(&str, u32); 16] = [
    ("crash", 3),
    ("crash-leader", 4),
    ("pause", 3),
    ("cut", 3),
    ("isolate", 3),
    ("partition", 2),
    ("reset", 3),
    ("slow-link", 2),
    ("disk-stall", 2),
    ("absent-client", 6),
    ("kill-client", 4),
    ("chunk-crash", 5),
    ("chunk-pause", 3),
    ("chunk-cut", 4),
    ("chunk-isolate", 3),
    ("chunk-disk-stall", 2),
];

/// Only changes, so that somebody always wants one.
const CHANGES: [(&str, u32); 5] = [("mkdir", 4), ("create", 6), ("unlink", 6), ("rmdir", 4), ("rename", 3)];

/// The kinds that only a run beyond the budget draws.
const BEYOND: [(&str, u32); 3] = [("sync-lies", 6), ("rollback", 6), ("clock-jump", 4)];

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Weights {
    pub story: String,
    pub budget: Budget,
    /// How many servers, with weights.
    pub servers: Vec<(u32, u32)>,
    /// How often, in millionths, there are spare servers, and an operator who exchanges them, and how
    /// many at most.
    pub spared: u32,
    pub spares_max: u32,
    /// How many chunk servers, and where there are any, clients work with the bytes of files.
    pub chunk_servers_min: u32,
    pub chunk_servers_max: u32,
    /// Clients are mounts.
    pub mounts: bool,
    pub clients_min: u64,
    pub clients_max: u64,
    /// Steps of all clients together.
    pub steps_min: u64,
    pub steps_max: u64,
    /// The kinds of operations to draw from.
    pub operations: Vec<(&'static str, u32)>,
    /// How often, in millionths, a step follows the one before it closely: one of these.
    pub bursts: Vec<u32>,
    pub faults_min: u64,
    pub faults_max: u64,
    /// How long a fault lasts.
    pub fault_span_min: Duration,
    pub fault_span_max: Duration,
    /// No fault that goes by time strikes before.
    pub faults_begin: Duration,
    pub faults_end: Duration,
    pub end: Duration,
    /// The kinds of faults to draw from.
    pub faults: Vec<(&'static str, u32)>,
    /// How often, in millionths, a fault goes by what happens in the cluster, not by time.
    pub awaited: u32,
    /// How often everything is as usual, so that timings are judged too.
    pub ordinary: u32,
    /// How often, of the others, the cluster keeps its usual knobs, and the machine a calm day.
    pub usual_knobs: u32,
    pub calm_machine: u32,
}

impl Weights {
    /// Everything drawn from the seed.
    pub fn swarm() -> Self {
        Self {
            story: "swarm".to_owned(),
            budget: Budget::Within,
            servers: vec![(3, 8), (5, 2), (1, 1)],
            spared: 150_000,
            spares_max: 2,
            chunk_servers_min: 0,
            chunk_servers_max: 0,
            mounts: false,
            clients_min: 2,
            clients_max: 4,
            steps_min: 100,
            steps_max: 500,
            operations: OPERATIONS.to_vec(),
            bursts: vec![100_000, 500_000, 900_000],
            faults_min: 2,
            faults_max: 12,
            fault_span_min: Duration::from_millis(1),
            fault_span_max: Duration::from_millis(2_500),
            faults_begin: Duration::ZERO,
            faults_end: Duration::from_secs(10),
            end: Duration::from_secs(20),
            faults: FAULTS.to_vec(),
            awaited: 250_000,
            ordinary: 250_000,
            usual_knobs: 150_000,
            calm_machine: 150_000,
        }
    }

    /// A whole cluster: metadata servers, chunk servers, and clients that write and read files.
    pub fn cluster() -> Self {
        Self {
            story: "cluster".to_owned(),
            servers: vec![(3, 1)],
            spared: 100_000,
            chunk_servers_min: 4,
            chunk_servers_max: 6,
            clients_min: 2,
            clients_max: 3,
            steps_min: 30,
            steps_max: 120,
            operations: FILE_OPERATIONS.to_vec(),
            faults_min: 0,
            faults_max: 8,
            fault_span_max: Duration::from_millis(2_000),
            faults_end: Duration::from_secs(5),
            end: Duration::from_secs(16),
            faults: CLUSTER_FAULTS.to_vec(),
            ordinary: 0,
            ..Self::swarm()
        }
    }

    /// A whole cluster whose clients are mounts, in each other's way.
    pub fn mounts() -> Self {
        Self {
            story: "mounts".to_owned(),
            servers: vec![(3, 1)],
            spared: 0,
            chunk_servers_min: 3,
            chunk_servers_max: 4,
            mounts: true,
            clients_min: 2,
            clients_max: 3,
            steps_min: 60,
            steps_max: 240,
            operations: MOUNT_OPERATIONS.to_vec(),
            faults_min: 0,
            faults_max: 6,
            fault_span_max: Duration::from_millis(2_000),
            faults_end: Duration::from_secs(5),
            end: Duration::from_secs(16),
            faults: MOUNT_FAULTS.to_vec(),
            ordinary: 0,
            ..Self::swarm()
        }
    }

    /// What no replica can detect, clocks that break their bound, and too many losses.
    pub fn beyond() -> Self {
        let faults = FAULTS.iter().chain(&BEYOND).copied().collect();
        Self {
            story: "beyond".to_owned(),
            budget: Budget::Beyond,
            spared: 0,
            faults_min: 1,
            faults,
            ..Self::swarm()
        }
    }

    /// One failure at a time on a calm LAN with default settings, while everybody writes: what
    /// failover is measured on. It strikes when the group has long been at peace, and lasts until
    /// somebody else has to lead.
    pub fn failover() -> Self {
        Self {
            story: "failover".to_owned(),
            servers: vec![(3, 3), (5, 1)],
            spared: 0,
            clients_min: 6,
            clients_max: 8,
            steps_min: 900,
            steps_max: 1_200,
            operations: CHANGES.to_vec(),
            bursts: vec![0],
            faults_min: 1,
            faults_max: 1,
            fault_span_min: Duration::from_millis(1_500),
            fault_span_max: Duration::from_millis(3_000),
            faults_begin: Duration::from_secs(4),
            faults_end: Duration::from_secs(12),
            end: Duration::from_secs(22),
            faults: vec![
                ("crash-leader", 2),
                ("pause-leader", 1),
                ("isolate-leader", 1),
                ("mourned-client", 1),
            ],
            awaited: 0,
            ordinary: 1_000_000,
            ..Self::swarm()
        }
    }

    /// The same, but that the leader is back before anybody can have taken its place, or just when
    /// somebody has: what a short trouble costs.
    pub fn flaps() -> Self {
        Self {
            story: "flaps".to_owned(),
            fault_span_min: Duration::from_millis(200),
            fault_span_max: Duration::from_millis(900),
            faults: vec![
                ("crash-leader", 2),
                ("pause-leader", 1),
                ("isolate-leader", 1),
                ("almost-deposed-leader", 2),
            ],
            ..Self::failover()
        }
    }

    /// Ten minutes of load with default settings, in which nothing goes wrong but that disks stall,
    /// twice a second and for 200 ms: no leader may lose its office by that.
    pub fn stalls() -> Self {
        Self {
            story: "stalls".to_owned(),
            servers: vec![(3, 3), (5, 1)],
            spared: 0,
            clients_min: 2,
            clients_max: 4,
            steps_min: 10_000,
            steps_max: 15_000,
            faults_min: 1_200,
            faults_max: 1_200,
            fault_span_min: Duration::from_millis(200),
            fault_span_max: Duration::from_millis(200),
            faults_begin: Duration::from_secs(1),
            faults_end: Duration::from_secs(600),
            end: Duration::from_secs(610),
            faults: vec![("disk-stall", 1)],
            awaited: 0,
            ordinary: 1_000_000,
            ..Self::swarm()
        }
    }
}
