//! The planted bugs, the controls and the probes: what the simulator must be able to see. A test
//! holds these lists against the source.

/// A bug that is planted in the logic, off unless a run switches it on.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    pub name: &'static str,
    /// The oracles that may catch it: where a bug breaks several promises, chance decides which is
    /// seen first.
    pub oracles: &'static [&'static str],
}

/// The bug or control with this name.
pub fn find(name: &str) -> Option<&'static Bug> {
    let others = BUGS_OF_SCENARIOS.iter().chain(BUGS_OF_PLANS).map(|(_, bug)| bug);
    BUGS.iter().chain(CONTROLS).chain(others).find(|bug| bug.name == name)
}

/// Every planted bug, with the oracles it belongs to.
pub const BUGS: &[Bug] = &[
    Bug {
        name: "ambiguous-tail-votes-at-once",
        oracles: &["promises", "replicas", "durable", "leaders", "linearizable", "progress"],
    },
    Bug { name: "answer-to-wrong-call", oracles: &["durable", "linearizable", "exactly-once"] },
    Bug { name: "answers-never-forgotten", oracles: &["exactly-once", "linearizable", "durable", "bounded"] },
    Bug {
        name: "append-acked-before-persist",
        oracles: &["promises", "leaders", "replicas", "durable", "linearizable"],
    },
    Bug { name: "append-without-term-check", oracles: &["leaders", "replicas", "durable", "linearizable"] },
    Bug { name: "apply-reads-ambient-counter", oracles: &["tree", "linearizable", "replicas", "durable"] },
    Bug { name: "call-number-reused", oracles: &["durable", "linearizable", "exactly-once"] },
    Bug { name: "commit-accepts-condemned-slice", oracles: &["data", "linearizable", "replicas", "durable"] },
    Bug { name: "chown-keeps-setuid", oracles: &["tree", "linearizable", "replicas", "durable"] },
    Bug { name: "commit-of-old-term", oracles: &["leaders", "replicas", "durable", "linearizable"] },
    Bug { name: "compact-without-compare", oracles: &["data", "linearizable", "replicas", "durable"] },
    Bug {
        name: "damaged-journal-ignored",
        oracles: &["promises", "replicas", "durable", "leaders", "linearizable", "progress"],
    },
    Bug { name: "ending-session-kept-alive", oracles: &["sessions"] },
    Bug { name: "enospc-leaves-half-an-inode", oracles: &["tree", "linearizable", "replicas", "durable"] },
    Bug {
        name: "expired-session-recreated",
        oracles: &["exactly-once", "linearizable", "durable", "bounded"],
    },
    Bug { name: "growth-taken-on-a-full-disk", oracles: &["room"] },
    Bug { name: "unlink-refused-on-a-full-disk", oracles: &["room"] },
    Bug { name: "follower-answers-retries", oracles: &["leaders", "linearizable"] },
    Bug {
        name: "journal-ack-before-sync",
        oracles: &["promises", "replicas", "durable", "leaders", "linearizable", "progress"],
    },
    Bug {
        name: "journal-cuts-damage-silently",
        oracles: &["promises", "replicas", "durable", "leaders", "linearizable", "progress"],
    },
    Bug {
        name: "journal-missing-sync-dir",
        oracles: &["promises", "replicas", "durable", "leaders", "linearizable", "progress"],
    },
    Bug {
        name: "journal-stale-epoch-accepted",
        oracles: &["promises", "replicas", "durable", "leaders", "linearizable", "progress"],
    },
    Bug {
        name: "journal-sync-error-ignored",
        oracles: &["promises", "replicas", "durable", "leaders", "linearizable", "progress"],
    },
    Bug { name: "keepalive-by-deposed-leader", oracles: &["leaders", "linearizable", "progress"] },
    Bug { name: "leader-hands-over-for-nothing", oracles: &["steady"] },
    Bug { name: "lease-from-receive-time", oracles: &["leaders", "linearizable", "progress"] },
    Bug { name: "lease-kept-over-transfer", oracles: &["leaders", "linearizable", "progress"] },
    Bug { name: "lease-not-fenced-after-pause", oracles: &["leaders", "linearizable", "progress"] },
    Bug { name: "lease-on-wall-clock", oracles: &["leaders", "linearizable", "progress"] },
    Bug { name: "lease-granted-while-changing", oracles: &["linearizable"] },
    Bug { name: "own-lease-not-recalled", oracles: &["linearizable"] },
    Bug { name: "recall-not-waited-for", oracles: &["linearizable"] },
    Bug { name: "session-begins-anew", oracles: &["linearizable", "progress"] },
    Bug { name: "session-rests-with-leases", oracles: &["linearizable"] },
    Bug { name: "renewal-not-counted", oracles: &["linearizable"] },
    Bug { name: "replaced-inode-not-recalled", oracles: &["linearizable"] },
    Bug { name: "link-count-lost-on-rename", oracles: &["tree", "linearizable", "replicas", "durable"] },
    Bug { name: "link-to-directory-allowed", oracles: &["tree", "linearizable", "replicas", "durable"] },
    Bug { name: "lost-call-reported-unsent", oracles: &["durable", "linearizable", "exactly-once"] },
    Bug { name: "map-order-oldest-on-top", oracles: &["data", "linearizable", "replicas", "durable"] },
    Bug { name: "own-change-drops-nothing", oracles: &["linearizable"] },
    Bug { name: "recalled-lease-kept", oracles: &["linearizable"] },
    Bug { name: "pending-slices-never-collected", oracles: &["data", "linearizable", "replicas", "durable"] },
    Bug { name: "new-leader-collects-at-once", oracles: &["open-files"] },
    Bug { name: "made-file-held-by-nobody", oracles: &["open-files"] },
    Bug { name: "lost-creation-held-for-ever", oracles: &["open-files"] },
    Bug { name: "xattr-replace-creates", oracles: &["linearizable", "durable", "replicas"] },
    Bug { name: "open-unlinked-file-collected", oracles: &["open-files"] },
    Bug { name: "orphan-kept-for-ever", oracles: &["open-files"] },
    Bug { name: "readdir-cookie-by-position", oracles: &["tree", "linearizable", "replicas", "durable"] },
    Bug {
        name: "rejoins-under-old-id",
        oracles: &["promises", "replicas", "durable", "leaders", "linearizable", "progress"],
    },
    Bug { name: "rename-replace-leaks-target", oracles: &["tree", "linearizable", "replicas", "durable"] },
    Bug { name: "rename-without-ancestor-check", oracles: &["tree", "linearizable", "replicas", "durable"] },
    Bug {
        name: "restarted-voter-votes-at-once",
        oracles: &["leaders", "replicas", "durable", "linearizable"],
    },
    Bug { name: "retry-applied-twice", oracles: &["exactly-once", "linearizable", "durable", "bounded"] },
    Bug { name: "rmdir-nonempty-allowed", oracles: &["tree", "linearizable", "replicas", "durable"] },
    Bug { name: "session-expired-by-follower-clock", oracles: &["sessions"] },
    Bug { name: "setattr-keeps-version", oracles: &["tree", "linearizable", "replicas", "durable"] },
    Bug { name: "slice-freed-while-referenced", oracles: &["data", "linearizable", "replicas", "durable"] },
    Bug {
        name: "snapshot-drops-links",
        oracles: &["replicas", "durable", "exactly-once", "linearizable", "progress"],
    },
    Bug {
        name: "snapshot-installed-before-durable",
        oracles: &["promises", "replicas", "durable", "exactly-once", "linearizable", "progress"],
    },
    Bug {
        name: "snapshot-without-counters",
        oracles: &["replicas", "durable", "exactly-once", "linearizable", "progress"],
    },
    Bug {
        name: "snapshot-without-sessions",
        oracles: &["replicas", "durable", "exactly-once", "linearizable", "progress"],
    },
    Bug {
        name: "snapshot-without-sync-before-rename",
        oracles: &["promises", "replicas", "durable", "exactly-once", "linearizable", "progress"],
    },
    Bug { name: "stale-read-from-deposed-leader", oracles: &["leaders", "linearizable", "progress"] },
    Bug { name: "truncate-keeps-tail", oracles: &["data", "linearizable", "replicas", "durable"] },
    Bug { name: "sticky-bit-ignored", oracles: &["tree", "linearizable", "replicas", "durable"] },
    Bug { name: "symlink-target-truncated", oracles: &["tree", "linearizable", "replicas", "durable"] },
    Bug {
        name: "vote-answered-before-persist",
        oracles: &["promises", "leaders", "replicas", "durable", "linearizable"],
    },
    Bug {
        name: "vote-not-persisted",
        oracles: &["promises", "leaders", "replicas", "durable", "linearizable"],
    },
];

