//! The bytes of a frame: what both machines put on a connection and take off it. Knows neither
//! sockets nor what a head says.
//!
//! ```text
//!  0        2  3  4           8          12          16          20          24
//! +--------+--+--+-----------+-----------+-----------+-----------+-----------+------+------+
//! | magic  |v |f | head      | body      | CRC of    | CRC of    | CRC of    | head | body |
//! | "MN"   |  |  | length    | length    | the head  | the body  | bytes 0-20|      |      |
//! +--------+--+--+-----------+-----------+-----------+-----------+-----------+------+------+
//! v: version, 1.   f: flags; bit 0: the body's CRC is given, otherwise that field is zero.
//! ```
//!
//! Numbers are little-endian, every CRC is CRC-32C. A body of plain bytes carries its CRC. A body
//! that goes straight from a disk to a socket does not, for nobody looks at its bytes on the way:
//! its receiver holds it against the checksums of what it asked for.
//!
//! In every version the first 24 bytes are laid out like this as far as magic, version and the
//! prefix's own CRC go, so that a stranger's version is told apart from damage.

use bytes::{BufMut, Bytes, BytesMut};
use mooseng_core::checksum::crc32c;
use mooseng_core::env::{
    Body, Extent, FRAME_BODY_BYTES_MAX, FRAME_HEAD_BYTES_MAX, Frame, NetError, Received,
};

/// Bytes before the head.
pub const PREFIX_BYTES: usize = 24;
/// The version this build writes and the only one it reads.
pub const FRAME_VERSION: u8 = 1;

const MAGIC: [u8; 2] = *b"MN";
const FLAG_BODY_CHECKED: u8 = 1;

/// What is wrong with the bytes of a frame.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame starts with \"MN\", not with {found:02x?}")]
    Magic { found: [u8; 2] },
    #[error("the frame's prefix does not match its checksum")]
    PrefixDamaged,
    #[error("frame version {found} is unknown here: this build speaks version {FRAME_VERSION}")]
    Version { found: u8 },
    #[error("frame flags {found:#04x} are unknown here")]
    Flags { found: u8 },
    #[error("the frame's head has {bytes} bytes, at most {FRAME_HEAD_BYTES_MAX} are allowed")]
    HeadTooLong { bytes: u64 },
    #[error("the frame's body has {bytes} bytes, at most {FRAME_BODY_BYTES_MAX} are allowed")]
    BodyTooLong { bytes: u64 },
    #[error("the frame's head does not match its checksum")]
    HeadDamaged,
    #[error("the frame's body does not match its checksum")]
    BodyDamaged,
    #[error("the frame should have {expected} bytes and has {found}")]
    Length { expected: u64, found: u64 },
}

/// To a receiver a bad frame is a peer's rubbish. A sender's frames are only ever too large, which is
/// [`NetError::TooLarge`].
impl From<FrameError> for NetError {
    fn from(error: FrameError) -> Self {
        NetError::Rubbish { what: error.to_string() }
    }
}

/// A checked prefix: its lengths are within the limits and may be allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prefix {
    pub head_bytes: usize,
    pub body_bytes: usize,
    head_crc: u32,
    body_crc: Option<u32>,
}

impl Prefix {
    /// Is this the head that was sent?
    pub fn check_head(&self, head: &[u8]) -> Result<(), FrameError> {
        if head.len() != self.head_bytes {
            let (expected, found) = (self.head_bytes as u64, head.len() as u64);
            return Err(FrameError::Length { expected, found });
        }
        if crc32c(head) == self.head_crc { Ok(()) } else { Err(FrameError::HeadDamaged) }
    }

    /// Is this the body that was sent? A body without a CRC is believed.
    pub fn check_body(&self, body: &[u8]) -> Result<(), FrameError> {
        if body.len() != self.body_bytes {
            let (expected, found) = (self.body_bytes as u64, body.len() as u64);
            return Err(FrameError::Length { expected, found });
        }
        match self.body_crc {
            Some(crc) if crc32c(body) != crc => Err(FrameError::BodyDamaged),
            _ => Ok(()),
        }
    }

    /// Bytes of the whole frame, the prefix included.
    pub fn frame_bytes(&self) -> usize {
        PREFIX_BYTES + self.head_bytes + self.body_bytes
    }
}

/// The prefix of a frame, to be sent before its head and its body.
pub fn encode_prefix<X: Extent>(frame: &Frame<X>) -> Result<[u8; PREFIX_BYTES], FrameError> {
    let body_crc = match &frame.body {
        Body::Bytes(bytes) if !bytes.is_empty() && bytes.len() <= FRAME_BODY_BYTES_MAX => Some(crc32c(bytes)),
        Body::Empty | Body::Bytes(_) | Body::Extent(_) => None,
    };
    prefix_of(&frame.head, frame.body.len(), body_crc)
}

