//! What is under way to the disk, in order. The journal keeps the order of its appends, so only
//! the oldest is ever looked at.

use bytes::Bytes;
use mooseng_core::env::{Env, sleep};
use mooseng_storage::{Journal, Position, StorageError, StreamId};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// What was written, and so what is to be done when it is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Durable {
    /// The records of an output of the replica's.
    Output,
    /// That a snapshot of this index is there.
    Checkpoint { index: u64 },
    /// That the replica takes part no more.
    Fence,
}

type Append = Pin<Box<dyn Future<Output = Result<Position, StorageError>> + Send>>;

#[derive(Default)]
pub(super) struct Persisting {
    appends: VecDeque<(Durable, Append)>,
}

impl Persisting {
    pub(super) fn len(&self) -> usize {
        self.appends.len()
    }

    /// Queues records, each an append of its own: together they may be longer than the journal
    /// takes at once, and each makes sense without those after it.
    pub(super) fn begin<E: Env>(
        &mut self,
        env: &E,
        journal: &Journal<E>,
        stream: StreamId,
        records: Vec<Bytes>,
        durable: Durable,
    ) {
        assert!(!records.is_empty(), "nothing is written");
        let mut appends: VecDeque<_> =
            records.into_iter().map(|record| journal.append(stream, vec![record])).collect();
        let late = env.buggify("journal acknowledged late").then(|| env.clone());
        let append = async move {
            let mut first = None;
            while let Some(append) = appends.pop_front() {
                let position = append.await?;
                first.get_or_insert(position);
            }
            if let Some(env) = late {
                sleep(&env, Duration::from_millis(40)).await;
            }
            Ok(first.expect("there was one record at least"))
        };
        self.appends.push_back((durable, Box::pin(append)));
    }

    /// The oldest, when it is durable, and where it stands.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(Durable, u64), String>> {
        let Some((durable, append)) = self.appends.front_mut() else { return Poll::Pending };
        let durable = *durable;
        let Poll::Ready(result) = append.as_mut().poll(context) else { return Poll::Pending };
        self.appends.pop_front();
        Poll::Ready(result.map(|position| (durable, position.0)).map_err(|error| error.to_string()))
    }
}