/// Bugs that are looked for elsewhere than in the swarm: in runs beyond the budget, where other oracles
/// watch, where leaders come back soon, and in whole clusters, where data takes its way.
pub const BUGS_OF_SCENARIOS: &[(&str, Bug)] = &[
    ("beyond", Bug { name: "apply-reads-ambient-counter", oracles: &["invented"] }),
    ("beyond", Bug { name: "lost-replica-says-nothing", oracles: &["reported"] }),
    ("flaps", Bug { name: "leader-never-resigns", oracles: &["failover"] }),
    ("failover", Bug { name: "sessions-never-rest", oracles: &["failover"] }),
    ("cluster", Bug { name: "close-does-not-wait", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "commit-before-parts-durable", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "cut-leaves-what-is-dirty", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "damage-heard-only-once", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "deficit-never-made-up", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "fsync-forgets-failed-flush", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "length-never-shrinks", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "open-keeps-old-map", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "packed-runs-share-their-bytes", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "parity-from-stale-part", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "part-elsewhere-by-first-part", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "part-elsewhere-kept-for-ever", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "part-moved-before-it-is-made", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "pending-parts-deleted", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "read-ahead-outlives-its-map", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "read-keeps-old-length", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "read-skips-checksum", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "chunk-ack-before-sync", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "chunk-compaction-blesses-rot", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "chunk-compaction-frees-before-durable", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "chunk-index-forgets-large-part", oracles: DATA_ORACLES }),
    ("cluster", Bug { name: "chunk-large-part-named-before-sync", oracles: DATA_ORACLES }),
    ("mounts", Bug { name: "answer-behind-a-commit", oracles: MOUNT_ORACLES }),
    ("mounts", Bug { name: "epoch-outlives-its-leases", oracles: MOUNT_ORACLES }),
    ("mounts", Bug { name: "gone-directory-tried-again", oracles: MOUNT_ORACLES }),
    ("mounts", Bug { name: "listing-drops-what-was-replaced", oracles: MOUNT_ORACLES }),
    ("mounts", Bug { name: "listing-ends-where-all-is-gone", oracles: MOUNT_ORACLES }),
    ("mounts", Bug { name: "new-leader-waits-for-nobody", oracles: MOUNT_ORACLES }),
    ("mounts", Bug { name: "open-learns-what-is-shown-here", oracles: MOUNT_ORACLES }),
    ("mounts", Bug { name: "pages-outlive-their-version", oracles: MOUNT_ORACLES }),
    ("mounts", Bug { name: "punch-overtakes-writes", oracles: MOUNT_ORACLES }),
    ("mounts", Bug { name: "reserve-believes-an-old-length", oracles: MOUNT_ORACLES }),
    ("mounts", Bug { name: "resize-overtakes-writes", oracles: MOUNT_ORACLES }),
    ("mounts", Bug { name: "seek-misses-what-is-unwritten", oracles: MOUNT_ORACLES }),
    ("mounts", Bug { name: "time-set-before-what-was-written", oracles: MOUNT_ORACLES }),
    ("mounts", Bug { name: "unwritten-time-not-shown", oracles: MOUNT_ORACLES }),
    ("mounts", Bug { name: "cache-outlives-its-leases", oracles: MOUNT_ORACLES }),
];

