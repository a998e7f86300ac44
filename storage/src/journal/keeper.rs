//! The task that keeps a prepared segment in stock and takes back those that nobody needs.
//!
//! A segment is prepared under the name `spare`: zeros over its whole length and its head, synced,
//! then renamed to its own name, then the name synced. So a segment that has a name is whole. A
//! segment that is not needed any more becomes the spare, and is overwritten with zeros before it
//! gets a name again; further ones are removed.

use super::layout::SegmentHead;
use super::shared::{Chore, Segment, Shared};
use super::writer;
use super::{JournalConfig, Position};
use crate::error::StorageError;
use crate::field::join;
use bytes::{Bytes, BytesMut};
use mooseng_core::chance::Dice;
use mooseng_core::env::{Disk, DiskError, Env, File, OpenMode, sleep};
use mooseng_core::event::Event;
use mooseng_core::{plant, probe};
use std::sync::Arc;
use std::time::Duration;

const SPARE: &str = "spare";
/// Zeros are written in pieces of this size, and synced every few of them, so that the log's own
/// syncs never wait behind a whole segment.
const PIECE_BYTES: u64 = 1 << 20;
const PIECES_PER_SYNC: u64 = 8;
/// How long to wait for space on a full disk before trying again.
const FULL_WAIT: Duration = Duration::from_millis(500);

pub(super) fn segment_name(sequence: u64) -> String {
    format!("{sequence:020}.segment")
}

pub(super) struct Keeper<E: Env, F> {
    pub(super) env: E,
    pub(super) directory: String,
    pub(super) config: JournalConfig,
    pub(super) journal: [u8; 16],
    pub(super) shared: Arc<Shared<F>>,
}

impl<E: Env> Keeper<E, <E::Disk as Disk>::File> {
    pub(super) async fn run(self) {
        loop {
            let done = match self.shared.chore().await {
                Chore::End => return,
                Chore::Retire(sequences) => self.retire(&sequences).await,
                Chore::Prepare { sequence, base, proven } => self.prepare(sequence, base, proven).await,
            };
            if let Err(error) = done {
                return writer::halt(&self.env, &self.shared, &self.directory, &error);
            }
        }
    }

    /// A full disk is no reason to stop: appends wait until there is space, which releases make.
    async fn prepare(&self, sequence: u64, base: Position, proven: Position) -> Result<(), StorageError> {
        if self.env.buggify("journal prepares late") {
            sleep(&self.env, Duration::from_millis(50)).await;
        }
        let head = head(&self.env, &self.config, self.journal, sequence, base, proven);
        match prepare(&self.env, &self.directory, &head).await {
            Ok(file) => self.shared.stock(Segment { file, head }),
            Err(StorageError::Disk(DiskError::NoSpace { path })) => {
                probe!("journal found no space for a segment");
                self.env.note(Event::Note(format!("{path}: no space for the next journal segment; waiting")));
                sleep(&self.env, FULL_WAIT).await;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn retire(&self, sequences: &[u64]) -> Result<(), StorageError> {
        for sequence in sequences {
            retire(&self.env, &self.directory, *sequence).await?;
        }
        Ok(())
    }
}

/// The head of a segment about to be prepared.
pub(super) fn head<E: Env>(
    env: &E,
    config: &JournalConfig,
    journal: [u8; 16],
    sequence: u64,
    base: Position,
    proven: Position,
) -> SegmentHead {
    let epoch = env.rng("journal epoch", sequence).word();
    let (segment_bytes, sector_bytes) = (config.segment_bytes, config.sector_bytes);
    SegmentHead { journal, sequence, base, segment_bytes, sector_bytes, epoch, proven }
}

/// Prepares a segment; when this returns it and its name are durable.
pub(super) async fn prepare<E: Env>(
    env: &E,
    directory: &str,
    head: &SegmentHead,
) -> Result<<E::Disk as Disk>::File, StorageError> {
    let disk = env.disk();
    let spare = join(directory, SPARE);
    let (file, reused) = match disk.open(&spare, OpenMode::Existing).await {
        Ok(file) => (file, true),
        Err(DiskError::NotFound { .. }) => (disk.open(&spare, OpenMode::New).await?, false),
        Err(error) => return Err(error.into()),
    };
    if reused && file.length().await? != head.segment_bytes {
        file.set_len(head.segment_bytes).await?;
    }
    if reused {
        probe!("journal segment used again");
    }
    let skip = plant!("journal-stale-epoch-accepted", false, reused);
    fill(&file, head, skip).await?;
    file.sync().await?;
    disk.rename(&spare, &join(directory, &segment_name(head.sequence))).await?;
    plant!("journal-missing-sync-dir", disk.sync_dir(directory).await?, ());
    Ok(file)
}

/// Writes the head and zeros after it.
async fn fill<F: File>(file: &F, head: &SegmentHead, head_only: bool) -> Result<(), StorageError> {
    let length = if head_only { u64::from(head.sector_bytes) } else { head.segment_bytes };
    let zeros = Bytes::from(vec![0; length.min(PIECE_BYTES) as usize]);
    let mut first = BytesMut::from(&zeros[..]);
    let encoded = head.encode();
    first[..encoded.len()].copy_from_slice(&encoded);
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

/// Takes back a segment that the journal's state says is not needed. It is overwritten only once
/// its old name is gone for good: a segment's name on another's bytes would be taken for damage.
pub(super) async fn retire<E: Env>(env: &E, directory: &str, sequence: u64) -> Result<(), StorageError> {
    let disk = env.disk();
    let name = join(directory, &segment_name(sequence));
    let spare = join(directory, SPARE);
    let retired = match disk.open(&spare, OpenMode::Existing).await {
        Ok(_) => disk.remove(&name).await,
        Err(DiskError::NotFound { .. }) => disk.rename(&name, &spare).await,
        Err(error) => Err(error),
    };
    match retired {
        Ok(()) => Ok(disk.sync_dir(directory).await?),
        // Some segments below the first needed one never had a name that lasted.
        Err(DiskError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
