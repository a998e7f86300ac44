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
    BUGS.iter().chain(CONTROLS).find(|bug| bug.name == name)
}

/// Every planted bug, with the oracles it belongs to.
pub const BUGS: &[Bug] = &[
    Bug { name: "ambiguous-tail-votes-at-once", oracles: &[] },
    Bug { name: "answer-to-wrong-call", oracles: &[] },
    Bug { name: "answers-never-forgotten", oracles: &[] },
    Bug { name: "append-acked-before-persist", oracles: &[] },
    Bug { name: "append-without-term-check", oracles: &[] },
    Bug { name: "apply-reads-ambient-counter", oracles: &[] },
    Bug { name: "call-number-reused", oracles: &[] },
    Bug { name: "commit-of-old-term", oracles: &[] },
    Bug { name: "damaged-journal-ignored", oracles: &[] },
    Bug { name: "enospc-leaves-half-an-inode", oracles: &[] },
    Bug { name: "expired-session-recreated", oracles: &[] },
    Bug { name: "journal-ack-before-sync", oracles: &[] },
    Bug { name: "journal-cuts-damage-silently", oracles: &[] },
    Bug { name: "journal-missing-sync-dir", oracles: &[] },
    Bug { name: "journal-stale-epoch-accepted", oracles: &[] },
    Bug { name: "journal-sync-error-ignored", oracles: &[] },
    Bug { name: "keepalive-by-deposed-leader", oracles: &[] },
    Bug { name: "lease-from-receive-time", oracles: &[] },
    Bug { name: "lease-kept-over-transfer", oracles: &[] },
    Bug { name: "lease-not-fenced-after-pause", oracles: &[] },
    Bug { name: "lease-on-wall-clock", oracles: &[] },
    Bug { name: "link-count-lost-on-rename", oracles: &[] },
    Bug { name: "link-to-directory-allowed", oracles: &[] },
    Bug { name: "lost-call-reported-unsent", oracles: &[] },
    Bug { name: "readdir-cookie-by-position", oracles: &[] },
    Bug { name: "rejoins-under-old-id", oracles: &[] },
    Bug { name: "rename-replace-leaks-target", oracles: &[] },
    Bug { name: "rename-without-ancestor-check", oracles: &[] },
    Bug { name: "restarted-voter-votes-at-once", oracles: &[] },
    Bug { name: "retry-applied-twice", oracles: &[] },
    Bug { name: "rmdir-nonempty-allowed", oracles: &[] },
    Bug { name: "session-expired-by-follower-clock", oracles: &[] },
    Bug { name: "setattr-keeps-version", oracles: &[] },
    Bug { name: "snapshot-drops-links", oracles: &[] },
    Bug { name: "snapshot-installed-before-durable", oracles: &[] },
    Bug { name: "snapshot-without-counters", oracles: &[] },
    Bug { name: "snapshot-without-sessions", oracles: &[] },
    Bug { name: "snapshot-without-sync-before-rename", oracles: &[] },
    Bug { name: "stale-read-from-deposed-leader", oracles: &[] },
    Bug { name: "vote-answered-before-persist", oracles: &[] },
    Bug { name: "vote-not-persisted", oracles: &[] },
];

/// What is planted and is no bug: reporting it would be seeing what is not there.
pub const CONTROLS: &[Bug] = &[
    Bug { name: "control-emptiness-by-listing", oracles: &[] },
    Bug { name: "control-short-listings", oracles: &[] },
    Bug { name: "control-small-chunks", oracles: &[] },
];

/// Every rare place that the standard run has to reach.
pub const PROBES: &[&str] = &[
    "answer served from the table",
    "inode counter exhausted",
    "joint configuration left by a later leader",
    "journal batch held more than one append",
    "journal confirmed an unproven batch",
    "journal damage found",
    "journal found no space for a segment",
    "journal marked while idle",
    "journal replaced",
    "journal resumed after a doubtful tail",
    "journal sector unreadable",
    "journal segment rotated",
    "journal segment used again",
    "journal tail ambiguous",
    "leadership handed over",
    "learner promoted",
    "lease forfeited by a transfer",
    "lease read refused",
    "link limit of a directory",
    "link limit of a file",
    "members changed",
    "mute replica cleared",
    "mute replica ends before the phantom end",
    "no more sessions",
    "one of several names is gone",
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
    "rpc caller turns away from a stranger",
    "rpc connection given up for its silence",
    "rpc connection refused: too many",
    "rpc deadline passed at the server",
    "rpc deadline passed without an answer",
    "rpc send queue full",
    "rpc server cuts off a peer",
    "rpc server drops a cancelled call",
    "rpc server drops a one-way call",
    "rpc server overloaded",
    "session opened again under its nonce",
    "session window full",
    "sessions run out",
    "snapshot block damaged",
    "snapshot fetched in vain",
    "snapshot installed",
    "snapshot offered again",
    "snapshot that the journal does not point to",
    "snapshot torn temp cleaned",
    "two names of a directory share a hash",
    "vote refused below the phantom end",
    "vote refused to keep a promise",
];
