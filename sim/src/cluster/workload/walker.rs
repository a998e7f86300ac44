//! What a client asks over its session, and what each kind of step comes to; writes down what was asked and
//! what was told.

use super::super::record::Record;
use super::{Client, Stop};
use crate::history::{Asked, Ending, Request};
use crate::machine::SimEnv;
use crate::plan::{Action, Base, Place};
use bytes::Bytes;
use mooseng_client::{Answered, ClientError, Hold, Session};
use mooseng_core::class::{CHUNK_BYTES, StorageClass};
use mooseng_core::id::{IdKind, InodeId, ServerId, SliceId};
use mooseng_core::namespace::{
    Access, Answer, Caller, FileExtent, FileKind, Name, NewSlice, Op, Query, Refusal, XATTR_BYTES_MAX,
    XattrName,
};
use mooseng_core::time::{Instant, WallTime};
use std::collections::BTreeSet;

/// How many pages of one directory a client reads before it takes the listing for endless.
const PAGES_MAX: u32 = 10_000;
/// How many slices a client asks for at once: some are left when its session ends.
const GRANTED: u32 = 3;
/// Of the changes of a session: one that makes a file opens it, too.
const OPENED_EVERY: u64 = 3;
/// Who the clients are.
const UID: u32 = 1_000;
const GID: u32 = 1_000;

/// A client with a session, in somebody's name.
pub(in crate::cluster) struct Walker<'a> {
    pub(super) client: &'a Client,
    pub(in crate::cluster) session: Session<SimEnv>,
    pub(super) caller: Caller,
}

