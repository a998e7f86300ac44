//! What open files ask of the metadata service: of the session of now, as long as it lasts.

use super::sessions::Sessions;
use crate::data::{ChunkServer, Directory};
use crate::error::ClientError;
use crate::file::Metadata;
use mooseng_core::env::Env;
use mooseng_core::namespace::{Op, Outcome, Query};
use std::sync::Arc;

pub(super) struct Service<E: Env>(pub(super) Arc<Sessions<E>>);

/// Chunk servers are learned of from the session of now as well.
impl<E: Env> Directory for Service<E> {
    async fn chunk_servers(&self) -> Result<Vec<ChunkServer>, ClientError> {
        Directory::chunk_servers(&self.0.current().await?).await
    }
}

impl<E: Env> Metadata for Service<E> {
    async fn change(&self, op: &Op) -> Result<Outcome, ClientError> {
        let outcome = self.0.current().await?.mutate(op).await?.outcome;
        self.0.changed(&outcome);
        Ok(outcome)
    }

    async fn ask(&self, query: &Query) -> Result<Outcome, ClientError> {
        Ok(self.0.current().await?.query(query).await?.outcome)
    }
}
