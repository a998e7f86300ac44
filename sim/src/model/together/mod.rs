//! What several mounts of one file system show while only one of them does something at a time: what one
//! has done is seen by the next call of any other. The rules of names and attributes are the
//! [`Model`]'s; what is beside them here is what mounts add: bytes that are taken in and not yet
//! committed ([`lengths`], [`images`]), and listings that go on from call to call ([`listings`]).
//!
//! A change of names whose caller heard nothing leaves both possibilities ([`worlds`]), and a change of
//! bytes like that a file whose length, time and bytes are not predicted any more: what may be read of it then
//! [`super::contents`] knows.

mod images;
mod lengths;
mod listings;
mod worlds;

#[cfg(test)]
mod tests;

pub use images::Turn;
pub use lengths::Span;

use super::{Expected, Limits, Model};
use images::Images;
use lengths::Lengths;
use listings::Listings;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{
    Access, Answer, Attr, AttrChange, Caller, FileKind, Name, NewTime, Op, Outcome, Query, Refusal,
};
use worlds::{Names, Worlds};

/// See the module. Mounts are told apart by number.
pub struct Together {
    worlds: Worlds,
    lengths: Lengths,
    images: Images,
    listings: Listings,
}

/// The model knows no length of a file: lengths are kept here.
fn without_length(attr: &Attr) -> Attr {
    if attr.kind == FileKind::Regular { Attr { size: 0, blocks: 0, ..*attr } } else { *attr }
}

impl Together {
    pub fn new(limits: impl Into<Limits>) -> Self {
        let (lengths, images, listings) = (Lengths::default(), Images::default(), Listings::default());
        Self { worlds: Worlds::new(limits.into()), lengths, images, listings }
    }

    /// So much is in doubt that nothing is predicted any more.
    pub fn is_at_a_loss(&self) -> bool {
        self.worlds.is_at_a_loss()
    }

    /// A mount has begun anew: what an earlier one in its place had taken in may come to be or not.
    pub fn begins(&mut self, mount: usize) {
        for file in self.lengths.dies(mount) {
            self.images.doubt(file);
        }
        self.listings.forget(mount);
    }

    /// A change of names or attributes through a mount was answered.
    pub fn changed(&mut self, mount: usize, op: &Op, observed: &Outcome) -> Result<(), Expected> {
        let done = observed.is_ok();
        let told = self.without_size(op);
        if done {
            self.set_lengths(mount, op);
        }
        let observed = self.look_at(mount, observed)?;
        self.worlds.change(&told, &observed)?;
        self.listings.stir(&self.worlds);
        Ok(())
    }

    /// Nobody heard what became of a change: it may take effect at any time from now on, or never.
    pub fn in_doubt(&mut self, op: &Op) {
        if let Op::SetAttr { inode, change: AttrChange { size, mtime, .. } } = op
            && (size.is_some() || mtime.is_some())
        {
            self.bytes_in_doubt(*inode);
        }
        let told = self.without_size(op);
        self.worlds.doubt(&told);
        self.listings.stir(&self.worlds);
    }

    /// A question through a mount was answered.
    pub fn answered(&mut self, mount: usize, query: &Query, observed: &Outcome) -> Result<(), Expected> {
        // A line of a listing may be the first that is heard of what somebody made who had no answer.
        if self.worlds.may_be_made_in_doubt(query.inode()) {
            return Ok(());
        }
        let observed = self.look_at(mount, observed)?;
        self.worlds.ask(|model| model.answer(query, &observed))
    }

    /// A file or a directory was opened, or was not.
    pub fn opened(
        &mut self,
        inode: InodeId,
        access: Access,
        observed: Result<(), Refusal>,
    ) -> Result<(), Expected> {
        let query = Query::Access { inode, access };
        self.worlds.ask(|model| match observed {
            Err(reason) => model.answer(&query, &Err(reason)),
            Ok(()) => match model.refusals_of_query(&Caller::ROOT, &query) {
                reasons if reasons.is_empty() => Ok(()),
                reasons => Err(Expected::Refused(reasons)),
            },
        })
    }

    /// A write was taken in, at some time of this span by the mount's clock.
    pub fn wrote(&mut self, mount: usize, file: InodeId, offset: u64, bytes: &[u8], at: Span) {
        self.images.write(mount, file, self.lengths.is_alone(mount, file), offset, bytes);
        self.lengths.write(mount, file, offset + bytes.len() as u64, at);
    }

    /// A file was made so long.
    pub fn grown(&mut self, mount: usize, file: InodeId, size: u64) {
        self.cut(mount, file, size);
    }

    fn cut(&mut self, mount: usize, file: InodeId, size: u64) {
        self.images.cut(mount, file, self.lengths.is_alone(mount, file), size);
        self.lengths.cut(mount, file, size);
        self.worlds.bytes_move(file);
    }

    /// A range of a file reads as zeros now, and all that was written to it before is committed; its
    /// length is as it was.
    pub fn punched(&mut self, mount: usize, file: InodeId, offset: u64, length: u64) {
        self.settled(mount, file);
        self.images.punch(mount, file, self.lengths.is_alone(mount, file), offset, length);
        self.lengths.punch(mount, file);
    }

