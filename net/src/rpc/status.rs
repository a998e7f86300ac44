//! How a call can end other than with its answer, and what that says to do.

use crate::proto::rpc::{StatusCode, StatusDetail};
use mooseng_core::env::Address;

/// Why a server did not answer with what it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Code {
    /// Too much to do: ask again, later.
    Overloaded,
    /// Somebody else leads: ask there.
    NotLeader,
    /// Not now (starting, stopping, without quorum): ask again, here or elsewhere.
    Unavailable,
    /// The time ran out while it was under way.
    Deadline,
    /// The request makes no sense; the message names the field.
    Invalid,
    /// No such session, or one that has run out. It is not coming back.
    UnknownSession,
    /// This build does not know the method.
    Unimplemented,
    /// A bug, or a state that should not be.
    Internal,
    /// The session no longer waits for that answer, by its own word.
    AnswerGone,
    /// The slot belongs to another group.
    WrongGroup,
    /// This server has no such group, replica or snapshot.
    NotHere,
    /// Leadership was lost while it was under way: ask again under the same request number.
    Uncertain,
    /// It would make the tree grow, and there is no room for that on the disks of metadata servers.
    NoSpace,
}

impl Code {
    /// May what was asked have been carried out nevertheless?
    pub fn maybe_carried_out(self) -> bool {
        match self {
            Code::Deadline | Code::Internal | Code::AnswerGone | Code::Uncertain => true,
            Code::Overloaded
            | Code::NotLeader
            | Code::Unavailable
            | Code::Invalid
            | Code::UnknownSession
            | Code::Unimplemented
            | Code::WrongGroup
            | Code::NotHere
            | Code::NoSpace => false,
        }
    }
}

/// A server's refusal of one call.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{code:?}: {message}")]
pub struct Status {
    pub code: Code,
    pub message: String,
    /// Where the leader listens, if that is the answer and anybody knows.
    pub leader: Option<Address>,
}

impl Status {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), leader: None }
    }

    pub fn not_leader(leader: Option<Address>) -> Self {
        Self { code: Code::NotLeader, message: "this server does not lead".into(), leader }
    }

    pub fn overloaded(what: &str) -> Self {
        Self::new(Code::Overloaded, what)
    }

    pub fn unimplemented(method: u32) -> Self {
        Self::new(Code::Unimplemented, format!("method {method} is unknown to this build"))
    }
}

impl From<crate::convert::Malformed> for Status {
    fn from(malformed: crate::convert::Malformed) -> Self {
        Self::new(Code::Invalid, malformed.to_string())
    }
}

impl From<&Status> for StatusDetail {
    fn from(status: &Status) -> Self {
        let code = match status.code {
            Code::Overloaded => StatusCode::Overloaded,
            Code::NotLeader => StatusCode::NotLeader,
            Code::Unavailable => StatusCode::Unavailable,
            Code::Deadline => StatusCode::Deadline,
            Code::Invalid => StatusCode::Invalid,
            Code::UnknownSession => StatusCode::UnknownSession,
            Code::Unimplemented => StatusCode::Unimplemented,
            Code::Internal => StatusCode::Internal,
            Code::AnswerGone => StatusCode::AnswerGone,
            Code::WrongGroup => StatusCode::WrongGroup,
            Code::NotHere => StatusCode::NotHere,
            Code::Uncertain => StatusCode::Uncertain,
            Code::NoSpace => StatusCode::NoSpace,
        };
        Self {
            code: code as i32,
            message: status.message.clone(),
            leader: status.leader.as_ref().map_or_else(String::new, |leader| leader.as_str().to_owned()),
        }
    }
}

/// A code that only a newer build knows is a refusal all the same; not knowing which, we must
/// take it that the call may have been carried out.
impl From<StatusDetail> for Status {
    fn from(detail: StatusDetail) -> Self {
        let code = match StatusCode::try_from(detail.code) {
            Ok(StatusCode::Overloaded) => Code::Overloaded,
            Ok(StatusCode::NotLeader) => Code::NotLeader,
            Ok(StatusCode::Unavailable) => Code::Unavailable,
            Ok(StatusCode::Deadline) => Code::Deadline,
            Ok(StatusCode::Invalid) => Code::Invalid,
            Ok(StatusCode::UnknownSession) => Code::UnknownSession,
            Ok(StatusCode::Unimplemented) => Code::Unimplemented,
            Ok(StatusCode::AnswerGone) => Code::AnswerGone,
            Ok(StatusCode::WrongGroup) => Code::WrongGroup,
            Ok(StatusCode::NotHere) => Code::NotHere,
            Ok(StatusCode::Uncertain) => Code::Uncertain,
            Ok(StatusCode::NoSpace) => Code::NoSpace,
            Ok(StatusCode::Internal | StatusCode::Unspecified) | Err(_) => Code::Internal,
        };
        let leader = (!detail.leader.is_empty()).then(|| Address::new(detail.leader));
        Self { code, message: detail.message, leader }
    }
}

/// How a call failed, as its caller sees it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CallError {
    /// It was never sent: certainly not carried out.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It was sent, and then the connection was lost: perhaps carried out.
    #[error("lost on the way: {0}")]
    Lost(String),
    /// It was sent, and no answer came in time: perhaps carried out.
    #[error("no answer before the deadline")]
    Deadline,
    /// A queue, here or there, is full: certainly not carried out.
    #[error("overloaded")]
    Overloaded,
    /// The server's answer is no.
    #[error(transparent)]
    Status(Status),
}

impl CallError {
    /// The deadline passed before it was sent.
    pub(super) fn too_late() -> Self {
        CallError::Unreachable("there was no time to send it".to_owned())
    }

    /// May what was asked have been carried out nevertheless?
    pub fn maybe_carried_out(&self) -> bool {
        match self {
            CallError::Unreachable(_) | CallError::Overloaded => false,
            CallError::Lost(_) | CallError::Deadline => true,
            CallError::Status(status) => status.code.maybe_carried_out(),
        }
    }
}

/// What a caller sees of a refusal: the kinds that every call may meet are told apart.
impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        match status.code {
            Code::Overloaded => CallError::Overloaded,
            Code::Deadline => CallError::Deadline,
            _ => CallError::Status(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODES: [Code; 13] = [
        Code::Overloaded,
        Code::NotLeader,
        Code::Unavailable,
        Code::Deadline,
        Code::Invalid,
        Code::UnknownSession,
        Code::Unimplemented,
        Code::Internal,
        Code::AnswerGone,
        Code::WrongGroup,
        Code::NotHere,
        Code::Uncertain,
        Code::NoSpace,
    ];

    #[test]
    fn every_status_comes_back() {
        for (index, code) in CODES.into_iter().enumerate() {
            let mut status = Status::new(code, format!("because {index}"));
            assert_eq!(Status::from(StatusDetail::from(&status)), status);
            status.leader = Some(Address::new("s2:9421"));
            assert_eq!(Status::from(StatusDetail::from(&status)), status);
        }
    }

    /// A caller that believed otherwise would do it twice.
    #[test]
    fn a_code_from_the_future_may_have_been_carried_out() {
        let detail = StatusDetail { code: 77, message: "new".into(), leader: String::new() };
        assert!(CallError::from(Status::from(detail)).maybe_carried_out());
    }
}
