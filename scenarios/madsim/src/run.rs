//! One run: a seed, and what surrounds it. Knows madsim's runtime, and no host.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a run has a thread of its own, and leaves nothing ambient to the next; seeds come from outside"
)]

use crate::trail::Trail;
use crate::world::World;
use madsim::runtime::Runtime;
use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hint::black_box;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How much of its trail a run that fails shows.
const LINES_MAX: usize = 60;

/// What ambient calls meet. No run may depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Surroundings {
    /// The order of hash maps and the time of day follow from the seed.
    Seeded,
    /// The order of hash maps is drawn from the system's entropy, and every ambient clock shows this
    /// much more.
    Strange { later: Duration },
}

/// Runs a story under a seed, at most until `limit` of its own time has passed.
pub fn run<T, F>(
    seed: u64,
    surroundings: Surroundings,
    limit: Duration,
    story: impl FnOnce(World) -> F + Send + 'static,
) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let trail = Arc::<Mutex<Trail>>::default();
    let kept = trail.clone();
    let thread = std::thread::spawn(move || {
        let mut end = limit;
        if let Surroundings::Strange { later } = surroundings {
            // A thread draws the keys of its hash maps once; madsim would have given them otherwise.
            black_box(RandomState::new());
            end += later;
        }
        let mut runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
        runtime.set_time_limit(end);
        runtime.block_on(async move {
            if let Surroundings::Strange { later } = surroundings {
                madsim::time::advance(later);
            }
            story(World::with_trail(kept)).await
        })
    });
    thread.join().unwrap_or_else(|panic| {
        for entry in trail.lock().unwrap_or_else(PoisonError::into_inner).last(LINES_MAX) {
            eprintln!("{entry}");
        }
        eprintln!("seed {seed}, {surroundings:?}; again alone: MOOSENG_MADSIM_SEEDS={seed}..{}", seed + 1);
        resume_unwind(panic)
    })
}

/// The seeds a story is run under: `least` of them, or what MOOSENG_MADSIM_SEEDS says as `first..end`
/// or as a number of them.
pub fn seeds(least: u64) -> Range<u64> {
    let Ok(asked) = std::env::var("MOOSENG_MADSIM_SEEDS") else { return 0..least };
    let number =
        |text: &str| text.parse().expect("MOOSENG_MADSIM_SEEDS is `first..end`, or a number of seeds");
    match asked.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => 0..number(&asked),
    }
}
