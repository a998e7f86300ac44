//! From raft-rs's readies to wishes: what is written, what leaves now, what waits until it is
//! durable, what is applied.

use super::Mode;
use super::{Committed, Envelope, Notice, Output, Pending, Replica, ReplicaId, Span};
use crate::group::{members, records};
use bytes::Bytes;
use mooseng_core::time::Instant;
use mooseng_core::{plant, probe};
use protobuf::Message as _;
use raft::StateRole;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType, Message, MessageType};

impl Replica {
    /// The next wishes, if there are any. To be called until there are none, after every input.
    pub fn take(&mut self, now: Instant) -> Option<Output> {
        if matches!(self.mode, Mode::Mute(_) | Mode::Fenced(_)) {
            return None;
        }
        let mut output = Output { notices: std::mem::take(&mut self.notices), ..Output::default() };
        let parting = self.parting.take();
        self.seal(parting.into_iter().collect(), &mut output.send, now);
        if !self.node.has_ready() {
            return (!output.notices.is_empty() || !output.send.is_empty()).then_some(output);
        }
        let mut ready = self.node.ready();
        let number = ready.number();
        let reads = ready.take_read_states();
        output.reads = reads.iter().filter_map(|read| ticket(&read.request_ctx, read.index)).collect();
        let hard_state = self.node.raft.hard_state();
        if !ready.snapshot().is_empty() {
            let metadata = ready.snapshot().get_metadata();
            self.install(number, metadata.index, metadata.term, &hard_state, &mut output);
        }
        let entries = ready.take_entries();
        let last = entries.last().map(|entry| entry.index);
        let votes = (hard_state.term, hard_state.vote) != self.durable && entries.is_empty();
        let forgets = votes && plant!("vote-not-persisted", false, true);
        let bare = output.records.is_empty() && !forgets;
        if ready.must_sync() && (bare || !entries.is_empty()) {
            for run in records::runs(&entries, self.config.record_bytes_max) {
                let mut written = hard_state.clone();
                let end = run.last().or(entries.first()).map(|entry| entry.index);
                written.commit = end.map_or(written.commit, |end| written.commit.min(end));
                output.records.push(records::encode_append(&written, run));
            }
        }
        self.node.mut_store().append(entries);
        self.node.mut_store().set_hard_state(hard_state.clone());
        let messages: Vec<Message> =
            ready.take_messages().into_iter().chain(ready.take_persisted_messages()).collect();
        let committed = ready.take_committed_entries();
        self.node.advance_append_async(ready);
        let recorded = !output.records.is_empty();
        self.hold(Pending { ready: number, recorded, last, hard_state, held: messages }, &mut output, now);
        self.apply(committed, &mut output);
        self.after(now);
        output.notices.append(&mut self.notices);
        Some(output)
    }

    /// Lets those messages go that promise nothing which is not durable; the others wait.
    fn hold(&mut self, mut pending: Pending, output: &mut Output, now: Instant) {
        let all = std::mem::take(&mut pending.held);
        let nods = |message: &&Message| {
            message.get_msg_type() == MessageType::MsgRequestPreVoteResponse && !message.reject
        };
        if let Some(nod) = all.iter().rfind(nods) {
            self.nodded = Some((nod.term, now));
        }
        // A leader whose own vote is not durable yet (it is alone) could lead this term twice.
        let leads = self.led.is_some() && self.durable.0 == self.node.raft.term;
        let mut free = Vec::new();
        for message in all {
            let waits = match message.get_msg_type() {
                MessageType::MsgHeartbeatResponse => false,
                MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse => {
                    plant!("vote-answered-before-persist", true, false)
                }
                MessageType::MsgAppendResponse => plant!("append-acked-before-persist", true, false),
                _ => !leads,
            };
            if waits { pending.held.push(message) } else { free.push(message) }
        }
        self.seal(free, &mut output.send, now);
        if pending.recorded || !self.pending.is_empty() {
            self.pending.push_back(pending);
            return;
        }
        self.node.on_persist_ready(pending.ready);
        self.seal(pending.held, &mut output.send, now);
    }

