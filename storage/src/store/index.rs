//! Which parts are kept and where, and what each segment is still needed for. Pure: it is told what
//! happened and answers what to do; 24 bytes for each part beside its name.

use super::aside::Aside;
use super::layout::{Kill, Put, RECORD_BYTES, Record, SEQUENCE_MAX, area_bytes};
use super::table::OwnFile;
use mooseng_core::id::PartId;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Where a part lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// In a file of its own.
    Own,
    /// Its area begins at `offset` of this segment.
    Segment { sequence: u32, offset: u32 },
    /// It was damaged, and its segment is gone.
    Gone,
}

/// A part that is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) incarnation: u64,
    pub(super) length: u32,
    sequence: u32,
    offset: u32,
    pub(super) damaged: bool,
}

const OWN: u32 = 0;
const GONE: u32 = SEQUENCE_MAX + 1;

impl Entry {
    pub(super) fn new(incarnation: u64, length: u32, place: Place) -> Self {
        let mut entry = Self { incarnation, length, sequence: OWN, offset: 0, damaged: false };
        entry.put_at(place);
        entry
    }

    pub(super) fn place(&self) -> Place {
        match self.sequence {
            OWN => Place::Own,
            GONE => Place::Gone,
            sequence => Place::Segment { sequence, offset: self.offset },
        }
    }

    fn put_at(&mut self, place: Place) {
        (self.sequence, self.offset) = match place {
            Place::Own => (OWN, 0),
            Place::Gone => (GONE, 0),
            Place::Segment { sequence, offset } => (sequence, offset),
        };
    }
}

/// What a segment is needed for.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Segment {
    /// Of the parts that live here, their records included.
    live_bytes: u64,
    live_parts: u32,
    /// Records of parts given up, by the segments in which those parts can lie.
    kills: BTreeMap<(u32, u32), u32>,
    /// What it holds is unknown: it stays as it is.
    unreadable: bool,
}

impl Segment {
    fn needed_bytes(&self) -> u64 {
        let kills: u64 = self.kills.values().map(|count| u64::from(*count)).sum();
        self.live_bytes + kills * RECORD_BYTES as u64
    }
}

/// What to do with a wish to give a part up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Absent,
    /// Another incarnation is there.
    Other,
    /// It has a file of its own, to be removed.
    Own(Entry),
    /// This is to be written down.
    Kill(Kill),
    /// Nothing of it is on the disk: it only has to be forgotten.
    Forget,
}

#[derive(Default, Debug)]
pub(super) struct Index {
    parts: BTreeMap<PartId, Entry>,
    segments: BTreeMap<u32, Segment>,
    /// Parts that moved out of segments which are still there: those segments.
    shadows: BTreeMap<PartId, Vec<u32>>,
    /// The segment that is being emptied.
    moving: Option<u32>,
    pub(super) bytes: u64,
    pub(super) aside: Aside,
}

fn needs(put_length: u32) -> u64 {
    (RECORD_BYTES + area_bytes(put_length)) as u64
}

impl Index {
    /// What follows from the records of all segments, and from the files of large parts.
    pub(super) fn build(segments: &[(u32, Vec<Record>)], own: &[OwnFile]) -> Self {
        let mut index = Self::default();
        let mut killed = BTreeSet::new();
        for (sequence, records) in segments {
            index.add_segment(*sequence);
            for record in records {
                if let Record::Kill(kill) = record {
                    killed.insert((kill.part, kill.incarnation));
                }
            }
        }
        for (sequence, records) in segments {
            for record in records {
                match record {
                    Record::Kill(kill) if index.is_needed(kill) => index.note_kill(*sequence, kill),
                    Record::Put(put) if !killed.contains(&(put.part, put.incarnation)) => {
                        index.found(*sequence, put);
                    }
                    Record::Kill(_) | Record::Put(_) => {}
                }
            }
        }
        for file in own {
            index.insert(file.part, Entry::new(file.incarnation, file.length, Place::Own));
        }
        index
    }

