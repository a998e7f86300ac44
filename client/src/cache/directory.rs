//! What is known of the entries of one directory: names that are there, names that are not, and how far
//! its listing goes. Knows nothing of leases: whoever keeps it sees to it that nothing has changed.

use mooseng_core::id::InodeId;
use mooseng_core::namespace::{DirEntry, FileKind, Name};
use std::collections::BTreeMap;
use std::ops::Bound;

/// What an entry costs beside its name, in bytes, in each of the two tables.
const ENTRY_BYTES: usize = 120;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    There(InodeId),
    Absent,
    Unknown,
}

#[derive(Debug, Default)]
pub(super) struct Directory {
    names: BTreeMap<Name, Found>,
    /// What `names` does not have is not there.
    names_whole: bool,
    /// By cookie, without a gap up to `listed_to`.
    listing: BTreeMap<u64, (Name, InodeId, FileKind)>,
    listed_to: u64,
    /// Nothing follows `listed_to`.
    listing_whole: bool,
    bytes: usize,
}

impl Directory {
    /// One that was just made.
    pub(super) fn empty() -> Self {
        Self { names_whole: true, listing_whole: true, ..Self::default() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn find(&self, name: &Name) -> Found {
        match self.names.get(name) {
            Some(found) => *found,
            None if self.names_whole => Found::Absent,
            None => Found::Unknown,
        }
    }

    pub(super) fn learn(&mut self, name: &Name, leads_to: Option<InodeId>) {
        self.set(name, leads_to.map_or(Found::Absent, Found::There));
    }

    /// Where a name leads is about to change, and with it what is listed.
    pub(super) fn doubt(&mut self, name: &Name) {
        if self.names_whole || self.names.contains_key(name) {
            self.set(name, Found::Unknown);
        }
        self.bytes -= self.listing.len() * ENTRY_BYTES;
        self.listing.clear();
        (self.listed_to, self.listing_whole) = (0, false);
    }

    fn set(&mut self, name: &Name, found: Found) {
        if self.names.insert(name.clone(), found).is_none() {
            self.bytes += ENTRY_BYTES + name.as_bytes().len();
        }
    }

    /// A page of the listing: what follows `cookie`.
    pub(super) fn learn_page(&mut self, cookie: u64, entries: &[DirEntry], end: bool) {
        for entry in entries {
            self.learn(&entry.name, Some(entry.inode));
        }
        // What lies behind a gap is asked for again when the gap is closed.
        if cookie > self.listed_to || self.listing_whole {
            return;
        }
        for entry in entries {
            let line = (entry.name.clone(), entry.inode, entry.kind);
            if self.listing.insert(entry.cookie, line).is_none() {
                self.bytes += ENTRY_BYTES;
            }
            self.listed_to = self.listed_to.max(entry.cookie);
        }
        self.listing_whole = end;
        self.names_whole |= end;
    }

    /// What follows `cookie`, at most `limit` entries, and whether that is the end; `None` if it is not
    /// known.
    pub(super) fn page(&self, cookie: u64, limit: usize) -> Option<(Vec<DirEntry>, bool)> {
        let mut left = self.listing.range((Bound::Excluded(cookie), Bound::Unbounded));
        let entries: Vec<DirEntry> = left
            .by_ref()
            .take(limit)
            .map(|(cookie, (name, inode, kind))| DirEntry {
                cookie: *cookie,
                name: name.clone(),
                inode: *inode,
                kind: *kind,
            })
            .collect();
        let end = self.listing_whole && left.next().is_none();
        (end || !entries.is_empty()).then_some((entries, end))
    }
}
