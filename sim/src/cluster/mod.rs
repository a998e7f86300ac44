//! A whole cluster in the simulated machine: servers, clients and the faults of a plan, in two
//! phases. In the first everything may go wrong; in the second nothing does, and everything has
//! to be well again.

mod agenda;
mod chunks;
mod files;
mod mounts;
mod operator;
mod record;
mod servers;
mod watch;
mod workload;

use crate::machine::{Fault, NodeId, OperationCounts, Sim};
use crate::oracle::parts::unsettled;
use crate::oracle::{FinalChunkServer, FinalReplica, Judge, Settings, Sight};
use crate::plan::{Budget, Member, Plan, WIRE_VERSION};
use crate::run::{Came, Failure, Report, RunOptions, Told};
use agenda::Agenda;
use chunks::{ChunkServers, Thorough};
use files::DataConfig;
use mooseng_core::chance;
use mooseng_core::id::InodeId;
use mooseng_core::time::Instant;
use mounts::Mounts;
use operator::Operator;
use record::Record;
use servers::Servers;
use std::sync::Arc;
use std::time::Duration;
use watch::Watch;
use workload::Client;

/// How soon after the healing everything has to be as if nothing had happened.
const PROGRESS_MAX: Duration = Duration::from_secs(8);
/// By then a server that cannot start has said so.
const STARTING_MAX: Duration = Duration::from_secs(1);
/// How long the last changes may take to reach everybody, and how often that is looked at.
const SETTLING_MAX: Duration = Duration::from_secs(2);
/// How long it may take until nothing is left that has no name and that nobody has open.
const COLLECTING_MAX: Duration = Duration::from_secs(4);
const SETTLING_STEP: Duration = Duration::from_millis(100);
/// How long clients may go on with their steps when all else is over, and what they wrote without an
/// fsync may take to be written.
const CLIENTS_MAX: Duration = Duration::from_secs(60);
const WRITE_BACK_MAX: Duration = Duration::from_millis(1_500);
/// How long chunk servers may take to have every part where it belongs, and how often that is looked at.
const PARTS_SETTLING_MAX: Duration = Duration::from_secs(30);
const PARTS_SETTLING_STEP: Duration = Duration::from_millis(500);
/// How long reading every file may take in the end.
const LAST_LOOK_MAX: Duration = Duration::from_secs(30);
/// How often the judge is told how much every node has done.
const WORK_STEP: Duration = Duration::from_millis(100);

/// Runs a plan under one schedule.
pub(crate) fn run(plan: &Plan, schedule: u64, options: &RunOptions) -> Report {
    Run::new(plan, schedule, options).play()
}

