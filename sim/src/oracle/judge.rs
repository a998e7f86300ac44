//! All oracles of a run behind one door, with the record they share.

use super::{
    Down, End, FinalChunkServer, FinalReplica, Observation, Oracle, Sight, Violation, bounded, close_to_open,
    contents, data, durable, exactly_once, failover, fsynced, invented, leaders, linearizable, mounts,
    open_files, parts, progress, promises, replicas, reported, room, sessions, spin, steady, tree,
};
use crate::history::{Asked, CommitLog, Committed, Ending, History, Request};
use crate::model::Limits;
use crate::model::contents::{Ledger, Read};
use crate::plan::{Member, Plan};
use mooseng_core::event::Event;
use mooseng_core::namespace::{Caller, LINKS_MAX};
use mooseng_core::time::Instant;
use std::collections::BTreeSet;
use std::time::Duration;

/// The promise of G6.
const FAILOVER_MAX: Duration = Duration::from_secs(1);

/// What may have struck, and so what is promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Hardship {
    /// Within the budget: everything is promised.
    #[default]
    Bearable,
    /// Beyond it, though every loss can be seen by whoever suffered it: nothing acknowledged is lost
    /// and nothing is answered wrongly. It may be that nobody serves; then somebody has said why. Once a
    /// replica says that a majority is in doubt and nobody can tell, the next holds.
    Visible,
    /// Disks may have forgotten, or clocks lied, and nobody can know. Older truth may come back.
    /// What is there was once asked for and is a tree, and no call hangs.
    Invisible,
}

/// What the oracles have to know of a run beforehand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// What this run's file system runs out of.
    pub limits: Limits,
    pub servers: u32,
    pub clients: usize,
    /// How soon a new leader must serve; `None` where the run's settings promise nothing.
    pub failover_max: Option<Duration>,
    /// Does a leader stay in office as long as nothing happens that excuses an election?
    pub steady: bool,
    /// What may have struck.
    pub hardship: Hardship,
    /// How long a call may take that nobody can answer.
    pub call_max: Duration,
    /// How soon after the healing every call has to be answered.
    pub progress_max: Duration,
    /// How many turns beyond its steady share a node may take, over all the work there is.
    pub turns_saved_max: u64,
    /// Histories up to this many operations are searched for any order that explains them, beside
    /// the check of the commit order.
    pub search_max: usize,
    /// Clients are mounts: the history says nothing of what they do.
    pub mounts: bool,
    pub clocks_keep_their_bound: bool,
}

impl Settings {
    /// What is promised of a run of this plan. A change of leader is promised to be short at
    /// default settings on a good day, and where there is somebody to change to.
    pub fn of(plan: &Plan) -> Self {
        // Who is added and taken away may well be the leader.
        let still = plan.topology.spares == 0;
        let promised = plan.is_ordinary() && plan.topology.servers >= 3 && still;
        Self {
            limits: Limits {
                links_max: plan.knobs.links_max,
                numbers_max: (1 << 44) - plan.knobs.inode_start,
            },
            servers: plan.topology.servers,
            clients: plan.clients.len(),
            turns_saved_max: spin::saved_max(plan.clients.iter().map(Vec::len).sum()),
            failover_max: promised.then_some(FAILOVER_MAX),
            mounts: plan.topology.mounts,
            clocks_keep_their_bound: plan.clocks_keep_their_bound(),
            steady: plan.is_ordinary() && still,
            hardship: plan.hardship(),
            call_max: Duration::from_millis(plan.knobs.deadline_ms),
            ..Self::default()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: LINKS_MAX.into(),
            servers: 1,
            clients: 1,
            failover_max: None,
            steady: false,
            hardship: Hardship::default(),
            call_max: Duration::from_secs(10),
            progress_max: Duration::from_secs(5),
            turns_saved_max: spin::saved_max(0),
            search_max: 12,
            mounts: false,
            clocks_keep_their_bound: true,
        }
    }
}

