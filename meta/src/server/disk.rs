//! What lies where in a metadata server's data directory.
//!
//! ```text
//!   identity           whose directory this is
//!   journal/           the journal all groups share
//!   group-1/           snapshots of group 1
//!   journal-is-void    while it is there, nothing in the journal counts
//! ```

use super::ServerError;
use mooseng_core::env::{Disk, DiskError, Env, File, OpenMode};
use mooseng_core::id::GroupId;
use mooseng_core::probe;
use mooseng_storage::{Journal, JournalConfig, Recovered, StorageError};

pub(super) const JOURNAL: &str = "journal";
const VOID: &str = "journal-is-void";

pub(super) fn group_directory(group: GroupId) -> String {
    format!("group-{}", group.0)
}

fn failed(error: impl ToString) -> ServerError {
    ServerError(error.to_string())
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
        match Journal::open(env, JOURNAL, config.clone()).await {
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
