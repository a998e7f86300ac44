//! The small records: sessions, the answers their retries need, the counters of ids, and the
//! replica ids that were allotted.

use super::inode::{kind_number, take_id, take_kind};
use super::record::{Reader, Record, Sink};
use super::slice::{take_class, take_slice};
use mooseng_core::id::{ReplicaId, ServerId, SessionId, SliceId, Slot};
use mooseng_core::namespace::{Answer, Attr, Outcome, Refusal};
use mooseng_core::time::WallTime;

/// Drawn by whoever asks, so that asking again is known to be the same question.
pub type Nonce = [u8; 16];

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Session {
    pub(crate) nonce: Nonce,
    /// The client wants no answer below this any more.
    pub(crate) low_water: u64,
}

/// A session that keeps answers, and may hold leases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Caches;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct AnswerKey {
    pub(crate) session: SessionId,
    pub(crate) sequence: u64,
}

/// What a request gave and when, for its retries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Recorded {
    pub(crate) index: u64,
    pub(crate) kept: Kept,
}

/// The outcome of a change: no listing is among them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    Done,
    Attr(Attr),
    Refused(Refusal),
    Slices { first: SliceId, count: u32 },
}

impl Kept {
    pub(crate) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Ok(Answer::Done) => Self::Done,
            Ok(Answer::Attr(attr)) => Self::Attr(*attr),
            Ok(Answer::Slices { first, count }) => Self::Slices { first: *first, count: *count },
            Ok(
                Answer::Entries { .. }
                | Answer::Map { .. }
                | Answer::Target(_)
                | Answer::Value(_)
                | Answer::XattrNames(_),
            ) => unreachable!("no change answers as a question is answered"),
            Err(refusal) => Self::Refused(*refusal),
        }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Done => Ok(Answer::Done),
            Self::Attr(attr) => Ok(Answer::Attr(*attr)),
            Self::Refused(refusal) => Err(*refusal),
            Self::Slices { first, count } => Ok(Answer::Slices { first: *first, count: *count }),
        }
    }
}

/// The next counter of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Counter(pub(crate) u64);

/// The last replica id a server was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Allotted {
    pub(crate) nonce: Nonce,
    pub(crate) replica: ReplicaId,
}

fn put_nonce<S: Sink>(nonce: &Nonce, sink: &mut S) {
    let word = u128::from_le_bytes(*nonce);
    sink.u64(word as u64);
    sink.u64((word >> 64) as u64);
}

