//! Work that would hold up the reactor, on a bounded number of threads beside it.

use std::future::pending;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// A share of the runtime's blocking threads. Whoever asks for more waits its turn.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    runtime: Handle,
    permits: Arc<Semaphore>,
}

impl Pool {
    /// On the runtime this is called on.
    pub(super) fn new(threads_max: usize) -> Self {
        assert!(threads_max > 0, "a pool without threads never gets anything done");
        Self { runtime: Handle::current(), permits: Arc::new(Semaphore::new(threads_max)) }
    }

    /// Runs `job` to its end once it has begun, even if nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let work = self.runtime.spawn_blocking(move || {
            let done = job();
            drop(permit);
            done
        });
        match work.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is being torn down, and this task with it.
                Err(_) => pending().await,
            },
        }
    }
}
