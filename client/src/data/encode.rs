//! A slice as the parts it is kept as, with their sums. Pure, and heavy enough to be computed off
//! the reactor.

use bytes::Bytes;
use mooseng_core::class::StorageClass;
use mooseng_core::erasure::{Codec, Layout, codec};
use mooseng_core::id::{PartId, SliceId};
use mooseng_core::{checksum, plant};

/// One part, ready to be sent.
pub(super) struct Encoded {
    pub(super) part: PartId,
    pub(super) bytes: Bytes,
    pub(super) sums: Vec<u32>,
}

/// `class` is the class as which a slice of this length is stored. Copies and data parts share the
/// slice's own bytes.
pub(super) fn encode(slice: SliceId, class: StorageClass, bytes: &Bytes) -> Vec<Encoded> {
    let layout = Layout::new(class, bytes.len() as u32);
    let data_part = |index: u8| {
        let start = layout.part_start(index) as usize;
        bytes.slice(start..start + layout.part_bytes(index) as usize)
    };
    let mut parts: Vec<Bytes> = if class.is_copies() {
        vec![bytes.clone(); usize::from(class.parts())]
    } else {
        (0..class.data()).map(data_part).collect()
    };
    if !class.is_copies() {
        let mut parity = vec![vec![0; layout.part_bytes_max() as usize]; usize::from(class.parity())];
        let seen = |part: &'_ Bytes| plant!("parity-from-stale-part", part.len(), part.len() / 2);
        let data: Vec<&[u8]> = parts.iter().map(|part| &part[..seen(part)]).collect();
        codec(class.data(), class.parity()).encode(&data, &mut parity);
        parts.extend(parity.into_iter().map(Bytes::from));
    }
    let encoded = |(index, bytes): (usize, Bytes)| {
        let part = PartId { slice, index: index as u8 };
        Encoded { part, sums: checksum::leaves(part, 0, &bytes), bytes }
    };
    parts.into_iter().enumerate().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::id::Slot;

    #[test]
    fn every_part_is_as_long_as_the_layout_says_and_verifies_as_itself() {
        let slice = SliceId::new(0, Slot::default(), 3).unwrap();
        for (class, length) in
            [("copies=3", 0), ("copies=2", 5_000), ("ec=4+2", 300_000), ("ec=2+1", 131_072)]
        {
            let class: StorageClass = class.parse().unwrap();
            let bytes = Bytes::from(vec![5; length]);
            let parts = encode(slice, class, &bytes);
            let layout = Layout::new(class, length as u32);
            assert_eq!(parts.len(), usize::from(class.parts()));
            for (encoded, index) in parts.iter().zip(0..) {
                assert_eq!(encoded.part, PartId { slice, index });
                assert_eq!(encoded.bytes.len(), layout.part_bytes(index) as usize);
                assert_eq!(checksum::leaf_bad_first(encoded.part, 0, &encoded.bytes, &encoded.sums), None);
            }
        }
    }
}
