//! A handle on an open file: what an application reads and writes through.

use super::Files;
use super::ahead::Ahead;
use super::budget::Share;
use super::dirty::{Run, gaps};
use super::error::FileError;
use super::service::{FileService, Size};
use super::shared::{Full, Shared};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared as SharedFuture};
use mooseng_core::env::{Clock, Env};
use mooseng_core::extent::SIZE_MAX;
use mooseng_core::id::InodeId;
use mooseng_core::plant;
use mooseng_core::time::Instant;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most bytes taken in at once: a longer write lets others in between.
const WRITE_BYTES_MAX: usize = 1 << 20;
/// How often a file is read again that is cut each time meanwhile.
const READS_MAX: u32 = 8;

pub struct OpenFile<E: Env, S: FileService> {
    files: Files<E, S>,
    file: Arc<Shared<E, S>>,
    /// Failures that were there before it was opened are not its own.
    errors_seen: u64,
    stream: Mutex<Stream>,
}

/// What is read ahead for this handle.
#[derive(Default)]
struct Stream {
    ahead: Ahead,
    blocks: VecDeque<Block>,
}

#[derive(Clone)]
struct Block {
    from: u64,
    to: u64,
    /// Of the file's map when it was asked for: committed bytes of another are another file's.
    generation: u64,
    asked: Instant,
    bytes: SharedFuture<BoxFuture<'static, Result<Bytes, FileError>>>,
    /// Held as long as the bytes may be.
    _share: Arc<Share>,
}

fn is_current(block: &Block, generation: u64) -> bool {
    plant!("read-ahead-outlives-its-map", block.generation == generation, true)
}

impl<E: Env, S: FileService> OpenFile<E, S> {
    pub(super) fn new(files: Files<E, S>, file: Arc<Shared<E, S>>) -> Self {
        let errors_seen = file.with(|state| state.errors());
        Self { files, file, errors_seen, stream: Mutex::default() }
    }

    pub fn inode(&self) -> InodeId {
        self.file.inode
    }

    /// How long the file is, what was written here and is not yet committed included.
    pub fn size(&self) -> u64 {
        self.file.with(|state| state.size())
    }

    /// Takes a newer answer of the metadata service in.
    pub fn learn(&self, size: Size) {
        self.file.with(|state| state.learn(size));
    }

    /// Up to `length` bytes; fewer only where the file ends.
    pub async fn read(&self, offset: u64, length: usize) -> Result<Bytes, FileError> {
        let mut tries = READS_MAX;
        loop {
            let cuts = self.file.with(|state| state.cuts);
            let bytes = self.read_once(offset, length).await?;
            tries -= 1;
            // What was written behind a cut while this read was under way may lie over nothing that it saw.
            let cut = self.file.with(|state| state.cuts) != cuts;
            if tries == 0 || !plant!("read-keeps-old-length", cut, false) {
                return Ok(bytes);
            }
        }
    }

    async fn read_once(&self, offset: u64, length: usize) -> Result<Bytes, FileError> {
        let wanted_end = offset.saturating_add(length as u64);
        let (runs, size, generation) = self.file.with(|state| {
            let size = state.size();
            let end = wanted_end.min(size);
            (state.over(offset.min(end), end), size, state.generation)
        });
        let end = wanted_end.min(size);
        if offset >= end {
            return Ok(Bytes::new());
        }
        self.read_ahead(offset, end - offset, size, generation);
        let mut committed = Vec::new();
        for (mut at, to) in gaps(offset, end, &runs) {
            while at < to {
                let run = self.committed(at, to, generation).await?;
                at = run.end();
                committed.push(run);
            }
        }
        // The map may be newer than the length that was known here: what it does not have behind a new
        // end was never there, and is no zeros.
        let size_now = self.file.with(|state| state.size());
        let end = plant!("read-keeps-old-length", end.min(size_now.max(offset)), end);
        if let ([run], []) = (&committed[..], &runs[..]) {
            return Ok(run.bytes.slice(..run.bytes.len().min((end - offset) as usize)));
        }
        let mut joined = vec![0; (end - offset) as usize];
        // What lies over others comes later.
        for run in committed.iter().chain(&runs).filter_map(|run| run.clipped(offset, end)) {
            let at = (run.offset - offset) as usize;
            joined[at..at + run.bytes.len()].copy_from_slice(&run.bytes);
        }
        Ok(joined.into())
    }

