//! The state of one shard: its part of the namespace, its sessions with the answers their retries
//! need, and the counters that ids come from. A value: cloned in no time, compared by its hash.
//!
//! It holds and finds things; the rules of what may change how are in `apply`. It knows no clock,
//! no dice, no network and no disk.

mod check;
mod chunk_server;
mod config;
mod data;
mod digest;
mod entry;
mod extent;
mod inode;
mod orphan;
mod record;
mod session;
mod slice;
mod table;
mod target;
mod xattr;

#[cfg(test)]
mod tests;

pub use check::check;
pub use chunk_server::{ChunkServer, PLACE_BYTES_MAX};
pub use config::StateConfig;
pub use data::SliceState;
pub(crate) use entry::{Entry, EntryKey, Place};
pub(crate) use extent::{Extent, ExtentKey};
pub(crate) use inode::{Inode, MODE_MASK};
pub(crate) use orphan::Orphan;
pub(crate) use record::{Reader, Record, Sink};
pub use session::Nonce;
pub(crate) use session::{Allotted, AnswerKey, Caches, Counter, Kept, Recorded, Session};
pub(crate) use slice::{Condemned, Live, Pending, Servers, SliceCounter};
pub(crate) use table::Table;
pub(crate) use target::Says;
pub(crate) use xattr::{Xattr, XattrKey};

use crate::tree::Tree;
use digest::Digest;
use mooseng_core::id::{IdKind, InodeId, ReplicaId, ServerId, SessionId, SliceId, Slot};
use mooseng_core::namespace::{Attr, FileKind, Name, Refusal};
use mooseng_core::time::Stamp;
use mooseng_core::{plant, probe};

/// How many tables a state has.
const TABLES: usize = 16;

/// Everything a replica of a shard knows, save what Raft itself keeps.
#[derive(Clone)]
pub struct State {
    pub(crate) config: StateConfig,
    pub(crate) inodes: Table<Inode>,
    pub(crate) entries: Table<Entry>,
    /// The next counter of every slot that has allotted an id.
    pub(crate) counters: Table<Counter>,
    pub(crate) sessions: Table<Session>,
    /// Those of them that keep answers.
    pub(crate) caching: Table<Caches>,
    pub(crate) answers: Table<Recorded>,
    pub(crate) replicas: Table<Allotted>,
    pub(crate) extents: Table<Extent>,
    pub(crate) live: Table<Live>,
    pub(crate) pending: Table<Pending>,
    pub(crate) condemned: Table<Condemned>,
    /// The next counter of every slot that has granted slices.
    pub(crate) slice_counters: Table<SliceCounter>,
    pub(crate) chunk_servers: Table<ChunkServer>,
    /// Pending slices by their session: derived, as the nonces are.
    pub(crate) pending_of: Tree<(SessionId, SliceId), ()>,
    /// What symbolic links say.
    pub(crate) targets: Table<Says>,
    pub(crate) orphans: Table<Orphan>,
    pub(crate) xattrs: Table<Xattr>,
    /// Sessions by their nonce: derived, so neither hashed nor in an image.
    pub(crate) nonces: Tree<Nonce, SessionId>,
    pub(crate) marks: Marks,
}

/// The few numbers of a state that stand alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Marks {
    /// The index of the last command applied.
    pub(crate) applied: u64,
    /// The greatest stamp of a command.
    pub(crate) stamp: Stamp,
    pub(crate) next_session: u64,
    pub(crate) next_replica: u64,
}

impl State {
    /// A namespace of one empty root directory.
    pub fn new(config: StateConfig) -> Self {
        assert_eq!(config.check(), Ok(()));
        let marks = Marks {
            applied: 0,
            stamp: Stamp::default(),
            next_session: 1,
            next_replica: config.first_replica,
        };
        let mut state = Self::empty(config, marks);
        state.inodes.insert(InodeId::ROOT, Inode::root());
        state
    }

    /// Not even a root: what an image is restored into.
    pub(crate) fn empty(config: StateConfig, marks: Marks) -> Self {
        Self {
            config,
            inodes: Table::default(),
            entries: Table::default(),
            counters: Table::default(),
            sessions: Table::default(),
            caching: Table::default(),
            answers: Table::default(),
            replicas: Table::default(),
            extents: Table::default(),
            live: Table::default(),
            pending: Table::default(),
            condemned: Table::default(),
            slice_counters: Table::default(),
            chunk_servers: Table::default(),
            pending_of: Tree::default(),
            targets: Table::default(),
            orphans: Table::default(),
            xattrs: Table::default(),
            nonces: Tree::default(),
            marks,
        }
    }

    pub fn config(&self) -> &StateConfig {
        &self.config
    }

    /// The index of the last command that was applied.
    pub fn applied(&self) -> u64 {
        self.marks.applied
    }

    /// The greatest stamp of the commands applied: a new leader's clock must witness it.
    pub fn stamp(&self) -> Stamp {
        self.marks.stamp
    }