impl Walker<'_> {
    pub(super) async fn act(&self, action: &Action, label: Option<u32>) -> Result<(), Stop> {
        let answered = match action {
            Action::Lookup { at } => {
                let (parent, name) = self.directory_of(at).await?;
                self.ask(Query::Lookup { parent, name }).await?
            }
            Action::GetAttr { inode } => self.ask(Query::GetAttr { inode: self.find(inode).await? }).await?,
            Action::Open { inode } => return self.open(self.find(inode).await?).await,
            Action::Close => {
                self.close();
                return Ok(());
            }
            Action::LookAtOpen => return self.look_at_open().await,
            Action::ReadLink { inode } => {
                self.ask(Query::ReadLink { inode: self.find(inode).await? }).await?
            }
            Action::GetXattr { inode, name } => {
                let inode = self.find(inode).await?;
                self.ask(Query::GetXattr { inode, name: xattr_name(name)? }).await?
            }
            Action::ListXattr { inode } => {
                self.ask(Query::ListXattr { inode: self.find(inode).await? }).await?
            }
            Action::Access { inode, access } => {
                self.ask(Query::Access { inode: self.find(inode).await?, access: *access }).await?
            }
            Action::ReadDir { directory, page } => {
                let directory = self.find(directory).await?;
                self.list(directory, *page).await?;
                return Ok(());
            }
            Action::Map { file, offset, length } => {
                let inode = self.find(file).await?;
                self.ask(Query::Map { inode, offset: *offset, length: *length }).await?
            }
            Action::Write { file, offset, length } => {
                let inode = self.find(file).await?;
                let (slices, slice) = self.slice(inode, *length).await?;
                let extents = vec![FileExtent { offset: *offset, length: *length, slice, slice_offset: 0 }];
                self.change(Op::Commit { inode, slices, extents, mtime: WallTime(i64::from(*length)) })
                    .await?
            }
            Action::Compact { file } => self.compact(self.find(file).await?).await?,
            change => {
                let op = self.op(change).await?;
                self.change(op).await?
            }
        };
        if let (Some(label), Ok(Answer::Attr(attr))) = (label, &answered.outcome) {
            self.client.watch.record.made(label, attr.inode);
        }
        Ok(())
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each action there is")]
    async fn op(&self, action: &Action) -> Result<Op, Stop> {
        let root = self.caller.is_root();
        let (uid, gid) = if root { (UID, GID) } else { (self.caller.uid, self.caller.gid) };
        Ok(match action {
            Action::Mkdir { at, mode } => {
                let (parent, name) = self.directory_of(at).await?;
                Op::Mkdir { parent, name, mode: *mode, uid, gid }
            }
            Action::Create { at, mode } => {
                let (parent, name) = self.directory_of(at).await?;
                Op::Create { parent, name, mode: *mode, uid, gid }
            }
            Action::Unlink { at } => {
                let (parent, name) = self.directory_of(at).await?;
                Op::Unlink { parent, name }
            }
            Action::Rmdir { at } => {
                let (parent, name) = self.directory_of(at).await?;
                Op::Rmdir { parent, name }
            }
            Action::Rename { source, target, mode } => {
                let (source_parent, source_name) = self.directory_of(source).await?;
                let (target_parent, target_name) = self.directory_of(target).await?;
                Op::Rename { source_parent, source_name, target_parent, target_name, mode: *mode }
            }
            Action::Link { inode, at } => {
                let inode = self.find(inode).await?;
                let (parent, name) = self.directory_of(at).await?;
                Op::Link { inode, parent, name }
            }
            Action::SetAttr { inode, change } => {
                Op::SetAttr { inode: self.find(inode).await?, change: *change }
            }
            Action::Symlink { at, target } => {
                let (parent, name) = self.directory_of(at).await?;
                Op::Symlink { parent, name, target: target.clone(), uid, gid }
            }
            Action::Mknod { at, rdev } => {
                let (parent, name) = self.directory_of(at).await?;
                let kind = rdev.map_or(FileKind::Fifo, |_| FileKind::CharDevice);
                let rdev = rdev.unwrap_or_default();
                Op::Mknod { parent, name, kind, mode: 0o644, rdev, uid, gid }
            }
            Action::Punch { file, offset, length } => {
                Op::Punch { inode: self.find(file).await?, offset: *offset, length: *length }
            }
            Action::SetClass { inode, class } => {
                Op::SetClass { inode: self.find(inode).await?, class: *class }
            }
            Action::SetXattr { inode, name, value, mode } => Op::SetXattr {
                inode: self.find(inode).await?,
                name: xattr_name(name)?,
                value: xattr_value(value)?,
                mode: *mode,
            },
            Action::RemoveXattr { inode, name } => {
                Op::RemoveXattr { inode: self.find(inode).await?, name: xattr_name(name)? }
            }
            Action::Lookup { .. }
            | Action::GetXattr { .. }
            | Action::ListXattr { .. }
            | Action::GetAttr { .. }
            | Action::ReadDir { .. }
            | Action::ReadLink { .. }
            | Action::Access { .. }
            | Action::Map { .. }
            | Action::Write { .. }
            | Action::Compact { .. }
            | Action::Open { .. }
            | Action::Close
            | Action::LookAtOpen
            | Action::OpenFile { .. }
            | Action::Put { .. }
            | Action::Get { .. }
            | Action::Fsync { .. }
            | Action::CloseFile { .. }
            | Action::Cut { .. }
            | Action::Append { .. }
            | Action::Flush { .. }
            | Action::Reserve { .. }
            | Action::Seek { .. }
            | Action::ListOn { .. }
            | Action::AddServer { .. }
            | Action::RemoveServer { .. }
            | Action::Leave => unreachable!("what is no single change is done elsewhere"),
        })
    }

    /// A slice of so many bytes that is granted for the file, as it is committed.
    async fn slice(&self, inode: InodeId, length: u32) -> Result<(Vec<NewSlice>, SliceId), Stop> {
        let known = self.client.progress().slices.get_mut(&inode).and_then(Vec::pop);
        let slice = match known {
            Some(slice) => slice,
            None => {
                let granted = self.change(Op::GrantSlices { inode, count: GRANTED }).await?;
                let Ok(Answer::Slices { first, count }) = granted.outcome else { return Err(Stop::Absent) };
                let rest = (1..u64::from(count)).filter_map(|ahead| first.plus(ahead));
                self.client.progress().slices.entry(inode).or_default().extend(rest);
                first
            }
        };
        let parts = vec![Some(ServerId(101)), Some(ServerId(102))];
        Ok((vec![NewSlice { slice, class: StorageClass::default(), length, parts }], slice))
    }

    async fn compact(&self, inode: InodeId) -> Result<Answered, Stop> {
        let mapped = self.ask(Query::Map { inode, offset: 0, length: CHUNK_BYTES }).await?;
        let Ok(Answer::Map { extents: replaced, .. }) = &mapped.outcome else { return Err(Stop::Absent) };
        let (Some(first), Some(last)) = (replaced.first(), replaced.last()) else { return Ok(mapped) };
        let (offset, length) = (first.offset, (last.end() - first.offset) as u32);
        let replaced = replaced.clone();
        let (slices, slice) = self.slice(inode, length).await?;
        let extents = vec![FileExtent { offset, length, slice, slice_offset: 0 }];
        Ok(self.change(Op::Compact { inode, replaced, slices, extents }).await?)
    }

    /// To the model it is a question of access.
    async fn open(&self, inode: InodeId) -> Result<(), Stop> {
        let (session, record) = (self.session.id(), &self.client.watch.record);
        let call = self.call(Asked::Question(Query::Access { inode, access: Access::default() }));
        // Whatever becomes of the call, the leader may think so from now on.
        record.holds(session, inode, true);
        let result = self.session.open_inode_as(&self.caller, inode, Access::default()).await;
        let (result, hold) = match result {
            Ok((answered, hold)) => (Ok(answered), hold),
            Err(error) => (Err(error), None),
        };
        call.end(&result);
        result?;
        match hold {
            Some(hold) => self.client.progress().open.push((session, hold)),
            None => record.holds(session, inode, false),
        }
        Ok(())
    }

    /// Closes what has been open for longest.
    fn close(&self) {
        let session = self.session.id();
        let hold = {
            let open = &mut self.client.progress().open;
            // What was open under a session that is gone is open no more.
            open.retain(|(under, _)| *under == session);
            if open.is_empty() {
                return;
            }
            open.remove(0).1
        };
        self.client.watch.record.holds(session, hold.inode(), false);
        self.session.let_go(hold);
    }

    fn is_open(&self, inode: InodeId) -> bool {
        let session = self.session.id();
        self.client.progress().open.iter().any(|(under, hold)| *under == session && hold.inode() == inode)
    }

    /// Everything that is open has to be there, and all that it is made of.
    async fn look_at_open(&self) -> Result<(), Stop> {
        let open: Vec<InodeId> = self.client.progress().open.iter().map(|(_, hold)| hold.inode()).collect();
        // A directory goes with its name.
        let files = open.into_iter().filter(|inode| inode.kind() == IdKind::File);
        for inode in files.filter(|inode| self.is_open(*inode)) {
            let seen = self.ask(Query::Map { inode, offset: 0, length: u64::MAX }).await?;
            // Another hand may have closed it meanwhile.
            if seen.outcome == Err(Refusal::Stale) && self.is_open(inode) {
                self.client.watch.record.open_is_gone(self.client.number, inode);
            }
        }
        Ok(())
    }

    async fn directory_of(&self, place: &Place) -> Result<(InodeId, Name), Stop> {
        let (directory, name) = place.split().ok_or(Stop::Absent)?;
        Ok((self.find(&directory).await?, name.clone()))
    }

    pub(in crate::cluster) async fn find(&self, place: &Place) -> Result<InodeId, Stop> {
        let mut inode = match place.base {
            Base::Root => InodeId::ROOT,
            Base::Made(label) => self.client.watch.record.of_label(label).ok_or(Stop::Absent)?,
        };
        for name in &place.names {
            let answered = self.ask(Query::Lookup { parent: inode, name: name.clone() }).await?;
            let Ok(Answer::Attr(attr)) = answered.outcome else { return Err(Stop::Absent) };
            inode = attr.inode;
        }
        Ok(inode)
    }

    /// Lists a directory page by page; gives its subdirectories.
    async fn list(&self, directory: InodeId, page: u32) -> Result<Vec<InodeId>, Stop> {
        let mut cookie = 0;
        let mut below = Vec::new();
        for _ in 0..PAGES_MAX {
            let answered = self.ask(Query::ReadDir { directory, cookie, limit: page }).await?;
            let Ok(Answer::Entries { entries, end }) = answered.outcome else { return Err(Stop::Absent) };
            below.extend(entries.iter().map(|entry| entry.inode));
            match entries.last() {
                Some(last) if !end => cookie = last.cookie,
                _ => break,
            }
        }
        Ok(below)
    }

    pub(super) async fn look_around(&self, at: Place) -> Result<(), Stop> {
        self.act(&Action::create(at), None).await?;
        self.look_at_open().await?;
        while !self.client.progress().open.is_empty() {
            self.close();
        }
        let mut open = vec![InodeId::ROOT];
        let mut seen = BTreeSet::new();
        while let Some(directory) = open.pop() {
            for inode in self.list(directory, 64).await? {
                if seen.insert(inode) && inode.kind() == IdKind::Directory {
                    open.push(inode);
                }
            }
        }
        for inode in &seen {
            match inode.kind() {
                IdKind::Directory => self.ask(Query::GetAttr { inode: *inode }).await?,
                IdKind::File => self.ask(Query::Map { inode: *inode, offset: 0, length: u64::MAX }).await?,
            };
        }
        Ok(())
    }

    fn call(&self, asked: Asked) -> Call<'_> {
        let record = &self.client.watch.record;
        Call { record, number: record.call(self.client.number, &self.caller, asked), over: false }
    }

    pub(in crate::cluster) async fn ask(&self, query: Query) -> Result<Answered, ClientError> {
        let call = self.call(Asked::Question(query.clone()));
        let result = self.session.query_as(&self.caller, &query).await;
        call.end(&result);
        result
    }

    pub(in crate::cluster) async fn change(&self, op: Op) -> Result<Answered, ClientError> {
        let call = self.call(Asked::Change(op.clone()));
        let change = match self.session.begin().await {
            Ok(change) => change,
            Err(error) => {
                call.end(&Err(error.clone()));
                return Err(error);
            }
        };
        call.name(Request { session: self.session.id(), sequence: change.sequence() });
        let opens = matches!(op, Op::Create { .. }) && change.sequence().is_multiple_of(OPENED_EVERY);
        let result = if opens {
            let made = change.make_open_as(&self.caller, &op).await;
            made.map(|(answered, hold)| {
                hold.into_iter().for_each(|hold| self.keep_open(hold));
                answered
            })
        } else {
            change.carry_out_as(&self.caller, &op).await
        };
        call.end(&result);
        if result.is_ok() {
            self.client.watch.answered();
        }
        result
    }

    /// It was open before anybody here heard of it.
    fn keep_open(&self, hold: Hold<SimEnv>) {
        let session = self.session.id();
        self.client.watch.record.holds(session, hold.inode(), true);
        self.client.progress().open.push((session, hold));
    }
}

