//! Giving parts up: a record in the log for those in segments, a name less for those with a file
//! of their own. When it is answered it is durable: a part never comes back.

use super::index::{Entry, Verdict};
use super::large::halt;
use super::shared::{Answer, FileKey, Shared, What, own_file};
use super::{Given, Store, StoreError};
use futures::channel::oneshot;
use futures::future::join_all;
use mooseng_core::env::{Disk, DiskError, Env};
use mooseng_core::id::PartId;
use mooseng_core::plant;
use std::collections::BTreeMap;
use std::sync::Arc;

impl<E: Env> Store<E> {
    /// Gives up each of these parts, if it is this incarnation of it (0: whichever is there).
    pub async fn give_up(&self, parts: &[(PartId, u64)]) -> Result<Vec<Given>, StoreError> {
        let mut given = vec![Given::Absent; parts.len()];
        let mut small = Vec::new();
        let mut large = Vec::new();
        for (number, (part, incarnation)) in parts.iter().enumerate() {
            let verdict = self.shared.lock().index.kill(*part, *incarnation);
            match verdict {
                Verdict::Absent => {}
                Verdict::Other => given[number] = Given::Other,
                Verdict::Own(entry) => large.push((number, *part, entry)),
                Verdict::Kill(_) | Verdict::Forget => {
                    let what = What::GiveUp { part: *part, incarnation: *incarnation };
                    small.push((number, self.shared.push(&self.queue, what)?));
                }
            }
        }
        if !large.is_empty() {
            self.remove_files(&large).await?;
            large.iter().for_each(|(number, ..)| given[*number] = Given::Done);
        }
        let (numbers, waits): (Vec<usize>, Vec<_>) = small.into_iter().unzip();
        for (number, answer) in numbers.into_iter().zip(join_all(waits).await) {
            given[number] = match answer.unwrap_or_else(|_| Err(self.shared.ended()))? {
                Answer::Done => Given::Done,
                Answer::Absent => Given::Absent,
                Answer::Other => Given::Other,
            };
        }
        Ok(given)
    }

    async fn remove_files(&self, parts: &[(usize, PartId, Entry)]) -> Result<(), StoreError> {
        // One that was named twice is one.
        let parts: BTreeMap<PartId, Entry> = parts.iter().map(|(_, part, entry)| (*part, *entry)).collect();
        let reserved = parts.keys().map(|part| self.shared.reserve(*part)).collect::<Result<Vec<_>, _>>()?;
        let (done, removed) = oneshot::channel();
        let shared = self.shared.clone();
        // It goes on even if the caller goes away.
        self.shared.env.spawn("store removal", async move {
            let result = remove(&shared, &parts).await;
            drop(reserved);
            let _ = done.send(result);
        });
        removed.await.unwrap_or_else(|_| Err(self.shared.ended()))
    }
}

async fn remove<E: Env>(shared: &Arc<Shared<E>>, parts: &BTreeMap<PartId, Entry>) -> Result<(), StoreError> {
    let disk = shared.env.disk();
    for (part, entry) in parts {
        match disk.remove(&shared.own_path(&own_file(*part, entry))).await {
            Ok(()) | Err(DiskError::NotFound { .. }) => {}
            Err(error) => return Err(halt(shared, error)),
        }
    }
    let synced =
        plant!("chunk-delete-acked-before-durable", disk.sync_dir(&shared.own_directory()).await, Ok(()));
    synced.map_err(|error| halt(shared, error))?;
    let mut state = shared.lock();
    for (part, entry) in parts {
        state.forget_file(FileKey::Own(*part, entry.incarnation));
        if state.index.get(*part).is_some_and(|current| current.incarnation == entry.incarnation) {
            state.index.remove(*part);
        }
    }
    Ok(())
}
