//! Everything small: all workloads of a few operations, and a crash at every disk operation and
//! every message of each. What the swarm finds by luck, this finds by counting.

mod journal;
mod lives;
mod shard;
mod store;

pub use journal::journal;
pub use shard::{Workload, workloads};
pub use store::store;

/// What was tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tried {
    pub workloads: u64,
    pub crashes: u64,
}

/// All sequences of one to `longest` of the items, shortest first.
fn sequences<T: Copy>(items: &[T], longest: usize) -> Vec<Vec<T>> {
    let mut all: Vec<Vec<T>> = Vec::new();
    let mut last: Vec<Vec<T>> = vec![Vec::new()];
    for _ in 0..longest {
        last = last
            .iter()
            .flat_map(|sequence| items.iter().map(|item| [sequence.as_slice(), &[*item]].concat()))
            .collect();
        all.extend(last.iter().cloned());
    }
    all
}
