//! One file: what was written is there, and nothing else is.

use super::{Disk, Env, File, OpenMode, assert_same, file_of, pattern};
use crate::env::DiskError;
use bytes::Bytes;
use futures::future::join_all;

pub async fn what_was_written_is_read_back<E: Env>(env: E) {
    let file = file_of(&env, "file", pattern(1, 10_000)).await;
    assert_same(&file.read_at(0, 10_000).await.expect("reads"), &pattern(1, 10_000), "all of it");
    file.write_at(4_000, pattern(2, 513)).await.expect("overwrites");
    let mut wanted = pattern(1, 10_000).to_vec();
    wanted[4_000..4_513].copy_from_slice(&pattern(2, 513));
    let wanted = Bytes::from(wanted);
    assert_same(&file.read_at(0, 10_000).await.expect("reads"), &wanted, "with a piece overwritten");
    let piece = file.read_at(3_999, 515).await.expect("reads");
    assert_same(&piece, &wanted.slice(3_999..4_514), "around the piece");
    drop(file);
    let again = env.disk().open("file", OpenMode::Existing).await.expect("it is there");
    assert_same(&again.read_at(0, 10_000).await.expect("reads"), &wanted, "through another handle");
}

pub async fn a_read_is_short_only_where_the_file_ends<E: Env>(env: E) {
    let file = file_of(&env, "file", pattern(1, 1_000)).await;
    for (offset, len, wanted) in [
        (0, 0, 0..0),
        (0, 1_000, 0..1_000),
        (0, 1_001, 0..1_000),
        (0, 1 << 40, 0..1_000),
        (999, 1, 999..1_000),
        (999, 2, 999..1_000),
        (1_000, 1, 0..0),
        (1_001, 1, 0..0),
        (u64::MAX, 1, 0..0),
    ] {
        let found = file.read_at(offset, len).await.expect("reading beyond the end finds nothing");
        assert_same(&found, &pattern(1, 1_000).slice(wanted), &format!("{len} bytes from {offset}"));
    }
}

pub async fn a_gap_reads_as_zeros<E: Env>(env: E) {
    let file = file_of(&env, "file", Bytes::from_static(b"begin")).await;
    file.write_at(20_000, Bytes::from_static(b"end")).await.expect("writes beyond the end");
    assert_eq!(file.length().await, Ok(20_003));
    let gap = file.read_at(5, 19_995).await.expect("reads");
    assert_same(&gap, &Bytes::from(vec![0; 19_995]), "the gap");
    file.write_at(30_000, Bytes::new()).await.expect("takes nothing");
    assert_eq!(file.length().await, Ok(20_003), "writing nothing grows nothing");
}

pub async fn a_file_is_cut_and_lengthened<E: Env>(env: E) {
    let file = file_of(&env, "file", pattern(1, 5_000)).await;
    file.set_len(100).await.expect("cuts");
    assert_eq!(file.length().await, Ok(100));
    assert_same(&file.read_at(0, 9_999).await.expect("reads"), &pattern(1, 100), "what is left");
    file.set_len(6_000).await.expect("lengthens");
    assert_eq!(file.length().await, Ok(6_000));
    let tail = file.read_at(100, 9_999).await.expect("reads");
    assert_same(&tail, &Bytes::from(vec![0; 5_900]), "what was cut off does not come back");
    file.set_len(0).await.expect("empties");
    assert_eq!(file.read_at(0, 1).await, Ok(Bytes::new()));
}

pub async fn handles_share_one_file<E: Env>(env: E) {
    let one = file_of(&env, "file", pattern(1, 100)).await;
    let two = env.disk().open("file", OpenMode::Existing).await.expect("opens twice");
    let three = one.clone();
    two.write_at(50, pattern(2, 100)).await.expect("writes");
    drop(two);
    for handle in [&one, &three] {
        assert_eq!(handle.length().await, Ok(150));
        assert_same(&handle.read_at(50, 100).await.expect("reads"), &pattern(2, 100), "written elsewhere");
    }
}

