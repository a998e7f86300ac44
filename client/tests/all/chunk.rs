//! Chunk servers for tests: parts in memory, which survive the process and can be spoiled, and a
//! client's node beside them.

use bytes::Bytes;
use mooseng_client::ClientError;
use mooseng_client::data::{ChunkServer, Directory, Store, StoreConfig};
use mooseng_core::checksum;
use mooseng_core::env::{Address, Body, Env, Net};
use mooseng_core::id::{PartId, ServerId, SliceId};
use mooseng_net::proto::chunk::*;
use mooseng_net::rpc::{BodyOf, Call, Rooms, ServerConfig, Status, serve};
use mooseng_sim::machine::{Fault, MachineConfig, NodeConfig, NodeId, Sim, SimEnv};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What one server keeps, and how it misbehaves.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) sealed: BTreeMap<PartId, (Bytes, Vec<u32>)>,
    open: BTreeMap<PartId, BTreeMap<u32, Bytes>>,
    pub(crate) full: bool,
    /// So many puts more are answered.
    pub(crate) puts_left: Option<u32>,
    pub(crate) reads: u32,
    pub(crate) read_bytes: u64,
    pub(crate) reported: Vec<PartId>,
}

#[derive(Clone)]
pub(crate) struct Server {
    number: u64,
    kept: Arc<Mutex<Kept>>,
}

impl Server {
    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// Flips a bit of a part.
    pub(crate) fn rot(&self, part: PartId, at: usize) {
        let mut kept = self.kept();
        let (bytes, _) = kept.sealed.get_mut(&part).expect("it has the part");
        let mut spoiled = bytes.to_vec();
        spoiled[at] ^= 0x10;
        *bytes = spoiled.into();
    }

    fn take_in(&self, request: &PutPartRequest, body: Bytes) -> PartOutcome {
        let part = part(request.slice, request.index);
        let sums = sums(&request.sums);
        let mut kept = self.kept();
        assert_eq!(request.server, self.number, "meant for this server");
        assert_eq!(request.offset % 4_096, 0);
        if kept.full {
            return PartOutcome::NoSpace;
        }
        if sums != checksum::leaves(part, u64::from(request.offset / 4_096), &body) {
            return PartOutcome::Mismatch;
        }
        let pieces = kept.open.entry(part).or_default();
        pieces.insert(request.offset, body);
        if !request.seal {
            return PartOutcome::Done;
        }
        let mut whole = Vec::new();
        for (offset, bytes) in pieces {
            if *offset as usize == whole.len() {
                whole.extend_from_slice(bytes);
            }
        }
        if whole.len() != request.length as usize {
            return PartOutcome::Incomplete;
        }
        let sums = checksum::leaves(part, 0, &whole);
        if kept.sealed.get(&part).is_some_and(|(_, other)| *other != sums) {
            return PartOutcome::Conflict;
        }
        kept.open.remove(&part);
        kept.sealed.insert(part, (whole.into(), sums));
        PartOutcome::Done
    }
}

fn part(slice: u64, index: u32) -> PartId {
    PartId { slice: SliceId::from_raw(slice).expect("a slice"), index: index as u8 }
}

fn sums(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(4).map(|sum| u32::from_le_bytes(sum.try_into().unwrap())).collect()
}

impl Chunk<SimEnv> for Server {
    async fn put(&self, _: Call, request: PutPartRequest, body: Bytes) -> Result<PutPartReply, Status> {
        let silent = {
            let mut kept = self.kept();
            let silent = kept.puts_left == Some(0);
            kept.puts_left = kept.puts_left.map(|left| left.saturating_sub(1));
            silent
        };
        if silent {
            std::future::pending::<()>().await;
        }
        let outcome = self.take_in(&request, body).into();
        Ok(PutPartReply { outcome, ..PutPartReply::default() })
    }

