//! Open directories.

use super::listing::{Line, Listing, Step};
use super::{FsError, Handle, Mount, surprise};
use futures::lock::Mutex;
use mooseng_core::env::Env;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Access, Answer, Caller, Query};

/// Entries asked for at once.
const PAGE_ENTRIES: u32 = 1_000;

pub(super) struct Directory {
    /// Whoever opened it could read it, and goes on being able to.
    caller: Caller,
    listing: Mutex<Listing>,
}

impl<E: Env> Mount<E> {
    pub async fn opendir(&self, caller: &Caller, inode: InodeId) -> Result<Handle, FsError> {
        self.access(caller, inode, Access::READ).await?;
        let listing = Mutex::new(Listing::new(inode));
        self.directories.add(Directory { caller: caller.clone(), listing })
    }

    /// What follows `offset` (0: from the start), at most `lines_max` lines; none at all is the end.
    /// What exists throughout a listing is listed exactly once, whatever else changes meanwhile.
    pub async fn readdir(&self, handle: Handle, offset: u64, lines_max: usize) -> Result<Vec<Line>, FsError> {
        let directory = self.directories.get(handle)?;
        let mut listing = directory.listing.lock().await;
        loop {
            let cookie = match listing.step(offset, lines_max) {
                Step::Lines(lines) => return Ok(lines),
                Step::Fetch { cookie } => cookie,
            };
            let query = Query::ReadDir { directory: listing.directory(), cookie, limit: PAGE_ENTRIES };
            match self.sessions.ask(&directory.caller, &query).await? {
                Answer::Entries { entries, end } => listing.take(cookie, entries, end),
                other => return Err(surprise(&other)),
            }
        }
    }

    pub fn releasedir(&self, handle: Handle) -> Result<(), FsError> {
        self.directories.remove(handle).map(|_| ())
    }
}
