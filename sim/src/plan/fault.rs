//! Faults with their occasions: a time, something that happens in the cluster, or an operation of
//! a node ("crash the leader at its second sync after it was elected").
//!
//! A fault is the machine's own ([`Fault`]), except that a node may be named by its part:
//! `leader`, `follower-1` (the servers that do not lead, in their order), or `there`, the server at
//! which the milestone was met that the fault waits for.

use crate::machine::{Fault, Moment, OperationKind};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Something that happens in the cluster, by which a plan can tell time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Milestone {
    /// A vote leaves a server.
    Voted,
    /// A server acknowledges what a leader sent it.
    Acknowledged,
    Elected,
    SteppedDown,
    /// A leader begins to hand its office over.
    HandingOver,
    Recovered,
    Applied,
    SnapshotTaken,
    SnapshotInstalled,
    Members,
    Fenced,
    /// A client had the answer to a change.
    Answered,
}

impl Milestone {
    /// Is it met at a server?
    pub fn is_of_a_server(self) -> bool {
        self != Milestone::Answered
    }
}

/// The `count`-th such operation of a node, from the moment on when the wait for it begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operations {
    pub node: String,
    pub kind: OperationKind,
    pub count: u32,
    pub moment: Moment,
    /// Only of files, or with peers, whose name begins so.
    pub prefix: String,
}

/// When a fault strikes: some time into the run, or after something has happened for the
/// `count`-th time; and then, where operations are given, when those are met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct When {
    pub after: Option<(Milestone, u32)>,
    /// From the start of the run, or from the milestone. Whole milliseconds.
    pub wait: Duration,
    pub then: Option<Operations>,
}

/// A fault and its occasion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedFault {
    pub when: When,
    pub fault: Fault,
}

impl When {
    pub fn at(wait: Duration) -> Self {
        Self { after: None, wait, then: None }
    }

    pub fn after(milestone: Milestone, count: u32) -> Self {
        Self { after: Some((milestone, count)), wait: Duration::ZERO, then: None }
    }

    /// And then, at this operation.
    #[must_use]
    pub fn then(mut self, node: &str, kind: OperationKind, count: u32, moment: Moment) -> Self {
        let prefix = String::new();
        self.then = Some(Operations { node: node.to_owned(), kind, count, moment, prefix });
        self
    }
}

impl PlannedFault {
    /// Every node that is named, by its name or by its part.
    pub fn nodes(&self) -> Vec<&str> {
        let mut nodes = self.fault.nodes();
        nodes.extend(self.when.then.as_ref().map(|operations| operations.node.as_str()));
        nodes
    }

    /// How long it lasts after it struck, so far as the fault says so itself.
    pub fn lasts(&self) -> Option<Duration> {
        let value = serde_json::to_value(&self.fault).ok()?;
        let span = |key: &str| value.get(key).and_then(serde_json::Value::as_u64);
        span("for_ms").or(span("restart_ms")).map(Duration::from_millis)
    }

    /// The same with every node's name put through `rename`; `None` where it gives none.
    pub fn renamed(&self, rename: &impl Fn(&str) -> Option<String>) -> Option<Self> {
        let mut planned = self.clone();
        planned.fault = renamed(&self.fault, rename)?;
        if let Some(operations) = &mut planned.when.then {
            operations.node = rename(&operations.node)?;
        }
        Some(planned)
    }
}

/// The fault with every node's name put through `rename`: parts become nodes, or, where one was
/// left out, numbers move. `None` where `rename` gives none.
pub fn renamed(fault: &Fault, rename: &impl Fn(&str) -> Option<String>) -> Option<Fault> {
    const KEYS: [&str; 5] = ["node", "source", "target", "left", "right"];
    let mut value = serde_json::to_value(fault).ok()?;
    for key in KEYS {
        match value.get_mut(key) {
            Some(serde_json::Value::String(name)) => *name = rename(name)?,
            Some(serde_json::Value::Array(names)) => {
                for name in names {
                    *name = rename(name.as_str()?)?.into();
                }
            }
            _ => {}
        }
    }
    serde_json::from_value(value).ok()
}
