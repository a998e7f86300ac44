//! What the images of a journal's segments say: which records stand, and whether anything that was
//! acknowledged may be missing. Pure: it neither reads nor repairs.
//!
//! One batch is in flight at a time, and each carries the end of what was synced when it was
//! written. So every batch that reads well, wherever it lies, proves that the log was whole up to
//! its `proven`; the highest of them is the *proven point*. The walk goes from batch to batch and
//! ends at the first place where none follows:
//!
//! ```text
//!        batch  batch  batch   proven point            batch  ?        zeros
//!   |----x------x------x-----|                    |----x------|------|00000000
//!                ^ the walk ends here: damaged                  ^ here: ambiguous, or clean if
//!                                                                 nothing but zeros follows
//! ```
//!
//! - below the proven point: something synced is gone. *Damaged*, whatever it was.
//! - at or above it, with anything but zeros after it: the crash tore an unacknowledged batch, or
//!   the disk lost an acknowledged one. Nobody can tell: *ambiguous*. Batches that read well beyond
//!   the gap are not taken, because writes reach a disk in any order.
//! - at or above it, with nothing but zeros after it: *clean*.
//!
//! A batch with the flag *resume* was written by a journal that came to such an end and went on in
//! a fresh segment; what it skipped stays where it was, as evidence, and is not judged again. The
//! doubt itself is in the journal's state record until the groups have settled it.

use super::layout::{Batch, Doubt, DoubtKind, SegmentHead, State};
use super::pins::Pins;
use super::{Position, Record};
use crate::field::is_zero;
use bytes::Bytes;
use mooseng_core::plant;
use std::collections::BTreeMap;

/// What one segment holds.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub(super) head: SegmentHead,
    /// Every batch that reads well, in order, whatever stands between them.
    pub(super) batches: Vec<Batch>,
    /// The last sector that holds something and belongs to no batch.
    pub(super) rubbish: Option<Position>,
}

impl Scan {
    /// Reads the image of a segment; `image` has the length that the head tells.
    pub(super) fn new(head: SegmentHead, image: &Bytes) -> Self {
        assert_eq!(image.len() as u64, head.segment_bytes, "an image is a whole segment");
        let sector = head.sector_bytes as usize;
        let mut scan = Self { head, batches: Vec::new(), rubbish: None };
        let mut offset = sector;
        while offset < image.len() {
            match Batch::decode(&scan.head, image, offset) {
                Some(batch) => {
                    offset = (batch.end.0 - scan.head.base.0) as usize;
                    scan.batches.push(batch);
                }
                None => {
                    if !is_zero(&image[offset..offset + sector]) {
                        scan.rubbish = Some(Position(scan.head.base.0 + offset as u64));
                    }
                    offset += sector;
                }
            }
        }
        scan
    }

    /// Prepared and never written to.
    fn is_pristine(&self) -> bool {
        self.batches.is_empty() && self.rubbish.is_none()
    }
}

/// A segment's file: `None` if its head does not read well.
pub(super) type Found = BTreeMap<u64, Option<Scan>>;

/// Why the walk ended where it did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    Clean,
    Doubtful(Doubt),
}

/// The judgement over a whole journal.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) records: Vec<Record>,
    pub(super) pins: Pins,
    pub(super) state: State,
    /// Where the log ends, and why there.
    pub(super) position: Position,
    pub(super) end: End,
    /// The highest point that anything here proves to be synced.
    pub(super) proven: Position,
    /// The segment in which the log ends; `None` if not even the first one reads well.
    pub(super) active: Option<u64>,
    /// The segments at the very end that are prepared and untouched, in order.
    pub(super) pristine: Vec<u64>,
}

/// Judges what was found. No segment's range of positions may overlap another's.
pub(super) fn judge(found: Found) -> Verdict {
    let states = || found.values().flatten().flat_map(|scan| &scan.batches);
    let first = states().filter_map(|batch| Some(batch.state.as_ref()?.first)).max().unwrap_or(1);
    let proven = states()
        .map(|batch| batch.proven)
        .chain(found.values().flatten().map(|scan| scan.head.proven))
        .max()
        .unwrap_or_default();
    let mut walk = Walk::new(first, found);
    walk.run();
    let active = walk.active;
    let end = match active {
        Some(_) => plant!("journal-cuts-damage-silently", walk.judge_end(proven), End::Clean),
        None => walk.judge_end(proven),
    };
    let pristine: Vec<u64> = walk
        .found
        .iter()
        .rev()
        .take_while(|(sequence, scan)| {
            active.is_none_or(|active| **sequence > active) && scan.as_ref().is_some_and(|scan| scan.pristine)
        })
        .map(|(sequence, _)| *sequence)
        .collect();
    Verdict {
        records: walk.records,
        pins: walk.pins,
        state: State { first, doubt: walk.doubt },
        position: walk.position,
        end,
        proven,
        active,
        pristine: pristine.into_iter().rev().collect(),
    }
}

