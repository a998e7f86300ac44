//! The bytes of files through a mount.

use super::super::workload::Stop;
use super::names::READ_AND_WRITE;
use super::pages::Pages;
use super::{Seat, Turn, UnderWay, is_silent};
use crate::model::contents::{Change, Ledger, Moment, Read, Stamp, bytes_of};
use crate::oracle::Sight;
use crate::plan::Action;
use mooseng_client::mount::{FsError, Handle, Reserve, Seek};
use mooseng_core::env::{Clock, Env};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Access, AttrChange, Caller};
use std::sync::{MutexGuard, PoisonError};

static ROOT: Caller = Caller::ROOT;

/// A file that is open. Each mount has one handle of a file at a time.
#[derive(Clone, Copy)]
pub(super) struct Open {
    pub(super) handle: Handle,
    /// Tells it from whatever else was opened in the run.
    number: u64,
    /// When the opening began.
    opened: Moment,
    turn: Turn,
}

impl Seat {
    pub(super) fn moment(&self) -> (Moment, Turn) {
        let moment = self.mounts.watch.record.ledger(Ledger::moment);
        (moment, self.mounts.together().turn())
    }

    pub(super) fn keep_open(&self, inode: InodeId, handle: Handle, (opened, turn): (Moment, Turn)) -> Open {
        let open = Open { handle, number: self.mounts.watch.record.handle(), opened, turn };
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(inode, open);
        open
    }

