//! Disk operations as they take their time: begun by a task, done at a later moment, and done even
//! if the task has lost interest, since a disk cannot be told to stop.

use super::super::config::Span;
use super::super::env::SimEnv;
use super::super::node::NodeId;
use super::super::queue::Happening;
use super::super::slab::Key;
use super::super::trace::{Tag, TraceWhat};
use super::super::trigger::{OperationKind, Trigger};
use super::super::world::World;
use super::SimExtent;
use super::damage::take_aimed;
use bytes::Bytes;
use mooseng_core::chance::Dice;
use mooseng_core::env::{DiskError, Space};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

const SYNC_FAILED: &str = "input/output error: the sync failed";

/// What is asked of a disk.
#[derive(Clone)]
pub(crate) enum Work {
    Open { new: bool },
    Rename { target: String },
    Remove,
    CreateDirectory,
    List,
    SyncDirectory,
    Space,
    Read { file: Key, offset: u64, len: usize },
    Write { file: Key, offset: u64, bytes: Bytes },
    Sync { file: Key },
    Length { file: Key },
    SetLength { file: Key, length: u64 },
}

/// What it answers.
pub(crate) enum Reply {
    Done,
    Opened(Key, Arc<()>),
    Names(Vec<String>),
    Space(Space),
    Bytes(Bytes),
    Length(u64),
}

impl Work {
    fn name(&self) -> &'static str {
        match self {
            Work::Open { new: false } => "open",
            Work::Open { new: true } => "create",
            Work::Rename { .. } => "rename",
            Work::Remove => "remove",
            Work::CreateDirectory => "create directory",
            Work::List => "list",
            Work::SyncDirectory => "sync directory",
            Work::Space => "space",
            Work::Read { .. } => "read",
            Work::Write { .. } => "write",
            Work::Sync { .. } => "sync",
            Work::Length { .. } => "length",
            Work::SetLength { .. } => "set length",
        }
    }

    fn kind(&self) -> Option<OperationKind> {
        match self {
            Work::Read { .. } => Some(OperationKind::Read),
            Work::Write { .. } | Work::SetLength { .. } => Some(OperationKind::Write),
            Work::Sync { .. } => Some(OperationKind::Sync),
            Work::SyncDirectory => Some(OperationKind::SyncDir),
            Work::Open { new: true } | Work::Rename { .. } | Work::Remove | Work::CreateDirectory => {
                Some(OperationKind::Names)
            }
            Work::Open { new: false } | Work::List | Work::Space | Work::Length { .. } => None,
        }
    }

    fn range(&self) -> (u64, u64) {
        match self {
            Work::Read { offset, len, .. } => (*offset, *len as u64),
            Work::Write { offset, bytes, .. } => (*offset, bytes.len() as u64),
            Work::SetLength { length, .. } => (*length, 0),
            _ => (0, 0),
        }
    }
}

/// An operation under way, or done and not yet picked up.
pub(crate) struct Operation {
    node: NodeId,
    path: Arc<str>,
    work: Work,
    waker: Option<Waker>,
    /// Nobody waits for it any more.
    abandoned: bool,
    result: Option<Result<Reply, DiskError>>,
    after: Vec<Trigger>,
}

impl World {
    /// Begins an operation; `None` if a trigger stopped the node at it.
    fn begin_operation(&mut self, node: NodeId, path: Arc<str>, work: Work, waker: &Waker) -> Option<Key> {
        let now = self.now;
        let takes = self.operation_takes(node, &work);
        let after = match work.kind() {
            Some(kind) => self.meet(node, kind, &path, takes)?,
            None => Vec::new(),
        };
        let (offset, bytes) = work.range();
        self.stats.disk_operations += 1;
        self.stats.disk_bytes += bytes;
        let name = work.name();
        let details = [offset.wrapping_mul(31) ^ bytes, takes];
        self.trace.absorb(Tag::DiskBegun, now, Some(node), details, || TraceWhat::DiskBegun {
            what: name,
            path: path.to_string(),
            offset,
            bytes,
        });
        let mut done_at = now + takes;
        let disk = &mut self.node_mut(node).disk;
        if let Work::Sync { file } = work {
            disk.begin_sync(file);
            if let Some(file) = disk.files.get_mut(file) {
                done_at = done_at.max(file.sync_done_at + 1);
                file.sync_done_at = done_at;
            }
            self.stats.syncs += 1;
        }
        let waker = Some(waker.clone());
        let operation = Operation { node, path, work, waker, abandoned: false, result: None, after };
        let key = self.operations.insert(operation);
        self.queue.push(done_at, Happening::Disk(key));
        Some(key)
    }

