//! The bytes of a snapshot: pure encoding and decoding.
//!
//! The head, and the foot, inside their envelopes:
//!
//! ```text
//!  0       8       16     24            28
//! +-------+-------+------+-------------+------ ... ------+
//! | group | index | term | block bytes | meta            |      magic MOOSESNP
//! +-------+-------+------+-------------+------ ... ------+
//!
//!  0       8             40
//! +-------+-------------+
//! | bytes | Blake3 root |                                        magic MOOSESNE
//! +-------+-------------+
//! ```
//!
//! and a block:
//!
//! ```text
//!  0        4         8
//! +--------+---------+------ ... ------+
//! | length | CRC-32C |  length bytes   |
//! +--------+---------+------ ... ------+
//! ```
//!
//! The checksum of block `n` covers `n`, its length and its bytes: a block in another's place does
//! not pass. The root is the Blake3 hash of group, index, term, the length of meta, meta and the
//! whole image.

use crate::envelope::{ENVELOPE_BYTES, Fault, Format};
use crate::field::Fields;
use bytes::Bytes;
use mooseng_core::checksum::crc32c_of;
use mooseng_core::id::GroupId;

/// How much of the image a block holds; the last one may hold less.
pub(super) const BLOCK_BYTES: usize = 64 << 10;
pub(super) const BLOCK_HEAD_BYTES: usize = 8;
pub(super) const FOOT_BYTES: usize = 40 + ENVELOPE_BYTES;
/// The longest meta.
pub(super) const META_BYTES_MAX: usize = 64 << 10;
const HEAD_FIXED_BYTES: usize = 28;

pub(super) const HEAD: Format = Format {
    magic: b"MOOSESNP",
    version: 1,
    name: "snapshot",
    bytes_max: HEAD_FIXED_BYTES + META_BYTES_MAX + ENVELOPE_BYTES,
};
pub(super) const FOOT: Format =
    Format { magic: b"MOOSESNE", version: 1, name: "snapshot", bytes_max: FOOT_BYTES };
const MANIFEST: Format = Format {
    magic: b"MOOSESNM",
    version: 1,
    name: "snapshot manifest",
    bytes_max: HEAD.bytes_max + FOOT_BYTES,
};

/// What a snapshot is, and how to tell that an image is that one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    pub group: GroupId,
    pub index: u64,
    pub term: u64,
    /// The length of the image.
    pub bytes: u64,
    pub root: [u8; 32],
    /// What the group keeps beside the image (its members, say).
    pub meta: Bytes,
}

impl Manifest {
    /// For a message: another replica fetches the snapshot by it.
    pub fn encode(&self) -> Bytes {
        let mut body = self.bytes.to_le_bytes().to_vec();
        body.extend_from_slice(&self.root);
        body.extend_from_slice(&head_body(self.group, self.index, self.term, &self.meta));
        MANIFEST.seal(&body).into()
    }

    /// `None` if it is no manifest, or damaged, or of another version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, length) = MANIFEST.open(bytes).ok()?;
        let (sizes, identity) = body.split_at_checked(40)?;
        let foot = Foot::decode_body(sizes)?;
        let head = Head::decode_body(identity)?;
        (length == bytes.len()).then(|| head.with(&foot))
    }
}

/// What is known of a snapshot before its image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) group: GroupId,
    pub(super) index: u64,
    pub(super) term: u64,
    pub(super) meta: Bytes,
}

fn head_body(group: GroupId, index: u64, term: u64, meta: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(HEAD_FIXED_BYTES + meta.len());
    for word in [group.0, index, term] {
        body.extend_from_slice(&word.to_le_bytes());
    }
    body.extend_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
    body.extend_from_slice(meta);
    body
}

impl Head {
    pub(super) fn encode(&self) -> Vec<u8> {
        HEAD.seal(&head_body(self.group, self.index, self.term, &self.meta))
    }

