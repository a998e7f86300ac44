//! Making a store, and taking one up again: reads the tables of full segments and the names of
//! large parts, scans what has no table, and makes durable what it read before anybody builds on it.

use super::compaction::{read_segment, read_table};
use super::index::Index;
use super::keeper::{self, Chore, SPARE, TABLE_PARTIAL, remove, table_name, table_of};
use super::large::INCOMING;
use super::layout::{Record, SEGMENT, SEQUENCE_MAX, SegmentHead};
use super::scan::{Damage, Scan, scan};
use super::shared::{OWN_DIRECTORY, Segment, Shared, State};
use super::table::OwnFile;
use super::writer::Writer;
use super::{FileOf, Store, StoreConfig};
use crate::envelope::Fault;
use crate::error::StorageError;
use crate::field::{ancestors, join};
use crate::segment::{read, segment_name, sequence_of};
use bytes::Bytes;
use futures::channel::mpsc::{self, UnboundedSender};
use mooseng_core::chance::Dice;
use mooseng_core::env::{Disk, DiskError, Env, File, OpenMode};
use mooseng_core::event::Event;
use mooseng_core::probe;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What a store looked like when it was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Opened {
    pub parts: u64,
    pub segments: u64,
    /// How many of them had no table and were read.
    pub scanned: u64,
    /// What is not as it was written, one line each. Parts may be missing because of it.
    pub damage: Vec<Damage>,
}

pub(super) async fn format<E: Env>(
    env: &E,
    directory: &str,
    config: &StoreConfig,
) -> Result<(), StorageError> {
    config.check()?;
    let disk = env.disk();
    let own = join(directory, OWN_DIRECTORY);
    disk.create_dir(&own).await?;
    for above in ancestors(&own) {
        disk.sync_dir(above).await?;
    }
    if let Some(name) = disk.list(directory).await?.iter().find(|name| sequence_of(name).is_some()) {
        return Err(StorageError::Refused {
            file: join(directory, name),
            why: "there is a chunk store already".to_owned(),
            remedy: "open it, or empty the data directory if its server is gone for good",
        });
    }
    let named = blake3::hash(directory.as_bytes());
    let mut dice = env.rng("chunk store", u64::from_le_bytes(std::array::from_fn(|at| named.as_bytes()[at])));
    let mut store = [0; 16];
    store[..8].copy_from_slice(&dice.word().to_le_bytes());
    store[8..].copy_from_slice(&dice.word().to_le_bytes());
    keeper::prepare(env, directory, &keeper::head(env, config, store, 1)).await?;
    Ok(())
}

pub(super) async fn open<E: Env>(
    env: &E,
    directory: &str,
    config: StoreConfig,
) -> Result<(Store<E>, Opened), StorageError> {
    config.check()?;
    let mut opening = Opening::new(env, directory, config);
    opening.list().await?;
    let own = opening.list_own().await?;
    // What was seen may live in memory alone.
    env.disk().sync_dir(directory).await?;
    env.disk().sync_dir(&join(directory, OWN_DIRECTORY)).await?;
    for sequence in opening.sequences.clone() {
        opening.read(sequence).await?;
    }
    opening.take_up(&own).await
}

/// A segment without a table, as it was scanned.
struct Scanned<F> {
    file: F,
    head: SegmentHead,
    image: Bytes,
    scan: Scan,
}

struct Opening<'a, E: Env> {
    env: &'a E,
    directory: &'a str,
    config: StoreConfig,
    sequences: BTreeSet<u32>,
    tables: BTreeSet<u32>,
    store: Option<[u8; 16]>,
    records: Vec<(u32, Vec<Record>)>,
    scanned: BTreeMap<u32, Scanned<FileOf<E>>>,
    unreadable: Vec<u32>,
    opened: Opened,
}

impl<'a, E: Env> Opening<'a, E> {
    fn new(env: &'a E, directory: &'a str, config: StoreConfig) -> Self {
        Self {
            env,
            directory,
            config,
            sequences: BTreeSet::new(),
            tables: BTreeSet::new(),
            store: None,
            records: Vec::new(),
            scanned: BTreeMap::new(),
            unreadable: Vec::new(),
            opened: Opened::default(),
        }
    }

    fn path(&self, name: &str) -> String {
        join(self.directory, name)
    }

    fn segment_path(&self, sequence: u32) -> String {
        self.path(&segment_name(u64::from(sequence)))
    }

    fn damage(&mut self, file: String, what: impl Into<String>) {
        self.opened.damage.push(Damage { file, what: what.into() });
    }

