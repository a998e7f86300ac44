//! What is under way on a connection.

use bytes::Bytes;
use mooseng_core::env::{NetError, Received};
use mooseng_net::frame::{PREFIX_BYTES, decode_whole, encode_whole};

/// What a frame is carried as.
pub(super) enum Load {
    /// As it is: coding is a bijection, and most frames may skip it.
    Plain(Received),
    /// As the bytes of the wire.
    Encoded(Vec<u8>),
    /// The far end says that nothing more comes.
    End,
}

pub(super) struct Packet {
    pub(super) arrival: u64,
    pub(super) serial: u64,
    pub(super) bytes: u64,
    pub(super) load: Load,
}

pub(super) fn wire_bytes(head: &Bytes, body_bytes: u64) -> u64 {
    PREFIX_BYTES as u64 + head.len() as u64 + body_bytes
}

impl Load {
    /// The frame as the bytes of the wire, with a bit flipped if `flip` says which.
    pub(super) fn encoded(received: &Received, body_checked: bool, flip: Option<u64>) -> Self {
        let mut bytes = match encode_whole(received, body_checked) {
            Ok(bytes) => bytes,
            Err(error) => unreachable!("the sizes were checked: {error}"),
        };
        if let Some(bit) = flip {
            let at = (bit / 8) as usize % bytes.len();
            bytes[at] ^= 1 << (bit % 8);
        }
        Load::Encoded(bytes)
    }

    /// What the receiver makes of it.
    pub(super) fn unpack(self) -> Result<Option<Received>, NetError> {
        match self {
            Load::Plain(received) => Ok(Some(received)),
            Load::Encoded(bytes) => Ok(Some(decode_whole(&bytes)?)),
            Load::End => Ok(None),
        }
    }
}