    /// Equal states have equal hashes, whatever way they came about; it is kept as they change.
    pub fn hash(&self) -> u128 {
        let tables = [
            self.inodes.sum(),
            self.entries.sum(),
            self.counters.sum(),
            self.sessions.sum(),
            self.answers.sum(),
            self.replicas.sum(),
            self.extents.sum(),
            self.live.sum(),
            self.pending.sum(),
            self.condemned.sum(),
            self.slice_counters.sum(),
            self.chunk_servers.sum(),
            self.targets.sum(),
            self.orphans.sum(),
            self.xattrs.sum(),
            self.caching.sum(),
        ];
        self.hash_with(tables)
    }

    /// The hash computed anew from every record, to be compared with the one that was kept.
    pub fn hash_from_scratch(&self) -> u128 {
        let tables = [
            self.inodes.sum_from_scratch(),
            self.entries.sum_from_scratch(),
            self.counters.sum_from_scratch(),
            self.sessions.sum_from_scratch(),
            self.answers.sum_from_scratch(),
            self.replicas.sum_from_scratch(),
            self.extents.sum_from_scratch(),
            self.live.sum_from_scratch(),
            self.pending.sum_from_scratch(),
            self.condemned.sum_from_scratch(),
            self.slice_counters.sum_from_scratch(),
            self.chunk_servers.sum_from_scratch(),
            self.targets.sum_from_scratch(),
            self.orphans.sum_from_scratch(),
            self.xattrs.sum_from_scratch(),
            self.caching.sum_from_scratch(),
        ];
        self.hash_with(tables)
    }

    fn hash_with(&self, tables: [u128; TABLES]) -> u128 {
        let mut digest = Digest::new(0);
        self.config.put(&mut digest);
        self.marks.put(&mut digest);
        tables.iter().fold(digest.finish(), |sum, table| sum.wrapping_add(*table))
    }

    pub fn inodes_count(&self) -> usize {
        self.inodes.len()
    }

