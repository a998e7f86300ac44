//! What mounts ask: from messages to commands and questions, and back.

use super::Server;
use crate::command::{CommandKind, Reply};
use crate::group::handle::{Asked, Denied, Done, Dropped, Handle, Seen};
use crate::group::leases::Lent;
use crate::group::opens::{Meant, Saying};
use mooseng_core::env::Env;
use mooseng_core::namespace::{Op, Query};
use mooseng_net::convert;
use mooseng_net::proto::metadata::hold_request::What;
use mooseng_net::proto::metadata::{
    CloseSessionReply, CloseSessionRequest, HoldReply, HoldRequest, KeepAliveReply, KeepAliveRequest,
    Metadata, MutateReply, MutateRequest, OpenSessionReply, OpenSessionRequest, QueryReply, QueryRequest,
    RecallsReply, RecallsRequest,
};
use mooseng_net::rpc::{Call, Code, Status};
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Service<E: Env> {
    server: Arc<Server<E>>,
}

impl<E: Env> Clone for Service<E> {
    fn clone(&self) -> Self {
        Self { server: self.server.clone() }
    }
}

impl<E: Env> Service<E> {
    pub(super) fn new(server: Arc<Server<E>>) -> Self {
        Self { server }
    }

    /// The group that holds every slot as long as there is but one.
    fn group(&self) -> Result<Handle, Status> {
        let first = self.server.config.groups.first().copied().unwrap_or_default();
        self.server.slots.serving(first)
    }

    fn lifetime(&self) -> Duration {
        self.server.config.driver.session_lifetime
    }
}

pub(super) fn status(denied: Denied) -> Status {
    match denied {
        Denied::NotLeader(leader) => Status::not_leader(leader),
        Denied::Overloaded => Status::overloaded("the group has too much to do"),
        Denied::TooLarge => Status::new(Code::Invalid, "the request is larger than an entry of the log"),
        Denied::NoSpace => {
            Status::new(Code::NoSpace, "they are nearly full; remove files, or make them larger")
        }
        Denied::Unavailable(why) => Status::new(Code::Unavailable, why),
        Denied::Uncertain => Status::new(Code::Uncertain, "leadership was lost meanwhile"),
    }
}

fn unknown_session() -> Status {
    Status::new(Code::UnknownSession, "no such session, or it has run out")
}

/// A reply that no command of this kind gives, or a refusal that any may give.
fn refused(reply: &Reply) -> Status {
    match reply {
        Reply::UnknownSession => unknown_session(),
        Reply::AnswerGone => Status::new(Code::AnswerGone, "the session gave this answer up"),
        Reply::TooManyInFlight => Status::overloaded("too many requests of the session are under way"),
        Reply::TooManySessions => Status::overloaded("there are as many sessions as there may be"),
        other => Status::new(Code::Internal, format!("{other:?} answers nothing that was asked")),
    }
}

/// What was seen, and the term of the leader that the session has to attach to, or 0.
fn attached(seen: Seen) -> (Seen, u64) {
    match seen {
        Seen::Unattached(seen, term) => (*seen, term),
        seen => (seen, 0),
    }
}

fn leased(lent: &Lent) -> (u64, Vec<u64>) {
    (lent.epoch, lent.inodes.iter().map(|inode| inode.raw()).collect())
}

fn milliseconds(lifetime: Duration) -> u64 {
    u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX)
}

impl<E: Env> Metadata<E> for Service<E> {
    async fn open_session(&self, _: Call, request: OpenSessionRequest) -> Result<OpenSessionReply, Status> {
        let nonce = convert::nonce("nonce", &request.nonce)?;
        let kind = CommandKind::OpenSession { nonce, caches: request.caches };
        let proposed = self.group()?.propose(kind).await;
        match proposed.map_err(status)? {
            (Reply::Session { session }, index) => {
                let lifetime_ms = milliseconds(self.lifetime());
                Ok(OpenSessionReply { session: session.0, lifetime_ms, index })
            }
            (reply, _) => Err(refused(&reply)),
        }
    }

    async fn keep_alive(&self, _: Call, request: KeepAliveRequest) -> Result<KeepAliveReply, Status> {
        let session = convert::session("session", request.session)?;
        match attached(self.group()?.keep_alive(session).await.map_err(status)?) {
            (Seen::Alive(lifetime), attach_term) => {
                let lifetime_ms = milliseconds(lifetime);
                Ok(KeepAliveReply { lifetime_ms, attach_wanted: attach_term != 0, attach_term })
            }
            _ => Err(unknown_session()),
        }
    }