    fn operation_takes(&mut self, node: NodeId, work: &Work) -> u64 {
        let now = self.now;
        let config = &self.config.disk;
        let span: Span = match work {
            Work::Read { .. } => config.read_ns,
            Work::Write { .. } => config.write_ns,
            Work::Sync { .. } | Work::SyncDirectory => config.sync_ns,
            _ => config.name_ns,
        };
        let disk = &mut self.nodes[node.0 as usize].disk;
        let lane = disk.lane.at(now);
        let moves = work.range().1.saturating_mul(1_000_000_000) / config.bytes_per_second.max(1);
        let mut takes = (span.draw(lane) + moves).saturating_mul(disk.damage.slow_factor);
        if config.stall_ppm > 0 && lane.chance(config.stall_ppm) {
            disk.damage.stalled_until = disk.damage.stalled_until.max(now + config.stall_ns.draw(lane));
        }
        takes = takes.max(disk.damage.stalled_until.saturating_sub(now));
        takes
    }

    pub(crate) fn disk_done(&mut self, key: Key) {
        let Some(operation) = self.operations.get_mut(key) else { return };
        let node = operation.node;
        if operation.result.is_some() {
            return;
        }
        let host = &mut self.nodes[node.0 as usize];
        if host.sleeps > 0 {
            return host.held.push(key);
        }
        if host.disk.damage.stalled_until > self.now {
            // The stall began after the operation did.
            return self.queue.push(host.disk.damage.stalled_until, Happening::Disk(key));
        }
        let (work, path) = (operation.work.clone(), operation.path.clone());
        let late = operation.abandoned && matches!(work, Work::Write { .. });
        let after = std::mem::take(&mut operation.after);
        let name = work.name();
        let result = self.perform(node, &path, work);
        self.stats.late_writes += u64::from(late);
        let details = [u64::from(key.index), u64::from(result.is_err())];
        self.trace.absorb(Tag::DiskDone, self.now, Some(node), details, || TraceWhat::DiskDone {
            what: name,
            error: result.as_ref().err().map(ToString::to_string),
        });
        let Some(operation) = self.operations.get_mut(key) else { return };
        operation.result = Some(result);
        if operation.abandoned {
            self.operations.remove(key);
        } else {
            self.chores.wake(&mut operation.waker);
        }
        self.fire_all(after);
    }

    /// Does to the disk what was asked.
    fn perform(&mut self, node: NodeId, path: &str, work: Work) -> Result<Reply, DiskError> {
        let now = self.now;
        let disk = &mut self.nodes[node.0 as usize].disk;
        match work {
            Work::Open { new } => disk.open(path, new).map(|(key, pin)| Reply::Opened(key, pin)),
            Work::Rename { target } => disk.rename(path, &target).map(|()| Reply::Done),
            Work::Remove => disk.remove(path).map(|()| Reply::Done),
            Work::CreateDirectory => disk.tree.create_directories(path).map(|()| Reply::Done),
            Work::List => disk.tree.list(path).map(Reply::Names),
            Work::SyncDirectory => self.perform_sync_directory(node, path),
            Work::Space => Ok(Reply::Space(disk.space())),
            Work::Length { file } => disk.file(file, path).map(|file| Reply::Length(file.live.length())),
            Work::SetLength { file, length } => disk.set_length(file, path, length).map(|()| Reply::Done),
            Work::Read { file, mut offset, len } => {
                if take_aimed(&mut disk.damage.misdirected_reads, path) {
                    let elsewhere = disk.misdirect(file, offset, now);
                    self.struck(node, "misdirected-read", format!("{path} at {offset} read at {elsewhere}"));
                    offset = elsewhere;
                }
                let disk = &self.nodes[node.0 as usize].disk;
                disk.read(file, path, offset, len).map(|bytes| Reply::Bytes(bytes.into()))
            }
            Work::Write { file, offset, bytes } => self.perform_write(node, path, file, offset, &bytes),
            Work::Sync { file } => self.perform_sync(node, path, file),
        }
    }