/// What the walk needs to know of a segment besides its batches.
struct Place {
    data_start: Position,
    pristine: bool,
    rubbish: Option<Position>,
}

/// The walk from batch to batch.
struct Walk {
    first: u64,
    found: BTreeMap<u64, Option<Place>>,
    /// Batches not taken yet, and the sequences of the segments they lie in.
    batches: BTreeMap<Position, (u64, Batch)>,
    /// Where to go on, by where a journal stopped before it resumed.
    resumes: BTreeMap<Position, Position>,
    active: Option<u64>,
    position: Position,
    records: Vec<Record>,
    pins: Pins,
    doubt: Option<Doubt>,
}

impl Walk {
    fn new(first: u64, found: Found) -> Self {
        let mut walk = Self {
            first,
            found: BTreeMap::new(),
            batches: BTreeMap::new(),
            resumes: BTreeMap::new(),
            active: None,
            position: Position(0),
            records: Vec::new(),
            pins: Pins::default(),
            doubt: None,
        };
        for (sequence, scan) in found {
            let place = scan.map(|scan| Place {
                data_start: scan.head.data_start(),
                pristine: scan.is_pristine(),
                rubbish: walk.keep(sequence, scan),
            });
            if sequence >= first {
                walk.found.insert(sequence, place);
            }
        }
        walk.find_resumes();
        walk
    }

    fn keep(&mut self, sequence: u64, scan: Scan) -> Option<Position> {
        if sequence >= self.first {
            self.batches.extend(scan.batches.into_iter().map(|batch| (batch.position, (sequence, batch))));
        }
        scan.rubbish
    }

    /// The last resumption holds; an earlier one counts unless a later one has given it up too.
    fn find_resumes(&mut self) {
        let mut given_up_from = Position(u64::MAX);
        for (_, batch) in self.batches.values().rev().filter(|(_, batch)| batch.resume) {
            if batch.position < given_up_from {
                self.resumes.insert(batch.proven, batch.position);
                given_up_from = batch.proven;
            }
        }
    }

    fn run(&mut self) {
        if let Some(Some(place)) = self.found.get(&self.first) {
            self.position = place.data_start;
            self.active = Some(self.first);
        }
        while let Some(next) = self.next() {
            let Some((sequence, batch)) = self.batches.remove(&next) else { return };
            self.take(sequence, batch);
        }
    }

    /// The position of the batch that follows what was walked so far.
    fn next(&self) -> Option<Position> {
        if let Some(resumed) = self.resumes.get(&self.position).filter(|at| self.batches.contains_key(at)) {
            return Some(*resumed);
        }
        if self.batches.contains_key(&self.position) {
            return Some(self.position);
        }
        let following = self.found.get(&(self.active? + 1))?.as_ref()?;
        let (_, batch) = self.batches.get(&following.data_start)?;
        (batch.proven == self.position && !batch.resume).then_some(following.data_start)
    }

    fn take(&mut self, sequence: u64, batch: Batch) {
        assert!(batch.end > self.position, "the walk goes forward");
        for record in &batch.records {
            self.pins.add(sequence, record.stream, record.position);
        }
        self.records.extend(batch.records);
        if let Some(state) = batch.state {
            self.doubt = state.doubt;
        }
        self.active = Some(sequence);
        self.position = batch.end;
    }

    fn judge_end(&self, proven: Position) -> End {
        let at = self.position;
        let damaged = |proven: Position, why| {
            End::Doubtful(Doubt { kind: DoubtKind::Damaged, at, proven: proven.max(at), why })
        };
        if proven > at {
            let why = format!("nothing readable at {at}, though everything below {proven} was synced");
            return damaged(proven, why);
        }
        if let Some(sequence) = self.gap() {
            return damaged(
                proven,
                format!("segment {sequence} is missing or unreadable, and later ones are there"),
            );
        }
        let ambiguous = |why| End::Doubtful(Doubt { kind: DoubtKind::Ambiguous, at, proven, why });
        if let Some((sequence, _)) = self.found.last_key_value().filter(|(_, place)| place.is_none()) {
            return ambiguous(format!("the head of segment {sequence} is unreadable"));
        }
        if let Some((position, _)) = self.batches.range(at..).next() {
            return ambiguous(format!("a batch at {position} lies beyond a hole at {at}"));
        }
        let rubbish = self.found.values().flatten().filter_map(|place| place.rubbish).max();
        match rubbish.filter(|rubbish| *rubbish >= at) {
            Some(rubbish) => ambiguous(format!("unreadable bytes between {at} and {rubbish}")),
            None => End::Clean,
        }
    }

    /// A segment after the active one that is missing or unreadable while a later one is there.
    /// Segments are prepared in order, so this cannot come from a crash.
    fn gap(&self) -> Option<u64> {
        let next = self.active.map_or(self.first, |active| active + 1);
        let last = self.found.last_key_value().map_or(u64::MAX, |(last, _)| *last);
        (next..last).find(|sequence| !matches!(self.found.get(sequence), Some(Some(_))))
    }
}
