//! What a mount knows of one open file: what is dirty, what is on its way and in which order, what
//! failed, how long the file is. Pure; the drivers beside it do what it says.
//!
//! ```text
//!   write -> dirty -> batch 5 \
//!                     batch 4  > parts are sent side by side, commits happen in this order
//!                     batch 3 /
//!            what is read: the committed bytes, over them batch 3, 4, 5, over them what is dirty
//! ```
//!
//! A batch takes all that is dirty, so that nothing is committed before what was written before it:
//! nobody sees a hole where there never was one.

use super::dirty::{Dirty, Run};
use super::error::FileError;
use super::map::Maps;
use super::service::Size;
use futures::channel::oneshot;
use mooseng_core::extent::{COMMIT_EXTENTS_MAX, COMMIT_SLICES_MAX};
use mooseng_core::time::WallTime;
use mooseng_core::{plant, probe};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// More runs than this do not wait for more: a batch of them fits a commit, cut at chunks or not.
pub(super) const RUNS_MAX: usize = 128;

/// What takes its turn among the changes of one file.
#[derive(Debug)]
struct Batch {
    number: u64,
    /// Nothing, for a change of the length.
    runs: Vec<Run>,
    bytes: usize,
}

/// The length that was committed last, as far as this mount knows, and the version that said so; also when
/// the file is open no more.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<Mutex<Size>>);

impl Known {
    fn new(size: Size) -> Self {
        Self(Arc::new(Mutex::new(size)))
    }

    pub(super) fn size(&self) -> Size {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, size: Size) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = size;
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    dirty: Dirty,
    batches: VecDeque<Batch>,
    batch_next: u64,
    known: Known,
    /// When the newest write was taken in.
    pub(super) written: WallTime,
    /// Grows with whatever makes maps, and what was read by them, void.
    pub(super) generation: u64,
    /// How often it was cut, here or elsewhere, as far as is known here.
    pub(super) cuts: u64,
    pub(super) maps: Maps,
    errors: u64,
    error_last: Option<FileError>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl State {
    pub(super) fn new(size: Size) -> Self {
        const { assert!(RUNS_MAX < COMMIT_SLICES_MAX && 2 * RUNS_MAX < COMMIT_EXTENTS_MAX) };
        Self { known: Known::new(size), ..Self::default() }
    }

    /// What is known of the file's length, which outlives this.
    pub(super) fn known(&self) -> Known {
        self.known.clone()
    }

    /// How long the file is to whoever looks through this mount.
    pub(super) fn size(&self) -> u64 {
        self.known.size().bytes.max(self.unwritten_end())
    }

    /// The same by an answer of the metadata service that is not taken in: others may have cut the file.
    pub(super) fn size_told(&self, told: Size) -> u64 {
        let known = self.known.size();
        let committed = if told.version >= known.version { told } else { known };
        let bytes = plant!("open-learns-what-is-shown-here", committed.bytes, told.bytes.max(known.bytes));
        bytes.max(self.unwritten_end())
    }

    /// When it was last written to, if not all of that is committed.
    pub(super) fn unwritten_since(&self) -> Option<WallTime> {
        (self.unwritten_bytes() > 0).then_some(self.written)
    }

    fn unwritten_end(&self) -> u64 {
        let on_its_way = self.batches.iter().filter_map(|batch| batch.runs.last()).map(Run::end).max();
        self.dirty.end().max(on_its_way.unwrap_or(0))
    }

    /// The metadata service said how long the file is.
    pub(super) fn learn(&mut self, size: Size) {
        let known = self.known.size();
        if size.version < known.version {
            return;
        }
        if size.version > known.version {
            plant!("open-keeps-old-map", self.void(), ());
        }
        let bytes = plant!("length-never-shrinks", size.bytes, size.bytes.max(known.bytes));
        self.cuts += u64::from(bytes < known.bytes);
        self.known.tell(Size { bytes, ..size });
    }

    /// What was known of the file's map is not true any more.
    pub(super) fn void(&mut self) {
        self.generation += 1;
        self.maps.forget();
    }

    /// Takes a write in. The bytes by which what is dirty grew.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> usize {
        let before = self.dirty.bytes();
        self.dirty.write(offset, bytes);
        self.dirty.bytes() - before
    }

    pub(super) fn dirty_bytes(&self) -> usize {
        self.dirty.bytes()
    }

    pub(super) fn dirty_runs(&self) -> usize {
        self.dirty.runs()
    }

    /// Bytes dirty and on their way.
    pub(super) fn unwritten_bytes(&self) -> usize {
        self.dirty.bytes() + self.batches.iter().map(|batch| batch.bytes).sum::<usize>()
    }

    pub(super) fn batches(&self) -> usize {
        self.batches.len()
    }

    /// What lies over the committed bytes in a range, the oldest first.
    pub(super) fn over(&self, from: u64, to: u64) -> Vec<Run> {
        let on_their_way = self.batches.iter().flat_map(|batch| &batch.runs);
        let mut runs: Vec<Run> = on_their_way.filter_map(|run| run.clipped(from, to)).collect();
        runs.extend(self.dirty.look(from, to));
        runs
    }

    /// All that is dirty goes on its way; `None` if nothing is.
    pub(super) fn depart(&mut self) -> Option<(u64, Vec<Run>)> {
        if self.dirty.is_empty() {
            return None;
        }
        let runs = self.dirty.take();
        Some((self.queue(runs.clone()), runs))
    }

    /// The file is to be cut (or lengthened): what is dirty behind its new end is not written, and
    /// the change takes its turn behind what is on its way. Gives the turn and the bytes dropped.
    pub(super) fn depart_truncation(&mut self, size: u64) -> (u64, usize) {
        self.cuts += 1;
        let before = self.dirty.bytes();
        plant!("cut-leaves-what-is-dirty", self.dirty.truncate(size), ());
        (self.queue(Vec::new()), before - self.dirty.bytes())
    }

