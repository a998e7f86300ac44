//! What an operation or a query came to.

use super::Malformed;
use super::data::{class, extents, put_extents, put_slices, slice, slices};
use super::field::{inode, mode, name, required, target, unknown, xattr_name};
use crate::proto::namespace as proto;
use crate::proto::namespace::outcome::Kind;
use mooseng_core::namespace::{Answer, Attr, DirEntry, FileKind, Outcome, Refusal};
use mooseng_core::time::WallTime;

impl From<&Outcome> for proto::Outcome {
    fn from(outcome: &Outcome) -> Self {
        let kind = match outcome {
            Err(refusal) => Kind::Refusal(proto::Refusal::from(*refusal) as i32),
            Ok(Answer::Attr(attr)) => Kind::Attr(attr.into()),
            Ok(Answer::Done) => Kind::Done(proto::Done {}),
            Ok(Answer::Entries { entries, end }) => Kind::Entries(proto::Entries {
                entries: entries.iter().map(proto::DirEntry::from).collect(),
                end: *end,
            }),
            Ok(Answer::Slices { first, count }) => {
                Kind::Slices(proto::Slices { first: first.raw(), count: *count })
            }
            Ok(Answer::Map { attr, extents, slices, end }) => Kind::Map(proto::Map {
                attr: Some(attr.into()),
                extents: put_extents(extents),
                slices: put_slices(slices),
                end: *end,
            }),
            Ok(Answer::Target(target)) => Kind::Target(target.clone().into_bytes()),
            Ok(Answer::Value(value)) => Kind::Value(value.clone()),
            Ok(Answer::XattrNames(names)) => Kind::XattrNames(proto::XattrNames {
                names: names.iter().map(|name| name.clone().into_bytes()).collect(),
            }),
        };
        proto::Outcome { kind: Some(kind) }
    }
}

impl TryFrom<proto::Outcome> for Outcome {
    type Error = Malformed;

    fn try_from(outcome: proto::Outcome) -> Result<Self, Malformed> {
        Ok(match required("outcome.kind", outcome.kind)? {
            Kind::Refusal(raw) => Err(refusal("outcome.refusal", raw)?),
            Kind::Attr(attr) => Ok(Answer::Attr(attr.try_into()?)),
            Kind::Done(proto::Done {}) => Ok(Answer::Done),
            Kind::Entries(entries) => {
                let end = entries.end;
                let entries =
                    entries.entries.into_iter().map(DirEntry::try_from).collect::<Result<_, _>>()?;
                Ok(Answer::Entries { entries, end })
            }
            Kind::Slices(granted) => {
                Ok(Answer::Slices { first: slice("slices.first", granted.first)?, count: granted.count })
            }
            Kind::Map(map) => Ok(Answer::Map {
                attr: required("map.attr", map.attr)?.try_into()?,
                extents: extents("map.extents", map.extents)?,
                slices: slices("map.slices", map.slices)?,
                end: map.end,
            }),
            Kind::Target(bytes) => Ok(Answer::Target(target("outcome.target", bytes)?)),
            Kind::Value(value) => Ok(Answer::Value(value)),
            Kind::XattrNames(list) => {
                let names = list.names.into_iter().map(|bytes| xattr_name("xattr_names.names", bytes));
                Ok(Answer::XattrNames(names.collect::<Result<_, _>>()?))
            }
        })
    }
}

impl From<&Attr> for proto::Attr {
    fn from(attr: &Attr) -> Self {
        Self {
            inode: attr.inode.raw(),
            kind: proto::FileKind::from(attr.kind) as i32,
            mode: u32::from(attr.mode),
            links: attr.links,
            uid: attr.uid,
            gid: attr.gid,
            size: attr.size,
            atime: attr.atime.0,
            mtime: attr.mtime.0,
            ctime: attr.ctime.0,
            version: attr.version,
            class: attr.class.to_raw(),
            blocks: attr.blocks,
            rdev: attr.rdev,
        }
    }
}

impl TryFrom<proto::Attr> for Attr {
    type Error = Malformed;

    fn try_from(attr: proto::Attr) -> Result<Self, Malformed> {
        Ok(Self {
            inode: inode("attr.inode", attr.inode)?,
            kind: file_kind("attr.kind", attr.kind)?,
            mode: mode("attr.mode", attr.mode)?,
            links: attr.links,
            uid: attr.uid,
            gid: attr.gid,
            size: attr.size,
            atime: WallTime(attr.atime),
            mtime: WallTime(attr.mtime),
            ctime: WallTime(attr.ctime),
            version: attr.version,
            class: class("attr.class", attr.class)?,
            blocks: attr.blocks,
            rdev: attr.rdev,
        })
    }
}

impl From<&DirEntry> for proto::DirEntry {
    fn from(entry: &DirEntry) -> Self {
        Self {
            cookie: entry.cookie,
            name: entry.name.clone().into_bytes(),
            inode: entry.inode.raw(),
            kind: proto::FileKind::from(entry.kind) as i32,
        }
    }
}