/// Bugs that runs are too seldom caught by, each with the plan in `scenarios/corpus/` that fails with it.
pub const BUGS_OF_PLANS: &[(&str, Bug)] = &[
    ("snapshots-fail-on-a-full-disk.toml", Bug { name: "snapshot-tried-again-at-once", oracles: &["spin"] }),
    (
        "creation-crosses-an-attachment.toml",
        Bug { name: "creation-in-doubt-told-late", oracles: &["open-files"] },
    ),
    (
        "attributes-asked-for-before-a-commit.toml",
        Bug { name: "answer-behind-a-commit", oracles: MOUNT_ORACLES },
    ),
    (
        "creation-in-a-directory-that-is-gone.toml",
        Bug { name: "gone-directory-tried-again", oracles: MOUNT_ORACLES },
    ),
    (
        "server-that-is-gone-takes-its-time.toml",
        Bug { name: "attempt-leaves-others-no-time", oracles: &["progress"] },
    ),
    (
        "more-who-wait-than-connections.toml",
        Bug { name: "newcomers-chase-each-other", oracles: &["progress"] },
    ),
];

/// What watches over the bytes of files and the parts they are kept in.
const DATA_ORACLES: &[&str] = &["contents", "close-to-open", "fsynced", "parts"];

/// What watches over mounts: what each of them shows, and the bytes as whole clusters have them.
const MOUNT_ORACLES: &[&str] = &["mounts", "contents", "close-to-open", "fsynced", "parts"];

