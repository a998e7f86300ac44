//! Which messages may enter raft-rs. It panics on what it does not expect, so whatever a peer can
//! send is looked at here first: rubbish ends as a reason in one word, never as a panic. It does
//! not judge whether a well-formed message is true; raft does.

use super::log::names;
use super::members;
use raft::eraftpb::{Message, MessageType};

/// Terms and indexes beyond this were not counted up to by anybody; sums of two stay in range.
pub const NUMBER_MAX: u64 = 1 << 62;

/// What the receiver knows that decides whether a message can be taken.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub own: u64,
    pub term: u64,
    pub leader: u64,
    pub last: u64,
    pub committed: u64,
    /// The term for which this replica's requests for votes have left; 0 if none have.
    pub votes_asked: u64,
    pub is_member: bool,
    pub entry_bytes_max: usize,
}

/// Why a message was not taken.
pub type Refused = &'static str;

/// May the message enter? Parts that raft-rs must not see are taken out of it.
pub fn admit(message: &mut Message, view: &View) -> Result<(), Refused> {
    if message.to != view.own {
        return Err("not for me");
    }
    if message.from == 0 || message.from == view.own {
        return Err("from nobody");
    }
    if message.term == 0 {
        return Err("without a term");
    }
    let numbers = [message.term, message.log_term, message.index, message.commit, message.commit_term];
    if numbers.iter().any(|number| *number > NUMBER_MAX) || message.reject_hint > NUMBER_MAX {
        return Err("number out of range");
    }
    if message.request_snapshot != 0 {
        return Err("asks for a snapshot");
    }
    message.priority = 0;
    message.deprecated_priority = 0;
    match message.get_msg_type() {
        MessageType::MsgAppend => admit_append(message, view),
        MessageType::MsgHeartbeat => {
            // The leader says more than it has ever seen of this log: a term's leader counts only
            // what was acknowledged, so something is lost here. Commit nothing on its word.
            if message.commit > view.last {
                message.commit = 0;
            }
            Ok(())
        }
        MessageType::MsgSnapshot => admit_snapshot(message),
        MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => Ok(()),
        MessageType::MsgAppendResponse => {
            if !message.reject && message.term == view.term && message.index > view.last {
                return Err("acknowledges what was never sent");
            }
            admit_response(view)
        }
        MessageType::MsgHeartbeatResponse | MessageType::MsgRequestPreVoteResponse => admit_response(view),
        MessageType::MsgRequestVoteResponse => {
            if message.term == view.term && view.votes_asked != view.term {
                return Err("a vote nobody asked for");
            }
            admit_response(view)
        }
        MessageType::MsgTimeoutNow => {
            let from_leader = message.term == view.term && message.from == view.leader;
            if from_leader { Ok(()) } else { Err("not the leader's to say") }
        }
        _ => Err("of a kind that does not travel"),
    }
}

fn admit_response(view: &View) -> Result<(), Refused> {
    if view.is_member { Ok(()) } else { Err("an answer from a stranger") }
}

fn admit_append(message: &Message, view: &View) -> Result<(), Refused> {
    // raft-rs takes term 0 at an index beyond its log for a match.
    if (message.log_term == 0) != (message.index == 0) || message.log_term > message.term {
        return Err("entries that follow nothing");
    }
    let mut previous = (message.index, message.log_term);
    for entry in message.get_entries() {
        if entry.index != previous.0 + 1 {
            return Err("entries with a gap");
        }
        if entry.term == 0 || entry.term < previous.1 || entry.term > message.term {
            return Err("entries out of term");
        }
        if entry.data.len() + entry.context.len() > view.entry_bytes_max {
            return Err("an entry too large");
        }
        previous = (entry.index, entry.term);
    }
    Ok(())
}

fn admit_snapshot(message: &Message) -> Result<(), Refused> {
    let metadata = message.get_snapshot().get_metadata();
    if metadata.index == 0 || metadata.index > NUMBER_MAX {
        return Err("a snapshot of nothing");
    }
    if metadata.term == 0 || metadata.term > message.term {
        return Err("a snapshot out of term");
    }
    let conf = metadata.get_conf_state();
    if members::sound(conf).is_err() {
        return Err("a snapshot of no configuration");
    }
    if !names(conf, message.to) {
        return Err("a snapshot of a group that is not mine");
    }
    Ok(())
}