fn take_nonce(reader: &mut Reader<'_>) -> Result<Nonce, &'static str> {
    reader.u128("nonce").map(u128::to_le_bytes)
}

impl Record for Counter {
    type Key = u16;
    const TABLE: u8 = 3;

    fn put<S: Sink>(&self, key: &u16, sink: &mut S) {
        sink.u16(*key);
        sink.u64(self.0);
    }

    fn take(reader: &mut Reader<'_>) -> Result<(u16, Self), &'static str> {
        let slot = Slot::new(reader.u16("slot")?).ok_or("slot")?;
        let next = reader.u64("counter")?;
        if next > 1 << 44 { Err("counter") } else { Ok((slot.get(), Self(next))) }
    }
}

impl Record for Session {
    type Key = SessionId;
    const TABLE: u8 = 4;

    fn put<S: Sink>(&self, key: &SessionId, sink: &mut S) {
        sink.u64(key.0);
        put_nonce(&self.nonce, sink);
        sink.u64(self.low_water);
    }

    fn take(reader: &mut Reader<'_>) -> Result<(SessionId, Self), &'static str> {
        let id = SessionId(reader.u64("session")?);
        let nonce = take_nonce(reader)?;
        Ok((id, Self { nonce, low_water: reader.u64("low water mark")? }))
    }
}

impl Record for Caches {
    type Key = SessionId;
    const TABLE: u8 = 16;

    fn put<S: Sink>(&self, key: &SessionId, sink: &mut S) {
        sink.u64(key.0);
    }

    fn take(reader: &mut Reader<'_>) -> Result<(SessionId, Self), &'static str> {
        Ok((SessionId(reader.u64("session that caches")?), Self))
    }
}

impl Record for Recorded {
    type Key = AnswerKey;
    const TABLE: u8 = 5;

    fn put<S: Sink>(&self, key: &AnswerKey, sink: &mut S) {
        sink.u64(key.session.0);
        sink.u64(key.sequence);
        sink.u64(self.index);
        match &self.kept {
            Kept::Done => sink.u8(1),
            Kept::Attr(attr) => {
                sink.u8(2);
                put_attr(attr, sink);
            }
            Kept::Refused(refusal) => {
                sink.u8(3);
                sink.u8(refusal_number(*refusal));
            }
            Kept::Slices { first, count } => {
                sink.u8(10);
                sink.u64(first.raw());
                sink.u32(*count);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<(AnswerKey, Self), &'static str> {
        let session = SessionId(reader.u64("session of an answer")?);
        let sequence = reader.u64("sequence")?;
        let index = reader.u64("index of an answer")?;
        let kept = match reader.u8("answer")? {
            1 => Kept::Done,
            2 => Kept::Attr(take_attr(reader)?),
            3 => Kept::Refused(refusal_of(reader.u8("refusal")?).ok_or("refusal")?),
            10 => {
                let first = take_slice(reader)?;
                Kept::Slices { first, count: reader.u32("count of slices")? }
            }
            _ => return Err("answer"),
        };
        Ok((AnswerKey { session, sequence }, Self { index, kept }))
    }
}

impl Record for Allotted {
    type Key = ServerId;
    const TABLE: u8 = 6;

    fn put<S: Sink>(&self, key: &ServerId, sink: &mut S) {
        sink.u64(key.0);
        put_nonce(&self.nonce, sink);
        sink.u64(self.replica.0);
    }

    fn take(reader: &mut Reader<'_>) -> Result<(ServerId, Self), &'static str> {
        let server = ServerId(reader.u64("server")?);
        let nonce = take_nonce(reader)?;
        Ok((server, Self { nonce, replica: ReplicaId(reader.u64("replica")?) }))
    }
}

fn put_attr<S: Sink>(attr: &Attr, sink: &mut S) {
    sink.u64(attr.inode.raw());
    sink.u8(kind_number(attr.kind));
    sink.u16(attr.mode);
    sink.u32(attr.links);
    sink.u32(attr.uid);
    sink.u32(attr.gid);
    sink.u64(attr.size);
    sink.u64(attr.atime.0.cast_unsigned());
    sink.u64(attr.mtime.0.cast_unsigned());
    sink.u64(attr.ctime.0.cast_unsigned());
    sink.u64(attr.version);
    sink.u32(attr.class.to_raw());
    sink.u64(attr.blocks);
    sink.u32(attr.rdev);
}

fn take_attr(reader: &mut Reader<'_>) -> Result<Attr, &'static str> {
    let inode = take_id(reader, "inode of an answer")?;
    Ok(Attr {
        inode,
        kind: take_kind(reader, inode)?,
        mode: reader.u16("mode")?,
        links: reader.u32("links")?,
        uid: reader.u32("uid")?,
        gid: reader.u32("gid")?,
        size: reader.u64("size")?,
        atime: WallTime(reader.u64("atime")?.cast_signed()),
        mtime: WallTime(reader.u64("mtime")?.cast_signed()),
        ctime: WallTime(reader.u64("ctime")?.cast_signed()),
        version: reader.u64("version")?,
        class: take_class(reader)?,
        blocks: reader.u64("blocks")?,
        rdev: reader.u32("rdev")?,
    })
}

/// The number of a refusal in images, for good.
const REFUSALS: [(u8, Refusal); 19] = [
    (1, Refusal::NotFound),
    (2, Refusal::Exists),
    (3, Refusal::NotDirectory),
    (4, Refusal::IsDirectory),
    (5, Refusal::NotEmpty),
    (6, Refusal::Invalid),
    (7, Refusal::NameTooLong),
    (8, Refusal::TooManyLinks),
    (9, Refusal::NotPermitted),
    (10, Refusal::Stale),
    (11, Refusal::NoSpace),
    (30, Refusal::NotPending),
    (31, Refusal::TooManyPending),
    (32, Refusal::TooFragmented),
    (33, Refusal::Conflict),
    (12, Refusal::AccessDenied),
    (13, Refusal::NoAttribute),
    (14, Refusal::TooBig),
    (15, Refusal::Unsupported),
];

fn refusal_number(refusal: Refusal) -> u8 {
    let number = REFUSALS.iter().find(|(_, held)| *held == refusal).map(|(number, _)| *number);
    assert!(number.is_some(), "{refusal:?} has no number");
    number.unwrap_or(0)
}

fn refusal_of(number: u8) -> Option<Refusal> {
    REFUSALS.iter().find(|(held, _)| *held == number).map(|(_, refusal)| *refusal)
}
