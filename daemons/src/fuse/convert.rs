//! Between the kernel's words and ours.

use fuser::{Errno, FileAttr, FileType, INodeNo, TimeOrNow};
use mooseng_client::mount::{OpenMode, Reserve, Seek};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Attr, FileKind, NewTime, XattrMode};
use mooseng_core::time::WallTime;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The size of a read or a write that suits us: standard I/O takes buffers of this size.
const BLOCK_BYTES: u32 = 128 << 10;

/// FUSE calls the root 1, which is a possible number of ours: the two change places.
pub(super) fn number(inode: InodeId) -> INodeNo {
    INodeNo(swap_root(inode.raw()))
}

pub(super) fn inode(number: INodeNo) -> Result<InodeId, Errno> {
    InodeId::from_raw(swap_root(number.0)).ok_or(Errno::ESTALE)
}

fn swap_root(number: u64) -> u64 {
    let (ours, theirs) = (InodeId::ROOT.raw(), INodeNo::ROOT.0);
    match number {
        number if number == ours => theirs,
        number if number == theirs => ours,
        number => number,
    }
}

pub(super) fn attributes(attr: &Attr) -> FileAttr {
    FileAttr {
        ino: number(attr.inode),
        size: attr.size,
        blocks: attr.blocks,
        atime: system_time(attr.atime),
        mtime: system_time(attr.mtime),
        ctime: system_time(attr.ctime),
        crtime: system_time(attr.ctime),
        kind: file_type(attr.kind),
        perm: attr.mode,
        nlink: attr.links,
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.rdev,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

pub(super) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::Regular => FileType::RegularFile,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::Socket => FileType::Socket,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
    }
}

/// The kind in the upper bits of a mode.
pub(super) fn kind_of(mode: u32) -> Option<FileKind> {
    match mode & 0o170_000 {
        0 | 0o100_000 => Some(FileKind::Regular),
        0o040_000 => Some(FileKind::Directory),
        0o120_000 => Some(FileKind::Symlink),
        0o010_000 => Some(FileKind::Fifo),
        0o140_000 => Some(FileKind::Socket),
        0o020_000 => Some(FileKind::CharDevice),
        0o060_000 => Some(FileKind::BlockDevice),
        _ => None,
    }
}

/// The twelve bits that a mode keeps.
pub(super) fn permissions(mode: u32) -> u16 {
    (mode & 0o7_777) as u16
}

pub(super) fn open_mode(flags: i32) -> OpenMode {
    const ACCESS: i32 = 3;
    const WRITE_ONLY: i32 = 1;
    const READ_WRITE: i32 = 2;
    // What the kernel calls FMODE_EXEC: a program is being started from the file.
    const EXECUTE: i32 = 0o40;
    let access = flags & ACCESS;
    let execute = flags & EXECUTE != 0;
    OpenMode {
        read: access != WRITE_ONLY && !execute,
        write: access == WRITE_ONLY || access == READ_WRITE,
        execute,
    }
}

/// What fallocate(2) asks for, if we know it.
pub(super) fn reserve(mode: i32) -> Option<Reserve> {
    const KEEP_SIZE: i32 = 1;
    const PUNCH_HOLE: i32 = 2;
    const ZERO_RANGE: i32 = 16;
    const PUNCH: i32 = PUNCH_HOLE | KEEP_SIZE;
    const ZERO_KEEP: i32 = ZERO_RANGE | KEEP_SIZE;
    match mode {
        0 => Some(Reserve::Grow),
        KEEP_SIZE => Some(Reserve::Keep),
        PUNCH | ZERO_KEEP => Some(Reserve::Punch),
        ZERO_RANGE => Some(Reserve::Zero),
        _ => None,
    }
}

/// What setxattr(2) may find; both flags together make no sense.
pub(super) fn xattr_mode(flags: i32) -> Option<XattrMode> {
    const CREATE: i32 = 1;
    const REPLACE: i32 = 2;
    match flags {
        0 => Some(XattrMode::Set),
        CREATE => Some(XattrMode::Create),
        REPLACE => Some(XattrMode::Replace),
        _ => None,
    }
}

