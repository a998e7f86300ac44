//! Committed entries on their way into the state, and answers on their way back.

use super::{Driver, Passage, Proposal, Waiter};
use crate::apply::apply;
use crate::command::{Command, CommandKind, Effect, Reply};
use crate::group::handle::{Answering, Denied, Done, Dropped};
use crate::group::opens::Saying;
use crate::group::replica::Committed;
use crate::sessions::answered;
use mooseng_core::env::Env;
use mooseng_core::event::Event;
use mooseng_core::id::SessionId;
use mooseng_core::namespace::Answer;
use mooseng_core::{plant, probe};

impl<E: Env> Driver<E> {
    /// Takes a proposal in. A request that was carried out before needs neither room nor another entry:
    /// where there is too much to do, whoever asks again would else be turned away again and again.
    /// Only of a leader: another replica may have applied what the leader, whose own disk is slow, has
    /// not, and then the leader's reads under its lease would miss what was acknowledged.
    pub(super) fn proposed(
        &mut self,
        kind: CommandKind,
        dropped: Dropped,
        open: Option<Saying>,
        reply: Answering<Done>,
    ) {
        let leads = plant!("follower-answers-retries", self.replica.leads().is_some(), true);
        if self.fenced.is_none()
            && leads
            && let CommandKind::Mutate { session, sequence, .. } = &kind
            && let Some(known @ Reply::Outcome { index, .. }) = answered(&self.state, *session, *sequence)
        {
            probe!("answer served without another entry");
            return drop(reply.send(Ok(Done::told(known, index))));
        }
        if leads && self.rooms.refuses(&kind) {
            probe!("growth refused for want of room");
            return drop(reply.send(Err(Denied::NoSpace)));
        }
        if self.is_full() {
            probe!("too many changes under way");
            return drop(reply.send(Err(Denied::Overloaded)));
        }
        let change = Passage::opening(open);
        self.admit(Proposal { kind, dropped, change, reply });
    }

    /// Proposes what has gathered, as one batch.
    pub(super) fn flush_proposals(&mut self) {
        if self.proposals.is_empty() {
            return;
        }
        let proposals = std::mem::take(&mut self.proposals);
        if self.replica.leads().is_none() {
            let denied = self.not_leader();
            for proposal in proposals {
                let _ = proposal.reply.send(Err(denied.clone()));
            }
            return;
        }
        let mut entries = Vec::with_capacity(proposals.len());
        let mut waiters = Vec::with_capacity(proposals.len());
        let mut resting = Vec::new();
        for Proposal { kind, change, reply, .. } in proposals {
            let rests = match &kind {
                CommandKind::SetCaching { sessions, caches: false } => sessions.clone(),
                _ => Vec::new(),
            };
            let data = self.stamp(kind);
            if data.len() > self.config.group.entry_bytes_max() {
                self.lend_changed(change, &Reply::Done);
                self.leasing.stay(&rests);
                let _ = reply.send(Err(Denied::TooLarge));
                continue;
            }
            resting.extend(rests);
            let context = if entries.is_empty() { self.trail.context() } else { Vec::new() };
            entries.push((context.into(), data));
            waiters.push((reply, change));
        }
        if entries.is_empty() {
            return;
        }
        let (now, term) = (self.now(), self.replica.term());
        match self.replica.propose(entries, now) {
            Ok(first) => {
                self.compared = self.replica.applied();
                let waiting = (first..).zip(waiters);
                let waiting =
                    waiting.map(|(index, (reply, change))| (index, term, Waiter::Command(reply, change)));
                self.waiting.extend(waiting);
            }
            Err(refusal) => {
                self.leasing.stay(&resting);
                let denied = self.denied(refusal);
                for (reply, change) in waiters {
                    self.lend_changed(change, &Reply::Done);
                    let _ = reply.send(Err(denied.clone()));
                }
            }
        }
    }

    /// A command as it stands in the log.
    pub(super) fn stamp(&mut self, kind: CommandKind) -> bytes::Bytes {
        use mooseng_core::env::Clock;
        let time = self.env.clock().wall();
        let stamp = self.clock.tick(time);
        Command { time, stamp, region: self.config.region, kind }.encode()
    }

