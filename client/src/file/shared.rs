//! One file that is open on this mount, shared by all its handles. Moves what [`State`] says
//! between the writers, the chunk servers and the metadata service.

use super::FileConfig;
use super::budget::{Budget, Share};
use super::dirty::Run;
use super::error::FileError;
use super::grants::Grants;
use super::pack::{Packed, pack};
use super::service::{FileService, Size};
use super::state::{RUNS_MAX, State};
use crate::data::Store;
use futures::channel::oneshot;
use futures::future::try_join_all;
use mooseng_core::class::StorageClass;
use mooseng_core::env::{Clock, Env, sleep};
use mooseng_core::event::Event;
use mooseng_core::extent::{FileExtent, NewSlice};
use mooseng_core::id::{InodeId, SliceId};
use mooseng_core::namespace::Refusal;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How often room is made for one commit.
const COMPACTIONS_MAX: u32 = 8;

/// What all files of a mount share.
pub(super) struct Mounted<E: Env, S> {
    pub(super) env: E,
    pub(super) config: FileConfig,
    pub(super) store: Store<E>,
    pub(super) service: S,
    pub(super) grants: Grants,
    pub(super) unwritten: Arc<Budget>,
    pub(super) ahead: Arc<Budget>,
}

pub(super) struct Shared<E: Env, S> {
    pub(super) mounted: Arc<Mounted<E, S>>,
    pub(super) inode: InodeId,
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    class: StorageClass,
    /// For what is dirty, and for each batch on its way.
    share: Option<Share>,
    shares: BTreeMap<u64, Share>,
    /// Something will look after what is dirty when it has become old.
    timer: bool,
}

impl<E: Env, S: FileService> Shared<E, S> {
    pub(super) fn new(mounted: Arc<Mounted<E, S>>, inode: InodeId, class: StorageClass, size: Size) -> Self {
        let state = State::new(size);
        let (share, shares, timer) = (None, BTreeMap::new(), false);
        Self { mounted, inode, inner: Mutex::new(Inner { state, class, share, shares, timer }) }
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.lock().state)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file was looked at again, as when it is opened: what is newer counts.
    pub(super) fn learn(&self, class: StorageClass, size: Size) {
        let mut inner = self.lock();
        inner.class = class;
        inner.state.learn(size);
    }

