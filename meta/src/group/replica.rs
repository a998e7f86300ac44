//! One replica of a group: raft-rs behind a door of ours. Inputs are ticks, messages, proposals,
//! and that something is durable now; outputs are values: records to write, messages to send,
//! entries to apply. The same inputs always give the same outputs.
//!
//! ```text
//!   tick, step, propose ...            take() -> Output ──┬─ records ──> journal ──> persisted()
//!            │                                ▲           ├─ send now (a leader's, heartbeats')
//!            ▼                                │           ├─ apply
//!   +-----------------+   Ready        +------┴----+      └─ reads, notices
//!   | checks, promise | ─────────────> |  pending  | ── held until durable ──> send
//!   +-----------------+                +-----------+
//! ```
//!
//! Nothing that promises something leaves before what it promises is durable: votes, answers to
//! entries, requests for votes. A leader's entries may leave before its own disk has them, and
//! answers to heartbeats promise nothing about the log, so they never wait for a disk.
//!
//! It knows no clock, no journal and no network, and nothing of what the entries say.

pub use output::{Committed, Envelope, Fetch, Notice, Output, Refusal, Stepped};

use super::ambiguity::{Answer, End, Inquiry, Standing};
use super::check::{self, Refused, View};
use super::config::GroupConfig;
use super::election::{self, Promise};
use super::lease::Lease;
use super::log::{Log, Offer};
use super::members::{Change, Members};
use super::records;
use super::recovery::{Recovered, Span};
use bytes::Bytes;
use mooseng_core::id::{GroupId, ReplicaId};
use mooseng_core::time::Instant;
use mooseng_core::{plant, probe};
use raft::eraftpb::{ConfChangeTransition, Entry, HardState, Message, MessageType};
use raft::{RawNode, SnapshotStatus, StateRole};
use std::collections::VecDeque;

#[derive(Debug)]
enum Mode {
    Serving,
    /// In doubt and asking: see [`super::ambiguity`].
    Mute(Inquiry),
    /// In doubt, and its log has to reach the phantom end.
    Watchful {
        inquiry: Inquiry,
        phantom: End,
    },
    Fenced(String),
}

/// A ready that raft-rs has given out and that is not known to be durable.
#[derive(Debug)]
struct Pending {
    ready: u64,
    /// Has it records of its own? If not, it is durable when everything before it is.
    recorded: bool,
    last: Option<u64>,
    hard_state: HardState,
    held: Vec<Message>,
}

pub struct Replica {
    group: GroupId,
    own: ReplicaId,
    config: GroupConfig,
    node: RawNode<Log>,
    members: Members,
    /// Its rank among the voters, and how many they are.
    place: (usize, usize),
    mode: Mode,
    promise: Promise,
    lease: Lease,
    /// The leader that was heard last, and with which moment of its own, in the current term.
    echo: (u64, ReplicaId, u64),
    led: Option<u64>,
    /// The commit index that was told of, while it leads.
    told: u64,
    last_tick: Instant,
    pending: VecDeque<Pending>,
    durable: (u64, u64),
    votes_asked: u64,
    /// For which term it last told another that it may stand, and when.
    nodded: Option<(u64, Instant)>,
    /// The last word of a leader that has lost its quorum.
    parting: Option<Message>,
    tickets: u64,
    incoming: Option<Message>,
    announced: Option<Members>,
    installing: Option<(u64, u64)>,
    applied: u64,
    spans: VecDeque<Span>,
    checkpoint: (u64, u64),
    notices: Vec<Notice>,
}

