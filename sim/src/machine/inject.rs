//! How each fault is done to the machine, how it ends, and how everything is healed.

use super::fault::Fault;
use super::node::{NodeId, Stop};
use super::observe::MachineEvent;
use super::trigger::Triggers;
use super::world::{Deferred, World};
use std::sync::Arc;

const MILLI: u64 = 1_000_000;

/// A fault or a trigger names a node that is not there.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no node is called {0:?}")]
pub struct UnknownNode(pub String);

impl World {
    pub(crate) fn find(&self, name: &str) -> Result<NodeId, UnknownNode> {
        self.names.get(name).copied().ok_or_else(|| UnknownNode(name.into()))
    }

    pub(crate) fn check_names(&self, fault: &Fault) -> Result<(), UnknownNode> {
        fault.nodes().into_iter().try_for_each(|name| self.find(name).map(drop))
    }

    /// The node of a name that was checked.
    fn named(&self, name: &str) -> NodeId {
        match self.find(name) {
            Ok(node) => node,
            Err(error) => unreachable!("names are checked before: {error}"),
        }
    }

    /// Injects a fault whose names were checked.
    pub(crate) fn inject(&mut self, fault: &Fault) {
        self.stats.injected(fault.kind());
        let node = match fault.nodes()[..] {
            [one] => Some(self.named(one)),
            _ => None,
        };
        self.tell(node, MachineEvent::Fault(fault.clone()));
        if self.inject_now(fault) {
            self.stats.struck(fault.kind());
        }
        if let Some(for_ms) = fault.lasts_ms() {
            let over = Deferred::FaultOver { fault: fault.clone(), round: self.round };
            self.defer(for_ms.saturating_mul(MILLI), over);
        }
    }

    /// True if it changed anything already; faults that wait say so when they strike.
    fn inject_now(&mut self, fault: &Fault) -> bool {
        match fault {
            Fault::Crash { node, restart_ms } => self.stop_named(node, Stop::Power, *restart_ms),
            Fault::Kill { node, restart_ms } => self.stop_named(node, Stop::Kill, *restart_ms),
            Fault::Version { node, wire_version, restart_ms } => {
                let host = self.named(node);
                self.node_mut(host).config.wire_version = *wire_version;
                self.stop_named(node, Stop::Kill, *restart_ms)
            }
            Fault::Restart { node } => {
                let node = self.named(node);
                let down = !self.node(node).up;
                self.request_boot(node);
                down
            }
            Fault::Pause { node, .. } => {
                let node = self.named(node);
                self.node_mut(node).pauses += 1;
                self.tell(Some(node), MachineEvent::Paused);
                true
            }
            Fault::Suspend { node, .. } => {
                let node = self.named(node);
                self.node_mut(node).sleeps += 1;
                self.tell(Some(node), MachineEvent::Suspended);
                true
            }
            Fault::SlowCpu { node, factor, .. } => {
                let node = self.named(node);
                self.node_mut(node).cpu_factor = (*factor).max(1);
                true
            }
            Fault::Cut { .. }
            | Fault::Partition { .. }
            | Fault::Isolate { .. }
            | Fault::Clog { .. }
            | Fault::SlowLink { .. }
            | Fault::Reset { .. }
            | Fault::HalfOpen { .. }
            | Fault::Corrupt { .. }
            | Fault::Rubbish { .. } => self.inject_network(fault),
            Fault::Drift { .. }
            | Fault::ClockJump { .. }
            | Fault::WallStep { .. }
            | Fault::WallFreeze { .. } => self.inject_clock(fault),
            _ => self.inject_disk(fault),
        }
    }

    fn stop_named(&mut self, node: &str, how: Stop, restart_ms: Option<u64>) -> bool {
        let node = self.named(node);
        let was_up = self.node(node).up;
        // The power of a machine whose process is down can fail all the same.
        if was_up || (how == Stop::Power && self.node(node).powered) {
            self.stop(node, how);
        }
        self.restart_in(node, restart_ms);
        was_up
    }

    fn restart_in(&mut self, node: NodeId, restart_ms: Option<u64>) {
        if let Some(wait) = restart_ms {
            let epoch = self.node(node).epoch;
            self.defer(wait.saturating_mul(MILLI), Deferred::Restart { node, epoch });
        }
    }

