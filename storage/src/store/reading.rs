//! Handing parts out, and looking whether they are still what they were.

use super::index::{Entry, Place};
use super::layout::{area_bytes, leaf_count};
use super::shared::{Shared, own_file};
use super::{ExtentOf, FileOf, Store, StoreError};
use bytes::Bytes;
use mooseng_core::checksum::{leaf_bad_first, root, sums_from_bytes};
use mooseng_core::class::LEAF_BYTES;
use mooseng_core::env::{DiskError, Env, File};
use mooseng_core::id::PartId;
use mooseng_core::probe;

/// How much of a part is looked at at once: a whole number of leaves.
const LOOK_BYTES: u32 = 1 << 20;
/// How often a part that moves while it is looked for is looked for again.
const LOOKS_MAX: usize = 4;

/// A range of a part, to be sent as it lies on the disk.
#[derive(Clone, Debug)]
pub struct Found<X> {
    pub part_length: u32,
    /// Of each leaf in the range.
    pub sums: Vec<u32>,
    /// Whole leaves, except at the end of the part; `None` if the range is empty.
    pub data: Option<X>,
}

/// How a part fares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    Good,
    /// It is set aside now, if it was not before.
    Bad,
    Absent,
}

/// Where a part's bytes and sums lie in its file.
struct Spot<F> {
    file: F,
    data_at: u64,
    sums_at: u64,
}

impl<E: Env> Store<E> {
    /// The leaves of a part that a range touches. `offset` is a multiple of the leaves' length.
    /// Nobody looks at the bytes: whoever asked compares them with the sums.
    pub async fn read(
        &self,
        part: PartId,
        offset: u32,
        length: u32,
    ) -> Result<Found<ExtentOf<E>>, StoreError> {
        assert!(offset.is_multiple_of(LEAF_BYTES), "a range begins with a leaf");
        let (entry, spot) = self.find(part).await?;
        let end = u64::from(offset) + u64::from(length);
        let end = end.next_multiple_of(u64::from(LEAF_BYTES)).min(u64::from(entry.length)) as u32;
        if end <= offset {
            return Ok(Found { part_length: entry.length, sums: Vec::new(), data: None });
        }
        let first = offset / LEAF_BYTES;
        let count = end.div_ceil(LEAF_BYTES) - first;
        let at = spot.sums_at + u64::from(first) * 4;
        let sums = self.bytes(part, &entry, &spot.file, at, count as usize * 4).await?;
        let extent = spot.file.extent(spot.data_at + u64::from(offset), u64::from(end - offset)).await;
        let data = extent.map_err(|error| self.unreadable(part, &entry, error))?;
        Ok(Found { part_length: entry.length, sums: sums_from_bytes(&sums), data: Some(data) })
    }

    /// A whole part with its sums, verified.
    pub async fn read_whole(&self, part: PartId) -> Result<(Bytes, Vec<u32>), StoreError> {
        let (entry, spot) = self.find(part).await?;
        let (data, sums) = self.whole(part, &entry, &spot).await?;
        if leaf_bad_first(part, 0, &data, &sums).is_some() {
            self.set_aside(part, &entry, "does not have its sums");
            return Err(StoreError::Damaged);
        }
        Ok((data, sums))
    }

    async fn whole(
        &self,
        part: PartId,
        entry: &Entry,
        spot: &Spot<FileOf<E>>,
    ) -> Result<(Bytes, Vec<u32>), StoreError> {
        let sums = self.bytes(part, entry, &spot.file, spot.sums_at, leaf_count(entry.length) * 4).await?;
        let data = self.bytes(part, entry, &spot.file, spot.data_at, entry.length as usize).await?;
        Ok((data, sums_from_bytes(&sums)))
    }

    /// What lies where a small part is kept, whole or not.
    pub(super) async fn raw(&self, part: PartId, entry: &Entry) -> Result<(Bytes, Vec<u32>), StoreError> {
        let spot = self.shared.spot(part, entry).await?;
        let area = crate::segment::read(&spot.file, spot.sums_at, area_bytes(entry.length) as u64).await?;
        let (sums, data) = area.split_at(leaf_count(entry.length) * 4);
        Ok((area.slice_ref(data), sums_from_bytes(sums)))
    }

    /// Reads a part again, all of it, and sets it aside if it is not what was put.
    pub async fn verify(&self, part: PartId) -> Result<Health, StoreError> {
        let health = match self.verified(part).await {
            Ok(()) => Health::Good,
            Err(StoreError::Damaged) => Health::Bad,
            Err(StoreError::Absent) => Health::Absent,
            Err(error) => return Err(error),
        };
        Ok(health)
    }

