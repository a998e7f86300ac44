//! The bytes of the chunk store: pure encoding and decoding. Knows no file and no moment.
//!
//! Small parts lie together in segments, `<sequence, 20 digits>.segment`, each written with zeros
//! over its whole length before it gets that name. Its first sector holds the head, an envelope
//! (see `envelope`) with the magic `MOOSESEG` around
//!
//! ```text
//!  0            4       8        24         32              40      48
//! +------------+-------+--------+----------+---------------+-------+
//! | sector     | zero  | store  | sequence | segment       | epoch |
//! | bytes      |       | (16)   |          | bytes         |       |
//! +------------+-------+--------+----------+---------------+-------+
//! ```
//!
//! `store` is drawn when the store is formatted, `epoch` whenever a segment is prepared. Batches
//! follow, each from the start of a sector:
//!
//! ```text
//!  0        4         8        16        24       28        32     40
//! +--------+---------+--------+---------+--------+---------+------+--- ... ---+--- ... ---+
//! | "MSB1" | CRC-32C | epoch  | offset  | length | records | zero |  records  |  areas    |
//! +--------+---------+--------+---------+--------+---------+------+--- ... ---+--- ... ---+
//! ```
//!
//! The checksum covers everything after it up to the last record; the areas are covered by the sums
//! in them. `offset` is where in the segment the batch lies, `length` is of head, records and areas.
//! A record has 64 bytes. A part that is put:
//!
//! ```text
//!  0   1       2      4        8       16            24       28     32         64
//! +---+-------+------+--------+-------+-------------+--------+------+----------+
//! | 1 | index | zero | length | slice | incarnation | offset | zero |   root   |
//! +---+-------+------+--------+-------+-------------+--------+------+----------+
//! ```
//!
//! Its area lies at `offset` of the segment: the sums of its leaves, 4 bytes each, and its bytes.
//! `root` is what `core::checksum::root` makes of the sums. A part that is given up:
//!
//! ```text
//!  0   1       2      8       16            24       28       32     64
//! +---+-------+------+-------+-------------+--------+--------+------+
//! | 2 | index | zero | slice | incarnation | oldest | newest | zero |
//! +---+-------+------+-------+-------------+--------+--------+------+
//! ```
//!
//! `oldest` and `newest` say in which segments the part can lie: while one of those is there, the
//! record is needed.

use crate::envelope::{Fault, Format};
use crate::field::Fields;
use bytes::{Bytes, BytesMut};
use mooseng_core::checksum::{crc32c, sums_to_bytes};
use mooseng_core::class::{LEAF_BYTES, SLICE_BYTES_MAX};
use mooseng_core::id::{PartId, SliceId};

pub(super) const SEGMENT: Format =
    Format { magic: b"MOOSESEG", version: 1, name: "segment of a chunk store", bytes_max: 512 };

pub(super) const SECTOR_BYTES_MIN: u32 = 512;
pub(super) const SECTOR_BYTES_MAX: u32 = 65_536;
pub(super) const SEGMENT_BYTES_MAX: u64 = 1 << 30;
pub(super) const BATCH_HEAD_BYTES: usize = 40;
pub(super) const RECORD_BYTES: usize = 64;
/// The highest number of a segment: what lies above it has a meaning of its own in the index.
pub(super) const SEQUENCE_MAX: u32 = u32::MAX - 1;

const BATCH_MAGIC: &[u8; 4] = b"MSB1";
const CHECKED_FROM: usize = 8;
const KIND_PUT: u8 = 1;
const KIND_KILL: u8 = 2;

/// How many leaves a part of this length has.
pub(super) fn leaf_count(length: u32) -> usize {
    length.div_ceil(LEAF_BYTES) as usize
}

/// What a part takes up beside its record.
pub(super) fn area_bytes(length: u32) -> usize {
    leaf_count(length) * 4 + length as usize
}

/// The head of a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SegmentHead {
    pub(super) store: [u8; 16],
    pub(super) sequence: u32,
    pub(super) segment_bytes: u64,
    pub(super) sector_bytes: u32,
    pub(super) epoch: u64,
}