    /// Inodes without a name that were not collected yet, after the one given.
    pub fn orphans_from(&self, after: Option<InodeId>) -> impl Iterator<Item = InodeId> + '_ {
        let walk = match &after {
            Some(after) => self.orphans.iter_from(after),
            None => self.orphans.iter(),
        };
        walk.map(|(id, _)| *id).filter(move |id| Some(*id) != after)
    }

    pub fn is_orphan(&self, inode: InodeId) -> bool {
        self.orphans.get(&inode).is_some()
    }

    pub fn sessions_count(&self) -> usize {
        self.sessions.len()
    }

    /// Every session there is, in order.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.sessions.iter().map(|(id, _)| *id)
    }

    /// Every session that may hold leases, in order.
    pub fn caching_sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.caching.iter().map(|(id, _)| *id)
    }

    pub fn caches(&self, session: SessionId) -> bool {
        self.caching.get(&session).is_some()
    }

    pub fn has_session(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some()
    }

    pub fn attr(&self, inode: InodeId) -> Option<Attr> {
        self.inodes.get(&inode).map(|held| held.attr(inode))
    }

    /// Every inode, in the order of ids.
    pub fn attrs(&self) -> impl Iterator<Item = Attr> + '_ {
        self.inodes.iter().map(|(id, held)| held.attr(*id))
    }

    /// Every name: the directory it stands in, the name, what it stands for.
    pub fn names(&self) -> impl Iterator<Item = (InodeId, &[u8], InodeId)> + '_ {
        self.entries.iter().map(|(key, entry)| (key.directory, entry.name(), entry.inode()))
    }

    /// How many answers are kept for retries, of all sessions.
    pub fn answers_count(&self) -> usize {
        self.answers.len()
    }

    /// How many answers may be kept for as many sessions as there are.
    pub fn answers_max(&self) -> u64 {
        self.config.session_window.saturating_mul(self.sessions.len() as u64)
    }

    /// The bytes of memory of the tables, not counting names too long to lie in them.
    pub fn footprint(&self) -> usize {
        self.inodes.footprint()
            + self.entries.footprint()
            + self.counters.footprint()
            + self.sessions.footprint()
            + self.caching.footprint()
            + self.answers.footprint()
            + self.replicas.footprint()
            + self.extents.footprint()
            + self.live.footprint()
            + self.pending.footprint()
            + self.condemned.footprint()
            + self.slice_counters.footprint()
            + self.chunk_servers.footprint()
            + self.pending_of.footprint()
            + self.targets.footprint()
            + self.orphans.footprint()
            + self.xattrs.footprint()
            + self.nonces.footprint()
    }

    /// An inode that a name leads to. That it exists is an invariant of the tree; were it broken,
    /// stopping every replica at every start would lose the other names as well.
    pub(crate) fn named(&self, inode: InodeId) -> Result<&Inode, Refusal> {
        self.inodes.get(&inode).ok_or(Refusal::Stale)
    }

    /// The directory a caller names by its number.
    pub(crate) fn directory(&self, inode: InodeId) -> Result<&Inode, Refusal> {
        let held = self.inodes.get(&inode).ok_or(Refusal::Stale)?;
        if held.kind == FileKind::Directory { Ok(held) } else { Err(Refusal::NotDirectory) }
    }

    /// Where a name stands in a directory, or where it would.
    pub(crate) fn place(&self, directory: InodeId, name: &Name) -> Place {
        let bucket = entry::bucket(name.as_bytes(), self.config.name_hash_bits);
        let mut free = *bucket.start();
        let mut from = *bucket.start();
        while let Some((key, entry)) = self.entries.first_from(&EntryKey { directory, cookie: from }) {
            if key.directory != directory || key.cookie > *bucket.end() {
                break;
            }
            if entry.name() == name.as_bytes() {
                return Place::Taken(*key, entry.inode());
            }
            if key.cookie == free {
                free += 1;
            }
            from = key.cookie + 1;
        }
        assert!(free >= *bucket.start() && free > 0, "a cookie of the name's own hash, and none is 0");
        if free > *bucket.end() {
            return Place::Full;
        }
        if from != *bucket.start() {
            probe!("two names of a directory share a hash");
        }
        Place::Free(EntryKey { directory, cookie: free })
    }

    pub(crate) fn find(&self, directory: InodeId, name: &Name) -> Result<(EntryKey, InodeId), Refusal> {
        match self.place(directory, name) {
            Place::Taken(key, inode) => Ok((key, inode)),
            Place::Free(_) | Place::Full => Err(Refusal::NotFound),
        }
    }

    /// The entries of a directory after a cookie, in the order of their cookies.
    pub(crate) fn entries_after(
        &self,
        directory: InodeId,
        cookie: u64,
    ) -> impl Iterator<Item = (u64, &Entry)> + '_ {
        let from = EntryKey { directory, cookie: cookie.saturating_add(1) };
        self.entries
            .iter_from(&from)
            .take_while(move |(key, _)| key.directory == directory && key.cookie > cookie)
            .map(|(key, entry)| (key.cookie, entry))
    }

    pub(crate) fn is_empty(&self, directory: InodeId) -> bool {
        let first = self.entries.first_from(&EntryKey { directory, cookie: 0 });
        plant!(
            "control-emptiness-by-listing",
            first.is_none_or(|(key, _)| key.directory != directory),
            self.entries_after(directory, 0).next().is_none()
        )
    }

    /// Is `above` the directory `below` or one of those it lies in?
    pub(crate) fn is_ancestor(&self, above: InodeId, below: InodeId) -> bool {
        let mut at = below;
        for _ in 0..=self.inodes.len() {
            if at == above {
                return true;
            }
            match self.inodes.get(&at) {
                Some(held) if at != InodeId::ROOT => at = held.parent(),
                _ => return false,
            }
        }
        // Only a cycle leads here, which does not exist; to refuse every move makes none worse.
        true
    }

    /// The id the next inode of this kind born in `slot` will have; taken by [`Self::allot`].
    pub(crate) fn next_id(&self, region: u8, kind: IdKind, slot: Slot) -> Option<InodeId> {
        let next = self.counters.get(&slot.get()).map_or(self.config.first_counter, |counter| counter.0);
        InodeId::new(region, kind, slot, next)
    }

    /// Makes sure that the id is never given again.
    pub(crate) fn allot(&mut self, id: InodeId) {
        let next = Counter(id.counter() + 1);
        let before = self.counters.insert(id.birth_slot().get(), next);
        assert!(before.is_none_or(|before| before.0 == id.counter()), "ids are given in order");
    }

    /// The oldest answer kept for a session.
    pub(crate) fn oldest_answer(&self, session: SessionId) -> Option<AnswerKey> {
        let (key, _) = self.answers.first_from(&AnswerKey { session, sequence: 0 })?;
        (key.session == session).then_some(*key)
    }

    /// Takes an inode out that no name leads to any more, and all that belongs to it.
    pub(crate) fn forget(&mut self, inode: InodeId) {
        let held = self.inodes.remove(&inode);
        if held.is_some_and(|held| held.kind == FileKind::Symlink) {
            self.targets.remove(&inode);
        }
        let keys: Vec<XattrKey> = self.xattrs_of(inode).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.xattrs.remove(&key);
        }
    }

    /// The extended attributes of an inode, in the order of their names.
    pub(crate) fn xattrs_of(&self, inode: InodeId) -> impl Iterator<Item = (&XattrKey, &Xattr)> {
        let walk = self.xattrs.iter_from(&XattrKey::first(inode));
        walk.take_while(move |(key, _)| key.inode == inode)
    }

    pub(crate) fn allotted(&self, server: ServerId) -> Option<(Nonce, ReplicaId)> {
        self.replicas.get(&server).map(|allotted| (allotted.nonce, allotted.replica))
    }
}

impl Marks {
    pub(crate) fn put<S: Sink>(&self, sink: &mut S) {
        sink.u64(self.applied);
        sink.u64(self.stamp.0);
        sink.u64(self.next_session);
        sink.u64(self.next_replica);
    }

    pub(crate) fn take(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        Ok(Self {
            applied: reader.count("applied index")?,
            stamp: Stamp(reader.u64("stamp")?),
            next_session: reader.count("next session")?,
            next_replica: reader.count("next replica")?,
        })
    }
}