    fn queue(&mut self, runs: Vec<Run>) -> u64 {
        let number = self.batch_next;
        self.batch_next += 1;
        let bytes = runs.iter().map(|run| run.bytes.len()).sum();
        self.batches.push_back(Batch { number, runs, bytes });
        number
    }

    /// May this one be committed now?
    pub(super) fn is_first(&self, number: u64) -> bool {
        self.batches.front().is_some_and(|first| first.number == number)
    }

    /// Is everything that departed before this one over?
    pub(super) fn is_over(&self, number: u64) -> bool {
        self.batches.front().is_none_or(|first| first.number >= number)
    }

    /// The number that the next batch will have: everything before it departed before now.
    pub(super) fn departed(&self) -> u64 {
        self.batch_next
    }

    /// The first batch is over; `error`: why its bytes are not written and never will be.
    pub(super) fn arrived(&mut self, number: u64, outcome: Result<Option<Size>, FileError>) {
        let first = self.batches.pop_front();
        assert_eq!(first.map(|first| first.number), Some(number), "batches end in their order");
        match outcome {
            Ok(Some(size)) => self.learn(size),
            Ok(None) => {}
            Err(error) => plant!("fsync-forgets-failed-flush", self.failed(error), drop(error)),
        }
        // Between here and there the map has changed, whatever the answer said.
        self.void();
        self.wake();
    }

    fn failed(&mut self, error: FileError) {
        probe!("write-back failed");
        self.errors += 1;
        self.error_last = Some(error);
    }

    /// How many failures there were: whoever opens the file now is not told of them.
    pub(super) fn errors(&self) -> u64 {
        self.errors
    }

    /// What failed since `seen`, if anything did.
    pub(super) fn error_since(&self, seen: u64) -> Result<(), FileError> {
        match &self.error_last {
            Some(error) if self.errors > seen => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Something changed that somebody may wait for.
    pub(super) fn wake(&mut self) {
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(());
        }
    }

    pub(super) fn wait(&mut self) -> oneshot::Receiver<()> {
        let (wake, turn) = oneshot::channel();
        self.waiting.retain(|waiting| !waiting.is_canceled());
        self.waiting.push(wake);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(bytes: u64, version: u64) -> Size {
        Size { bytes, version }
    }

    fn over(state: &State, from: u64, to: u64) -> Vec<u8> {
        let mut seen = vec![b'.'; (to - from) as usize];
        for run in state.over(from, to) {
            let at = (run.offset - from) as usize;
            seen[at..at + run.bytes.len()].copy_from_slice(&run.bytes);
        }
        seen
    }

    #[test]
    fn the_newest_write_is_seen_wherever_it_is() {
        let mut state = State::new(size(4, 1));
        state.write(2, b"aaaa");
        let (first, _) = state.depart().unwrap();
        state.write(4, b"bbbb");
        let (second, _) = state.depart().unwrap();
        state.write(7, b"c");
        assert_eq!((over(&state, 0, 10), state.size()), (b"..aabbbc..".to_vec(), 8));
        assert_eq!((over(&state, 5, 8), state.unwritten_bytes()), (b"bbc".to_vec(), 9));
        assert!(state.is_first(first) && !state.is_first(second));
        state.arrived(first, Ok(Some(size(6, 2))));
        assert_eq!((over(&state, 0, 10), state.size()), (b"....bbbc..".to_vec(), 8));
        assert!(state.is_over(second) && !state.is_over(state.departed()));
    }

    #[test]
    fn a_failure_is_told_to_whoever_was_there_and_again_and_again() {
        let mut state = State::new(size(0, 1));
        state.write(0, b"lost");
        let (number, _) = state.depart().unwrap();
        let opened_before = state.errors();
        state.arrived(number, Err(FileError::SessionLost));
        assert_eq!(state.error_since(opened_before), Err(FileError::SessionLost));
        assert_eq!(state.error_since(opened_before), Err(FileError::SessionLost));
        assert_eq!(state.error_since(state.errors()), Ok(()));
        assert_eq!((state.size(), over(&state, 0, 4)), (0, b"....".to_vec()));
    }

    #[test]
    fn a_cut_takes_its_turn_and_drops_what_is_dirty_behind_it() {
        let mut state = State::new(size(0, 1));
        state.write(0, b"0123456789");
        let (first, _) = state.depart().unwrap();
        state.write(8, b"xyz");
        let (cut, dropped) = state.depart_truncation(9);
        assert_eq!((dropped, state.is_first(cut)), (2, false));
        state.arrived(first, Ok(Some(size(10, 2))));
        assert!(state.is_first(cut));
        state.arrived(cut, Ok(Some(size(9, 3))));
        assert_eq!((state.size(), over(&state, 7, 12)), (9, b".x...".to_vec()));
    }

    #[test]
    fn an_old_answer_changes_nothing() {
        let mut state = State::new(size(100, 5));
        let generation = state.generation;
        state.learn(size(50, 4));
        assert_eq!((state.size(), state.generation), (100, generation));
        state.learn(size(120, 6));
        assert_eq!((state.size(), state.generation), (120, generation + 1));
    }

    #[test]
    fn who_asks_sees_what_others_cut_and_what_is_unwritten_here() {
        let mut state = State::new(size(100, 5));
        assert_eq!(
            (state.size_told(size(30, 6)), state.size_told(size(30, 4))),
            (30, 100),
            "old answers count for nothing"
        );
        state.write(40, b"dirty");
        assert_eq!((state.size_told(size(30, 6)), state.size()), (45, 100), "and nothing is taken in");
    }
}