    pub(super) fn apply(&mut self, committed: Committed) {
        let Committed { index, term, context, data } = committed;
        if self.fenced.is_some() || self.halted {
            return;
        }
        if let Some(at) = self.trail.contradicts(&context) {
            let leader = self.replica.leader().map_or(String::new(), |leader| format!(" {leader}"));
            return self.fence(format!("its state after index {at} is not the leader's{leader}"));
        }
        let mut reply = Reply::Done;
        let mut request = None;
        if !data.is_empty() {
            let command = match Command::decode(data) {
                Ok(command) => command,
                // Whoever does not understand the log stops rather than guess: a newer build will.
                Err(error) => return self.halt(format!("entry {index}: {error}")),
            };
            let applied = apply(&mut self.state, index, &command);
            request = took_effect(&command.kind, &applied.reply, index);
            self.effects(&applied.effects, index, term);
            reply = applied.reply;
        }
        let hash = self.state.hash();
        self.trail.step(index, hash);
        let (group, replica) = (self.replica.group(), self.replica.id());
        self.env.note(Event::Applied { group, replica, index, term, hash, request });
        self.answer(index, term, reply);
    }

    fn effects(&mut self, effects: &[Effect], index: u64, term: u64) {
        for effect in effects {
            let now = self.now();
            match effect {
                Effect::SessionOpened(session) => {
                    self.contacts.heard(*session, now);
                    let here = self.replica.leads() == Some(term);
                    self.opens.began(*session, here);
                    if self.state.caches(*session) {
                        self.may_cache(*session, here, index);
                    }
                }
                Effect::SessionCaches(session) => {
                    self.may_cache(*session, self.replica.leads() == Some(term), index);
                }
                Effect::SessionRests(session) => self.leasing.table.ended(*session),
                Effect::SessionEnded(session) => {
                    self.contacts.ended(*session);
                    self.opens.ended(*session);
                    self.lease_no_more(*session);
                }
            }
        }
    }

    /// Answers whoever proposed this entry. Whoever proposed another one at this index, or before
    /// it, was overtaken by a later leader.
    fn answer(&mut self, index: u64, term: u64, reply: Reply) {
        while let Some((waiting, ..)) = self.waiting.front() {
            if *waiting > index {
                return;
            }
            let Some((waiting, proposed, waiter)) = self.waiting.pop_front() else { return };
            let mine = waiting == index && proposed == term;
            match waiter {
                Waiter::Command(answer, change) if mine => {
                    let held = self.hold_made(change, &reply, index);
                    let lent = self.lend_changed(change, &reply);
                    let _ = answer.send(self.granted(Done { reply, index, lent, held }));
                    return;
                }
                Waiter::Wish(answer) if mine => {
                    let _ = answer.send(Ok(index));
                    return;
                }
                Waiter::Command(answer, change) => {
                    self.lend_changed(change, &Reply::Done);
                    let _ = answer.send(Err(self.not_leader()));
                }
                Waiter::Wish(answer) => {
                    let _ = answer.send(Err(self.not_leader()));
                }
            }
        }
    }

    /// A session that is asked for again is granted its lifetime again, unless it is coming to its
    /// end: then it has to be asked for once more.
    fn granted(&mut self, done: Done) -> Result<Done, Denied> {
        if let Reply::Session { session } = done.reply {
            if self.contacts.is_ending(session) {
                return Err(Denied::Unavailable("the session is about to end".into()));
            }
            let now = self.now();
            self.contacts.heard(session, now);
        }
        Ok(done)
    }

    /// What was made just now is open from now on, if that is wanted. Of what was made before nobody knows
    /// any more whether it is to be.
    fn hold_made(&mut self, change: Passage, reply: &Reply, at: u64) -> bool {
        let (Some(saying), Reply::Outcome { outcome: Ok(Answer::Attr(attr)), index }) = (change.open, reply)
        else {
            return false;
        };
        let fresh = *index == at;
        plant!("made-file-held-by-nobody", fresh && self.opens.open(saying, attr.inode).is_ok(), fresh)
    }

    /// Leadership was lost: what is under way may or may not come to be.
    pub(super) fn disappoint(&mut self) {
        for (.., waiter) in std::mem::take(&mut self.waiting) {
            match waiter {
                Waiter::Command(answer, _) => drop(answer.send(Err(Denied::Uncertain))),
                Waiter::Wish(answer) => drop(answer.send(Err(Denied::Uncertain))),
            }
        }
    }

    /// A fenced replica serves nobody.
    pub(super) fn refuse_all(&mut self) {
        let denied = Denied::Unavailable("this replica takes part no more".into());
        for proposal in std::mem::take(&mut self.proposals) {
            let _ = proposal.reply.send(Err(denied.clone()));
        }
        self.leasing.refuse(&denied);
        self.reads.refuse(&denied);
        self.disappoint();
    }
}

/// The request that took effect at this very index, if one did.
fn took_effect(kind: &CommandKind, reply: &Reply, index: u64) -> Option<(SessionId, u64)> {
    match (kind, reply) {
        (CommandKind::Mutate { session, sequence, .. }, Reply::Outcome { index: at, .. }) if *at == index => {
            Some((*session, *sequence))
        }
        _ => None,
    }
}
