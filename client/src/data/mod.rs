//! Slices on their way to chunk servers and back. Knows nothing of files: who asks for a slice to
//! be written has been granted its number, and who asks for one to be read has it from a map.
//!
//! What is decided is decided by plain state machines: [`upload`] (which server gets which part),
//! [`fetch`] (which parts to read, and what to make of them), [`table`] (whom to trust).
//! [`servers`] makes the calls; this file lets them run side by side, and waits.

pub(crate) mod directory;
mod encode;
mod error;
mod fetch;
mod rectangle;
mod servers;
mod table;
mod upload;

pub use error::DataError;
pub use table::ChunkServer;

use crate::error::ClientError;
use bytes::Bytes;
use fetch::{Fetch, Hope};
use futures::channel::mpsc;
use futures::future::{Either, select};
use futures::stream::{self, FuturesUnordered, StreamExt, TryStreamExt};
use mooseng_core::class::{SLICE_BYTES_MAX, StorageClass};
use mooseng_core::env::{Clock, Env, sleep, timeout};
use mooseng_core::erasure::Layout;
use mooseng_core::extent::{NewSlice, SliceInfo};
use mooseng_core::id::{ServerId, SliceId};
use mooseng_net::rpc::ChannelConfig;
use mooseng_net::rpc::backoff::BackoffConfig;
use rectangle::{Rectangle, Strip, cut, join};
use servers::Servers;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;
use upload::Upload;

/// Where the table of chunk servers comes from.
pub trait Directory: Send + Sync + 'static {
    fn chunk_servers(&self) -> impl Future<Output = Result<Vec<ChunkServer>, ClientError>> + Send;
}

#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The rack this client is in: copies there are read first.
    pub rack: Arc<str>,
    pub channel: ChannelConfig,
    /// The most bytes of one request; a multiple of 4,096.
    pub put_bytes_max: usize,
    /// How long one server may take for one request before another is tried.
    pub put_timeout: Duration,
    pub read_timeout: Duration,
    /// How long writing a slice may take in all.
    pub write_max: Duration,
    /// How long a read goes on asking servers that do not answer, before it says so: whoever asks
    /// may know of a newer map.
    pub read_max: Duration,
    /// The bounds of how long a read waits for a slow server before it asks others beside it.
    pub hedge_least: Duration,
    pub hedge_longest: Duration,
    pub backoff: BackoffConfig,
    /// Rectangles of one read under way at once.
    pub reads_max: usize,
    /// How old the table of servers grows.
    pub table_age: Duration,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            rack: "".into(),
            channel: ChannelConfig::default(),
            put_bytes_max: 1 << 20,
            put_timeout: Duration::from_secs(3),
            read_timeout: Duration::from_secs(1),
            write_max: Duration::from_secs(30),
            read_max: Duration::from_secs(3),
            hedge_least: Duration::from_millis(5),
            hedge_longest: Duration::from_millis(250),
            backoff: BackoffConfig::default(),
            reads_max: 8,
            table_age: Duration::from_secs(2),
        }
    }
}

/// A handle; clones share the channels and what is known of the servers.
pub struct Store<E: Env> {
    servers: Arc<Servers<E>>,
}

impl<E: Env> Clone for Store<E> {
    fn clone(&self) -> Self {
        Self { servers: self.servers.clone() }
    }
}

impl<E: Env> Store<E> {
    /// Learns from the directory who there is, now and from time to time until the last handle is
    /// gone. Nobody is connected to before there is something to say.
    pub fn new(env: &E, config: StoreConfig, directory: impl Directory) -> Self {
        assert!(config.put_bytes_max > 0 && config.put_bytes_max.is_multiple_of(4_096), "whole leaves");
        let (nudge, nudges) = mpsc::channel(0);
        let servers = Arc::new(Servers::new(env, config, nudge));
        env.spawn("table of chunk servers", follow(Arc::downgrade(&servers), directory, nudges));
        Self { servers }
    }

    /// Writes a slice under a number that was never used before, not even for an attempt. When it
    /// returns, the parts it names are durable.
    pub async fn write_slice(
        &self,
        slice: SliceId,
        class: StorageClass,
        bytes: Bytes,
    ) -> Result<NewSlice, DataError> {
        assert!(bytes.len() <= SLICE_BYTES_MAX as usize, "a slice of {} bytes", bytes.len());
        let servers = &*self.servers;
        let length = bytes.len() as u32;
        let class = class.for_length(length);
        let work = bytes.len() / usize::from(class.data()) * usize::from(class.parts());
        let parts = servers.env.compute(work, move || encode::encode(slice, class, &bytes)).await;
        let candidates = || servers.with_table(|table, _, now, _| table.candidates(parts.len(), now));
        let end = servers.now() + servers.config.write_max;
        let mut upload = Upload::new(slice, class, candidates());
        let mut sends = FuturesUnordered::new();
        let mut rounds = 0;
        loop {
            for (index, server) in upload.sends() {
                let part = &parts[usize::from(index)];
                sends.push(async move { (index, server, servers.put(server, part).await) });
            }
            match upload.verdict(servers.now() >= end) {
                upload::Verdict::Waiting => match sends.next().await {
                    Some((index, server, Ok(()))) => upload.kept(index, server),
                    Some((index, server, Err(why))) => upload.refused(index, server, why),
                    None => unreachable!("what is waited for was sent"),
                },
                upload::Verdict::Kept(parts) => return Ok(NewSlice { slice, class, length, parts }),
                upload::Verdict::Failed(error) => return Err(error),
                upload::Verdict::Again => {
                    rounds += 1;
                    servers.nudge();
                    sleep(&servers.env, servers.backoff(rounds)).await;
                    upload.again(candidates());
                }
            }
        }
    }

