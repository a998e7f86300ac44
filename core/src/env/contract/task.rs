//! Tasks, heavy work, dice and notes.

use super::{Clock, Env, MILLISECOND, sleep};
use crate::chance::Dice;
use crate::event::Event;
use futures::channel::{mpsc, oneshot};
use futures::future::join_all;
use futures::{SinkExt, StreamExt};
use std::collections::BTreeSet;

pub async fn a_spawned_task_runs<E: Env>(env: E) {
    let (done, wait) = oneshot::channel();
    let inner = env.clone();
    env.spawn("outer", async move {
        let (inner_done, inner_wait) = oneshot::channel();
        inner.spawn("inner", async move {
            let _ = inner_done.send(6);
        });
        let _ = done.send(inner_wait.await.map(|six| 7 * six));
    });
    assert_eq!(wait.await, Ok(Ok(42)));
}

/// None of them could end if they ran one after the other.
pub async fn spawned_tasks_run_side_by_side<E: Env>(env: E) {
    let count: u64 = 20;
    let (mut first, mut source) = mpsc::channel(0);
    for step in 0..count {
        let (mut target, next) = mpsc::channel(0);
        let env = env.clone();
        env.clone().spawn("link of a chain", async move {
            while let Some(sum) = source.next().await {
                sleep(&env, MILLISECOND).await;
                if target.send(sum + step).await.is_err() {
                    return;
                }
            }
        });
        source = next;
    }
    for sum in [0, 1_000] {
        first.send(sum).await.expect("the chain stands");
        assert_eq!(source.next().await, Some(sum + count * (count - 1) / 2));
    }
    drop(first);
    assert_eq!(source.next().await, None, "the end passes through the chain");
}

pub async fn computing_gives_the_result<E: Env>(env: E) {
    for bytes in [0, 1, 4_096, 16 << 20] {
        let owned = vec![3_u64; 100];
        assert_eq!(env.compute(bytes, move || owned.iter().sum::<u64>()).await, 300);
    }
    let jobs = (0..16).map(|job: usize| env.compute(1 << 20, move || job * job));
    let squares: Vec<usize> = (0..16).map(|job| job * job).collect();
    assert_eq!(join_all(jobs).await, squares, "every caller gets its own result");
}

pub async fn streams_of_dice_are_told_apart<E: Env>(env: E) {
    let keys = [("one", 0), ("one", 1), ("two", 0), ("two", 1), ("one", u64::MAX)];
    let first: BTreeSet<u64> = keys.iter().map(|(purpose, key)| env.rng(purpose, *key).word()).collect();
    assert_eq!(first.len(), keys.len(), "two streams begin alike");
    let mut stream = env.rng("long", 0);
    let words: BTreeSet<u64> = (0..1_000).map(|_| stream.word()).collect();
    assert_eq!(words.len(), 1_000, "a stream repeats itself");
}

pub async fn a_note_changes_nothing<E: Env>(env: E) {
    let before = env.clock().now();
    env.note(Event::Note("the contract is being tested".to_owned()));
    assert!(env.clock().now() >= before);
}
