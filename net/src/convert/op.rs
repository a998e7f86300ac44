//! Operations and queries.

use super::Malformed;
use super::data::{class, extents, put_extents, put_slices, slice, slices};
use super::field::{inode, mode, name, required, target, unknown, xattr_name};
use super::outcome::file_kind;
use crate::proto::namespace as proto;
use crate::proto::namespace::op::Kind as OpKind;
use crate::proto::namespace::query::Kind as QueryKind;
use mooseng_core::namespace::{
    Access, AttrChange, CALLER_GROUPS_MAX, Caller, NewTime, Op, Query, RenameMode, XattrMode,
};
use mooseng_core::time::WallTime;

impl From<&Op> for proto::Op {
    #[expect(clippy::too_many_lines, reason = "one arm for each operation there is")]
    fn from(op: &Op) -> Self {
        let kind = match op {
            Op::Mkdir { parent, name, mode, uid, gid } => OpKind::Mkdir(proto::Mkdir {
                parent: parent.raw(),
                name: name.clone().into_bytes(),
                mode: u32::from(*mode),
                uid: *uid,
                gid: *gid,
            }),
            Op::Create { parent, name, mode, uid, gid } => OpKind::Create(proto::Create {
                parent: parent.raw(),
                name: name.clone().into_bytes(),
                mode: u32::from(*mode),
                uid: *uid,
                gid: *gid,
            }),
            Op::Unlink { parent, name } => {
                OpKind::Unlink(proto::Unlink { parent: parent.raw(), name: name.clone().into_bytes() })
            }
            Op::Rmdir { parent, name } => {
                OpKind::Rmdir(proto::Rmdir { parent: parent.raw(), name: name.clone().into_bytes() })
            }
            Op::Rename { source_parent, source_name, target_parent, target_name, mode } => {
                OpKind::Rename(proto::Rename {
                    source_parent: source_parent.raw(),
                    source_name: source_name.clone().into_bytes(),
                    target_parent: target_parent.raw(),
                    target_name: target_name.clone().into_bytes(),
                    mode: proto::RenameMode::from(*mode) as i32,
                })
            }
            Op::Link { inode, parent, name } => OpKind::Link(proto::Link {
                inode: inode.raw(),
                parent: parent.raw(),
                name: name.clone().into_bytes(),
            }),
            Op::SetAttr { inode, change } => {
                OpKind::SetAttr(proto::SetAttr { inode: inode.raw(), change: Some((*change).into()) })
            }
            Op::GrantSlices { inode, count } => {
                OpKind::GrantSlices(proto::GrantSlices { inode: inode.raw(), count: *count })
            }
            Op::AbandonSlices { slices } => OpKind::AbandonSlices(proto::AbandonSlices {
                slices: slices.iter().map(|slice| slice.raw()).collect(),
            }),
            Op::Commit { inode, slices, extents, mtime } => OpKind::Commit(proto::Commit {
                inode: inode.raw(),
                slices: put_slices(slices),
                extents: put_extents(extents),
                mtime: mtime.0,
            }),
            Op::Compact { inode, replaced, slices, extents } => OpKind::Compact(proto::Compact {
                inode: inode.raw(),
                replaced: put_extents(replaced),
                slices: put_slices(slices),
                extents: put_extents(extents),
            }),
            Op::Punch { inode, offset, length } => {
                OpKind::Punch(proto::Punch { inode: inode.raw(), offset: *offset, length: *length })
            }
            Op::SetClass { inode, class } => {
                OpKind::SetClass(proto::SetClass { inode: inode.raw(), class: class.to_raw() })
            }
            Op::Symlink { parent, name, target, uid, gid } => OpKind::Symlink(proto::Symlink {
                parent: parent.raw(),
                name: name.clone().into_bytes(),
                target: target.clone().into_bytes(),
                uid: *uid,
                gid: *gid,
            }),
            Op::Mknod { parent, name, kind, mode, rdev, uid, gid } => OpKind::Mknod(proto::Mknod {
                parent: parent.raw(),
                name: name.clone().into_bytes(),
                kind: proto::FileKind::from(*kind) as i32,
                mode: u32::from(*mode),
                rdev: *rdev,
                uid: *uid,
                gid: *gid,
            }),
            Op::SetXattr { inode, name, value, mode } => OpKind::SetXattr(proto::SetXattr {
                inode: inode.raw(),
                name: name.clone().into_bytes(),
                value: value.clone(),
                mode: proto::XattrMode::from(*mode) as i32,
            }),
            Op::RemoveXattr { inode, name } => OpKind::RemoveXattr(proto::RemoveXattr {
                inode: inode.raw(),
                name: name.clone().into_bytes(),
            }),
        };
        proto::Op { kind: Some(kind) }
    }
}

