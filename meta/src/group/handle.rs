//! What others may ask of a group's task, and how they are answered. The task takes the inputs in
//! the order in which they came.

use super::ambiguity::Answer;
use super::inbox::{Full, Inbox, Lane};
use super::leases::{Lent, Recalls};
use super::members::{Members, Newcomer};
use super::opens::{Meant, Saying};
use super::room::Room;
use super::stream;
use crate::command::{CommandKind, Reply};
use crate::state::State;
use futures::channel::oneshot;
use mooseng_core::env::Address;
use mooseng_core::id::{GroupId, InodeId, ReplicaId, SessionId};
use mooseng_core::namespace::{Access, Caller, Outcome, Query};
use mooseng_net::rpc::Load;
use mooseng_storage::Manifest;
use raft::eraftpb::Message;
use std::sync::Arc;
use std::time::Duration;

/// Why a request was not served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Denied {
    /// Not carried out: somebody else leads, there if anybody knows.
    NotLeader(Option<Address>),
    /// Not carried out: there is too much to do.
    Overloaded,
    /// Not carried out: no entry of the log can hold it.
    TooLarge,
    /// Not carried out: the tree would grow, and there is no room for that.
    NoSpace,
    /// Not carried out: not now.
    Unavailable(String),
    /// Leadership was lost while it was under way.
    Uncertain,
}

pub type Answering<T> = oneshot::Sender<Result<T, Denied>>;

/// What a read saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// An outcome, the index up to which the state had applied the log, and the leases that come with it.
    Outcome(Outcome, u64, Lent),
    /// The session lives, and was granted this much from now on.
    Alive(Duration),
    /// The session has to attach: the leader, of this term, does not know what it has open.
    Unattached(Box<Seen>, u64),
    Recalls(Recalls),
    UnknownSession,
}

/// What is to be read, or told to the leader alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Only whether the session lives, and that it may live on.
    KeepAlive,
    Query {
        caller: Caller,
        query: Query,
        lease_wanted: bool,
        /// With leases on a directory that is listed: leases on what is in it, too.
        attrs_wanted: bool,
    },
    /// Waits for leases that are to be given back.
    Recalls {
        epoch: u64,
        acknowledged: u64,
    },
    Open {
        saying: Saying,
        caller: Caller,
        inode: InodeId,
        access: Access,
    },
    Release {
        saying: Saying,
        inodes: Vec<InodeId>,
        /// What was made open under these numbers.
        made: Vec<u64>,
    },
    Attach {
        saying: Saying,
        inodes: Vec<InodeId>,
        meant: Meant,
    },
}

impl Asked {
    /// To refuse it would make an overload worse, and there are few of them.
    pub fn is_vital(&self) -> bool {
        matches!(self, Self::KeepAlive | Self::Recalls { .. })
    }
}

/// Of which inodes a client has dropped what a change may change before it asked for it, and keeps nothing
/// of that before it has the answer; and the epoch of the leases that it has on them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Dropped {
    pub epoch: u64,
    pub inodes: Vec<InodeId>,
}

/// A command that was applied, or had been before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Done {
    pub reply: Reply,
    pub index: u64,
    pub lent: Lent,
    /// What it made is open under the number that was wanted for it.
    pub held: bool,
}

impl Done {
    /// It had been done before: nothing comes with it.
    pub(super) fn told(reply: Reply, index: u64) -> Self {
        Self { reply, index, lent: Lent::default(), held: false }
    }
}

#[derive(Debug)]
pub struct Read {
    pub session: SessionId,
    pub asked: Asked,
    pub reply: Answering<Seen>,
}

/// A change of members that an operator, or a server that wants to take part, asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wish {
    Admit(Newcomer),
    Remove(ReplicaId),
}

/// How a group looks from one of its replicas.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Look {
    pub answer: Answer,
    pub leader: Option<(ReplicaId, Option<Address>)>,
    pub committed: u64,
    pub applied: u64,
    pub snapshot: u64,
    pub sessions: u64,
    pub state_hash: u128,
    pub room: Room,
    /// What there may be only so much of.
    pub loads: Vec<Load>,
}

/// A snapshot of this replica's own state is durable.
#[derive(Debug)]
pub struct Taken {
    pub manifest: Manifest,
    pub hash: u128,
    pub members: Members,
}

/// A snapshot was fetched and is durable here.
pub struct Fetched {
    pub manifest: Manifest,
    pub hash: u128,
    pub members: Members,
    pub state: State,
}

