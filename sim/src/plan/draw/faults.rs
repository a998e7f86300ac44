//! What goes wrong in a drawn plan, within its budget.

mod promises;

use super::super::budget::{CHUNK_SERVERS_DAMAGED_MAX, damaged_chunk_servers, damaged_voters};
use super::super::{Budget, Knobs, Member, Milestone, Plan, PlannedFault, WIRE_VERSION, Weights, When};
use super::swarm_of;
use crate::machine::{Fault, Moment, OperationKind, Spot};
use mooseng_core::chance::{self, Dice};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

pub(super) fn draw(seed: u64, weights: &Weights, plan: &Plan) -> Vec<PlannedFault> {
    let mut dice = chance::stream(seed, "plan: faults", 0, 0);
    let count = dice.between(weights.faults_min, weights.faults_max);
    let (kinds, kind_weights) = swarm_of(&weights.faults, &mut dice);
    let mut faults: Vec<PlannedFault> = Vec::new();
    for number in 0..count {
        let mut dice = chance::stream(seed, "plan: fault", 0, number);
        let kind = kinds[dice.weighted(&kind_weights)];
        let (servers, spares) = (plan.topology.servers, plan.topology.spares);
        let (chunk_servers, clients) = (plan.topology.chunk_servers, plan.clients.len() as u32);
        let (kind, struck) = struck(kind);
        let weakest =
            (chance::once(seed, "plan: weakest", 0, 0) % u64::from(chunk_servers.max(1))) as u32 + 1;
        let mut draw =
            FaultDraw { dice: &mut dice, weights, servers, spares, chunk_servers, weakest, clients, struck };
        for planned in draw.fault(kind, &plan.knobs) {
            faults.push(planned);
            let too_many = damaged_voters(&faults) > plan.topology.minority() as usize
                || damaged_chunk_servers(&faults) > CHUNK_SERVERS_DAMAGED_MAX;
            if too_many && weights.budget == Budget::Within {
                faults.pop();
            }
        }
    }
    faults.sort_by_key(|planned| (planned.when.after.is_some(), planned.when.wait));
    faults
}

/// Whom a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Struck {
    Metadata,
    Chunks,
    Clients,
}

/// A kind of fault without what it begins with, and whom it strikes.
fn struck(kind: &str) -> (&str, Struck) {
    match (kind.strip_prefix("chunk-"), kind.strip_prefix("client-")) {
        (Some(kind), _) => (kind, Struck::Chunks),
        (None, Some(kind)) => (kind, Struck::Clients),
        (None, None) => (kind, Struck::Metadata),
    }
}

pub(super) struct FaultDraw<'a> {
    pub(super) dice: &'a mut ChaCha8Rng,
    weights: &'a Weights,
    pub(super) servers: u32,
    spares: u32,
    pub(super) chunk_servers: u32,
    /// The chunk server whose disk goes bad, for no more than one may.
    weakest: u32,
    pub(super) clients: u32,
    struck: Struck,
}

