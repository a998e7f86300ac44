//! Parts on their way in, in several puts. What comes first is held in memory; a part that grows
//! beyond what the store packs together goes on in a file.

use super::ChunkServerConfig;
use crate::incoming::{Incoming, Run};
use bytes::{Bytes, BytesMut};
use futures::lock::Mutex as AsyncMutex;
use mooseng_core::env::Env;
use mooseng_core::id::PartId;
use mooseng_core::time::Instant;
use mooseng_storage::store::{Sealed, Upload};
use mooseng_storage::{Store, StoreError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A run of bytes with the sums it was found to have.
pub(super) struct Piece {
    pub(super) offset: u32,
    pub(super) sums: Vec<u32>,
    pub(super) data: Bytes,
}

pub(super) struct Uploads<E: Env> {
    store: Store<E>,
    small_bytes_max: usize,
    uploads_max: usize,
    bytes_max: usize,
    /// Of all uploads, in memory.
    bytes: Arc<AtomicUsize>,
    parts: Mutex<BTreeMap<PartId, Slot<E>>>,
}

struct Slot<E: Env> {
    /// One put after the other.
    upload: Arc<AsyncMutex<State<E>>>,
    used: Instant,
}

struct State<E: Env> {
    incoming: Incoming,
    held: BTreeMap<u32, Bytes>,
    /// What `held` counts for; it is given back when this is dropped.
    held_bytes: usize,
    file: Option<Upload<E>>,
    /// It was sealed, or forgotten.
    over: bool,
    bytes: Arc<AtomicUsize>,
}

impl<E: Env> Drop for State<E> {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl<E: Env> State<E> {
    fn let_go(&mut self) {
        self.bytes.fetch_sub(std::mem::take(&mut self.held_bytes), Ordering::Relaxed);
        self.held.clear();
    }
}

/// What came of a put that does not seal.
pub(super) enum Taken {
    Kept,
    Conflict,
}

impl<E: Env> Uploads<E> {
    pub(super) fn new(store: Store<E>, config: &ChunkServerConfig) -> Self {
        Self {
            store,
            small_bytes_max: config.store.small_bytes_max as usize,
            uploads_max: config.uploads_max,
            bytes_max: config.upload_bytes_max,
            bytes: Arc::default(),
            parts: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PartId, Slot<E>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn slot(&self, part: PartId, now: Instant) -> Result<Arc<AsyncMutex<State<E>>>, StoreError> {
        let mut parts = self.lock();
        if let Some(slot) = parts.get_mut(&part) {
            slot.used = now;
            return Ok(slot.upload.clone());
        }
        if parts.len() >= self.uploads_max {
            return Err(StoreError::Busy("too many parts are on their way in"));
        }
        let upload = Arc::new(AsyncMutex::new(State {
            incoming: Incoming::default(),
            held: BTreeMap::new(),
            held_bytes: 0,
            file: None,
            over: false,
            bytes: self.bytes.clone(),
        }));
        parts.insert(part, Slot { upload: upload.clone(), used: now });
        Ok(upload)
    }

    /// Keeps a run of bytes until the part is sealed.
    pub(super) async fn put(&self, part: PartId, piece: Piece, now: Instant) -> Result<Taken, StoreError> {
        let slot = self.slot(part, now)?;
        let mut state = slot.lock().await;
        self.take(&mut state, piece).await
    }

    async fn take(&self, state: &mut State<E>, piece: Piece) -> Result<Taken, StoreError> {
        if state.over {
            return Err(StoreError::Busy("the part was just sealed or forgotten"));
        }
        let Piece { offset, sums, data } = piece;
        let length = data.len() as u32;
        match state.incoming.look(offset, length, &sums) {
            Run::Known => return Ok(Taken::Kept),
            Run::Conflict => return Ok(Taken::Conflict),
            Run::New => {}
        }
        if state.file.is_none() && state.held_bytes + data.len() > self.small_bytes_max {
            let file = self.store.upload().await?;
            for (offset, data) in &state.held {
                file.write(*offset, data.clone()).await?;
            }
            state.let_go();
            state.file = Some(file);
        }
        match &state.file {
            Some(file) => file.write(offset, data).await?,
            None => {
                let held = self.bytes.fetch_add(data.len(), Ordering::Relaxed) + data.len();
                state.held_bytes += data.len();
                if held > self.bytes_max {
                    state.held_bytes -= data.len();
                    self.bytes.fetch_sub(data.len(), Ordering::Relaxed);
                    return Err(StoreError::Busy("too many bytes are on their way in"));
                }
                state.held.insert(offset, data);
            }
        }
        state.incoming.add(offset, length, sums);
        Ok(Taken::Kept)
    }

    /// Takes the last run, if there is one, and seals the part; `None` if bytes of it are missing,
    /// and an error `Conflict` if others came in their place.
    pub(super) async fn seal(
        &self,
        part: PartId,
        piece: Piece,
        length: u32,
        now: Instant,
    ) -> Result<Option<Sealed>, StoreError> {
        let slot = self.slot(part, now)?;
        let mut state = slot.lock().await;
        if let Taken::Conflict = self.take(&mut state, piece).await? {
            return Err(StoreError::Conflict);
        }
        let Some(sums) = state.incoming.whole(length) else { return Ok(None) };
        state.over = true;
        self.lock().remove(&part);
        let sealed = match state.file.take() {
            Some(file) => file.seal(part, length, sums).await?,
            None => {
                let mut data = BytesMut::with_capacity(length as usize);
                state.held.values().for_each(|bytes| data.extend_from_slice(bytes));
                self.store.put(part, sums, data.freeze()).await?
            }
        };
        Ok(Some(sealed))
    }

    /// Forgets what nothing has come of since `before`, or one part.
    pub(super) async fn forget(&self, before: Instant) -> Result<(), StoreError> {
        let idle: Vec<Arc<AsyncMutex<State<E>>>> = {
            let mut parts = self.lock();
            let idle: Vec<PartId> =
                parts.iter().filter(|(_, slot)| slot.used < before).map(|(part, _)| *part).collect();
            idle.iter().filter_map(|part| parts.remove(part)).map(|slot| slot.upload).collect()
        };
        for upload in idle {
            let mut state = upload.lock().await;
            state.over = true;
            state.let_go();
            if let Some(file) = state.file.take() {
                file.discard().await?;
            }
        }
        Ok(())
    }
}

/// When a part that was used last at `now - idle_max` is idle.
pub(super) fn idle_before(now: Instant, idle_max: Duration) -> Instant {
    now - idle_max
}
