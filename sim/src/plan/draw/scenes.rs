//! Faults that make a scene: several that belong together, or one at the moment that matters. Each
//! is something that happens to real clusters, only less often.

use super::faults::FaultDraw;
use crate::machine::{Fault, Moment, OperationKind, Spot};
use crate::plan::{Knobs, Member, Milestone, PlannedFault, When};
use mooseng_core::chance::Dice;
use std::time::Duration;

/// A session this short runs out within a run.
const LIFETIME_SHORT_MS: u64 = 5_000;
/// Where the snapshots of a server lie.
const SNAPSHOTS: &str = "group-1/";

impl FaultDraw<'_> {
    /// `None` if there is no such scene.
    pub(super) fn scene(&mut self, kind: &str, when: &When, knobs: &Knobs) -> Option<Vec<PlannedFault>> {
        let at = |fault| PlannedFault { when: when.clone(), fault };
        Some(match kind {
            "absent-client" if self.dice.chance(500_000) => self.late_client(when, knobs),
            "absent-client" => vec![at(self.absent_client(knobs))],
            "kill-client" => {
                let restart_ms = Some(self.millis());
                vec![at(Fault::Kill { node: self.client(), restart_ms })]
            }
            "deaf-leader" => self.deaf_leader(when),
            "sleepy-leader" => self.sleepy_leader(knobs),
            "crash-at-commit" => self.crash_at_commit(when),
            "almost-deposed-leader" => self.almost_deposed_leader(when, knobs),
            "kill-at-answer" => self.kill_at_answer(),
            "change-of-members" if self.servers > 1 => self.change_of_members(),
            "change-of-members" => Vec::new(),
            "rotten-snapshot" => self.rotten_snapshot(),
            "mourned-client" => self.mourned_client(),
            _ => return None,
        })
    }

    /// A client is gone for good. When what it was lent has run out the leader is gone, too: nobody waits
    /// for that client any more.
    fn mourned_client(&mut self) -> Vec<PlannedFault> {
        let first = Member::Client(1).to_string();
        let gone = When::at(Duration::from_millis(self.dice.between(1_600, 2_000)));
        let then = When::at(Duration::from_millis(self.dice.between(9_200, 9_900)));
        let restart_ms = Some(self.millis());
        vec![
            PlannedFault { when: gone, fault: Fault::Kill { node: first, restart_ms: Some(60_000) } },
            PlannedFault { when: then, fault: Fault::Crash { node: "leader".to_owned(), restart_ms } },
        ]
    }

    fn client(&mut self) -> String {
        Member::Client(self.dice.between(1, u64::from(self.clients)) as u32).to_string()
    }

    /// A client is away for a little longer than its session lives, if that is not too long, and does
    /// not know when it comes back.
    fn absent_client(&mut self, knobs: &Knobs) -> Fault {
        let node = self.client();
        let lifetime = knobs.session_lifetime_ms;
        let away = if lifetime <= LIFETIME_SHORT_MS {
            lifetime + self.dice.between(lifetime / 50, lifetime / 2)
        } else {
            self.millis()
        };
        let for_ms = Some(away);
        match self.dice.below(3) {
            0 => Fault::Pause { node, for_ms },
            1 => Fault::Suspend { node, for_ms },
            _ => Fault::Isolate { node, for_ms },
        }
    }

    /// A client comes back while the servers agree that its session is over: it asked for more of it
    /// last at most a third of a lifetime before it went, and the disks of the followers are slow then.
    fn late_client(&mut self, when: &When, knobs: &Knobs) -> Vec<PlannedFault> {
        let lifetime = knobs.session_lifetime_ms;
        if lifetime > LIFETIME_SHORT_MS {
            return vec![PlannedFault { when: when.clone(), fault: self.absent_client(knobs) }];
        }
        let for_ms = self.dice.between(lifetime * 3 / 4, lifetime * 11 / 10);
        let early_ms = self.dice.between(50, 400);
        // Awake again it asks at once.
        let away = Fault::Pause { node: self.client(), for_ms: Some(for_ms) };
        let mut back = when.clone();
        back.wait += Duration::from_millis(for_ms - early_ms);
        let slow = |number| {
            let node = format!("follower-{number}");
            PlannedFault { when: back.clone(), fault: Fault::DiskStall { node, for_ms: early_ms + 50 } }
        };
        let mut scene: Vec<PlannedFault> = (1..self.servers).map(slow).collect();
        scene.push(PlannedFault { when: when.clone(), fault: away });
        scene
    }

    /// The leader hears no other server for a while, just after it began to hand its office over; they
    /// hear it, and clients reach everybody.
    fn deaf_leader(&mut self, when: &When) -> Vec<PlannedFault> {
        let mut when = when.clone();
        if self.dice.chance(800_000) {
            when = When::after(Milestone::HandingOver, self.dice.between(1, 4) as u32);
            when.wait = Duration::from_millis(*self.dice.pick(&[0, 0, 0, 1, 5]));
        }
        let for_ms = Some(self.dice.between(50, 500));
        let deaf = |number| Fault::Clog {
            source: format!("follower-{number}"),
            target: "leader".to_owned(),
            for_ms,
        };
        (1..self.servers).map(|number| PlannedFault { when: when.clone(), fault: deaf(number) }).collect()
    }

    /// The leader does nothing for longer than its lease, and long enough for another to be elected.
    fn sleepy_leader(&mut self, knobs: &Knobs) -> Vec<PlannedFault> {
        let when = When::after(Milestone::Answered, self.dice.between(1, 60) as u32);
        let least = knobs.lease_ms + knobs.election_ms_min;
        let for_ms = Some(self.dice.between(least, 2 * (knobs.lease_ms + knobs.election_ms_max)));
        let node = "leader".to_owned();
        let fault = if self.dice.chance(500_000) {
            Fault::Pause { node, for_ms }
        } else {
            Fault::Suspend { node, for_ms }
        };
        vec![PlannedFault { when, fault }]
    }

    /// The leader is cut off for just about as long as it goes on without a quorum: where it gives up as
    /// it is heard again, the others have begun to wait anew.
    fn almost_deposed_leader(&mut self, when: &When, knobs: &Knobs) -> Vec<PlannedFault> {
        let heartbeat_ms = knobs.tick_ms * u64::from(knobs.heartbeat_ticks);
        let least = knobs.election_ms_min.saturating_sub(heartbeat_ms / 2);
        let for_ms = Some(self.dice.between(least, knobs.election_ms_min + heartbeat_ms / 2));
        vec![PlannedFault { when: when.clone(), fault: Fault::Isolate { node: "leader".to_owned(), for_ms } }]
    }

    /// The disks of all chunk servers are slow, and their power fails just when the metadata service has
    /// answered: what it was told of had better be durable.
    fn crash_at_commit(&mut self, when: &When) -> Vec<PlannedFault> {
        let count = self.chunk_servers;
        let answered = When::after(Milestone::Answered, self.dice.between(1, 60) as u32);
        let factor = *self.dice.pick(&[20, 100]);
        let for_ms = Some(self.dice.between(500, 4_000));
        let mut scene = Vec::new();
        for node in (1..=count).map(|number| Member::Chunk(number).to_string()) {
            let slow = Fault::DiskSlow { node: node.clone(), factor, for_ms };
            scene.push(PlannedFault { when: When { after: None, then: None, ..when.clone() }, fault: slow });
            let crash = Fault::Crash { node, restart_ms: Some(self.dice.between(1, 500)) };
            scene.push(PlannedFault { when: answered.clone(), fault: crash });
        }
        scene
    }

    /// The leader's process dies as an answer leaves it.
    fn kill_at_answer(&mut self) -> Vec<PlannedFault> {
        let answered = When::after(Milestone::Applied, self.dice.between(1, 60) as u32);
        let count = self.dice.between(1, 4) as u32;
        let mut when = answered.then("leader", OperationKind::Send, count, Moment::Before);
        if let Some(operations) = &mut when.then {
            operations.prefix = "client-".to_owned();
        }
        let restart_ms = Some(self.millis());
        vec![PlannedFault { when, fault: Fault::Kill { node: "leader".to_owned(), restart_ms } }]
    }

    /// A server comes back with nothing, and the leader that takes it in again is gone half way.
    fn change_of_members(&mut self) -> Vec<PlannedFault> {
        let node = format!("follower-{}", self.dice.between(1, u64::from(self.servers) - 1));
        let began = u64::from(self.servers);
        let crash = |when: When, restart_ms| {
            let fault = Fault::Crash { node: "leader".to_owned(), restart_ms: Some(restart_ms) };
            PlannedFault { when, fault }
        };
        let empty_at = When::at(Duration::from_millis(self.dice.between(500, 4_000)));
        let restart_ms = Some(self.dice.between(1, 200));
        let empty = PlannedFault { when: empty_at, fault: Fault::Empty { node, restart_ms } };
        // Every server says who the members are when it begins, and at each of their changes.
        let mut when = When::after(Milestone::Members, self.dice.between(began + 2, 3 * began + 6) as u32);
        when.wait = Duration::from_millis(*self.dice.pick(&[0, 0, 1]));
        vec![empty, crash(when, self.millis())]
    }

    /// Snapshots go bad on the disk, and the server has to read what is left of them.
    fn rotten_snapshot(&mut self) -> Vec<PlannedFault> {
        let node = self.server();
        let when = When::after(Milestone::SnapshotTaken, self.dice.between(1, 12) as u32);
        let spot = Spot { prefix: SNAPSHOTS.to_owned(), ..Spot::default() };
        let sectors = self.dice.between(1, 3) as u32;
        let rot = if self.dice.chance(500_000) {
            Fault::BitRot { node: node.clone(), spot, sectors }
        } else {
            Fault::LatentError { node: node.clone(), spot, sectors }
        };
        let mut later = when.clone();
        later.wait = Duration::from_millis(self.dice.between(1, 50));
        let restart_ms = Some(self.dice.between(1, 500));
        let crash = PlannedFault { when: later, fault: Fault::Crash { node, restart_ms } };
        vec![PlannedFault { when, fault: rot }, crash]
    }
}
