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
use crate::segment::{fill, segment_name};
use mooseng_core::chance::Dice;
use mooseng_core::env::{Disk, DiskError, Env, File, OpenMode, sleep};
use mooseng_core::event::Event;
use mooseng_core::{plant, probe};
use std::sync::Arc;
use std::time::Duration;

const SPARE: &str = "spare";
/// How long to wait for space on a full disk before trying again.
const FULL_WAIT: Duration = Duration::from_millis(500);

pub(super) struct Keeper<E: Env, F> {
    pub(super) env: E,
    pub(super) directory: String,
    pub(super) config: JournalConfig,
    pub(super) journal: [u8; 16],
    pub(super) shared: Arc<Shared<F>>,
}

impl<E: Env> Keeper<E, <E::Disk as Disk>::File> {
    pub(super) async fn run(self) {
        let mut waits = false;
        loop {
            let done = match self.shared.chore().await {
                Chore::End => return,
                Chore::Retire(sequences) => self.retire(&sequences).await,
                Chore::Prepare { sequence, base, proven } => {
                    self.prepare(sequence, base, proven, &mut waits).await
                }
            };
            if let Err(error) = done {
                return writer::halt(&self.env, &self.shared, &self.directory, &error);
            }
        }
    }

    /// A full disk is no reason to stop: appends wait until there is space, which releases make. That it
    /// `waits` is said once, and that it does not any more.
    async fn prepare(
        &self,
        sequence: u64,
        base: Position,
        proven: Position,
        waits: &mut bool,
    ) -> Result<(), StorageError> {
        if self.env.buggify("journal prepares late") {
            sleep(&self.env, Duration::from_millis(50)).await;
        }
        let head = head(&self.env, &self.config, self.journal, sequence, base, proven);
        match prepare(&self.env, &self.directory, &head).await {
            Ok(file) => {
                if std::mem::take(waits) {
                    let line = format!("{}: there is space for journal segments again", self.directory);
                    self.env.note(Event::Note(line));
                }
                self.shared.stock(Segment { file, head });
            }
            Err(StorageError::Disk(DiskError::NoSpace { path })) => {
                probe!("journal found no space for a segment");
                if !std::mem::replace(waits, true) {
                    let line = format!("{path}: no space for the next journal segment; waiting");
                    self.env.note(Event::Note(line));
                }
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
    // Bytes of a former life must not be there to be taken for this one's.
    let whole = head.segment_bytes;
    let length = plant!(
        "journal-stale-epoch-accepted",
        whole,
        if reused { u64::from(head.sector_bytes) } else { whole }
    );
    fill(&file, &head.encode(), length).await?;
    file.sync().await?;
    disk.rename(&spare, &join(directory, &segment_name(head.sequence))).await?;
    plant!("journal-missing-sync-dir", disk.sync_dir(directory).await?, ());
    Ok(file)
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