impl TryFrom<proto::Op> for Op {
    type Error = Malformed;

    #[expect(clippy::too_many_lines, reason = "one arm for each operation there is")]
    fn try_from(op: proto::Op) -> Result<Self, Malformed> {
        Ok(match required("op.kind", op.kind)? {
            OpKind::Mkdir(op) => Op::Mkdir {
                parent: inode("mkdir.parent", op.parent)?,
                name: name("mkdir.name", op.name)?,
                mode: mode("mkdir.mode", op.mode)?,
                uid: op.uid,
                gid: op.gid,
            },
            OpKind::Create(op) => Op::Create {
                parent: inode("create.parent", op.parent)?,
                name: name("create.name", op.name)?,
                mode: mode("create.mode", op.mode)?,
                uid: op.uid,
                gid: op.gid,
            },
            OpKind::Unlink(op) => {
                Op::Unlink { parent: inode("unlink.parent", op.parent)?, name: name("unlink.name", op.name)? }
            }
            OpKind::Rmdir(op) => {
                Op::Rmdir { parent: inode("rmdir.parent", op.parent)?, name: name("rmdir.name", op.name)? }
            }
            OpKind::Rename(op) => Op::Rename {
                source_parent: inode("rename.source_parent", op.source_parent)?,
                source_name: name("rename.source_name", op.source_name)?,
                target_parent: inode("rename.target_parent", op.target_parent)?,
                target_name: name("rename.target_name", op.target_name)?,
                mode: rename_mode("rename.mode", op.mode)?,
            },
            OpKind::Link(op) => Op::Link {
                inode: inode("link.inode", op.inode)?,
                parent: inode("link.parent", op.parent)?,
                name: name("link.name", op.name)?,
            },
            OpKind::SetAttr(op) => Op::SetAttr {
                inode: inode("set_attr.inode", op.inode)?,
                change: required("set_attr.change", op.change)?.try_into()?,
            },
            OpKind::GrantSlices(op) => {
                Op::GrantSlices { inode: inode("grant_slices.inode", op.inode)?, count: op.count }
            }
            OpKind::AbandonSlices(op) => {
                let each = op.slices.into_iter().map(|raw| slice("abandon_slices.slices", raw));
                Op::AbandonSlices { slices: each.collect::<Result<_, Malformed>>()? }
            }
            OpKind::Commit(op) => Op::Commit {
                inode: inode("commit.inode", op.inode)?,
                slices: slices("commit.slices", op.slices)?,
                extents: extents("commit.extents", op.extents)?,
                mtime: WallTime(op.mtime),
            },
            OpKind::Compact(op) => Op::Compact {
                inode: inode("compact.inode", op.inode)?,
                replaced: extents("compact.replaced", op.replaced)?,
                slices: slices("compact.slices", op.slices)?,
                extents: extents("compact.extents", op.extents)?,
            },
            OpKind::Punch(op) => {
                Op::Punch { inode: inode("punch.inode", op.inode)?, offset: op.offset, length: op.length }
            }
            OpKind::SetClass(op) => Op::SetClass {
                inode: inode("set_class.inode", op.inode)?,
                class: class("set_class.class", op.class)?,
            },
            OpKind::Symlink(op) => Op::Symlink {
                parent: inode("symlink.parent", op.parent)?,
                name: name("symlink.name", op.name)?,
                target: target("symlink.target", op.target)?,
                uid: op.uid,
                gid: op.gid,
            },
            OpKind::Mknod(op) => Op::Mknod {
                parent: inode("mknod.parent", op.parent)?,
                name: name("mknod.name", op.name)?,
                kind: file_kind("mknod.kind", op.kind)?,
                mode: mode("mknod.mode", op.mode)?,
                rdev: op.rdev,
                uid: op.uid,
                gid: op.gid,
            },
            OpKind::SetXattr(op) => Op::SetXattr {
                inode: inode("set_xattr.inode", op.inode)?,
                name: xattr_name("set_xattr.name", op.name)?,
                value: op.value,
                mode: xattr_mode("set_xattr.mode", op.mode)?,
            },
            OpKind::RemoveXattr(op) => Op::RemoveXattr {
                inode: inode("remove_xattr.inode", op.inode)?,
                name: xattr_name("remove_xattr.name", op.name)?,
            },
        })
    }
}

