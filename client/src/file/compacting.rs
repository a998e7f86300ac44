//! Making room in a chunk that has as many extents as it may have: a run of them that lies close
//! together is written anew as few. What was there is compared by the service before it is replaced,
//! so that nobody's write is lost.

use super::dirty::Run;
use super::error::FileError;
use super::pack::pack;
use super::service::FileService;
use super::shared::Shared;
use mooseng_core::class::StorageClass;
use mooseng_core::env::Env;
use mooseng_core::extent::{FileExtent, chunk_of};
use mooseng_core::namespace::Refusal;
use mooseng_core::probe;

/// So many extents are made few at a time.
const EXTENTS_AT_ONCE: usize = 256;
/// A chunk with fewer has room.
const EXTENTS_MIN: usize = 16;

/// The run of at most `most` neighbours that lie closest together: what it costs least to write anew.
fn closest(extents: &[FileExtent], most: usize) -> &[FileExtent] {
    let span = |run: &[FileExtent]| match run {
        [first, .., last] => last.end() - first.offset,
        _ => u64::MAX,
    };
    extents.windows(most.min(extents.len()).max(1)).min_by_key(|run| span(run)).unwrap_or_default()
}

impl<E: Env, S: FileService> Shared<E, S> {
    /// Writes runs of the chunks in which `extents` are to lie anew. Refused as fragmented if
    /// nothing could be made fewer.
    pub(super) async fn make_room(
        &self,
        class: StorageClass,
        extents: &[FileExtent],
    ) -> Result<(), FileError> {
        let mut chunks: Vec<u64> = extents.iter().map(|extent| chunk_of(extent.offset)).collect();
        chunks.sort_unstable();
        chunks.dedup();
        let mut made = false;
        for chunk in chunks {
            made |= self.make_room_in(class, chunk).await?;
        }
        if made { Ok(()) } else { Err(FileError::Refused(Refusal::TooFragmented)) }
    }

    async fn make_room_in(&self, class: StorageClass, chunk: u64) -> Result<bool, FileError> {
        let map = self.fetch_map(chunk).await?;
        let replaced = closest(&map.extents, EXTENTS_AT_ONCE);
        let ([first, .., last], true) = (replaced, replaced.len() >= EXTENTS_MIN) else { return Ok(false) };
        probe!("a fragmented chunk compacted");
        // Holes between them become zeros, which they read as.
        let bytes = self.committed(first.offset, last.end()).await?;
        let packed = pack(&[Run { offset: first.offset, bytes }], self.mounted.config.slice_bytes_max);
        let (slices, extents) = self.keep(class, &packed).await?;
        let granted = slices.iter().map(|slice| slice.slice).collect();
        match self.mounted.service.compact(self.inode, replaced.to_vec(), slices, extents).await {
            Ok(size) => {
                self.with(|state| {
                    state.learn(size);
                    state.void();
                });
                Ok(true)
            }
            Err(error) => {
                self.give_back(granted, &error).await;
                // Somebody wrote there meanwhile: the next look sees what.
                if error == FileError::Refused(Refusal::Conflict) { Ok(true) } else { Err(error) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::id::{SliceId, Slot};

    #[test]
    fn neighbours_that_lie_closest_are_chosen() {
        let slice = SliceId::new(0, Slot::default(), 1).unwrap();
        let extent = |offset| FileExtent { offset, length: 10, slice, slice_offset: 0 };
        let extents = [0, 100, 120, 130, 900].map(extent);
        assert_eq!(closest(&extents, 3), [100, 120, 130].map(extent));
        assert_eq!(closest(&extents, 99), extents);
        assert_eq!(closest(&[], 3), []);
    }
}
