//! What a snapshot's bytes are: the chunks of the state's image, each behind its length, and beside
//! them, in the snapshot's meta, who the members are.
//!
//! ```text
//!   image:  (u32 length | chunk) ...
//!   meta:   u128 hash of the state | members
//! ```

use super::members::Members;
use super::wire::{Malformed, malformed};
use crate::image::Restorer;
use crate::state::State;
use bytes::{Buf, Bytes, BytesMut};

/// No chunk of an image is longer.
const CHUNK_BYTES_MAX: usize = 16 << 20;

/// What stands before a chunk.
pub const FRAME_BYTES: usize = 4;

/// A chunk as it stands in the image.
pub fn frame(chunk: &[u8]) -> Bytes {
    let length = u32::try_from(chunk.len()).expect("chunks are small");
    let mut framed = Vec::with_capacity(4 + chunk.len());
    framed.extend_from_slice(&length.to_le_bytes());
    framed.extend_from_slice(chunk);
    framed.into()
}

pub fn encode_meta(hash: u128, members: &Members) -> Bytes {
    let mut meta = hash.to_le_bytes().to_vec();
    meta.extend_from_slice(&members.encode());
    meta.into()
}

pub fn decode_meta(meta: &Bytes) -> Result<(u128, Members), Malformed> {
    let Some((hash, _)) = meta.split_first_chunk::<16>() else {
        return malformed("snapshot.meta", "it is too short");
    };
    Ok((u128::from_le_bytes(*hash), Members::decode(meta.slice(16..))?))
}

/// Puts a state together from pieces of an image, of any length.
#[derive(Default)]
pub struct Assembly {
    rest: BytesMut,
    restorer: Restorer,
}

impl Assembly {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn piece(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        self.rest.extend_from_slice(piece);
        while let Some((length, _)) = self.rest.split_first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            if length > CHUNK_BYTES_MAX {
                return malformed("snapshot.chunk", format!("{length} bytes are too many"));
            }
            if self.rest.len() < 4 + length {
                break;
            }
            self.rest.advance(4);
            let chunk = self.rest.split_to(length);
            self.restorer.chunk(&chunk).or_else(|error| malformed("snapshot.chunk", error.to_string()))?;
        }
        Ok(())
    }

    /// The state, if the image is whole and is the one that its meta speaks of.
    pub fn finish(self, hash: u128) -> Result<State, Malformed> {
        if !self.rest.is_empty() {
            return malformed("snapshot.chunk", "the last one is cut short");
        }
        let state = self.restorer.finish().or_else(|error| malformed("snapshot", error.to_string()))?;
        if state.hash() != hash {
            return malformed("snapshot", "the state is not the one its meta names");
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::state::StateConfig;

    fn image(state: &State) -> Vec<u8> {
        Image::new(state.clone(), crate::image::CHUNK_BYTES_MIN).flat_map(|chunk| frame(&chunk)).collect()
    }

    #[test]
    fn a_state_is_put_together_from_pieces_of_any_length() {
        let state = State::new(StateConfig::default());
        let bytes = image(&state);
        for length in [1, 7, bytes.len()] {
            let mut assembly = Assembly::new();
            bytes.chunks(length).for_each(|piece| assembly.piece(piece).unwrap());
            assert_eq!(assembly.finish(state.hash()).unwrap().hash(), state.hash());
        }
    }

    #[test]
    fn what_is_cut_short_or_another_state_is_refused() {
        let state = State::new(StateConfig::default());
        let bytes = image(&state);
        let mut short = Assembly::new();
        short.piece(&bytes[..bytes.len() - 1]).unwrap();
        assert!(short.finish(state.hash()).is_err());
        let mut other = Assembly::new();
        other.piece(&bytes).unwrap();
        assert!(other.finish(state.hash() + 1).is_err());
        assert!(Assembly::new().piece(&[0xff; 8]).is_err());
    }

    #[test]
    fn meta_comes_back() {
        let meta = encode_meta(7, &Members::default());
        assert_eq!(decode_meta(&meta), Ok((7, Members::default())));
        assert!(decode_meta(&meta.slice(..15)).is_err());
    }
}
