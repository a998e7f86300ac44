//! Finding and keeping what files are made of: extents, and the slices they refer to. Every extent
//! is counted by its slice; a slice that loses its last one is condemned at once.

use super::{Condemned, Extent, ExtentKey, Live, Pending, Servers, SliceCounter, State};
use mooseng_core::class::StorageClass;
use mooseng_core::id::{InodeId, ServerId, SessionId, SliceId, Slot};
use mooseng_core::namespace::{FileExtent, SliceInfo};
use mooseng_core::plant;

/// What a state says of a slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SliceState {
    /// Of a number not given out as far as this state knows: it says nothing.
    Unknown,
    Pending(SessionId),
    Live,
    Condemned,
    /// Nothing refers to it and nothing ever will: its parts may go wherever they are found.
    Forgotten,
}

impl State {
    pub fn slice_state(&self, slice: SliceId) -> SliceState {
        let next = self.slice_counters.get(&slice.slot().get()).map_or(1, |counter| counter.0);
        match self.pending.get(&slice) {
            Some(pending) => SliceState::Pending(pending.session),
            None if self.live.get(&slice).is_some() => SliceState::Live,
            None if self.condemned.get(&slice).is_some() => SliceState::Condemned,
            None if slice.counter() < next => SliceState::Forgotten,
            None => SliceState::Unknown,
        }
    }

    /// A live slice.
    pub fn slice(&self, slice: SliceId) -> Option<SliceInfo> {
        self.live.get(&slice).map(|live| live.info(slice))
    }