/// Planted bugs that the swarm does not catch: where the simulator is known to be blind. The
/// scoreboard prints them every time; one that is caught leaves this list.
pub const BLIND: &[&str] = &[];

/// What is planted and is no bug: reporting it would be seeing what is not there.
pub const CONTROLS: &[Bug] = &[
    Bug { name: "control-emptiness-by-listing", oracles: &[] },
    Bug { name: "control-short-listings", oracles: &[] },
    Bug { name: "control-short-maps", oracles: &[] },
    Bug { name: "control-small-chunks", oracles: &[] },
];

/// Every rare place that the standard run has to reach.
pub const PROBES: &[&str] = &[
    "a session ends with pending slices",
    "access denied",
    "an extent is split in two",
    "a change that was given up ends an epoch",
    "answer crossed with a change of lease",
    "answer served from the table",
    "answered from the cache",
    "a file that was made is opened again",
    "attributes come with the answer to a change",
    "what was made and never heard of is open no more",
    "cache drops what is recalled",
    "answer served without another entry",
    "inode counter exhausted",
    "joint configuration settled",
    "journal confirmed an unproven batch",
    "journal damage found",
    "journal found no space for a segment",
    "journal marked while idle",
    "journal replaced",
    "journal resumed after a doubtful tail",
    "journal segment rotated",
    "journal segment used again",
    "journal tail ambiguous",
    "a session begins a new epoch of leases",
    "a session may hold leases again",
    "a session may hold leases already",
    "a session waits twice",
    "change waits for another of its name",
    "change waits for leases of an earlier leader",
    "change waits until its leader knows everything",
    "lease recalled",
    "leases of an earlier leader have run out",
    "leases run out",
    "leadership handed over",
    "learner promoted",
    "lease forfeited by a transfer",
    "lease read refused",
    "link limit of a directory",
    "link limit of a file",
    "link to what has no name",
    "members changed",
    "mute replica cleared",
    "mute replica ends before the phantom end",
    "no more sessions",
    "one of several names is gone",
    "orphans wait for a session to attach",
    "pre-vote refused to a rival",
    "raft message refused",
    "rename exchanged directories of two parents",
    "rename onto a directory above",
    "rename replaced an empty directory",
    "rename would make a cycle",
    "replica rejoined",
    "request below the low water mark",
    "request of a session that is gone",
    "rpc answer to a call that was given up",
    "rpc breaker closed again",
    "rpc breaker opened",
    "rpc call cancelled after it was sent",
    "rpc call cancelled before it was sent",
    "rpc caller cuts off a peer for rubbish",
    "rpc caller turned away",
    "rpc caller turns away from a stranger",
    "rpc connection given up for its silence",
    "rpc connection makes room for another",
    "rpc connection refused: too many",
    "rpc deadline passed at the server",
    "rpc deadline passed without an answer",
    "rpc send queue full",
    "rpc server cuts off a peer",
    "rpc server drops a cancelled call",
    "rpc server drops a one-way call",
    "rpc server overloaded",
    "sector unreadable",
    "session kept alive too late",
    "session opened again under its nonce",
    "session window full",
    "sessions hold leases no more",
    "sessions run out",
    "snapshot block damaged",
    "snapshot fetched in vain",
    "snapshot installed",
    "snapshot offered again",
    "snapshot offered while another is fetched",
    "snapshot that the journal does not point to",
    "snapshot torn temp cleaned",
    "sticky directory",
    "too many changes under way",
    "growth refused for want of room",
    "no room for what was asked before",
    "a majority of the voters has no room",
    "too many questions under way",
    "two names of a directory share a hash",
    "vote refused below the phantom end",
    "vote refused to keep a promise",
    "what was to be compacted has changed",
];