impl SegmentHead {
    pub(super) fn encode(&self) -> Vec<u8> {
        assert!(self.is_possible(), "{self:?}");
        let mut body = Vec::with_capacity(48);
        body.extend_from_slice(&self.sector_bytes.to_le_bytes());
        body.extend_from_slice(&[0; 4]);
        body.extend_from_slice(&self.store);
        for word in [u64::from(self.sequence), self.segment_bytes, self.epoch] {
            body.extend_from_slice(&word.to_le_bytes());
        }
        SEGMENT.seal(&body)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let (body, _) = SEGMENT.open(bytes)?;
        Self::decode_body(body).filter(Self::is_possible).ok_or(Fault::Broken)
    }

    fn decode_body(body: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(body);
        let sector_bytes = fields.u32()?;
        let zero = fields.u32()?;
        let store = fields.array()?;
        let sequence = u32::try_from(fields.u64()?).ok()?;
        let head = Self { store, sequence, segment_bytes: fields.u64()?, sector_bytes, epoch: fields.u64()? };
        (zero == 0 && fields.rest().is_empty()).then_some(head)
    }

    fn is_possible(&self) -> bool {
        let sector = self.sector_bytes;
        sector.is_power_of_two()
            && (SECTOR_BYTES_MIN..=SECTOR_BYTES_MAX).contains(&sector)
            && self.segment_bytes.is_multiple_of(u64::from(sector))
            && self.segment_bytes >= 2 * u64::from(sector)
            && self.segment_bytes <= SEGMENT_BYTES_MAX
            && (1..=SEQUENCE_MAX).contains(&self.sequence)
    }

    /// Where the first batch goes.
    pub(super) fn data_start(&self) -> u64 {
        u64::from(self.sector_bytes)
    }

    /// The start of the sector at or behind `offset`.
    pub(super) fn sector_from(&self, offset: u64) -> u64 {
        offset.next_multiple_of(u64::from(self.sector_bytes))
    }
}

/// A part that was put into a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Put {
    pub(super) part: PartId,
    pub(super) incarnation: u64,
    pub(super) length: u32,
    /// Where in the segment its area begins.
    pub(super) offset: u32,
    pub(super) root: [u8; 32],
}

/// A part that was given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Kill {
    pub(super) part: PartId,
    pub(super) incarnation: u64,
    pub(super) oldest: u32,
    pub(super) newest: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Record {
    Put(Put),
    Kill(Kill),
}

impl Record {
    pub(super) fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        let (kind, part, incarnation) = match self {
            Record::Put(put) => (KIND_PUT, put.part, put.incarnation),
            Record::Kill(kill) => (KIND_KILL, kill.part, kill.incarnation),
        };
        bytes[0] = kind;
        bytes[1] = part.index;
        bytes[8..16].copy_from_slice(&part.slice.raw().to_le_bytes());
        bytes[16..24].copy_from_slice(&incarnation.to_le_bytes());
        match self {
            Record::Put(put) => {
                bytes[4..8].copy_from_slice(&put.length.to_le_bytes());
                bytes[24..28].copy_from_slice(&put.offset.to_le_bytes());
                bytes[32..].copy_from_slice(&put.root);
            }
            Record::Kill(kill) => {
                bytes[24..28].copy_from_slice(&kill.oldest.to_le_bytes());
                bytes[28..32].copy_from_slice(&kill.newest.to_le_bytes());
            }
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        let [kind, index, 0, 0] = fields.array()? else { return None };
        let length = fields.u32()?;
        let slice = SliceId::from_raw(fields.u64()?)?;
        let incarnation = fields.u64()?;
        let (one, other) = (fields.u32()?, fields.u32()?);
        let root: [u8; 32] = fields.array()?;
        let part = PartId { slice, index };
        let record = match kind {
            KIND_PUT if other == 0 && length <= SLICE_BYTES_MAX => {
                Record::Put(Put { part, incarnation, length, offset: one, root })
            }
            KIND_KILL if length == 0 && root == [0; 32] && one <= other => {
                Record::Kill(Kill { part, incarnation, oldest: one, newest: other })
            }
            _ => return None,
        };
        (incarnation != 0).then_some(record)
    }
}

