//! Slices, extents and storage classes.

use super::Malformed;
use crate::proto::namespace as proto;
use mooseng_core::class::StorageClass;
use mooseng_core::id::{ServerId, SliceId};
use mooseng_core::namespace::{FileExtent, SliceInfo};

/// The most parts that one request of the chunk service names, or one inventory lists.
pub const PARTS_MAX: usize = 4_096;
/// The most damaged parts of one heartbeat.
pub const DAMAGED_MAX: usize = 256;

pub fn slice(field: &'static str, raw: u64) -> Result<SliceId, Malformed> {
    SliceId::from_raw(raw).ok_or_else(|| Malformed::new(field, format!("{raw:#x} can be no slice's number")))
}

/// The index of a part in its slice: no class has more than 64.
pub fn part_index(field: &'static str, raw: u32) -> Result<u8, Malformed> {
    let index = u8::try_from(raw).ok().filter(|index| *index < 64);
    index.ok_or_else(|| Malformed::new(field, format!("no slice has a part {raw}")))
}

pub fn class(field: &'static str, raw: u32) -> Result<StorageClass, Malformed> {
    StorageClass::from_raw(raw)
        .ok_or_else(|| Malformed::new(field, format!("{raw:#x} can be no storage class")))
}

/// A server's number, or nobody's.
pub fn server(raw: u64) -> Option<ServerId> {
    (raw != 0).then_some(ServerId(raw))
}

pub(super) fn put_extents(extents: &[FileExtent]) -> Vec<proto::FileExtent> {
    let put = |extent: &FileExtent| proto::FileExtent {
        offset: extent.offset,
        length: extent.length,
        slice: extent.slice.raw(),
        slice_offset: extent.slice_offset,
    };
    extents.iter().map(put).collect()
}

/// Any range may be asked for: whether it makes sense is the shard's to judge.
pub(super) fn extents(
    field: &'static str,
    extents: Vec<proto::FileExtent>,
) -> Result<Vec<FileExtent>, Malformed> {
    let take = |extent: proto::FileExtent| {
        let slice = slice(field, extent.slice)?;
        let proto::FileExtent { offset, length, slice_offset, .. } = extent;
        Ok(FileExtent { offset, length, slice, slice_offset })
    };
    extents.into_iter().map(take).collect()
}

pub(super) fn put_slices(slices: &[SliceInfo]) -> Vec<proto::SliceInfo> {
    let put = |info: &SliceInfo| proto::SliceInfo {
        slice: info.slice.raw(),
        class: info.class.to_raw(),
        length: info.length,
        parts: info.parts.iter().map(|server| server.map_or(0, |server| server.0)).collect(),
    };
    slices.iter().map(put).collect()
}

pub(super) fn slices(
    field: &'static str,
    slices: Vec<proto::SliceInfo>,
) -> Result<Vec<SliceInfo>, Malformed> {
    let take = |info: proto::SliceInfo| {
        Ok(SliceInfo {
            slice: slice(field, info.slice)?,
            class: class(field, info.class)?,
            length: info.length,
            parts: info.parts.into_iter().map(server).collect(),
        })
    };
    slices.into_iter().map(take).collect()
}