struct Run<'a> {
    plan: &'a Plan,
    options: &'a RunOptions,
    sim: Sim,
    record: Arc<Record>,
    watch: Arc<Watch>,
    servers: Servers,
    operator: Arc<Operator>,
    chunk_servers: ChunkServers,
    clients: Vec<(NodeId, Arc<Client>)>,
    /// What each server had done when the safety phase ended.
    counts: Vec<OperationCounts>,
    /// When the judge was last told how much every node has done.
    work_told: Instant,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, schedule: u64, options: &'a RunOptions) -> Self {
        let mut sim = Sim::with_schedule(plan.seed, schedule, plan.machine.clone());
        if options.trace {
            sim.record();
        }
        let servers = Servers::add(&mut sim, plan);
        // Before anything watches or breaks: a plan begins with a cluster that stands.
        servers.format(&mut sim, plan);
        let chunk_servers = ChunkServers::add(&mut sim, plan, &servers.addresses());
        if plan.lends_disks() {
            chunk_servers.format(&mut sim);
        }
        drop(sim.take_stats());
        let settings = Settings { progress_max: PROGRESS_MAX, ..Settings::of(plan) };
        let record = Arc::new(Record::new(sim.control().clone(), Judge::new(&settings)));
        let count = plan.topology.chunk_servers;
        let watch =
            Watch::new(record.clone(), Agenda::new(&plan.faults), servers.names(), count, options.trace);
        let watch = Arc::new(watch);
        let observer = watch.clone();
        sim.on_event(Box::new(move |observation, control| {
            observer.see(observation);
            // What a milestone has made due strikes at once, not at the next turn.
            observer.strike(control);
        }));
        let operator = Arc::new(Operator::new(plan, sim.control().clone(), servers.handles()));
        let mounts = plan.topology.mounts.then(|| Arc::new(Mounts::new(settings.limits, watch.clone())));
        let clients = (0..plan.clients.len()).map(|number| {
            let node = sim.add_node(&format!("client-{}", number + 1), servers::node_config());
            let config = servers.session_config(plan, number);
            let data = (!chunk_servers.is_empty()).then(|| {
                let rack = chunks::rack(plan, number as u32 + 1);
                DataConfig::new(plan, rack, &config.channel)
            });
            (
                node,
                Arc::new(Client::new(
                    number,
                    plan,
                    (config, data, mounts.clone()),
                    watch.clone(),
                    operator.clone(),
                )),
            )
        });
        let clients = clients.collect();
        let work_told = sim.now();
        let counts = Vec::new();
        Self {
            plan,
            options,
            sim,
            record,
            watch,
            servers,
            operator,
            chunk_servers,
            clients,
            counts,
            work_told,
        }
    }

    fn play(mut self) -> Report {
        self.servers.boot(&mut self.sim, &self.record);
        self.chunk_servers.boot(&mut self.sim);
        for (node, client) in &self.clients {
            let client = client.clone();
            self.sim.boot(*node, move |env| client.clone().run(env));
        }
        let faults_end = Instant::ZERO + self.plan.faults_end;
        let end = Instant::ZERO + self.plan.end.max(self.plan.faults_end);
        self.until(faults_end);
        self.heal();
        self.until(end);
        self.settle();
        self.wait_for_clients();
        let (replicas, kept) = self.settle_everything();
        let mut failure = self.judge(&replicas, &kept);
        if failure.is_none() {
            self.look_into_files();
            self.lose_servers();
            failure = self.record.violation().map(Failure::from);
        }
        self.report(failure)
    }

    fn is_over(&self) -> bool {
        self.record.violation().is_some()
    }

    /// Metadata servers and chunk servers.
    fn server_names(&self) -> Vec<String> {
        let mut names = self.servers.names();
        names.extend(self.chunk_servers.names());
        names
    }

    /// Runs up to a moment, striking with what is due, or up to the first broken promise.
    fn until(&mut self, end: Instant) {
        loop {
            self.watch.strike(self.sim.control());
            if self.record.violation().is_some() || self.sim.now() >= end {
                return;
            }
            self.record.attended();
            let next = self.watch.next().map_or(end, |next| next.min(end));
            let record = self.record.clone();
            self.sim.run_while(next.min(self.work_told + WORK_STEP), || !record.wants_attention());
            self.tell_work();
        }
    }

    /// How much everybody has done: somebody who never rests is found by that.
    fn tell_work(&mut self) {
        let now = self.sim.now();
        if now < self.work_told + WORK_STEP {
            return;
        }
        self.work_told = now;
        let nodes = self.server_names().len() + self.clients.len();
        for node in (0..nodes as u32).map(NodeId) {
            let sight =
                Sight::Worked { node: self.watch.member(node), turns: self.sim.control().polls(node) };
            self.record.judge(|judge| ((), judge.tell(now, sight)));
        }
    }

    /// The second phase begins: nothing is broken any more, everybody runs.
    fn heal(&mut self) {
        if self.record.violation().is_some() {
            return;
        }
        self.watch.close();
        let servers = (0..self.servers.names().len() as u32).map(NodeId);
        self.counts = servers.map(|node| self.sim.control().counts(node)).collect();
        self.sim.heal();
        // No server takes another one's disk for its own, so somebody has to put in empty ones.
        for node in self.watch.swapped() {
            self.sim.apply(&Fault::Empty { node, restart_ms: Some(0) }).expect("the node was added");
        }
        // And somebody has to install the build that all of them understand.
        for node in self.watch.reversioned() {
            let common = Fault::Version { node, wire_version: WIRE_VERSION, restart_ms: Some(0) };
            self.sim.apply(&common).expect("the node was added");
        }
        let names = self.server_names().into_iter();
        let clients = (1..=self.clients.len()).map(|number| format!("client-{number}"));
        for node in names.chain(clients).filter(|name| self.has_lived(name)) {
            self.sim.apply(&Fault::Restart { node }).expect("the node was added");
        }
        let now = self.sim.now();
        self.record.judge(|judge| ((), judge.tell(now, Sight::Healed)));
        self.until(now + STARTING_MAX);
        self.follow_remedies();
        self.finish_removals();
        // A boot takes a turn; whoever looks around is then part of that life.
        self.until(now + PROGRESS_MAX);
        for (node, client) in &self.clients {
            let env = self.sim.env(*node);
            self.sim.spawn(*node, "look around", client.clone().look_around(env));
        }
    }

    /// Spares that nobody has started yet are no part of anything.
    fn has_lived(&self, name: &str) -> bool {
        self.sim.node(name).is_some_and(|node| self.sim.has_lived(node))
    }

    /// What the operator was about when it was interrupted.
    fn finish_removals(&mut self) {
        let Some((node, _)) = self.clients.first().filter(|_| self.servers.have_spares()) else { return };
        let (operator, env) = (self.operator.clone(), self.sim.env(*node));
        self.sim.spawn(*node, "operator", async move { operator.finish(env).await });
    }

    /// A server that cannot start says what its operator has to do. It has to help.
    fn follow_remedies(&mut self) {
        for name in self.server_names() {
            let node = self.sim.node(&name).expect("the node was added");
            // Every disk is where it belongs again: one that somebody else has made his own is lost.
            let remedies = ["empty the data directory", "point each server at its own"];
            let halted = self.sim.halted(node);
            if halted.is_some_and(|reason| remedies.iter().any(|remedy| reason.contains(remedy))) {
                let remedy = Fault::Empty { node: name, restart_ms: Some(0) };
                self.sim.apply(&remedy).expect("the node was added");
            }
        }
    }

    /// What the last calls changed has to reach every replica, and what they condemned to be dealt
    /// with: a heartbeat or two, and a round of the leader's own. What has no name has to go, too,
    /// unless a session that nobody has any more keeps it, and what goes leaves more to be dealt with.
    fn settle(&mut self) -> Vec<FinalReplica> {
        let mut stirred = self.sim.now();
        let mut orphans_before = usize::MAX;
        loop {
            let replicas = self.servers.inspect(&mut self.sim);
            // Looking takes a moment, in which a leader may commit something of its own.
            let last = self.record.judge(|judge| (judge.log().last(), Ok(())));
            let (now, all) = (self.sim.now(), replicas.len() == self.servers.running(&self.sim));
            let settled =
                |replica: &FinalReplica| replica.applied >= last && replica.tree.condemned.is_empty();
            let orphans = replicas.iter().map(|replica| replica.tree.orphans().count()).sum();
            if orphans < orphans_before {
                (orphans_before, stirred) = (orphans, now);
            }
            let collecting = orphans > 0 && replicas.iter().all(|replica| self.knows_sessions_of(replica));
            let level = all && replicas.iter().all(settled);
            // Then they are kept for good; whoever lags behind meanwhile has its time all the same.
            let given_up = now >= stirred + COLLECTING_MAX;
            let waited = if collecting { COLLECTING_MAX + SETTLING_MAX } else { SETTLING_MAX };
            let done = level && (!collecting || given_up);
            if done || now >= stirred + waited || self.record.violation().is_some() {
                return replicas;
            }
            self.until(now + SETTLING_STEP);
        }
    }

    fn knows_sessions_of(&self, replica: &FinalReplica) -> bool {
        let held: Vec<_> = self.clients.iter().filter_map(|(_, client)| client.session()).collect();
        replica.tree.sessions.iter().all(|session| held.contains(session))
    }

    /// Where files are written, until everybody has done what there was to do, and what was written has
    /// gone its way.
    fn wait_for_clients(&mut self) {
        if self.chunk_servers.is_empty() {
            return;
        }
        let latest = self.sim.now() + CLIENTS_MAX;
        while !self.is_over() && self.sim.now() < latest {
            if self.clients.iter().all(|(_, client)| client.is_idle()) {
                break;
            }
            self.until(self.sim.now() + PARTS_SETTLING_STEP);
        }
        self.until(self.sim.now() + WRITE_BACK_MAX);
    }

    /// What the metadata and the chunk servers have when all is done. What a session kept goes late, when
    /// all parts lay where they should, and takes its parts along: then those are looked at again.
    fn settle_everything(&mut self) -> (Vec<FinalReplica>, Vec<FinalChunkServer>) {
        let latest = self.sim.now() + PARTS_SETTLING_MAX;
        loop {
            let kept = self.settle_parts(latest);
            let replicas = self.settle();
            let late = self.is_over() || self.sim.now() >= latest;
            if late || kept.is_empty() || are_settled(&replicas, &kept) {
                return (replicas, kept);
            }
        }
    }

    /// Repair, collection and scrubbing have the time that they may take. Gives what the chunk servers
    /// keep then.
    fn settle_parts(&mut self, latest: Instant) -> Vec<FinalChunkServer> {
        let Some((looker, _)) = self.clients.first().filter(|_| !self.chunk_servers.is_empty()) else {
            return Vec::new();
        };
        let looker = *looker;
        while !self.is_over() {
            let late = self.sim.now() >= latest;
            let names = self.chunk_servers.inspect(&mut self.sim, looker, Thorough::Names);
            if late || self.is_settled(&names) {
                let bytes = self.chunk_servers.inspect(&mut self.sim, looker, Thorough::Bytes);
                if late || self.is_settled(&bytes) {
                    return bytes;
                }
            }
            self.until(self.sim.now() + PARTS_SETTLING_STEP);
        }
        Vec::new()
    }

    fn is_settled(&mut self, kept: &[FinalChunkServer]) -> bool {
        let replicas = self.servers.inspect(&mut self.sim);
        kept.len() == self.chunk_servers.names().len() && are_settled(&replicas, kept)
    }

    /// The first client reads every file, as a mount that has just begun.
    fn look_into_files(&mut self) {
        let Some((node, client)) = self.clients.first().cloned() else { return };
        if self.is_over() || self.chunk_servers.is_empty() {
            return;
        }
        let env = self.sim.env(node);
        let looked = self.sim.run(node, LAST_LOOK_MAX, client.look_into_files(env));
        if looked != Some(true) {
            // What is lost has to be said, too.
            let (at, file) = (self.sim.now(), InodeId::ROOT);
            let what = "the files cannot be looked into in time";
            let sight = Sight::Unreadable { client: 0, file, what, promised: true, lost: false, last: true };
            self.record.judge(|judge| ((), judge.tell(at, sight)));
        }
    }

    /// As many chunk servers as may be lost are gone for good, and everything is read again.
    fn lose_servers(&mut self) {
        let names = self.chunk_servers.names();
        if self.is_over() || self.plan.budget == Budget::Beyond || names.is_empty() {
            return;
        }
        let mut names = names;
        for number in 0..self.bearable_losses() as u64 {
            let lost = chance::once(self.plan.seed, "server lost in the end", 0, number) % names.len() as u64;
            let node = names.remove(lost as usize);
            self.sim.apply(&Fault::Crash { node, restart_ms: None }).expect("the node was added");
        }
        self.look_into_files();
    }

    /// How many servers every slice there is may lose, now that none has a deficit.
    fn bearable_losses(&mut self) -> usize {
        let replicas = self.servers.inspect(&mut self.sim);
        let slices = replicas.iter().filter(|replica| replica.serving).flat_map(|replica| &replica.slices);
        slices.map(|info| usize::from(info.class.parity())).min().unwrap_or(1)
    }

    fn judge(&mut self, replicas: &[FinalReplica], kept: &[FinalChunkServer]) -> Option<Failure> {
        let mut failure: Option<Failure> = self.record.violation().map(Failure::from);
        if failure.is_none() {
            let within = self.plan.budget == Budget::Within;
            let serving = if within { self.plan.topology.servers as usize } else { 0 };
            let at = self.sim.now();
            let violations = self.record.judge(|judge| (judge.finish(at, replicas, kept, serving), Ok(())));
            failure = violations.into_iter().next().map(Failure::from);
        }
        failure
    }

    fn report(mut self, failure: Option<Failure>) -> Report {
        let stats = self.sim.take_stats();
        let told = self.options.trace.then(|| self.tell(failure.as_ref()));
        let (operations, failovers) = self
            .record
            .judge(|judge| ((judge.history().operations().len() as u64, judge.failovers()), Ok(())));
        let judged = self.record.answers_judged();
        Report {
            failure,
            operations: operations + judged,
            acknowledged: self.record.acknowledged() + judged,
            faults: stats.faults.iter().map(|(kind, count)| (*kind, count.struck)).collect(),
            elections: self.watch.elections(),
            failovers,
            simulated: self.sim.now().since(Instant::ZERO),
            events: stats.polls + stats.happenings,
            trace_hash: self.sim.trace_hash(),
            came: Came {
                faults: self.watch.came(),
                steps: self.clients.iter().map(|(_, client)| client.begun()).collect(),
            },
            counts: std::mem::take(&mut self.counts),
            told,
            ..Report::default()
        }
    }

    fn tell(&mut self, failure: Option<&Failure>) -> Told {
        let history = self.record.judge(|judge| (judge.history().clone(), Ok(())));
        let lines = self.sim.take_lines();
        let mut tape = self.watch.tape();
        tape.machine(&lines, |node| self.watch.member(node));
        tape.history(&history);
        if let Some(failure) = failure {
            tape.broken(failure);
        }
        let servers = (1..=self.servers.names().len() as u32).map(Member::Server);
        let chunk_servers = (1..=self.chunk_servers.names().len() as u32).map(Member::Chunk);
        let clients = (1..=self.clients.len() as u32).map(Member::Client);
        Told {
            history,
            members: servers.chain(chunk_servers).chain(clients).collect(),
            lines: tape.finish(),
            turns: lines.iter().map(ToString::to_string).collect(),
            end: self.sim.now(),
        }
    }
}

fn are_settled(replicas: &[FinalReplica], kept: &[FinalChunkServer]) -> bool {
    let mut serving = replicas.iter().filter(|replica| replica.serving);
    serving.all(|replica| unsettled(replica, kept).is_none())
}
