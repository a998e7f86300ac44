//! Snapshots: taken beside the log from a clone of the state, offered to whoever is too far behind,
//! fetched from a leader piece by piece, and put in the place of the state.

use super::{Driver, Durable};
use crate::group::handle::{self, Fetched, Input, Taken};
use crate::group::inbox::{Inbox, Lane};
use crate::group::log::Offer;
use crate::group::replica::Fetch;
use crate::group::stream::{self, Assembly};
use crate::image::Image;
use crate::state::State;
use bytes::Bytes;
use mooseng_core::env::{Clock, Env, sleep};
use mooseng_core::event::Event;
use mooseng_core::id::{GroupId, ReplicaId};
use mooseng_core::time::Instant;
use mooseng_core::{plant, probe};
use mooseng_net::proto::raft::{FetchSnapshotRequest, RaftClient};
use mooseng_storage::{Manifest, Position, SnapshotWriter, snapshot};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often a piece is asked for before the snapshot is given up.
const PIECE_TRIES_MAX: u32 = 5;
/// How long to wait after a snapshot that could not be taken: a full disk does not empty itself
/// by being asked again at once.
const FAILURE_REST: Duration = Duration::from_millis(500);

pub(super) struct Snapshots {
    directory: String,
    /// The newest that is durable and that the journal points to.
    newest: Option<Manifest>,
    taking: bool,
    /// The newest is damaged where it lies: it can neither be passed on nor be started from.
    spoiled: bool,
    /// None is taken before: the last one failed.
    rest_until: Instant,
    fetching: Option<u64>,
    /// What is fetched next.
    next: Option<Fetch>,
    arrived: Option<Box<Fetched>>,
    /// Since when offers are open.
    offered: BTreeMap<ReplicaId, Instant>,
    /// The snapshot somebody was last given a piece of.
    served: Option<(u64, Instant)>,
}

impl Snapshots {
    pub(super) fn new(directory: String, newest: Option<Manifest>) -> Self {
        Self {
            directory,
            newest,
            taking: false,
            spoiled: false,
            rest_until: Instant::ZERO,
            fetching: None,
            next: None,
            arrived: None,
            offered: BTreeMap::new(),
            served: None,
        }
    }

    /// How large the newest is.
    pub(super) fn newest_bytes(&self) -> u64 {
        self.newest.as_ref().map_or(0, |newest| newest.bytes)
    }

    /// Is one being written?
    pub(super) fn is_writing(&self) -> bool {
        self.taking || self.fetching.is_some()
    }

    pub(super) fn serving(&mut self, index: u64, now: Instant) {
        self.served = Some((index, now));
    }

    pub(super) fn spoiled(&mut self, index: u64) {
        self.spoiled |= self.newest.as_ref().is_some_and(|newest| newest.index == index);
    }
}

fn offer(manifest: &Manifest, members: &crate::group::Members) -> Offer {
    let conf_state = members.conf_state();
    Offer { index: manifest.index, term: manifest.term, conf_state, manifest: manifest.encode() }
}

impl<E: Env> Driver<E> {
    pub(super) fn offer_recovered(&mut self) {
        if let Some(manifest) = &self.snapshots.newest {
            self.replica.offer(offer(manifest, self.replica.members()));
        }
    }

    /// The journal may forget what nobody needs any more.
    pub(super) fn release(&self) {
        self.journal.release(self.stream, Position(self.replica.releasable()));
    }

    pub(super) fn snapshot_if_due(&mut self) {
        if self.snapshots.taking || self.env.clock().now() < self.snapshots.rest_until {
            return;
        }
        if self.snapshots.spoiled {
            // What is in memory is whole: it is written down again, in its place or as a newer one.
            return self.take_snapshot();
        }
        let behind = self.replica.applied() - self.replica.checkpoint();
        if behind == 0 {
            return;
        }
        let due = behind >= self.config.snapshot_every_entries
            || self.replica.snapshot_wanted()
            || self.journal.pinned_bytes(self.stream) > self.config.journal_pinned_bytes_max;
        if due || (behind > 8 && self.env.buggify("snapshot taken early")) {
            self.take_snapshot();
        }
    }

    fn take_snapshot(&mut self) {
        let Some((index, term, members)) = self.replica.snapshot_point() else { return };
        self.snapshots.taking = true;
        let (env, inbox) = (self.env.clone(), self.inbox.clone());
        let (directory, group) = (self.snapshots.directory.clone(), self.replica.group());
        let chunk_bytes = self.config.image_chunk_bytes;
        let state = self.state.clone();
        self.env.spawn("snapshot", async move {
            let hash = state.hash();
            let meta = stream::encode_meta(hash, &members);
            let written = write_image(&env, &directory, (group, index, term), meta, state, chunk_bytes).await;
            if written.is_err() {
                snapshot::discard(&env, &directory, index).await;
            }
            let taken = written.map(|manifest| Taken { manifest, hash, members });
            let _ = inbox.put(Lane::Report, Input::Taken(taken));
        });
    }

