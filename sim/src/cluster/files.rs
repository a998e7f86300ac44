//! What a client of a run does with the bytes of files: it writes and reads through open files as a
//! mount does, and says what it wrote and what it was shown. What its files ask of the metadata
//! service goes through the client's own session, and so into the history.

use super::workload::{Client, Stop, Walker};
use crate::machine::SimEnv;
use crate::model::contents::{Change, Ledger, Moment, Read, bytes_of};
use crate::oracle::Sight;
use crate::plan::{Action, Budget, Plan};
use mooseng_client::ClientError;
use mooseng_client::data::{ChunkServer, Directory, Store, StoreConfig};
use mooseng_client::file::{FileConfig, FileError, Metadata, OpenFile};
use mooseng_core::env::Env;
use mooseng_core::event::Event;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Access, Answer, Attr, Caller, Op, Outcome, Query};
use mooseng_core::time::Instant;
use mooseng_net::rpc::ChannelConfig;
use mooseng_net::rpc::hello::Versions;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a client needs to work with the bytes of files.
#[derive(Clone)]
pub(super) struct DataConfig {
    pub(super) store: StoreConfig,
    pub(super) file: FileConfig,
    /// How many chunk servers the faults of the run may damage.
    damaged_max: usize,
}

impl DataConfig {
    pub(super) fn new(plan: &Plan, rack: String, channel: &ChannelConfig) -> Self {
        let data = &plan.knobs.data;
        let millis = Duration::from_millis;
        let deadline = millis(plan.knobs.deadline_ms);
        let mut store = StoreConfig {
            rack: rack.into(),
            put_bytes_max: data.put_bytes_max as usize,
            put_timeout: millis(data.put_timeout_ms),
            read_timeout: millis(data.read_timeout_ms),
            write_max: deadline,
            ..StoreConfig::default()
        };
        (store.channel.versions, store.channel.cluster) = (channel.versions, channel.cluster);
        let file = FileConfig {
            flush_bytes: data.flush_bytes as usize,
            dirty_age: millis(data.dirty_age_ms),
            slice_bytes_max: data.slice_bytes_max as usize,
            batches_max: data.batches_max as usize,
            file_unwritten_max: data.file_unwritten_max as usize,
            unwritten_max: data.unwritten_max as usize,
            ahead_bytes_max: data.ahead_bytes_max,
            ahead_age: millis(data.ahead_age_ms),
            map_age: millis(data.map_age_ms),
            grant_batch: data.grant_batch,
            operation_timeout: deadline,
            ..FileConfig::default()
        };
        // Within the budget no class is asked for more than it is made for.
        let damaged_max = if plan.budget == Budget::Within { 0 } else { plan.chunk_servers_damaged() };
        Self { store, file, damaged_max }
    }

    pub(super) fn speaking(&self, versions: Versions) -> Self {
        let mut config = self.clone();
        config.store.channel.versions = versions;
        config
    }
}

/// Asks in the name of the client's open files, under the session that the client has then.
struct Asking {
    client: Arc<Client>,
    env: SimEnv,
}

impl Asking {
    async fn walker(&self) -> Result<Walker<'_>, ClientError> {
        self.client.walker(&self.env, Caller::ROOT).await
    }

    fn learn(&self, result: &Result<Outcome, ClientError>) {
        if matches!(result, Err(ClientError::SessionLost)) {
            self.client.forget_session();
        }
    }
}

impl Metadata for Asking {
    async fn change(&self, op: &Op) -> Result<Outcome, ClientError> {
        let result = self.walker().await?.change(op.clone()).await.map(|answered| answered.outcome);
        self.learn(&result);
        result
    }

    async fn ask(&self, query: &Query) -> Result<Outcome, ClientError> {
        let result = self.walker().await?.ask(query.clone()).await.map(|answered| answered.outcome);
        self.learn(&result);
        result
    }
}

impl Directory for Asking {
    async fn chunk_servers(&self) -> Result<Vec<ChunkServer>, ClientError> {
        Directory::chunk_servers(&self.walker().await?.session).await
    }
}

struct Open {
    file: OpenFile<SimEnv, Asking>,
    /// Tells it from whatever else was opened in the run.
    handle: u64,
    /// When the opening began.
    opened: Moment,
    /// As many servers as the faults of this run may damage, its class may lose.
    survives: bool,
}

