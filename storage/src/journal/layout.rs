//! The bytes of the journal: pure encoding and decoding. Knows no file and no moment.
//!
//! A journal is a directory of segments, `<sequence, 20 digits>.segment`, each written with zeros
//! over its whole length before it gets that name. Its first sector holds the head, an envelope
//! (see `envelope`) with the magic `MOOSEJNL` around
//!
//! ```text
//!  0            4       8           24         32      40              48      56       64
//! +------------+-------+-----------+----------+-------+---------------+-------+--------+
//! | sector     | zero  | journal   | sequence | base  | segment       | epoch | proven |
//! | bytes      |       | (16)      |          |       | bytes         |       |        |
//! +------------+-------+-----------+----------+-------+---------------+-------+--------+
//! ```
//!
//! `journal` is drawn when the journal is formatted, `epoch` whenever a segment is prepared. A
//! *position* is an address on one endless tape: byte `n` of a segment has the position `base + n`,
//! and no position is ever given twice. `proven` was the end of what is known to be synced when
//! the segment was prepared.
//!
//! Batches follow, each from the start of a sector, filled with zeros up to the next:
//!
//! ```text
//!  0        4         8           16       24        32        36        40       44     48
//! +--------+---------+-----------+--------+---------+---------+---------+--------+------+------
//! | "MJB1" | CRC-32C | position  | epoch  | proven  | length  | records | flags  | zero | records
//! +--------+---------+-----------+--------+---------+---------+---------+--------+------+------
//! ```
//!
//! The checksum covers everything after it, the zeros at the end included. `proven` is the end of
//! what was synced when the batch was written: a batch that reads well proves that everything
//! below its `proven` was on the disk. In the first batch of a segment it is exactly where the log
//! ended before it. Flag 1, *resume*, says that whatever lies between `proven` and this batch was
//! given up (it was damaged, or nobody could tell whether it was ever acknowledged).
//!
//! A record, back to back with its neighbours:
//!
//! ```text
//!  0        4        8         16
//! +--------+--------+---------+------ ... ------+
//! | length | kind   | stream  |  length bytes   |
//! +--------+--------+---------+------ ... ------+
//! ```
//!
//! Kind 0 is a stream's record. Kind 1 is the journal's own *state*, with stream 0: first in the
//! first batch of every segment, and again whenever it changes; the last one holds.
//!
//! ```text
//!  0        8       9      16    24       32
//! +--------+-------+------+-----+--------+------ ... ------+
//! | first  | doubt | zero | at  | proven |  why, in words  |
//! +--------+-------+------+-----+--------+------ ... ------+
//! ```
//!
//! `first` is the sequence of the first segment that is needed: those below may be gone. `doubt`
//! is 0 where everything is accounted for, 1 after an ambiguous tail and 2 after damage that the
//! groups have not settled yet; `at`, `proven` and `why` describe it and are 0 and empty without.

use super::{Position, Record, StreamId};
use crate::envelope::{Fault, Format};
use crate::field::Fields;
use bytes::{Bytes, BytesMut};
use mooseng_core::checksum::crc32c;
use mooseng_core::plant;

pub(super) const SEGMENT: Format =
    Format { magic: b"MOOSEJNL", version: 1, name: "journal segment", bytes_max: 512 };

pub(super) const SECTOR_BYTES_MIN: u32 = 512;
pub(super) const SECTOR_BYTES_MAX: u32 = 65_536;
pub(super) const SEGMENT_BYTES_MAX: u64 = 1 << 30;
pub(super) const BATCH_HEAD_BYTES: usize = 48;
pub(super) const RECORD_HEAD_BYTES: usize = 16;
/// The longest state record, its head included.
pub(super) const STATE_BYTES_MAX: usize = RECORD_HEAD_BYTES + STATE_HEAD_BYTES + WHY_BYTES_MAX;

const STATE_HEAD_BYTES: usize = 32;
const WHY_BYTES_MAX: usize = 208;
const BATCH_MAGIC: &[u8; 4] = b"MJB1";
const FLAG_RESUME: u32 = 1;
const KIND_RECORD: u32 = 0;
const KIND_STATE: u32 = 1;
/// No position comes near it: sums of positions and lengths cannot overflow.
const POSITION_MAX: u64 = 1 << 62;

/// The head of a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SegmentHead {
    pub(super) journal: [u8; 16],
    pub(super) sequence: u64,
    pub(super) base: Position,
    pub(super) segment_bytes: u64,
    pub(super) sector_bytes: u32,
    pub(super) epoch: u64,
    pub(super) proven: Position,
}

