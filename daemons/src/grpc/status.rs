//! How a call that has no answer ends, in the words of gRPC. Whether it may be asked again is in the code:
//! what was certainly not carried out is UNAVAILABLE, RESOURCE_EXHAUSTED or FAILED_PRECONDITION.

use mooseng_net::rpc::{CallError, Code};
use tonic::Status;

/// Where the address of whoever was said to lead last stands, if anybody was.
const LEADER: &str = "mooseng-leader";

pub(super) fn of(error: &CallError) -> Status {
    let text = error.to_string();
    match error {
        CallError::Unreachable(_) => Status::unavailable(text),
        CallError::Lost(_) => Status::unknown(text),
        CallError::Deadline => Status::deadline_exceeded(text),
        CallError::Overloaded => Status::resource_exhausted(text),
        CallError::Status(refusal) => {
            let mut status = Status::new(code(refusal.code), text);
            let leader = refusal.leader.as_ref().and_then(|leader| leader.as_str().parse().ok());
            if let Some(leader) = leader {
                status.metadata_mut().insert(LEADER, leader);
            }
            status
        }
    }
}

fn code(code: Code) -> tonic::Code {
    match code {
        Code::Overloaded | Code::NoSpace => tonic::Code::ResourceExhausted,
        // The door has followed whoever was named: at this moment nobody leads.
        Code::Unavailable | Code::NotLeader => tonic::Code::Unavailable,
        Code::WrongGroup | Code::AnswerGone => tonic::Code::FailedPrecondition,
        Code::Deadline => tonic::Code::DeadlineExceeded,
        Code::Invalid => tonic::Code::InvalidArgument,
        Code::UnknownSession | Code::NotHere => tonic::Code::NotFound,
        Code::Unimplemented => tonic::Code::Unimplemented,
        Code::Internal => tonic::Code::Internal,
        Code::Uncertain => tonic::Code::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::env::Address;

    #[test]
    fn who_leads_is_told() {
        let refusal = mooseng_net::rpc::Status::not_leader(Some(Address::new("10.0.0.2:9421")));
        let status = of(&CallError::Status(refusal));
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert_eq!(status.metadata().get(LEADER).unwrap(), "10.0.0.2:9421");
        assert_eq!(of(&CallError::Lost("x".to_owned())).code(), tonic::Code::Unknown);
    }
}