/// Prefix and head in one piece; the body follows them on the wire.
pub fn encode<X: Extent>(frame: &Frame<X>) -> Result<Bytes, FrameError> {
    let prefix = encode_prefix(frame)?;
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + frame.head.len());
    bytes.put_slice(&prefix);
    bytes.put_slice(&frame.head);
    Ok(bytes.freeze())
}

/// Looks at the first bytes of a frame. Whatever they are, the answer is a prefix whose lengths
/// are within the limits, or one error.
pub fn decode_prefix(bytes: &[u8; PREFIX_BYTES]) -> Result<Prefix, FrameError> {
    let magic = [bytes[0], bytes[1]];
    if magic != MAGIC {
        return Err(FrameError::Magic { found: magic });
    }
    let [head_bytes, body_bytes, head_crc, body_crc, prefix_crc] = std::array::from_fn(|word| {
        let at = 4 + 4 * word;
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    });
    if crc32c(&bytes[..20]) != prefix_crc {
        return Err(FrameError::PrefixDamaged);
    }
    let (version, flags) = (bytes[2], bytes[3]);
    if version != FRAME_VERSION {
        return Err(FrameError::Version { found: version });
    }
    let body_is_checked = flags == FLAG_BODY_CHECKED;
    if flags & !FLAG_BODY_CHECKED != 0 || (!body_is_checked && body_crc != 0) {
        return Err(FrameError::Flags { found: flags });
    }
    check_lengths(u64::from(head_bytes), u64::from(body_bytes))?;
    Ok(Prefix {
        head_bytes: head_bytes as usize,
        body_bytes: body_bytes as usize,
        head_crc,
        body_crc: body_is_checked.then_some(body_crc),
    })
}

/// A whole frame in one piece, as if `received` were sent again; `body_checked` says whether the
/// body is given its CRC, which a body from an extent is not.
pub fn encode_whole(received: &Received, body_checked: bool) -> Result<Vec<u8>, FrameError> {
    let (head, body) = (&received.head, &received.body);
    check_lengths(head.len() as u64, body.len() as u64)?;
    let body_crc = (body_checked && !body.is_empty()).then(|| crc32c(body));
    let prefix = prefix_of(head, body.len() as u64, body_crc)?;
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + head.len() + body.len());
    bytes.extend_from_slice(&prefix);
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(body);
    Ok(bytes)
}

/// Takes apart exactly one frame.
pub fn decode_whole(bytes: &[u8]) -> Result<Received, FrameError> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(FrameError::Length { expected: PREFIX_BYTES as u64, found: bytes.len() as u64 });
    };
    let prefix = decode_prefix(prefix)?;
    if bytes.len() != prefix.frame_bytes() {
        let (expected, found) = (prefix.frame_bytes() as u64, bytes.len() as u64);
        return Err(FrameError::Length { expected, found });
    }
    let (head, body) = rest.split_at(prefix.head_bytes);
    prefix.check_head(head)?;
    prefix.check_body(body)?;
    Ok(Received { head: Bytes::copy_from_slice(head), body: Bytes::copy_from_slice(body) })
}

fn prefix_of(head: &[u8], body_bytes: u64, body_crc: Option<u32>) -> Result<[u8; PREFIX_BYTES], FrameError> {
    check_lengths(head.len() as u64, body_bytes)?;
    let flags = if body_crc.is_some() { FLAG_BODY_CHECKED } else { 0 };
    let mut prefix = [0; PREFIX_BYTES];
    prefix[..2].copy_from_slice(&MAGIC);
    prefix[2] = FRAME_VERSION;
    prefix[3] = flags;
    prefix[4..8].copy_from_slice(&(head.len() as u32).to_le_bytes());
    prefix[8..12].copy_from_slice(&(body_bytes as u32).to_le_bytes());
    prefix[12..16].copy_from_slice(&crc32c(head).to_le_bytes());
    prefix[16..20].copy_from_slice(&body_crc.unwrap_or(0).to_le_bytes());
    let own_crc = crc32c(&prefix[..20]);
    prefix[20..].copy_from_slice(&own_crc.to_le_bytes());
    Ok(prefix)
}

fn check_lengths(head_bytes: u64, body_bytes: u64) -> Result<(), FrameError> {
    if head_bytes > FRAME_HEAD_BYTES_MAX as u64 {
        return Err(FrameError::HeadTooLong { bytes: head_bytes });
    }
    if body_bytes > FRAME_BODY_BYTES_MAX as u64 {
        return Err(FrameError::BodyTooLong { bytes: body_bytes });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
