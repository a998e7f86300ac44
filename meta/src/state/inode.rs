//! An inode as it is kept: 64 bytes, beside the 8 of its id.

use super::record::{Reader, Record, Sink};
use super::slice::take_class;
use mooseng_core::class::StorageClass;
use mooseng_core::id::{IdKind, InodeId};
use mooseng_core::namespace::{Attr, FileKind, Rights, Target};
use mooseng_core::time::WallTime;

/// A storage class in few bits: `K - 1` in five, `M` in six, `strict` in one.
const CLASS_BITS: u32 = 12;
/// A version grows by one with each change and does not get there.
const VERSION_MAX: u64 = (1 << (64 - CLASS_BITS)) - 1;

/// Permission bits and set-id bits.
pub(crate) const MODE_MASK: u16 = 0o7777;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Inode {
    /// The version, and below it in [`CLASS_BITS`] bits the storage class.
    version_and_class: u64,
    /// How many bytes extents cover.
    covered: u64,
    /// Of a directory its parent's id, of a device its number, of anything else its size: no inode
    /// has two of them.
    own: u64,
    pub(crate) atime: WallTime,
    pub(crate) mtime: WallTime,
    pub(crate) ctime: WallTime,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u16,
    pub(crate) kind: FileKind,
}

// A million of these make the memory of a million empty files.
const _: () = assert!(size_of::<Inode>() == 64);

impl Inode {
    pub(crate) fn file(mode: u16, uid: u32, gid: u32, time: WallTime) -> Self {
        Self {
            version_and_class: 1 << CLASS_BITS | class_bits(StorageClass::default()),
            covered: 0,
            own: 0,
            atime: time,
            mtime: time,
            ctime: time,
            links: 1,
            uid,
            gid,
            mode: mode & MODE_MASK,
            kind: FileKind::Regular,
        }
    }

    pub(crate) fn directory(parent: InodeId, mode: u16, uid: u32, gid: u32, time: WallTime) -> Self {
        let file = Self::file(mode, uid, gid, time);
        Self { kind: FileKind::Directory, links: 2, own: parent.raw(), ..file }
    }

    pub(crate) fn symlink(target: &Target, uid: u32, gid: u32, time: WallTime) -> Self {
        let file = Self::file(0o777, uid, gid, time);
        Self { kind: FileKind::Symlink, own: target.as_bytes().len() as u64, ..file }
    }

    /// A regular file, fifo, socket or device; `None` for what is made in another way.
    pub(crate) fn node(kind: FileKind, rdev: u32, file: Self) -> Option<Self> {
        match kind {
            FileKind::Directory | FileKind::Symlink => None,
            FileKind::CharDevice | FileKind::BlockDevice => Some(Self { kind, own: u64::from(rdev), ..file }),
            FileKind::Regular | FileKind::Fifo | FileKind::Socket => Some(Self { kind, ..file }),
        }
    }

    /// The root directory is its own parent.
    pub(crate) fn root() -> Self {
        Self::directory(InodeId::ROOT, 0o755, 0, 0, WallTime(0))
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind == FileKind::Directory
    }

    pub(crate) fn parent(&self) -> InodeId {
        assert!(self.is_directory(), "only a directory has a parent");
        let parent = InodeId::from_raw(self.own);
        assert!(parent.is_some(), "a parent is set from an id, and checked when an image is read");
        parent.unwrap_or(InodeId::ROOT)
    }

    pub(crate) fn set_parent(&mut self, parent: InodeId) {
        assert!(self.is_directory(), "only a directory has a parent");
        self.own = parent.raw();
    }

    pub(crate) fn size(&self) -> u64 {
        if self.is_directory() || self.is_device() { 0 } else { self.own }
    }

    fn is_device(&self) -> bool {
        matches!(self.kind, FileKind::CharDevice | FileKind::BlockDevice)
    }

    fn rdev(&self) -> u32 {
        // Set from 32 bits, and checked when an image is read.
        if self.is_device() { self.own as u32 } else { 0 }
    }

    pub(crate) fn set_size(&mut self, size: u64) {
        assert!(self.kind == FileKind::Regular, "of a regular file alone the size is set");
        self.own = size;
    }

    pub(crate) fn version(&self) -> u64 {
        self.version_and_class >> CLASS_BITS
    }

    pub(crate) fn class(&self) -> StorageClass {
        let class = class_of_bits(self.version_and_class & ((1 << CLASS_BITS) - 1));
        assert!(class.is_some(), "the bits were made from a class");
        class.unwrap_or_default()
    }

    pub(crate) fn set_class(&mut self, class: StorageClass) {
        self.version_and_class = self.version() << CLASS_BITS | class_bits(class);
    }

    /// How many bytes extents cover.
    pub(crate) fn covered(&self) -> u64 {
        self.covered
    }

    pub(crate) fn set_covered(&mut self, covered: u64) {
        self.covered = covered;
    }

    /// What is cached of the data is out of date, though nothing that users see has changed.
    pub(crate) fn moved(&mut self) {
        assert!(self.version() < VERSION_MAX, "a version that only grows by one");
        self.version_and_class += 1 << CLASS_BITS;
    }

