//! Which files' bytes somebody who caches them, as a kernel does, may go on with when a file is opened
//! again: those of the version that is there now. Pure.
//!
//! What is read after an open is of its version or a later one. What was asked for before may be older, and
//! arrive after: while something is on its way nothing is known of what is cached. A change of our own takes
//! the bytes with it from one version to the next.

use mooseng_core::id::InodeId;
use mooseng_core::plant;
use std::collections::BTreeMap;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Page {
    /// What is cached is of this version, or newer; `None` if that is not sure.
    version: Option<u64>,
    /// How many reads are on their way.
    reads: u32,
}

#[derive(Debug)]
pub(super) struct Pages {
    files: BTreeMap<InodeId, Page>,
    files_max: usize,
}

impl Pages {
    pub(super) fn new(files_max: usize) -> Self {
        Self { files: BTreeMap::new(), files_max }
    }

    /// A file is opened that has this version. May what is cached of it be used? If not, it is dropped.
    pub(super) fn opened(&mut self, inode: InodeId, version: u64) -> bool {
        let Some(page) = self.page(inode) else { return false };
        let keep =
            plant!("pages-outlive-their-version", page.version == Some(version), page.version.is_some());
        if !keep {
            page.version = (page.reads == 0).then_some(version);
        }
        keep
    }

    fn page(&mut self, inode: InodeId) -> Option<&mut Page> {
        if self.files.len() >= self.files_max && !self.files.contains_key(&inode) {
            let unused = self.files.iter().find(|(_, page)| page.reads == 0).map(|(inode, _)| *inode);
            self.files.remove(&unused?);
        }
        Some(self.files.entry(inode).or_insert(Page { version: None, reads: 0 }))
    }

    pub(super) fn read_begins(&mut self, inode: InodeId) {
        if let Some(page) = self.files.get_mut(&inode) {
            page.reads += 1;
        }
    }

    pub(super) fn read_ends(&mut self, inode: InodeId) {
        if let Some(page) = self.files.get_mut(&inode) {
            page.reads = page.reads.saturating_sub(1);
        }
    }

    /// A change of our own was answered: it made this version.
    pub(super) fn changed(&mut self, inode: InodeId, version: u64) {
        if let Some(page) = self.files.get_mut(&inode)
            && page.version.is_some_and(|before| before + 1 == version)
        {
            page.version = Some(version);
        }
    }

    /// What was written there may not be what is there.
    pub(super) fn doubt(&mut self, inode: InodeId) {
        if let Some(page) = self.files.get_mut(&inode) {
            page.version = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inode(raw: u64) -> InodeId {
        InodeId::from_raw(raw).unwrap()
    }

    #[test]
    fn what_is_cached_is_used_as_long_as_nobody_else_changes_the_file() {
        let (mut pages, file) = (Pages::new(9), inode(1));
        assert!(!pages.opened(file, 5), "nothing is known");
        assert!(pages.opened(file, 5));
        pages.changed(file, 6);
        assert!(pages.opened(file, 6), "it was changed here");
        pages.changed(file, 8);
        assert!(!pages.opened(file, 8), "somebody else was in between");
        assert!(pages.opened(file, 8));
        pages.doubt(file);
        assert!(!pages.opened(file, 8), "what was written is not there");
    }

    #[test]
    fn the_planted_bug_shows() {
        let bytes_of_another_version_are_kept = || {
            let mut pages = Pages::new(9);
            pages.opened(inode(1), 5);
            pages.opened(inode(1), 6)
        };
        assert!(!bytes_of_another_version_are_kept());
        mooseng_core::plant::activate(Some("pages-outlive-their-version"));
        let kept = bytes_of_another_version_are_kept();
        mooseng_core::plant::activate(None);
        assert!(kept, "it goes unseen");
    }

    #[test]
    fn a_read_of_before_makes_what_is_cached_unsure() {
        let (mut pages, file) = (Pages::new(9), inode(1));
        pages.opened(file, 5);
        pages.read_begins(file);
        assert!(pages.opened(file, 5), "it is of this version or a later one");
        assert!(!pages.opened(file, 6));
        pages.read_ends(file);
        assert!(!pages.opened(file, 6), "it may have arrived since");
        assert!(pages.opened(file, 6));
    }

    #[test]
    fn so_many_files_are_remembered() {
        let mut pages = Pages::new(2);
        (1..9).for_each(|raw| assert!(!pages.opened(inode(raw), 1)));
        assert!(pages.opened(inode(8), 1));
        assert_eq!(pages.files.len(), 2);
    }
}
