//! Single fields: what a number or a run of bytes from outside may be.

use bytes::Bytes;
use mooseng_core::id::{InodeId, SLOTS, SessionId, Slot};
use mooseng_core::namespace::{Name, Target, XattrName};

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 16;

/// A message that no sound peer sends. `field` is its path in the .proto files.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Malformed {
    pub field: &'static str,
    pub why: String,
}

impl Malformed {
    pub fn new(field: &'static str, why: impl Into<String>) -> Self {
        Self { field, why: why.into() }
    }
}

/// A message that must be there.
pub fn required<T>(field: &'static str, value: Option<T>) -> Result<T, Malformed> {
    value.ok_or_else(|| Malformed::new(field, "missing"))
}

/// Drawn by whoever asks, so that asking twice is told from asking again.
pub fn nonce(field: &'static str, bytes: &[u8]) -> Result<[u8; NONCE_BYTES], Malformed> {
    let wrong = || Malformed::new(field, format!("a nonce has {NONCE_BYTES} bytes, not {}", bytes.len()));
    bytes.try_into().map_err(|_| wrong())
}

pub fn session(field: &'static str, raw: u64) -> Result<SessionId, Malformed> {
    if raw == 0 { Err(Malformed::new(field, "no session has number 0")) } else { Ok(SessionId(raw)) }
}

pub fn slot(field: &'static str, raw: u32) -> Result<Slot, Malformed> {
    let slot = u16::try_from(raw).ok().and_then(Slot::new);
    slot.ok_or_else(|| Malformed::new(field, format!("slot {raw} is not below {SLOTS}")))
}

/// A number that counts from 1.
pub fn count(field: &'static str, raw: u64) -> Result<u64, Malformed> {
    if raw == 0 { Err(Malformed::new(field, "counts from 1, and is 0")) } else { Ok(raw) }
}

pub fn inode(field: &'static str, raw: u64) -> Result<InodeId, Malformed> {
    InodeId::from_raw(raw).ok_or_else(|| Malformed::new(field, format!("{raw:#x} can be no inode's number")))
}

pub fn sessions(field: &'static str, raw: Vec<u64>) -> Result<Vec<SessionId>, Malformed> {
    raw.into_iter().map(|raw| session(field, raw)).collect()
}

pub fn inodes(field: &'static str, raw: Vec<u64>) -> Result<Vec<InodeId>, Malformed> {
    raw.into_iter().map(|raw| inode(field, raw)).collect()
}

/// A name that is too long is a question with an answer (ENAMETOOLONG), but one that a client
/// gives without asking a server.
pub(super) fn name(field: &'static str, bytes: Bytes) -> Result<Name, Malformed> {
    let length = bytes.len();
    Name::new(bytes).map_err(|refusal| Malformed::new(field, format!("a name of {length} bytes: {refusal}")))
}

pub(super) fn target(field: &'static str, bytes: Bytes) -> Result<Target, Malformed> {
    let length = bytes.len();
    Target::new(bytes)
        .map_err(|refusal| Malformed::new(field, format!("a target of {length} bytes: {refusal}")))
}

pub(super) fn xattr_name(field: &'static str, bytes: Bytes) -> Result<XattrName, Malformed> {
    let length = bytes.len();
    XattrName::new(bytes)
        .map_err(|refusal| Malformed::new(field, format!("a name of {length} bytes: {refusal}")))
}

pub(super) fn mode(field: &'static str, raw: u32) -> Result<u16, Malformed> {
    match u16::try_from(raw) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => Err(Malformed::new(field, format!("{raw:#o} has bits beyond the 12 of a mode"))),
    }
}

pub(super) fn unknown<T>(field: &'static str, raw: i32) -> Result<T, Malformed> {
    Err(Malformed::new(field, format!("value {raw} is unknown here")))
}