    pub(super) fn open_of(&self, inode: InodeId) -> Option<Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&inode).copied()
    }

    fn take_open(&self, inode: InodeId) -> Option<Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&inode)
    }

    /// What is open already, or is opened now and stays so.
    async fn opened_file(&self, inode: InodeId) -> Result<Open, Stop> {
        match self.open_of(inode) {
            Some(open) => Ok(open),
            None => self.open_anew(inode).await,
        }
    }

    async fn open_anew(&self, inode: InodeId) -> Result<Open, Stop> {
        // What is no file the kernel opens by itself, or never.
        if !self.mounts.together().is_file(inode) {
            return Err(Stop::Absent);
        }
        let moment = self.moment();
        let opened = self.mount.open_file(&ROOT, inode, READ_AND_WRITE).await;
        self.opened(inode, Access::READ.and(Access::WRITE), &opened)?;
        let opened = opened.map_err(|_| Stop::Absent)?;
        let open = self.keep_open(inode, opened.handle, moment);
        let runs = self.pages().opened(inode, opened.keeps_bytes);
        for (offset, bytes) in runs {
            self.say(|| format!("keeps {} cached bytes at {offset} of {inode:?}", bytes.len()));
            self.judge_bytes(inode, open, (offset, bytes.len() as u64), &bytes, moment.0, false)?;
        }
        Ok(open)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn act_on_file(&self, action: &Action) -> Result<(), Stop> {
        match action {
            Action::OpenFile { file } => {
                let inode = self.find(file).await?;
                // A program that opens it again closes the other one at last.
                let before = self.open_of(inode);
                self.open_anew(inode).await?;
                match before {
                    Some(before) => self.close(inode, before).await,
                    None => Ok(()),
                }
            }
            Action::Put { file, offset, length } => {
                let inode = self.find(file).await?;
                self.put(inode, *offset, *length).await
            }
            Action::Append { file, length } => {
                let inode = self.find(file).await?;
                self.opened_file(inode).await?;
                let size = self.getattr(inode).await?;
                self.put(inode, size, *length).await
            }
            Action::Get { file, offset, length } => {
                let inode = self.find(file).await?;
                let open = self.opened_file(inode).await?;
                self.get(inode, open, *offset, u64::from(*length), false).await
            }
            Action::Fsync { file } | Action::Flush { file } => {
                let inode = self.find(file).await?;
                let open = self.open_of(inode).ok_or(Stop::Absent)?;
                self.keep(inode, open, matches!(action, Action::Flush { .. })).await
            }
            Action::CloseFile { file } => {
                let inode = self.find(file).await?;
                let open = self.take_open(inode).ok_or(Stop::Absent)?;
                self.close(inode, open).await
            }
            Action::Cut { file, size } => {
                let inode = self.find(file).await?;
                self.opened_file(inode).await?;
                let change = AttrChange { size: Some(*size), by_handle: true, ..AttrChange::default() };
                self.setattr(inode, change).await
            }
            Action::Punch { file, offset, length } => {
                let inode = self.find(file).await?;
                self.punch(inode, *offset, *length).await
            }
            Action::Reserve { file, offset, length } => {
                let inode = self.find(file).await?;
                self.reserve(inode, *offset, *length).await
            }
            Action::Seek { file, offset, hole } => {
                let inode = self.find(file).await?;
                self.seek(inode, *offset, *hole).await
            }
            _ => Ok(()),
        }
    }

    fn doubt(&self, inode: InodeId) -> UnderWay<'_> {
        UnderWay { mounts: &self.mounts, op: None, file: Some(inode) }
    }

    /// A file that failed is closed; what is done with it next opens it again.
    fn failed(&self, inode: InodeId, verb: &str, error: &FsError) -> Stop {
        self.say(|| format!("{verb} of {inode:?}: {error}"));
        match error {
            FsError::BadHandle | FsError::TooManyHandles | FsError::Unsupported | FsError::TooLarge => {
                self.surprise(&(verb, inode), error)
            }
            _ => Stop::Absent,
        }
    }

    async fn give_up(&self, inode: InodeId) {
        // What the kernel has of a write that failed it drops.
        self.pages().forget(inode);
        if let Some(open) = self.take_open(inode) {
            let _ = self.mount.release(open.handle).await;
        }
    }

    async fn put(&self, inode: InodeId, offset: u64, length: u32) -> Result<(), Stop> {
        let open = self.opened_file(inode).await?;
        let (record, begun) = (&self.mounts.watch.record, self.moment().0);
        let change = Change::Write { offset, length: u64::from(length) };
        let stamp = record.ledger(|ledger| ledger.begin(inode, self.number, open.number, change, begun));
        let bytes = bytes_of(stamp, offset, length as usize);
        self.say(|| format!("change {stamp} writes {length} bytes at {offset} of {inode:?}"));
        let under_way = self.doubt(inode);
        let before = self.env.clock().wall();
        let written = self.mount.write(open.handle, offset, &bytes, false).await;
        let after = self.env.clock().wall();
        if let Err(error) = &written {
            self.give_up(inode).await;
            return Err(self.failed(inode, "write", error));
        }
        under_way.over();
        record.judged();
        let now = self.moment().0;
        record.ledger(|ledger| ledger.taken(inode, stamp, now));
        self.pages().write(inode, offset, &bytes);
        self.mounts.together().wrote(self.number, inode, offset, &bytes, (before, after));
        Ok(())
    }

    pub(super) fn cut_begins(&self, inode: InodeId, size: u64) -> Stamp {
        let (record, begun) = (&self.mounts.watch.record, self.moment().0);
        let number = self.open_of(inode).map_or_else(|| record.handle(), |open| open.number);
        record.ledger(|ledger| ledger.begin(inode, self.number, number, Change::Cut { size }, begun))
    }

    pub(super) fn cut_is_over(&self, inode: InodeId, stamp: Stamp) {
        let now = self.moment().0;
        self.mounts.watch.record.ledger(|ledger| ledger.cut(inode, stamp, now));
        self.pages().forget(inode);
    }

    async fn punch(&self, inode: InodeId, offset: u64, length: u64) -> Result<(), Stop> {
        let open = self.opened_file(inode).await?;
        let (record, begun) = (&self.mounts.watch.record, self.moment().0);
        let change = Change::Punch { offset, length };
        let stamp = record.ledger(|ledger| ledger.begin(inode, self.number, open.number, change, begun));
        let under_way = self.doubt(inode);
        if let Err(error) = self.mount.reserve(open.handle, offset, length, Reserve::Punch).await {
            self.give_up(inode).await;
            return Err(self.failed(inode, "punch", &error));
        }
        under_way.over();
        let now = self.moment().0;
        record.ledger(|ledger| {
            ledger.kept(inode, open.number, begun, now);
            ledger.cut(inode, stamp, now);
        });
        self.pages().forget(inode);
        self.say(|| format!("change {stamp} punches {length} bytes at {offset} of {inode:?}"));
        self.mounts.together().punched(self.number, inode, offset, length);
        Ok(())
    }

    /// Where it grows by that it is cut to a greater length.
    async fn reserve(&self, inode: InodeId, offset: u64, length: u64) -> Result<(), Stop> {
        let open = self.opened_file(inode).await?;
        let end = offset + length;
        let before = self.getattr(inode).await?;
        let stamp = (before < end).then(|| self.cut_begins(inode, end));
        let under_way = self.doubt(inode);
        if let Err(error) = self.mount.reserve(open.handle, offset, length, Reserve::Grow).await {
            self.give_up(inode).await;
            return Err(self.failed(inode, "reserve", &error));
        }
        under_way.over();
        if let Some(stamp) = stamp {
            self.cut_is_over(inode, stamp);
            self.mounts.together().grown(self.number, inode, end);
        }
        Ok(())
    }

    fn kept(&self, inode: InodeId, open: Open, begun: Moment, verb: &str) {
        let now = self.moment().0;
        self.mounts.watch.record.ledger(|ledger| ledger.kept(inode, open.number, begun, now));
        self.mounts.together().settled(self.number, inode);
        self.say(|| format!("{verb} of {inode:?} is acknowledged"));
    }

    async fn keep(&self, inode: InodeId, open: Open, as_close: bool) -> Result<(), Stop> {
        let begun = self.moment().0;
        let (verb, result) = match as_close {
            true => ("flush", self.mount.flush(open.handle).await),
            false => ("fsync", self.mount.fsync(open.handle).await),
        };
        if let Err(error) = &result {
            drop(self.doubt(inode));
            self.give_up(inode).await;
            return Err(self.failed(inode, verb, error));
        }
        self.kept(inode, open, begun, verb);
        Ok(())
    }

    /// As close(2) is told of: what fails is said, and it is closed all the same.
    async fn close(&self, inode: InodeId, open: Open) -> Result<(), Stop> {
        let begun = self.moment().0;
        let under_way = self.doubt(inode);
        let flushed = self.mount.flush(open.handle).await;
        let released = self.mount.release(open.handle).await;
        if let Err(error) = flushed.and(released) {
            return Err(self.failed(inode, "close", &error));
        }
        under_way.over();
        self.kept(inode, open, begun, "close");
        Ok(())
    }

    pub(super) async fn close_all(&self) {
        self.end_listings();
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        for (inode, open) in open {
            // How that went is with the model.
            let _ = self.close(inode, open).await;
        }
    }

    async fn get(
        &self,
        inode: InodeId,
        open: Open,
        offset: u64,
        wanted: u64,
        last: bool,
    ) -> Result<(), Stop> {
        let began = self.moment().0;
        let result = self.mount.read(open.handle, offset, wanted as usize).await;
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(error) => {
                let stop = self.failed(inode, "read", &error);
                // Whoever removed it may have done so.
                if last || matches!(error, FsError::Io { .. }) {
                    self.unreadable(inode, &error, last);
                }
                return Err(stop);
            }
        };
        self.say(|| format!("reads {} bytes at {offset} of {inode:?}", bytes.len()));
        self.pages().read(inode, offset, &bytes);
        self.judge_bytes(inode, open, (offset, wanted), &bytes, began, last)
    }

    /// Bytes were shown of a file that was opened at some time.
    fn judge_bytes(
        &self,
        inode: InodeId,
        open: Open,
        (offset, wanted): (u64, u64),
        bytes: &[u8],
        began: Moment,
        last: bool,
    ) -> Result<(), Stop> {
        let (record, ended) = (&self.mounts.watch.record, self.moment().0);
        let (at, client, opened) = (record.now(), self.number, open.opened);
        let read = Read { file: inode, client, opened, began, ended, offset, wanted, bytes };
        record.judge(|judge| ((), judge.read(at, client, &read, last)));
        let verdict = self.mounts.together().read(self.number, inode, open.turn, (offset, wanted), bytes);
        self.hold(&("read", inode, offset, wanted), verdict)
    }

    fn unreadable(&self, inode: InodeId, error: &FsError, last: bool) {
        let (record, client, what) = (&self.mounts.watch.record, self.number, error.to_string());
        let promised = record.ledger(|ledger| ledger.is_promised(inode));
        let lost = matches!(error, FsError::Io { .. });
        let sight = Sight::Unreadable { client, file: inode, what: &what, promised, lost, last };
        let at = record.now();
        record.judge(|judge| ((), judge.tell(at, sight)));
    }

    async fn seek(&self, inode: InodeId, offset: u64, hole: bool) -> Result<(), Stop> {
        let open = self.opened_file(inode).await?;
        let begun = self.moment().0;
        let what = if hole { Seek::Hole } else { Seek::Data };
        let found = match self.mount.seek(open.handle, offset, what).await {
            Ok(found) => found,
            Err(error) => {
                drop(self.doubt(inode));
                self.give_up(inode).await;
                return Err(self.failed(inode, "seek", &error));
            }
        };
        self.kept(inode, open, begun, "seek");
        self.say(|| format!("{what:?} of {inode:?} from {offset}: {found:?}"));
        let verdict = self.mounts.together().sought(self.number, inode, offset, hole, found);
        self.hold(&("seek", inode, offset, what, found), verdict)
    }

    /// All of every file that still is one. False if the cluster did not say.
    pub(super) async fn look_into_all(&self) -> bool {
        let record = &self.mounts.watch.record;
        let files: Vec<InodeId> = record.ledger(|ledger| ledger.files().collect());
        for inode in files {
            match self.mount.getattr(&ROOT, inode).await {
                Ok(_) => {}
                Err(error) if is_silent(&error) => return false,
                Err(_) => continue,
            }
            let Ok(size) = self.getattr(inode).await else { continue };
            let wanted = record.ledger(|ledger| ledger.length_max(inode)).max(size + 1);
            let Ok(open) = self.open_anew(inode).await else { continue };
            let _ = self.get(inode, open, 0, wanted, true).await;
            self.give_up(inode).await;
        }
        true
    }
}
