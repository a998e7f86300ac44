//! Erasure coding: a slice becomes K data and M parity parts, and any K of them bring it back.
//! Knows no server and no disk; which parts there are is said by whoever has them.

mod codec;
mod field;
mod layout;
mod matrix;

pub use codec::{Codec, PartsMissing, XorCodec, codec};
pub use layout::{Layout, Piece};

#[cfg(test)]
mod tests;