/// Long ones are shorter in a plan: `ab*5` is `ababa`.
fn xattr_value(text: &str) -> Result<Bytes, Stop> {
    let Some((word, bytes)) = text.rsplit_once('*').filter(|(word, _)| !word.is_empty()) else {
        return Ok(text.to_owned().into());
    };
    let bytes = bytes.parse().ok().filter(|bytes| *bytes <= XATTR_BYTES_MAX).ok_or(Stop::Absent)?;
    Ok(word.bytes().cycle().take(bytes).collect())
}

/// A plan may name what is no attribute.
fn xattr_name(name: &str) -> Result<XattrName, Stop> {
    XattrName::new(name.to_owned()).map_err(|_| Stop::Absent)
}

/// A call under way. One that is interrupted, or dies with its client, ends when it is dropped.
struct Call<'a> {
    record: &'a Record,
    number: usize,
    over: bool,
}

impl Call<'_> {
    fn name(&self, request: Request) {
        self.record.name(self.number, request);
    }

    fn end(mut self, result: &Result<Answered, ClientError>) {
        self.over = true;
        self.record.end(self.number, result);
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.record.interrupted(self.number);
        }
    }
}

/// How a call that ended so is written down.
pub(in crate::cluster) fn ending(at: Instant, result: &Result<Answered, ClientError>) -> Ending {
    match result {
        Ok(Answered { outcome, index, cached }) => {
            Ending::Answered { at, outcome: outcome.clone(), index: *index, cached: *cached }
        }
        Err(ClientError::NotReached { .. } | ClientError::NoSpace { .. }) => Ending::NotCarriedOut { at },
        // Whether an attempt before the last one got through, nobody can say.
        Err(_) => Ending::Unknown { at },
    }
}
