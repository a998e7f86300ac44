//! What goes on by itself: everything is read again at a bounded rate, segments that are mostly dead
//! are emptied, parts that nobody finished are forgotten. Nothing here decides that a part is not
//! needed.

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

/// Reads every part again and again. One that is bad is set aside by the store, and the inventory
/// says so.
pub(super) async fn scrub<E: Env>(server: Arc<Server<E>>) {
    loop {
        let mut after = None;
        loop {
            let (page, complete) = server.store.inventory(after, PAGE);
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
        sleep(&server.env, server.config.scrub_pause).await;
    }
}

/// Gives the space of dead parts back.
pub(super) async fn compact<E: Env>(server: Arc<Server<E>>) {
    loop {
        match server.store.compact().await {
            Ok(done) if done.segments > 0 => continue,
            Ok(_) => {}
            Err(error) if is_over(&error) => return,
            Err(StoreError::NoSpace | StoreError::Busy(_)) => {}
            Err(error) => server.env.note(Event::Note(format!("a segment could not be emptied: {error}"))),
        }
        sleep(&server.env, server.config.compact_pause).await;
    }
}

pub(super) async fn forget_uploads<E: Env>(server: Arc<Server<E>>) {
    let idle_max = server.config.upload_idle_max;
    loop {
        sleep(&server.env, idle_max / 2).await;
        let before = uploads::idle_before(server.env.clock().now(), idle_max);
        if server.uploads.forget(before).await.is_err_and(|error| is_over(&error)) {
            return;
        }
    }
}
