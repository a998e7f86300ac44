//! Time passes, forwards; sleeping and not sleeping any more.

use super::{A_WHILE, Clock, Env, MILLISECOND, sleep};
use crate::env::{Elapsed, timeout, timeout_at};
use crate::time::Instant;
use futures::future::join_all;
use std::future::{pending, ready};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub async fn time_only_grows<E: Env>(env: E) {
    let start = env.clock().now();
    let mut last = start;
    for round in 0..50 {
        if round % 10 == 9 {
            sleep(&env, MILLISECOND).await;
        }
        let now = env.clock().now();
        assert!(now >= last, "time went back from {last:?} to {now:?}");
        last = now;
    }
    assert!(
        last.since(start) >= 5 * MILLISECOND,
        "five sleeps of a millisecond took {:?}",
        last.since(start)
    );
}

pub async fn a_sleep_ends_at_its_deadline_or_later<E: Env>(env: E) {
    for micros in [1, 500, 1_000, 1_001, 7_300] {
        let deadline = env.clock().now() + Duration::from_micros(micros);
        env.clock().sleep_until(deadline).await;
        let now = env.clock().now();
        assert!(now >= deadline, "a sleep until {deadline:?} ended at {now:?}");
    }
}

pub async fn a_deadline_that_has_passed_does_not_wait<E: Env>(env: E) {
    env.clock().sleep_until(Instant::ZERO).await;
    env.clock().sleep_until(env.clock().now()).await;
    let done = timeout(&env, Duration::ZERO, ready(5)).await;
    assert_eq!(done, Ok(5), "work that is done when the time runs out counts as done");
}

pub async fn sleeps_end_in_the_order_of_their_deadlines<E: Env>(env: E) {
    let order = Arc::new(Mutex::new(Vec::new()));
    let start = env.clock().now();
    let sleeps = [5_u32, 1, 4, 2, 3].map(|rank| {
        let (env, order) = (env.clone(), order.clone());
        async move {
            env.clock().sleep_until(start + 20 * MILLISECOND * rank).await;
            order.lock().expect("nobody panicked").push(rank);
        }
    });
    join_all(sleeps).await;
    assert_eq!(*order.lock().expect("nobody panicked"), [1, 2, 3, 4, 5]);
}

pub async fn a_dropped_sleep_wakes_nobody<E: Env>(env: E) {
    let start = env.clock().now();
    for _ in 0..100 {
        let cut = timeout(&env, Duration::from_secs(3_600), ready(())).await;
        assert_eq!(cut, Ok(()));
    }
    let cut = timeout(&env, MILLISECOND, sleep(&env, Duration::from_secs(3_600))).await;
    assert_eq!(cut, Err(Elapsed), "an hour does not pass in a millisecond");
    sleep(&env, A_WHILE).await;
    let passed = env.clock().now().since(start);
    assert!(passed >= A_WHILE, "a sleep was cut short: {passed:?}");
    assert!(passed < Duration::from_secs(1_800), "a dropped sleep was waited for: {passed:?}");
}

pub async fn the_end_of_time_may_be_waited_for<E: Env>(env: E) {
    assert_eq!(timeout_at(&env, Instant::MAX, ready(1)).await, Ok(1));
    let forever = timeout_at(&env, Instant::MAX, pending::<()>());
    assert_eq!(timeout(&env, MILLISECOND, forever).await, Err(Elapsed), "the end of time came");
}
