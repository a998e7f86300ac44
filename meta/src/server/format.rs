//! Making a server's first disk: the only way a group comes into being.

use super::config::FormatConfig;
use super::{ServerError, disk};
use crate::group::Members;
use crate::group::driver::snapshots::write_image;
use crate::group::records::{Checkpoint, encode_checkpoint};
use crate::group::stream;
use crate::image;
use crate::state::State;
use mooseng_core::env::{Disk, Env};
use mooseng_storage::{Identity, Journal, Role, StreamId, snapshot};
use raft::eraftpb::HardState;

/// Where every group's log begins: its first state is a snapshot of this index and term.
const GENESIS: (u64, u64) = (1, 1);

/// Makes the data directory this server's, with its replica of a group that begins now. The
/// identity is written last: a directory without one was never finished, and is begun again.
pub async fn format<E: Env>(env: E, config: FormatConfig) -> Result<(), ServerError> {
    let replica = config.check().map_err(ServerError)?;
    let failed = |error: mooseng_storage::StorageError| ServerError(error.to_string());
    if env.disk().list("").await?.iter().any(|name| name == "identity") {
        return Err(ServerError("identity: the data directory is formatted already".into()));
    }
    let directory = disk::group_directory(config.group);
    disk::empty(&env, disk::JOURNAL).await?;
    disk::empty(&env, &directory).await?;
    Journal::<E>::format(&env, disk::JOURNAL, &config.journal).await.map_err(failed)?;
    snapshot::open_directory(&env, &directory).await.map_err(failed)?;
    let members = Members::genesis(&config.voters);
    let state = State::new(config.state);
    let meta = stream::encode_meta(state.hash(), &members);
    let place = (config.group, GENESIS.0, GENESIS.1);
    write_image(&env, &directory, place, meta, state, image::CHUNK_BYTES).await.map_err(ServerError)?;
    let mut hard_state = HardState::default();
    hard_state.set_term(GENESIS.1);
    hard_state.set_commit(GENESIS.0);
    let (index, term) = GENESIS;
    let checkpoint =
        Checkpoint { group: config.group, replica, hard_state, index, term, members, installed: false };
    let (journal, _) = Journal::open(&env, disk::JOURNAL, config.journal).await.map_err(failed)?;
    let stream = StreamId(config.group.0);
    journal.append(stream, vec![encode_checkpoint(&checkpoint)]).await.map_err(failed)?;
    drop(journal);
    let identity = Identity { cluster: config.cluster, server: config.server };
    identity.format(&env, "", Role::Metadata).await.map_err(failed)
}