    fn seal(&mut self, messages: Vec<Message>, send: &mut Vec<Envelope>, now: Instant) {
        for message in messages {
            if message.get_msg_type() == MessageType::MsgRequestVote {
                self.votes_asked = message.term;
            }
            let target = ReplicaId(message.to);
            let (term, leader, sent) = self.echo;
            // Who could forget this term by a crash could forget what the echo promises as well.
            let kept = term == message.term && term <= self.durable.0;
            let echo = if kept && leader == target { sent } else { 0 };
            send.push(Envelope { target, message, sent: now.as_nanos(), echo });
        }
    }

    /// The records of the oldest output that had any are durable, and stand at this position.
    pub fn persisted(&mut self, position: u64, now: Instant) -> Vec<Envelope> {
        let mut send = Vec::new();
        let mut upto = 0;
        while let Some(pending) = self.pending.front() {
            if pending.recorded && upto != 0 {
                break;
            }
            assert!(pending.recorded || upto != 0, "the oldest ready that waits has records");
            let pending = self.pending.pop_front().expect("there is one in front");
            upto = pending.ready;
            if pending.recorded {
                self.durable = (pending.hard_state.term, pending.hard_state.vote);
                self.spans.extend(pending.last.map(|last| Span { last, position }));
            }
            self.seal(pending.held, &mut send, now);
        }
        assert!(upto != 0, "something waited to be durable");
        self.node.on_persist_ready(upto);
        if let Some((ready, index)) = self.installing
            && ready <= upto
        {
            self.installing = None;
            self.checkpoint = (index, position);
            self.spans.retain(|span| span.position >= position);
            self.node.advance_apply_to(index);
        }
        self.after(now);
        send
    }

    fn apply(&mut self, entries: Vec<Entry>, output: &mut Output) {
        let Some(last) = entries.last().map(|entry| entry.index) else { return };
        for mut entry in entries {
            assert_eq!(entry.index, self.applied + 1, "entries are applied one after another");
            self.applied = entry.index;
            let mut data = entry.take_data();
            if entry.get_entry_type() != EntryType::EntryNormal {
                self.change_members(&data, output);
                data = Bytes::new();
            }
            let (index, term) = (entry.index, entry.term);
            output.committed.push(Committed { index, term, context: entry.take_context(), data });
        }
        self.node.advance_apply_to(last);
    }

    /// A committed configuration takes effect, or, if it makes no sense, is ignored by everybody.
    fn change_members(&mut self, data: &Bytes, output: &mut Output) {
        let mut change = ConfChangeV2::default();
        if change.merge_from_bytes(data).is_err() {
            return;
        }
        let Ok(newcomers) = members::decode_newcomers(change.get_context().to_vec().into()) else { return };
        let named = |replica: u64| {
            let replica = ReplicaId(replica);
            self.members.get(replica).is_some()
                || newcomers.iter().any(|newcomer| newcomer.replica == replica)
        };
        if !change.get_changes().iter().all(|change| named(change.node_id)) {
            return;
        }
        let Ok(conf) = self.node.apply_conf_change(&change) else { return };
        let next = self.members.after(&conf, &newcomers).expect("everybody it names is known");
        self.node.mut_store().set_conf_state(conf);
        self.set_members(next);
        // raft-rs goes on leading, or standing, without a seat, and panics over it.
        if !self.members.votes(self.own) && self.node.raft.state != StateRole::Follower {
            let term = self.node.raft.term;
            self.node.raft.become_follower(term, raft::INVALID_ID);
        }
        probe!("members changed");
        output.notices.push(Notice::Members);
    }
}

fn ticket(context: &[u8], index: u64) -> Option<(u64, u64)> {
    Some((u64::from_le_bytes(context.try_into().ok()?), index))
}