    /// The directed links that a fault touches.
    fn links_of(&self, fault: &Fault) -> Vec<(NodeId, NodeId)> {
        match fault {
            Fault::Cut { source, target, .. }
            | Fault::Clog { source, target, .. }
            | Fault::SlowLink { source, target, .. }
            | Fault::Corrupt { source, target, .. }
            | Fault::Rubbish { source, target, .. } => vec![(self.named(source), self.named(target))],
            Fault::Partition { left, right, .. } => {
                let mut links = Vec::new();
                for one in left.iter().map(|name| self.named(name)) {
                    for other in right.iter().map(|name| self.named(name)).filter(|other| *other != one) {
                        links.extend([(one, other), (other, one)]);
                    }
                }
                links
            }
            Fault::Isolate { node, .. } => {
                let node = self.named(node);
                let others = (0..self.nodes.len() as u32).map(NodeId).filter(|other| *other != node);
                others.flat_map(|other| [(node, other), (other, node)]).collect()
            }
            _ => Vec::new(),
        }
    }

    fn inject_network(&mut self, fault: &Fault) -> bool {
        if let Fault::Reset { left, right } = fault {
            return self.reset_between(self.named(left), self.named(right));
        }
        if let Fault::HalfOpen { source, target, silent } = fault {
            return self.forget_between(self.named(source), self.named(target), *silent);
        }
        for (source, target) in self.links_of(fault) {
            let link = self.network.link_mut(source, target);
            match fault {
                Fault::Clog { .. } => link.clogs += 1,
                Fault::SlowLink { extra_us, bytes_per_second, .. } => {
                    link.extra_ns = extra_us.saturating_mul(1_000);
                    link.slow_bytes_per_second = *bytes_per_second;
                }
                Fault::Corrupt { frames, .. } => link.corrupt_frames += frames,
                Fault::Rubbish { frames, .. } => link.rubbish_frames += frames,
                _ => link.cuts += 1,
            }
        }
        !matches!(fault, Fault::Corrupt { .. } | Fault::Rubbish { .. })
    }

    fn inject_clock(&mut self, fault: &Fault) -> bool {
        let now = self.now;
        let node = self.named(fault.nodes()[0]);
        let clock = &mut self.node_mut(node).clock;
        match fault {
            Fault::Drift { ppm, .. } => clock.set_drift(now, (*ppm).clamp(-400_000, 10_000_000)),
            Fault::ClockJump { by_ms, .. } => clock.jump(now, by_ms.saturating_mul(MILLI)),
            Fault::WallStep { by_ms, .. } => clock.step_wall(by_ms.saturating_mul(MILLI as i64)),
            _ => clock.freeze_wall(now),
        }
        self.reset_timers(node);
        true
    }

    fn inject_disk(&mut self, fault: &Fault) -> bool {
        let now = self.now;
        let node = self.named(fault.nodes()[0]);
        let disk = &mut self.node_mut(node).disk;
        match fault {
            Fault::DiskFull { free_bytes, .. } => disk.limit_free(*free_bytes),
            Fault::DiskSlow { factor, .. } => {
                disk.damage.slow_factor = u64::from((*factor).max(1));
                return true;
            }
            Fault::DiskStall { for_ms, .. } => {
                disk.damage.stalled_until = now + for_ms.saturating_mul(MILLI);
                return true;
            }
            Fault::SyncFails { prefix, .. } => disk.damage.failing_syncs.push(prefix.clone()),
            Fault::SyncLies { .. } => disk.damage.lies += 1,
            Fault::MisdirectedWrite { prefix, .. } => disk.damage.misdirected_writes.push(prefix.clone()),
            Fault::MisdirectedRead { prefix, .. } => disk.damage.misdirected_reads.push(prefix.clone()),
            Fault::LatentError { spot, sectors, .. } => {
                let told = disk.spoil(spot, *sectors, now);
                return self.tell_damage(node, told);
            }
            Fault::BitRot { spot, sectors, .. } => {
                let told = disk.rot(spot, *sectors, now);
                return self.tell_damage(node, told);
            }
            Fault::Checkpoint { .. } => {
                disk.checkpoint();
                return true;
            }
            Fault::Rollback { restart_ms, .. } => {
                self.stop(node, Stop::Power);
                self.restart_in(node, *restart_ms);
                return self.node_mut(node).disk.roll_back();
            }
            Fault::Empty { restart_ms, .. } => {
                self.stop(node, Stop::Power);
                self.node_mut(node).disk.empty();
                self.restart_in(node, *restart_ms);
                return true;
            }
            Fault::SwapDisks { right, restart_ms, for_ms, .. } => {
                let other = self.named(right);
                self.swap_disks(node, other, *restart_ms);
                if for_ms.is_some() {
                    self.disks_lent.extend([node, other]);
                }
                return true;
            }
            _ => unreachable!("{} is no fault of a disk", fault.kind()),
        }
        false
    }