/// The files that one life of a client works with, as a mount of its own.
pub(super) struct Files {
    client: Arc<Client>,
    env: SimEnv,
    files: mooseng_client::file::Files<SimEnv, Asking>,
    open: Mutex<BTreeMap<InodeId, Arc<Open>>>,
    damaged_max: usize,
}

impl Files {
    pub(super) fn new(client: &Arc<Client>, env: &SimEnv, config: &DataConfig) -> Self {
        let asking = || Asking { client: client.clone(), env: env.clone() };
        let store = Store::new(env, config.store.clone(), asking());
        let files = mooseng_client::file::Files::new(env, config.file.clone(), store, asking());
        let damaged_max = config.damaged_max;
        Self { client: client.clone(), env: env.clone(), files, open: Mutex::default(), damaged_max }
    }

    fn open_files(&self) -> MutexGuard<'_, BTreeMap<InodeId, Arc<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Instant {
        self.client.watch.record.now()
    }

    fn moment(&self) -> Moment {
        self.client.watch.record.ledger(Ledger::moment)
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.client.watch.is_taped() {
            self.env.note(Event::Note(what()));
        }
    }

    pub(super) async fn act(&self, walker: &Walker<'_>, action: &Action) -> Result<(), Stop> {
        match action {
            Action::OpenFile { file } => {
                let open = self.open(walker, walker.find(file).await?).await?;
                self.open_files().insert(open.file.inode(), open);
            }
            Action::Put { file, offset, length } => {
                let open = self.opened(walker, walker.find(file).await?).await?;
                self.put(&open, *offset, *length).await;
            }
            Action::Get { file, offset, length } => {
                let inode = walker.find(file).await?;
                let known = self.open_files().get(&inode).cloned();
                let open = match known {
                    Some(open) => open,
                    None => self.open(walker, inode).await?,
                };
                // What it was shown, or why nothing, is with the judge.
                let _ = self.get(&open, *offset, u64::from(*length), false).await;
            }
            Action::Fsync { file } => {
                let inode = walker.find(file).await?;
                let known = self.open_files().get(&inode).cloned();
                if let Some(open) = known {
                    self.keep(&open, "fsync").await;
                }
            }
            Action::CloseFile { file } => {
                let inode = walker.find(file).await?;
                let known = self.open_files().remove(&inode);
                if let Some(open) = known {
                    self.keep(&open, "close").await;
                }
            }
            Action::Cut { file, size } => {
                let open = self.opened(walker, walker.find(file).await?).await?;
                self.cut(&open, *size).await;
            }
            _ => unreachable!("what is not done through an open file is done elsewhere"),
        }
        Ok(())
    }

    /// What is open already, or what is opened now and stays so.
    async fn opened(&self, walker: &Walker<'_>, inode: InodeId) -> Result<Arc<Open>, Stop> {
        let known = self.open_files().get(&inode).cloned();
        match known {
            Some(open) => Ok(open),
            None => {
                let open = self.open(walker, inode).await?;
                self.open_files().insert(inode, open.clone());
                Ok(open)
            }
        }
    }

    async fn open(&self, walker: &Walker<'_>, inode: InodeId) -> Result<Arc<Open>, Stop> {
        let opened = self.moment();
        let access = Access::READ.and(Access::WRITE);
        match walker.ask(Query::Access { inode, access }).await?.outcome {
            Ok(Answer::Attr(attr)) if inode.kind() == mooseng_core::id::IdKind::File => {
                Ok(self.add(&attr, opened))
            }
            _ => Err(Stop::Absent),
        }
    }

    fn add(&self, attr: &Attr, opened: Moment) -> Arc<Open> {
        let file = self.files.open(attr.inode, attr.class, attr.into());
        let handle = self.client.watch.record.handle();
        self.say(|| format!("opens {:?}, {} bytes, as handle {handle}", attr.inode, attr.size));
        let survives = usize::from(attr.class.parity()) >= self.damaged_max;
        Arc::new(Open { file, handle, opened, survives })
    }

    /// Whoever is told of a failure closes the file; what is done with it next opens it again.
    fn give_up(&self, open: &Open, verb: &str, error: &FileError) {
        self.say(|| format!("{verb} of handle {}: {error}", open.handle));
        let mut all = self.open_files();
        if all.get(&open.file.inode()).is_some_and(|known| known.handle == open.handle) {
            all.remove(&open.file.inode());
        }
    }

    async fn put(&self, open: &Open, offset: u64, length: u32) {
        let (file, begun, record) = (open.file.inode(), self.moment(), &self.client.watch.record);
        let change = Change::Write { offset, length: u64::from(length) };
        let number = self.client.number;
        let stamp = record.ledger(|ledger| ledger.begin(file, number, open.handle, change, begun));
        self.say(|| format!("handle {}: change {stamp} writes {length} bytes at {offset}", open.handle));
        match open.file.write(offset, &bytes_of(stamp, offset, length as usize)).await {
            Ok(()) => {
                let now = self.moment();
                record.ledger(|ledger| ledger.taken(file, stamp, now));
            }
            Err(error) => self.give_up(open, "write", &error),
        }
    }

    async fn keep(&self, open: &Open, verb: &str) {
        let (file, begun, record) = (open.file.inode(), self.moment(), &self.client.watch.record);
        let kept = if verb == "close" { open.file.flush().await } else { open.file.fsync().await };
        match kept {
            Ok(()) => {
                let now = self.moment();
                record.ledger(|ledger| ledger.kept(file, open.handle, begun, now));
                self.say(|| format!("{verb} of handle {} is acknowledged", open.handle));
            }
            Err(error) => self.give_up(open, verb, &error),
        }
    }

    async fn cut(&self, open: &Open, size: u64) {
        let (file, begun, record) = (open.file.inode(), self.moment(), &self.client.watch.record);
        let number = self.client.number;
        let change = Change::Cut { size };
        let stamp = record.ledger(|ledger| ledger.begin(file, number, open.handle, change, begun));
        self.say(|| format!("handle {}: change {stamp} cuts at {size}", open.handle));
        match open.file.truncate(size).await {
            Ok(()) => {
                let now = self.moment();
                record.ledger(|ledger| ledger.cut(file, stamp, now));
            }
            Err(error) => self.give_up(open, "cut", &error),
        }
    }

    /// Reads, and shows the judge what came of it.
    async fn get(&self, open: &Open, offset: u64, wanted: u64, last: bool) -> Result<(), FileError> {
        let (file, began) = (open.file.inode(), self.moment());
        let result = open.file.read(offset, wanted as usize).await;
        let (ended, record, client) = (self.moment(), &self.client.watch.record, self.client.number);
        match &result {
            Ok(bytes) => {
                self.say(|| format!("handle {}: reads {} bytes at {offset}", open.handle, bytes.len()));
                let read = Read { file, client, opened: open.opened, began, ended, offset, wanted, bytes };
                let at = self.now();
                record.judge(|judge| ((), judge.read(at, client, &read, last)));
            }
            // Whoever removed it may have done so.
            Err(FileError::Refused(_) | FileError::SessionLost) if !last => {}
            Err(error) => {
                self.say(|| format!("handle {}: read at {offset}: {error}", open.handle));
                self.unreadable(open, &error.to_string(), matches!(error, FileError::Io { .. }), last);
            }
        }
        result.map(|_| ())
    }

    fn unreadable(&self, open: &Open, what: &str, lost: bool, last: bool) {
        let (at, record, client) = (self.now(), &self.client.watch.record, self.client.number);
        let file = open.file.inode();
        // Its class may not be made for what struck.
        let promised = open.survives && record.ledger(|ledger| ledger.is_promised(file));
        let sight = Sight::Unreadable { client, file, what, promised, lost, last };
        record.judge(|judge| ((), judge.tell(at, sight)));
    }

    /// Reads every file that still is one, all of it.
    pub(super) async fn look_into(&self, walker: &Walker<'_>) -> Result<(), Stop> {
        let record = &self.client.watch.record;
        let files: Vec<InodeId> = record.ledger(|ledger| ledger.files().collect());
        for inode in files {
            let opened = self.moment();
            let attr = match walker.ask(Query::GetAttr { inode }).await?.outcome {
                Ok(Answer::Attr(attr)) => attr,
                _ => continue,
            };
            let wanted = record.ledger(|ledger| ledger.length_max(inode)).max(attr.size + 1);
            let open = self.add(&attr, opened);
            if let Err(FileError::SessionLost) = self.get(&open, 0, wanted, true).await {
                return Err(Stop::Failed(ClientError::SessionLost));
            }
        }
        Ok(())
    }
}