    /// Finds the segments and tables, and clears away what was never finished.
    async fn list(&mut self) -> Result<(), StorageError> {
        let names = match self.env.disk().list(self.directory).await {
            Ok(names) => names,
            Err(DiskError::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let number = |number: Option<u64>| {
            number.and_then(|number| u32::try_from(number).ok()).filter(|number| *number <= SEQUENCE_MAX)
        };
        for name in &names {
            if let Some(sequence) = number(sequence_of(name)) {
                self.sequences.insert(sequence);
            } else if let Some(sequence) = number(table_of(name)) {
                self.tables.insert(sequence);
            } else if name == SPARE || name == TABLE_PARTIAL {
                remove(self.env, &self.path(name)).await?;
            } else if name != OWN_DIRECTORY {
                self.damage(self.path(name), "is no file of a chunk store");
            }
        }
        if self.sequences.is_empty() && self.tables.is_empty() {
            return Err(StorageError::Absent { file: self.segment_path(1) });
        }
        for lost in self.tables.difference(&self.sequences.clone()) {
            let (file, table) = (join(self.directory, &segment_name(u64::from(*lost))), table_name(*lost));
            let what = "is gone, and the parts in it".to_owned();
            self.opened.damage.push(Damage { file, what });
            remove(self.env, &join(self.directory, &table)).await?;
        }
        Ok(())
    }

    async fn list_own(&mut self) -> Result<Vec<OwnFile>, StorageError> {
        let directory = self.path(OWN_DIRECTORY);
        let names = match self.env.disk().list(&directory).await {
            Ok(names) => names,
            Err(DiskError::NotFound { .. }) => {
                self.damage(directory.clone(), "is gone, and the large parts in it");
                self.env.disk().create_dir(&directory).await?;
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
        let mut own = Vec::new();
        for name in names {
            if let Some(file) = OwnFile::from_name(&name) {
                own.push(file);
            } else if name.starts_with(INCOMING) {
                remove(self.env, &join(&directory, &name)).await?;
            } else {
                self.damage(join(&directory, &name), "is no file of a chunk store");
            }
        }
        Ok(own)
    }

    async fn read(&mut self, sequence: u32) -> Result<(), StorageError> {
        if self.tables.contains(&sequence) {
            let name = table_name(sequence);
            match read_table(self.env, &self.path(&name)).await? {
                Some(table) if table.sequence == sequence => {
                    self.belongs(&name, table.store)?;
                    self.records.push((sequence, table.records));
                    return Ok(());
                }
                _ => {
                    probe!("store table damaged");
                    self.damage(self.path(&name), "does not read well; its segment is read instead");
                }
            }
        }
        self.scan(sequence).await
    }

    async fn scan(&mut self, sequence: u32) -> Result<(), StorageError> {
        let path = self.segment_path(sequence);
        let file = self.env.disk().open(&path, OpenMode::Existing).await?;
        let Some((head, image)) = read_segment(&file).await? else {
            let start = read(&file, 0, u64::from(super::layout::SECTOR_BYTES_MIN)).await?;
            if let Err(fault @ Fault::Version(_)) = SegmentHead::decode(&start) {
                return Err(SEGMENT.explain(fault, &path));
            }
            probe!("store segment unreadable");
            self.damage(path, "has no head that reads well: the parts in it are lost here");
            self.unreadable.push(sequence);
            return Ok(());
        };
        self.belongs(&segment_name(u64::from(sequence)), head.store)?;
        if head.sequence != sequence {
            return Err(self.foreign(&path));
        }
        let mut scan = scan(&head, &image, &path);
        self.opened.scanned += 1;
        self.opened.damage.append(&mut scan.damage);
        self.records.push((sequence, scan.records.clone()));
        self.scanned.insert(sequence, Scanned { file, head, image, scan });
        Ok(())
    }

    /// All that reads well must be of one store.
    fn belongs(&mut self, name: &str, store: [u8; 16]) -> Result<(), StorageError> {
        if *self.store.get_or_insert(store) == store { Ok(()) } else { Err(self.foreign(&self.path(name))) }
    }

    fn foreign(&self, file: &str) -> StorageError {
        StorageError::Refused {
            file: file.to_owned(),
            why: "this belongs to another chunk store, or to another place in this one".to_owned(),
            remedy: "move it back to where it was",
        }
    }

    /// Starts the tasks on what was found.
    async fn take_up(mut self, own: &[OwnFile]) -> Result<(Store<E>, Opened), StorageError> {
        let last = self.sequences.last().copied().unwrap_or(0).max(self.tables.last().copied().unwrap_or(0));
        let Some(store) = self.store else {
            return Err(StorageError::Refused {
                file: self.segment_path(last),
                why: "no segment of this chunk store reads well".to_owned(),
                remedy: "empty the data directory, and what it kept is made anew from other servers",
            });
        };
        let mut next_sequence = last + 1;
        let mut stock = self.pristine(&mut next_sequence).await?;
        let written = self.scanned.keys().next_back().copied();
        if let Some(written) = written {
            self.confirm(written).await?;
        }
        // The one written last goes on, unless something in it is not as it should be.
        let fits = |scanned: &Scanned<_>| {
            scanned.scan.clean && scanned.head.segment_bytes == self.config.segment_bytes
        };
        let in_stock = |sequence| stock.iter().any(|segment| segment.head.sequence == sequence);
        let newest = self.sequences.iter().rev().find(|sequence| !in_stock(**sequence)).copied();
        let goes_on = written.filter(|written| Some(*written) == newest && fits(&self.scanned[written]));
        let (segment, end, records) = match goes_on.and_then(|sequence| self.scanned.remove(&sequence)) {
            Some(Scanned { file, head, scan, .. }) => {
                let end = head.sector_from(scan.used);
                (Segment { file, head }, end, scan.records)
            }
            None => {
                let segment = match stock.pop_front() {
                    Some(segment) => segment,
                    None => self.fresh(store, &mut next_sequence).await?,
                };
                let end = segment.head.data_start();
                (segment, end, Vec::new())
            }
        };
        let mut index = Index::build(&self.records, own);
        self.unreadable.iter().for_each(|sequence| index.add_unreadable(*sequence));
        index.add_segment(segment.head.sequence);
        (self.opened.parts, self.opened.segments) = (index.len() as u64, index.segments() as u64);
        let state = State::new(index, stock, next_sequence, segment.head.sequence);
        let directory = self.directory.to_owned();
        let shared = Arc::new(Shared::new(self.env.clone(), directory, self.config.clone(), store, state));
        let opened = std::mem::take(&mut self.opened);
        for Damage { file, what } in &opened.damage {
            self.env.note(Event::Note(format!("{file}: {what}")));
        }
        Ok((self.start(shared, segment, end, records), opened))
    }

    fn start(
        self,
        shared: Arc<Shared<E>>,
        segment: Segment<FileOf<E>>,
        end: u64,
        records: Vec<Record>,
    ) -> Store<E> {
        let (queue, items) = mpsc::unbounded();
        let (chores, chores_to_do): (UnboundedSender<Chore>, _) = mpsc::unbounded();
        for Scanned { head, scan, .. } in self.scanned.into_values() {
            let _ = chores.unbounded_send(Chore::Full { head, used: scan.used, records: scan.records });
        }
        let writer = Writer {
            shared: shared.clone(),
            queue: items,
            chores: chores.clone(),
            segment,
            end,
            records,
            waiting: VecDeque::new(),
        };
        self.env.spawn("store writer", writer.run());
        self.env.spawn("store keeper", keeper::run(shared.clone(), chores_to_do));
        Store { shared, queue, chores }
    }

    /// The prepared segments behind all that were written to. Those of another length than is
    /// wanted now are removed, the last one first, so that a crash in between leaves no hole.
    async fn pristine(
        &mut self,
        next_sequence: &mut u32,
    ) -> Result<VecDeque<Segment<FileOf<E>>>, StorageError> {
        let wanted = (self.config.segment_bytes, self.config.sector_bytes);
        let mut stock = VecDeque::new();
        let mut odd = false;
        while let Some(entry) = self.scanned.last_entry() {
            let sequence = *entry.key();
            if !entry.get().scan.is_pristine() || sequence + 1 != *next_sequence - stock.len() as u32 {
                break;
            }
            let Scanned { file, head, .. } = entry.remove();
            self.records.retain(|(other, _)| *other != sequence);
            odd |= (head.segment_bytes, head.sector_bytes) != wanted;
            stock.push_front(Segment { file, head });
        }
        while odd && let Some(segment) = stock.pop_back() {
            remove(self.env, &self.segment_path(segment.head.sequence)).await?;
            self.env.disk().sync_dir(self.directory).await?;
            *next_sequence = segment.head.sequence;
            self.sequences.remove(&segment.head.sequence);
        }
        Ok(stock)
    }

    async fn fresh(
        &self,
        store: [u8; 16],
        next_sequence: &mut u32,
    ) -> Result<Segment<FileOf<E>>, StorageError> {
        let head = keeper::head(self.env, &self.config, store, *next_sequence);
        let file = keeper::prepare(self.env, self.directory, &head).await?;
        *next_sequence += 1;
        Ok(Segment { file, head })
    }

    /// The last batch may live in a page cache alone, and a cache that once failed to write it back
    /// believes it clean. Written again and synced, it is as durable as the answers that will be
    /// built on it.
    async fn confirm(&self, sequence: u32) -> Result<(), StorageError> {
        let Scanned { file, image, scan, .. } = &self.scanned[&sequence];
        let Some((start, end)) = scan.last else { return Ok(()) };
        file.write_at(start, image.slice(start as usize..end as usize)).await?;
        file.sync().await?;
        probe!("store confirmed its last batch");
        Ok(())
    }
}