    /// Committed bytes from `from` on: what was read ahead if that is there, or all of the range.
    async fn committed(&self, from: u64, to: u64, generation: u64) -> Result<Run, FileError> {
        let oldest = self.file.mounted.env.clock().now() - self.file.mounted.config.ahead_age;
        let block = {
            let stream = self.stream();
            let fits = |block: &&Block| {
                let there = block.from <= from && from < block.to;
                there && is_current(block, generation) && block.asked >= oldest
            };
            stream.blocks.iter().find(fits).cloned()
        };
        let read_here =
            |to: u64| async move { Ok(Run { offset: from, bytes: self.file.committed(from, to).await? }) };
        let Some(block) = block else {
            // What another block begins with is not read twice.
            let next =
                self.stream().blocks.iter().map(|block| block.from).filter(|start| *start > from).min();
            return read_here(to.min(next.unwrap_or(to))).await;
        };
        match block.bytes.await {
            Ok(bytes) => {
                let run = Run { offset: block.from, bytes };
                match run.clipped(from, to) {
                    Some(run) => Ok(run),
                    None => read_here(to).await,
                }
            }
            // Whoever reads it for itself finds out more.
            Err(_) => read_here(to).await,
        }
    }

    fn read_ahead(&self, offset: u64, length: u64, size: u64, generation: u64) {
        let mounted = &self.file.mounted;
        let now = mounted.env.clock().now();
        let oldest = now - mounted.config.ahead_age;
        let mut stream = self.stream();
        let before = stream.blocks.len();
        stream.blocks.retain(|block| is_current(block, generation) && block.asked >= oldest);
        if stream.blocks.len() < before {
            stream.ahead.forget();
        }
        let behind = stream.ahead.behind();
        stream.blocks.retain(|block| block.to > behind);
        for (from, to) in stream.ahead.read(offset, length, size, mounted.config.ahead_bytes_max) {
            // When memory is short, nothing is read ahead.
            let Some(share) = mounted.ahead.try_take((to - from) as usize) else { break };
            let share = Arc::new(share);
            let file = self.file.clone();
            let held = share.clone();
            let read = async move {
                let bytes = file.committed(from, to).await;
                drop(held);
                bytes
            };
            let bytes = read.boxed().shared();
            let driven = bytes.clone();
            mounted.env.spawn("read-ahead", async move { drop(driven.await) });
            stream.blocks.push_back(Block { from, to, generation, asked: now, bytes, _share: share });
        }
    }

    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes bytes in, waiting while too many are unwritten. Whoever reads through this mount sees
    /// them from now on; others when they are committed.
    pub async fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        self.check()?;
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > SIZE_MAX) {
            return Err(FileError::TooLarge);
        }
        let config = &self.file.mounted.config;
        let step = WRITE_BYTES_MAX.min(config.file_unwritten_max).min(config.unwritten_max);
        for (piece, start) in bytes.chunks(step).zip((offset..).step_by(step)) {
            self.write_piece(start, piece).await?;
        }
        Ok(())
    }

    async fn write_piece(&self, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        while self.file.try_write(offset, bytes).is_err() {
            // Asks to be woken and then looks again, so that nothing is missed.
            let given_back = self.file.mounted.unwritten.given_back();
            match self.file.try_write(offset, bytes) {
                Ok(()) => return Ok(()),
                Err(Full::File) => self.file.depart(),
                Err(Full::Mount) => self.files.depart_all(),
            }
            let _ = given_back.await;
            self.check()?;
        }
        Ok(())
    }

    /// Waits until everything written to the file before now is committed, by whichever handle. As
    /// close(2) and fsync(2) want it: what failed since this handle was opened is told every time.
    pub async fn fsync(&self) -> Result<(), FileError> {
        self.file.settle().await;
        self.check()
    }

    /// As [`OpenFile::fsync`]: a file that is closed is on its servers.
    pub async fn flush(&self) -> Result<(), FileError> {
        plant!("close-does-not-wait", self.fsync().await, {
            self.file.depart();
            self.check()
        })
    }

    /// Cuts or lengthens the file.
    pub async fn truncate(&self, size: u64) -> Result<(), FileError> {
        self.check()?;
        if size > SIZE_MAX {
            return Err(FileError::TooLarge);
        }
        self.file.truncate(size).await
    }

    fn check(&self) -> Result<(), FileError> {
        self.file.with(|state| state.error_since(self.errors_seen))
    }
}
