//! The session that a mount works under, and its successor when it is lost.
//!
//! A question that meets a lost session is asked again under the next one. A change is not: it may
//! have taken effect before the session went, and under another session nobody would know.

use super::pages::Pages;
use super::{FsError, surprise};
use crate::cache::Cache;
use crate::{Answered, ClientError, Hold, Session, SessionConfig};
use futures::lock::Mutex;
use mooseng_core::env::Env;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Access, Answer, Caller, Op, Outcome, Query};

/// How many files it is remembered of which version of theirs is cached elsewhere.
const PAGES_MAX: usize = 65_536;

pub(super) struct Sessions<E: Env> {
    current: Mutex<Session<E>>,
    cache: Option<Cache>,
    pages: std::sync::Mutex<Pages>,
}

impl<E: Env> Sessions<E> {
    pub(super) async fn open(env: &E, config: SessionConfig) -> Result<Self, ClientError> {
        let session = Session::open(env, config).await?;
        let (cache, pages) = (session.cache().cloned(), std::sync::Mutex::new(Pages::new(PAGES_MAX)));
        Ok(Self { current: Mutex::new(session), cache, pages })
    }

    /// One cache for all of them.
    pub(super) fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    pub(super) fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The session of now, a fresh one if the last was lost.
    pub(super) async fn current(&self) -> Result<Session<E>, ClientError> {
        let mut current = self.current.lock().await;
        if current.is_lost() {
            *current = current.succeed().await?;
        }
        Ok(current.clone())
    }

    pub(super) async fn change(&self, caller: &Caller, op: &Op) -> Result<Answer, FsError> {
        let session = self.current().await?;
        let outcome = session.mutate_as(caller, op).await?.outcome;
        self.changed(&outcome);
        Ok(outcome?)
    }

    /// Makes a file that is open, or has to be opened without a hold.
    pub(super) async fn make_open(
        &self,
        caller: &Caller,
        op: &Op,
    ) -> Result<(Answer, Option<Hold<E>>), FsError> {
        let change = self.current().await?.begin().await?;
        let (answered, hold) = change.make_open_as(caller, op).await?;
        self.changed(&answered.outcome);
        Ok((answered.outcome?, hold))
    }

    /// A change was answered.
    pub(super) fn changed(&self, outcome: &Outcome) {
        if let Ok(Answer::Attr(attr)) = outcome {
            self.pages().changed(attr.inode, attr.version);
        }
    }

    pub(super) async fn ask(&self, caller: &Caller, query: &Query) -> Result<Answer, FsError> {
        match self.current().await?.query_as(caller, query).await {
            Err(ClientError::SessionLost) => {
                let session = self.current().await?;
                outcome(session.query_as(caller, query).await)
            }
            answered => outcome(answered),
        }
    }

    /// Asks for a part of a listing; mostly it is known then what the entries are like, too.
    pub(super) async fn list(&self, caller: &Caller, query: &Query) -> Result<Answer, FsError> {
        match self.current().await?.list_as(caller, query).await {
            Err(ClientError::SessionLost) => {
                let session = self.current().await?;
                outcome(session.list_as(caller, query).await)
            }
            answered => outcome(answered),
        }
    }

    /// Opens an inode: it is there as long as the hold is, and the session.
    pub(super) async fn hold(
        &self,
        caller: &Caller,
        inode: InodeId,
        access: Access,
    ) -> Result<(Answer, Hold<E>), FsError> {
        let answered = match self.current().await?.open_inode_as(caller, inode, access).await {
            Err(ClientError::SessionLost) => {
                self.current().await?.open_inode_as(caller, inode, access).await?
            }
            answered => answered?,
        };
        let (answer, hold) = answered;
        let answer = answer.outcome?;
        let hold = hold.ok_or_else(|| surprise(&answer))?;
        Ok((answer, hold))
    }

    /// Gives it back; nobody waits for that.
    pub(super) async fn let_go(&self, hold: Hold<E>) {
        self.current.lock().await.let_go(hold);
    }
}

fn outcome(answered: Result<Answered, ClientError>) -> Result<Answer, FsError> {
    Ok(answered?.outcome?)
}