    /// Reads bytes of a slice; fewer only where the slice ends. They are what was written, or there
    /// is an error.
    pub async fn read(&self, info: &SliceInfo, offset: u32, length: u32) -> Result<Bytes, DataError> {
        if info.parts.len() != usize::from(info.class.parts()) || info.length > SLICE_BYTES_MAX {
            let what =
                format!("its map makes no sense: {} bytes in {} places", info.length, info.parts.len());
            return Err(DataError::Lost { slice: info.slice, what });
        }
        let layout = Layout::new(info.class, info.length);
        let reads: Vec<_> = cut(&layout, offset, length)
            .into_iter()
            .map(|rectangle| self.read_rectangle(info, layout, rectangle))
            .collect();
        let strips: Vec<Vec<Strip>> =
            stream::iter(reads).buffered(self.servers.config.reads_max).try_collect().await?;
        Ok(join(&layout, offset.min(info.length), length, &strips.concat()))
    }

    async fn read_rectangle(
        &self,
        info: &SliceInfo,
        layout: Layout,
        rectangle: Rectangle,
    ) -> Result<Vec<Strip>, DataError> {
        let servers = &*self.servers;
        let (rack, slice) = (servers.config.rack.clone(), info.slice);
        let order =
            servers.with_table(|table, salt, now, _| table.order(slice, &info.parts, &rack, salt, now));
        let mut fetch = Fetch::new(slice, layout, rectangle, &info.parts, order);
        let end = servers.now() + servers.config.read_max;
        let mut calls = FuturesUnordered::new();
        let at_once = servers.env.buggify("read hedged at once");
        let mut hedge = if at_once { Duration::ZERO } else { self.hedge(&info.parts) };
        let mut hedge_at = servers.now() + hedge;
        let mut rounds = 0;
        loop {
            for ask in fetch.asks() {
                calls.push(servers.get(ask));
            }
            match fetch.verdict() {
                fetch::Verdict::Done => break,
                fetch::Verdict::Waiting => {
                    let alarm = pin!(servers.env.clock().sleep_until(hedge_at));
                    match select(calls.next(), alarm).await {
                        Either::Left((answer, _)) => {
                            let (ask, answer) = answer.expect("what is waited for was asked for");
                            if let [first, ..] = fetch.answered(&ask, answer)[..] {
                                self.servers.report(&ask, first);
                            }
                        }
                        Either::Right(_) => {
                            fetch.slow();
                            hedge = (hedge * 2).max(servers.config.hedge_least);
                            hedge_at = servers.now() + hedge;
                        }
                    }
                }
                fetch::Verdict::Stuck { hope, what } => {
                    rounds += 1;
                    servers.nudge();
                    match hope {
                        Hope::None => return Err(DataError::Lost { slice, what }),
                        Hope::Answers if servers.now() >= end => {
                            return Err(DataError::TimedOut { slice, what });
                        }
                        Hope::Answers | Hope::Luck => {
                            sleep(&servers.env, servers.backoff(rounds)).await;
                            fetch.again();
                        }
                    }
                }
            }
        }
        drop(calls);
        if !fetch.needs_work() {
            return Ok(fetch.finish());
        }
        let work = layout.part_bytes_max() as usize;
        Ok(servers.env.compute(work, move || fetch.finish()).await)
    }

    fn hedge(&self, parts: &[Option<ServerId>]) -> Duration {
        let named: Vec<ServerId> = parts.iter().copied().flatten().collect();
        let config = &self.servers.config;
        let (least, longest) = (config.hedge_least, config.hedge_longest);
        self.servers.with_table(|table, _, _, _| table.patience(&named, least, longest))
    }
}

/// Keeps the table of servers fresh while there is a store; sooner if somebody asks for it, but
/// not all the time.
async fn follow<E: Env>(store: Weak<Servers<E>>, directory: impl Directory, mut nudges: mpsc::Receiver<()>) {
    loop {
        let Some(servers) = store.upgrade() else { return };
        let (env, config) = (servers.env.clone(), servers.config.clone());
        // The store may go away while this waits; then there is nobody left to tell.
        drop(servers);
        let known = directory.chunk_servers().await;
        let Some(servers) = store.upgrade() else { return };
        let rest = match known {
            Ok(known) => {
                servers.learn(known);
                config.table_age
            }
            Err(_) => servers.backoff(4),
        };
        drop(servers);
        sleep(&env, config.backoff.max.min(rest)).await;
        // It is over, early or not: the table is asked for again.
        let _ = timeout(&env, rest, nudges.next()).await;
    }
}
