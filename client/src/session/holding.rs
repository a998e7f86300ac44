//! What a session has open: telling the leader, and telling it again when it has forgotten.
//!
//! Nothing is told in a destructor. What is let go there, and whatever was not told to the end, is
//! told by a task of its own, which begins when somebody next has a reason to, at the latest when
//! the session is kept alive.

use super::caching::granted;
use super::{Answered, Session, Shared, answered};
use crate::cache::{Granted, Tenant};
use crate::error::ClientError;
use crate::holds::Released;
use mooseng_core::env::{Env, sleep};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Access, Caller, Query, Refusal};
use mooseng_net::convert::write_caller;
use mooseng_net::proto::metadata::{self as wire, hold_request::What};
use mooseng_net::proto::namespace as proto;
use std::sync::Arc;
use std::time::Duration;

/// How often in a row a leader is told what is open.
const ATTACH_TRIES_MAX: u32 = 8;
/// How long what is open no more waits for company.
const GATHER_WAIT: Duration = Duration::from_millis(20);

/// Why a leader is told all that is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// The leader of this term asked; 0 where it did not say in which.
    ByTerm(u64),
    /// It was open before the session began.
    Unasked,
}

/// An inode that is open once more than without it: as long as this lives, and the session, the
/// inode is there, whatever becomes of its names.
pub struct Hold<E: Env> {
    shared: Arc<Shared<E>>,
    inode: InodeId,
    /// Whether the leader may have heard of it without anybody knowing.
    doubtful: bool,
}

impl<E: Env> Hold<E> {
    pub fn inode(&self) -> InodeId {
        self.inode
    }
}

impl<E: Env> Drop for Hold<E> {
    fn drop(&mut self) {
        self.shared.holds().close(self.inode, self.doubtful);
    }
}

/// A number that an answer is waited for.
struct Said<'a, E: Env> {
    shared: &'a Shared<E>,
    number: u64,
}

impl<E: Env> Drop for Said<'_, E> {
    fn drop(&mut self) {
        self.shared.holds().heard(self.number);
    }
}

/// What the leader was not told to the end.
struct Untold<'a, E: Env> {
    shared: &'a Shared<E>,
    released: Released,
}

impl<E: Env> Drop for Untold<'_, E> {
    fn drop(&mut self) {
        self.shared.holds().untold(&self.released);
    }
}

/// A file on its way into being, open from then on. Dropped before its answer is here, it may be made and open
/// all the same: the leader is told that it is not.
pub(super) struct Making<E: Env> {
    shared: Arc<Shared<E>>,
    number: u64,
    /// Nothing is known of what became of it.
    pending: bool,
}

impl<E: Env> Making<E> {
    pub(super) fn begin(shared: &Arc<Shared<E>>) -> Self {
        let number = shared.holds().make();
        Self { shared: shared.clone(), number, pending: true }
    }

    /// Its number, and the lowest whose answer is waited for.
    pub(super) fn numbers(&self) -> (u64, u64) {
        (self.number, self.shared.holds().low_water())
    }

    /// It was made, and the leader knows that it is open. `None`: it has to be opened all the same.
    pub(super) fn made(mut self, inode: InodeId) -> Option<Hold<E>> {
        self.pending = false;
        let open = self.shared.holds().made(inode, self.number);
        open.then(|| Hold { shared: self.shared.clone(), inode, doubtful: false })
    }

    /// It was not made, and never will be.
    pub(super) fn not_made(mut self) {
        self.pending = false;
        self.shared.holds().not_made(self.number, false);
    }
}

impl<E: Env> Drop for Making<E> {
    fn drop(&mut self) {
        if self.pending {
            self.shared.holds().not_made(self.number, true);
        }
    }
}

impl<E: Env> Session<E> {
    /// Opens an inode, if the caller may do all this with it. Answered with its attributes, and with
    /// a hold if there is one.
    pub async fn open_inode_as(
        &self,
        caller: &Caller,
        inode: InodeId,
        access: Access,
    ) -> Result<(Answered, Option<Hold<E>>), ClientError> {
        let Some(number) = self.shared.holds().open(inode) else { return Err(ClientError::TooManyOpen) };
        let mut hold = Hold { shared: self.shared.clone(), inode, doubtful: true };
        let open = wire::HoldOpen { inode: inode.raw(), access: u32::from(access.bits()) };
        let asking = self.shared.tenant.as_ref().map(Tenant::ask);
        let (answer, granted) = self.shared.tell(number, What::Open(open), write_caller(caller)).await?;
        if let Some(asking) = asking {
            asking.learn(caller, &Query::GetAttr { inode }, &answer, &granted);
        }
        hold.doubtful = false;
        if answer.outcome.is_err() {
            return Ok((answer, None));
        }
        self.shared.holds().granted(inode);
        Ok((answer, Some(hold)))
    }

