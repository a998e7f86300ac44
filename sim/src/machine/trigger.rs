//! Faults that wait for an operation instead of a time: "crash it at its second sync from now".
//! Counts operations per node; knows nothing of what they do.

use super::fault::Fault;
use super::node::NodeId;
use serde::{Deserialize, Serialize};

/// The operations that are counted, and that a trigger can wait for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationKind {
    Read,
    Write,
    Sync,
    SyncDir,
    /// Opening a new file, renaming, removing, making a directory.
    Names,
    Connect,
    Send,
    Receive,
}

pub(crate) const OPERATION_KINDS: usize = 8;

/// When, in the life of the operation that is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Before anything of it is done.
    Before,
    /// While the disk works on it, or the frame is on its way.
    During,
    /// Once it is done, before anybody hears of it.
    After,
}

/// Fires its faults at the `count`-th such operation of the node from now on (1 is the next).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Trigger {
    pub node: String,
    pub kind: OperationKind,
    pub count: u32,
    pub moment: Moment,
    /// Only operations on files, or with peers, whose name begins so.
    #[serde(default)]
    pub prefix: String,
    pub faults: Vec<Fault>,
}

/// How many operations of each kind a node has begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OperationCounts([u64; OPERATION_KINDS]);

impl OperationCounts {
    pub fn of(&self, kind: OperationKind) -> u64 {
        self.0[kind as usize]
    }

    pub(crate) fn count(&mut self, kind: OperationKind) {
        self.0[kind as usize] += 1;
    }
}

/// A trigger that waits.
pub(crate) struct Armed {
    pub(crate) node: NodeId,
    pub(crate) trigger: Trigger,
    pub(crate) left: u32,
}

/// The triggers that wait, and those of them that an operation just set off.
#[derive(Default)]
pub(crate) struct Triggers {
    armed: Vec<Armed>,
}

impl Triggers {
    pub(crate) fn arm(&mut self, node: NodeId, trigger: Trigger) {
        assert!(trigger.count > 0, "a trigger waits for an operation to come");
        let left = trigger.count;
        self.armed.push(Armed { node, trigger, left });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.armed.is_empty()
    }

    /// An operation begins: the triggers that have waited for it.
    pub(crate) fn meet(&mut self, node: NodeId, kind: OperationKind, name: &str) -> Vec<Trigger> {
        let mut fired = Vec::new();
        self.armed.retain_mut(|armed| {
            let trigger = &armed.trigger;
            if armed.node != node || trigger.kind != kind || !name.starts_with(trigger.prefix.as_str()) {
                return true;
            }
            armed.left -= 1;
            if armed.left == 0 {
                fired.push(armed.trigger.clone());
            }
            armed.left > 0
        });
        fired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_counts_only_what_it_waits_for_and_fires_once() {
        let mut triggers = Triggers::default();
        let trigger = Trigger {
            node: "a".into(),
            kind: OperationKind::Sync,
            count: 2,
            moment: Moment::Before,
            prefix: "journal/".into(),
            faults: Vec::new(),
        };
        triggers.arm(NodeId(0), trigger);
        let mut meet = |node, kind, name| triggers.meet(NodeId(node), kind, name).len();
        assert_eq!(meet(0, OperationKind::Sync, "journal/1"), 0);
        assert_eq!(meet(1, OperationKind::Sync, "journal/1"), 0);
        assert_eq!(meet(0, OperationKind::Write, "journal/1"), 0);
        assert_eq!(meet(0, OperationKind::Sync, "identity"), 0);
        assert_eq!(meet(0, OperationKind::Sync, "journal/2"), 1);
        assert_eq!(meet(0, OperationKind::Sync, "journal/2"), 0);
        assert!(triggers.is_empty());
    }
}