    /// Live slices from a number on, in order.
    pub fn slices_from(&self, from: Option<SliceId>) -> impl Iterator<Item = SliceInfo> + '_ {
        let from = match &from {
            Some(from) => self.live.iter_from(from),
            None => self.live.iter(),
        };
        from.map(|(slice, live)| live.info(*slice))
    }

    pub fn condemned_count(&self) -> usize {
        self.condemned.len()
    }

    /// Slices whose parts are to be deleted, and the servers that have any.
    pub fn condemned(&self) -> impl Iterator<Item = (SliceId, Vec<Option<ServerId>>)> + '_ {
        self.condemned.iter().map(|(slice, condemned)| (*slice, condemned.servers.iter().collect()))
    }

    /// Slices granted and not committed.
    pub fn pending(&self) -> impl Iterator<Item = (SliceId, SessionId)> + '_ {
        self.pending.iter().map(|(slice, pending)| (*slice, pending.session))
    }

    pub fn chunk_servers(&self) -> impl Iterator<Item = (ServerId, &super::ChunkServer)> + '_ {
        self.chunk_servers.iter().map(|(server, held)| (*server, held))
    }

    pub fn chunk_server(&self, server: ServerId) -> Option<&super::ChunkServer> {
        self.chunk_servers.get(&server)
    }

    /// Every extent of every file.
    pub fn extents(&self) -> impl Iterator<Item = (InodeId, FileExtent)> + '_ {
        self.extents.iter().map(|(key, extent)| (key.inode, extent.ending(key.end)))
    }

    /// The extents that lie in a range, if only in part, in order.
    pub(crate) fn extents_in(
        &self,
        inode: InodeId,
        from: u64,
        to: u64,
    ) -> impl Iterator<Item = FileExtent> + '_ {
        self.extents
            .iter_from(&ExtentKey { inode, end: from.saturating_add(1) })
            .take_while(move |(key, _)| key.inode == inode)
            .map(|(key, extent)| extent.ending(key.end))
            .take_while(move |extent| extent.offset < to)
    }

    /// The first of `count` numbers that were never given out.
    pub(crate) fn next_slices(&self, region: u8, slot: Slot, count: u32) -> Option<SliceId> {
        let next = self.slice_counters.get(&slot.get()).map_or(1, |counter| counter.0);
        let first = SliceId::new(region, slot, next)?;
        first.plus(u64::from(count).saturating_sub(1)).map(|_| first)
    }

    /// Gives numbers from [`Self::next_slices`] to a session.
    pub(crate) fn grant(&mut self, session: SessionId, first: SliceId, count: u32) {
        assert!(count > 0, "somebody asked for slices");
        let next = SliceCounter(first.counter() + u64::from(count));
        let before = self.slice_counters.insert(first.slot().get(), next);
        assert!(before.is_none_or(|before| before.0 == first.counter()), "numbers are given in order");
        for slice in (0..u64::from(count)).filter_map(|ahead| first.plus(ahead)) {
            let before = self.pending.insert(slice, Pending { session });
            assert!(before.is_none(), "{slice:?} is given once");
            self.pending_of.insert((session, slice), ());
        }
    }

    pub(crate) fn pending_count(&self, session: SessionId) -> usize {
        self.pending_slices(session).count()
    }

    pub(crate) fn pending_slices(&self, session: SessionId) -> impl Iterator<Item = SliceId> + '_ {
        let first = SliceId::from_raw(1).map(|first| (session, first));
        let from = first.map(|first| self.pending_of.iter_from(&first));
        from.into_iter()
            .flatten()
            .map(|((of, slice), ())| (*of, *slice))
            .take_while(move |(of, _)| *of == session)
            .map(|(_, slice)| slice)
    }

    /// Takes a slice from those a session may commit.
    pub(crate) fn take_pending(&mut self, slice: SliceId) {
        if let Some(pending) = self.pending.remove(&slice) {
            let before = self.pending_of.remove(&(pending.session, slice));
            assert!(before.is_some(), "every pending slice is found by its session");
        }
    }

    /// Makes a slice live, held once by whoever calls, until [`Self::release`].
    pub(crate) fn enliven(&mut self, info: &SliceInfo) {
        let SliceInfo { slice, class, length, ref parts } = *info;
        self.take_pending(slice);
        let servers = Servers::new(parts);
        let before = self.live.insert(slice, Live { extents: 1, length, class, servers });
        assert!(before.is_none(), "{slice:?} was not live while it was pending");
    }

    /// Lays an extent of a live slice where there is none.
    pub(crate) fn lay(&mut self, inode: InodeId, extent: &FileExtent) {
        assert!(extent.is_possible(), "{extent:?} cannot be");
        let key = ExtentKey { inode, end: extent.end() };
        let before = self.extents.insert(key, Extent::of(extent));
        assert!(before.is_none(), "the place was cleared");
        self.hold(extent.slice);
    }

    /// Cuts out of one extent of a file what lies in the range, which is some of it.
    pub(crate) fn cut(&mut self, inode: InodeId, extent: &FileExtent, from: u64, to: u64) {
        assert!(extent.clipped(from, to).is_some(), "nothing of {extent:?} lies in {from}..{to}");
        let key = ExtentKey { inode, end: extent.end() };
        let (left, right) = (extent.clipped(0, from), extent.clipped(to, u64::MAX));
        let held = match right {
            // What is left at the end keeps its place in the table.
            Some(right) => self.extents.change(&key, |held| *held = Extent::of(&right)).is_some(),
            None => self.extents.remove(&key).is_some(),
        };
        assert!(held, "the extent was there");
        if let Some(left) = left {
            self.extents.insert(ExtentKey { inode, end: left.end() }, Extent::of(&left));
        }
        match (left.is_some(), right.is_some()) {
            (true, true) => plant!("slice-freed-while-referenced", self.hold(extent.slice), ()),
            (false, false) => self.release(extent.slice),
            _ => {}
        }
    }

    fn hold(&mut self, slice: SliceId) {
        let held = self.live.change(&slice, |live| live.extents += 1);
        assert!(held.is_some(), "{slice:?} is live as long as something refers to it");
    }

    /// One extent less refers to the slice.
    pub(crate) fn release(&mut self, slice: SliceId) {
        let last = self.live.get(&slice).is_none_or(|live| live.extents <= 1);
        if !last {
            self.live.change(&slice, |live| live.extents -= 1);
            return;
        }
        let live = self.live.remove(&slice);
        assert!(live.is_some(), "{slice:?} was referred to");
        if let Some(Live { class, servers, .. }) = live {
            self.condemn(slice, class, servers);
        }
    }

    fn condemn(&mut self, slice: SliceId, class: StorageClass, servers: Servers) {
        let before = self.condemned.insert(slice, Condemned { class, servers });
        assert!(before.is_none(), "{slice:?} was live");
    }
}
