//! What lies where in a metadata server's data directory.
//!
//! ```text
//!   identity           whose directory this is
//!   journal/           the journal all groups share
//!   group-1/           snapshots of group 1
//!   journal-is-void    while it is there, nothing in the journal counts
//! ```

use super::ServerError;
use crate::group::room::Measured;
use crate::group::{records, stream};
use crate::image;
use mooseng_core::env::{Disk, DiskError, Env, File, OpenMode, Space, sleep};
use mooseng_core::id::GroupId;
use mooseng_core::probe;
use mooseng_storage::{Journal, JournalConfig, Record, Recovered, SnapshotReader, StorageError, snapshot};
use std::sync::Arc;
use std::time::Duration;

pub(super) const JOURNAL: &str = "journal";
/// How much comes in between at the most is small against what is kept.
const MEASURED_EVERY: Duration = Duration::from_millis(250);
const ANOTHER_VERSION: &str = "start the version of MooseNG that wrote it";
const VOID: &str = "journal-is-void";

pub(super) fn group_directory(group: GroupId) -> String {
    format!("group-{}", group.0)
}

fn failed(error: impl ToString) -> ServerError {
    ServerError(error.to_string())
}

/// Measures what is free, again and again.
pub(super) async fn watch<E: Env>(env: E, measured: Arc<Measured>) {
    loop {
        if let Ok(Space { total, free }) = env.disk().space().await {
            measured.set(total, free);
        }
        sleep(&env, MEASURED_EVERY).await;
    }
}

/// Removes the files in a directory.
pub(super) async fn empty<E: Env>(env: &E, directory: &str) -> Result<(), ServerError> {
    let names = match env.disk().list(directory).await {
        Ok(names) => names,
        Err(DiskError::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for name in names {
        match env.disk().remove(&format!("{directory}/{name}")).await {
            Ok(()) | Err(DiskError::NotFound { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    env.disk().sync_dir(directory).await.map_err(failed)
}

/// Opens the journal. One that cannot be opened, or is gone, is replaced by an empty one: what it
/// held is lost here, and who its replicas were with it. `None` says so.
pub(super) async fn open_journal<E: Env>(
    env: &E,
    config: &JournalConfig,
) -> Result<(Journal<E>, Option<Recovered>), ServerError> {
    let void = env.disk().open(VOID, OpenMode::Existing).await.is_ok();
    if !void {
        match Journal::open_checked(env, JOURNAL, config.clone(), all_known).await {
            Ok((journal, recovered)) => return Ok((journal, Some(recovered))),
            Err(StorageError::Absent { .. } | StorageError::Damaged { .. }) => {
                probe!("journal replaced");
            }
            Err(error) => return Err(failed(error)),
        }
    }
    replace_journal(env, config).await?;
    let (journal, _) = Journal::open(env, JOURNAL, config.clone()).await.map_err(failed)?;
    Ok((journal, None))
}

/// Nothing that another version wrote is in the journal.
fn all_known(kept: &[Record]) -> Result<(), StorageError> {
    for record in kept {
        records::known(&record.bytes).map_err(|why| StorageError::Refused {
            file: format!("{JOURNAL}, at {}", record.position),
            why,
            remedy: ANOTHER_VERSION,
        })?;
    }
    Ok(())
}

/// A snapshot that another version wrote is no damage: the server does not start, and nothing is
/// changed. Fenced for it, the replica would be lost to the version that can read it, too. What else
/// is wrong with a snapshot is seen when it is wanted.
pub(super) async fn survey<E: Env>(env: &E, groups: &[GroupId]) -> Result<(), ServerError> {
    for group in groups {
        let directory = group_directory(*group);
        for index in snapshot::list(env, &directory).await.unwrap_or_default() {
            match SnapshotReader::open(env, &directory, index).await {
                Err(error @ StorageError::Refused { .. }) => return Err(failed(error)),
                Err(_) => {}
                Ok((reader, _)) => {
                    let start = reader.read_at(0, stream::FRAME_BYTES + image::MARK_BYTES).await;
                    let start = start.unwrap_or_default();
                    let format = start.get(stream::FRAME_BYTES..).and_then(image::unread_format);
                    if let Some(format) = format {
                        return Err(ServerError(format!(
                            "{directory}: the image in snapshot {index} has format version {format}, and this \
                             program knows {}; {ANOTHER_VERSION}",
                            image::FORMAT
                        )));
                    }
                }
            }
        }
    }
    Ok(())
}

/// The mark comes first: files of the old journal, were some of them left by a crash, could look
/// like an older state of it.
async fn replace_journal<E: Env>(env: &E, config: &JournalConfig) -> Result<(), ServerError> {
    let disk = env.disk();
    match disk.open(VOID, OpenMode::New).await {
        Ok(file) => file.sync().await.map_err(failed)?,
        Err(DiskError::Exists { .. }) => {}
        Err(error) => return Err(failed(error)),
    }
    disk.sync_dir("").await.map_err(failed)?;
    empty(env, JOURNAL).await?;
    Journal::<E>::format(env, JOURNAL, config).await.map_err(failed)?;
    match disk.remove(VOID).await {
        Ok(()) | Err(DiskError::NotFound { .. }) => {}
        Err(error) => return Err(failed(error)),
    }
    disk.sync_dir("").await.map_err(failed)
}
