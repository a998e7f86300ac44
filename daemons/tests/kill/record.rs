//! Records that prove what they are: from their first bytes every other byte follows.
//!
//! ```text
//!  0          8          16      20      24                 24 + length
//! +----------+----------+-------+-------+------------------+
//! | writer   | sequence | place | count | mixed from these |
//! +----------+----------+-------+-------+------------------+
//! place: which of the `count` records of its append it is.
//! ```

use bytes::Bytes;
use mooseng_core::chance::mix;

const HEAD_BYTES: usize = 24;
/// Longer than a sector and shorter than a batch.
const LENGTH_MAX: u64 = 9_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) writer: u64,
    pub(crate) sequence: u64,
    pub(crate) place: u32,
    pub(crate) count: u32,
}

impl Head {
    pub(crate) fn record(self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + LENGTH_MAX as usize);
        bytes.extend_from_slice(&self.writer.to_le_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.place.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        let seed = mix(self.writer << 32 ^ self.sequence << 3 ^ u64::from(self.place));
        // Mostly short, now and then over several sectors.
        let length = if seed.is_multiple_of(8) { seed / 8 % LENGTH_MAX } else { seed / 8 % 200 };
        bytes.extend((0..length).map(|index| mix(seed ^ index) as u8));
        Bytes::from(bytes)
    }

    /// `None` unless every byte is what it must be.
    pub(crate) fn read(record: &Bytes) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(record.get(at..at + 8)?.try_into().ok()?));
        let (writer, sequence, rest) = (word(0)?, word(8)?, word(16)?);
        let head = Self { writer, sequence, place: rest as u32, count: (rest >> 32) as u32 };
        (head.record() == record).then_some(head)
    }
}