impl SegmentHead {
    pub(super) fn encode(&self) -> Vec<u8> {
        assert!(self.is_possible(), "{self:?}");
        let mut body = Vec::with_capacity(64);
        body.extend_from_slice(&self.sector_bytes.to_le_bytes());
        body.extend_from_slice(&[0; 4]);
        body.extend_from_slice(&self.journal);
        for word in [self.sequence, self.base.0, self.segment_bytes, self.epoch, self.proven.0] {
            body.extend_from_slice(&word.to_le_bytes());
        }
        SEGMENT.seal(&body)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let (body, _) = SEGMENT.open(bytes)?;
        let head = Self::decode_body(body).ok_or(Fault::Broken)?;
        if head.is_possible() { Ok(head) } else { Err(Fault::Broken) }
    }

    fn decode_body(body: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(body);
        let sector_bytes = fields.u32()?;
        let zero = fields.u32()?;
        let journal = fields.array()?;
        let head = Self {
            journal,
            sector_bytes,
            sequence: fields.u64()?,
            base: Position(fields.u64()?),
            segment_bytes: fields.u64()?,
            epoch: fields.u64()?,
            proven: Position(fields.u64()?),
        };
        (zero == 0 && fields.rest().is_empty()).then_some(head)
    }

    fn is_possible(&self) -> bool {
        let sector = self.sector_bytes;
        sector.is_power_of_two()
            && (SECTOR_BYTES_MIN..=SECTOR_BYTES_MAX).contains(&sector)
            && self.segment_bytes.is_multiple_of(u64::from(sector))
            && self.segment_bytes >= 2 * u64::from(sector)
            && self.segment_bytes <= SEGMENT_BYTES_MAX
            && self.base.0 <= POSITION_MAX
            && self.sequence >= 1
    }

    /// Where its first batch goes.
    pub(super) fn data_start(&self) -> Position {
        Position(self.base.0 + u64::from(self.sector_bytes))
    }

    /// The position after its last byte.
    pub(super) fn end(&self) -> Position {
        Position(self.base.0 + self.segment_bytes)
    }
}

/// How sure the journal is of its past.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum DoubtKind {
    Ambiguous = 1,
    Damaged = 2,
}

/// Something missing that the groups have not accounted for yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Doubt {
    pub(super) kind: DoubtKind,
    pub(super) at: Position,
    pub(super) proven: Position,
    pub(super) why: String,
}

/// What the journal remembers about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct State {
    /// The first segment that is needed.
    pub(super) first: u64,
    pub(super) doubt: Option<Doubt>,
}

impl State {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(STATE_HEAD_BYTES);
        bytes.extend_from_slice(&self.first.to_le_bytes());
        let kind = self.doubt.as_ref().map_or(0, |doubt| doubt.kind as u8);
        bytes.extend_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
        let (at, proven) = self.doubt.as_ref().map_or((0, 0), |doubt| (doubt.at.0, doubt.proven.0));
        bytes.extend_from_slice(&at.to_le_bytes());
        bytes.extend_from_slice(&proven.to_le_bytes());
        if let Some(doubt) = &self.doubt {
            let end = doubt.why.floor_char_boundary(WHY_BYTES_MAX);
            bytes.extend_from_slice(&doubt.why.as_bytes()[..end]);
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        let first = fields.u64()?;
        let kind: [u8; 8] = fields.array()?;
        let (at, proven) = (Position(fields.u64()?), Position(fields.u64()?));
        let why = std::str::from_utf8(fields.rest()).ok()?.to_owned();
        let kind = match kind {
            [0, 0, 0, 0, 0, 0, 0, 0] => return Some(Self { first, doubt: None }),
            [1, 0, 0, 0, 0, 0, 0, 0] => DoubtKind::Ambiguous,
            [2, 0, 0, 0, 0, 0, 0, 0] => DoubtKind::Damaged,
            _ => return None,
        };
        Some(Self { first, doubt: Some(Doubt { kind, at, proven, why }) })
    }
}

/// A batch that read well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Batch {
    pub(super) position: Position,
    /// Where the next batch may start.
    pub(super) end: Position,
    pub(super) proven: Position,
    pub(super) resume: bool,
    /// The last state record in it.
    pub(super) state: Option<State>,
    pub(super) records: Vec<Record>,
}

/// Puts one batch together.
pub(super) struct BatchEncoder {
    position: Position,
    epoch: u64,
    proven: Position,
    flags: u32,
    records: u32,
    bytes: BytesMut,
}

