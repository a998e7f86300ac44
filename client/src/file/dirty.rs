//! What was written to a file and is not on its way yet. Pure: runs of bytes by offset, none over
//! another; a write that goes on where one ended makes it longer.

use bytes::Bytes;
use std::collections::BTreeMap;

/// A run of a file's bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub(super) offset: u64,
    pub(super) bytes: Bytes,
}

impl Run {
    pub(super) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// The part of it that lies in a range, if any does.
    pub(super) fn clipped(&self, from: u64, to: u64) -> Option<Self> {
        let (start, end) = (self.offset.max(from), self.end().min(to));
        let inside = |at: u64| (at - self.offset) as usize;
        (start < end).then(|| Run { offset: start, bytes: self.bytes.slice(inside(start)..inside(end)) })
    }
}

#[derive(Debug, Default)]
pub(super) struct Dirty {
    runs: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
}

impl Dirty {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Where the last run ends.
    pub(super) fn end(&self) -> u64 {
        self.runs.last_key_value().map_or(0, |(offset, run)| offset + run.len() as u64)
    }

    /// Lays bytes over what is there.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        if bytes.is_empty() {
            return;
        }
        if let Some((start, run)) = self.runs.range_mut(..=offset).next_back() {
            let inside = (offset - start) as usize;
            if inside <= run.len() {
                let over = bytes.len().min(run.len() - inside);
                run[inside..inside + over].copy_from_slice(&bytes[..over]);
                if over < bytes.len() {
                    let start = *start;
                    self.cut(offset + over as u64, end);
                    self.grow(start, &bytes[over..]);
                }
                return;
            }
        }
        self.cut(offset, end);
        self.bytes += bytes.len();
        self.runs.insert(offset, bytes.to_vec());
    }

    fn grow(&mut self, start: u64, bytes: &[u8]) {
        if let Some(run) = self.runs.get_mut(&start) {
            run.extend_from_slice(bytes);
            self.bytes += bytes.len();
        }
    }

    /// Forgets what lies in a range.
    fn cut(&mut self, from: u64, to: u64) {
        if let Some((start, run)) = self.runs.range_mut(..from).next_back() {
            let (start, end) = (*start, *start + run.len() as u64);
            if end > from {
                let tail = run.split_off((from - start) as usize);
                self.bytes -= tail.len();
                if end > to {
                    let rest = tail[(to - from) as usize..].to_vec();
                    self.bytes += rest.len();
                    self.runs.insert(to, rest);
                }
            }
        }
        while let Some((start, _)) = self.runs.range(from..to).next() {
            let start = *start;
            let Some(mut run) = self.runs.remove(&start) else { return };
            self.bytes -= run.len();
            if start + run.len() as u64 > to {
                let rest = run.split_off((to - start) as usize);
                self.bytes += rest.len();
                self.runs.insert(to, rest);
            }
        }
    }

    /// Forgets what lies behind a new end of the file.
    pub(super) fn truncate(&mut self, size: u64) {
        self.cut(size, u64::MAX);
    }

    /// Copies of what lies in a range.
    pub(super) fn look(&self, from: u64, to: u64) -> Vec<Run> {
        let before = self.runs.range(..from).next_back();
        let copy = |(start, run): (&u64, &Vec<u8>)| {
            let end = start + run.len() as u64;
            let (first, last) = ((*start).max(from), end.min(to));
            let inside = |at: u64| (at - start) as usize;
            (first < last).then(|| Run {
                offset: first,
                bytes: Bytes::copy_from_slice(&run[inside(first)..inside(last)]),
            })
        };
        before.into_iter().chain(self.runs.range(from..to)).filter_map(copy).collect()
    }

    /// Takes everything, in the order of offsets.
    pub(super) fn take(&mut self) -> Vec<Run> {
        self.bytes = 0;
        let runs = std::mem::take(&mut self.runs);
        runs.into_iter().map(|(offset, bytes)| Run { offset, bytes: bytes.into() }).collect()
    }
}

/// The parts of `from..to` that no run covers, in order.
pub(super) fn gaps(from: u64, to: u64, runs: &[Run]) -> Vec<(u64, u64)> {
    let mut covered: Vec<(u64, u64)> = runs.iter().map(|run| (run.offset, run.end())).collect();
    covered.sort_unstable();
    let mut gaps = Vec::new();
    let mut at = from;
    for (start, end) in covered {
        if start.min(to) > at {
            gaps.push((at, start.min(to)));
        }
        at = at.max(end);
    }
    if at < to {
        gaps.push((at, to));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::chance::{Dice, stream};

    /// Against a plain array of bytes that may be unknown.
    #[test]
    fn it_holds_what_was_written_last() {
        for seed in 0..200 {
            let mut dice = stream(seed, "dirty", 0, 0);
            let mut dirty = Dirty::default();
            let mut plain: [Option<u8>; 200] = [None; 200];
            for step in 0..60 {
                let offset = dice.below(190) as usize;
                let length = dice.between(0, 40).min(200 - offset as u64) as usize;
                match dice.below(12) {
                    0 => {
                        dirty.truncate(offset as u64);
                        plain[offset..].fill(None);
                    }
                    _ => {
                        dirty.write(offset as u64, &vec![step; length]);
                        plain[offset..offset + length].fill(Some(step));
                    }
                }
                assert_eq!(dirty.bytes(), plain.iter().flatten().count());
                let end = plain.iter().rposition(Option::is_some).map_or(0, |last| last as u64 + 1);
                assert_eq!(dirty.end(), end);
                let (from, to) = (dice.below(100), dice.between(100, 200));
                let mut seen = [None; 200];
                let runs = dirty.look(from, to);
                for run in &runs {
                    for (at, byte) in (run.offset as usize..).zip(run.bytes.iter()) {
                        assert_eq!(seen[at], None, "runs lie apart");
                        seen[at] = Some(*byte);
                    }
                }
                let (from, to) = (from as usize, to as usize);
                assert_eq!(seen[from..to], plain[from..to]);
                let holes = gaps(from as u64, to as u64, &runs);
                let in_holes: u64 = holes.iter().map(|(from, to)| to - from).sum();
                assert_eq!(in_holes as usize, plain[from..to].iter().filter(|byte| byte.is_none()).count());
            }
            let taken: usize = dirty.take().iter().map(|run| run.bytes.len()).sum();
            assert_eq!(taken, plain.iter().flatten().count());
            assert!(dirty.is_empty() && dirty.bytes() == 0);
        }
    }

    #[test]
    fn writing_on_and_on_makes_one_run() {
        let mut dirty = Dirty::default();
        (0..100u64).for_each(|step| dirty.write(step * 4_096, &[7; 4_096]));
        assert_eq!((dirty.runs(), dirty.bytes()), (1, 409_600));
    }
}