impl TryFrom<proto::DirEntry> for DirEntry {
    type Error = Malformed;

    fn try_from(entry: proto::DirEntry) -> Result<Self, Malformed> {
        Ok(Self {
            cookie: entry.cookie,
            name: name("entries.name", entry.name)?,
            inode: inode("entries.inode", entry.inode)?,
            kind: file_kind("entries.kind", entry.kind)?,
        })
    }
}

impl From<FileKind> for proto::FileKind {
    fn from(kind: FileKind) -> Self {
        match kind {
            FileKind::Regular => Self::Regular,
            FileKind::Directory => Self::Directory,
            FileKind::Symlink => Self::Symlink,
            FileKind::Fifo => Self::Fifo,
            FileKind::Socket => Self::Socket,
            FileKind::CharDevice => Self::CharDevice,
            FileKind::BlockDevice => Self::BlockDevice,
        }
    }
}

pub(super) fn file_kind(field: &'static str, raw: i32) -> Result<FileKind, Malformed> {
    match proto::FileKind::try_from(raw) {
        Ok(proto::FileKind::Regular) => Ok(FileKind::Regular),
        Ok(proto::FileKind::Directory) => Ok(FileKind::Directory),
        Ok(proto::FileKind::Symlink) => Ok(FileKind::Symlink),
        Ok(proto::FileKind::Fifo) => Ok(FileKind::Fifo),
        Ok(proto::FileKind::Socket) => Ok(FileKind::Socket),
        Ok(proto::FileKind::CharDevice) => Ok(FileKind::CharDevice),
        Ok(proto::FileKind::BlockDevice) => Ok(FileKind::BlockDevice),
        Ok(proto::FileKind::Unspecified) | Err(_) => unknown(field, raw),
    }
}

impl From<Refusal> for proto::Refusal {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => Self::NotFound,
            Refusal::Exists => Self::Exists,
            Refusal::NotDirectory => Self::NotDirectory,
            Refusal::IsDirectory => Self::IsDirectory,
            Refusal::NotEmpty => Self::NotEmpty,
            Refusal::Invalid => Self::Invalid,
            Refusal::NameTooLong => Self::NameTooLong,
            Refusal::TooManyLinks => Self::TooManyLinks,
            Refusal::NotPermitted => Self::NotPermitted,
            Refusal::Stale => Self::Stale,
            Refusal::NoSpace => Self::NoSpace,
            Refusal::NotPending => Self::NotPending,
            Refusal::TooManyPending => Self::TooManyPending,
            Refusal::TooFragmented => Self::TooFragmented,
            Refusal::Conflict => Self::Conflict,
            Refusal::AccessDenied => Self::AccessDenied,
            Refusal::NoAttribute => Self::NoAttribute,
            Refusal::TooBig => Self::TooBig,
            Refusal::Unsupported => Self::Unsupported,
        }
    }
}

fn refusal(field: &'static str, raw: i32) -> Result<Refusal, Malformed> {
    match proto::Refusal::try_from(raw) {
        Ok(proto::Refusal::NotFound) => Ok(Refusal::NotFound),
        Ok(proto::Refusal::Exists) => Ok(Refusal::Exists),
        Ok(proto::Refusal::NotDirectory) => Ok(Refusal::NotDirectory),
        Ok(proto::Refusal::IsDirectory) => Ok(Refusal::IsDirectory),
        Ok(proto::Refusal::NotEmpty) => Ok(Refusal::NotEmpty),
        Ok(proto::Refusal::Invalid) => Ok(Refusal::Invalid),
        Ok(proto::Refusal::NameTooLong) => Ok(Refusal::NameTooLong),
        Ok(proto::Refusal::TooManyLinks) => Ok(Refusal::TooManyLinks),
        Ok(proto::Refusal::NotPermitted) => Ok(Refusal::NotPermitted),
        Ok(proto::Refusal::Stale) => Ok(Refusal::Stale),
        Ok(proto::Refusal::NoSpace) => Ok(Refusal::NoSpace),
        Ok(proto::Refusal::NotPending) => Ok(Refusal::NotPending),
        Ok(proto::Refusal::TooManyPending) => Ok(Refusal::TooManyPending),
        Ok(proto::Refusal::TooFragmented) => Ok(Refusal::TooFragmented),
        Ok(proto::Refusal::Conflict) => Ok(Refusal::Conflict),
        Ok(proto::Refusal::AccessDenied) => Ok(Refusal::AccessDenied),
        Ok(proto::Refusal::NoAttribute) => Ok(Refusal::NoAttribute),
        Ok(proto::Refusal::TooBig) => Ok(Refusal::TooBig),
        Ok(proto::Refusal::Unsupported) => Ok(Refusal::Unsupported),
        Ok(proto::Refusal::Unspecified) | Err(_) => unknown(field, raw),
    }
}
