//! Making a journal, and taking one up again: reads every segment, has [`super::recovery`] judge
//! them and makes true on the disk what the judgement says before anybody builds on it.

use super::keeper::{self, Keeper};
use super::layout::{
    BatchEncoder, Doubt, DoubtKind, SECTOR_BYTES_MAX, SECTOR_BYTES_MIN, SEGMENT, SEGMENT_BYTES_MAX,
    SegmentHead, State,
};
use super::recovery::{End, Found, Scan, Verdict, judge};
use super::shared::{Closing, Segment, Shared, Standing};
use super::writer::Writer;
use super::{FileOf, Journal, JournalConfig, Position, Record, Recovered, Tail, batcher};
use crate::envelope::Fault;
use crate::error::StorageError;
use crate::field::{ancestors, join};
use crate::segment::{read, segment_name, sequence_of};
use bytes::Bytes;
use mooseng_core::chance::Dice;
use mooseng_core::env::{Disk, DiskError, Env, File, OpenMode};
use mooseng_core::probe;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const SEGMENT_BYTES_MIN: u64 = 8 << 10;

impl JournalConfig {
    fn check(&self) -> Result<(), StorageError> {
        let refuse = |field, why: String| Err(StorageError::Config { field, why });
        let sector = self.sector_bytes;
        if !sector.is_power_of_two() || !(SECTOR_BYTES_MIN..=SECTOR_BYTES_MAX).contains(&sector) {
            return refuse("sector_bytes", format!("{sector} is no power of two from 512 to 65536"));
        }
        let segment = self.segment_bytes;
        if !(SEGMENT_BYTES_MIN.max(2 * u64::from(sector))..=SEGMENT_BYTES_MAX).contains(&segment) {
            return refuse("segment_bytes", format!("{segment} is not between two sectors, 8 KiB and 1 GiB"));
        }
        if !segment.is_multiple_of(u64::from(sector)) {
            return refuse("segment_bytes", format!("{segment} is no multiple of sector_bytes, {sector}"));
        }
        Ok(())
    }
}

pub(super) async fn format<E: Env>(
    env: &E,
    directory: &str,
    config: &JournalConfig,
) -> Result<(), StorageError> {
    config.check()?;
    let disk = env.disk();
    disk.create_dir(directory).await?;
    for above in ancestors(directory) {
        disk.sync_dir(above).await?;
    }
    if let Some(name) = disk.list(directory).await?.iter().find(|name| sequence_of(name).is_some()) {
        return Err(StorageError::Refused {
            file: join(directory, name),
            why: "there is a journal already".to_owned(),
            remedy: "open it, or empty the data directory if its server is gone for good",
        });
    }
    let named = blake3::hash(directory.as_bytes());
    let mut dice = env.rng("journal", u64::from_le_bytes(std::array::from_fn(|at| named.as_bytes()[at])));
    let mut journal = [0; 16];
    journal[..8].copy_from_slice(&dice.word().to_le_bytes());
    journal[8..].copy_from_slice(&dice.word().to_le_bytes());
    let head = keeper::head(env, config, journal, 1, Position(0), Position(0));
    keeper::prepare(env, directory, &head).await?;
    Ok(())
}

pub(super) async fn open<E: Env>(
    env: &E,
    directory: &str,
    config: JournalConfig,
    check: impl FnOnce(&[Record]) -> Result<(), StorageError> + Send,
) -> Result<(Journal<E>, Recovered), StorageError> {
    config.check()?;
    let mut opening = Opening::read(env, directory, config).await?;
    let found = std::mem::take(&mut opening.found);
    let sequences: Vec<u64> = found.keys().copied().collect();
    let mut verdict = judge(found);
    let first = verdict.state.first;
    let retire = sequences.into_iter().filter(|sequence| *sequence < first).collect();
    let records = std::mem::take(&mut verdict.records);
    check(&records)?;
    opening.drop_odd_spares(&mut verdict).await?;
    let tail = tail(&verdict.end, verdict.state.doubt.as_ref());
    let journal = opening.take_up(verdict, retire).await?;
    Ok((journal, Recovered { records, tail }))
}

/// What to report: what was found just now, or else what was found earlier and never settled.
pub(super) fn tail(end: &End, doubt: Option<&Doubt>) -> Tail {
    let Some(doubt) = merge(end, doubt) else { return Tail::Clean };
    match doubt.kind {
        DoubtKind::Ambiguous => {
            probe!("journal tail ambiguous");
            Tail::Ambiguous { after: doubt.at, why: doubt.why }
        }
        DoubtKind::Damaged => {
            probe!("journal damage found");
            Tail::Damaged { at: doubt.at, proven: doubt.proven, why: doubt.why }
        }
    }
}

/// Of two doubts the graver one, and of the same kind the earlier.
fn merge(end: &End, known: Option<&Doubt>) -> Option<Doubt> {
    let End::Doubtful(fresh) = end else { return known.cloned() };
    match known {
        Some(known) if known.kind >= fresh.kind => Some(known.clone()),
        _ => Some(fresh.clone()),
    }
}

