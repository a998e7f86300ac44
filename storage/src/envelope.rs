//! The head that every file here begins with, so that a file of another program, another format or
//! a newer version is told apart from a damaged one before anything else is believed.
//!
//! ```text
//!  0        8          12         16                         length-4      length
//! +--------+----------+----------+---- ... ------------------+-------------+
//! | magic  | version  | length   |  what the format says     | CRC-32C     |
//! +--------+----------+----------+---- ... ------------------+-------------+
//! ```
//!
//! All numbers are little-endian. `length` counts everything from the magic to the checksum, and
//! the checksum covers everything before it. These rules hold for all versions to come.

use crate::error::StorageError;
use crate::field::Fields;
use mooseng_core::checksum::crc32c;

/// Bytes around what the format says.
pub(crate) const ENVELOPE_BYTES: usize = 20;

/// Stands for every byte of a sector that the disk cannot read.
pub(crate) const UNREADABLE: u8 = 0xff;

/// Which format, and the version this program writes and reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    pub(crate) magic: &'static [u8; 8],
    pub(crate) version: u32,
    /// In words, for the line an operator reads.
    pub(crate) name: &'static str,
    /// The longest envelope that any version may have.
    pub(crate) bytes_max: usize,
}

/// Why an envelope was not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// It does not begin as such a file does.
    Foreign,
    /// It is whole, and of a version this program does not know.
    Version(u32),
    /// It began as it should and does not go on so.
    Broken,
}

impl Format {
    pub(crate) fn seal(&self, body: &[u8]) -> Vec<u8> {
        let length = body.len() + ENVELOPE_BYTES;
        assert!(length <= self.bytes_max, "a {} head of {length} bytes", self.name);
        let mut sealed = Vec::with_capacity(length);
        sealed.extend_from_slice(self.magic);
        sealed.extend_from_slice(&self.version.to_le_bytes());
        sealed.extend_from_slice(&(length as u32).to_le_bytes());
        sealed.extend_from_slice(body);
        let checksum = crc32c(&sealed);
        sealed.extend_from_slice(&checksum.to_le_bytes());
        assert_eq!(sealed.len(), length);
        sealed
    }

    /// What the format says in the envelope at the front of `bytes`, and the envelope's length.
    pub(crate) fn open<'a>(&self, bytes: &'a [u8]) -> Result<(&'a [u8], usize), Fault> {
        let mut fields = Fields::new(bytes);
        let magic = fields.take(8).ok_or(Fault::Foreign)?;
        if magic != self.magic {
            // A head that was lost altogether is nobody else's.
            let lost = magic == [0; 8] || magic == [UNREADABLE; 8];
            return Err(if lost { Fault::Broken } else { Fault::Foreign });
        }
        let version = fields.u32().ok_or(Fault::Broken)?;
        let length = fields.u32().ok_or(Fault::Broken)? as usize;
        if length < ENVELOPE_BYTES || length > self.bytes_max {
            return Err(Fault::Broken);
        }
        let body = fields.take(length - ENVELOPE_BYTES).ok_or(Fault::Broken)?;
        let checksum = fields.u32().ok_or(Fault::Broken)?;
        if checksum != crc32c(&bytes[..length - 4]) {
            return Err(Fault::Broken);
        }
        if version == self.version { Ok((body, length)) } else { Err(Fault::Version(version)) }
    }

    /// The fault as the line an operator reads.
    pub(crate) fn explain(&self, fault: Fault, file: &str) -> StorageError {
        let (why, remedy) = match fault {
            Fault::Foreign => (
                format!("this is no MooseNG {}", self.name),
                "move it away, or point the server at its own data directory",
            ),
            Fault::Version(version) => (
                format!(
                    "this {} has format version {version}, and this program knows {}",
                    self.name, self.version
                ),
                "start the version of MooseNG that wrote it",
            ),
            Fault::Broken => (
                format!("the head of this {} is cut short or fails its checksum", self.name),
                "empty the data directory and let the server join again as a new one",
            ),
        };
        StorageError::Refused { file: file.to_owned(), why, remedy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format { magic: b"MOOSETST", version: 3, name: "test", bytes_max: 64 };

    #[test]
    fn what_was_sealed_opens() {
        let mut sealed = FORMAT.seal(b"body");
        sealed.extend_from_slice(b"more");
        assert_eq!(FORMAT.open(&sealed), Ok((&b"body"[..], 24)));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let sealed = FORMAT.seal(b"body");
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let expected = if bit < 64 { Fault::Foreign } else { Fault::Broken };
            assert_eq!(FORMAT.open(&flipped), Err(expected), "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert!(FORMAT.open(&sealed[..len]).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn another_version_is_named_in_one_line() {
        let newer = Format { version: 4, ..FORMAT }.seal(b"whatever else it holds");
        let fault = FORMAT.open(&newer).unwrap_err();
        assert_eq!(
            FORMAT.explain(fault, "a/b").to_string(),
            "a/b: this test has format version 4, and this program knows 3; start the version of MooseNG that \
             wrote it"
        );
    }
}
