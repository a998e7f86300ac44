//! The session that a mount works under, and its successor when it is lost.
//!
//! A question that meets a lost session is asked again under the next one. A change is not: it may
//! have taken effect before the session went, and under another session nobody would know.

use super::FsError;
use crate::{Answered, ClientError, Session, SessionConfig};
use futures::lock::Mutex;
use mooseng_core::env::Env;
use mooseng_core::namespace::{Answer, Caller, Op, Query};

pub(super) struct Sessions<E: Env> {
    env: E,
    config: SessionConfig,
    current: Mutex<Session<E>>,
}

impl<E: Env> Sessions<E> {
    pub(super) async fn open(env: &E, config: SessionConfig) -> Result<Self, ClientError> {
        let session = Session::open(env, config.clone()).await?;
        Ok(Self { env: env.clone(), config, current: Mutex::new(session) })
    }

    /// The session of now, a fresh one if the last was lost.
    pub(super) async fn current(&self) -> Result<Session<E>, ClientError> {
        let mut current = self.current.lock().await;
        if current.is_lost() {
            *current = Session::open(&self.env, self.config.clone()).await?;
        }
        Ok(current.clone())
    }

    pub(super) async fn change(&self, caller: &Caller, op: &Op) -> Result<Answer, FsError> {
        let session = self.current().await?;
        outcome(session.mutate_as(caller, op).await)
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
}

fn outcome(answered: Result<Answered, ClientError>) -> Result<Answer, FsError> {
    Ok(answered?.outcome?)
}
