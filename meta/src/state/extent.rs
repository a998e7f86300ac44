//! The map of a file's bytes: one record for each extent, 32 bytes with its key. The extents of a
//! file never lie over each other: whatever comes later cuts what it covers.
//!
//! They are found by where they end. The first one that ends behind an offset is the one that holds
//! it, or else the next one, so that one search finds where a range begins.

use super::inode::take_id;
use super::record::{Reader, Record, Sink};
use super::slice::take_slice;
use mooseng_core::id::{InodeId, SliceId};
use mooseng_core::namespace::FileExtent;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ExtentKey {
    pub(crate) inode: InodeId,
    pub(crate) end: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    pub(crate) slice: SliceId,
    pub(crate) slice_offset: u32,
    pub(crate) length: u32,
}

const _: () = assert!(size_of::<(ExtentKey, Extent)>() == 32);

impl Extent {
    pub(crate) fn of(extent: &FileExtent) -> Self {
        Self { slice: extent.slice, slice_offset: extent.slice_offset, length: extent.length }
    }

    /// As it is when it ends there.
    pub(crate) fn ending(&self, end: u64) -> FileExtent {
        let offset = end.saturating_sub(u64::from(self.length));
        FileExtent { offset, length: self.length, slice: self.slice, slice_offset: self.slice_offset }
    }
}

impl Record for Extent {
    type Key = ExtentKey;
    const TABLE: u8 = 10;

    fn put<S: Sink>(&self, key: &ExtentKey, sink: &mut S) {
        sink.u64(key.inode.raw());
        sink.u64(key.end);
        sink.u64(self.slice.raw());
        sink.u32(self.slice_offset);
        sink.u32(self.length);
    }

    fn take(reader: &mut Reader<'_>) -> Result<(ExtentKey, Self), &'static str> {
        let inode = take_id(reader, "inode of an extent")?;
        let end = reader.u64("end of an extent")?;
        let slice = take_slice(reader)?;
        let slice_offset = reader.u32("offset in a slice")?;
        let extent = Self { slice, slice_offset, length: reader.u32("length of an extent")? };
        if u64::from(extent.length) > end || !extent.ending(end).is_possible() {
            return Err("length of an extent");
        }
        Ok((ExtentKey { inode, end }, extent))
    }
}
