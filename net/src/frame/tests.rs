//! Damage is noticed, limits hold on both sides, and the bytes stay what they are.

use super::*;
use mooseng_core::chance::{Dice, stream};

#[derive(Clone, Debug)]
struct Sealed(u64);

impl Extent for Sealed {
    fn len(&self) -> u64 {
        self.0
    }
}

fn received(head: &[u8], body: &[u8]) -> Received {
    Received { head: Bytes::copy_from_slice(head), body: Bytes::copy_from_slice(body) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Fixed for good: other builds read these bytes.
#[test]
fn the_bytes_are_pinned() {
    let whole = encode_whole(&received(b"head", b"body"), true).unwrap();
    assert_eq!(
        hex(&whole),
        concat!(
            "4d4e0101", "04000000", "04000000", "e8977cea", "50c93f26", "efcec89d", "68656164", "626f6479"
        )
    );
    let unchecked = encode_whole(&received(b"head", b"body"), false).unwrap();
    assert_eq!(hex(&unchecked[..24]), "4d4e01000400000004000000e8977cea0000000003d697f0");
    let empty = encode_whole(&received(b"", b""), true).unwrap();
    assert_eq!(hex(&empty), "4d4e010000000000000000000000000000000000badeaf88");
}

#[test]
fn the_three_bodies_come_back() {
    let head = Bytes::from_static(b"what is asked");
    let bodies = [
        (Body::Empty, &b""[..]),
        (Body::Bytes(Bytes::from_static(b"bytes")), b"bytes"),
        (Body::Extent(Sealed(6)), b"sealed"),
    ];
    for (body, bytes) in bodies {
        let mut wire = encode(&Frame { head: head.clone(), body }).unwrap().to_vec();
        wire.extend_from_slice(bytes);
        assert_eq!(decode_whole(&wire), Ok(received(&head, bytes)));
    }
}

#[test]
fn only_an_extents_body_may_change_unseen() {
    for (checked, expected) in [(true, Err(FrameError::BodyDamaged)), (false, Ok(received(b"h", b"bodi")))] {
        let mut wire = encode_whole(&received(b"h", b"body"), checked).unwrap();
        let last = wire.len() - 1;
        wire[last] = b'i';
        assert_eq!(decode_whole(&wire), expected);
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let whole = encode_whole(&received(b"a head of some bytes", b"and a body"), true).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_whole(&damaged).is_err(), "bit {bit} flipped unseen");
    }
    for length in 0..whole.len() {
        assert!(decode_whole(&whole[..length]).is_err(), "cut to {length} bytes unseen");
    }
    assert!(decode_whole(&[&whole[..], b"x"].concat()).is_err());
}

/// A peer that computes its checksums right but asks for the moon is refused before anything is
/// allocated.
#[test]
fn lengths_beyond_the_limits_are_refused_on_both_sides() {
    let mut prefix = encode_prefix(&Frame { head: Bytes::new(), body: Body::<Sealed>::Empty }).unwrap();
    let seal = |prefix: &mut [u8; 24]| {
        let crc = crc32c(&prefix[..20]);
        prefix[20..].copy_from_slice(&crc.to_le_bytes());
    };
    prefix[4..8].copy_from_slice(&(FRAME_HEAD_BYTES_MAX as u32 + 1).to_le_bytes());
    seal(&mut prefix);
    assert_eq!(decode_prefix(&prefix), Err(FrameError::HeadTooLong { bytes: 1_048_577 }));
    prefix[4..8].copy_from_slice(&0u32.to_le_bytes());
    prefix[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    seal(&mut prefix);
    assert_eq!(decode_prefix(&prefix), Err(FrameError::BodyTooLong { bytes: u64::from(u32::MAX) }));

    let long = Bytes::from(vec![0; FRAME_HEAD_BYTES_MAX + 1]);
    let too_long = encode(&Frame { head: long, body: Body::<Sealed>::Empty });
    assert_eq!(too_long, Err(FrameError::HeadTooLong { bytes: 1_048_577 }));
    let too_long = encode(&Frame { head: Bytes::new(), body: Body::Extent(Sealed(1 << 40)) });
    assert_eq!(too_long, Err(FrameError::BodyTooLong { bytes: 1 << 40 }));
}

#[test]
fn strangers_are_told_apart_from_damage() {
    let seal = |at: usize, byte: u8| {
        let mut prefix = encode_prefix(&Frame { head: Bytes::new(), body: Body::<Sealed>::Empty }).unwrap();
        prefix[at] = byte;
        let crc = crc32c(&prefix[..20]);
        prefix[20..].copy_from_slice(&crc.to_le_bytes());
        decode_prefix(&prefix)
    };
    assert_eq!(seal(0, b'G'), Err(FrameError::Magic { found: *b"GN" }));
    assert_eq!(seal(2, 2), Err(FrameError::Version { found: 2 }));
    assert_eq!(seal(3, 2), Err(FrameError::Flags { found: 2 }));
    assert_eq!(seal(16, 1), Err(FrameError::Flags { found: 0 }));
}

#[test]
fn rubbish_never_passes_and_never_panics() {
    let mut dice = stream(1, "rubbish frames", 0, 0);
    let whole = encode_whole(&received(&[7; 40], &[9; 100]), true).unwrap();
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..dice.between(1, 4) {
            let at = dice.below(bytes.len() as u64) as usize;
            bytes[at] = bytes[at].wrapping_add(dice.between(1, 255) as u8);
        }
        bytes.truncate(dice.between(0, 2 * bytes.len() as u64) as usize);
        if bytes != whole {
            assert!(decode_whole(&bytes).is_err(), "accepted {}", hex(&bytes));
        }
    }
}
