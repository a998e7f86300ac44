//! One run: a seed, and what surrounds it. Knows madsim's runtime, and no host.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a run has a thread of its own, so that nothing ambient of another run is left on it"
)]

use crate::world::World;
use madsim::runtime::Runtime;
use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hint::black_box;
use std::panic::resume_unwind;
use std::time::Duration;

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
            story(World::new()).await
        })
    });
    thread.join().unwrap_or_else(|panic| {
        eprintln!("seed {seed}, {surroundings:?}");
        resume_unwind(panic)
    })
}
