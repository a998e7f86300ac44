//! Numbers of slices that were granted ahead, so that writing does not wait for them: a pool for
//! each slot, since files of one slot share them.

use super::error::FileError;
use super::service::FileService;
use futures::lock::Mutex;
use mooseng_core::id::{InodeId, SliceId, Slot};
use std::collections::{BTreeMap, VecDeque};

/// Slots whose numbers are kept.
const SLOTS_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Grants {
    pools: Mutex<BTreeMap<Slot, VecDeque<SliceId>>>,
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
            // What was granted and is not used ends with the session.
            pools.pop_first();
        }
        let pool = pools.entry(inode.slot()).or_default();
        while pool.len() < count {
            let missing = u32::try_from(count - pool.len()).unwrap_or(u32::MAX);
            let granted = service.grant(inode, missing.max(batch)).await?;
            if granted.is_empty() {
                return Err(FileError::Io { what: "the metadata service granted no slice".to_owned() });
            }
            pool.extend(granted);
        }
        Ok(pool.drain(..count).collect())
    }

    /// What was granted means nothing any more: the session it was granted to is gone.
    pub(super) async fn forget(&self) {
        self.pools.lock().await.clear();
    }
}
