//! The bytes of two more files of a chunk store: the table of a full segment, which spares a start
//! the reading of it, and the end of a large part's own file. Knows no file and no moment.
//!
//! `<sequence, 20 digits>.table` is an envelope (see `envelope`) with the magic `MOOSETAB` around
//!
//! ```text
//!  0        16         24      32     40                      length-32   length
//! +--------+----------+-------+------+---- ... --------------+-----------+
//! | store  | sequence | epoch | used |  records, 64 bytes    |  Blake3   |
//! | (16)   |          |       |      |  each, as in batches  |           |
//! +--------+----------+-------+------+---- ... --------------+-----------+
//! ```
//!
//! `used` is where the segment's last batch ends; the hash covers everything before it. A part's
//! own file is named `<slice>-<index>-<incarnation>-<length>.part`, in hexadecimal digits (16, 2, 16
//! and 8 of them), and holds
//!
//! ```text
//! +---- ... -----+-- ... --+---- ... -------------+----- ... -----+
//! |  its bytes   |  zeros  |  the leaves' sums    |  foot         |
//! +---- ... -----+-- ... --+---- ... -------------+----- ... -----+
//!                          ^ a multiple of 4,096
//! ```
//!
//! The foot is an envelope with the magic `MOOSEPRT` around
//!
//! ```text
//!  0       8       9      12       16            24         56
//! +-------+-------+------+--------+-------------+----------+
//! | slice | index | zero | length | incarnation |   root   |
//! +-------+-------+------+--------+-------------+----------+
//! ```

use super::layout::{RECORD_BYTES, Record, leaf_count};
use crate::envelope::{ENVELOPE_BYTES, Fault, Format};
use crate::field::Fields;
use mooseng_core::checksum::sums_to_bytes;
use mooseng_core::class::{LEAF_BYTES, SLICE_BYTES_MAX};
use mooseng_core::id::{PartId, SliceId};

pub(super) const TABLE: Format = Format {
    magic: b"MOOSETAB",
    version: 1,
    name: "table of a chunk store's segment",
    bytes_max: (1 << 30) + 4096,
};
pub(super) const FOOT: Format =
    Format { magic: b"MOOSEPRT", version: 1, name: "stored part", bytes_max: 512 };

const FOOT_BODY_BYTES: usize = 56;
const HASH_BYTES: usize = 32;

/// What a segment that is full holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Table {
    pub(super) store: [u8; 16],
    pub(super) sequence: u32,
    pub(super) epoch: u64,
    pub(super) used: u64,
    pub(super) records: Vec<Record>,
}

impl Table {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(40 + self.records.len() * RECORD_BYTES + HASH_BYTES);
        body.extend_from_slice(&self.store);
        for word in [u64::from(self.sequence), self.epoch, self.used] {
            body.extend_from_slice(&word.to_le_bytes());
        }
        for record in &self.records {
            body.extend_from_slice(&record.encode());
        }
        let hash = blake3::hash(&body);
        body.extend_from_slice(hash.as_bytes());
        TABLE.seal(&body)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let (body, length) = TABLE.open(bytes)?;
        if length != bytes.len() {
            return Err(Fault::Broken);
        }
        Self::decode_body(body).ok_or(Fault::Broken)
    }

    fn decode_body(body: &[u8]) -> Option<Self> {
        let (checked, hash) = body.split_at_checked(body.len().checked_sub(HASH_BYTES)?)?;
        if blake3::hash(checked).as_bytes() != hash {
            return None;
        }
        let mut fields = Fields::new(checked);
        let store = fields.array()?;
        let sequence = u32::try_from(fields.u64()?).ok()?;
        let (epoch, used) = (fields.u64()?, fields.u64()?);
        let (records, []) = fields.rest().as_chunks::<RECORD_BYTES>() else { return None };
        let records = records.iter().map(Record::decode).collect::<Option<_>>()?;
        Some(Self { store, sequence, epoch, used, records })
    }
}

/// A large part, as its own file says it in its name and at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OwnFile {
    pub(super) part: PartId,
    pub(super) incarnation: u64,
    pub(super) length: u32,
}

impl OwnFile {
    pub(super) fn name(&self) -> String {
        let Self { part, incarnation, length } = self;
        format!("{:016x}-{:02x}-{incarnation:016x}-{length:08x}.part", part.slice.raw(), part.index)
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        let mut fields = name.strip_suffix(".part")?.split('-');
        let mut field = |digits: usize| {
            let text = fields.next().filter(|text| text.len() == digits)?;
            let plain = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            plain.then(|| u64::from_str_radix(text, 16).ok())?
        };
        let slice = SliceId::from_raw(field(16)?)?;
        let part = PartId { slice, index: field(2)? as u8 };
        let (incarnation, length) = (field(16)?, field(8)? as u32);
        let whole = fields.next().is_none() && incarnation != 0 && length <= SLICE_BYTES_MAX;
        whole.then_some(Self { part, incarnation, length })
    }

    /// Where the sums begin.
    pub(super) fn sums_at(&self) -> u64 {
        u64::from(self.length).next_multiple_of(u64::from(LEAF_BYTES))
    }

    /// Bytes of sums and foot.
    pub(super) fn end_bytes(&self) -> usize {
        leaf_count(self.length) * 4 + FOOT_BODY_BYTES + ENVELOPE_BYTES
    }

    /// What stands behind the bytes and zeros.
    pub(super) fn encode_end(&self, sums: &[u32], root: &[u8; 32]) -> Vec<u8> {
        let mut body = Vec::with_capacity(FOOT_BODY_BYTES);
        body.extend_from_slice(&self.part.slice.raw().to_le_bytes());
        body.extend_from_slice(&[self.part.index, 0, 0, 0]);
        body.extend_from_slice(&self.length.to_le_bytes());
        body.extend_from_slice(&self.incarnation.to_le_bytes());
        body.extend_from_slice(root);
        let mut end = sums_to_bytes(sums);
        end.extend_from_slice(&FOOT.seal(&body));
        assert_eq!(end.len(), self.end_bytes());
        end
    }

    /// The root that the foot holds, if it is this part's.
    pub(super) fn decode_foot(&self, foot: &[u8]) -> Result<[u8; 32], Fault> {
        let (body, _) = FOOT.open(foot)?;
        let mut fields = Fields::new(body);
        let mut read = || {
            let slice = SliceId::from_raw(fields.u64()?)?;
            let [index, 0, 0, 0] = fields.array()? else { return None };
            let (length, incarnation) = (fields.u32()?, fields.u64()?);
            let root = fields.array()?;
            Some((Self { part: PartId { slice, index }, incarnation, length }, root))
        };
        match read() {
            Some((own, root)) if own == *self => Ok(root),
            _ => Err(Fault::Broken),
        }
    }
}