    /// The head, and the length of its envelope.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, usize), Fault> {
        let (body, length) = HEAD.open(bytes)?;
        Ok((Self::decode_body(body).ok_or(Fault::Broken)?, length))
    }

    fn decode_body(body: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(body);
        let (group, index, term) = (GroupId(fields.u64()?), fields.u64()?, fields.u64()?);
        if fields.u32()? as usize != BLOCK_BYTES || body.len() > HEAD_FIXED_BYTES + META_BYTES_MAX {
            return None;
        }
        Some(Self { group, index, term, meta: Bytes::copy_from_slice(fields.rest()) })
    }

    pub(super) fn with(self, foot: &Foot) -> Manifest {
        let Self { group, index, term, meta } = self;
        Manifest { group, index, term, bytes: foot.bytes, root: foot.root, meta }
    }

    /// The hash of the root, with everything in it but the image.
    pub(super) fn hasher(&self) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new();
        for word in [self.group.0, self.index, self.term, self.meta.len() as u64] {
            hasher.update(&word.to_le_bytes());
        }
        hasher.update(&self.meta);
        hasher
    }
}

/// What is known only after the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Foot {
    pub(super) bytes: u64,
    pub(super) root: [u8; 32],
}

impl Foot {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = self.bytes.to_le_bytes().to_vec();
        body.extend_from_slice(&self.root);
        FOOT.seal(&body)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let (body, _) = FOOT.open(bytes)?;
        Self::decode_body(body).ok_or(Fault::Broken)
    }

    fn decode_body(body: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(body);
        let foot = Self { bytes: fields.u64()?, root: fields.array()? };
        fields.rest().is_empty().then_some(foot)
    }
}

/// Where things lie in a file whose image has `bytes` bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Places {
    pub(super) head_bytes: u64,
    pub(super) bytes: u64,
}

impl Places {
    pub(super) fn blocks(&self) -> u64 {
        self.bytes.div_ceil(BLOCK_BYTES as u64)
    }

    /// The offset in the file of a block, its head included.
    pub(super) fn block(&self, number: u64) -> u64 {
        self.head_bytes + number * (BLOCK_BYTES + BLOCK_HEAD_BYTES) as u64
    }

    /// How much of the image a block holds.
    pub(super) fn block_bytes(&self, number: u64) -> usize {
        let left = self.bytes - number * BLOCK_BYTES as u64;
        left.min(BLOCK_BYTES as u64) as usize
    }

    /// The offset of the foot; `None` if no file can be so long.
    pub(super) fn foot(&self) -> Option<u64> {
        let heads = self.blocks().checked_mul(BLOCK_HEAD_BYTES as u64)?;
        self.head_bytes.checked_add(heads)?.checked_add(self.bytes)
    }
}

fn block_checksum(number: u64, length: [u8; 4], data: &[u8]) -> u32 {
    crc32c_of(&[&number.to_le_bytes(), &length, data])
}

/// Puts a block at the end of `file`.
pub(super) fn encode_block(number: u64, data: &[u8], file: &mut Vec<u8>) {
    assert!(!data.is_empty() && data.len() <= BLOCK_BYTES, "a block of {} bytes", data.len());
    let length = (data.len() as u32).to_le_bytes();
    file.extend_from_slice(&length);
    file.extend_from_slice(&block_checksum(number, length, data).to_le_bytes());
    file.extend_from_slice(data);
}

/// What block `number` holds, if it is that block and whole.
pub(super) fn decode_block(number: u64, block: &Bytes) -> Option<Bytes> {
    let mut fields = Fields::new(block);
    let (length, checksum): ([u8; 4], u32) = (fields.array()?, fields.u32()?);
    let whole = u32::from_le_bytes(length) as usize == block.len() - BLOCK_HEAD_BYTES;
    let data = fields.rest();
    (whole && checksum == block_checksum(number, length, data)).then(|| block.slice_ref(data))
}
