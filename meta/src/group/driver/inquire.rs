//! Inquiries: a mute replica asks whom it must, and any replica asks around when somebody speaks
//! to it whose address it does not know.

use super::Driver;
use crate::group::Members;
use crate::group::ambiguity::{Answer, End, Standing};
use crate::group::handle::Input;
use crate::group::inbox::Lane;
use mooseng_core::env::{Clock, Env};
use mooseng_core::id::ReplicaId;
use mooseng_net::proto::raft::{InquireReply, InquireRequest, ReplicaState};

impl<E: Env> Driver<E> {
    /// Asks, now and then, as long as there is something to ask.
    pub(super) fn inquire(&mut self) {
        if !self.ticks.is_multiple_of(self.config.inquiry_ticks) {
            return;
        }
        if let Some(members) = self.replica.inquired_members() {
            self.peers.learn(members);
        }
        let mut ask = self.replica.inquiries();
        if std::mem::take(&mut self.peers.stranger) {
            ask.extend(self.peers.all());
            ask.sort_unstable();
            ask.dedup();
        }
        for asked in ask {
            self.ask(asked);
        }
    }

    fn ask(&self, asked: ReplicaId) {
        let Some(client) = self.peers.client(asked) else { return };
        // Only who is mute says who it is: a leader then forgets what it thinks is held there.
        let asker = if self.replica.is_mute() { self.replica.id().0 } else { 0 };
        let request = InquireRequest { group: self.replica.group().0, replica: asker };
        let (env, inbox) = (self.env.clone(), self.inbox.clone());
        let patience = self.config.group.tick * self.config.inquiry_ticks as u32 * 2;
        self.env.spawn("inquiry", async move {
            let deadline = env.clock().now() + patience;
            let answer = client.inquire(&request, deadline).await.ok().and_then(|reply| answer(&reply));
            let _ = inbox.put(Lane::Report, Input::Answered { asked, answer });
        });
    }

    pub(super) fn answered(&mut self, asked: ReplicaId, answer: Option<Answer>) {
        let Some(answer) = answer else { return };
        self.peers.learn(&answer.members);
        let now = self.now();
        self.replica.answered(asked, &answer, now);
    }
}

/// An answer as it travels.
pub fn reply(answer: &Answer) -> InquireReply {
    let raw = |replicas: Vec<ReplicaId>| replicas.into_iter().map(|replica| replica.0).collect();
    let state = match answer.standing {
        Standing::Serving => ReplicaState::Serving,
        Standing::Waiting => ReplicaState::Waiting,
        Standing::Damaged => ReplicaState::Damaged,
        Standing::Absent => ReplicaState::Absent,
    };
    InquireReply {
        term: answer.term,
        last_index: answer.end.index,
        last_term: answer.end.term,
        state: state as i32,
        voters: raw(answer.members.voters()),
        learners: raw(answer.members.learners()),
        commit: answer.commit,
        replica: answer.replica.map_or(0, |replica| replica.0),
        members: answer.members.encode(),
        uncounted: !answer.counted,
    }
}

/// `None` for what nobody of ours would answer: then nothing was answered.
pub fn answer(reply: &InquireReply) -> Option<Answer> {
    let standing = match ReplicaState::try_from(reply.state).ok()? {
        ReplicaState::Serving => Standing::Serving,
        ReplicaState::Waiting => Standing::Waiting,
        ReplicaState::Damaged => Standing::Damaged,
        ReplicaState::Absent => Standing::Absent,
        ReplicaState::Unspecified => return None,
    };
    let members = if reply.members.is_empty() {
        Members::default()
    } else {
        Members::decode(reply.members.clone()).ok()?
    };
    let number_max = crate::group::check::NUMBER_MAX;
    if reply.term.max(reply.last_term).max(reply.last_index) > number_max {
        return None;
    }
    Some(Answer {
        replica: (reply.replica != 0).then_some(ReplicaId(reply.replica)),
        standing,
        term: reply.term,
        end: End { term: reply.last_term, index: reply.last_index },
        counted: !reply.uncounted,
        commit: reply.commit,
        members,
    })
}