    pub(super) fn snapshot_taken(&mut self, result: Result<Taken, String>) {
        let Taken { manifest, hash, members } = match result {
            Ok(taken) => taken,
            // A full disk is no reason to stop; a later attempt may find room.
            Err(why) => {
                self.snapshots.taking = false;
                let rest = plant!("snapshot-tried-again-at-once", FAILURE_REST, Duration::ZERO);
                self.snapshots.rest_until = self.env.clock().now() + rest;
                return self.env.note(Event::Note(format!("a snapshot could not be taken: {why}")));
            }
        };
        self.snapshots.spoiled = false;
        let (group, replica, index) = (self.replica.group(), self.replica.id(), manifest.index);
        self.env.note(Event::SnapshotTaken { group, replica, index, hash });
        let Some(record) = self.replica.snapshot_taken(offer(&manifest, &members), &members) else {
            self.snapshots.taking = false;
            return self.sweep_snapshots();
        };
        self.snapshots.newest = Some(manifest);
        // It counts as being taken until the journal points to it: the next one would be the same.
        self.write(vec![record], Durable::Checkpoint { index });
    }

    /// The journal points to it.
    pub(super) fn snapshot_pointed_to(&mut self, index: u64, position: u64) {
        self.snapshots.taking = false;
        self.replica.compacted(index, position, self.config.log_trailing_entries);
        self.release();
        self.sweep_snapshots();
    }

    /// Removes snapshots that nothing points to, save one that is being fetched.
    pub(super) fn sweep_snapshots(&self) {
        let (env, directory) = (self.env.clone(), self.snapshots.directory.clone());
        let now = self.env.clock().now();
        let patience = self.config.fetch_patience;
        let served = self.snapshots.served.filter(|(_, at)| now < *at + patience).map(|(index, _)| index);
        let newest = self.replica.checkpoint();
        self.env.spawn("snapshots swept", async move {
            let indexes = snapshot::list(&env, &directory).await.unwrap_or_default();
            for index in indexes.into_iter().filter(|index| *index < newest && Some(*index) != served) {
                // What cannot be removed now is removed after the next one.
                let _ = snapshot::remove(&env, &directory, index).await;
            }
        });
    }

    /// Offers that nobody takes up are made again.
    pub(super) fn offer_again(&mut self) {
        let now = self.now();
        let receivers = self.replica.snapshot_receivers();
        self.snapshots.offered.retain(|receiver, _| receivers.contains(receiver));
        for receiver in receivers {
            let since = *self.snapshots.offered.entry(receiver).or_insert(now);
            let active = self.snapshots.served.map_or(since, |(_, at)| at.max(since));
            if now >= active + self.config.fetch_patience {
                probe!("snapshot offered again");
                self.snapshots.offered.remove(&receiver);
                self.replica.snapshot_unfetched(receiver, now);
            }
        }
    }

    /// Begins to fetch what a leader offers, when nothing else is being fetched.
    pub(super) fn fetch(&mut self, fetch: Fetch) {
        if self.snapshots.fetching.is_some() {
            probe!("snapshot offered while another is fetched");
            self.snapshots.next = Some(fetch);
            return;
        }
        let manifest = Manifest::decode(&fetch.manifest)
            .filter(|manifest| manifest.group == self.replica.group())
            .filter(|manifest| (manifest.index, manifest.term) == (fetch.index, fetch.term));
        let client = self.peers.client(fetch.source);
        let (Some(manifest), Some(client)) = (manifest, client) else {
            self.replica.snapshot_failed(fetch.index);
            return;
        };
        self.snapshots.fetching = Some(fetch.index);
        let index = fetch.index;
        let job = FetchJob {
            env: self.env.clone(),
            client,
            directory: self.snapshots.directory.clone(),
            manifest,
            piece_bytes: self.config.fetch_bytes,
            patience: self.config.fetch_patience,
            inbox: self.inbox.clone(),
        };
        self.env.spawn("snapshot fetched", async move {
            let inbox = job.inbox.clone();
            let result = job.run().await;
            if let Some(result) = result {
                let _ = inbox.put(Lane::Report, Input::Fetched { index, result: Box::new(result) });
            }
        });
    }

    pub(super) fn snapshot_fetched(&mut self, index: u64, result: Result<Fetched, String>) {
        self.snapshots.fetching = None;
        self.fetch_next();
        let fetched = match result {
            Ok(fetched) => fetched,
            Err(why) => {
                self.replica.snapshot_failed(index);
                return self.env.note(Event::Note(format!("snapshot {index} could not be fetched: {why}")));
            }
        };
        let members = fetched.members.clone();
        let now = self.now();
        // As if it had come too late to be of use: it is offered again.
        if self.env.buggify("fetched snapshot is of no use") {
            self.replica.snapshot_failed(index);
        }
        if self.replica.snapshot_ready(index, members, now) {
            self.snapshots.arrived = Some(Box::new(fetched));
        } else {
            probe!("snapshot fetched in vain");
        }
    }