    async fn verified(&self, part: PartId) -> Result<(), StoreError> {
        let (entry, spot) = self.find(part).await?;
        let sums = self.sums_in(part, &entry, &spot).await?;
        if entry.place() == Place::Own {
            let own = own_file(part, &entry);
            let foot_at = own.sums_at() + sums.len() as u64 * 4;
            let foot =
                self.bytes(part, &entry, &spot.file, foot_at, own.end_bytes() - sums.len() * 4).await?;
            if own.decode_foot(&foot) != Ok(root(part, u64::from(entry.length), &sums)) {
                self.set_aside(part, &entry, "does not have its root");
                return Err(StoreError::Damaged);
            }
        }
        let mut offset = 0;
        while offset < entry.length {
            let length = LOOK_BYTES.min(entry.length - offset);
            let at = spot.data_at + u64::from(offset);
            let data = self.bytes(part, &entry, &spot.file, at, length as usize).await?;
            let first = u64::from(offset / LEAF_BYTES);
            if let Some(leaf) = leaf_bad_first(part, first, &data, &sums[first as usize..]) {
                self.set_aside(part, &entry, &format!("has a bad leaf, number {leaf}"));
                return Err(StoreError::Damaged);
            }
            offset += length;
        }
        Ok(())
    }

    /// The sums of a part as they are kept.
    pub(super) async fn sums(&self, part: PartId, entry: &Entry) -> Result<Vec<u32>, StoreError> {
        let spot = self.shared.spot(part, entry).await?;
        self.sums_in(part, entry, &spot).await
    }

    async fn sums_in(
        &self,
        part: PartId,
        entry: &Entry,
        spot: &Spot<FileOf<E>>,
    ) -> Result<Vec<u32>, StoreError> {
        let length = leaf_count(entry.length) * 4;
        Ok(sums_from_bytes(&self.bytes(part, entry, &spot.file, spot.sums_at, length).await?))
    }

    async fn find(&self, part: PartId) -> Result<(Entry, Spot<FileOf<E>>), StoreError> {
        for _ in 0..LOOKS_MAX {
            let entry = self.shared.entry(part)?.ok_or(StoreError::Absent)?;
            if entry.damaged {
                return Err(StoreError::Damaged);
            }
            match self.shared.spot(part, &entry).await {
                Err(StoreError::Absent) if self.shared.entry(part)? == Some(entry) => {
                    self.set_aside(part, &entry, "has lost its file");
                    return Err(StoreError::Damaged);
                }
                Err(StoreError::Absent) => {
                    probe!("store part moved while it was looked for");
                }
                Err(error) => return Err(error),
                Ok(spot) => return Ok((entry, spot)),
            }
        }
        Err(StoreError::Busy("the part is on the move"))
    }

    /// Exactly so many bytes; a disk that cannot read them has damaged the part.
    async fn bytes(
        &self,
        part: PartId,
        entry: &Entry,
        file: &FileOf<E>,
        offset: u64,
        length: usize,
    ) -> Result<Bytes, StoreError> {
        let read = file.read_at(offset, length).await;
        let bytes = read.map_err(|error| self.unreadable(part, entry, error))?;
        if bytes.len() < length {
            self.set_aside(part, entry, "is cut short");
            return Err(StoreError::Damaged);
        }
        Ok(bytes)
    }

    fn unreadable(&self, part: PartId, entry: &Entry, error: DiskError) -> StoreError {
        self.set_aside(part, entry, &format!("cannot be read: {error}"));
        StoreError::Damaged
    }

    /// Sets a part aside and says why.
    pub(super) fn set_aside(&self, part: PartId, entry: &Entry, why: &str) {
        if self.shared.lock().index.set_damaged(part, entry) {
            probe!("stored part set aside");
            self.shared.note(format!("part {part} {why}: it is set aside"));
        }
    }
}

impl<E: Env> Shared<E> {
    async fn spot(&self, part: PartId, entry: &Entry) -> Result<Spot<FileOf<E>>, StoreError> {
        let file = self.file(part, entry).await?;
        Ok(match entry.place() {
            Place::Segment { offset, .. } => {
                let sums_at = u64::from(offset);
                Spot { file, sums_at, data_at: sums_at + leaf_count(entry.length) as u64 * 4 }
            }
            Place::Own | Place::Gone => Spot { file, sums_at: own_file(part, entry).sums_at(), data_at: 0 },
        })
    }
}
