//! What clients wrote to files, and what a read of them may show. Small, slow and obviously right:
//! it keeps every change of a file's bytes and no file.
//!
//! Every write has bytes of its own, a function of its number and of the offset, so that it can be told
//! whose bytes a read has brought. Which of several writes a byte is from is not always decided: two
//! clients write at the same time, a change whose client heard nothing may have taken effect or may
//! yet. What is decided is this: a change that was acknowledged before a file was opened is seen
//! through it, and what it replaced for certain is not.

use mooseng_core::chance::mix;
use mooseng_core::id::InodeId;
use std::collections::{BTreeMap, BTreeSet};

/// Which change of all that were made, from 1.
pub type Stamp = u64;

/// A place in the order in which everything happened, also of what happened at one instant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Moment(u64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    Write {
        offset: u64,
        length: u64,
    },
    /// The file is so long from then on.
    Cut {
        size: u64,
    },
    /// There is nothing in this range, which reads as zeros; the length is as it was.
    Punch {
        offset: u64,
        length: u64,
    },
}

impl Change {
    /// Does it put bytes of its own at `at`?
    fn covers(self, at: u64) -> bool {
        matches!(self, Change::Write { offset, length } if offset <= at && at < offset + length)
    }

    /// Does it leave nothing at `at`?
    fn clears(self, at: u64) -> bool {
        self.ends(at) || self.punches(at)
    }

    /// Does the file end before `at`, or there?
    fn ends(self, at: u64) -> bool {
        matches!(self, Change::Cut { size } if size <= at)
    }

    fn punches(self, at: u64) -> bool {
        matches!(self, Change::Punch { offset, length } if offset <= at && at < offset + length)
    }

    /// Does it make the file longer than `at`?
    fn extends(self, at: u64) -> bool {
        match self {
            Change::Write { offset, length } => offset + length > at,
            Change::Cut { size } => size > at,
            Change::Punch { .. } => false,
        }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    stamp: Stamp,
    client: usize,
    /// What was open when it was asked for: it answers for what went through it.
    handle: u64,
    change: Change,
    begun: Moment,
    /// When its caller went on. A write is then taken in, and no more than that.
    taken: Option<Moment>,
    /// Since when it is known to be durable and seen by whoever opens the file.
    kept: Option<Moment>,
}

impl Entry {
    /// Has a read to see it? Whoever made it sees it at once, through whatever is open.
    fn is_due_to(&self, read: &Read<'_>) -> bool {
        let since = if self.client == read.client { read.began } else { read.opened };
        self.kept.is_some_and(|kept| kept <= since)
    }

    /// Did it take effect before the other one, for certain?
    fn precedes(&self, other: &Entry) -> bool {
        let in_turn = self.client == other.client && self.taken.is_some_and(|taken| taken <= other.begun);
        self.stamp < other.stamp && self.kept.is_some_and(|kept| in_turn || kept <= other.begun)
    }
}

/// A read as its client saw it.
#[derive(Clone, Debug)]
pub struct Read<'a> {
    pub file: InodeId,
    pub client: usize,
    /// When the opening began through which it went, and when it began itself.
    pub opened: Moment,
    pub began: Moment,
    pub ended: Moment,
    pub offset: u64,
    /// So many bytes were asked for; fewer came where the file ended.
    pub wanted: u64,
    pub bytes: &'a [u8],
}

/// What is wrong with a read, if anything is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Right,
    /// Something is shown that an acknowledged change had replaced.
    Stale(String),
    /// Bytes are shown that nobody wrote there.
    Foreign(String),
}

/// Every change of every file's bytes.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    last: Stamp,
    moments: u64,
    files: BTreeMap<InodeId, Vec<Entry>>,
}

/// The bytes that a write puts at `offset` and behind.
pub fn bytes_of(stamp: Stamp, offset: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 16);
    let first = offset / 8;
    let words = (offset + length as u64).div_ceil(8) - first;
    for word in first..first + words {
        bytes.extend_from_slice(&mix(stamp << 40 ^ word).to_le_bytes());
    }
    bytes.drain(..(offset % 8) as usize);
    bytes.truncate(length);
    bytes
}