    fn perform_write(
        &mut self,
        node: NodeId,
        path: &str,
        file: Key,
        offset: u64,
        bytes: &[u8],
    ) -> Result<Reply, DiskError> {
        let now = self.now;
        let mut target = offset;
        let disk = &mut self.nodes[node.0 as usize].disk;
        if take_aimed(&mut disk.damage.misdirected_writes, path) {
            target = disk.misdirect(file, offset, now);
            self.struck(node, "misdirected-write", format!("{path} at {offset} written at {target}"));
        }
        let ppm = self.config.disk.writeback_ppm;
        let disk = &mut self.nodes[node.0 as usize].disk;
        let written = disk.write(file, path, target, bytes);
        if ppm > 0 && disk.lane.at(now).chance(ppm) {
            disk.write_back(file, now);
        }
        if matches!(written, Err(DiskError::NoSpace { .. })) && disk.damage.used_pages_max != u64::MAX {
            self.struck(node, "disk-full", path.to_string());
        }
        written.map(|()| Reply::Done)
    }

    fn perform_sync(&mut self, node: NodeId, path: &str, file: Key) -> Result<Reply, DiskError> {
        let now = self.now;
        let disk = &mut self.nodes[node.0 as usize].disk;
        if take_aimed(&mut disk.damage.failing_syncs, path) {
            disk.fail_sync(file, now);
            self.struck(node, "sync-fails", path.to_string());
            return Err(DiskError::Io { path: path.into(), what: SYNC_FAILED.into() });
        }
        if disk.damage.lies > 0 {
            disk.forget_sync(file);
            self.stats.struck("sync-lies");
            return Ok(Reply::Done);
        }
        disk.end_sync(file, path).map(|()| Reply::Done)
    }

    fn perform_sync_directory(&mut self, node: NodeId, path: &str) -> Result<Reply, DiskError> {
        let now = self.now;
        let disk = &mut self.nodes[node.0 as usize].disk;
        if take_aimed(&mut disk.damage.failing_syncs, path) {
            disk.fail_sync_dir(path, now);
            self.struck(node, "sync-fails", format!("directory {path:?}"));
            return Err(DiskError::Io { path: path.into(), what: SYNC_FAILED.into() });
        }
        if disk.damage.lies > 0 {
            self.stats.struck("sync-lies");
            return Ok(Reply::Done);
        }
        disk.sync_dir(path).map(|()| Reply::Done)
    }

    /// The task that asked went away. What becomes of a write then is drawn.
    fn abandon_operation(&mut self, key: Key) -> Option<Operation> {
        let now = self.now;
        let operation = self.operations.get_mut(key)?;
        let idle =
            matches!(operation.work, Work::Read { .. } | Work::List | Work::Space | Work::Length { .. });
        if operation.result.is_some() || idle {
            return self.operations.remove(key);
        }
        operation.abandoned = true;
        if let Some(waker) = operation.waker.take() {
            self.chores.retire(waker);
        }
        if matches!(operation.work, Work::Write { .. }) {
            let config = &self.config.disk;
            let lane = self.nodes[operation.node.0 as usize].disk.lane.at(now);
            let fate = lane.below(1_000_000) as u32;
            if fate < config.dropped_never_ppm {
                return self.operations.remove(key);
            }
            if fate - config.dropped_never_ppm < config.dropped_late_ppm {
                // Under a new key, so that the old entry in the queue finds nothing.
                let wait = lane.below(config.late_ns.max(1));
                let operation = self.operations.remove(key)?;
                let later = self.operations.insert(operation);
                self.queue.push(now + wait, Happening::Disk(later));
            }
        }
        None
    }