/// Told of everything that happens, says when a promise is broken. After the first violation it
/// may be told more, but what it says then may follow from the first.
pub struct Judge {
    history: History,
    log: CommitLog,
    ledger: Ledger,
    oracles: Vec<Box<dyn Oracle>>,
    settings: Settings,
    /// The longest any new leader took, where one was needed.
    failovers: failover::Measured,
}

impl Judge {
    pub fn new(settings: &Settings) -> Self {
        let failovers = failover::Measured::default();
        let oracles = oracles(settings, &failovers);
        Self {
            history: History::default(),
            log: CommitLog::default(),
            ledger: Ledger::default(),
            oracles,
            settings: settings.clone(),
            failovers,
        }
    }

    pub fn history(&self) -> &History {
        &self.history
    }

    pub fn log(&self) -> &CommitLog {
        &self.log
    }

    /// How long each change of leader took that could be measured.
    pub fn failovers(&self) -> Vec<Duration> {
        self.failovers.all()
    }

    /// A client calls; gives the number of the operation.
    pub fn call(
        &mut self,
        at: Instant,
        client: usize,
        caller: Caller,
        asked: Asked,
    ) -> (usize, Result<(), Violation>) {
        let number = self.history.call(client, caller, asked, at);
        (number, self.tell(at, Sight::Called { number }))
    }

    /// The call has this name through all its retries.
    pub fn name(&mut self, at: Instant, number: usize, request: Request) -> Result<(), Violation> {
        match self.history.name(number, request) {
            // A session's number that was lost with what gave it may be given again.
            Some(other) if self.settings.hardship != Hardship::Invisible => {
                Err(exactly_once::named_twice(at, request, number, other))
            }
            _ => Ok(()),
        }
    }

    pub fn end(&mut self, at: Instant, number: usize, ending: Ending) -> Result<(), Violation> {
        self.history.end(number, ending);
        self.tell(at, Sight::Ended { number })
    }

    /// A node told of a change of its state. `request` and `outcome` go with an applied entry.
    pub fn event(&mut self, at: Instant, node: Member, event: &Event) -> Result<(), Violation> {
        if matches!(event, Event::Cleared { vouched: false, .. })
            && self.settings.hardship == Hardship::Visible
        {
            self.settings.hardship = Hardship::Invisible;
            let left = oracles(&self.settings, &self.failovers);
            let left: BTreeSet<&str> = left.iter().map(|oracle| oracle.name()).collect();
            self.oracles.retain(|oracle| left.contains(oracle.name()));
        }
        self.tell(at, Sight::Event { node, event })
    }

    /// A replica applied an entry: what it was, beside the event.
    pub fn committed(&mut self, at: Instant, index: u64, entry: &Committed) -> Result<(), Violation> {
        match self.log.record(index, entry) {
            Err(known) if self.settings.hardship != Hardship::Invisible => {
                Err(replicas::disagreement(at, index, &known, entry))
            }
            _ => Ok(()),
        }
    }

    pub fn went_down(&mut self, at: Instant, node: Member, how: Down) -> Result<(), Violation> {
        self.tell(at, Sight::WentDown { node, how })
    }

    pub fn tell(&mut self, at: Instant, sight: Sight<'_>) -> Result<(), Violation> {
        let seen = Observation { at, sight, history: &self.history };
        self.oracles.iter_mut().try_for_each(|oracle| oracle.observe(&seen))
    }

    /// What clients wrote to files.
    pub fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// A client read bytes of a file.
    pub fn read(&mut self, at: Instant, client: usize, read: &Read<'_>, last: bool) -> Result<(), Violation> {
        let verdict = self.ledger.judge(read);
        self.tell(at, Sight::Read { client, file: read.file, verdict: &verdict, last })
    }

    /// The run is over. Every broken promise, the root of the trouble first where that can be told.
    pub fn finish(
        &mut self,
        at: Instant,
        replicas: &[FinalReplica],
        chunk_servers: &[FinalChunkServer],
        serving: usize,
    ) -> Vec<Violation> {
        let end = End {
            at,
            history: &self.history,
            log: &self.log,
            replicas,
            chunk_servers,
            serving,
            quorum: self.settings.servers as usize / 2 + 1,
        };
        self.oracles.iter_mut().filter_map(|oracle| oracle.finish(&end).err()).collect()
    }