impl Ledger {
    /// Now: after all that was given before.
    pub fn moment(&mut self) -> Moment {
        self.moments += 1;
        Moment(self.moments)
    }

    /// A change is asked for.
    pub fn begin(
        &mut self,
        file: InodeId,
        client: usize,
        handle: u64,
        change: Change,
        begun: Moment,
    ) -> Stamp {
        self.last += 1;
        let entry = Entry { stamp: self.last, client, handle, change, begun, taken: None, kept: None };
        self.files.entry(file).or_default().push(entry);
        self.last
    }

    /// Its caller goes on: a write is taken in.
    pub fn taken(&mut self, file: InodeId, stamp: Stamp, at: Moment) {
        if let Some(entry) = self.entry(file, stamp) {
            entry.taken = Some(at);
        }
    }

    /// A cut or a hole was acknowledged.
    pub fn cut(&mut self, file: InodeId, stamp: Stamp, at: Moment) {
        if let Some(entry) = self.entry(file, stamp) {
            (entry.taken, entry.kept) = (Some(at), Some(at));
        }
    }

    /// An fsync or a close that began at `begun` was acknowledged: what went through the handle before
    /// is kept.
    pub fn kept(&mut self, file: InodeId, handle: u64, begun: Moment, at: Moment) {
        for entry in self.files.get_mut(&file).into_iter().flatten() {
            let before = entry.taken.is_some_and(|taken| taken <= begun);
            if entry.handle == handle && before && entry.kept.is_none() {
                entry.kept = Some(at);
            }
        }
    }

    fn entry(&mut self, file: InodeId, stamp: Stamp) -> Option<&mut Entry> {
        self.files.get_mut(&file)?.iter_mut().find(|entry| entry.stamp == stamp)
    }

    /// The files of which something was written.
    pub fn files(&self) -> impl Iterator<Item = InodeId> + '_ {
        self.files.keys().copied()
    }

    /// Was anything in it acknowledged?
    pub fn is_promised(&self, file: InodeId) -> bool {
        self.files.get(&file).is_some_and(|entries| entries.iter().any(|entry| entry.kept.is_some()))
    }

    /// Longer than the file can be.
    pub fn length_max(&self, file: InodeId) -> u64 {
        let ends = self.files.get(&file).into_iter().flatten().map(|entry| match entry.change {
            Change::Write { offset, length } => offset + length,
            Change::Cut { size } => size,
            Change::Punch { .. } => 0,
        });
        ends.max().unwrap_or(0) + 1
    }

    pub fn judge(&self, read: &Read<'_>) -> Verdict {
        let none = Vec::new();
        let all = self.files.get(&read.file).unwrap_or(&none);
        let known: Vec<&Entry> = all.iter().filter(|entry| entry.begun <= read.ended).collect();
        let end = read.offset + read.bytes.len() as u64;
        let mut borders = BTreeSet::from([read.offset, end]);
        for entry in &known {
            let (from, to) = match entry.change {
                Change::Write { offset, length } | Change::Punch { offset, length } => {
                    (offset, offset + length)
                }
                Change::Cut { size } => (size, size),
            };
            borders.extend([from, to].into_iter().filter(|at| (read.offset..end).contains(at)));
        }
        let borders: Vec<u64> = borders.into_iter().collect();
        for pair in borders.windows(2) {
            let shown = &read.bytes[(pair[0] - read.offset) as usize..(pair[1] - read.offset) as usize];
            let segment = Segment::new(&known, pair[0], read);
            match segment.judge(shown) {
                Verdict::Right => {}
                wrong => return wrong,
            }
        }
        if (read.bytes.len() as u64) < read.wanted { ends(&known, end, read) } else { Verdict::Right }
    }
}

/// May the file end at `at`?
fn ends(known: &[&Entry], at: u64, read: &Read<'_>) -> Verdict {
    let longer = || known.iter().filter(|entry| entry.is_due_to(read) && entry.change.extends(at));
    let cuts = known.iter().filter(|entry| entry.change.ends(at));
    let still = |cut: &&Entry| !longer().any(|entry| cut.precedes(entry));
    match longer().next() {
        Some(entry) if !cuts.copied().any(|cut| still(&cut)) => Verdict::Stale(format!(
            "the file ends at offset {at}, and change {} of client-{}, acknowledged before, made it longer",
            entry.stamp,
            entry.client + 1
        )),
        _ => Verdict::Right,
    }
}