const CHUNK_STORE: &str = "sim/src/exhaustive/store.rs";

const CACHE: &str = "client/src/cache/tests.rs";

/// Bugs planted where no run of a whole cluster comes yet, and the tests that see each of them.
pub const BUGS_ELSEWHERE: &[(&str, &str)] = &[
    ("commit-before-parts-durable", "client/tests/all/plants.rs"),
    ("fsync-forgets-failed-flush", "client/tests/all/plants.rs"),
    ("cache-outlives-its-leases", CACHE),
    ("cached-listing-shown-to-all", CACHE),
    ("lease-that-was-recalled-kept", CACHE),
    ("told-beside-and-kept-anyway", CACHE),
    ("chunk-server-number-taken-over", "client/tests/all/plants.rs"),
    ("attachment-for-another-leader", "meta/src/group/opens.rs"),
    ("part-that-is-back-stays-missing", "meta/src/inventory/tests.rs"),
    ("learner-claims-its-log", "meta/src/group/replica/tests/doubt.rs"),
    ("release-crosses-creation", "client/src/holds.rs"),
    ("strangers-are-welcome", "net/src/rpc/hello.rs"),
    ("pages-outlive-their-version", "client/src/mount/pages.rs"),
    ("change-overtakes-its-name", "sim/src/model/agreement.rs"),
    ("session-believed-before-it-confirms", "sim/src/model/agreement.rs"),
    ("session-rests-twice", "sim/src/model/agreement.rs"),
    ("move-part-without-compare", "sim/src/model/agreement.rs"),
    ("chunk-ack-before-sync", CHUNK_STORE),
    ("chunk-compaction-blesses-rot", CHUNK_STORE),
    ("chunk-compaction-frees-before-durable", CHUNK_STORE),
    ("chunk-damage-told-to-one-leader", "chunk/tests/all/announce.rs"),
    ("chunk-delete-acked-before-durable", CHUNK_STORE),
    ("chunk-delete-forgets-rebuilds", "chunk/tests/all/repair.rs"),
    ("chunk-index-forgets-large-part", CHUNK_STORE),
    ("chunk-large-part-named-before-sync", CHUNK_STORE),
    ("chunk-rebuild-trusts-sources", "chunk/tests/all/repair.rs"),
    ("chunk-server-registers-once", "chunk/tests/all/announce.rs"),
    ("chunk-takes-torn-part", CHUNK_STORE),
    ("parity-from-stale-part", "client/tests/all/plants.rs"),
    ("read-skips-checksum", "client/tests/all/plants.rs"),
    ("two-parts-on-one-server", "client/tests/all/plants.rs"),
];

