//! Names and attributes through a mount.

use super::super::workload::Stop;
use super::Seat;
use crate::plan::{Action, Base, Place};
use mooseng_client::mount::{FsError, NewInode, OpenMode};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Answer, AttrChange, Caller, FileKind, Name, Op, Query, XattrName};

static ROOT: Caller = Caller::ROOT;
pub(super) const READ_AND_WRITE: OpenMode = OpenMode { read: true, write: true, execute: false };

fn xattr_name(name: &str) -> Result<XattrName, Stop> {
    XattrName::new(name.to_owned()).map_err(|_| Stop::Absent)
}

impl Seat {
    pub(super) async fn find(&self, place: &Place) -> Result<InodeId, Stop> {
        let mut inode = match place.base {
            Base::Root => InodeId::ROOT,
            Base::Made(label) => self.mounts.watch.record.of_label(label).ok_or(Stop::Absent)?,
        };
        for name in &place.names {
            inode = self.lookup(inode, name.clone()).await?;
        }
        Ok(inode)
    }

    pub(super) async fn lookup(&self, parent: InodeId, name: Name) -> Result<InodeId, Stop> {
        let query = Query::Lookup { parent, name: name.clone() };
        Ok(self.ask_attr(query, self.mount.lookup(&ROOT, parent, name)).await?.inode)
    }

    pub(super) async fn getattr(&self, inode: InodeId) -> Result<u64, Stop> {
        let attr = self.ask_attr(Query::GetAttr { inode }, self.mount.getattr(&ROOT, inode)).await?;
        Ok(attr.size)
    }

    async fn directory_of(&self, place: &Place) -> Result<(InodeId, Name), Stop> {
        let (directory, name) = place.split().ok_or(Stop::Absent)?;
        Ok((self.find(&directory).await?, name.clone()))
    }

    pub(super) async fn act(&self, action: &Action, label: Option<u32>) -> Result<(), Stop> {
        match action {
            Action::Lookup { at } => {
                let (parent, name) = self.directory_of(at).await?;
                self.lookup(parent, name).await.map(|_| ())
            }
            Action::GetAttr { inode } => self.getattr(self.find(inode).await?).await.map(|_| ()),
            Action::Access { inode, access } => {
                let (inode, access) = (self.find(inode).await?, *access);
                let observed = self.mount.access(&ROOT, inode, access).await;
                self.opened(inode, access, &observed)
            }
            Action::ReadLink { inode } => {
                let inode = self.find(inode).await?;
                let call = async { self.mount.readlink(&ROOT, inode).await.map(Answer::Target) };
                self.ask(Query::ReadLink { inode }, call).await.map(|_| ())
            }
            Action::ReadDir { directory, page } => {
                self.list_all(self.find(directory).await?, *page as usize).await.map(|_| ())
            }
            Action::ListOn { directory, lines } => {
                self.list_on(self.find(directory).await?, *lines as usize).await
            }
            Action::SetXattr { .. }
            | Action::RemoveXattr { .. }
            | Action::GetXattr { .. }
            | Action::ListXattr { .. } => self.xattr(action).await,
            Action::Mkdir { .. }
            | Action::Create { .. }
            | Action::Unlink { .. }
            | Action::Rmdir { .. }
            | Action::Rename { .. }
            | Action::Link { .. }
            | Action::Symlink { .. }
            | Action::Mknod { .. } => self.change_names(action, label).await,
            Action::SetAttr { inode, change } => self.setattr(self.find(inode).await?, *change).await,
            of_file => self.act_on_file(of_file).await,
        }
    }

