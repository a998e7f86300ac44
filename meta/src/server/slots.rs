//! Which replicas a server has, and how they stand: where its services look up whom to ask.

use crate::group::Members;
use crate::group::ambiguity::{Answer, End, Standing};
use crate::group::handle::Handle;
use mooseng_core::env::Env;
use mooseng_core::id::{GroupId, ReplicaId};
use mooseng_net::rpc::{Code, Status};
use mooseng_storage::{Manifest, SnapshotReader};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An open snapshot, for whoever fetches it.
pub(super) type Open<E> = Arc<(SnapshotReader<E>, Manifest)>;

#[derive(Clone)]
pub(super) enum Slot {
    /// It is being recovered: nothing can be said of it yet.
    Starting,
    Serving(Handle),
    /// Lost; another one may be on its way.
    Lost(Option<ReplicaId>),
}

pub(super) struct Slots<E: Env> {
    slots: Mutex<BTreeMap<GroupId, Slot>>,
    snapshots: Mutex<BTreeMap<GroupId, Open<E>>>,
}

impl<E: Env> Slots<E> {
    pub(super) fn new(groups: &[GroupId]) -> Self {
        let slots = groups.iter().map(|group| (*group, Slot::Starting)).collect();
        Self { slots: Mutex::new(slots), snapshots: Mutex::new(BTreeMap::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<GroupId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, group: GroupId, slot: Slot) {
        self.lock().insert(group, slot);
    }

    pub(super) fn get(&self, group: GroupId) -> Option<Slot> {
        self.lock().get(&group).cloned()
    }

    pub(super) fn groups(&self) -> Vec<GroupId> {
        self.lock().keys().copied().collect()
    }

    /// The task of a group that serves here.
    pub(super) fn serving(&self, group: GroupId) -> Result<Handle, Status> {
        match self.get(group) {
            Some(Slot::Serving(handle)) => Ok(handle),
            Some(Slot::Starting) => Err(Status::new(Code::Unavailable, format!("{group} is starting"))),
            Some(Slot::Lost(_)) => Err(Status::new(Code::Unavailable, format!("{group} is lost here"))),
            None => Err(Status::new(Code::NotHere, format!("no {group} on this server"))),
        }
    }

    pub(super) fn snapshot(&self, group: GroupId, index: u64) -> Option<Open<E>> {
        let snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        snapshots.get(&group).filter(|open| open.1.index == index).cloned()
    }

    pub(super) fn drop_snapshot(&self, group: GroupId, index: u64) {
        let mut snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        if snapshots.get(&group).is_some_and(|open| open.1.index == index) {
            snapshots.remove(&group);
        }
    }

    pub(super) fn keep_snapshot(&self, group: GroupId, open: Open<E>) {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner).insert(group, open);
    }
}

/// What a server answers to an inquiry about a replica it has not got.
pub(super) fn without(replica: Option<ReplicaId>, standing: Standing) -> Answer {
    let (end, members) = (End::default(), Members::default());
    Answer { replica, standing, term: 0, end, counted: true, commit: 0, members }
}