impl From<AttrChange> for proto::AttrChange {
    fn from(change: AttrChange) -> Self {
        let at = |time: Option<NewTime>| match time {
            Some(NewTime::At(time)) => Some(time.0),
            Some(NewTime::Now) | None => None,
        };
        Self {
            mode: change.mode.map(u32::from),
            uid: change.uid,
            gid: change.gid,
            size: change.size,
            atime: at(change.atime),
            mtime: at(change.mtime),
            atime_now: change.atime == Some(NewTime::Now),
            mtime_now: change.mtime == Some(NewTime::Now),
            by_handle: change.by_handle,
        }
    }
}

impl TryFrom<proto::AttrChange> for AttrChange {
    type Error = Malformed;

    fn try_from(change: proto::AttrChange) -> Result<Self, Malformed> {
        let time = |at: Option<i64>, now: bool| match at {
            _ if now => Some(NewTime::Now),
            at => at.map(|at| NewTime::At(WallTime(at))),
        };
        Ok(Self {
            mode: change.mode.map(|raw| mode("set_attr.change.mode", raw)).transpose()?,
            uid: change.uid,
            gid: change.gid,
            size: change.size,
            atime: time(change.atime, change.atime_now),
            mtime: time(change.mtime, change.mtime_now),
            by_handle: change.by_handle,
        })
    }
}

impl From<&Caller> for proto::Caller {
    fn from(caller: &Caller) -> Self {
        Self { uid: caller.uid, gid: caller.gid, groups: caller.groups.clone() }
    }
}

/// Who asks; who does not say is root.
pub fn caller(field: &'static str, caller: Option<proto::Caller>) -> Result<Caller, Malformed> {
    let Some(proto::Caller { uid, gid, groups }) = caller else { return Ok(Caller::ROOT) };
    if groups.len() > CALLER_GROUPS_MAX {
        let why = format!("{} groups are more than {CALLER_GROUPS_MAX}", groups.len());
        return Err(Malformed::new(field, why));
    }
    Ok(Caller { uid, gid, groups })
}

/// How a caller is written down: root not at all.
pub fn write_caller(caller: &Caller) -> Option<proto::Caller> {
    (*caller != Caller::ROOT).then(|| caller.into())
}

impl From<RenameMode> for proto::RenameMode {
    fn from(mode: RenameMode) -> Self {
        match mode {
            RenameMode::Replace => Self::Replace,
            RenameMode::Keep => Self::Keep,
            RenameMode::Exchange => Self::Exchange,
        }
    }
}

fn rename_mode(field: &'static str, raw: i32) -> Result<RenameMode, Malformed> {
    match proto::RenameMode::try_from(raw) {
        Ok(proto::RenameMode::Replace) => Ok(RenameMode::Replace),
        Ok(proto::RenameMode::Keep) => Ok(RenameMode::Keep),
        Ok(proto::RenameMode::Exchange) => Ok(RenameMode::Exchange),
        Ok(proto::RenameMode::Unspecified) | Err(_) => unknown(field, raw),
    }
}

