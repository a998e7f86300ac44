//! A directory as a listing shows it: `.` and `..` first, then what the service tells, page by page.
//! Pure.
//!
//! An offset says after which line to go on. The service's cookies fill 63 bits and are never 0:
//!
//! ```text
//! offset   0 | 1         | 2           | 3 …
//! after    - | `.`       | `..`        | the entry with the cookie (offset - 2)
//! ```

use bytes::Bytes;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{DirEntry, FileKind};
use std::collections::VecDeque;

const AFTER_SELF: u64 = 1;
const AFTER_PARENT: u64 = 2;

/// One line of a listing. `offset` continues after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub offset: u64,
    pub name: Bytes,
    pub inode: InodeId,
    pub kind: FileKind,
}

impl Line {
    /// `.` or `..`.
    pub(super) fn is_dot(&self) -> bool {
        self.offset <= AFTER_PARENT
    }
}

/// The cookie after which the service goes on for an offset; `None` while `.` or `..` are due.
fn cookie_after(offset: u64) -> Option<u64> {
    (offset >= AFTER_PARENT).then(|| offset - AFTER_PARENT)
}

fn offset_after(cookie: u64) -> u64 {
    // Cookies have 63 bits: there is room.
    cookie.saturating_add(AFTER_PARENT)
}

/// The last page of a listing that the service has told, and where it begins.
#[derive(Debug)]
pub(super) struct Listing {
    directory: InodeId,
    /// The cookie that the next of `entries` follows.
    at: u64,
    entries: VecDeque<DirEntry>,
    /// Nothing follows `entries`.
    end: bool,
}

/// What to do for a reader at an offset.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Show these.
    Lines(Vec<Line>),
    /// Ask the service for what follows this cookie, and come back.
    Fetch { cookie: u64 },
}

impl Listing {
    pub(super) fn new(directory: InodeId) -> Self {
        Self { directory, at: 0, entries: VecDeque::new(), end: false }
    }

    pub(super) fn directory(&self) -> InodeId {
        self.directory
    }

    /// What follows `offset`, at most `lines_max` lines of it; no line at all is the end.
    pub(super) fn step(&mut self, offset: u64, lines_max: usize) -> Step {
        let Some(cookie) = cookie_after(offset) else {
            // A listing that begins anew shows what is there now.
            *self = Self::new(self.directory);
            let dots = [(AFTER_SELF, &b"."[..]), (AFTER_PARENT, b"..")];
            let due = dots.into_iter().filter(|(after, _)| *after > offset);
            return Step::Lines(due.map(|(after, name)| self.dot(after, name)).collect());
        };
        while self.at != cookie
            && let Some(passed) = self.entries.pop_front()
        {
            self.at = passed.cookie;
        }
        if self.at == cookie && (self.end || !self.entries.is_empty()) {
            return Step::Lines(self.entries.iter().take(lines_max).map(line).collect());
        }
        Step::Fetch { cookie }
    }

    /// What the service told for `cookie`.
    pub(super) fn take(&mut self, cookie: u64, entries: Vec<DirEntry>, end: bool) {
        // A page that is empty and not the last would be asked for again and again.
        let end = end || entries.is_empty();
        *self = Self { directory: self.directory, at: cookie, entries: entries.into(), end };
    }

    /// The kernel knows who the parent is; no program relies on the number shown here.
    fn dot(&self, offset: u64, name: &'static [u8]) -> Line {
        Line { offset, name: Bytes::from_static(name), inode: self.directory, kind: FileKind::Directory }
    }
}

fn line(entry: &DirEntry) -> Line {
    Line {
        offset: offset_after(entry.cookie),
        name: entry.name.clone().into_bytes(),
        inode: entry.inode,
        kind: entry.kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::id::{IdKind, Slot};
    use mooseng_core::namespace::Name;

    const COOKIES: [u64; 5] = [1, 2, 7, 1 << 40, u64::MAX >> 1];

    /// A service that tells two entries at a time.
    fn page(cookie: u64) -> (Vec<DirEntry>, bool) {
        let inode = InodeId::new(0, IdKind::File, Slot::default(), 9).unwrap();
        let entry = |cookie: u64| DirEntry {
            cookie,
            name: Name::new(cookie.to_string()).unwrap(),
            inode,
            kind: FileKind::Regular,
        };
        let after = || COOKIES.into_iter().filter(|other| *other > cookie);
        (after().take(2).map(entry).collect(), after().count() <= 2)
    }

    fn names(listing: &mut Listing, mut offset: u64, lines_max: usize) -> Vec<String> {
        let mut names = Vec::new();
        loop {
            match listing.step(offset, lines_max) {
                Step::Lines(lines) if lines.is_empty() => return names,
                Step::Lines(lines) => {
                    offset = lines.last().unwrap().offset;
                    names.extend(lines.iter().map(|line| String::from_utf8_lossy(&line.name).into_owned()));
                }
                Step::Fetch { cookie } => {
                    let (entries, end) = page(cookie);
                    listing.take(cookie, entries, end);
                }
            }
        }
    }

    #[test]
    fn everything_is_shown_once_however_little_is_taken_at_a_time() {
        for lines_max in [1, 2, 3, 100] {
            let mut listing = Listing::new(InodeId::ROOT);
            let shown = names(&mut listing, 0, lines_max);
            let wanted: Vec<String> =
                [".", ".."].map(str::to_owned).into_iter().chain(COOKIES.map(|c| c.to_string())).collect();
            assert_eq!(shown, wanted, "{lines_max} at a time");
        }
    }

    #[test]
    fn a_listing_goes_on_from_any_offset_and_begins_anew() {
        let mut listing = Listing::new(InodeId::ROOT);
        let all = names(&mut listing, 0, 100);
        for (index, cookie) in COOKIES.into_iter().enumerate() {
            assert_eq!(names(&mut listing, offset_after(cookie), 2), all[index + 3..]);
        }
        assert_eq!(names(&mut listing, AFTER_SELF, 2), all[1..]);
        assert_eq!(names(&mut listing, AFTER_PARENT, 2), all[2..]);
        assert_eq!(names(&mut listing, 0, 2), all);
    }

    #[test]
    fn a_page_without_entries_is_the_end() {
        let mut listing = Listing::new(InodeId::ROOT);
        assert_eq!(listing.step(AFTER_PARENT, 9), Step::Fetch { cookie: 0 });
        listing.take(0, Vec::new(), false);
        assert_eq!(listing.step(AFTER_PARENT, 9), Step::Lines(Vec::new()));
    }
}