    /// Waits until `look` finds something.
    pub(super) async fn wait_for<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let turn = {
                let state = &mut self.lock().state;
                if let Some(found) = look(state) {
                    return found;
                }
                state.wait()
            };
            // An error means that the waker was dropped with its place: look again either way.
            let _ = turn.await;
        }
    }

    /// Takes a write in, if there is room for it; otherwise gives back what to wait for.
    pub(super) fn try_write(self: &Arc<Self>, offset: u64, bytes: &[u8]) -> Result<(), Full> {
        let config = &self.mounted.config;
        let mut guard = self.lock();
        let inner = &mut *guard;
        if inner.state.unwritten_bytes() + bytes.len() > config.file_unwritten_max {
            return Err(Full::File);
        }
        let Some(mut share) = self.mounted.unwritten.try_take(bytes.len()) else { return Err(Full::Mount) };
        let grown = inner.state.write(offset, bytes);
        inner.state.written = self.mounted.env.clock().wall();
        share.shrink(grown);
        match &mut inner.share {
            Some(all) => all.join(share),
            None => inner.share = Some(share),
        }
        let due = inner.state.dirty_bytes() >= config.flush_bytes
            || inner.state.dirty_runs() >= RUNS_MAX
            || self.mounted.env.buggify("write-back at once");
        if due && inner.state.batches() < config.batches_max {
            drop(guard);
            self.depart();
        } else if !inner.timer {
            inner.timer = true;
            let (file, wait) = (self.clone(), config.dirty_age);
            drop(guard);
            self.mounted.env.spawn("write-back timer", async move {
                sleep(&file.mounted.env, wait).await;
                file.lock().timer = false;
                file.depart();
            });
        }
        Ok(())
    }

    /// Sends what is dirty on its way.
    pub(super) fn depart(self: &Arc<Self>) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let Some((number, runs)) = inner.state.depart() else { return };
        let bytes = runs.iter().map(|run| run.bytes.len()).sum();
        if let Some(share) = &mut inner.share {
            let share = share.split(bytes);
            inner.shares.insert(number, share);
        }
        let class = inner.class;
        drop(guard);
        let file = self.clone();
        self.mounted.env.spawn("write-back", async move {
            let outcome = file.carry(number, class, runs).await;
            file.arrive(number, outcome);
        });
    }

    fn arrive(self: &Arc<Self>, number: u64, outcome: Result<Option<Size>, FileError>) {
        if let Err(error) = &outcome {
            let (file, why) = (self.inode, error.to_string());
            self.mounted.env.note(Event::WriteBackFailed { file, why });
        }
        let (share, due) = {
            let mut inner = self.lock();
            inner.state.arrived(number, outcome);
            let due = inner.state.dirty_bytes() >= self.mounted.config.flush_bytes;
            (inner.shares.remove(&number), due)
        };
        drop(share);
        if due {
            self.depart();
        }
    }

    /// Makes a batch durable and commits it in its turn. Ends in that turn, whatever happens.
    async fn carry(
        &self,
        number: u64,
        class: StorageClass,
        runs: Vec<Run>,
    ) -> Result<Option<Size>, FileError> {
        let packed = pack(&runs, self.mounted.config.slice_bytes_max);
        let kept = self.keep(class, &packed).await;
        self.wait_for(|state| state.is_first(number).then_some(())).await;
        let (slices, extents) = kept?;
        let granted: Vec<SliceId> = slices.iter().map(|slice| slice.slice).collect();
        match self.commit(class, slices, extents).await {
            Ok(size) => Ok(Some(size)),
            Err(error) => {
                self.give_back(granted, &error).await;
                Err(error)
            }
        }
    }

    /// Commits in its turn, making room in chunks that have as many extents as they may have.
    async fn commit(
        &self,
        class: StorageClass,
        slices: Vec<NewSlice>,
        extents: Vec<FileExtent>,
    ) -> Result<Size, FileError> {
        let service = &self.mounted.service;
        let mut tries = 0;
        loop {
            // Whoever looks meanwhile is shown the same.
            let mtime = self.with(|state| state.written);
            let committed = service.commit(self.inode, slices.clone(), extents.clone(), mtime).await;
            match committed {
                Err(FileError::Refused(Refusal::TooFragmented)) if tries < COMPACTIONS_MAX => {
                    tries += 1;
                    self.make_room(class, &extents).await?;
                }
                committed => return committed,
            }
        }
    }

    /// Writes slices side by side, each under a number of its own.
    pub(super) async fn keep(
        &self,
        class: StorageClass,
        packed: &[Packed],
    ) -> Result<(Vec<NewSlice>, Vec<FileExtent>), FileError> {
        let Mounted { store, service, grants, config, .. } = &*self.mounted;
        let numbers = grants.take(service, self.inode, packed.len(), config.grant_batch).await?;
        let writes = numbers.iter().zip(packed).map(|(slice, packed)| {
            let (store, bytes) = (store.clone(), packed.bytes.clone());
            async move { store.write_slice(*slice, class, bytes).await }
        });
        let extents = numbers.iter().zip(packed).flat_map(|(slice, packed)| packed.extents(*slice)).collect();
        match try_join_all(writes).await {
            Ok(slices) => Ok((slices, extents)),
            Err(error) => {
                let error = FileError::from(error);
                self.give_back(numbers.clone(), &error).await;
                Err(error)
            }
        }
    }

    pub(super) async fn give_back(&self, slices: Vec<SliceId>, why: &FileError) {
        let Mounted { service, grants, .. } = &*self.mounted;
        if *why == FileError::SessionLost {
            grants.forget().await;
        } else {
            // If it does not arrive, the slices end with the session.
            let _ = service.abandon(slices).await;
        }
    }

    /// Waits until everything written to the file before now is committed, or has failed.
    pub(super) async fn settle(self: &Arc<Self>) {
        self.depart();
        let departed = self.with(|state| state.departed());
        self.wait_for(|state| state.is_over(departed).then_some(())).await;
    }

    /// Cuts or lengthens the file, behind everything that was written before. It takes its turn even
    /// if nobody waits for it any more: others stand behind it.
    pub(super) async fn truncate(self: &Arc<Self>, size: u64) -> Result<(), FileError> {
        let number = {
            let mut inner = self.lock();
            let (number, dropped) = inner.state.depart_truncation(size);
            if let Some(share) = &mut inner.share {
                drop(share.split(dropped));
            }
            number
        };
        let (tell, told) = oneshot::channel();
        let file = self.clone();
        self.mounted.env.spawn("truncate", async move {
            file.wait_for(|state| state.is_first(number).then_some(())).await;
            let outcome = file.mounted.service.truncate(file.inode, size).await;
            let known = outcome.as_ref().ok().copied();
            // Nobody's written bytes are lost by a failure, so it is told to the caller alone.
            file.arrive(number, Ok(known));
            let _ = tell.send(outcome.map(|_| ()));
        });
        told.await.unwrap_or_else(|_| Err(FileError::Io { what: "the mount is shutting down".to_owned() }))
    }
}

/// Why a write has to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Full {
    File,
    Mount,
}
