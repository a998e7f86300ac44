//! The first bytes of every frame's head: what kind of frame it is and which call it belongs to.
//! The message follows them. Knows nothing of connections.
//!
//! ```text
//!  0      1        4           8                       16                      24
//! +------+--------+-----------+-----------------------+-----------------------+---------
//! | kind | zeros  | method    | number of the call    | time left, in µs      | message
//! +------+--------+-----------+-----------------------+-----------------------+---------
//! ```
//!
//! Numbers are little-endian; what a kind has no use for is zero. The caller numbers its calls
//! from 1 and never uses a number twice on one connection. The deadline travels as the time that is
//! left, because clocks of two machines do not compare.
//!
//! | kind | from | message | |
//! |---|---|---|---|
//! | 1 hello | both | Hello | the first frame of each side |
//! | 2 call | caller | the method's request | |
//! | 3 notify | caller | the method's request | a call that nobody answers: it has no number |
//! | 4 answer | server | the method's reply | |
//! | 5 refusal | server | StatusDetail | why there is no answer |
//! | 6 cancel | caller | none | the caller no longer waits for that call |
//! | 7 ping | caller | none | |
//! | 8 pong | server | none | |

use std::time::Duration;

/// Bytes before the message.
pub const HEAD_BYTES: usize = 24;

/// Numbers of calls stay below this.
pub const CALL_NUMBER_END: u64 = 1 << 63;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Hello = 1,
    Call = 2,
    Notify = 3,
    Answer = 4,
    Refusal = 5,
    Cancel = 6,
    Ping = 7,
    Pong = 8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    pub kind: Kind,
    pub method: u32,
    pub number: u64,
    pub time_left_micros: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeadError {
    #[error("a head has at least {HEAD_BYTES} bytes, this one {0}")]
    Short(usize),
    #[error("a frame of kind {0} is unknown here")]
    Kind(u8),
    #[error("bytes 1 to 3 of a head are zero")]
    Padding,
    #[error("the number of a call is {0}")]
    Number(u64),
}

impl Head {
    /// A head that says nothing but its kind.
    pub fn of(kind: Kind) -> Self {
        Self { kind, method: 0, number: 0, time_left_micros: 0 }
    }

    /// A head about one call.
    pub fn about(kind: Kind, number: u64) -> Self {
        Self { kind, method: 0, number, time_left_micros: 0 }
    }

    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[0] = self.kind as u8;
        bytes[4..8].copy_from_slice(&self.method.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.time_left_micros.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        let Some(bytes) = bytes.first_chunk::<HEAD_BYTES>() else {
            return Err(HeadError::Short(bytes.len()));
        };
        let kind = kind(bytes[0])?;
        if bytes[1..4] != [0; 3] {
            return Err(HeadError::Padding);
        }
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]));
        let method = u32::from_le_bytes(std::array::from_fn(|index| bytes[4 + index]));
        let number = word(8);
        let has_number = matches!(kind, Kind::Call | Kind::Answer | Kind::Refusal | Kind::Cancel);
        if number >= CALL_NUMBER_END || (has_number && number == 0) {
            return Err(HeadError::Number(number));
        }
        Ok(Self { kind, method, number, time_left_micros: word(16) })
    }

    pub fn time_left(&self) -> Duration {
        Duration::from_micros(self.time_left_micros)
    }
}

fn kind(byte: u8) -> Result<Kind, HeadError> {
    Ok(match byte {
        1 => Kind::Hello,
        2 => Kind::Call,
        3 => Kind::Notify,
        4 => Kind::Answer,
        5 => Kind::Refusal,
        6 => Kind::Cancel,
        7 => Kind::Ping,
        8 => Kind::Pong,
        other => return Err(HeadError::Kind(other)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::chance::{Dice, stream};

    /// Fixed for good: other builds read these bytes.
    #[test]
    fn the_bytes_are_pinned() {
        let head = Head { kind: Kind::Call, method: 0x0102_0304, number: 5, time_left_micros: 10_000_000 };
        let hex: String = head.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "020000000403020105000000000000008096980000000000");
        assert_eq!(Head::decode(&head.encode()), Ok(head));
    }

    #[test]
    fn rubbish_is_refused() {
        assert_eq!(Head::decode(&[2; 23]), Err(HeadError::Short(23)));
        assert_eq!(Head::decode(&[0; 24]), Err(HeadError::Kind(0)));
        assert_eq!(Head::decode(&[9; 24]), Err(HeadError::Kind(9)));
        assert_eq!(Head::decode(&[7; 24]), Err(HeadError::Padding));
        assert_eq!(Head::decode(&Head::of(Kind::Call).encode()), Err(HeadError::Number(0)));
        let beyond = Head::about(Kind::Answer, CALL_NUMBER_END);
        assert_eq!(Head::decode(&beyond.encode()), Err(HeadError::Number(CALL_NUMBER_END)));
    }

    #[test]
    fn every_head_is_refused_or_comes_back() {
        let mut dice = stream(1, "heads", 0, 0);
        let mut accepted = 0;
        for _ in 0..20_000 {
            let mut bytes: [u8; HEAD_BYTES] = std::array::from_fn(|_| dice.word() as u8);
            bytes[0] %= 10;
            if dice.chance(900_000) {
                bytes[1..4].fill(0);
            }
            if let Ok(head) = Head::decode(&bytes) {
                assert_eq!(head.encode(), bytes);
                accepted += 1;
            }
        }
        assert!((3_000..19_000).contains(&accepted), "{accepted} of 20,000");
    }
}
