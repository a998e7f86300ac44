//! Listings through a mount, at once or a few lines at a time.

use super::super::workload::Stop;
use super::{Seat, is_silent, refusal};
use mooseng_client::mount::{FsError, Handle, Line};
use mooseng_core::id::{IdKind, InodeId};
use mooseng_core::namespace::{Access, Answer, Attr, Caller, Name, Query, Refusal};
use std::sync::PoisonError;

static ROOT: Caller = Caller::ROOT;
/// How many pages of one directory are read before its listing is taken for endless.
const PAGES_MAX: usize = 10_000;

/// A listing that goes on.
#[derive(Clone, Copy)]
pub(super) struct Listed {
    handle: Handle,
    offset: u64,
}

fn is_dot(line: &Line) -> bool {
    [&b"."[..], b".."].contains(&&line.name[..])
}

/// What lines stand for, without `.` and `..`.
fn entries<'a>(lines: impl Iterator<Item = &'a Line>) -> Result<Vec<(Name, InodeId)>, Refusal> {
    let entries = lines.filter(|line| !is_dot(line));
    entries.map(|line| Ok((Name::new(line.name.clone())?, line.inode))).collect()
}

impl Seat {
    /// A file or a directory was opened for that, or was not.
    pub(super) fn opened<T>(
        &self,
        inode: InodeId,
        access: Access,
        observed: &Result<T, FsError>,
    ) -> Result<(), Stop> {
        let Some(answer) = refusal(observed) else {
            return match observed {
                Err(error) if !is_silent(error) => Err(self.surprise(&inode, error)),
                _ => Err(Stop::Absent),
            };
        };
        self.say(|| format!("{inode:?} opened: {answer:?}"));
        let verdict = self.mounts.together().opened(inode, access, answer);
        self.hold(&("open", inode, answer), verdict)?;
        answer.map_err(|_| Stop::Absent)
    }

    async fn begin_listing(&self, directory: InodeId) -> Result<Handle, Stop> {
        let opened = self.mount.opendir(&ROOT, directory).await;
        // Anything can be opened for reading; only a directory is listed.
        self.opened(directory, Access::READ, &opened)?;
        let handle = opened.map_err(|_| Stop::Absent)?;
        self.mounts.together().listing_begins((self.number, handle.0), directory);
        Ok(handle)
    }

    fn end_listing(&self, handle: Handle) {
        self.mounts.together().listing_ends((self.number, handle.0));
        let _ = self.mount.releasedir(handle);
    }

    /// Lines were shown, or the listing failed.
    fn shown<'a>(
        &self,
        (handle, directory): (Handle, InodeId),
        lines: Result<impl Iterator<Item = &'a Line> + Clone, &FsError>,
        first: bool,
    ) -> Result<(), Stop> {
        match lines {
            Ok(lines) => {
                let ends = lines.clone().next().is_none();
                let entries = entries(lines).map_err(|_| Stop::Absent)?;
                if entries.is_empty() && !ends {
                    return Ok(());
                }
                self.say(|| format!("{directory:?} lists {entries:?}, first: {first}"));
                let verdict = self.mounts.together().listed((self.number, handle.0), &entries);
                self.hold(&("list", directory, &entries), verdict)
            }
            Err(FsError::Refused(reason)) => {
                let query = Query::ReadDir { directory, cookie: 0, limit: 1 };
                let verdict = self.mounts.together().answered(self.number, &query, &Err(*reason));
                self.hold(&("list", directory, reason), verdict)?;
                Err(Stop::Absent)
            }
            Err(error) if is_silent(error) => Err(Stop::Absent),
            Err(error) => Err(self.surprise(&("list", directory), error)),
        }
    }

    /// The whole directory; gives what is in it.
    pub(super) async fn list_all(
        &self,
        directory: InodeId,
        page: usize,
    ) -> Result<Vec<(Name, InodeId)>, Stop> {
        let handle = self.begin_listing(directory).await?;
        let mut offset = 0;
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let lines = self.mount.readdir(handle, offset, page).await;
            let shown =
                self.shown((handle, directory), lines.as_ref().map(|lines| lines.iter()), offset == 0);
            if let Err(stop) = shown {
                self.end_listing(handle);
                return Err(stop);
            }
            let Ok(lines) = lines else { break };
            let Some(last) = lines.last() else { break };
            offset = last.offset;
            all.extend(entries(lines.iter()).map_err(|_| Stop::Absent)?);
        }
        self.end_listing(handle);
        Ok(all)
    }

    /// The next lines, with the attributes of what is shown.
    pub(super) async fn list_on(&self, directory: InodeId, lines_max: usize) -> Result<(), Stop> {
        let known = self.listed.lock().unwrap_or_else(PoisonError::into_inner).remove(&directory);
        let Listed { handle, offset } = match known {
            Some(listed) => listed,
            None => Listed { handle: self.begin_listing(directory).await?, offset: 0 },
        };
        let lines = self.mount.readdir_with_attributes(handle, offset, lines_max).await;
        let shown = self.shown(
            (handle, directory),
            lines.as_ref().map(|lines| lines.iter().map(|(line, _)| line)),
            offset == 0,
        );
        let Ok(lines) = lines else {
            self.end_listing(handle);
            return shown;
        };
        shown?;
        for (line, attr) in &lines {
            self.attributes_shown(line, attr.as_ref())?;
        }
        match lines.last() {
            None => self.end_listing(handle),
            Some((last, _)) => {
                let listed = Listed { handle, offset: last.offset };
                self.listed.lock().unwrap_or_else(PoisonError::into_inner).insert(directory, listed);
            }
        }
        Ok(())
    }

    fn attributes_shown(&self, line: &Line, attr: Option<&Attr>) -> Result<(), Stop> {
        let Some(attr) = attr else {
            let told = mooseng_client::mount::FsError::Unsupported;
            return if is_dot(line) { Ok(()) } else { Err(self.surprise(line, &told)) };
        };
        let query = Query::GetAttr { inode: line.inode };
        let outcome = Ok(Answer::Attr(*attr));
        self.say(|| format!("{:?} is listed as {outcome:?}", line.name));
        let verdict = self.mounts.together().answered(self.number, &query, &outcome);
        self.hold(&(&query, &outcome), verdict)
    }

    pub(super) fn end_listings(&self) {
        let listed = std::mem::take(&mut *self.listed.lock().unwrap_or_else(PoisonError::into_inner));
        listed.into_values().for_each(|listed| self.end_listing(listed.handle));
    }

    /// Every name there is, and what it stands for.
    pub(super) async fn look_at_all(&self) {
        let mut open = vec![InodeId::ROOT];
        while let Some(directory) = open.pop() {
            if self.mounts.together().is_at_a_loss() {
                return;
            }
            let Ok(entries) = self.list_all(directory, 64).await else { continue };
            for (name, inode) in entries {
                let found = self.lookup(directory, name).await;
                let _ = self.getattr(inode).await;
                if found.is_ok() && inode.kind() == IdKind::Directory {
                    open.push(inode);
                }
            }
        }
    }
}
