//! What a file's bytes are made of: extents of immutable slices. Says what fits together, not what
//! is there.
//!
//! ```text
//!   file    |---------- chunk 0 ----------|---------- chunk 1 ---- ...
//!   extents   [  s3  ][ s7 ]    [ s3   ]  |[   s9   ]
//!                                 a slice may be seen in several places, a gap reads as zeros
//! ```

use crate::class::{CHUNK_BYTES, SLICE_BYTES_MAX, StorageClass};
use crate::id::{ServerId, SliceId};

/// The most slices one request may ask for.
pub const GRANT_MAX: u32 = 256;
/// The most slices, and the most extents, of one commit: it has to fit an entry of the log.
pub const COMMIT_SLICES_MAX: usize = 256;
pub const COMMIT_EXTENTS_MAX: usize = 1_024;
/// The largest size a file may have: an offset in it is a signed number to applications.
pub const SIZE_MAX: u64 = i64::MAX as u64;

/// A run of a file's bytes, and where in a slice they are. It lies in one chunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileExtent {
    pub offset: u64,
    pub length: u32,
    pub slice: SliceId,
    pub slice_offset: u32,
}

impl FileExtent {
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.length))
    }

    /// Can there be such an extent? Not an empty one, none across chunks, none behind the largest
    /// size, none behind the end of the largest slice.
    pub fn is_possible(&self) -> bool {
        let last = self.end().saturating_sub(1);
        self.length > 0
            && self.end() <= SIZE_MAX
            && chunk_of(self.offset) == chunk_of(last)
            && self.slice_end() <= u64::from(SLICE_BYTES_MAX)
    }

    /// Where in the slice it ends.
    pub fn slice_end(&self) -> u64 {
        u64::from(self.slice_offset) + u64::from(self.length)
    }

    /// The part of it that lies in a range, if any does.
    pub fn clipped(&self, from: u64, to: u64) -> Option<Self> {
        let (start, end) = (self.offset.max(from), self.end().min(to));
        if start >= end {
            return None;
        }
        let slice_offset = self.slice_offset + (start - self.offset) as u32;
        Some(Self { offset: start, length: (end - start) as u32, slice_offset, ..*self })
    }
}

/// The number of the chunk in which an offset lies.
pub fn chunk_of(offset: u64) -> u64 {
    offset / CHUNK_BYTES
}

/// A slice: how it is kept and where. Of an extent's slices it says where to read; committed, it
/// says what was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SliceInfo {
    pub slice: SliceId,
    /// As it is stored, which a short slice's file need not be.
    pub class: StorageClass,
    pub length: u32,
    /// The server of each part; `None` is a deficit, to be repaired first.
    pub parts: Vec<Option<ServerId>>,
}

/// A slice whose parts are durable and which nobody sees yet.
pub type NewSlice = SliceInfo;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Slot;

    fn extent(offset: u64, length: u32) -> FileExtent {
        let slice = SliceId::new(0, Slot::default(), 1).unwrap();
        FileExtent { offset, length, slice, slice_offset: 10 }
    }

    #[test]
    fn an_extent_lies_in_one_chunk_and_in_one_slice() {
        let chunk = CHUNK_BYTES;
        assert!(extent(chunk - 5, 5).is_possible() && extent(chunk, 5).is_possible());
        assert!(!extent(chunk - 5, 6).is_possible());
        assert!(!extent(7, 0).is_possible());
        assert!(!extent(SIZE_MAX - 4, 5).is_possible() && extent(SIZE_MAX - 5, 5).is_possible());
        assert!(!extent(u64::MAX, 5).is_possible());
        assert!(!extent(0, SLICE_BYTES_MAX - 9).is_possible());
        assert!(extent(0, SLICE_BYTES_MAX - 10).is_possible());
    }

    #[test]
    fn a_clipped_extent_shows_the_same_bytes() {
        let whole = extent(100, 50);
        assert_eq!(whole.clipped(0, 1_000), Some(whole));
        assert_eq!(
            whole.clipped(120, 130),
            Some(FileExtent { offset: 120, length: 10, slice_offset: 30, ..whole })
        );
        assert_eq!(
            whole.clipped(140, 1_000),
            Some(FileExtent { offset: 140, length: 10, slice_offset: 50, ..whole })
        );
        assert_eq!(whole.clipped(0, 101), Some(FileExtent { length: 1, ..whole }));
        assert_eq!((whole.clipped(150, 160), whole.clipped(0, 100)), (None, None));
    }
}