    async fn close_session(
        &self,
        _: Call,
        request: CloseSessionRequest,
    ) -> Result<CloseSessionReply, Status> {
        let session = convert::session("session", request.session)?;
        let proposed = self.group()?.propose(CommandKind::CloseSession { session }).await;
        match proposed.map_err(status)? {
            (Reply::Done, _) => Ok(CloseSessionReply {}),
            (reply, _) => Err(refused(&reply)),
        }
    }

    async fn mutate(&self, _: Call, request: MutateRequest) -> Result<MutateReply, Status> {
        let op = Op::try_from(convert::required("op", request.op)?)?;
        let session = convert::session("session", request.session)?;
        let kind = CommandKind::Mutate {
            session,
            sequence: convert::count("sequence", request.sequence)?,
            low_water: request.low_water,
            slot: convert::slot("slot", request.slot)?,
            op,
            caller: convert::caller("caller", request.caller)?,
        };
        let inodes = convert::inodes("dropped", request.dropped)?;
        let dropped = Dropped { epoch: request.lease_epoch, inodes };
        let saying = Saying { session, number: request.hold_number, low_water: request.hold_low_water };
        let open = (request.hold_number != 0).then_some(saying);
        match self.group()?.change(kind, dropped, open).await.map_err(status)? {
            Done { reply: Reply::Outcome { outcome, index }, lent, held, .. } => {
                let (lease_epoch, leased) = leased(&lent);
                let attrs = lent.attrs.iter().map(Into::into).collect();
                Ok(MutateReply { outcome: Some((&outcome).into()), index, lease_epoch, leased, attrs, held })
            }
            Done { reply, .. } => Err(refused(&reply)),
        }
    }

    async fn query(&self, _: Call, request: QueryRequest) -> Result<QueryReply, Status> {
        let query = Query::try_from(convert::required("query", request.query)?)?;
        let session = convert::session("session", request.session)?;
        let caller = convert::caller("caller", request.caller)?;
        let QueryRequest { lease_wanted, attrs_wanted, .. } = request;
        let asked = Asked::Query { caller, query, lease_wanted, attrs_wanted };
        match attached(self.group()?.read(session, asked).await.map_err(status)?) {
            (Seen::Outcome(outcome, index, lent), attach_term) => {
                let attach_wanted = attach_term != 0;
                let outcome = Some((&outcome).into());
                let (lease_epoch, leased) = leased(&lent);
                let attrs = lent.attrs.iter().map(Into::into).collect();
                Ok(QueryReply { outcome, index, attach_wanted, lease_epoch, leased, attrs, attach_term })
            }
            _ => Err(unknown_session()),
        }
    }

    async fn hold(&self, _: Call, request: HoldRequest) -> Result<HoldReply, Status> {
        let session = convert::session("session", request.session)?;
        let number = convert::count("number", request.number)?;
        let saying = Saying { session, number, low_water: request.low_water };
        let asked = match convert::required("what", request.what)? {
            What::Open(open) => Asked::Open {
                saying,
                caller: convert::caller("caller", request.caller)?,
                inode: convert::inode("open.inode", open.inode)?,
                access: convert::access("open.access", open.access)?,
            },
            What::Release(release) => {
                let inodes = convert::inodes("release.inodes", release.inodes)?;
                Asked::Release { saying, inodes, made: release.made }
            }
            What::Attach(attach) => {
                let inodes = convert::inodes("attach.inodes", attach.inodes)?;
                let meant = match attach.term {
                    _ if attach.unasked => Meant::Beside,
                    0 => Meant::ForAnybody,
                    term => Meant::ForTerm(term),
                };
                Asked::Attach { saying, inodes, meant }
            }
        };
        match attached(self.group()?.read(session, asked).await.map_err(status)?) {
            (Seen::Outcome(outcome, index, lent), _) => {
                let (lease_epoch, leased) = leased(&lent);
                Ok(HoldReply { outcome: Some((&outcome).into()), index, lease_epoch, leased })
            }
            _ => Err(unknown_session()),
        }
    }

    async fn recalls(&self, _: Call, request: RecallsRequest) -> Result<RecallsReply, Status> {
        let session = convert::session("session", request.session)?;
        let asked = Asked::Recalls { epoch: request.epoch, acknowledged: request.acknowledged };
        match attached(self.group()?.read(session, asked).await.map_err(status)?) {
            (Seen::Recalls(recalls), _) => {
                let inodes = recalls.inodes.iter().map(|inode| inode.raw()).collect();
                let (epoch, number, lease_ms) = (recalls.epoch, recalls.number, milliseconds(recalls.lease));
                Ok(RecallsReply { epoch, number, inodes, lease_ms })
            }
            _ => Err(unknown_session()),
        }
    }
}