    /// A live record, in the order of the log: a later one holds.
    fn found(&mut self, sequence: u32, put: &Put) {
        let same = self.parts.get(&put.part).filter(|entry| entry.incarnation == put.incarnation);
        if let Some(Place::Segment { sequence: older, .. }) = same.map(Entry::place) {
            self.shadows.entry(put.part).or_default().push(older);
        }
        self.insert_put(sequence, put);
    }

    pub(super) fn add_segment(&mut self, sequence: u32) {
        self.segments.entry(sequence).or_default();
    }

    /// There is a segment, and nobody knows what is in it.
    pub(super) fn add_unreadable(&mut self, sequence: u32) {
        self.segments.entry(sequence).or_default().unreadable = true;
    }

    pub(super) fn has_segment(&self, sequence: u32) -> bool {
        self.segments.contains_key(&sequence)
    }

    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    pub(super) fn get(&self, part: PartId) -> Option<Entry> {
        self.parts.get(&part).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Up to `limit` parts behind `after`, in their order, and whether these are all.
    pub(super) fn page(&self, after: Option<PartId>, limit: usize) -> (Vec<(PartId, Entry)>, bool) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.parts.range((from, Bound::Unbounded));
        let page = rest.by_ref().take(limit).map(|(part, entry)| (*part, *entry)).collect();
        (page, rest.next().is_none())
    }

    pub(super) fn insert(&mut self, part: PartId, entry: Entry) {
        self.remove(part);
        self.bytes += u64::from(entry.length);
        if let Place::Segment { sequence, .. } = entry.place() {
            let segment = self.segments.entry(sequence).or_default();
            segment.live_bytes += needs(entry.length);
            segment.live_parts += 1;
        }
        self.parts.insert(part, entry);
    }

    pub(super) fn insert_put(&mut self, sequence: u32, put: &Put) {
        let place = Place::Segment { sequence, offset: put.offset };
        self.insert(put.part, Entry::new(put.incarnation, put.length, place));
    }

    pub(super) fn remove(&mut self, part: PartId) -> Option<Entry> {
        let entry = self.parts.remove(&part)?;
        self.bytes -= u64::from(entry.length);
        self.aside.remove(part);
        if let Place::Segment { sequence, .. } = entry.place()
            && let Some(segment) = self.segments.get_mut(&sequence)
        {
            segment.live_bytes -= needs(entry.length);
            segment.live_parts -= 1;
        }
        Some(entry)
    }

    /// The part lies elsewhere now, unless it was given up or put anew meanwhile; then false.
    pub(super) fn relocate(&mut self, part: PartId, incarnation: u64, from: Place, to: Place) -> bool {
        let current =
            self.get(part).filter(|entry| entry.incarnation == incarnation && entry.place() == from);
        let Some(mut entry) = current else { return false };
        entry.put_at(to);
        let damaged = entry.damaged;
        if let Place::Segment { sequence, .. } = from {
            self.shadows.entry(part).or_default().push(sequence);
        }
        self.insert(part, entry);
        if damaged {
            self.aside.add(part);
        }
        true
    }

    /// The part is set aside, if it is still the one that was looked at; then true.
    pub(super) fn set_damaged(&mut self, part: PartId, looked_at: &Entry) -> bool {
        match self.parts.get_mut(&part) {
            Some(entry)
                if entry.incarnation == looked_at.incarnation && entry.place() == looked_at.place() =>
            {
                entry.damaged = true;
                self.aside.add(part);
                true
            }
            _ => false,
        }
    }

