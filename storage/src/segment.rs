//! What the journal's segments and the store's have in common: numbered files that are written with
//! zeros over their whole length before they get their names, so that a commit overwrites space the
//! file system has already given, and that are read whole when they are taken up again. Knows
//! nothing of what lies in them.

use crate::envelope::UNREADABLE;
use crate::error::StorageError;
use bytes::{Bytes, BytesMut};
use mooseng_core::env::{DiskError, File};
use mooseng_core::probe;

/// Zeros are written in pieces of this size, and synced every few of them, so that a log's own
/// syncs never wait behind a whole segment.
const PIECE_BYTES: u64 = 1 << 20;
const PIECES_PER_SYNC: u64 = 8;
/// How much is read at once.
const READ_BYTES: u64 = 1 << 20;
/// The smallest piece that a disk may fail to read.
const READ_BYTES_MIN: u64 = 512;

const SUFFIX: &str = ".segment";

/// `00000000000000000007.segment` for 7.
pub(crate) fn segment_name(sequence: u64) -> String {
    format!("{sequence:020}{SUFFIX}")
}

/// `00000000000000000007.segment` is 7; other names are no segments.
pub(crate) fn sequence_of(name: &str) -> Option<u64> {
    numbered(name, SUFFIX)
}

/// The number in a name of twenty digits and a suffix; the last number is never given.
pub(crate) fn numbered(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|sequence| (1..u64::MAX).contains(sequence))
}

/// Writes the head and zeros after it, up to `length`. The caller syncs.
pub(crate) async fn fill<F: File>(file: &F, head: &[u8], length: u64) -> Result<(), StorageError> {
    assert!(head.len() as u64 <= length.min(PIECE_BYTES), "a head of {} bytes in {length}", head.len());
    let zeros = Bytes::from(vec![0; length.min(PIECE_BYTES) as usize]);
    let mut first = BytesMut::from(&zeros[..]);
    first[..head.len()].copy_from_slice(head);
    file.write_at(0, first.freeze()).await?;
    let mut offset = zeros.len() as u64;
    while offset < length {
        let piece = zeros.slice(..(length - offset).min(PIECE_BYTES) as usize);
        let next = offset + piece.len() as u64;
        file.write_at(offset, piece).await?;
        if (next / PIECE_BYTES).is_multiple_of(PIECES_PER_SYNC) {
            file.sync().await?;
        }
        offset = next;
    }
    Ok(())
}

/// Reads a range. What the disk cannot read, and what a file that was cut short lacks, counts as
/// rubbish. A piece with unreadable sectors is halved until they stand alone, so that a few of them
/// cost a few reads, however large the file is.
pub(crate) async fn read<F: File>(file: &F, offset: u64, length: u64) -> Result<Bytes, StorageError> {
    let end = offset + length;
    let mut image = BytesMut::with_capacity(length as usize);
    let mut open: Vec<(u64, u64)> = Vec::new();
    while let Some((at, piece)) = open.pop().or_else(|| {
        let at = offset + image.len() as u64;
        (at < end).then(|| (at, (end - at).min(READ_BYTES)))
    }) {
        match file.read_at(at, piece as usize).await {
            Ok(bytes) => {
                image.extend_from_slice(&bytes);
                image.resize((at + piece - offset) as usize, UNREADABLE);
            }
            Err(DiskError::Io { .. }) if piece <= READ_BYTES_MIN => {
                probe!("sector unreadable");
                image.resize((at + piece - offset) as usize, UNREADABLE);
            }
            Err(DiskError::Io { .. }) => {
                let half = (piece / 2).next_multiple_of(READ_BYTES_MIN);
                open.push((at + half, piece - half));
                open.push((at, half));
            }
            Err(error) => return Err(error.into()),
        }
    }
    assert_eq!(image.len() as u64, length, "every byte of the range is accounted for");
    Ok(image.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_segments_are_segments() {
        assert_eq!(sequence_of(&segment_name(7)), Some(7));
        for name in ["7.segment", "00000000000000000000.segment", "0000000000000000000x.segment", "spare"] {
            assert_eq!(sequence_of(name), None, "{name}");
        }
    }
}