/// Puts a batch together.
pub(super) struct BatchEncoder<'a> {
    head: &'a SegmentHead,
    offset: u64,
    records: Vec<Record>,
    areas: Vec<(Vec<u8>, Bytes)>,
    areas_bytes: usize,
}

impl<'a> BatchEncoder<'a> {
    pub(super) fn new(head: &'a SegmentHead, offset: u64) -> Self {
        assert!(offset.is_multiple_of(u64::from(head.sector_bytes)), "a batch begins with a sector");
        Self { head, offset, records: Vec::new(), areas: Vec::new(), areas_bytes: 0 }
    }

    pub(super) fn put(&mut self, part: PartId, incarnation: u64, root: [u8; 32], sums: &[u32], data: Bytes) {
        let length = data.len() as u32;
        assert_eq!(sums.len(), leaf_count(length), "a sum for each leaf");
        // Where among the areas it lies; the place in the segment is known at the end.
        let offset = self.areas_bytes as u32;
        self.records.push(Record::Put(Put { part, incarnation, length, offset, root }));
        self.areas_bytes += area_bytes(length);
        self.areas.push((sums_to_bytes(sums), data));
    }

    pub(super) fn kill(&mut self, kill: Kill) {
        self.records.push(Record::Kill(kill));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The batch, with the zeros behind it, and its records.
    pub(super) fn finish(mut self) -> (Bytes, Vec<Record>) {
        let heads = BATCH_HEAD_BYTES + self.records.len() * RECORD_BYTES;
        let length = heads + self.areas_bytes;
        let areas_at = self.offset as u32 + heads as u32;
        let mut bytes = BytesMut::with_capacity(self.head.sector_from(length as u64) as usize);
        bytes.extend_from_slice(BATCH_MAGIC);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.head.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(&(length as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.records.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        for record in &mut self.records {
            if let Record::Put(put) = record {
                put.offset += areas_at;
            }
            bytes.extend_from_slice(&record.encode());
        }
        assert_eq!(bytes.len(), heads);
        let checksum = crc32c(&bytes[CHECKED_FROM..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        for (sums, data) in &self.areas {
            bytes.extend_from_slice(sums);
            bytes.extend_from_slice(data);
        }
        assert_eq!(bytes.len(), length);
        bytes.resize(self.head.sector_from(length as u64) as usize, 0);
        (bytes.freeze(), self.records)
    }
}

/// A batch as it was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    /// Where in the segment its last area ends.
    pub(super) end: u64,
}

impl Batch {
    /// The batch at `offset` of a segment's image, if one of this segment's lies there.
    pub(super) fn decode(head: &SegmentHead, image: &[u8], offset: u64) -> Option<Self> {
        let bytes = image.get(usize::try_from(offset).ok()?..)?;
        let mut fields = Fields::new(bytes);
        let [magic, checksum]: [[u8; 4]; 2] = [fields.array()?, fields.array()?];
        if &magic != BATCH_MAGIC || fields.u64()? != head.epoch || fields.u64()? != offset {
            return None;
        }
        let (length, count) = (fields.u32()? as usize, fields.u32()? as usize);
        let zero = fields.u64()?;
        let heads = count.checked_mul(RECORD_BYTES)?.checked_add(BATCH_HEAD_BYTES)?;
        if length > bytes.len() || heads > length || zero != 0 || count == 0 {
            return None;
        }
        if crc32c(&bytes[CHECKED_FROM..heads]) != u32::from_le_bytes(checksum) {
            return None;
        }
        let (areas_at, end) = (offset + heads as u64, offset + length as u64);
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            let record = Record::decode(&fields.array()?)?;
            if let Record::Put(put) = &record {
                let at = u64::from(put.offset);
                if at < areas_at || at + area_bytes(put.length) as u64 > end {
                    return None;
                }
            }
            records.push(record);
        }
        Some(Self { records, end })
    }
}
