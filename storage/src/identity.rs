//! The file `identity` of a data directory: which cluster and which server it belongs to. A server
//! that was pointed at another's directory, or at one of another cluster, finds out here, before
//! it has read or changed anything else.
//!
//! An envelope (see `envelope`) with the magic `MOOSEIDN` around
//!
//! ```text
//!  0         8        16
//! +---------+--------+
//! | cluster | server |
//! +---------+--------+
//! ```

use crate::envelope::{Fault, Format};
use crate::error::StorageError;
use crate::field::{Fields, ancestors, join};
use bytes::Bytes;
use mooseng_core::env::{Disk, DiskError, Env, File, OpenMode};
use mooseng_core::id::{ClusterId, ServerId};

const IDENTITY: Format = Format { magic: b"MOOSEIDN", version: 1, name: "identity file", bytes_max: 4096 };
const NAME: &str = "identity";
const NEW_NAME: &str = "identity.new";

/// Whose data directory this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    pub cluster: ClusterId,
    pub server: ServerId,
}

impl Identity {
    /// Makes `directory` this server's. Refused if it is somebody's already.
    pub async fn format<E: Env>(&self, env: &E, directory: &str) -> Result<(), StorageError> {
        let disk = env.disk();
        if !directory.is_empty() {
            disk.create_dir(directory).await?;
            for above in ancestors(directory) {
                disk.sync_dir(above).await?;
            }
        }
        let (path, new_path) = (join(directory, NAME), join(directory, NEW_NAME));
        if disk.list(directory).await?.iter().any(|name| name == NAME) {
            return Err(StorageError::Refused {
                file: path,
                why: "the data directory is formatted already".to_owned(),
                remedy: "start the server on it, or empty it if that server is gone for good",
            });
        }
        match disk.remove(&new_path).await {
            Ok(()) | Err(DiskError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let file = disk.open(&new_path, OpenMode::New).await?;
        file.write_at(0, Bytes::from(self.encode())).await?;
        file.sync().await?;
        disk.rename(&new_path, &path).await?;
        disk.sync_dir(directory).await?;
        Ok(())
    }

    /// Whose `directory` is.
    pub async fn read<E: Env>(env: &E, directory: &str) -> Result<Self, StorageError> {
        let path = join(directory, NAME);
        let file = match env.disk().open(&path, OpenMode::Existing).await {
            Ok(file) => file,
            Err(DiskError::NotFound { .. }) => return Err(StorageError::Absent { file: path }),
            Err(error) => return Err(error.into()),
        };
        let bytes = file.read_at(0, IDENTITY.bytes_max).await?;
        Self::decode(&bytes).map_err(|fault| IDENTITY.explain(fault, &path))
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = [0; 16];
        body[..8].copy_from_slice(&self.cluster.0.to_le_bytes());
        body[8..].copy_from_slice(&self.server.0.to_le_bytes());
        IDENTITY.seal(&body)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let (body, _) = IDENTITY.open(bytes)?;
        let mut fields = Fields::new(body);
        let (Some(cluster), Some(server), []) = (fields.u64(), fields.u64(), fields.rest()) else {
            return Err(Fault::Broken);
        };
        Ok(Self { cluster: ClusterId(cluster), server: ServerId(server) })
    }
}