    /// What giving up a part comes to. `incarnation` 0: whichever is there.
    pub(super) fn kill(&self, part: PartId, incarnation: u64) -> Verdict {
        let Some(entry) = self.parts.get(&part) else { return Verdict::Absent };
        if incarnation != 0 && entry.incarnation != incarnation {
            return Verdict::Other;
        }
        match entry.place() {
            Place::Own => Verdict::Own(*entry),
            Place::Gone => Verdict::Forget,
            Place::Segment { sequence, .. } => {
                let shadows = self.shadows.get(&part).map_or(&[][..], Vec::as_slice);
                Verdict::Kill(Kill {
                    part,
                    incarnation: entry.incarnation,
                    oldest: shadows.iter().copied().fold(sequence, u32::min),
                    newest: shadows.iter().copied().fold(sequence, u32::max),
                })
            }
        }
    }

    /// A kill is durable in `sequence`.
    pub(super) fn killed(&mut self, sequence: u32, kill: &Kill) {
        if self.parts.get(&kill.part).is_some_and(|entry| entry.incarnation == kill.incarnation) {
            self.remove(kill.part);
            self.shadows.remove(&kill.part);
        }
        if self.is_needed(kill) {
            self.note_kill(sequence, kill);
        }
    }

    fn note_kill(&mut self, sequence: u32, kill: &Kill) {
        let segment = self.segments.entry(sequence).or_default();
        *segment.kills.entry((kill.oldest, kill.newest)).or_default() += 1;
    }

    /// Is there a segment left in which the part of this record can lie?
    fn is_needed(&self, kill: &Kill) -> bool {
        self.segments.range(kill.oldest..=kill.newest).next().is_some()
    }

    /// Is it needed when `sequence` is gone?
    pub(super) fn is_needed_without(&self, kill: &Kill, sequence: u32) -> bool {
        self.segments.range(kill.oldest..=kill.newest).any(|(other, _)| *other != sequence)
    }

    /// The segment worth emptying most, apart from those from `open` on: the one of which least is
    /// needed, if that is no more than `needed_bytes_max`.
    pub(super) fn candidate(&self, open: u32, needed_bytes_max: u64) -> Option<u32> {
        let full = self.segments.range(..open).filter(|(_, segment)| !segment.unreadable);
        let (needed, sequence) = full.map(|(sequence, segment)| (segment.needed_bytes(), *sequence)).min()?;
        (needed <= needed_bytes_max && self.moving.is_none()).then_some(sequence)
    }

    /// `sequence` is being emptied from now on.
    pub(super) fn begin_move(&mut self, sequence: u32) {
        assert!(self.moving.is_none(), "one segment is emptied at a time");
        self.moving = Some(sequence);
    }

    /// It is not any more.
    pub(super) fn end_move(&mut self) {
        self.moving = None;
    }

    /// Parts that should lie in the segment and were not found in it: they are set aside as gone.
    pub(super) fn strand(&mut self, sequence: u32) -> Vec<PartId> {
        if self.segments.get(&sequence).is_none_or(|segment| segment.live_parts == 0) {
            return Vec::new();
        }
        let here = |entry: &Entry| matches!(entry.place(), Place::Segment { sequence: other, .. } if other == sequence);
        let stranded: Vec<(PartId, Entry)> =
            self.parts.iter().filter(|(_, entry)| here(entry)).map(|(part, entry)| (*part, *entry)).collect();
        for (part, entry) in &stranded {
            self.set_damaged(*part, entry);
            self.relocate(*part, entry.incarnation, entry.place(), Place::Gone);
        }
        stranded.into_iter().map(|(part, _)| part).collect()
    }

    /// The segment is gone for good, and so is what was needed only because of it.
    pub(super) fn segment_gone(&mut self, sequence: u32) {
        if let Some(segment) = self.segments.remove(&sequence) {
            assert_eq!(segment.live_parts, 0, "segment {sequence} is gone and parts in it are not");
        }
        self.shadows.retain(|_, shadows| {
            shadows.retain(|shadow| *shadow != sequence);
            !shadows.is_empty()
        });
        let left: BTreeSet<u32> = self.segments.keys().copied().collect();
        for segment in self.segments.values_mut() {
            segment.kills.retain(|(oldest, newest), _| left.range(oldest..=newest).next().is_some());
        }
    }
}
