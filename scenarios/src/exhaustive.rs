//! Every small workload of the shard on many threads, with what is done of it and what is left.
#![allow(clippy::disallowed_methods, reason = "the runner shows how long it takes")]

use crate::remark;
use mooseng_sim::exhaustive::workloads;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How often it says how far it is.
const REMARK_EVERY: Duration = Duration::from_secs(10);

/// What was tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    pub workloads: u64,
    pub left_out: u64,
    pub crashes: u64,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workloads, left_out, crashes } = self;
        write!(f, "{workloads} workloads, {left_out} left out, {crashes} crashes")
    }
}

/// A crash at every `stride`-th place of every workload; an error is the plan that failed.
pub fn shard(longest: usize, stride: u64, threads: usize) -> Result<Tried, String> {
    let all = workloads(longest);
    let next = AtomicUsize::new(0);
    let (tried, found) = (Mutex::new(Tried::default()), Mutex::new(None));
    let said = Mutex::new(Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(workload) = all.get(number) else { return };
                    let checked = workload.check(number as u64, stride);
                    let mut tried = tried.lock().expect("no thread panics while it adds");
                    match checked {
                        Ok(Some(crashes)) => {
                            tried.workloads += 1;
                            tried.crashes += crashes;
                        }
                        Ok(None) => tried.left_out += 1,
                        Err(plan) => {
                            next.store(all.len(), Ordering::Relaxed);
                            found.lock().expect("no thread panics while it writes").get_or_insert(plan);
                        }
                    }
                    let mut said = said.lock().expect("no thread panics while it looks");
                    if said.elapsed() >= REMARK_EVERY {
                        *said = Instant::now();
                        remark!("shard: {} of {}: {tried}", number + 1, all.len());
                    }
                }
            });
        }
    });
    match found.into_inner().expect("no thread panics while it writes") {
        Some(plan) => Err(plan),
        None => Ok(tried.into_inner().expect("no thread panics while it adds")),
    }
}
