//! A whole cluster in the simulated machine: servers, clients and the faults of a plan, in two
//! phases. In the first everything may go wrong; in the second nothing does, and everything has
//! to be well again.

mod agenda;
mod record;
mod servers;
mod watch;
mod workload;

use crate::machine::{Fault, NodeConfig, NodeId, OperationCounts, Sim};
use crate::oracle::{FinalReplica, Judge, Settings, Sight};
use crate::plan::{Budget, Member, Plan, WIRE_VERSION};
use crate::run::{Came, Failure, Report, RunOptions, Told};
use agenda::Agenda;
use mooseng_core::time::Instant;
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
        drop(sim.take_stats());
        let settings = Settings { progress_max: PROGRESS_MAX, ..Settings::of(plan) };
        let record = Arc::new(Record::new(sim.control().clone(), Judge::new(&settings)));
        let watch =
            Arc::new(Watch::new(record.clone(), Agenda::new(&plan.faults), servers.names(), options.trace));
        let observer = watch.clone();
        sim.on_event(Box::new(move |observation, control| {
            observer.see(observation);
            // What a milestone has made due strikes at once, not at the next turn.
            observer.strike(control);
        }));
        let clients = (0..plan.clients.len()).map(|number| {
            let node = sim.add_node(&format!("client-{}", number + 1), NodeConfig::default());
            let config = servers.session_config(plan);
            (node, Arc::new(Client::new(number, plan, config, watch.clone())))
        });
        let clients = clients.collect();
        let work_told = sim.now();
        Self { plan, options, sim, record, watch, servers, clients, counts: Vec::new(), work_told }
    }

    fn play(mut self) -> Report {
        self.servers.boot(&mut self.sim, &self.record);
        for (node, client) in &self.clients {
            let client = client.clone();
            self.sim.boot(*node, move |env| client.clone().run(env));
        }
        let faults_end = Instant::ZERO + self.plan.faults_end;
        let end = Instant::ZERO + self.plan.end.max(self.plan.faults_end);
        self.until(faults_end);
        self.heal();
        self.until(end);
        let replicas = self.settle();
        self.judge(&replicas)
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
        let nodes = self.servers.names().len() + self.clients.len();
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
        let names = self.servers.names().into_iter();
        let clients = (1..=self.clients.len()).map(|number| format!("client-{number}"));
        for node in names.chain(clients) {
            self.sim.apply(&Fault::Restart { node }).expect("the node was added");
        }
        let now = self.sim.now();
        self.record.judge(|judge| ((), judge.tell(now, Sight::Healed)));
        self.until(now + STARTING_MAX);
        self.follow_remedies();
        // A boot takes a turn; whoever looks around is then part of that life.
        self.until(now + PROGRESS_MAX);
        for (node, client) in &self.clients {
            let env = self.sim.env(*node);
            self.sim.spawn(*node, "look around", client.clone().look_around(env));
        }
    }

    /// A server that cannot start says what its operator has to do. It has to help.
    fn follow_remedies(&mut self) {
        for name in self.servers.names() {
            let node = self.sim.node(&name).expect("the node was added");
            if self.sim.halted(node).is_some_and(|reason| reason.contains("empty the data directory")) {
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
            let last = self.record.judge(|judge| (judge.log().last(), Ok(())));
            let replicas = self.servers.inspect(&mut self.sim);
            let (now, all) = (self.sim.now(), replicas.len() == self.servers.names().len());
            let settled =
                |replica: &FinalReplica| replica.applied >= last && replica.tree.condemned.is_empty();
            let orphans = replicas.iter().map(|replica| replica.tree.orphans().count()).sum();
            if orphans < orphans_before {
                (orphans_before, stirred) = (orphans, now);
            }
            let collecting = orphans > 0 && replicas.iter().all(|replica| self.knows_sessions_of(replica));
            let waited = if collecting { COLLECTING_MAX } else { SETTLING_MAX };
            let done = all && !collecting && replicas.iter().all(settled);
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

    fn judge(self, replicas: &[FinalReplica]) -> Report {
        let mut failure: Option<Failure> = self.record.violation().map(Failure::from);
        if failure.is_none() {
            let within = self.plan.budget == Budget::Within;
            let serving = if within { self.plan.topology.servers as usize } else { 0 };
            let at = self.sim.now();
            let violations = self.record.judge(|judge| (judge.finish(at, replicas, serving), Ok(())));
            failure = violations.into_iter().next().map(Failure::from);
        }
        self.report(failure)
    }

    fn report(mut self, failure: Option<Failure>) -> Report {
        let stats = self.sim.take_stats();
        let told = self.options.trace.then(|| self.tell(failure.as_ref()));
        let (operations, failovers) = self
            .record
            .judge(|judge| ((judge.history().operations().len() as u64, judge.failovers()), Ok(())));
        Report {
            failure,
            operations,
            acknowledged: self.record.acknowledged(),
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
        let clients = (1..=self.clients.len() as u32).map(Member::Client);
        Told {
            history,
            members: servers.chain(clients).collect(),
            lines: tape.finish(),
            turns: lines.iter().map(ToString::to_string).collect(),
            end: self.sim.now(),
        }
    }
}
