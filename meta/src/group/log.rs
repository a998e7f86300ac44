//! The log of one replica in memory: what the journal holds of it, or is about to. raft-rs reads
//! it; only [`super::replica::Replica`] and recovery write it.
//!
//! ```text
//!   durable state            entries
//!  |=============S|--------------------------------------|
//!           |base |  ...                            last |
//! ```
//!
//! `base` is the last entry that is not here any more, `S` the one the newest durable snapshot
//! ends with: `base <= S`. It knows no file and no journal.

use super::members::Members;
use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

/// A durable snapshot as other replicas are told of it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Offer {
    pub index: u64,
    pub term: u64,
    pub conf_state: ConfState,
    /// What the receiver needs to fetch and check it.
    pub manifest: Bytes,
}

#[derive(Debug, Default)]
pub struct Log {
    base: (u64, u64),
    entries: VecDeque<Entry>,
    hard_state: HardState,
    conf_state: ConfState,
    offer: Option<Offer>,
    /// raft-rs asked for a snapshot that there is not.
    wanted: AtomicBool,
}

impl Log {
    pub fn new(base: (u64, u64), hard_state: HardState, members: &Members) -> Self {
        Self { base, hard_state, conf_state: members.conf_state(), ..Self::default() }
    }

    pub fn base(&self) -> u64 {
        self.base.0
    }

    pub fn last(&self) -> u64 {
        self.base.0 + self.entries.len() as u64
    }

    pub fn last_term(&self) -> u64 {
        self.entries.back().map_or(self.base.1, |entry| entry.term)
    }

    pub fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    pub fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    pub fn set_conf_state(&mut self, conf_state: ConfState) {
        self.conf_state = conf_state;
    }

    pub fn conf_state(&self) -> &ConfState {
        &self.conf_state
    }

    pub fn term_of(&self, index: u64) -> Option<u64> {
        if index == self.base.0 {
            return Some(self.base.1);
        }
        let offset = index.checked_sub(self.base.0 + 1)?;
        self.entries.get(offset as usize).map(|entry| entry.term)
    }

    /// Appends entries, which follow one another, in the place of any that stand there.
    pub fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first() else { return };
        assert!(first.index > self.base.0, "entry {} lies in the snapshot {:?}", first.index, self.base);
        assert!(first.index <= self.last() + 1, "entry {} leaves a gap after {}", first.index, self.last());
        self.entries.truncate((first.index - self.base.0 - 1) as usize);
        self.entries.extend(entries);
    }

    /// A snapshot that ends with (index, term) stands in the place of all entries up to it. What
    /// follows is kept only if this log held that very entry.
    pub fn install(&mut self, index: u64, term: u64) {
        if self.term_of(index) == Some(term) {
            self.compact(index);
            return;
        }
        self.entries.clear();
        self.base = (index, term);
    }

    /// Forgets entries up to `index`, which is one of them.
    pub fn compact(&mut self, index: u64) {
        if index <= self.base.0 {
            return;
        }
        let term = self.term_of(index).expect("only entries that are here are forgotten");
        self.entries.drain(..(index - self.base.0) as usize);
        self.base = (index, term);
    }

    pub fn offer(&mut self, offer: Offer) {
        self.offer = Some(offer);
    }

    pub fn offered(&self) -> Option<&Offer> {
        self.offer.as_ref()
    }

    /// Did raft-rs ask for a snapshot that there was not, since the last time somebody asked this?
    pub fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::Relaxed)
    }
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.conf_state.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 || low > high {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let bytes_max = max_size.into().unwrap_or(u64::MAX);
        let (start, end) = ((low - self.base.0 - 1) as usize, (high - self.base.0 - 1) as usize);
        let mut bytes = 0_u64;
        let mut taken = Vec::with_capacity((end - start).min(64));
        for entry in self.entries.range(start..end) {
            bytes += entry_bytes(entry);
            if bytes > bytes_max && !taken.is_empty() {
                break;
            }
            taken.push(entry.clone());
        }
        Ok(taken)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        match self.term_of(index) {
            Some(term) => Ok(term),
            None if index < self.base.0 => Err(Error::Store(StorageError::Compacted)),
            None => Err(Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        // Whoever joined later than the snapshot was taken cannot find itself in it.
        let usable =
            |offer: &&Offer| offer.index >= request_index.max(self.base.0) && names(&offer.conf_state, to);
        let Some(offer) = self.offer.as_ref().filter(usable) else {
            self.wanted.store(true, Ordering::Relaxed);
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        };
        let mut snapshot = Snapshot::default();
        snapshot.set_data(offer.manifest.clone());
        let metadata = snapshot.mut_metadata();
        metadata.set_index(offer.index);
        metadata.set_term(offer.term);
        metadata.set_conf_state(offer.conf_state.clone());
        Ok(snapshot)
    }
}

/// Is the replica a member of this configuration?
pub fn names(conf: &ConfState, replica: u64) -> bool {
    [conf.get_voters(), conf.get_learners(), conf.get_voters_outgoing()]
        .iter()
        .any(|list| list.contains(&replica))
}

/// What an entry costs in a message, closely.
pub fn entry_bytes(entry: &Entry) -> u64 {
    (entry.data.len() + entry.context.len() + 16) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, term: u64) -> Entry {
        let mut entry = Entry::default();
        entry.set_index(index);
        entry.set_term(term);
        entry
    }

    fn log() -> Log {
        let mut log = Log::new((1, 1), HardState::default(), &Members::default());
        log.append((2..=6).map(|index| entry(index, 2)).collect());
        log
    }

    #[test]
    fn new_entries_take_the_place_of_old_ones() {
        let mut log = log();
        log.append(vec![entry(4, 3)]);
        assert_eq!((log.last(), log.last_term(), log.term_of(3)), (4, 3, Some(2)));
    }

    #[test]
    fn an_installed_snapshot_keeps_only_what_continues_it() {
        let mut same = log();
        same.install(4, 2);
        assert_eq!((same.base(), same.last()), (4, 6));
        let mut other = log();
        other.install(4, 3);
        assert_eq!((other.base(), other.last(), other.last_term()), (4, 4, 3));
        let mut beyond = log();
        beyond.install(90, 2);
        assert_eq!((beyond.base(), beyond.last()), (90, 90));
    }

    #[test]
    fn what_is_asked_for_in_vain_is_remembered_once() {
        let mut log = log();
        assert!(log.snapshot(0, 2).is_err());
        assert!(log.take_wanted() && !log.take_wanted());
        let mut conf_state = ConfState::default();
        conf_state.set_voters(vec![2]);
        log.offer(Offer { index: 3, term: 2, conf_state, manifest: Bytes::new() });
        assert!(log.snapshot(0, 3).is_err(), "a snapshot from before it joined");
        assert_eq!(log.snapshot(0, 2).unwrap().get_metadata().get_index(), 3);
        log.compact(4);
        assert!(log.snapshot(0, 2).is_err(), "a snapshot older than the log leaves a gap");
    }
}
