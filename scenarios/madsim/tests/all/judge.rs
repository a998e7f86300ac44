//! What must hold of every story's trail. Small, and none of `sim`'s oracles: a second opinion has
//! judges of its own.

use mooseng_core::event::Event;
use mooseng_madsim::{Entry, Trail};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// What a story shows of itself, so that one in which nothing happens is noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) elections: usize,
    pub(crate) applied: usize,
    pub(crate) snapshots: usize,
    pub(crate) waits: usize,
}

/// Keeps the first value under a key; another one is a broken promise.
fn agree<K: Ord, V: Copy + PartialEq + Debug>(
    seen: &mut BTreeMap<K, V>,
    key: K,
    value: V,
    (entry, what): (&Entry, &str),
) {
    let first = *seen.entry(key).or_insert(value);
    assert_eq!(first, value, "{what}: {entry:?}");
}

pub(crate) fn judge(trail: &Trail) -> Seen {
    let mut seen = Seen::default();
    let (mut leaders, mut states, mut requests) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for entry in trail.entries() {
        match &entry.event {
            Event::Elected { group, replica, term } => {
                seen.elections += 1;
                agree(&mut leaders, (*group, *term), *replica, (entry, "two leaders in one term"));
            }
            Event::Applied { group, index, hash, request, .. } => {
                seen.applied += 1;
                agree(&mut states, (*group, *index), *hash, (entry, "two replicas differ"));
                if let Some(request) = request {
                    agree(&mut requests, (*group, *request), *index, (entry, "a change took effect twice"));
                }
            }
            Event::SnapshotTaken { group, index, hash, .. }
            | Event::SnapshotInstalled { group, index, hash, .. } => {
                seen.snapshots += 1;
                agree(
                    &mut states,
                    (*group, *index),
                    *hash,
                    (entry, "a snapshot differs from what was applied"),
                );
            }
            Event::Recovered { waits, .. } => seen.waits += usize::from(*waits),
            Event::Fenced { reason, .. } => panic!("{entry:?}: no story loses what was synced: {reason}"),
            Event::Note(line) => {
                assert!(!line.starts_with("halted"), "{entry:?}: nothing here stops a server")
            }
            _ => {}
        }
    }
    seen
}
