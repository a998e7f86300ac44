//! Waiting with an end: small combinators over [`Clock::sleep_until`].

use super::{Clock, Env};
use crate::time::Instant;
use futures::future::{Either, select};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

/// The time ran out first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the deadline passed")]
pub struct Elapsed;

pub async fn sleep<E: Env>(env: &E, wait: Duration) {
    env.clock().sleep_until(env.clock().now() + wait).await;
}

/// Runs `work` until it is done or `wait` has passed, whichever is first; `work` that is done when
/// the time runs out counts as done.
pub async fn timeout<E: Env, T>(
    env: &E,
    wait: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    timeout_at(env, env.clock().now() + wait, work).await
}

/// As [`timeout`], at a moment.
pub async fn timeout_at<E: Env, T>(
    env: &E,
    deadline: Instant,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let alarm = pin!(env.clock().sleep_until(deadline));
    match select(pin!(work), alarm).await {
        Either::Left((done, _)) => Ok(done),
        Either::Right(((), _)) => Err(Elapsed),
    }
}