    fn fetch_next(&mut self) {
        if let Some(fetch) = self.snapshots.next.take() {
            self.fetch(fetch);
        }
    }

    pub(super) fn installed(&mut self, index: u64) {
        let fetched = self.snapshots.arrived.take().expect("what is installed has arrived");
        let Fetched { manifest, hash, members, state } = *fetched;
        assert_eq!(manifest.index, index, "the snapshot that was announced is installed");
        self.state = state;
        self.trail.begin(index, hash);
        self.contacts =
            crate::group::contacts::Contacts::new(self.config.session_lifetime, self.config.group.drift_ppm);
        let (group, replica) = (self.replica.group(), self.replica.id());
        self.env.note(Event::SnapshotInstalled { group, replica, index, hash });
        self.replica.offer(offer(&manifest, &members));
        self.snapshots.newest = Some(manifest);
        self.disappoint();
    }
}

/// Writes a state down under its index.
pub async fn write_image<E: Env>(
    env: &E,
    directory: &str,
    (group, index, term): (GroupId, u64, u64),
    meta: Bytes,
    state: State,
    chunk_bytes: usize,
) -> Result<Manifest, String> {
    let mut writer = SnapshotWriter::create(env, directory, group, index, term, meta)
        .await
        .map_err(|error| error.to_string())?;
    let mut image = Image::new(state, chunk_bytes);
    loop {
        let (chunk, rest) = env.compute(chunk_bytes, move || (image.next(), image)).await;
        image = rest;
        let Some(chunk) = chunk else { break };
        writer.write(stream::frame(&chunk)).await.map_err(|error| error.to_string())?;
    }
    writer.finish().await.map_err(|error| error.to_string())
}

struct FetchJob<E: Env> {
    env: E,
    client: RaftClient<E>,
    directory: String,
    manifest: Manifest,
    piece_bytes: u32,
    patience: Duration,
    inbox: Arc<Inbox<Input>>,
}

impl<E: Env> FetchJob<E> {
    /// `None` if the result was reported already.
    async fn run(self) -> Option<Result<Fetched, String>> {
        let (group, index, term) = (self.manifest.group, self.manifest.index, self.manifest.term);
        let (hash, members) = match handle::meta(&self.manifest) {
            Ok(meta) => meta,
            Err(why) => return Some(Err(why)),
        };
        let meta = self.manifest.meta.clone();
        let writer = SnapshotWriter::create(&self.env, &self.directory, group, index, term, meta).await;
        let mut writer = match writer {
            Ok(writer) => writer,
            Err(error) => return Some(Err(error.to_string())),
        };
        let state = match self.pieces(&mut writer, hash).await {
            Ok(state) => state,
            Err(why) => {
                snapshot::discard(&self.env, &self.directory, index).await;
                return Some(Err(why));
            }
        };
        let fetched = Fetched { manifest: self.manifest.clone(), hash, members, state };
        let hasty = plant!("snapshot-installed-before-durable", false, true);
        if hasty {
            let _ = self.inbox.put(Lane::Report, Input::Fetched { index, result: Box::new(Ok(fetched)) });
            let _ = writer.finish().await;
            return None;
        }
        match writer.finish().await {
            Ok(written) if written == self.manifest => Some(Ok(fetched)),
            Ok(_) => {
                let _ = snapshot::remove(&self.env, &self.directory, index).await;
                Some(Err("what arrived is not what was offered".into()))
            }
            Err(error) => {
                snapshot::discard(&self.env, &self.directory, index).await;
                Some(Err(error.to_string()))
            }
        }
    }

    async fn pieces(&self, writer: &mut SnapshotWriter<E>, hash: u128) -> Result<State, String> {
        let mut assembly = Assembly::new();
        let mut offset = 0;
        while offset < self.manifest.bytes {
            let piece = self.piece(offset).await?;
            offset += piece.len() as u64;
            writer.write(piece.clone()).await.map_err(|error| error.to_string())?;
            let work = move || {
                let mut assembly = assembly;
                assembly.piece(&piece).map(|()| assembly)
            };
            assembly =
                self.env.compute(self.piece_bytes as usize, work).await.map_err(|error| error.to_string())?;
        }
        assembly.finish(hash).map_err(|error| error.to_string())
    }

    async fn piece(&self, offset: u64) -> Result<Bytes, String> {
        let request = FetchSnapshotRequest {
            group: self.manifest.group.0,
            index: self.manifest.index,
            offset,
            bytes_max: self.piece_bytes,
        };
        let mut why = String::new();
        for attempt in 0..PIECE_TRIES_MAX {
            if attempt > 0 {
                sleep(&self.env, self.patience / 8).await;
            }
            let deadline = self.env.clock().now() + self.patience;
            match self.client.fetch_snapshot(&request, deadline).await {
                Ok((_, piece)) if piece.is_empty() => return Err("the snapshot ends too early".into()),
                Ok((_, piece)) if piece.len() as u64 > self.manifest.bytes - offset => {
                    return Err("the snapshot is longer than was said".into());
                }
                Ok((_, piece)) => return Ok(piece),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }
}
