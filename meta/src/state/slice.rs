//! What is known of slices. A slice is in one of these tables, or in none:
//!
//! ```text
//!   granted         committed        nothing refers         parts deleted
//!      ──► pending ────────────► live ─────────────► condemned ─────────► forgotten
//!             └─────────────────────────────────────────────────────────────▲
//!               given back, or the session ended
//! ```
//!
//! A slice that is in no table and whose number was given out is forgotten, for good: nothing can
//! come to refer to it, so its parts may be deleted wherever they turn up. A number that was not
//! given out yet says nothing.

use super::record::{Reader, Record, Sink};
use mooseng_core::class::{SLICE_BYTES_MAX, StorageClass};
use mooseng_core::id::{ServerId, SessionId, SliceId, Slot};
use mooseng_core::namespace::SliceInfo;

/// The servers of a slice's parts, in the order of the parts. Server 0, which does not exist,
/// stands for a deficit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Servers(Box<[ServerId]>);

impl Servers {
    pub(crate) fn new(parts: &[Option<ServerId>]) -> Self {
        Self(parts.iter().map(|server| server.unwrap_or(ServerId(0))).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Option<ServerId>> + '_ {
        self.0.iter().map(|server| (*server != ServerId(0)).then_some(*server))
    }

    pub(crate) fn get(&self, index: u8) -> Option<Option<ServerId>> {
        self.0.get(usize::from(index)).map(|server| (*server != ServerId(0)).then_some(*server))
    }

    pub(crate) fn holds(&self, server: ServerId) -> bool {
        self.0.contains(&server)
    }

    pub(crate) fn set(&mut self, index: u8, server: Option<ServerId>) {
        if let Some(place) = self.0.get_mut(usize::from(index)) {
            *place = server.unwrap_or(ServerId(0));
        }
    }

    fn put<S: Sink>(&self, sink: &mut S) {
        self.0.iter().for_each(|server| sink.u64(server.0));
    }

    fn take(reader: &mut Reader<'_>, parts: u8) -> Result<Self, &'static str> {
        let each = (0..parts).map(|_| reader.u64("server of a part").map(ServerId));
        Ok(Self(each.collect::<Result<_, _>>()?))
    }
}

/// A slice that extents refer to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Live {
    /// How many extents refer to it.
    pub(crate) extents: u32,
    pub(crate) length: u32,
    pub(crate) class: StorageClass,
    pub(crate) servers: Servers,
}

const _: () = assert!(size_of::<(SliceId, Live)>() == 40);

/// A slice whose parts are being deleted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Condemned {
    pub(crate) class: StorageClass,
    pub(crate) servers: Servers,
}

/// A slice that was granted to a session and is not committed yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pending {
    pub(crate) session: SessionId,
}

/// The next counter of a slot's slices, which files there are granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SliceCounter(pub(crate) u64);

impl Live {
    pub(crate) fn info(&self, slice: SliceId) -> SliceInfo {
        let parts = self.servers.iter().collect();
        SliceInfo { slice, class: self.class, length: self.length, parts }
    }
}

pub(super) fn take_slice(reader: &mut Reader<'_>) -> Result<SliceId, &'static str> {
    SliceId::from_raw(reader.u64("slice")?).ok_or("slice")
}

pub(super) fn take_class(reader: &mut Reader<'_>) -> Result<StorageClass, &'static str> {
    StorageClass::from_raw(reader.u32("storage class")?).ok_or("storage class")
}

impl Record for Live {
    type Key = SliceId;
    const TABLE: u8 = 11;

    fn put<S: Sink>(&self, key: &SliceId, sink: &mut S) {
        sink.u64(key.raw());
        sink.u32(self.extents);
        sink.u32(self.length);
        sink.u32(self.class.to_raw());
        self.servers.put(sink);
    }

    fn take(reader: &mut Reader<'_>) -> Result<(SliceId, Self), &'static str> {
        let slice = take_slice(reader)?;
        let extents = reader.u32("extents of a slice")?;
        let length = reader.u32("length of a slice")?;
        if extents == 0 || length > SLICE_BYTES_MAX {
            return Err("extents or length of a slice");
        }
        let class = take_class(reader)?;
        Ok((slice, Self { extents, length, class, servers: Servers::take(reader, class.parts())? }))
    }
}

impl Record for Pending {
    type Key = SliceId;
    const TABLE: u8 = 12;

    fn put<S: Sink>(&self, key: &SliceId, sink: &mut S) {
        sink.u64(key.raw());
        sink.u64(self.session.0);
    }

    fn take(reader: &mut Reader<'_>) -> Result<(SliceId, Self), &'static str> {
        let slice = take_slice(reader)?;
        Ok((slice, Self { session: SessionId(reader.u64("session of a slice")?) }))
    }
}

impl Record for Condemned {
    type Key = SliceId;
    const TABLE: u8 = 13;

    fn put<S: Sink>(&self, key: &SliceId, sink: &mut S) {
        sink.u64(key.raw());
        sink.u32(self.class.to_raw());
        self.servers.put(sink);
    }

    fn take(reader: &mut Reader<'_>) -> Result<(SliceId, Self), &'static str> {
        let slice = take_slice(reader)?;
        let class = take_class(reader)?;
        Ok((slice, Self { class, servers: Servers::take(reader, class.parts())? }))
    }
}

impl Record for SliceCounter {
    type Key = u16;
    const TABLE: u8 = 14;

    fn put<S: Sink>(&self, key: &u16, sink: &mut S) {
        sink.u16(*key);
        sink.u64(self.0);
    }

    fn take(reader: &mut Reader<'_>) -> Result<(u16, Self), &'static str> {
        let slot = Slot::new(reader.u16("slot")?).ok_or("slot")?;
        let next = reader.u64("slice counter")?;
        if !(1..=1 << 44).contains(&next) { Err("slice counter") } else { Ok((slot.get(), Self(next))) }
    }
}
