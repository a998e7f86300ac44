//! Open directories.

use super::listing::{Line, Listing, Step};
use super::{FsError, Handle, Mount, surprise};
use futures::lock::Mutex;
use futures::stream::{self, StreamExt, TryStreamExt};
use mooseng_core::env::Env;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Access, Answer, Attr, Caller, Name, Query, Refusal};
use mooseng_core::{plant, probe};

/// Entries asked for at once.
const PAGE_ENTRIES: u32 = 1_000;
/// Attributes asked for side by side.
const ATTRIBUTES_AT_ONCE: usize = 64;

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
        self.list(handle, (offset, lines_max), false).await
    }

    async fn list(
        &self,
        handle: Handle,
        (mut offset, lines_max): (u64, usize),
        attributes: bool,
    ) -> Result<Vec<Line>, FsError> {
        let directory = self.directories.get(handle)?;
        let mut listing = directory.listing.lock().await;
        let mut shown = Vec::new();
        loop {
            let cookie = match listing.step(offset, lines_max) {
                // Whoever sees only these takes the directory for one in which nobody looks at attributes.
                Step::Lines(dots) if dots.last().is_some_and(Line::is_dot) && dots.len() < lines_max => {
                    offset = dots.last().map_or(offset, |last| last.offset);
                    shown = dots;
                    continue;
                }
                Step::Lines(mut lines) => {
                    lines.truncate(lines_max.saturating_sub(shown.len()).max(1));
                    shown.extend(lines);
                    return Ok(shown);
                }
                Step::Fetch { cookie } => cookie,
            };
            let query = Query::ReadDir { directory: listing.directory(), cookie, limit: PAGE_ENTRIES };
            let answer = match attributes {
                true => self.sessions.list(&directory.caller, &query).await?,
                false => self.sessions.ask(&directory.caller, &query).await?,
            };
            match answer {
                Answer::Entries { entries, end } => listing.take(cookie, entries, end),
                other => return Err(surprise(&other)),
            }
        }
    }

    /// As [`Self::readdir`], with the attributes of what is shown: `None` for `.` and `..`, which everybody
    /// knows. What went meanwhile is not shown.
    pub async fn readdir_with_attributes(
        &self,
        handle: Handle,
        offset: u64,
        lines_max: usize,
    ) -> Result<Vec<(Line, Option<Attr>)>, FsError> {
        let directory = self.directories.get(handle)?.listing.lock().await.directory();
        let mut after = offset;
        loop {
            let lines = self.list(handle, (after, lines_max), true).await?;
            let Some(last) = lines.last() else { return Ok(Vec::new()) };
            after = last.offset;
            let shown = lines.into_iter().map(|line| self.with_attributes(directory, line));
            let shown: Vec<_> = stream::iter(shown).buffered(ATTRIBUTES_AT_ONCE).try_collect().await?;
            let shown: Vec<_> = shown.into_iter().flatten().collect();
            // That all of them went is no end.
            if plant!("listing-ends-where-all-is-gone", !shown.is_empty(), true) {
                return Ok(shown);
            }
            probe!("all that was to be listed next is gone");
        }
    }

    async fn with_attributes(
        &self,
        directory: InodeId,
        line: Line,
    ) -> Result<Option<(Line, Option<Attr>)>, FsError> {
        if line.inode == directory {
            return Ok(Some((line, None)));
        }
        // Whoever may list a directory may see the attributes; whether they may go there is another matter.
        match self.getattr(&Caller::ROOT, line.inode).await {
            Ok(attr) => Ok(Some((line, Some(attr)))),
            Err(FsError::Refused(Refusal::Stale)) => plant!(
                "listing-drops-what-was-replaced",
                self.with_what_is_there_now(directory, line).await,
                Ok(None)
            ),
            Err(error) => Err(error),
        }
    }

    /// What stood behind a name is gone. Something else may have taken the name: then it was there all the
    /// time, and is to be listed.
    async fn with_what_is_there_now(
        &self,
        directory: InodeId,
        line: Line,
    ) -> Result<Option<(Line, Option<Attr>)>, FsError> {
        let Ok(name) = Name::new(line.name.clone()) else { return Ok(None) };
        match self.lookup(&Caller::ROOT, directory, name).await {
            Ok(attr) => {
                probe!("a name in a listing leads to something else by now");
                let line = Line { inode: attr.inode, kind: attr.kind, ..line };
                Ok(Some((line, Some(attr))))
            }
            Err(FsError::Refused(Refusal::NotFound | Refusal::Stale)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn releasedir(&self, handle: Handle) -> Result<(), FsError> {
        self.directories.remove(handle).map(|_| ())
    }
}
