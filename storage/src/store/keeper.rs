//! The task that keeps prepared segments in stock and writes the tables of those that are full.
//!
//! One more segment is in stock than new parts may have, so that on a full disk there is still a
//! place where parts can be given up, and where what is needed of a segment can be moved.

use super::FileOf;
use super::layout::{Record, SEQUENCE_MAX, SegmentHead};
use super::shared::{Segment, Shared};
use super::table::Table;
use crate::error::StorageError;
use crate::field::join;
use crate::segment::{fill, segment_name};
use bytes::Bytes;
use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use mooseng_core::chance::Dice;
use mooseng_core::env::{Disk, DiskError, Env, File, OpenMode, sleep};
use mooseng_core::probe;
use std::sync::Arc;
use std::time::Duration;

pub(super) const SPARE: &str = "spare";
const TABLE_SUFFIX: &str = ".table";
pub(super) const TABLE_PARTIAL: &str = "table.partial";
/// How many prepared segments are kept in stock, and how many of them are not for new parts.
const STOCK: usize = 2;
const RESERVE: usize = 1;

pub(super) enum Chore {
    /// This segment is full.
    Full { head: SegmentHead, used: u64, records: Vec<Record> },
    /// Perhaps there is space again.
    Prepare,
    /// Nobody finishes this file any more.
    Discard(String),
}

pub(super) fn table_name(sequence: u32) -> String {
    format!("{sequence:020}{TABLE_SUFFIX}")
}

/// The segment whose table has this name.
pub(super) fn table_of(name: &str) -> Option<u64> {
    crate::segment::numbered(name, TABLE_SUFFIX)
}

pub(super) async fn run<E: Env>(shared: Arc<Shared<E>>, mut chores: UnboundedReceiver<Chore>) {
    let mut chore = Some(Chore::Prepare);
    while let Some(next) = chore {
        let done = match next {
            Chore::Full { head, used, records } => write_table(&shared, &head, used, records).await,
            Chore::Prepare => Ok(()),
            Chore::Discard(path) => remove(&shared.env, &path).await,
        };
        if let Err(error) = async { done.and(stock(&shared).await) }.await {
            return shared.halt(&error);
        }
        chore = chores.next().await;
    }
}

/// Fills the stock, as far as there is space.
async fn stock<E: Env>(shared: &Shared<E>) -> Result<(), StorageError> {
    if shared.env.buggify("store prepares late") {
        sleep(&shared.env, Duration::from_millis(50)).await;
    }
    loop {
        let _preparing = shared.preparing.lock().await;
        let stocked = shared.lock().stock.len();
        if stocked >= STOCK {
            return Ok(());
        }
        match prepare_next(shared, stocked < RESERVE).await {
            Ok(()) => {}
            Err(StorageError::Disk(DiskError::NoSpace { path })) => {
                shared.note(format!("{path}: no space for the next segment of the chunk store"));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}

/// A segment to go on in. Those that only give up and move may have the last one.
pub(super) async fn next_segment<E: Env>(
    shared: &Shared<E>,
    reserve: bool,
) -> Result<Segment<FileOf<E>>, StorageError> {
    let keep = if reserve { 0 } else { RESERVE };
    loop {
        if let Some(segment) = take(shared, keep) {
            return Ok(segment);
        }
        let _preparing = shared.preparing.lock().await;
        if shared.lock().stock.len() <= keep {
            prepare_next(shared, reserve).await?;
        }
    }
}

fn take<E: Env>(shared: &Shared<E>, keep: usize) -> Option<Segment<FileOf<E>>> {
    let stock = &mut shared.lock().stock;
    if stock.len() > keep { stock.pop_front() } else { None }
}

/// Prepares one more segment. Only whoever holds `preparing` does.
async fn prepare_next<E: Env>(shared: &Shared<E>, reserve: bool) -> Result<(), StorageError> {
    let sequence = shared.lock().next_sequence;
    let space = shared.env.disk().space().await?;
    let left_free = if reserve { 0 } else { shared.config.free_bytes_min };
    if space.free < shared.config.segment_bytes.saturating_add(left_free) {
        return Err(DiskError::NoSpace { path: shared.segment_path(sequence) }.into());
    }
    let head = head(&shared.env, &shared.config, shared.store, sequence);
    let file = prepare(&shared.env, &shared.directory, &head).await?;
    let mut state = shared.lock();
    state.next_sequence += 1;
    state.stock.push_back(Segment { file, head });
    Ok(())
}

pub(super) fn head<E: Env>(
    env: &E,
    config: &super::StoreConfig,
    store: [u8; 16],
    sequence: u32,
) -> SegmentHead {
    assert!(sequence <= SEQUENCE_MAX, "segments are numbered up to {SEQUENCE_MAX}");
    let mut word = env.rng("store epoch", u64::from(sequence));
    let (segment_bytes, sector_bytes) = (config.segment_bytes, config.sector_bytes);
    SegmentHead { store, sequence, segment_bytes, sector_bytes, epoch: word.word() }
}

/// Prepares a segment; when this returns, it and its name are durable.
pub(super) async fn prepare<E: Env>(
    env: &E,
    directory: &str,
    head: &SegmentHead,
) -> Result<FileOf<E>, StorageError> {
    let disk = env.disk();
    let spare = join(directory, SPARE);
    remove(env, &spare).await?;
    let file = disk.open(&spare, OpenMode::New).await?;
    let filled = async {
        fill(&file, &head.encode(), head.segment_bytes).await?;
        Ok(file.sync().await?)
    };
    if let Err(error) = filled.await {
        if matches!(error, StorageError::Disk(DiskError::NoSpace { .. })) {
            remove(env, &spare).await?;
        }
        return Err(error);
    }
    disk.rename(&spare, &join(directory, &segment_name(u64::from(head.sequence)))).await?;
    disk.sync_dir(directory).await?;
    Ok(file)
}

/// Removes a name that may not be there.
pub(super) async fn remove<E: Env>(env: &E, path: &str) -> Result<(), StorageError> {
    match env.disk().remove(path).await {
        Ok(()) | Err(DiskError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes a table that spares a start the reading of the segment. Without it nothing is lost.
pub(super) async fn write_table<E: Env>(
    shared: &Shared<E>,
    head: &SegmentHead,
    used: u64,
    records: Vec<Record>,
) -> Result<(), StorageError> {
    let _alone = shared.housekeeping.lock().await;
    let sequence = head.sequence;
    if !shared.lock().index.has_segment(sequence) {
        return Ok(());
    }
    let table = Table { store: shared.store, sequence, epoch: head.epoch, used, records };
    let (partial, path) = (shared.path(TABLE_PARTIAL), shared.path(&table_name(sequence)));
    remove(&shared.env, &partial).await?;
    let written = async {
        let file = shared.env.disk().open(&partial, OpenMode::New).await?;
        file.write_at(0, Bytes::from(table.encode())).await?;
        file.sync().await?;
        shared.env.disk().rename(&partial, &path).await?;
        Ok(shared.env.disk().sync_dir(&shared.directory).await?)
    };
    match written.await {
        Err(StorageError::Disk(DiskError::NoSpace { .. })) => {
            probe!("store found no space for a table");
            remove(&shared.env, &partial).await
        }
        done => done,
    }
}
