//! A host: what stays when the processes on it come and go. Knows how a process starts and ends, and
//! not what it does.

use crate::disk::Storage;
use crate::env::MadEnv;
use crate::net::Doors;
use crate::world::{Common, Pace};
use madsim::net::NetSim;
use madsim::runtime::{Handle, NodeHandle};
use madsim::task::{JoinHandle, NodeId};
use mooseng_core::chance;
use mooseng_core::event::Event;
use std::future::Future;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a host is and keeps.
pub(crate) struct HostState {
    common: Arc<Common>,
    number: u64,
    name: String,
    ip: IpAddr,
    node: NodeId,
    pace: Pace,
    storage: Storage,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    /// How many processes have been started here.
    lives: u64,
    process: Option<Arc<Process>>,
}

impl HostState {
    pub(crate) fn common(&self) -> &Common {
        &self.common
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.ip
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(crate) fn note(&self, event: Event) {
        self.common.note(&self.name, event);
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One life of a server or a client on a host.
pub(crate) struct Process {
    host: Arc<HostState>,
    life: u64,
    node: NodeHandle,
    alive: AtomicBool,
    doors: Doors,
}

impl Process {
    pub(crate) fn host(&self) -> &HostState {
        &self.host
    }

    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    /// Where its tasks are spawned: madsim tells this life of the node from the next one.
    pub(crate) fn node(&self) -> &NodeHandle {
        &self.node
    }

    pub(crate) fn doors(&self) -> &Doors {
        &self.doors
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    pub(crate) fn halt(&self, reason: String) {
        if self.is_alive() {
            self.host.note(Event::Note(format!("halted: {reason}")));
            self.end();
        }
    }

    /// Drops all its tasks, before any of them runs again.
    fn end(&self) {
        self.alive.store(false, Ordering::Relaxed);
        Handle::current().kill(self.host.node);
    }
}

/// A host, as a story handles it.
#[derive(Clone)]
pub struct Host(Arc<HostState>);

impl Host {
    pub(crate) fn new(common: Arc<Common>, number: u64, name: &str) -> Self {
        let ip = IpAddr::from([10, 0, 0, u8::try_from(number).expect("a story has few hosts")]);
        let node = Handle::current().create_node().name(name).ip(ip).build();
        NetSim::current().add_dns_record(name, ip);
        let pace = common.pace_of(number);
        let name = name.to_owned();
        let (storage, running) = (Storage::new(), Mutex::default());
        Self(Arc::new(HostState { common, number, name, ip, node: node.id(), pace, storage, running }))
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn node(&self) -> NodeId {
        self.0.node
    }

    /// Starts a process on what the last one left on the disk.
    pub fn start(&self) -> MadEnv {
        let handle = Handle::current();
        let running = &mut *self.0.running();
        let stands = running.process.as_ref().is_some_and(|process| process.is_alive());
        assert!(!stands, "{} runs already", self.0.name);
        running.lives += 1;
        if running.lives > 1 {
            handle.restart(self.0.node);
        }
        let node = handle.get_node(self.0.node).expect("the host was made");
        let process = Arc::new(Process {
            host: self.0.clone(),
            life: running.lives,
            node,
            alive: AtomicBool::new(true),
            doors: Doors::default(),
        });
        running.process = Some(process.clone());
        MadEnv::new(process)
    }

    /// Runs `work` on the process that was started last.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        let running = self.0.running();
        running.process.as_ref().expect("a process was started").node.spawn(work)
    }

    pub fn is_up(&self) -> bool {
        self.0.running().process.as_ref().is_some_and(|process| process.is_alive())
    }

    /// Cuts the power: the process is gone, and with it what the disk was not told to keep.
    pub fn kill(&self) {
        let running = self.0.running();
        if let Some(process) = running.process.as_ref().filter(|process| process.is_alive()) {
            process.end();
        }
        let mut dice = chance::stream(self.0.common.seed(), "power cut", self.0.number, running.lives);
        self.0.storage.crash(&mut dice);
        self.0.note(Event::Note("the power was cut".to_owned()));
    }

    /// Sectors that were written and not synced: what a power cut would tear.
    pub fn unsynced_sectors(&self) -> usize {
        self.0.storage.unsynced_sectors()
    }

    /// Nothing gets in or out from now on.
    pub fn cut_off(&self) {
        self.0.note(Event::Note("cut off".to_owned()));
        NetSim::current().clog_node(self.0.node);
    }

    pub fn reconnect(&self) {
        self.0.note(Event::Note("reconnected".to_owned()));
        NetSim::current().unclog_node(self.0.node);
    }
}