pub async fn buffers_are_owned<E: Env>(env: E) {
    let whole = pattern(1, 3_000);
    let file = file_of(&env, "file", whole.slice(1_000..2_000)).await;
    let before = file.read_at(0, 1_000).await.expect("reads");
    file.write_at(0, pattern(2, 1_000)).await.expect("overwrites");
    assert_same(&before, &whole.slice(1_000..2_000), "bytes that were read do not change");
    file.set_len(0).await.expect("empties");
    drop(file);
    env.disk().remove("file").await.expect("removes");
    assert_same(&before, &pattern(1, 3_000).slice(1_000..2_000), "bytes outlive their file");
    assert_same(&whole, &pattern(1, 3_000), "bytes that were written do not change");
}

pub async fn writes_side_by_side_keep_apart<E: Env>(env: E) {
    let file = file_of(&env, "file", Bytes::new()).await;
    let piece = 3_001;
    let writes = (0..40_u64).rev().map(|key| {
        let file = file.clone();
        async move { file.write_at(key * piece, pattern(key, piece as usize)).await }
    });
    for done in join_all(writes).await {
        assert_eq!(done, Ok(()));
    }
    assert_eq!(file.length().await, Ok(40 * piece));
    let reads = (0..40_u64).map(|key| file.read_at(key * piece, piece as usize));
    for (key, found) in join_all(reads).await.into_iter().enumerate() {
        let wanted = pattern(key as u64, piece as usize);
        assert_same(&found.expect("reads"), &wanted, &format!("piece {key}"));
    }
}

pub async fn a_large_write_is_whole<E: Env>(env: E) {
    let bytes = pattern(1, (5 << 20) + 17);
    let file = file_of(&env, "file", bytes.clone()).await;
    assert_same(&file.read_at(0, bytes.len()).await.expect("reads"), &bytes, "five megabytes");
}

pub async fn what_is_written_can_be_synced<E: Env>(env: E) {
    let file = file_of(&env, "file", pattern(1, 100)).await;
    assert_eq!(file.sync().await, Ok(()));
    assert_eq!(env.disk().sync_dir("").await, Ok(()));
    assert_eq!(file.sync().await, Ok(()), "there may be nothing to sync");
    file.write_at(100, pattern(2, 100)).await.expect("writes");
    let (one, two) = futures::join!(file.sync(), file.sync());
    assert_eq!((one, two), (Ok(()), Ok(())));
    assert_eq!(file.length().await, Ok(200));
}

pub async fn a_durable_write_is_a_write<E: Env>(env: E) {
    let file = file_of(&env, "file", pattern(1, 100)).await;
    assert_eq!(file.write_durably(50, pattern(2, 100)).await, Ok(()));
    assert_same(&file.read_at(0, 50).await.expect("reads"), &pattern(1, 100).slice(..50), "before it");
    assert_same(&file.read_at(50, 200).await.expect("reads"), &pattern(2, 100), "all of it");
    let refused = file.write_durably(u64::MAX, Bytes::from_static(b"xyz")).await;
    assert!(matches!(refused, Err(DiskError::Io { .. })), "no file reaches so far: {refused:?}");
    assert_eq!(file.length().await, Ok(150));
}

pub async fn offsets_that_no_file_has_are_answers<E: Env>(env: E) {
    let file = file_of(&env, "file", pattern(1, 100)).await;
    for offset in [u64::MAX, u64::MAX - 1, 1 << 63] {
        let refused = file.write_at(offset, Bytes::from_static(b"xyz")).await;
        assert!(matches!(refused, Err(DiskError::Io { .. })), "a write at {offset}: {refused:?}");
        let refused = file.set_len(offset).await;
        assert!(matches!(refused, Err(DiskError::Io { .. })), "a length of {offset}: {refused:?}");
        assert_eq!(file.read_at(offset, 100).await, Ok(Bytes::new()));
    }
    assert_eq!(file.length().await, Ok(100), "nothing was touched");
}

pub async fn space_adds_up<E: Env>(env: E) {
    let space = env.disk().space().await.expect("the disk knows its size");
    assert!(space.total > 0, "a disk of no size");
    assert!(space.free <= space.total, "{space:?}: more is free than there is");
}