    async fn read(
        &self,
        _: Call,
        request: ReadPartRequest,
    ) -> Result<(ReadPartReply, BodyOf<SimEnv>), Status> {
        let mut kept = self.kept();
        kept.reads += 1;
        let Some((bytes, sums)) = kept.sealed.get(&part(request.slice, request.index)) else {
            let outcome = PartOutcome::Absent.into();
            return Ok((ReadPartReply { outcome, ..ReadPartReply::default() }, Body::Empty));
        };
        let from = (request.offset as usize).min(bytes.len());
        let to = (from + request.length as usize).next_multiple_of(4_096).min(bytes.len());
        let sums = &sums[from / 4_096..to.div_ceil(4_096)];
        let bytes_sent = (to - from) as u64;
        let reply = ReadPartReply {
            outcome: PartOutcome::Done.into(),
            part_length: bytes.len() as u32,
            sums: checksum::sums_to_bytes(sums).into(),
        };
        let body = Body::Bytes(bytes.slice(from..to));
        kept.read_bytes += bytes_sent;
        Ok((reply, body))
    }

    async fn report_bad(&self, _: Call, request: ReportBadRequest) -> Result<ReportBadReply, Status> {
        self.kept().reported.push(part(request.slice, request.index));
        Ok(ReportBadReply { outcome: PartOutcome::Damaged.into() })
    }

    async fn delete(&self, _: Call, _: DeletePartsRequest) -> Result<DeletePartsReply, Status> {
        Err(Status::unimplemented(403))
    }

    async fn inventory(&self, _: Call, _: InventoryRequest) -> Result<InventoryReply, Status> {
        Err(Status::unimplemented(404))
    }

    async fn rebuild(&self, _: Call, _: RebuildPartRequest) -> Result<RebuildPartReply, Status> {
        Err(Status::unimplemented(406))
    }

    async fn status(&self, _: Call, _: ChunkStatusRequest) -> Result<ChunkStatusReply, Status> {
        Err(Status::unimplemented(407))
    }
}

/// The servers that there are, as the metadata service would say.
#[derive(Clone)]
pub(crate) struct Fixed(Vec<ChunkServer>);

impl Fixed {
    pub(crate) fn new(servers: Vec<ChunkServer>) -> Self {
        Self(servers)
    }
}

impl Directory for Fixed {
    fn chunk_servers(&self) -> impl Future<Output = Result<Vec<ChunkServer>, ClientError>> + Send {
        std::future::ready(Ok(self.0.clone()))
    }
}

/// Chunk servers 1, 2 ... and a client.
pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) servers: BTreeMap<u64, Server>,
    pub(crate) client: NodeId,
    pub(crate) store: Store<SimEnv>,
    pub(crate) directory: Fixed,
}

impl World {
    pub(crate) fn new(seed: u64, count: u64) -> Self {
        Self::with(seed, count, StoreConfig::default())
    }

    pub(crate) fn with(seed: u64, count: u64, config: StoreConfig) -> Self {
        let mut sim = Sim::new(seed, MachineConfig::calm());
        let mut servers = BTreeMap::new();
        let mut known = Vec::new();
        for number in 1..=count {
            let server = Server { number, kept: Arc::default() };
            let address = Address::new(format!("chunk-{number}:9422"));
            let node = sim.add_node(&format!("chunk-{number}"), NodeConfig::default());
            let (handler, listen) = (server.clone(), address.clone());
            sim.boot(node, move |env| run(env, listen.clone(), handler.clone()));
            known.push(ChunkServer {
                server: ServerId(number),
                address,
                rack: format!("rack {}", number % 3).into(),
                total: 1 << 40,
                free: 1 << 39,
                disk: 0,
                alive: true,
            });
            servers.insert(number, server);
        }
        let client = sim.add_node("client", NodeConfig::default());
        sim.boot_idle(client);
        let store = Store::new(&sim.env(client), config, Fixed(known.clone()));
        Self { sim, servers, client, store, directory: Fixed(known) }
    }

    /// Runs a task of the client to its end.
    pub(crate) fn run<T, F>(&mut self, task: impl FnOnce(Store<SimEnv>) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let task = task(self.store.clone());
        self.sim.run(self.client, Duration::from_secs(120), task).expect("the task ends")
    }

    pub(crate) fn kill(&self, server: u64) {
        let fault = Fault::Kill { node: format!("chunk-{server}"), restart_ms: None };
        self.sim.apply(&fault).expect("there is such a server");
    }

    pub(crate) fn server(&self, number: ServerId) -> &Server {
        &self.servers[&number.0]
    }
}

async fn run(env: SimEnv, address: Address, handler: Server) {
    let listener = env.net().listen(&address).await.expect("the address is free");
    let config = ServerConfig::default();
    serve(env, listener, ChunkHandler::new(handler), config, Rooms::new(&config)).await;
}
