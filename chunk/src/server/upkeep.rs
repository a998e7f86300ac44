//! What goes on by itself: everything is read again at a bounded rate, segments that are mostly dead
//! are emptied, parts that nobody finished are forgotten. Nothing here decides that a part is not
//! needed. However it is configured, nothing here goes on without a rest.

use super::{Server, is_over, uploads};
use mooseng_core::env::{Clock, Env, sleep};
use mooseng_core::event::Event;
use mooseng_core::probe;
use mooseng_storage::StoreError;
use mooseng_storage::store::Health;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many parts are listed at once.
const PAGE: usize = 256;
/// What looking at a part costs beside its bytes.
const PART_COST_BYTES: u64 = 4096;
/// The least rest between two rounds of anything, and between two segments that are emptied.
const REST_LEAST: Duration = Duration::from_millis(100);
const SEGMENT_REST: Duration = Duration::from_millis(10);
/// Who has read parts rests for so long for each of them, but need not rest for longer than the most.
const PART_REST: Duration = Duration::from_millis(5);
const PARTS_REST_MAX: Duration = Duration::from_secs(10);

/// How long to rest after reading so many parts.
fn rest(pause: Duration, parts: usize) -> Duration {
    let parts = u32::try_from(parts).unwrap_or(u32::MAX);
    pause.max(REST_LEAST).max(PART_REST.saturating_mul(parts).min(PARTS_REST_MAX))
}

/// Reads every part again and again. One that is bad is set aside by the store, and the inventory
/// says so.
pub(super) async fn scrub<E: Env>(server: Arc<Server<E>>) {
    loop {
        let (mut after, mut parts) = (None, 0);
        loop {
            let (page, complete) = server.store.inventory(after, PAGE);
            parts += page.len();
            for kept in &page {
                let cost = u64::from(kept.length) + PART_COST_BYTES;
                let nanos = cost.saturating_mul(1_000_000_000) / server.config.scrub_bytes_per_second;
                sleep(&server.env, Duration::from_nanos(nanos)).await;
                if kept.damaged {
                    continue;
                }
                match server.store.verify(kept.part).await {
                    Ok(Health::Bad) => {
                        probe!("scrubbing found a bad part");
                    }
                    Ok(Health::Good | Health::Absent) => {}
                    Err(error) if is_over(&error) => return,
                    Err(_) => {}
                }
                server.scrubbed_bytes.fetch_add(u64::from(kept.length), Ordering::Relaxed);
            }
            after = page.last().map(|kept| kept.part);
            if complete {
                break;
            }
        }
        server.scrubs.fetch_add(1, Ordering::Relaxed);
        sleep(&server.env, rest(server.config.scrub_pause, parts)).await;
    }
}

/// Gives the space of dead parts back.
pub(super) async fn compact<E: Env>(server: Arc<Server<E>>) {
    loop {
        match server.store.compact().await {
            Ok(done) if done.segments > 0 => {
                sleep(&server.env, SEGMENT_REST).await;
                continue;
            }
            Ok(_) => {}
            Err(error) if is_over(&error) => return,
            Err(StoreError::NoSpace | StoreError::Busy(_)) => {}
            Err(error) => server.env.note(Event::Note(format!("a segment could not be emptied: {error}"))),
        }
        sleep(&server.env, server.config.compact_pause.max(REST_LEAST)).await;
    }
}

pub(super) async fn forget_uploads<E: Env>(server: Arc<Server<E>>) {
    let idle_max = server.config.upload_idle_max;
    loop {
        sleep(&server.env, (idle_max / 2).max(REST_LEAST)).await;
        let before = uploads::idle_before(server.env.clock().now(), idle_max);
        if server.uploads.forget(before).await.is_err_and(|error| is_over(&error)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_looks_after_parts_rests() {
        let millis = Duration::from_millis;
        assert_eq!(rest(Duration::ZERO, 0), millis(100));
        assert_eq!(rest(millis(1), 60), millis(300));
        assert_eq!(rest(millis(500), 60), millis(500));
        assert_eq!(rest(millis(1), usize::MAX), millis(10_000));
    }
}
