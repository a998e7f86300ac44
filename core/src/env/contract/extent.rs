//! Extents: ranges of files that travel without being read.

use super::{
    Body, Disk, Env, ExtentOf, File, Frame, OpenMode, SIZES, assert_received, assert_same, expected, file_of,
    pattern, sent,
};
use crate::env::{Address, Extent, FRAME_BODY_BYTES_MAX, FrameReceiver, FrameSender, NetError, Received};
use bytes::Bytes;

pub async fn an_extent_lies_within_its_file<E: Env>(env: E) {
    let file = file_of(&env, "file", pattern(1, 1_000)).await;
    for (offset, len) in [(0, 1_000), (0, 0), (1_000, 0), (999, 1), (300, 400)] {
        assert!(file.extent(offset, len).await.is_ok(), "{len} bytes from {offset} lie within it");
    }
    for (offset, len) in
        [(0, 1_001), (1_000, 1), (1_001, 0), (999, 2), (u64::MAX, 1), (1, u64::MAX), (1 << 63, 9)]
    {
        assert!(file.extent(offset, len).await.is_err(), "{len} bytes from {offset} do not lie within it");
    }
}

pub async fn an_extent_knows_its_length<E: Env>(env: E) {
    let file = file_of(&env, "file", pattern(1, 1_000)).await;
    let some = file.extent(10, 20).await.expect("lies within");
    assert_eq!((some.len(), some.is_empty()), (20, false));
    assert_eq!(Body::Extent(some.clone()).len(), 20);
    let none = file.extent(10, 0).await.expect("lies within");
    assert_eq!((none.len(), none.is_empty()), (0, true));
}

fn carrying<E: Env>(head: &'static str, extent: ExtentOf<E>) -> Frame<ExtentOf<E>> {
    Frame { head: Bytes::from_static(head.as_bytes()), body: Body::Extent(extent) }
}

fn received(head: &'static str, body: Bytes) -> Received {
    Received { head: Bytes::from_static(head.as_bytes()), body }
}

/// Offsets and lengths around the borders of pages and of sectors.
const RANGES: [(u64, u64); 8] =
    [(0, 100_000), (0, 0), (1, 1), (4_095, 2), (511, 4_098), (65_536, 34_464), (99_999, 1), (100_000, 0)];

pub mod an_extent_arrives_as_it_was_written {
    use super::*;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let (_sender, mut receiver) = super::super::accept_one(&env, &address).await;
        let whole = pattern(1, 100_000);
        for (offset, len) in RANGES {
            let wanted = whole.slice(offset as usize..(offset + len) as usize);
            let what = format!("{len} bytes from {offset}");
            assert_received(receiver.recv().await, &received("range", wanted), &what);
        }
        assert_eq!(receiver.recv().await, Ok(None));
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let file = file_of(&env, "file", pattern(1, 100_000)).await;
        let (mut sender, _receiver) = super::super::dial_one(&env, &address).await;
        for (offset, len) in RANGES {
            let extent = file.extent(offset, len).await.expect("lies within");
            assert_eq!(sender.send(carrying::<E>("range", extent)).await, Ok(()));
        }
        assert_same(&file.read_at(0, 100_000).await.expect("reads"), &pattern(1, 100_000), "the file");
    }
}

/// The extent is all that is left of its file when it is sent, twice.
pub mod an_extent_outlives_the_name_of_its_file {
    use super::*;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let (_sender, mut receiver) = super::super::accept_one(&env, &address).await;
        for _ in 0..2 {
            let wanted = received("pinned", pattern(1, 200_000).slice(7..150_007));
            assert_received(receiver.recv().await, &wanted, "the pinned extent");
        }
        assert_eq!(receiver.recv().await, Ok(None));
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let file = file_of(&env, "file", pattern(1, 200_000)).await;
        let extent = file.extent(7, 150_000).await.expect("lies within");
        env.disk().remove("file").await.expect("removes");
        drop(file);
        for key in 2..6 {
            file_of(&env, &format!("file{key}"), pattern(key, 200_000)).await;
        }
        file_of(&env, "file", pattern(9, 200_000)).await;
        let (mut sender, _receiver) = super::super::dial_one(&env, &address).await;
        for _ in 0..2 {
            assert_eq!(sender.send(carrying::<E>("pinned", extent.clone())).await, Ok(()));
        }
    }
}

pub mod extents_and_bytes_share_a_connection {
    use super::*;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let (_sender, mut receiver) = super::super::accept_one(&env, &address).await;
        for index in 0..2 * SIZES.len() {
            assert_received(receiver.recv().await, &expected(index), &format!("frame {index}"));
            let wanted = received("between", pattern(7, 70_000).slice(index..30_000));
            assert_received(receiver.recv().await, &wanted, &format!("extent {index}"));
        }
        assert_eq!(receiver.recv().await, Ok(None));
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        file_of(&env, "file", pattern(7, 70_000)).await;
        let file = env.disk().open("file", OpenMode::Existing).await.expect("it is there");
        let (mut sender, _receiver) = super::super::dial_one(&env, &address).await;
        for index in 0..2 * SIZES.len() {
            assert_eq!(sender.send(sent::<E>(index)).await, Ok(()));
            let extent = file.extent(index as u64, 30_000 - index as u64).await.expect("lies within");
            assert_eq!(sender.send(carrying::<E>("between", extent)).await, Ok(()));
        }
    }
}

pub mod the_largest_extent_passes {
    use super::*;

    pub async fn listen<E: Env>(env: E, address: Address) {
        let (_sender, mut receiver) = super::super::accept_one(&env, &address).await;
        let wanted = received("largest", pattern(1, FRAME_BODY_BYTES_MAX));
        assert_received(receiver.recv().await, &wanted, "the largest extent");
        assert_eq!(receiver.recv().await, Ok(None));
    }

    pub async fn dial<E: Env>(env: E, address: Address) {
        let file = file_of(&env, "file", pattern(1, FRAME_BODY_BYTES_MAX)).await;
        file.write_at(FRAME_BODY_BYTES_MAX as u64, Bytes::from_static(b"!")).await.expect("writes");
        let (mut sender, _receiver) = super::super::dial_one(&env, &address).await;
        let larger = file.extent(0, FRAME_BODY_BYTES_MAX as u64 + 1).await.expect("lies within");
        let refused = sender.send(carrying::<E>("larger", larger)).await;
        assert!(matches!(refused, Err(NetError::TooLarge { .. })), "{refused:?}");
        let largest = file.extent(0, FRAME_BODY_BYTES_MAX as u64).await.expect("lies within");
        assert_eq!(sender.send(carrying::<E>("largest", largest)).await, Ok(()));
    }
}