/// A write that may be seen, and by which change it is replaced for certain, if it is.
type Candidate<'a> = (&'a Entry, Option<&'a Entry>);

/// A run of bytes of which every change concerns all or nothing.
struct Segment<'a> {
    at: u64,
    writes: Vec<Candidate<'a>>,
    /// May there be nothing, which reads as zeros? Otherwise who wrote there.
    zeros: Result<(), Option<&'a Entry>>,
}

impl<'a> Segment<'a> {
    fn new(known: &[&'a Entry], at: u64, read: &Read<'_>) -> Self {
        let seen = |entry: &&&Entry| entry.is_due_to(read);
        let replaces: Vec<&Entry> = known
            .iter()
            .filter(seen)
            .filter(|entry| entry.change.covers(at) || entry.change.clears(at))
            .copied()
            .collect();
        let covering = known.iter().filter(|entry| entry.change.covers(at)).copied();
        let replaced = |write: &'a Entry| replaces.iter().find(|by| write.precedes(by)).copied();
        // The newest is the likeliest.
        let mut writes: Vec<_> = covering.map(|write| (write, replaced(write))).collect();
        writes.reverse();
        let over: Vec<&Entry> = replaces.iter().filter(|by| by.change.covers(at)).copied().collect();
        let cuts: Vec<&Entry> = known.iter().filter(|entry| entry.change.clears(at)).copied().collect();
        let empty = over.is_empty() || cuts.iter().any(|cut| !over.iter().any(|by| cut.precedes(by)));
        // The end of a long write may come after a cut that took its beginning away.
        let torn = |write: &Entry| cuts.iter().any(|cut| !cut.precedes(write) && !write.precedes(cut));
        // A hole takes bytes away, and no length.
        let punched = cuts.iter().any(|cut| cut.change.punches(at));
        let extends =
            |entry: &&Entry| entry.change.extends(at) && (!entry.change.covers(at) || punched || torn(entry));
        let inside = known.iter().any(extends);
        let zeros = if empty && inside { Ok(()) } else { Err(over.first().copied()) };
        Self { at, writes, zeros }
    }

    fn judge(&self, shown: &[u8]) -> Verdict {
        let zero = shown.iter().all(|byte| *byte == 0);
        if zero && self.zeros.is_ok() {
            return Verdict::Right;
        }
        let bytes: Vec<(Vec<u8>, &Candidate<'_>)> =
            self.writes.iter().map(|write| (bytes_of(write.0.stamp, self.at, shown.len()), write)).collect();
        if bytes.iter().any(|(bytes, (_, replaced))| replaced.is_none() && bytes == shown) {
            return Verdict::Right;
        }
        let whose = |place: usize| bytes.iter().filter(move |(bytes, _)| bytes[place] == shown[place]);
        for (place, byte) in shown.iter().enumerate() {
            let fine = whose(place).any(|(_, (_, replaced))| replaced.is_none());
            if fine || *byte == 0 && self.zeros.is_ok() {
                continue;
            }
            return self.wrong(place, shown, whose(place).map(|(_, write)| **write).next());
        }
        Verdict::Right
    }

    fn wrong(&self, place: usize, shown: &[u8], old: Option<Candidate<'_>>) -> Verdict {
        let at = self.at + place as u64;
        let run = &shown[place..shown.len().min(place + 8)];
        match (old, self.zeros) {
            (Some((write, Some(by))), _) => Verdict::Stale(format!(
                "at offset {at} is what change {} wrote, and change {} of client-{}, acknowledged before, replaced it",
                write.stamp,
                by.stamp,
                by.client + 1
            )),
            (_, Err(Some(by))) if run.iter().all(|byte| *byte == 0) => Verdict::Stale(format!(
                "at offset {at} are zeros, and change {} of client-{}, acknowledged before, wrote there",
                by.stamp,
                by.client + 1
            )),
            _ => Verdict::Foreign(format!("at offset {at} is {run:02x?}, which nobody wrote there")),
        }
    }
}

#[cfg(test)]
mod tests;