    /// All that a mount had taken in of a file is committed.
    pub fn settled(&mut self, mount: usize, file: InodeId) {
        if self.lengths.settle(mount, file) {
            self.images.touch(mount, file);
        }
        self.worlds.bytes_move(file);
    }

    /// Something that was asked of a file's bytes failed, or nobody heard how it went.
    pub fn bytes_in_doubt(&mut self, file: InodeId) {
        self.lengths.doubt(file);
        self.images.doubt(file);
    }

    /// Whoever opens a file now sees what was committed before.
    pub fn turn(&self) -> Turn {
        self.images.turn()
    }

    /// A read through what a mount opened at `opened` gave these bytes, fewer than were `wanted` only where
    /// the file ends.
    pub fn read(
        &mut self,
        mount: usize,
        file: InodeId,
        opened: Turn,
        (offset, wanted): (u64, u64),
        bytes: &[u8],
    ) -> Result<(), Expected> {
        if self.lengths.is_doubtful(file) || !self.lengths.is_alone(mount, file) {
            return Ok(());
        }
        let settled = !self.lengths.is_moving(file);
        let read = self.images.read((mount, file, opened), settled, (offset, wanted), bytes);
        read.map_err(Expected::Shown)
    }

    /// Data, or a hole, was looked for from an offset on, behind all that the mount has written.
    pub fn sought(
        &mut self,
        mount: usize,
        file: InodeId,
        from: u64,
        hole: bool,
        found: Option<u64>,
    ) -> Result<(), Expected> {
        self.settled(mount, file);
        if self.lengths.is_moving(file) {
            return Ok(());
        }
        self.images.sought(file, from, hole, found).map_err(Expected::Shown)
    }

    /// A directory was opened by a mount, under this handle.
    pub fn listing_begins(&mut self, listing: (usize, u64), directory: InodeId) {
        self.listings.begin(listing, directory, &self.worlds);
    }

    /// The next lines of a listing, without `.` and `..`; none at all is the end.
    pub fn listed(&mut self, listing: (usize, u64), lines: &[(Name, InodeId)]) -> Result<(), Expected> {
        self.listings.lines(listing, lines)
    }

    /// A listing is given up.
    pub fn listing_ends(&mut self, listing: (usize, u64)) {
        self.listings.end(listing);
    }

    /// Is it something that has bytes?
    pub fn is_file(&self, inode: InodeId) -> bool {
        self.worlds.kind_of(inode) == Some(FileKind::Regular)
    }

    fn set_lengths(&mut self, mount: usize, op: &Op) {
        let Op::SetAttr { inode, change } = op else { return };
        if !self.is_file(*inode) {
            return;
        }
        if let Some(size) = change.size {
            self.cut(mount, *inode, size);
        }
        match change.mtime {
            Some(NewTime::At(time)) => self.lengths.set_time(mount, *inode, Some(time)),
            Some(NewTime::Now) => self.lengths.set_time(mount, *inode, None),
            None => {}
        }
        if change.mtime.is_some() {
            // What was written before is committed first.
            self.worlds.bytes_move(*inode);
        }
    }

    fn without_size(&self, op: &Op) -> Op {
        match op {
            Op::SetAttr { inode, change } if self.is_file(*inode) => {
                Op::SetAttr { inode: *inode, change: AttrChange { size: None, ..*change } }
            }
            op => op.clone(),
        }
    }

    /// Judges the length and the time that a mount shows; gives what is left for the model.
    fn look_at(&mut self, mount: usize, observed: &Outcome) -> Result<Outcome, Expected> {
        let Ok(Answer::Attr(attr)) = observed else { return Ok(observed.clone()) };
        if attr.kind == FileKind::Regular {
            if self.lengths.is_moving(attr.inode) {
                self.worlds.bytes_move(attr.inode);
            }
            self.lengths.show(mount, attr).map_err(Expected::Shown)?;
        }
        Ok(Ok(Answer::Attr(without_length(attr))))
    }
}

impl Model {
    /// The bytes of a file may have changed since it was last shown: its version and times with them.
    fn bytes_move(&mut self, file: InodeId) {
        if let Some(node) = self.find(file) {
            self.node(node).shown.forget();
        }
    }

    fn kind_of(&self, inode: InodeId) -> Option<FileKind> {
        self.find(inode).map(|node| self.nodes[&node].kind)
    }

    fn is_unknown(&self, inode: InodeId) -> bool {
        !self.ids.contains_key(&inode)
    }

    /// Is there something of which nobody has seen yet which inode it is?
    fn has_unshown(&self) -> bool {
        self.nodes.values().any(|node| node.id.is_none())
    }

    /// The names in a directory, and what they stand for as far as that was shown.
    fn names_in(&self, directory: InodeId) -> Option<Names> {
        let entries = &self.nodes[&self.find(directory)?].entries;
        Some(entries.iter().map(|(name, entry)| (name.clone(), self.nodes[&entry.child].id)).collect())
    }
}