/// A journal between its disk and its tasks.
struct Opening<'a, E: Env> {
    env: &'a E,
    directory: &'a str,
    config: JournalConfig,
    found: Found,
    /// Of every segment whose head reads well.
    heads: BTreeMap<u64, SegmentHead>,
    files: BTreeMap<u64, FileOf<E>>,
    /// What was judged.
    images: BTreeMap<u64, Bytes>,
    journal: [u8; 16],
    /// What follows the last segment there is.
    next_sequence: u64,
    next_base: Position,
}

impl<'a, E: Env> Opening<'a, E> {
    async fn read(env: &'a E, directory: &'a str, config: JournalConfig) -> Result<Self, StorageError> {
        let names = match env.disk().list(directory).await {
            Ok(names) => names,
            Err(DiskError::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let sequences: Vec<u64> = names.iter().filter_map(|name| sequence_of(name)).collect();
        let Some(last) = sequences.last().copied() else {
            return Err(StorageError::Absent { file: join(directory, &segment_name(1)) });
        };
        let mut opening = Self {
            env,
            directory,
            config,
            found: Found::new(),
            heads: BTreeMap::new(),
            files: BTreeMap::new(),
            images: BTreeMap::new(),
            journal: [0; 16],
            next_sequence: last + 1,
            next_base: Position(0),
        };
        let mut broken = None;
        for sequence in sequences {
            if let Some(fault) = opening.read_segment(sequence).await? {
                broken.get_or_insert((sequence, fault));
            }
        }
        if let Some((sequence, fault)) = broken.filter(|_| opening.heads.is_empty()) {
            let file = opening.path(sequence);
            let why = "no segment of this journal has a head that reads well".to_owned();
            return Err(match fault {
                Fault::Broken => StorageError::Damaged { file, why },
                _ => SEGMENT.explain(fault, &file),
            });
        }
        if broken.is_some_and(|_| !opening.heads.contains_key(&last)) {
            // How far the unreadable last one reached is unknown; no position may be given twice.
            opening.next_base.0 += SEGMENT_BYTES_MAX;
        }
        Ok(opening)
    }

    fn path(&self, sequence: u64) -> String {
        join(self.directory, &segment_name(sequence))
    }

    /// Reads one segment; why not, if its head is unreadable.
    async fn read_segment(&mut self, sequence: u64) -> Result<Option<Fault>, StorageError> {
        let path = self.path(sequence);
        let file = self.env.disk().open(&path, OpenMode::Existing).await?;
        let length = file.length().await?;
        let start = read(&file, 0, length.min(u64::from(SECTOR_BYTES_MIN))).await?;
        let head = match SegmentHead::decode(&start) {
            Ok(head) => head,
            Err(fault @ Fault::Version(_)) => return Err(SEGMENT.explain(fault, &path)),
            Err(fault) => {
                self.found.insert(sequence, None);
                self.next_base.0 += length;
                return Ok(Some(fault));
            }
        };
        self.check(&path, sequence, &head)?;
        // The head says how long the segment is. What the file lacks was lost, and what it has
        // beyond was never the journal's.
        if length != head.segment_bytes {
            probe!("journal segment of another length");
        }
        let image = read(&file, 0, head.segment_bytes).await?;
        self.next_base = head.end();
        self.found.insert(sequence, Some(Scan::new(head.clone(), &image)));
        self.heads.insert(sequence, head);
        self.files.insert(sequence, file);
        self.images.insert(sequence, image);
        Ok(None)
    }

    /// A head that reads well must be one of this journal's, and of this very file.
    fn check(&mut self, path: &str, sequence: u64, head: &SegmentHead) -> Result<(), StorageError> {
        let refuse = |why: String, remedy| Err(StorageError::Refused { file: path.to_owned(), why, remedy });
        if self.heads.is_empty() {
            self.journal = head.journal;
        }
        if head.journal != self.journal || head.sequence != sequence || head.base < self.next_base {
            return refuse(
                "this segment belongs to another journal or to another place in this one".to_owned(),
                "move it back to where it was, or empty the data directory and let the server join again",
            );
        }
        Ok(())
    }

    /// Prepared segments of another size than is wanted now are removed, the last one first, so
    /// that a crash in between leaves no hole.
    async fn drop_odd_spares(&mut self, verdict: &mut Verdict) -> Result<(), StorageError> {
        let wanted = (self.config.segment_bytes, self.config.sector_bytes);
        let fits = |head: &SegmentHead| (head.segment_bytes, head.sector_bytes) == wanted;
        if verdict.pristine.iter().all(|sequence| fits(&self.heads[sequence])) {
            return Ok(());
        }
        while let Some(sequence) = verdict.pristine.pop() {
            self.env.disk().remove(&self.path(sequence)).await?;
            self.env.disk().sync_dir(self.directory).await?;
            self.files.remove(&sequence);
            self.next_sequence = sequence;
            self.next_base = self.heads.remove(&sequence).map_or(self.next_base, |head| head.base);
        }
        Ok(())
    }

    /// Makes the judgement durable and starts the tasks.
    async fn take_up(mut self, verdict: Verdict, retire: Vec<u64>) -> Result<Journal<E>, StorageError> {
        let mut pristine: VecDeque<u64> = verdict.pristine.iter().copied().collect();
        self.env.disk().sync_dir(self.directory).await?;
        self.confirm(&verdict).await?;
        let doubt = merge(&verdict.end, verdict.state.doubt.as_ref());
        let State { first, .. } = verdict.state;
        let going_on = verdict.active.filter(|_| verdict.end == End::Clean);
        let (active, end) = match going_on {
            Some(active) => (active, verdict.position),
            None => {
                let fresh = self.fresh(pristine.pop_front(), verdict.proven).await?;
                let state = State { first, doubt: doubt.clone() };
                let end = self.resume(fresh, verdict.position, &state).await?;
                (fresh, end)
            }
        };
        let segment = self.segment(active);
        let shared = Arc::new(Shared::new(Standing {
            append_bytes_max: batcher::append_bytes_max(self.config.segment_bytes, self.config.sector_bytes),
            batch_bytes_max: self.config.batch_bytes_max,
            queue_bytes_max: self.config.queue_bytes_max,
            pins: verdict.pins,
            active,
            end,
            first,
            stock: pristine.into_iter().map(|sequence| self.segment(sequence)).collect(),
            next_sequence: self.next_sequence,
            next_base: self.next_base,
            retire,
        }));
        self.start(&shared, segment, end, verdict.proven, doubt);
        let closing = Arc::new(Closing(shared.clone()));
        Ok(Journal { shared, _handles: closing })
    }

    fn segment(&self, sequence: u64) -> Segment<FileOf<E>> {
        Segment { file: self.files[&sequence].clone(), head: self.heads[&sequence].clone() }
    }

    fn start(
        self,
        shared: &Arc<Shared<FileOf<E>>>,
        segment: Segment<FileOf<E>>,
        end: Position,
        carried: Position,
        doubt: Option<Doubt>,
    ) {
        let directory = self.directory.to_owned();
        let writer = Writer {
            env: self.env.clone(),
            directory: directory.clone(),
            shared: shared.clone(),
            segment,
            end,
            proven: end,
            carried,
            doubt,
            alarm: None,
        };
        let (env, config, journal) = (self.env.clone(), self.config, self.journal);
        let keeper = Keeper { env, directory, config, journal, shared: shared.clone() };
        self.env.spawn("journal writer", writer.run());
        self.env.spawn("journal keeper", keeper.run());
    }

    /// What was read but is not proven may live in a page cache alone, and a cache that once
    /// failed to write it back believes it clean. Written again and synced, it is as durable as
    /// the answers that will be built on it.
    async fn confirm(&self, verdict: &Verdict) -> Result<(), StorageError> {
        let Some(active) = verdict.active else { return Ok(()) };
        let (head, file) = (&self.heads[&active], &self.files[&active]);
        let from = verdict.proven.max(head.data_start());
        if verdict.position <= from {
            return Ok(());
        }
        let (start, end) = (from.0 - head.base.0, verdict.position.0 - head.base.0);
        // From the image that was judged: another read might return anything.
        let bytes = self.images[&active].slice(start as usize..end as usize);
        file.write_at(start, bytes).await?;
        file.sync().await?;
        probe!("journal confirmed an unproven batch");
        Ok(())
    }

    /// A segment nobody has written to: the prepared one, or a new one.
    async fn fresh(&mut self, prepared: Option<u64>, proven: Position) -> Result<u64, StorageError> {
        if let Some(sequence) = prepared {
            return Ok(sequence);
        }
        let sequence = self.next_sequence;
        let head = keeper::head(self.env, &self.config, self.journal, sequence, self.next_base, proven);
        let file = keeper::prepare(self.env, self.directory, &head).await?;
        self.next_sequence += 1;
        self.next_base = head.end();
        self.heads.insert(sequence, head);
        self.files.insert(sequence, file);
        Ok(sequence)
    }

    /// Begins a fresh segment with a batch that gives up what lies between `cut` and it, and that
    /// holds the doubt. What is given up stays where it is.
    async fn resume(&self, fresh: u64, cut: Position, state: &State) -> Result<Position, StorageError> {
        let (head, file) = (&self.heads[&fresh], &self.files[&fresh]);
        let mut encoder = BatchEncoder::new(head, head.data_start(), cut, 0);
        encoder.resume();
        encoder.state(state);
        let bytes = encoder.finish(head.sector_bytes);
        let end = Position(head.data_start().0 + bytes.len() as u64);
        file.write_at(u64::from(head.sector_bytes), bytes).await?;
        file.sync().await?;
        probe!("journal resumed after a doubtful tail");
        Ok(end)
    }
}