    async fn change_names(&self, action: &Action, label: Option<u32>) -> Result<(), Stop> {
        let (uid, gid) = (ROOT.uid, ROOT.gid);
        let mount = &self.mount;
        match action {
            Action::Create { at, mode } => {
                let (parent, name) = self.directory_of(at).await?;
                return self.create(parent, name, *mode).await;
            }
            Action::Mkdir { at, mode } => {
                let (parent, name) = self.directory_of(at).await?;
                let op = Op::Mkdir { parent, name: name.clone(), mode: *mode, uid, gid };
                let made =
                    self.change(op, mount.mkdir(&ROOT, parent, name, *mode), |attr| Answer::Attr(*attr));
                let inode = made.await?.inode;
                if let Some(label) = label {
                    self.mounts.watch.record.made(label, inode);
                }
            }
            Action::Symlink { at, target } => {
                let (parent, name) = self.directory_of(at).await?;
                let op = Op::Symlink { parent, name: name.clone(), target: target.clone(), uid, gid };
                let call = mount.symlink(&ROOT, parent, name, target.clone());
                self.change(op, call, |attr| Answer::Attr(*attr)).await?;
            }
            Action::Mknod { at, rdev } => {
                let (parent, name) = self.directory_of(at).await?;
                let kind = rdev.map_or(FileKind::Fifo, |_| FileKind::CharDevice);
                let (mode, rdev) = (0o644, rdev.unwrap_or_default());
                let op = Op::Mknod { parent, name: name.clone(), kind, mode, rdev, uid, gid };
                let call = mount.mknod(&ROOT, parent, name, NewInode { kind, mode, rdev });
                self.change(op, call, |attr| Answer::Attr(*attr)).await?;
            }
            Action::Unlink { at } => {
                let (parent, name) = self.directory_of(at).await?;
                let op = Op::Unlink { parent, name: name.clone() };
                self.change(op, mount.unlink(&ROOT, parent, name), |()| Answer::Done).await?;
            }
            Action::Rmdir { at } => {
                let (parent, name) = self.directory_of(at).await?;
                let op = Op::Rmdir { parent, name: name.clone() };
                self.change(op, mount.rmdir(&ROOT, parent, name), |()| Answer::Done).await?;
            }
            Action::Rename { source, target, mode } => {
                let (source_parent, source_name) = self.directory_of(source).await?;
                let (target_parent, target_name) = self.directory_of(target).await?;
                let (source, target) =
                    ((source_parent, source_name.clone()), (target_parent, target_name.clone()));
                let op = Op::Rename { source_parent, source_name, target_parent, target_name, mode: *mode };
                self.change(op, mount.rename(&ROOT, source, target, *mode), |()| Answer::Done).await?;
            }
            Action::Link { inode, at } => {
                let inode = self.find(inode).await?;
                let (parent, name) = self.directory_of(at).await?;
                let op = Op::Link { inode, parent, name: name.clone() };
                self.change(op, mount.link(&ROOT, inode, parent, name), |attr| Answer::Attr(*attr)).await?;
            }
            _ => unreachable!("{action} is done elsewhere"),
        }
        Ok(())
    }

    /// Made, it is open.
    async fn create(&self, parent: InodeId, name: Name, mode: u16) -> Result<(), Stop> {
        let (uid, gid) = (ROOT.uid, ROOT.gid);
        let op = Op::Create { parent, name: name.clone(), mode, uid, gid };
        let moment = self.moment();
        let call = self.mount.create(&ROOT, (parent, name), mode, READ_AND_WRITE, true);
        let (attr, handle) = self.change(op, call, |(attr, _)| Answer::Attr(*attr)).await?;
        self.keep_open(attr.inode, handle, moment);
        Ok(())
    }

    /// Through what is open of it if that is wanted, else by its number.
    pub(super) async fn setattr(&self, inode: InodeId, change: AttrChange) -> Result<(), Stop> {
        let open = self.open_of(inode).filter(|_| change.by_handle);
        let change = AttrChange { by_handle: open.is_some(), ..change };
        let op = Op::SetAttr { inode, change };
        let cut = change.size.map(|size| self.cut_begins(inode, size));
        let call = self.mount.setattr(&ROOT, inode, open.map(|open| open.handle), change);
        self.change(op, call, |attr| Answer::Attr(*attr)).await?;
        if let Some(stamp) = cut {
            self.cut_is_over(inode, stamp);
        }
        Ok(())
    }

    async fn xattr(&self, action: &Action) -> Result<(), Stop> {
        let mount = &self.mount;
        match action {
            Action::SetXattr { inode, name, value, mode } => {
                let (inode, name, value) = (self.find(inode).await?, xattr_name(name)?, value.clone());
                let op = Op::SetXattr { inode, name: name.clone(), value: value.clone().into(), mode: *mode };
                let call = mount.setxattr(&ROOT, inode, name, value.into(), *mode);
                self.change(op, call, |()| Answer::Done).await
            }
            Action::RemoveXattr { inode, name } => {
                let (inode, name) = (self.find(inode).await?, xattr_name(name)?);
                let op = Op::RemoveXattr { inode, name: name.clone() };
                self.change(op, mount.removexattr(&ROOT, inode, name), |()| Answer::Done).await
            }
            Action::GetXattr { inode, name } => {
                let (inode, name) = (self.find(inode).await?, xattr_name(name)?);
                let query = Query::GetXattr { inode, name: name.clone() };
                let call = async { mount.getxattr(&ROOT, inode, name).await.map(Answer::Value) };
                self.ask(query, call).await.map(|_| ())
            }
            Action::ListXattr { inode } => {
                let inode = self.find(inode).await?;
                let call = async {
                    let listed = mount.listxattr(&ROOT, inode).await?;
                    let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
                    let names = names.map(|name| XattrName::new(name.to_vec()).map_err(FsError::Refused));
                    Ok(Answer::XattrNames(names.collect::<Result<_, _>>()?))
                };
                self.ask(Query::ListXattr { inode }, call).await.map(|_| ())
            }
            _ => unreachable!("{action} is done elsewhere"),
        }
    }
}