impl FaultDraw<'_> {
    pub(super) fn millis(&mut self) -> u64 {
        let shortest = self.weights.fault_span_min.as_millis() as u64;
        let longest = self.weights.fault_span_max.as_millis() as u64 - shortest;
        // Short ones are as likely as long ones: most races are short.
        let most = *self.dice.pick(&[longest / 16, longest / 4, longest]);
        shortest + self.dice.below(most + 1)
    }

    fn when(&mut self) -> When {
        let Weights { faults_begin, faults_end, fault_span_min, awaited, .. } = self.weights;
        // Every fault has the time that it lasts at least.
        let latest = faults_end.saturating_sub(*fault_span_min);
        let phase = latest.saturating_sub(*faults_begin).as_millis() as u64;
        let wait = *faults_begin + Duration::from_millis(self.dice.below(phase));
        if !self.dice.chance(*awaited) {
            return When::at(wait);
        }
        let milestones = [
            (Milestone::Elected, 3),
            (Milestone::SteppedDown, 2),
            (Milestone::Recovered, 4),
            (Milestone::Applied, 60),
            (Milestone::SnapshotTaken, 4),
            (Milestone::SnapshotInstalled, 1),
            (Milestone::Answered, 40),
        ];
        let (milestone, most) = *self.dice.pick(&milestones);
        let mut when = When::after(milestone, self.dice.between(1, most) as u32);
        when.wait = Duration::from_millis(*self.dice.pick(&[0, 0, 1, 5, 50]));
        when
    }

    fn number(&mut self, count: u32) -> u32 {
        self.dice.between(1, u64::from(count)) as u32
    }

    /// A node of the kind that is struck.
    pub(super) fn server(&mut self) -> String {
        let member = match self.struck {
            Struck::Metadata => Member::Server(self.number(self.servers + self.spares)),
            Struck::Chunks => Member::Chunk(self.number(self.chunk_servers)),
            Struck::Clients => Member::Client(self.number(self.clients)),
        };
        member.to_string()
    }

    /// Such a node by name, or the metadata server that leads when it happens.
    fn anybody(&mut self) -> String {
        if self.struck == Struck::Metadata && self.dice.chance(300_000) {
            "leader".to_owned()
        } else {
            self.server()
        }
    }

    /// Two different nodes, of which one is a server.
    fn two(&mut self) -> (String, String) {
        match self.struck {
            Struck::Metadata => {}
            Struck::Chunks => return self.two_of_chunk_servers(self.chunk_servers),
            Struck::Clients => return self.two_of_clients(),
        }
        let one = self.dice.between(1, u64::from(self.servers)) as u32;
        let client = Member::Client(1).to_string();
        if self.servers == 1 || self.dice.chance(250_000) {
            let server = Member::Server(one).to_string();
            return if self.dice.chance(500_000) { (server, client) } else { (client, server) };
        }
        let other = (one - 1 + self.dice.between(1, u64::from(self.servers) - 1) as u32) % self.servers + 1;
        (Member::Server(one).to_string(), Member::Server(other).to_string())
    }

    /// A chunk server and somebody who talks to it.
    fn two_of_chunk_servers(&mut self, count: u32) -> (String, String) {
        let one = self.dice.between(1, u64::from(count)) as u32;
        let other = match self.dice.below(3) {
            0 => Member::Server(self.dice.between(1, u64::from(self.servers)) as u32),
            1 if count > 1 => {
                let ahead = self.dice.between(1, u64::from(count) - 1) as u32;
                Member::Chunk((one - 1 + ahead) % count + 1)
            }
            _ => Member::Client(self.dice.between(1, u64::from(self.clients)) as u32),
        };
        let (one, other) = (Member::Chunk(one).to_string(), other.to_string());
        if self.dice.chance(500_000) { (one, other) } else { (other, one) }
    }

    /// A client and a server.
    fn two_of_clients(&mut self) -> (String, String) {
        let server = match self.chunk_servers {
            count if count > 0 && self.dice.chance(500_000) => Member::Chunk(self.number(count)),
            _ => Member::Server(self.number(self.servers)),
        };
        let (one, other) = (Member::Client(self.number(self.clients)).to_string(), server.to_string());
        if self.dice.chance(500_000) { (one, other) } else { (other, one) }
    }

    /// What lies on a chunk server's disk is mostly parts.
    fn prefix(&mut self) -> String {
        if self.struck == Struck::Chunks && self.dice.chance(800_000) {
            "store/".to_owned()
        } else {
            String::new()
        }
    }

    /// One fault, or several that belong together.
    fn fault(&mut self, kind: &str, knobs: &Knobs) -> Vec<PlannedFault> {
        let when = self.when();
        if let Some(scene) = self.scene(kind, &when, knobs) {
            return scene;
        }
        let for_ms = Some(self.millis());
        let restart_ms = for_ms;
        match kind {
            "crash-all" => {
                let (count, member): (u32, fn(u32) -> Member) = match self.struck {
                    Struck::Metadata => (self.servers, Member::Server),
                    Struck::Chunks => (self.chunk_servers, Member::Chunk),
                    Struck::Clients => (self.clients, Member::Client),
                };
                (1..=count)
                    .map(|number| {
                        let node = member(number).to_string();
                        let fault = Fault::Crash { node, restart_ms: Some(self.millis()) };
                        PlannedFault { when: when.clone(), fault }
                    })
                    .collect()
            }
            "crash-at-operation" => {
                let node = self.anybody();
                let kinds = [
                    OperationKind::Write,
                    OperationKind::Sync,
                    OperationKind::Sync,
                    OperationKind::SyncDir,
                    OperationKind::Names,
                    OperationKind::Send,
                    OperationKind::Receive,
                ];
                let operation = *self.dice.pick(&kinds);
                let moment = *self.dice.pick(&[Moment::Before, Moment::During, Moment::After]);
                let most = *self.dice.pick(&[2, 10, 100]);
                let when = when.then(&node, operation, self.dice.between(1, most) as u32, moment);
                vec![PlannedFault { when, fault: Fault::Crash { node, restart_ms } }]
            }
            "crash-at-promise" => self.at_promise(),
            "crash-at-snapshot" => self.at_snapshot(when),
            "restarted-voters" => self.restarted_voters(when),
            "damaged-restart" => self.damaged_restart(when),
            kind => {
                let fault = match self.of_network(kind, for_ms) {
                    Some(fault) => fault,
                    None => self.of_disk(kind, for_ms).unwrap_or_else(|| self.of_node(kind, for_ms)),
                };
                vec![PlannedFault { when, fault }]
            }
        }
    }

    fn of_node(&mut self, kind: &str, for_ms: Option<u64>) -> Fault {
        let restart_ms = for_ms;
        match kind {
            "crash-leader" => Fault::Crash { node: "leader".to_owned(), restart_ms },
            "pause-leader" => Fault::Pause { node: "leader".to_owned(), for_ms },
            "version" => {
                let wire_version = *self.dice.pick(&[WIRE_VERSION - 1, WIRE_VERSION + 1]);
                Fault::Version { node: self.server(), wire_version, restart_ms }
            }
            "kill" => Fault::Kill { node: self.anybody(), restart_ms },
            "pause" => Fault::Pause { node: self.anybody(), for_ms },
            "suspend" => Fault::Suspend { node: self.anybody(), for_ms },
            "slow-cpu" => Fault::SlowCpu { node: self.anybody(), factor: 50, for_ms },
            "drift" => Fault::Drift { node: self.server(), ppm: *self.dice.pick(&[-10_000, 10_000]) },
            "clock-jump" => Fault::ClockJump { node: self.anybody(), by_ms: self.millis() },
            "wall-step" => {
                let by_ms = *self.dice.pick(&[-86_400_000, -1_000, 1_000, 86_400_000]);
                Fault::WallStep { node: self.anybody(), by_ms }
            }
            "wall-freeze" => Fault::WallFreeze { node: self.anybody(), for_ms },
            _ => Fault::Crash { node: self.server(), restart_ms },
        }
    }

    fn of_network(&mut self, kind: &str, for_ms: Option<u64>) -> Option<Fault> {
        let (source, target) = self.two();
        Some(match kind {
            "cut" => Fault::Cut { source, target, for_ms },
            "clog" => Fault::Clog { source, target, for_ms },
            "reset" => Fault::Reset { left: source, right: target },
            "half-open" => Fault::HalfOpen { source, target, silent: self.dice.chance(500_000) },
            "corrupt" => Fault::Corrupt { source, target, frames: self.dice.between(1, 5) as u32 },
            "rubbish" => Fault::Rubbish { source, target, frames: self.dice.between(1, 5) as u32 },
            "slow-link" => {
                let extra_us = *self.dice.pick(&[1_000, 20_000, 300_000]);
                let bytes_per_second = self.dice.chance(300_000).then_some(20_000);
                Fault::SlowLink { source, target, extra_us, bytes_per_second, for_ms }
            }
            "isolate-leader" => Fault::Isolate { node: "leader".to_owned(), for_ms },
            "isolate" => Fault::Isolate { node: self.anybody(), for_ms },
            "partition" => {
                let mut servers: Vec<u32> = (1..=self.servers).collect();
                self.dice.shuffle(&mut servers);
                let cut = self.dice.below(u64::from(self.servers)) as usize;
                let names =
                    |servers: &[u32]| servers.iter().map(|one| Member::Server(*one).to_string()).collect();
                Fault::Partition { left: names(&servers[cut..]), right: names(&servers[..cut]), for_ms }
            }
            _ => return None,
        })
    }

    fn of_disk(&mut self, kind: &str, for_ms: Option<u64>) -> Option<Fault> {
        let mut node = self.server();
        let damages =
            ["latent-error", "bit-rot", "misdirected-write", "misdirected-read", "empty"].contains(&kind);
        if damages && self.struck == Struck::Chunks {
            node = Member::Chunk(self.weakest).to_string();
        }
        let prefix = self.prefix();
        let spot = Spot { prefix: prefix.clone(), ..Spot::default() };
        let restart_ms = for_ms;
        let sectors = self.dice.between(1, 3) as u32;
        Some(match kind {
            "disk-full" => Fault::DiskFull { node, free_bytes: self.dice.below(65_536), for_ms },
            "disk-slow" => Fault::DiskSlow { node, factor: *self.dice.pick(&[5, 50]), for_ms },
            "disk-stall" => Fault::DiskStall { node, for_ms: for_ms? },
            "sync-fails" => Fault::SyncFails { node, prefix },
            "sync-lies" => Fault::SyncLies { node, for_ms },
            "latent-error" => Fault::LatentError { node, spot, sectors },
            "bit-rot" => Fault::BitRot { node, spot, sectors },
            "misdirected-write" => Fault::MisdirectedWrite { node, prefix },
            "misdirected-read" => Fault::MisdirectedRead { node, prefix },
            "rollback" => Fault::Rollback { node, restart_ms },
            "empty" => Fault::Empty { node, restart_ms },
            "swap-disks" => {
                let (left, right) = self.two();
                let servers = ![&left, &right].iter().any(|name| name.starts_with("client-"));
                let (left, right) = if servers { (left, right) } else { (node.clone(), node) };
                let while_ms = self.dice.between(200, 3_000);
                let for_ms = self.dice.chance(700_000).then_some(while_ms);
                Fault::SwapDisks { left, right, restart_ms: Some(*self.dice.pick(&[1, 20, 200])), for_ms }
            }
            _ => return None,
        })
    }
}