impl BatchEncoder {
    pub(super) fn new(head: &SegmentHead, position: Position, proven: Position, capacity: usize) -> Self {
        assert!(proven <= position, "{proven:?} is proven by a batch at {position:?}");
        let mut bytes = BytesMut::with_capacity(BATCH_HEAD_BYTES + capacity + head.sector_bytes as usize);
        bytes.resize(BATCH_HEAD_BYTES, 0);
        Self { position, epoch: head.epoch, proven, flags: 0, records: 0, bytes }
    }

    /// Everything between `proven` and this batch is given up.
    pub(super) fn resume(&mut self) {
        self.flags |= FLAG_RESUME;
    }

    /// Where the next record goes.
    pub(super) fn position(&self) -> Position {
        Position(self.position.0 + self.bytes.len() as u64)
    }

    pub(super) fn record(&mut self, stream: StreamId, bytes: &[u8]) -> Position {
        self.put(KIND_RECORD, stream, bytes)
    }

    pub(super) fn state(&mut self, state: &State) {
        self.put(KIND_STATE, StreamId(0), &state.encode());
    }

    fn put(&mut self, kind: u32, stream: StreamId, bytes: &[u8]) -> Position {
        let position = self.position();
        self.bytes.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&kind.to_le_bytes());
        self.bytes.extend_from_slice(&stream.0.to_le_bytes());
        self.bytes.extend_from_slice(bytes);
        self.records += 1;
        position
    }

    /// The batch as it goes to the disk: whole sectors.
    pub(super) fn finish(mut self, sector_bytes: u32) -> Bytes {
        let length = self.bytes.len();
        self.bytes.resize(length.next_multiple_of(sector_bytes as usize), 0);
        let head = &mut self.bytes[..BATCH_HEAD_BYTES];
        head[8..16].copy_from_slice(&self.position.0.to_le_bytes());
        head[16..24].copy_from_slice(&self.epoch.to_le_bytes());
        head[24..32].copy_from_slice(&self.proven.0.to_le_bytes());
        head[32..36].copy_from_slice(&(length as u32).to_le_bytes());
        head[36..40].copy_from_slice(&self.records.to_le_bytes());
        head[40..44].copy_from_slice(&self.flags.to_le_bytes());
        head[..4].copy_from_slice(BATCH_MAGIC);
        let checksum = crc32c(&self.bytes[8..]);
        self.bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        self.bytes.freeze()
    }
}

impl Batch {
    /// The batch at `offset` of a segment's image, if one that belongs there reads well.
    pub(super) fn decode(head: &SegmentHead, image: &Bytes, offset: usize) -> Option<Self> {
        let expected = Position(head.base.0 + offset as u64);
        let left = image.get(offset..)?;
        let mut fields = Fields::new(left);
        if fields.take(4)? != BATCH_MAGIC {
            return None;
        }
        let checksum = fields.u32()?;
        let (position, epoch, proven) = (fields.u64()?, fields.u64()?, Position(fields.u64()?));
        let at_home = plant!(
            "journal-stale-epoch-accepted",
            (position, epoch) == (expected.0, head.epoch) && proven <= expected,
            true
        );
        let (length, count) = (fields.u32()? as usize, fields.u32()?);
        let (flags, zero) = (fields.u32()?, fields.u32()?);
        let padded = length.checked_next_multiple_of(head.sector_bytes as usize)?;
        let fits = length >= BATCH_HEAD_BYTES && padded <= left.len();
        if !at_home || !fits || flags & !FLAG_RESUME != 0 || zero != 0 {
            return None;
        }
        if checksum != crc32c(&left[8..padded]) {
            return None;
        }
        let mut batch = Self {
            position: expected,
            end: Position(expected.0 + padded as u64),
            proven,
            resume: flags & FLAG_RESUME != 0,
            state: None,
            records: Vec::new(),
        };
        batch.decode_records(image, offset, length, count)?;
        Some(batch)
    }

    fn decode_records(&mut self, image: &Bytes, offset: usize, length: usize, count: u32) -> Option<()> {
        let mut at = BATCH_HEAD_BYTES;
        for _ in 0..count {
            let mut fields = Fields::new(&image[offset + at..offset + length]);
            let (len, kind, stream) = (fields.u32()? as usize, fields.u32()?, fields.u64()?);
            let bytes = fields.take(len)?;
            match kind {
                KIND_RECORD => self.records.push(Record {
                    position: Position(self.position.0 + at as u64),
                    stream: StreamId(stream),
                    bytes: image.slice_ref(bytes),
                }),
                KIND_STATE => self.state = Some(State::decode(bytes)?),
                _ => return None,
            }
            at += RECORD_HEAD_BYTES + len;
        }
        (at == length).then_some(())
    }
}