impl Replica {
    /// A replica as it was recovered; `doubt`: its journal ends ambiguously.
    pub fn new(group: GroupId, recovered: Recovered, doubt: bool, config: GroupConfig, now: Instant) -> Self {
        let Recovered { replica, log, members, spans, checkpoint, fenced } = recovered;
        let (base, hard_state) = (log.base(), log.hard_state().clone());
        let fresh = log.last() <= 1 && hard_state.term <= 1 && hard_state.vote == 0;
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config.raft(replica.0, base), log, &logger)
            .expect("a recovered log and a checked configuration make a node");
        let mode = match fenced {
            Some(reason) => Mode::Fenced(reason),
            None if doubt => plant!(
                "ambiguous-tail-votes-at-once",
                Mode::Mute(Inquiry::new(replica, members.clone(), hard_state.commit)),
                Mode::Serving
            ),
            None => Mode::Serving,
        };
        let started = plant!("restarted-voter-votes-at-once", (!fresh).then_some(now), None);
        let mut replica = Self {
            group,
            own: replica,
            promise: Promise::new(config.promise(), started, config.restart_wait()),
            lease: Lease::new(config.lease, config.drift_ppm),
            config,
            node,
            members: Members::default(),
            place: (0, 0),
            mode,
            echo: (0, ReplicaId(0), 0),
            led: None,
            told: 0,
            last_tick: now,
            pending: VecDeque::new(),
            durable: (hard_state.term, hard_state.vote),
            votes_asked: 0,
            nodded: None,
            parting: None,
            tickets: 0,
            incoming: None,
            announced: None,
            installing: None,
            applied: base,
            spans,
            checkpoint: (base, checkpoint),
            notices: Vec::new(),
        };
        replica.set_members(members);
        replica.after(now);
        replica
    }

    /// Time has passed. Calls that come too early are no ticks: leases count on how long an
    /// election timeout takes.
    pub fn tick(&mut self, now: Instant) {
        if now < self.last_tick + self.config.tick {
            return;
        }
        self.last_tick = now;
        match self.mode {
            Mode::Mute(_) | Mode::Fenced(_) => return,
            _ if self.may_stand() => {
                let heir = self.heir();
                self.node.tick();
                self.resign(heir);
            }
            // Time passes for the promise not to vote, but nobody stands.
            _ => self.node.raft.election_elapsed += 1,
        }
        self.after(now);
    }

    /// May it stand for election now, as far as raft-rs does not know?
    fn may_stand(&self) -> bool {
        if self.led.is_some() {
            return true;
        }
        // Until an installed snapshot is durable raft-rs takes its entries for unapplied ones.
        let installing = self.installing.is_some();
        // Who elects itself alone leads at once; raft-rs wants everything durable before that.
        let hasty = self.members.is_alone(self.own) && !(self.pending.is_empty() && self.all_durable());
        !installing && !hasty && !matches!(self.mode, Mode::Watchful { .. })
    }

    fn all_durable(&self) -> bool {
        self.node.raft.raft_log.persisted == self.node.raft.raft_log.last_index()
    }

    /// A message came, with its sender's clock and the echo of this replica's.
    pub fn step(
        &mut self,
        mut message: Message,
        sent: u64,
        echo: u64,
        now: Instant,
    ) -> Result<Stepped, Refused> {
        if matches!(self.mode, Mode::Mute(_) | Mode::Fenced(_)) {
            return Err("takes no part");
        }
        let view = self.view(&message);
        check::admit(&mut message, &view)?;
        self.admit_vote(&message, now)?;
        let kind = message.get_msg_type();
        let (source, term) = (ReplicaId(message.from), message.term);
        if kind == MessageType::MsgSnapshot {
            if self.is_news(&message) {
                let fetch = self.begin_fetch(message);
                self.heard(source, term, sent, now);
                return fetch;
            }
            self.admit_known_snapshot(&message)?;
        }
        if kind == MessageType::MsgAppend {
            self.rewrite_term(&mut message);
        }
        // raft-rs refuses what it has no use for; that is no error of ours.
        let _ = self.node.step(message);
        let from_leader =
            matches!(kind, MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot);
        if from_leader {
            self.heard(source, term, sent, now);
        }
        self.after(now);
        if self.led == Some(term) && echo != 0 && self.members.votes(source) {
            self.lease.echoed(source, echo, now);
        }
        Ok(Stepped::Taken)
    }

    /// Two that ask in the same moment whether they may stand would both hear yes and split the votes,
    /// which costs a whole election timeout. Of two that ask for the same term within one tick, the one
    /// with the lesser log, or else the lower number, gives way. Later the other may well be the only
    /// one whom anybody answers.
    fn stands_against(&self, message: &Message, end: End) -> bool {
        let raft = &self.node.raft;
        message.get_msg_type() == MessageType::MsgRequestPreVote
            && raft.state == StateRole::PreCandidate
            && raft.election_elapsed == 0
            && message.term == raft.term + 1
            && (end, message.from) < (self.end(), self.own.0)
    }

    /// Whom it told within this tick that it may stand in a later term asks for its vote in a moment. If it
    /// stood itself, because the last word of this term's leader names it, each would have its own vote.
    fn backs_a_rival(&self, term: u64, now: Instant) -> bool {
        self.nodded.is_some_and(|(later, at)| later > term && now < at + self.config.tick)
    }

    fn rewrite_term(&self, message: &mut Message) {
        let own = self.node.raft.term;
        if message.term < own {
            plant!("append-without-term-check", {}, message.term = own);
        }
    }

    fn view(&self, message: &Message) -> View {
        let raft = &self.node.raft;
        View {
            own: self.own.0,
            term: raft.term,
            leader: raft.leader_id,
            last: raft.raft_log.last_index(),
            committed: raft.raft_log.committed,
            votes_asked: self.votes_asked,
            is_member: self.members.get(ReplicaId(message.from)).is_some(),
            entry_bytes_max: self.config.record_bytes_max - records::APPEND_BYTES - records::ENTRY_BYTES,
        }
    }

    /// The promises that bind a vote, and who may make this replica stand.
    fn admit_vote(&self, message: &Message, now: Instant) -> Result<(), Refused> {
        match message.get_msg_type() {
            MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
                let transfer = message.context == raft::CAMPAIGN_TRANSFER;
                if !self.promise.allows(transfer, now) {
                    probe!("vote refused to keep a promise");
                    return Err("bound by a promise");
                }
                let end = End { term: message.log_term, index: message.index };
                if let Mode::Watchful { phantom, .. } = &self.mode
                    && end < *phantom
                {
                    probe!("vote refused below the phantom end");
                    return Err("ends before the phantom end");
                }
                if self.stands_against(message, end) {
                    probe!("pre-vote refused to a rival");
                    return Err("stands itself, and has the better claim");
                }
                Ok(())
            }
            MessageType::MsgTimeoutNow if !self.may_stand() => Err("cannot stand"),
            MessageType::MsgTimeoutNow if self.backs_a_rival(message.term, now) => {
                probe!("last word comes after a nod to a rival");
                Err("has just told another that it may stand")
            }
            _ => Ok(()),
        }
    }

    /// Notes that a leader's message was answered: no vote for a while, and an echo for the leader.
    fn heard(&mut self, source: ReplicaId, term: u64, sent: u64, now: Instant) {
        let raft = &mut self.node.raft;
        if raft.term == term && raft.leader_id == source.0 {
            raft.election_elapsed = 0;
            self.promise.heard(now);
            self.echo = (term, source, sent);
        }
    }

    /// Proposes entries to the group, all or none; gives the index of the first.
    pub fn propose(&mut self, entries: Vec<(Bytes, Bytes)>, now: Instant) -> Result<u64, Refusal> {
        if self.led.is_none() {
            return Err(Refusal::NotLeader);
        }
        assert!(!entries.is_empty(), "nothing is proposed");
        let first = self.node.raft.raft_log.last_index() + 1;
        let raw = |(context, data): (Bytes, Bytes)| {
            let mut entry = Entry::default();
            entry.set_context(context);
            entry.set_data(data);
            entry
        };
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.set_from(self.own.0);
        message.set_entries(entries.into_iter().map(raw).collect::<Vec<_>>().into());
        let proposed = self.node.step(message);
        self.after(now);
        proposed.map(|()| first).map_err(|_| Refusal::Busy)
    }

    /// Proposes a change of the members; gives its index.
    pub fn propose_change(&mut self, change: &Change, now: Instant) -> Result<u64, Refusal> {
        self.propose_change_left(change, ConfChangeTransition::Auto, now)
    }

    /// The same; `leave` says how a joint configuration that comes of it is left.
    pub fn propose_change_left(
        &mut self,
        change: &Change,
        leave: ConfChangeTransition,
        now: Instant,
    ) -> Result<u64, Refusal> {
        if self.led.is_none() {
            return Err(Refusal::NotLeader);
        }
        let leads_on = !matches!(change, Change::Remove(replica) if *replica == self.own);
        // raft-rs would put an empty entry in its place and say nothing.
        let in_between = self.members.is_joint() && *change != Change::Settle;
        if self.node.raft.has_pending_conf() || in_between || !leads_on {
            return Err(Refusal::Busy);
        }
        let index = self.node.raft.raft_log.last_index() + 1;
        let proposed = self.node.propose_conf_change(Vec::new(), change.conf_change(leave));
        self.after(now);
        proposed.map(|()| index).map_err(|_| Refusal::Busy)
    }

    /// The change of members that a leader should propose by itself, if any.
    pub fn next_change(&self) -> Option<Change> {
        let raft = &self.node.raft;
        if self.led.is_none() || raft.has_pending_conf() || !raft.apply_to_current_term() {
            return None;
        }
        let goal = raft.raft_log.last_index().saturating_sub(self.config.promotion_lag_max);
        let caught_up = |replica: ReplicaId| {
            raft.prs().get(replica.0).is_some_and(|progress| progress.matched >= goal.max(1))
        };
        self.members.next_change(self.own, caught_up)
    }

    /// Begins to hand leadership over. The lease ends here, for the whole term.
    pub fn transfer(&mut self, target: ReplicaId, now: Instant) -> Result<(), Refusal> {
        if self.led.is_none() {
            return Err(Refusal::NotLeader);
        }
        if target == self.own || !self.members.votes(target) {
            return Err(Refusal::Busy);
        }
        self.lease.forfeit();
        self.node.transfer_leader(target.0);
        self.after(now);
        Ok(())
    }

    /// May reads be answered by the applied state at this very moment?
    pub fn holds_lease(&self, now: Instant) -> bool {
        self.led.is_some()
            && self.node.raft.apply_to_current_term()
            && self.lease.holds(self.own, &self.members, now)
    }

    /// Asks the others whether this replica still leads; [`Output::reads`] will name the ticket.
    pub fn read(&mut self, now: Instant) -> Result<u64, Refusal> {
        if self.led.is_none() {
            return Err(Refusal::NotLeader);
        }
        if !self.node.raft.commit_to_current_term() {
            return Err(Refusal::Busy);
        }
        self.tickets += 1;
        self.node.read_index(self.tickets.to_le_bytes().to_vec());
        self.after(now);
        Ok(self.tickets)
    }

    /// Messages to this replica are known not to arrive.
    pub fn unreachable(&mut self, replica: ReplicaId, now: Instant) {
        self.node.report_unreachable(replica.0);
        self.after(now);
    }

    /// The snapshot that was offered to this replica was not fetched in time.
    pub fn snapshot_unfetched(&mut self, replica: ReplicaId, now: Instant) {
        self.node.report_snapshot(replica.0, SnapshotStatus::Failure);
        self.after(now);
    }

    /// What raft-rs's dice said is overwritten, and what changed is noticed.
    fn after(&mut self, now: Instant) {
        let term = self.node.raft.term;
        let range = (self.config.election_ticks_least, self.config.election_ticks_most);
        let (rank, voters) = self.place;
        let ticks = election::timeout_ticks(self.config.seed, self.group, term, rank, voters, range);
        self.node.raft.set_randomized_election_timeout(ticks);
        let leads = self.node.raft.state == StateRole::Leader;
        if leads {
            plant!("commit-of-old-term", {}, self.commit_any_term());
        }
        if self.led != leads.then_some(term) {
            if let Some(term) = self.led.take() {
                self.lease.end();
                self.notices.push(Notice::SteppedDown { term });
            }
            if leads {
                self.led = Some(term);
                self.told = self.node.raft.raft_log.committed;
                self.lease.begin(now);
                self.notices.push(Notice::Elected { term });
            }
        }
        self.tell_committed();
        self.clear_if_whole();
    }

    fn tell_committed(&mut self) {
        let log = &self.node.raft.raft_log;
        let (Some(term), index) = (self.led, log.committed) else { return };
        if index > self.told {
            let counted = log.term(index).unwrap_or(0);
            self.told = index;
            self.notices.push(Notice::Committed { term, index, counted });
        }
    }

    /// What a leader must not do: count replicas for an entry of an earlier term.
    #[allow(dead_code, reason = "only a planted bug does it")]
    fn commit_any_term(&mut self) {
        let index = self.node.raft.mut_prs().maximal_committed_index().0;
        let log = &mut self.node.raft.raft_log;
        log.commit_to(index.min(log.last_index()).min(log.persisted));
    }

    fn set_members(&mut self, members: Members) {
        let voters = members.electorate();
        self.place = (election::rank(&voters, self.own), voters.len());
        self.members = members;
    }
}

mod doubt;
mod output;
mod ready;
mod resignation;
mod snapshot;
mod status;
#[cfg(test)]
mod tests;
