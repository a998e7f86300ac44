//! Storage classes: as how many parts a slice is kept, and how many of them may be lost. Knows no
//! server and no byte of the parts themselves.

use std::fmt;
use std::str::FromStr;

/// A file is cut into chunks of this many bytes; no slice crosses their borders.
pub const CHUNK_BYTES: u64 = 64 << 20;
/// The longest slice.
pub const SLICE_BYTES_MAX: u32 = 64 << 20;
/// What a checksum of a stored part covers.
pub const LEAF_BYTES: u32 = 4096;
/// Below this many bytes for each data part, a slice of an erasure class is kept as copies.
const PART_BYTES_MIN: u32 = 64 << 10;

const DATA_MAX: u8 = 32;
const PARITY_MAX: u8 = 32;

/// `data` parts hold the bytes and any `parity` parts of all may be lost. `copies=N` is one data
/// part and `N - 1` more that are equal to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageClass {
    data: u8,
    parity: u8,
    strict: bool,
}

impl StorageClass {
    /// `None` unless there are 1 to 32 data and 0 to 32 parity parts.
    pub const fn new(data: u8, parity: u8, strict: bool) -> Option<Self> {
        if data >= 1 && data <= DATA_MAX && parity <= PARITY_MAX {
            Some(Self { data, parity, strict })
        } else {
            None
        }
    }

    /// `None` unless there are 1 to 33 copies.
    pub const fn copies(count: u8) -> Option<Self> {
        if count == 0 { None } else { Self::new(1, count - 1, false) }
    }

    pub fn data(self) -> u8 {
        self.data
    }

    pub fn parity(self) -> u8 {
        self.parity
    }

    /// Does it refuse to be written with fewer parts than it has?
    pub fn strict(self) -> bool {
        self.strict
    }

    pub fn is_copies(self) -> bool {
        self.data == 1
    }

    /// How many parts there are, each on a server of its own.
    pub fn parts(self) -> u8 {
        self.data + self.parity
    }

    /// The fewest durable parts with which a slice may be committed: all of a strict class; of a
    /// loose one, enough to lose one more where the class can lose any at all.
    pub fn parts_to_commit(self) -> u8 {
        if self.strict { self.parts() } else { self.data + self.parity.min(1) }
    }

    /// As what a slice of `length` bytes is kept: small ones of an erasure class as copies that
    /// survive as many losses.
    pub fn for_length(self, length: u32) -> Self {
        let small = u64::from(length) < u64::from(self.data) * u64::from(PART_BYTES_MIN);
        if small { Self { data: 1, ..self } } else { self }
    }

    /// `strict << 16 | data << 8 | parity`: the class in messages and on disks.
    pub fn to_raw(self) -> u32 {
        u32::from(self.strict) << 16 | u32::from(self.data) << 8 | u32::from(self.parity)
    }

    /// Takes a class that came from outside; `None` if no such class can exist.
    pub fn from_raw(raw: u32) -> Option<Self> {
        let [parity, data, strict, rest] = raw.to_le_bytes();
        if strict > 1 || rest != 0 {
            return None;
        }
        Self::new(data, parity, strict == 1)
    }
}

/// Two copies.
impl Default for StorageClass {
    fn default() -> Self {
        Self { data: 1, parity: 1, strict: false }
    }
}

impl fmt::Display for StorageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.data {
            1 => write!(f, "copies={}", self.parts())?,
            data => write!(f, "ec={data}+{}", self.parity)?,
        }
        if self.strict { f.write_str(",strict") } else { Ok(()) }
    }
}

impl fmt::Debug for StorageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text names no class.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{text}` is no storage class: write copies=N (1 to 33) or ec=K+M (K from 2 to 32, M from 1 to 32), \
     with `,strict` behind it to refuse writing with fewer parts"
)]
pub struct ClassUnknown {
    pub text: String,
}

impl FromStr for StorageClass {
    type Err = ClassUnknown;

    fn from_str(text: &str) -> Result<Self, ClassUnknown> {
        let (kind, strict) = match text.strip_suffix(",strict") {
            Some(kind) => (kind, true),
            None => (text, false),
        };
        parse(kind)
            .map(|class| Self { strict, ..class })
            .ok_or_else(|| ClassUnknown { text: text.to_owned() })
    }
}

fn parse(kind: &str) -> Option<StorageClass> {
    if let Some(count) = kind.strip_prefix("copies=") {
        return StorageClass::copies(number(count)?);
    }
    let (data, parity) = kind.strip_prefix("ec=")?.split_once('+')?;
    let (data, parity) = (number(data)?, number(parity)?);
    if data < 2 || parity < 1 {
        return None;
    }
    StorageClass::new(data, parity, false)
}

/// Digits alone: the standard's parser would also take a sign.
fn number(text: &str) -> Option<u8> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in
            ["copies=1", "copies=2", "copies=33", "ec=4+2", "ec=32+32", "copies=3,strict", "ec=8+3,strict"]
        {
            let class: StorageClass = name.parse().unwrap();
            assert_eq!(class.to_string(), name);
            assert_eq!(StorageClass::from_raw(class.to_raw()), Some(class));
        }
        assert_eq!(StorageClass::default().to_string(), "copies=2");
    }

    #[test]
    fn what_names_no_class_is_refused_with_the_remedy() {
        for name in [
            "",
            "copies=0",
            "copies=34",
            "ec=1+2",
            "ec=4",
            "ec=33+1",
            "ec=4+33",
            "ec=4+0",
            "ec=+4+2",
            "ec=4+2,loose",
            "copies=2 ",
        ] {
            let error = name.parse::<StorageClass>().unwrap_err();
            assert!(
                error.to_string().starts_with(&format!("`{name}` is no storage class: write ")),
                "{error}"
            );
        }
    }

    #[test]
    fn every_class_survives_its_raw_form_and_nothing_else_does() {
        let known = |raw: u32| StorageClass::from_raw(raw).inspect(|class| assert_eq!(class.to_raw(), raw));
        let classes = (0..1 << 18).filter(|raw| known(*raw).is_some()).count();
        assert_eq!(classes, 2 * 32 * 33);
        assert!([1 << 24 | 1 << 8, u32::MAX, 0].iter().all(|raw| known(*raw).is_none()));
    }

    #[test]
    fn a_loose_class_is_committed_with_one_part_to_spare() {
        let needed = |name: &str| name.parse::<StorageClass>().unwrap().parts_to_commit();
        assert_eq!(["copies=1", "copies=2", "copies=3", "ec=4+2", "ec=8+1"].map(needed), [1, 2, 2, 5, 9]);
        assert_eq!(["copies=3,strict", "ec=4+2,strict"].map(needed), [3, 6]);
    }

    #[test]
    fn a_small_slice_of_a_stripe_is_kept_as_copies_that_survive_as_much() {
        let class: StorageClass = "ec=4+2,strict".parse().unwrap();
        assert_eq!(class.for_length(4 * 65_536), class);
        assert_eq!(class.for_length(4 * 65_536 - 1).to_string(), "copies=3,strict");
        let copies: StorageClass = "copies=2".parse().unwrap();
        assert_eq!([0, 1, 65_535, 65_536].map(|length| copies.for_length(length)), [copies; 4]);
    }
}