/// Every rare place that the run of whole clusters has to reach.
pub const CLUSTER_PROBES: &[&str] = &[
    "a chunk server does not delete what it is asked to",
    "a chunk server keeps what is needed elsewhere",
    "a chunk server keeps what nobody needs",
    "a part could not be made anew",
    "a part of a slice that is gone was made anew",
    "chunk server registered",
    "part of a slice sent to another server",
    "read again by a newer map",
    "scrubbing found a bad part",
    "slice committed with a deficit",
    "source of a repair failed",
    "store batch served more than one",
    "store confirmed its last batch",
    "store segment removed",
    "store segment rotated",
    "stored part set aside",
    "write-back failed",
];

/// Every rare place that the run of mounts has to reach.
pub const MOUNT_PROBES: &[&str] = &[
    "a name in a listing leads to something else by now",
    "all that was to be listed next is gone",
    "an answer is older than what is known of the file",
    "attributes come with a listing",
];

/// Rare places that neither run is sure to reach, and why.
pub const PROBES_ELSEWHERE: &[(&str, &str)] = &[
    ("leases given up for new ones", "a session that caches: only far more inodes than a run has reach it"),
    (
        "last word comes after a nod to a rival",
        "within a tick, one seed in a thousand: the tests of votes reach it",
    ),
    ("cache full", "a session that caches: the tests of the cache reach it"),
    ("chunk server is not known any more", "a chunk server: its tests reach it"),
    ("two chunk servers go by one number", "an operator's mistake: the tests of numbers reach it"),
    ("attachment meant for another leader", "one message overtakes another: the tests of opens reach it"),
    ("attachment overtaken by a release", "one message overtakes another: the tests of opens reach it"),
    ("open of what is being collected", "between a verdict and its commit: the tests of opens reach it"),
    ("word of an open file came too late", "one message overtakes another: the tests of opens reach it"),
    ("reported part is bad", "a chunk server: its tests reach it"),
    ("source of a repair was rotten", "a chunk server: its tests reach it"),
    ("a slice has too few parts to be read", "within the budget none is lost: `cluster-beyond` reaches it"),
    ("a chunk server lacks what it should have", "no run of a whole cluster is sure to come so far"),
    ("part stays because a rebuild was answered with it", "a chunk server: its tests reach it"),
    ("stored part missing from its segment", "a chunk store: the exhaustive chunk store reaches it"),
    ("store found no space for a segment", "a chunk store: the storage tests reach it"),
    ("store found no space for a table", "a chunk store: the storage tests reach it"),
    ("store found no space inside a segment", "a chunk store: the storage tests reach it"),
    ("store part moved while it was looked for", "a chunk store: the storage tests reach it"),
    ("store segment unreadable", "a chunk store: the storage tests reach it"),
    ("store table damaged", "a chunk store: the storage tests reach it"),
    ("stored part damaged on the move", "a chunk store: the storage tests reach it"),
    (
        "an inode has no room for an extended attribute",
        "no workload sets such long ones: the tests of apply reach it",
    ),
    ("a session has too many pending slices", "a client keeps below the limit: the tests of apply reach it"),
    (
        "a hole would make a chunk too fragmented",
        "no workload writes so many extents: the tests of apply reach it",
    ),
    (
        "a commit would make a chunk too fragmented",
        "no workload writes so many extents: the tests of apply reach it",
    ),
    ("a map in several answers", "no workload writes so many extents: the tests of apply reach it"),
    ("a slice is forgotten twice", "one leader forgets at a time: the tests of apply reach it"),
    (
        "a part is not where it was thought to be",
        "no run of a whole cluster comes so far: the tests of apply reach it",
    ),
    ("part of a slice made from others", "a read of data: the client's tests reach it"),
    ("a fragmented chunk compacted", "a write of data: the client's tests reach it"),
    (
        "journal segment of another length",
        "less than once in 4,000 seeds: the kept plan misdirected-write-lengthens-a-segment reaches it",
    ),
];