pub enum Input {
    Step {
        message: Message,
        sent: u64,
        echo: u64,
        /// Its disk has no room for a tree that grows.
        full: bool,
    },
    Inquire {
        asker: ReplicaId,
        reply: oneshot::Sender<Answer>,
    },
    Propose {
        kind: CommandKind,
        dropped: Dropped,
        open: Option<Saying>,
        reply: Answering<Done>,
    },
    Read(Read),
    Wish {
        wish: Wish,
        reply: Answering<u64>,
    },
    Transfer {
        target: ReplicaId,
        reply: Answering<()>,
    },
    Look {
        reply: oneshot::Sender<Look>,
    },
    Copy {
        reply: oneshot::Sender<(Look, State)>,
    },
    /// Somebody is being given a piece of the snapshot of this index.
    Serving {
        index: u64,
    },
    /// The snapshot of this index no longer reads as it was written.
    Spoiled {
        index: u64,
    },
    /// Somebody answered an inquiry, or did not.
    Answered {
        asked: ReplicaId,
        answer: Option<Answer>,
    },
    Taken(Result<Taken, String>),
    Fetched {
        index: u64,
        result: Box<Result<Fetched, String>>,
    },
}

/// The way to a group's task.
#[derive(Clone)]
pub struct Handle {
    group: GroupId,
    inbox: Arc<Inbox<Input>>,
}

impl Handle {
    pub fn new(group: GroupId, inbox: Arc<Inbox<Input>>) -> Self {
        Self { group, inbox }
    }

    pub fn group(&self) -> GroupId {
        self.group
    }

    /// A message of another replica, which may be lost.
    pub fn step(&self, message: Message, sent: u64, echo: u64, full: bool) {
        let _ = self.inbox.put(Lane::Message, Input::Step { message, sent, echo, full });
    }

    pub fn serving(&self, index: u64) {
        let _ = self.inbox.put(Lane::Message, Input::Serving { index });
    }

    /// The snapshot of this index was found damaged when somebody asked for it.
    pub fn spoiled(&self, index: u64) {
        let _ = self.inbox.put(Lane::Message, Input::Spoiled { index });
    }

    pub async fn inquire(&self, asker: ReplicaId) -> Result<Answer, Denied> {
        let (reply, answer) = oneshot::channel();
        self.put(Lane::Message, Input::Inquire { asker, reply })?;
        answer.await.map_err(|_| stopped())
    }

    pub async fn propose(&self, kind: CommandKind) -> Result<(Reply, u64), Denied> {
        let done = self.change(kind, Dropped::default(), None).await?;
        Ok((done.reply, done.index))
    }

    /// The same, by somebody who may hold leases.
    /// `open`: what it makes is to be open, as if it had been opened with this.
    pub async fn change(
        &self,
        kind: CommandKind,
        dropped: Dropped,
        open: Option<Saying>,
    ) -> Result<Done, Denied> {
        self.ask(|reply| Input::Propose { kind, dropped, open, reply }).await
    }

    pub async fn read(&self, session: SessionId, asked: Asked) -> Result<Seen, Denied> {
        let lane = if asked.is_vital() { Lane::KeepAlive } else { Lane::Request };
        self.ask_in(lane, |reply| Input::Read(Read { session, asked, reply })).await
    }

    pub async fn keep_alive(&self, session: SessionId) -> Result<Seen, Denied> {
        self.read(session, Asked::KeepAlive).await
    }

    /// The index at which the change took effect.
    pub async fn wish(&self, wish: Wish) -> Result<u64, Denied> {
        self.ask(|reply| Input::Wish { wish, reply }).await
    }

    pub async fn transfer(&self, target: ReplicaId) -> Result<(), Denied> {
        self.ask(|reply| Input::Transfer { target, reply }).await
    }

    pub async fn look(&self) -> Result<Look, Denied> {
        let (reply, look) = oneshot::channel();
        self.put(Lane::Request, Input::Look { reply })?;
        look.await.map_err(|_| stopped())
    }

    /// The state as it is now, which costs nothing to copy.
    pub async fn copy(&self) -> Result<(Look, State), Denied> {
        let (reply, copy) = oneshot::channel();
        self.put(Lane::Report, Input::Copy { reply })?;
        copy.await.map_err(|_| stopped())
    }

    async fn ask<T>(&self, input: impl FnOnce(Answering<T>) -> Input) -> Result<T, Denied> {
        self.ask_in(Lane::Request, input).await
    }

    async fn ask_in<T>(&self, lane: Lane, input: impl FnOnce(Answering<T>) -> Input) -> Result<T, Denied> {
        let (reply, answer) = oneshot::channel();
        self.put(lane, input(reply))?;
        answer.await.unwrap_or_else(|_| Err(Denied::Uncertain))
    }

    fn put(&self, lane: Lane, input: Input) -> Result<(), Denied> {
        self.inbox.put(lane, input).map_err(|Full| Denied::Overloaded)
    }
}

fn stopped() -> Denied {
    Denied::Unavailable("the group has stopped here".into())
}

/// What a manifest says beyond storage's own.
pub fn meta(manifest: &Manifest) -> Result<(u128, Members), String> {
    stream::decode_meta(&manifest.meta).map_err(|error| error.to_string())
}
