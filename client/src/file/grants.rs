//! Numbers of slices that were granted ahead, so that writing does not wait for them: a pool for
//! each slot, since files of one slot share them.

use super::error::FileError;
use super::service::FileService;
use futures::lock::Mutex;
use mooseng_core::extent::GRANT_MAX;
use mooseng_core::id::{InodeId, SliceId, Slot};
use mooseng_core::namespace::Refusal;
use std::collections::{BTreeMap, VecDeque};

/// Slots whose numbers are kept.
const SLOTS_MAX: usize = 64;

type Pools = BTreeMap<Slot, VecDeque<SliceId>>;

#[derive(Debug, Default)]
pub(super) struct Grants {
    pools: Mutex<Pools>,
}

impl Grants {
    /// `count` numbers for a file. Asks for `batch` at a time when the pool is empty.
    pub(super) async fn take(
        &self,
        service: &impl FileService,
        inode: InodeId,
        count: usize,
        batch: u32,
    ) -> Result<Vec<SliceId>, FileError> {
        // Held while asking: who comes meanwhile finds the pool filled.
        let mut pools = self.pools.lock().await;
        if pools.len() >= SLOTS_MAX && !pools.contains_key(&inode.slot()) {
            let other = pools.pop_first();
            give_back(service, other).await;
        }
        let mut spare = true;
        while pools.entry(inode.slot()).or_default().len() < count {
            let missing = count - pools.get(&inode.slot()).map_or(0, VecDeque::len);
            let missing = u32::try_from(missing).unwrap_or(GRANT_MAX);
            // When numbers are short, only what is needed is asked for, and others are given back.
            let wanted = if spare { missing.max(batch) } else { missing };
            match service.grant(inode, wanted.min(GRANT_MAX)).await {
                Ok(granted) if granted.is_empty() => {
                    return Err(FileError::Io { what: "the metadata service granted no slice".to_owned() });
                }
                Ok(granted) => pools.entry(inode.slot()).or_default().extend(granted),
                Err(FileError::Refused(Refusal::TooManyPending)) if spare => {
                    spare = false;
                    let kept = pools.remove(&inode.slot()).unwrap_or_default();
                    give_back(service, std::mem::take(&mut *pools)).await;
                    pools.insert(inode.slot(), kept);
                }
                Err(error) => return Err(error),
            }
        }
        let pool = pools.entry(inode.slot()).or_default();
        Ok(pool.drain(..count).collect())
    }

    /// What was granted means nothing any more: the session it was granted to is gone.
    pub(super) async fn forget(&self) {
        self.pools.lock().await.clear();
    }
}

/// What does not arrive ends with the session.
async fn give_back(service: &impl FileService, pools: impl IntoIterator<Item = (Slot, VecDeque<SliceId>)>) {
    for (_, pool) in pools {
        for slices in Vec::from(pool).chunks(GRANT_MAX as usize) {
            let _ = service.abandon(slices.to_vec()).await;
        }
    }
}
