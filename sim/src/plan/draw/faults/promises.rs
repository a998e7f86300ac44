//! Disasters aimed at promises: power that fails just when a server has given its word, and disks
//! that lose what it was kept by.

use super::FaultDraw;
use crate::machine::{Fault, Moment, OperationKind, Spot};
use crate::plan::{Member, Milestone, PlannedFault, When};
use mooseng_core::chance::Dice;
use std::time::Duration;

impl FaultDraw<'_> {
    /// A server's power fails when it gives its word for something, or soon after: then, above all,
    /// its disk must know of it. Or the power of all fails.
    pub(super) fn at_promise(&mut self) -> Vec<PlannedFault> {
        let promises = [(Milestone::Voted, 12), (Milestone::Acknowledged, 200), (Milestone::Elected, 4)];
        let (milestone, most) = promises[self.dice.weighted(&[4, 4, 2])];
        let mut when = When::after(milestone, self.dice.between(1, most) as u32);
        when.wait = Duration::from_millis(*self.dice.pick(&[0, 0, 0, 1, 5, 20]));
        let restart_ms = Some(*self.dice.pick(&[1, 20, 200, 1_000]));
        if self.dice.chance(300_000) {
            when = when.then("there", OperationKind::Sync, self.dice.between(1, 3) as u32, Moment::After);
            return vec![PlannedFault { when, fault: Fault::Crash { node: "there".to_owned(), restart_ms } }];
        }
        let all = (1..=self.servers).map(|server| Member::Server(server).to_string());
        let nodes: Vec<String> =
            if self.dice.chance(250_000) { all.collect() } else { vec!["there".to_owned()] };
        let crash = |node| Fault::Crash { node, restart_ms };
        nodes.into_iter().map(|node| PlannedFault { when: when.clone(), fault: crash(node) }).collect()
    }

    /// A server is away until it needs a snapshot, and its power fails while it installs it, where it
    /// matters what of it is durable by then.
    pub(super) fn at_snapshot(&mut self, when: When) -> Vec<PlannedFault> {
        let node = self.server();
        let away = Fault::Crash { node, restart_ms: Some(self.dice.between(500, 2_500)) };
        let mut installed = When::after(Milestone::SnapshotInstalled, self.dice.between(1, 2) as u32);
        if self.dice.chance(700_000) {
            let moment = *self.dice.pick(&[Moment::During, Moment::After]);
            installed = installed.then("there", OperationKind::Sync, self.dice.between(1, 2) as u32, moment);
            if let Some(then) = installed.then.as_mut().filter(|_| self.dice.chance(700_000)) {
                then.prefix = "journal/".to_owned();
            }
        }
        let restart_ms = Some(*self.dice.pick(&[1, 20, 200]));
        let crash = Fault::Crash { node: "there".to_owned(), restart_ms };
        vec![PlannedFault { when, fault: away }, PlannedFault { when: installed, fault: crash }]
    }

    /// One follower does not hear its leader any more, and when it is about to stand for election the
    /// others start again, and the leader is cut off from all: whoever votes now had better remember,
    /// or wait for, the lease that it helped to make.
    pub(super) fn restarted_voters(&mut self, when: When) -> Vec<PlannedFault> {
        let followers = self.servers.saturating_sub(1);
        if followers < 2 {
            return Vec::new();
        }
        let (leader, follower) = ("leader".to_owned(), |number: u32| format!("follower-{number}"));
        let candidate = self.dice.between(1, u64::from(followers)) as u32;
        let mut later = when.clone();
        later.wait += Duration::from_millis(self.dice.between(350, 1_200));
        let deaf = Fault::Cut { source: leader.clone(), target: follower(candidate), for_ms: Some(2_000) };
        let right = (1..=followers).map(follower).collect();
        let deposed = Fault::Partition { left: vec![leader], right, for_ms: Some(500) };
        let restart = |number| Fault::Kill { node: follower(number), restart_ms: Some(5) };
        let restarts = (1..=followers).filter(|number| *number != candidate).map(restart);
        let mut faults = vec![PlannedFault { when, fault: deaf }];
        faults.extend(
            std::iter::once(deposed).chain(restarts).map(|fault| PlannedFault { when: later.clone(), fault }),
        );
        faults
    }

    /// What a server wrote last, or anything in its journal, or what it writes next, is damaged, and
    /// soon after it starts again and has to notice.
    pub(super) fn damaged_restart(&mut self, when: When) -> Vec<PlannedFault> {
        let node = self.server();
        let prefix = "journal/".to_owned();
        let spot = Spot { prefix: prefix.clone(), newest: self.dice.chance(600_000), ..Spot::default() };
        let sectors = self.dice.between(1, 3) as u32;
        let (damage, waits) = match self.dice.below(3) {
            0 => (Fault::BitRot { node: node.clone(), spot, sectors }, [0, 0, 1, 10]),
            1 => (Fault::LatentError { node: node.clone(), spot, sectors }, [0, 0, 1, 10]),
            _ => (Fault::MisdirectedWrite { node: node.clone(), prefix }, [1, 10, 100, 300]),
        };
        let mut later = when.clone();
        later.wait += Duration::from_millis(*self.dice.pick(&waits));
        let restart_ms = Some(*self.dice.pick(&[1, 20, 200]));
        let stop = match self.dice.chance(500_000) {
            true => Fault::Crash { node, restart_ms },
            false => Fault::Kill { node, restart_ms },
        };
        vec![PlannedFault { when, fault: damage }, PlannedFault { when: later, fault: stop }]
    }
}
