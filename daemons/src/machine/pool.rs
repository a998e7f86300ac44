//! Work that would hold up the reactor, on a bounded number of threads beside it.
//!
//! The runtime has such threads too. It wakes one while it holds the lock that the woken one needs next, which
//! then waits once more: two switches between threads where there could be one.

use futures::channel::oneshot;
use std::collections::VecDeque;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// A thread that had nothing to do for so long ends.
const IDLE_MAX: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// A few threads, begun when they are needed. Whoever asks for more waits its turn.
#[derive(Clone)]
pub(super) struct Pool(Arc<Handle>);

/// The last of a pool's handles sends its threads home.
struct Handle(Arc<Shared>);

struct Shared {
    threads_max: usize,
    desk: Mutex<Desk>,
}

#[derive(Default)]
struct Desk {
    threads: usize,
    /// Who rests, the last to have worked at the end: its memory is warm.
    idle: Vec<Arc<Seat>>,
    waiting: VecDeque<Job>,
    closed: bool,
}

/// Where a resting thread finds what it is woken for.
struct Seat {
    thread: Thread,
    job: Mutex<Option<Job>>,
}

impl Pool {
    pub(super) fn new(threads_max: usize) -> Self {
        assert!(threads_max > 0, "a pool without threads never gets anything done");
        Self(Arc::new(Handle(Arc::new(Shared { threads_max, desk: Mutex::default() }))))
    }

    /// Runs `job` to its end once it has begun, even if nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = oneshot::channel();
        self.0.0.begin(Box::new(move || {
            if !done.is_canceled() {
                let _ = done.send(catch_unwind(AssertUnwindSafe(job)));
            }
        }));
        match result.await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => resume_unwind(panic),
            // The job was dropped with its pool, which outlives whoever waits for it.
            Err(oneshot::Canceled) => pending().await,
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let idle = {
            let mut desk = self.0.desk();
            desk.closed = true;
            std::mem::take(&mut desk.idle)
        };
        idle.iter().for_each(|seat| seat.thread.unpark());
    }
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        lock(&self.desk)
    }

    /// Gives the job to who rests, to a new thread, or to whoever is done first.
    fn begin(self: &Arc<Self>, job: Job) {
        let mut desk = self.desk();
        if let Some(seat) = desk.idle.pop() {
            *lock(&seat.job) = Some(job);
            drop(desk);
            seat.thread.unpark();
            return;
        }
        desk.waiting.push_back(job);
        if desk.threads == self.threads_max {
            return;
        }
        desk.threads += 1;
        drop(desk);
        let shared = self.clone();
        let begun = thread::Builder::new().name("pool".to_owned()).spawn(move || shared.work());
        if begun.is_err() {
            self.manage_without();
        }
    }

    /// The system gives no more threads: those that are there take the job, or, if there are none, this one
    /// does.
    fn manage_without(&self) {
        let mut desk = self.desk();
        desk.threads -= 1;
        while desk.threads == 0 {
            let Some(job) = desk.waiting.pop_front() else { return };
            drop(desk);
            job();
            desk = self.desk();
        }
    }

    fn work(&self) {
        let seat = Arc::new(Seat { thread: thread::current(), job: Mutex::new(None) });
        while let Some(job) = self.next(&seat) {
            job();
        }
    }

    /// What to do next. `None` sends the thread home.
    fn next(&self, seat: &Arc<Seat>) -> Option<Job> {
        let mut desk = self.desk();
        if let Some(job) = desk.waiting.pop_front() {
            return Some(job);
        }
        if desk.closed {
            desk.threads -= 1;
            return None;
        }
        desk.idle.push(seat.clone());
        drop(desk);
        let until = Instant::now() + IDLE_MAX;
        loop {
            thread::park_timeout(until.saturating_duration_since(Instant::now()));
            let mut desk = self.desk();
            if let Some(job) = lock(&seat.job).take() {
                return Some(job);
            }
            if desk.closed || Instant::now() >= until {
                desk.idle.retain(|other| !Arc::ptr_eq(other, seat));
                desk.threads -= 1;
                return None;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::future::join_all;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    #[test]
    fn no_more_work_at_once_than_there_may_be_threads_and_all_of_it_in_the_end() {
        let pool = Pool::new(3);
        let (busy, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = (0..200).map(|number| {
            let (busy, most) = (busy.clone(), most.clone());
            pool.run(move || {
                most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::sleep(Duration::from_micros(200));
                busy.fetch_sub(1, Ordering::SeqCst);
                number
            })
        });
        assert_eq!(block_on(join_all(work)), (0..200).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::SeqCst), 3);
        // Whoever rests is woken for what comes next.
        for number in 0..1_000 {
            assert_eq!(block_on(pool.run(move || number)), number);
        }
        assert_eq!(pool.0.0.desk().threads, 3);
    }

    #[test]
    fn what_nobody_waits_for_is_not_begun_but_finished() {
        let pool = Pool::new(1);
        let (begun, told) = mpsc::channel();
        let (let_go, go_on) = mpsc::channel::<()>();
        let tell = begun.clone();
        let mut first = Box::pin(pool.run(move || {
            tell.send("first").unwrap();
            go_on.recv().unwrap();
            tell.send("first is done").unwrap();
        }));
        assert!((&mut first).now_or_never().is_none());
        assert_eq!(told.recv(), Ok("first"));
        drop(first);
        assert!(Box::pin(pool.run(move || begun.send("second").unwrap())).now_or_never().is_none());
        let_go.send(()).unwrap();
        block_on(pool.run(|| ()));
        assert_eq!(told.iter().collect::<Vec<_>>(), ["first is done"]);
    }

    #[test]
    fn a_panic_is_the_callers_and_the_thread_goes_on() {
        let pool = Pool::new(1);
        let failed = catch_unwind(AssertUnwindSafe(|| block_on(pool.run(|| panic!("a bug")))));
        assert_eq!(failed.unwrap_err().downcast_ref(), Some(&"a bug"));
        assert_eq!(block_on(pool.run(|| 5)), 5);
    }

    #[test]
    fn threads_end_with_their_pool() {
        let pool = Pool::new(4);
        let shared = pool.0.0.clone();
        block_on(join_all((0..4).map(|_| pool.run(|| thread::sleep(Duration::from_millis(5))))));
        drop(pool);
        let until = Instant::now() + Duration::from_secs(20);
        while Arc::strong_count(&shared) > 1 {
            assert!(Instant::now() < until, "a thread rests for ever");
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(shared.desk().threads, 0);
    }
}