    /// Marks a change of the inode itself at `time`.
    pub(crate) fn changed(&mut self, time: WallTime) {
        self.ctime = time;
        self.moved();
    }

    pub(crate) fn rights(&self) -> Rights {
        Rights { kind: self.kind, mode: self.mode, uid: self.uid, gid: self.gid }
    }

    pub(crate) fn attr(&self, inode: InodeId) -> Attr {
        Attr {
            inode,
            kind: self.kind,
            mode: self.mode,
            links: self.links,
            uid: self.uid,
            gid: self.gid,
            size: self.size(),
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
            version: self.version(),
            class: self.class(),
            blocks: self.covered.div_ceil(512),
            rdev: self.rdev(),
        }
    }
}

fn class_bits(class: StorageClass) -> u64 {
    u64::from(class.data() - 1) << 7 | u64::from(class.parity()) << 1 | u64::from(class.strict())
}

fn class_of_bits(bits: u64) -> Option<StorageClass> {
    StorageClass::new((bits >> 7) as u8 + 1, (bits >> 1) as u8 & 0x3f, bits & 1 == 1)
}

/// The number of a kind in images, for good.
pub(crate) fn kind_number(kind: FileKind) -> u8 {
    match kind {
        FileKind::Regular => 1,
        FileKind::Directory => 2,
        FileKind::Symlink => 3,
        FileKind::Fifo => 4,
        FileKind::Socket => 5,
        FileKind::CharDevice => 6,
        FileKind::BlockDevice => 7,
    }
}

pub(crate) fn kind_of(number: u8) -> Option<FileKind> {
    Some(match number {
        1 => FileKind::Regular,
        2 => FileKind::Directory,
        3 => FileKind::Symlink,
        4 => FileKind::Fifo,
        5 => FileKind::Socket,
        6 => FileKind::CharDevice,
        7 => FileKind::BlockDevice,
        _ => return None,
    })
}

pub(super) fn take_id(reader: &mut Reader<'_>, field: &'static str) -> Result<InodeId, &'static str> {
    InodeId::from_raw(reader.u64(field)?).ok_or(field)
}

/// A kind that fits the id it stands beside.
pub(super) fn take_kind(reader: &mut Reader<'_>, inode: InodeId) -> Result<FileKind, &'static str> {
    let kind = kind_of(reader.u8("file kind")?).ok_or("file kind")?;
    let fits = (kind == FileKind::Directory) == (inode.kind() == IdKind::Directory);
    if fits { Ok(kind) } else { Err("file kind") }
}

impl Record for Inode {
    type Key = InodeId;
    const TABLE: u8 = 1;

    fn put<S: Sink>(&self, key: &InodeId, sink: &mut S) {
        sink.u64(key.raw());
        sink.u8(kind_number(self.kind));
        sink.u16(self.mode);
        sink.u32(self.links);
        sink.u32(self.uid);
        sink.u32(self.gid);
        sink.u64(self.own);
        sink.u64(self.atime.0.cast_unsigned());
        sink.u64(self.mtime.0.cast_unsigned());
        sink.u64(self.ctime.0.cast_unsigned());
        sink.u64(self.version());
        sink.u32(self.class().to_raw());
        sink.u64(self.covered);
    }

    fn take(reader: &mut Reader<'_>) -> Result<(InodeId, Self), &'static str> {
        let id = take_id(reader, "inode id")?;
        let kind = take_kind(reader, id)?;
        let mode = reader.u16("mode")?;
        if mode & !MODE_MASK != 0 {
            return Err("mode");
        }
        let links = reader.u32("links")?;
        let uid = reader.u32("uid")?;
        let gid = reader.u32("gid")?;
        let own = reader.u64("parent, number or size")?;
        let sound = match kind {
            FileKind::Directory => InodeId::from_raw(own).is_some(),
            FileKind::CharDevice | FileKind::BlockDevice => own <= u64::from(u32::MAX),
            FileKind::Regular | FileKind::Symlink | FileKind::Fifo | FileKind::Socket => true,
        };
        if !sound {
            return Err("parent, number or size");
        }
        let mut time = |field| reader.u64(field).map(|nanos| WallTime(nanos.cast_signed()));
        let (atime, mtime, ctime) = (time("atime")?, time("mtime")?, time("ctime")?);
        let version = reader.u64("version")?;
        if version >= VERSION_MAX {
            return Err("version");
        }
        let class = take_class(reader)?;
        let version_and_class = version << CLASS_BITS | class_bits(class);
        let covered = reader.u64("covered bytes")?;
        Ok((id, Self { version_and_class, covered, own, atime, mtime, ctime, links, uid, gid, mode, kind }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_fits_beside_any_version() {
        let mut inode = Inode::root();
        for raw in 0..1 << 18 {
            let Some(class) = StorageClass::from_raw(raw) else { continue };
            assert!(class_bits(class) < 1 << CLASS_BITS);
            inode.changed(WallTime(0));
            let version = inode.version();
            inode.set_class(class);
            assert_eq!((inode.class(), inode.version()), (class, version));
        }
        assert_eq!(inode.version(), 1 + 2 * 32 * 33);
    }
}