    fn tell_damage(&mut self, node: NodeId, told: Vec<String>) -> bool {
        for what in &told {
            self.tell(Some(node), MachineEvent::Struck { kind: "damage", what: what.clone() });
        }
        !told.is_empty()
    }

    fn swap_disks(&mut self, one: NodeId, other: NodeId, restart_ms: Option<u64>) {
        self.stop(one, Stop::Power);
        self.stop(other, Stop::Power);
        let (low, high) = (one.0.min(other.0) as usize, one.0.max(other.0) as usize);
        if low < high {
            let (left, right) = self.nodes.split_at_mut(high);
            std::mem::swap(&mut left[low].disk, &mut right[0].disk);
            std::mem::swap(&mut left[low].disk_of, &mut right[0].disk_of);
        }
        self.restart_in(one, restart_ms);
        self.restart_in(other, restart_ms);
    }

    /// The node has its own disk again, and whoever had it has what the node had.
    fn bring_disk_home(&mut self, node: NodeId, restart_ms: Option<u64>) {
        let holder =
            (0..self.nodes.len() as u32).map(NodeId).find(|holder| self.node(*holder).disk_of == node);
        let holder = holder.expect("a disk is always somewhere");
        if holder != node {
            self.swap_disks(node, holder, restart_ms);
        }
    }

    /// A fault that lasted is over.
    pub(crate) fn fault_over(&mut self, fault: &Fault) {
        self.tell(None, MachineEvent::FaultOver(fault.clone()));
        let links = self.links_of(fault);
        for (source, target) in links {
            let link = self.network.link_mut(source, target);
            match fault {
                Fault::Clog { .. } => link.clogs = link.clogs.saturating_sub(1),
                Fault::SlowLink { .. } => link.lift_slowness(),
                _ => link.cuts = link.cuts.saturating_sub(1),
            }
            self.path_heals(source, target);
        }
        let node = self.named(fault.nodes()[0]);
        let host = self.node_mut(node);
        match fault {
            Fault::Pause { .. } => {
                host.pauses = host.pauses.saturating_sub(1);
                self.tell(Some(node), MachineEvent::Resumed);
            }
            Fault::Suspend { .. } => {
                host.sleeps = host.sleeps.saturating_sub(1);
                self.wake_machine(node);
                self.tell(Some(node), MachineEvent::Woke);
            }
            Fault::SlowCpu { .. } => host.cpu_factor = 1,
            Fault::WallFreeze { .. } => host.clock.thaw_wall(),
            Fault::DiskFull { .. } => host.disk.damage.used_pages_max = u64::MAX,
            Fault::SwapDisks { right, restart_ms, .. } => {
                let other = self.named(right);
                self.bring_disk_home(node, *restart_ms);
                self.bring_disk_home(other, *restart_ms);
            }
            Fault::DiskSlow { .. } => host.disk.damage.slow_factor = 1,
            Fault::SyncLies { .. } => host.disk.damage.lies = host.disk.damage.lies.saturating_sub(1),
            _ => {}
        }
        self.unpark();
    }

    fn unpark(&mut self) {
        self.chores.unpark = true;
        self.chores.pending = true;
    }

    fn wake_machine(&mut self, node: NodeId) {
        if self.node(node).sleeps == 0 {
            self.resume_operations(node);
            self.network_wakes(node);
        }
    }

    pub(crate) fn heal(&mut self) {
        self.round += 1;
        // Nothing waits for its occasion any more, and nothing fails by itself.
        self.triggers = Triggers::default();
        let config = Arc::make_mut(&mut self.config);
        config.buggify_fire_ppm = 0;
        let (network, disk) = (&mut config.network, &mut config.disk);
        (network.reset_ppm, network.corrupt_ppm, network.spike_ppm, disk.stall_ppm) = (0, 0, 0, 0);
        self.network.links_mut().for_each(super::network::Link::heal);
        for node in (0..self.nodes.len() as u32).map(NodeId) {
            let now = self.now;
            let bound = self.config.clock.drift_ppm_max as i32;
            let host = self.node_mut(node);
            (host.pauses, host.sleeps, host.cpu_factor) = (0, 0, 1);
            host.clock.thaw_wall();
            host.disk.damage.heal();
            if host.clock.drift_ppm().abs() > bound {
                host.clock.set_drift(now, 0);
                self.reset_timers(node);
            }
            self.wake_machine(node);
        }
        for node in std::mem::take(&mut self.disks_lent) {
            self.bring_disk_home(node, Some(0));
        }
        self.unpark();
    }
}