impl From<XattrMode> for proto::XattrMode {
    fn from(mode: XattrMode) -> Self {
        match mode {
            XattrMode::Set => Self::Set,
            XattrMode::Create => Self::Create,
            XattrMode::Replace => Self::Replace,
        }
    }
}

fn xattr_mode(field: &'static str, raw: i32) -> Result<XattrMode, Malformed> {
    match proto::XattrMode::try_from(raw) {
        Ok(proto::XattrMode::Set) => Ok(XattrMode::Set),
        Ok(proto::XattrMode::Create) => Ok(XattrMode::Create),
        Ok(proto::XattrMode::Replace) => Ok(XattrMode::Replace),
        Ok(proto::XattrMode::Unspecified) | Err(_) => unknown(field, raw),
    }
}

impl From<&Query> for proto::Query {
    fn from(query: &Query) -> Self {
        let kind = match query {
            Query::Lookup { parent, name } => {
                QueryKind::Lookup(proto::Lookup { parent: parent.raw(), name: name.clone().into_bytes() })
            }
            Query::GetAttr { inode } => QueryKind::GetAttr(proto::GetAttr { inode: inode.raw() }),
            Query::ReadDir { directory, cookie, limit } => QueryKind::ReadDir(proto::ReadDir {
                directory: directory.raw(),
                cookie: *cookie,
                limit: *limit,
            }),
            Query::Map { inode, offset, length } => {
                QueryKind::Map(proto::MapRange { inode: inode.raw(), offset: *offset, length: *length })
            }
            Query::ReadLink { inode } => QueryKind::ReadLink(proto::ReadLink { inode: inode.raw() }),
            Query::Access { inode, access } => {
                QueryKind::Access(proto::Access { inode: inode.raw(), access: u32::from(access.bits()) })
            }
            Query::GetXattr { inode, name } => {
                QueryKind::GetXattr(proto::GetXattr { inode: inode.raw(), name: name.clone().into_bytes() })
            }
            Query::ListXattr { inode } => QueryKind::ListXattr(proto::ListXattr { inode: inode.raw() }),
        };
        proto::Query { kind: Some(kind) }
    }
}

impl TryFrom<proto::Query> for Query {
    type Error = Malformed;

    fn try_from(query: proto::Query) -> Result<Self, Malformed> {
        Ok(match required("query.kind", query.kind)? {
            QueryKind::Lookup(query) => Query::Lookup {
                parent: inode("lookup.parent", query.parent)?,
                name: name("lookup.name", query.name)?,
            },
            QueryKind::GetAttr(query) => Query::GetAttr { inode: inode("get_attr.inode", query.inode)? },
            QueryKind::ReadDir(query) => Query::ReadDir {
                directory: inode("read_dir.directory", query.directory)?,
                cookie: query.cookie,
                limit: query.limit,
            },
            QueryKind::Map(query) => Query::Map {
                inode: inode("map.inode", query.inode)?,
                offset: query.offset,
                length: query.length,
            },
            QueryKind::ReadLink(query) => Query::ReadLink { inode: inode("read_link.inode", query.inode)? },
            QueryKind::Access(query) => Query::Access {
                inode: inode("access.inode", query.inode)?,
                access: access("access.access", query.access)?,
            },
            QueryKind::GetXattr(query) => Query::GetXattr {
                inode: inode("get_xattr.inode", query.inode)?,
                name: xattr_name("get_xattr.name", query.name)?,
            },
            QueryKind::ListXattr(query) => {
                Query::ListXattr { inode: inode("list_xattr.inode", query.inode)? }
            }
        })
    }
}

pub fn access(field: &'static str, raw: u32) -> Result<Access, Malformed> {
    let access = u8::try_from(raw).ok().and_then(Access::new);
    access
        .ok_or_else(|| Malformed::new(field, format!("{raw:#o} has bits beyond reading, writing, executing")))
}
