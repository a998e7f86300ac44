//! Large parts, each in a file of its own: written under a passing name, synced, named, and the
//! name synced. A name that is there stands for a part that is whole.

use super::index::{Entry, Place};
use super::keeper::Chore;
use super::shared::{Reserved, Shared, own_file};
use super::{FileOf, Sealed, Store, StoreError};
use crate::error::StorageError;
use crate::field::join;
use bytes::Bytes;
use futures::channel::oneshot;
use mooseng_core::checksum::root;
use mooseng_core::env::{Disk, DiskError, Env, File, OpenMode};
use mooseng_core::id::PartId;
use mooseng_core::plant;

/// What files on their way in are called; they are removed when a store is opened.
pub(super) const INCOMING: &str = "incoming-";

/// A large part on its way in. One that is dropped is removed by the keeper, some time.
pub struct Upload<E: Env> {
    store: Store<E>,
    file: FileOf<E>,
    path: String,
    /// It has another name, or none.
    over: bool,
}

impl<E: Env> Drop for Upload<E> {
    fn drop(&mut self) {
        if !self.over {
            let path = std::mem::take(&mut self.path);
            let _ = self.store.chores.unbounded_send(Chore::Discard(path));
        }
    }
}

impl<E: Env> Store<E> {
    /// Begins a large part.
    pub async fn upload(&self) -> Result<Upload<E>, StoreError> {
        let shared = &self.shared;
        self.has_room().await?;
        let number = shared.lock().count();
        let path = join(&shared.own_directory(), &format!("{INCOMING}{number:020}"));
        let file = match shared.env.disk().open(&path, OpenMode::New).await {
            Ok(file) => file,
            Err(DiskError::NoSpace { .. }) => return Err(StoreError::NoSpace),
            Err(error) => return Err(StorageError::from(error).into()),
        };
        Ok(Upload { store: self.clone(), file, path, over: false })
    }

    /// Is there room for new parts?
    pub(super) async fn has_room(&self) -> Result<(), StoreError> {
        if self.space().await?.free < self.shared.config.free_bytes_min {
            return Err(StoreError::NoSpace);
        }
        Ok(())
    }
}

impl<E: Env> Upload<E> {
    /// Bytes of the part, in any order. The caller has compared them with their sums.
    pub async fn write(&self, offset: u32, data: Bytes) -> Result<(), StoreError> {
        match self.file.write_at(u64::from(offset), data).await {
            Ok(()) => Ok(()),
            Err(DiskError::NoSpace { .. }) => Err(StoreError::NoSpace),
            Err(error) => Err(self.halt(error)),
        }
    }

    /// All of it has come; when this returns, it is durable. It goes on even if the caller goes
    /// away: half of it would be worse.
    pub async fn seal(self, part: PartId, length: u32, sums: Vec<u32>) -> Result<Sealed, StoreError> {
        let known = self.store.known(part, length, &sums).await;
        let reserved = match known {
            Ok(None) => self.store.shared.reserve(part),
            Ok(Some(sealed)) => {
                self.discard().await?;
                return Ok(sealed);
            }
            Err(error) => Err(error),
        };
        let reserved = match reserved {
            Ok(reserved) => reserved,
            Err(error) => {
                self.discard().await?;
                return Err(error);
            }
        };
        let (done, sealed) = oneshot::channel();
        let (env, shared) = (self.store.shared.env.clone(), self.store.shared.clone());
        env.spawn("store seal", async move {
            // Whoever dropped the future did not want to know.
            let _ = done.send(self.finish(part, length, sums, reserved).await);
        });
        sealed.await.unwrap_or_else(|_| Err(shared.ended()))
    }

    async fn finish(
        mut self,
        part: PartId,
        length: u32,
        sums: Vec<u32>,
        _reserved: Reserved<E>,
    ) -> Result<Sealed, StoreError> {
        let shared = self.store.shared.clone();
        if shared.entry(part)?.is_some() {
            self.discard().await?;
            return Err(StoreError::Busy("the part was put by somebody else"));
        }
        let root = root(part, u64::from(length), &sums);
        let incarnation = shared.incarnation();
        let entry = Entry::new(incarnation, length, Place::Own);
        let own = own_file(part, &entry);
        match self.file.write_at(own.sums_at(), own.encode_end(&sums, &root).into()).await {
            Ok(()) => {}
            Err(DiskError::NoSpace { .. }) => {
                self.discard().await?;
                return Err(StoreError::NoSpace);
            }
            Err(error) => return Err(self.halt(error)),
        }
        let disk = shared.env.disk();
        let named = async {
            plant!("chunk-large-part-named-before-sync", self.file.sync().await?, ());
            disk.rename(&self.path, &shared.own_path(&own)).await?;
            disk.sync_dir(&shared.own_directory()).await
        };
        match named.await {
            Ok(()) => self.over = true,
            Err(DiskError::NoSpace { .. }) => {
                self.discard().await?;
                return Err(StoreError::NoSpace);
            }
            Err(error) => return Err(self.halt(error)),
        }
        plant!("chunk-index-forgets-large-part", shared.lock().index.insert(part, entry), ());
        Ok(Sealed { root, incarnation })
    }

    /// Gives the space back.
    pub async fn discard(mut self) -> Result<(), StoreError> {
        self.over = true;
        match self.store.shared.env.disk().remove(&self.path).await {
            Ok(()) | Err(DiskError::NotFound { .. }) => Ok(()),
            Err(error) => Err(StorageError::from(error).into()),
        }
    }

    fn halt(&self, error: DiskError) -> StoreError {
        halt(&self.store.shared, error)
    }
}

/// A disk that failed to write or sync: the server stops.
pub(super) fn halt<E: Env>(shared: &Shared<E>, error: DiskError) -> StoreError {
    let error = StorageError::from(error);
    shared.halt(&error);
    error.into()
}