    /// A node's process ends: what its disk was doing is done or not done, as drawn.
    pub(crate) fn stop_operations(&mut self, node: NodeId) {
        let now = self.now;
        let under_way: Vec<Key> = self
            .operations
            .iter()
            .filter(|(_, operation)| operation.node == node)
            .map(|(key, _)| key)
            .collect();
        for key in under_way {
            let Some(operation) = self.operations.remove(key) else { continue };
            if let Some(waker) = operation.waker {
                self.chores.retire(waker);
            }
            if operation.result.is_some() {
                continue;
            }
            let disk = &mut self.nodes[node.0 as usize].disk;
            let lands = disk.lane.at(now).below(2) == 0;
            match operation.work {
                Work::Sync { file } => disk.forget_sync(file),
                Work::Write { file, offset, bytes } if lands => {
                    drop(disk.write(file, &operation.path, offset, &bytes));
                }
                Work::Rename { target } if lands => drop(disk.rename(&operation.path, &target)),
                Work::Remove if lands => drop(disk.remove(&operation.path)),
                Work::Open { new: true } if lands => drop(disk.open(&operation.path, true)),
                Work::CreateDirectory if lands => drop(disk.tree.create_directories(&operation.path)),
                Work::SyncDirectory if lands => drop(disk.sync_dir(&operation.path)),
                Work::SetLength { file, length } if lands => {
                    drop(disk.set_length(file, &operation.path, length));
                }
                _ => {}
            }
        }
        self.nodes[node.0 as usize].held.clear();
    }

    /// A machine woke: what its disk had ready is done now.
    pub(crate) fn resume_operations(&mut self, node: NodeId) {
        for key in std::mem::take(&mut self.nodes[node.0 as usize].held) {
            self.queue.push(self.now, Happening::Disk(key));
        }
    }
}

/// A task's wait for an operation.
pub(super) struct Ask {
    env: SimEnv,
    state: State,
}

enum State {
    Idle(Arc<str>, Work),
    Waiting(Key),
    /// Picked up, or its node is gone.
    Over,
}

impl Ask {
    pub(super) fn new(env: SimEnv, path: Arc<str>, work: Work) -> Self {
        Self { env, state: State::Idle(path, work) }
    }
}

impl Future for Ask {
    type Output = Result<Reply, DiskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut guard = this.env.shared.lock();
        let world = &mut *guard;
        if !world.lives(this.env.node, this.env.epoch) {
            return Poll::Pending;
        }
        match std::mem::replace(&mut this.state, State::Over) {
            State::Idle(path, work) => {
                if let Some(key) = world.begin_operation(this.env.node, path, work, context.waker()) {
                    this.state = State::Waiting(key);
                }
                Poll::Pending
            }
            State::Waiting(key) => {
                let Some(operation) = world.operations.get_mut(key) else { return Poll::Pending };
                if operation.result.is_none() {
                    world.chores.park(&mut operation.waker, context.waker());
                    this.state = State::Waiting(key);
                    return Poll::Pending;
                }
                let done = world.operations.remove(key).and_then(|operation| operation.result);
                done.map_or(Poll::Pending, Poll::Ready)
            }
            State::Over => Poll::Pending,
        }
    }
}

impl Drop for Ask {
    fn drop(&mut self) {
        if let State::Waiting(key) = self.state {
            let abandoned = self.env.shared.lock().abandon_operation(key);
            drop(abandoned);
        }
    }
}

impl World {
    /// What a frame's body holds that is sent straight from the disk.
    pub(crate) fn read_extent(&mut self, extent: &SimExtent) -> Result<Bytes, DiskError> {
        let (env, key, path) = extent.place();
        let disk = &self.node(env.node).disk;
        let bytes = disk.read(key, path, extent.offset, extent.len as usize)?;
        if bytes.len() as u64 != extent.len {
            let what = "the file is shorter than the extent".to_string();
            return Err(DiskError::Io { path: path.to_string(), what });
        }
        Ok(bytes.into())
    }
}