    /// The names of the oracles with their promises, for the published list.
    pub fn oracles(&self) -> Vec<(&'static str, super::Promise)> {
        self.oracles.iter().map(|oracle| (oracle.name(), oracle.promise())).collect()
    }
}

/// Who judges what is promised under these settings.
fn oracles(settings: &Settings, failovers: &failover::Measured) -> Vec<Box<dyn Oracle>> {
    // What is no tree also differs from what was committed, and an acknowledged change that is
    // lost also breaks the order: the closest name for the trouble comes first.
    let mut oracles: Vec<Box<dyn Oracle>> =
        vec![Box::new(bounded::Bounded), Box::new(spin::Spin::new(settings.turns_saved_max))];
    if settings.hardship != Hardship::Invisible {
        oracles.push(Box::new(leaders::Leaders::default()));
        oracles.push(Box::new(promises::Promises::default()));
        oracles.push(Box::new(replicas::Replicas::default()));
        oracles.push(Box::new(failover::Failover::new(settings.failover_max, failovers.clone())));
        oracles.push(Box::new(sessions::Sessions::new(settings.clocks_keep_their_bound)));
        oracles.push(Box::new(steady::Steady::new(settings.steady)));
        oracles.push(Box::new(exactly_once::ExactlyOnce));
        oracles.push(Box::new(room::Room::default()));
        oracles.push(Box::new(open_files::OpenFiles::new(settings.clocks_keep_their_bound)));
    }
    oracles.push(Box::new(contents::Contents));
    if settings.hardship != Hardship::Invisible {
        oracles.push(Box::new(fsynced::Fsynced));
        oracles.push(Box::new(close_to_open::CloseToOpen));
    }
    if settings.hardship == Hardship::Bearable {
        oracles.push(Box::new(parts::Parts));
    }
    oracles.push(Box::new(tree::WellFormed));
    oracles.push(Box::new(mounts::Mounts));
    if !settings.mounts {
        oracles.push(Box::new(invented::Invented));
    }
    if settings.hardship != Hardship::Invisible && !settings.mounts {
        oracles.push(Box::new(data::Data));
        oracles.push(Box::new(durable::Durable::new(settings.limits)));
        oracles.push(Box::new(linearizable::Linearizable::new(settings.limits, settings.search_max)));
    }
    let clients = if settings.mounts { 0 } else { settings.clients };
    let progress = progress::Progress::new(clients, settings.progress_max);
    let reported = |progress| reported::Reported::new(settings.servers, settings.call_max, progress);
    oracles.push(match settings.hardship {
        Hardship::Bearable => Box::new(progress),
        Hardship::Visible => Box::new(reported(Some(progress))),
        Hardship::Invisible => Box::new(reported(None)),
    });
    oracles
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::id::{GroupId, ReplicaId};

    #[test]
    fn that_nobody_can_know_is_believed_beyond_the_budget_only() {
        for (hardship, remembers) in [(Hardship::Bearable, true), (Hardship::Visible, false)] {
            let mut judge = Judge::new(&Settings { hardship, ..Settings::default() });
            let cleared =
                |vouched| Event::Cleared { group: GroupId(1), replica: ReplicaId(1), end: 7, vouched };
            let remembers_now = |judge: &Judge| judge.oracles().iter().any(|(name, _)| *name == "durable");
            assert_eq!(judge.event(Instant::ZERO, Member::Server(1), &cleared(true)), Ok(()));
            assert!(remembers_now(&judge));
            assert_eq!(judge.event(Instant::ZERO, Member::Server(1), &cleared(false)), Ok(()));
            assert_eq!(remembers_now(&judge), remembers);
            assert!(judge.oracles().iter().any(|(name, _)| *name == "tree"));
        }
    }
}