    /// Gives an open inode back, and tells the leader of everything that is open no more, without
    /// waiting for that.
    pub fn let_go(&self, hold: Hold<E>) {
        drop(hold);
        Shared::catch_up(&self.shared, None);
    }

    /// The session after one that was lost. What was open under that one is open under this one, as
    /// far as it is still there.
    pub async fn succeed(&self) -> Result<Self, ClientError> {
        let Shared { env, config, holds, .. } = &*self.shared;
        let cache = self.cache().cloned();
        let session = Self::open_with(env, config.clone(), holds.clone(), cache).await?;
        if !holds.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty() {
            Shared::catch_up(&session.shared, Some(Wanted::Unasked));
        }
        Ok(session)
    }
}

impl<E: Env> Shared<E> {
    async fn tell(
        &self,
        number: u64,
        what: What,
        caller: Option<proto::Caller>,
    ) -> Result<(Answered, Granted), ClientError> {
        let said = Said { shared: self, number };
        let mut request =
            wire::HoldRequest { session: self.id.0, number, low_water: 0, what: Some(what), caller };
        let ask = self.ask(|client, deadline| {
            request.low_water = self.holds().low_water();
            let request = request.clone();
            async move { client.hold(&request, deadline).await }
        });
        let reply = ask.await?.reply;
        drop(said);
        Ok((answered(reply.outcome, reply.index)?, granted(reply.lease_epoch, reply.leased, Vec::new())))
    }

    /// Tells the leader what it does not know, all of it if it has forgotten. One task does at a time.
    pub(super) fn catch_up(shared: &Arc<Self>, attach_wanted: Option<Wanted>) {
        {
            let inner = &mut *shared.lock();
            inner.attach_wanted = attach_wanted.or(inner.attach_wanted);
            if inner.catching_up || !(inner.attach_wanted.is_some() || shared.holds().is_doubtful()) {
                return;
            }
            inner.catching_up = true;
        }
        let shared = shared.clone();
        let env = shared.env.clone();
        env.spawn("session catches up", async move {
            if attach_wanted.is_none() {
                // Who closes files one after the other has them told together.
                sleep(&shared.env, GATHER_WAIT).await;
            }
            for _ in 0..ATTACH_TRIES_MAX {
                if !shared.catch_up_once().await {
                    break;
                }
            }
            shared.lock().catching_up = false;
        });
    }

    /// Is there anything left that may as well be told at once?
    async fn catch_up_once(&self) -> bool {
        let attach = std::mem::take(&mut self.lock().attach_wanted);
        let mut told = true;
        if let Some(wanted) = attach {
            let (number, inodes) = self.holds().attach();
            let inodes = inodes.into_iter().map(InodeId::raw).collect();
            let (term, unasked) = match wanted {
                Wanted::ByTerm(term) => (term, false),
                Wanted::Unasked => (0, true),
            };
            let attach = wire::HoldAttach { inodes, term, unasked };
            let answer = self.tell(number, What::Attach(attach), None).await;
            if matches!(&answer, Ok((answer, _)) if answer.outcome == Err(Refusal::Conflict)) {
                self.lock().attach_wanted.get_or_insert(wanted);
            }
            told &= answer.is_ok();
        }
        let released = self.holds().release();
        if let Some(released) = released {
            let (number, made) = (released.number, released.made.clone());
            let inodes = released.inodes.iter().map(|inode| inode.raw()).collect();
            let mut untold = Untold { shared: self, released };
            let answer = self.tell(number, What::Release(wire::HoldRelease { inodes, made }), None).await;
            if answer.is_ok() {
                untold.released = Released::default();
            }
            told &= answer.is_ok();
        }
        told && (self.lock().attach_wanted.is_some() || self.holds().is_doubtful())
    }
}
