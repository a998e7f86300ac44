//! What happened in a run, in order, and a hash of it: two runs that did the same have the same.

use blake3::Hasher;
use mooseng_core::event::Event;
use std::fmt;
use std::time::Duration;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub at: Duration,
    pub host: String,
    pub event: Event,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.at.as_secs(), self.at.subsec_micros());
        write!(f, "+{seconds}.{micros:06}s {:<9} {:?}", self.host, self.event)
    }
}

#[derive(Default)]
pub struct Trail {
    entries: Vec<Entry>,
    hasher: Hasher,
}

impl Trail {
    pub(crate) fn add(&mut self, at: Duration, host: &str, event: Event) {
        self.hasher.update(&at.as_nanos().to_le_bytes()).update(host.as_bytes());
        self.hasher.update(format!("{event:?}\n").as_bytes());
        self.entries.push(Entry { at, host: host.to_owned(), event });
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The last of the entries, `most` at most.
    pub(crate) fn last(&self, most: usize) -> &[Entry] {
        &self.entries[self.entries.len().saturating_sub(most)..]
    }

    pub fn hash(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}