/// What lseek(2) looks for; the kernel does the other kinds itself.
pub(super) fn seek(whence: i32) -> Option<Seek> {
    const DATA: i32 = 3;
    const HOLE: i32 = 4;
    match whence {
        DATA => Some(Seek::Data),
        HOLE => Some(Seek::Hole),
        _ => None,
    }
}

fn system_time(time: WallTime) -> SystemTime {
    let distance = Duration::from_nanos(time.0.unsigned_abs());
    if time.0 >= 0 { UNIX_EPOCH + distance } else { UNIX_EPOCH - distance }
}

/// Times that 63 bits of nanoseconds cannot hold become the nearest that they can.
///
/// The kernel counts nanoseconds onward from a second before the epoch as from any other; fuser goes that
/// much further back, which is undone here.
fn wall_time(time: SystemTime) -> WallTime {
    let (seconds, nanos) = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (i128::from(after.as_secs()), after.subsec_nanos()),
        Err(before) => (-i128::from(before.duration().as_secs()), before.duration().subsec_nanos()),
    };
    let nanos = seconds * 1_000_000_000 + i128::from(nanos);
    WallTime(nanos.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

pub(super) fn new_time(time: TimeOrNow) -> NewTime {
    match time {
        TimeOrNow::Now => NewTime::Now,
        TimeOrNow::SpecificTime(time) => NewTime::At(wall_time(time)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_called_one_and_nobody_is_lost_for_it() {
        assert_eq!(number(InodeId::ROOT), INodeNo::ROOT);
        let first_file = InodeId::from_raw(1).unwrap();
        for id in [InodeId::ROOT, first_file, InodeId::from_raw(77).unwrap()] {
            assert_eq!(inode(number(id)), Ok(id));
        }
        assert_ne!(number(first_file), INodeNo::ROOT);
        assert_eq!(inode(INodeNo(0)), Err(Errno::ESTALE));
    }

    #[test]
    fn times_of_any_century_come_back() {
        // As fuser reads what the kernel says.
        let heard = |seconds: i64, nanos: u32| match u64::try_from(seconds) {
            Ok(seconds) => UNIX_EPOCH + Duration::new(seconds, nanos),
            Err(_) => UNIX_EPOCH - Duration::new(seconds.unsigned_abs(), nanos),
        };
        for (seconds, nanos) in [(0, 0), (0, 1), (-1, 999_999_999), (1_700_000_000, 123_456_789), (-77, 5)] {
            let wall = wall_time(heard(seconds, nanos));
            assert_eq!(wall, WallTime(seconds * 1_000_000_000 + i64::from(nanos)));
            let told = system_time(wall).duration_since(UNIX_EPOCH);
            let told = told.map_or_else(
                |before| -(before.duration().as_nanos() as i64),
                |after| after.as_nanos() as i64,
            );
            assert_eq!(WallTime(told), wall);
        }
        assert_eq!(wall_time(heard(1 << 40, 0)), WallTime(i64::MAX));
        assert_eq!(wall_time(heard(i64::MIN, 0)), WallTime(i64::MIN));
    }

    #[test]
    fn flags_say_what_a_file_is_opened_for() {
        let (read, write) = (true, true);
        let none = OpenMode::default();
        assert_eq!(open_mode(0o100_000), OpenMode { read, ..none });
        assert_eq!(open_mode(0o2_001), OpenMode { write, ..none });
        assert_eq!(open_mode(2), OpenMode { read, write, ..none });
        assert_eq!(open_mode(0o40), OpenMode { execute: true, ..none });
    }

    #[test]
    fn the_kind_of_a_mode_is_told() {
        assert_eq!(kind_of(0o010_644), Some(FileKind::Fifo));
        assert_eq!(kind_of(0o644), Some(FileKind::Regular));
        assert_eq!(kind_of(0o150_000), None);
        assert_eq!(permissions(0o104_755), 0o4_755);
    }
}
