//! Recovers the replicas of a server and tends them: when one is lost another is asked for.

use super::place::{Found, found};
use super::rejoin::{self, Lost};
use super::slots::Slot;
use super::{Server, ServerError, disk};
use crate::group::driver::{Beginning, Doubt, Driver};
use crate::group::recovery::{Recovered, Recovery, recover};
use crate::group::{Replica, handle, stream};
use crate::state::{State, StateConfig};
use bytes::Bytes;
use mooseng_core::env::{Clock, Env};
use mooseng_core::event::Event;
use mooseng_core::id::GroupId;
use mooseng_core::{plant, probe};
use mooseng_storage::{Journal, Manifest, SnapshotReader, StorageError, StreamId, Tail, snapshot};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a group begins with on this server.
pub(super) enum Begin {
    Replica(Box<Recovered>),
    Lost(Lost),
}

/// Opens the journal and sets every group going.
pub(super) async fn groups<E: Env>(server: Arc<Server<E>>) -> Result<(), ServerError> {
    disk::survey(&server.env, &server.config.groups).await?;
    let (journal, recovered) = disk::open_journal(&server.env, &server.config.journal).await?;
    let (mut records, tail) = match recovered {
        Some(recovered) => (by_stream(recovered.records), recovered.tail),
        None => (BTreeMap::new(), Tail::Clean),
    };
    let mut doubt = None;
    let mut damage = None;
    match tail {
        // To doubt a sound journal costs a few questions and is never wrong.
        Tail::Clean if server.env.buggify("sound journal doubted") => {
            doubt = Some(Doubt::of(server.config.groups.len()));
        }
        Tail::Clean => {}
        Tail::Ambiguous { why, .. } => {
            server.env.note(Event::Note(format!("the journal's end is in doubt: {why}")));
            doubt = Some(Doubt::of(server.config.groups.len()));
        }
        Tail::Damaged { why, .. } => {
            plant!("damaged-journal-ignored", damage = Some(why), {});
            doubt = damage.is_some().then(|| Doubt::of(server.config.groups.len()));
        }
    }
    for group in server.config.groups.clone() {
        let records = records.remove(&StreamId(group.0)).unwrap_or_default();
        let recovery = recover(group, records);
        where_it_is_found(&server, group, &recovery)?;
        let begin = begin(recovery, damage.as_ref());
        let tending = tend(server.clone(), journal.clone(), group, begin, doubt.clone());
        server.env.spawn("group", async move {
            tending.await;
        });
    }
    Ok(())
}

/// A server that its group looks for elsewhere would run, and nobody would ever reach it.
fn where_it_is_found<E: Env>(
    server: &Server<E>,
    group: GroupId,
    recovery: &Recovery,
) -> Result<(), ServerError> {
    let Recovery::Replica(recovered) = recovery else { return Ok(()) };
    let Some(own) = recovered.members.get(recovered.replica) else { return Ok(()) };
    let (listens, told) = (&server.config.address, &own.address);
    match found(listens, told) {
        Found::There => {}
        Found::Perhaps => server.env.note(Event::Note(format!(
            "listen: the others of {group} look for this server at {told}, and it listens at {listens}: unless \
             something leads from there to here, it is never reached"
        ))),
        Found::Never => {
            return Err(ServerError(format!(
                "listen: the others of {group} look for this server at {told}, and not at {listens}; listen there, or \
                 empty the data directory and let the server join again"
            )));
        }
    }
    Ok(())
}

fn by_stream(records: Vec<mooseng_storage::Record>) -> BTreeMap<StreamId, Vec<(u64, Bytes)>> {
    let mut streams: BTreeMap<StreamId, Vec<(u64, Bytes)>> = BTreeMap::new();
    for record in records {
        streams.entry(record.stream).or_default().push((record.position.0, record.bytes));
    }
    streams
}

fn begin(recovery: Recovery, damage: Option<&String>) -> Begin {
    let lost = |old, members, why: String, fenced| Begin::Lost(Lost { old, members, why, fenced });
    match (recovery, damage) {
        (Recovery::Absent, None) => {
            lost(None, Default::default(), "there is none in the journal".into(), false)
        }
        (Recovery::Absent, Some(why)) => lost(None, Default::default(), why.clone(), false),
        (Recovery::Unsound { replica, members, why }, _) => lost(replica, members, why, false),
        (Recovery::Replica(recovered), damage) => {
            let Recovered { replica, members, fenced, .. } = &*recovered;
            match (fenced, damage) {
                (Some(why), _) => lost(Some(*replica), members.clone(), why.clone(), true),
                (None, Some(why)) => lost(Some(*replica), members.clone(), why.clone(), false),
                (None, None) => Begin::Replica(recovered),
            }
        }
    }
}

/// Keeps a replica of the group on this server, whatever becomes of the ones before.
async fn tend<E: Env>(
    server: Arc<Server<E>>,
    journal: Journal<E>,
    group: GroupId,
    mut begin: Begin,
    mut doubt: Option<Doubt>,
) {
    let env = &server.env;
    loop {
        let recovered = match begin {
            Begin::Replica(recovered) => recovered,
            Begin::Lost(lost) => {
                server.slots.set(group, Slot::Lost(lost.old));
                let Some(joined) = rejoin::rejoin(&server, &journal, group, &lost).await else { return };
                if doubt.take().is_some_and(|doubt| doubt.account())
                    && let Err(error) = journal.settle().await
                {
                    return env.halt(error.to_string());
                }
                joined
            }
        };
        let (replica, members) = (recovered.replica, recovered.members.clone());
        let again =
            |why, fenced| Begin::Lost(Lost { old: Some(replica), members: members.clone(), why, fenced });
        let (state, manifest) = match load(env, group, &recovered).await {
            Ok(loaded) => loaded,
            Err(Unloaded::Gone(why)) => {
                begin = again(why, false);
                continue;
            }
            Err(Unloaded::Failed(why)) => return env.halt(why),
        };
        let (driver, handle) = drive(&server, &journal, group, *recovered, (state, manifest), doubt.clone());
        server.config.tap.tell(&handle, &server.rooms);
        server.slots.set(group, Slot::Serving(handle));
        let why = driver.run().await;
        begin = again(why, true);
    }
}

fn drive<E: Env>(
    server: &Server<E>,
    journal: &Journal<E>,
    group: GroupId,
    recovered: Recovered,
    (state, manifest): (State, Option<Manifest>),
    doubt: Option<Doubt>,
) -> (Driver<E>, handle::Handle) {
    let env = &server.env;
    let mut config = server.config.driver.clone();
    config.group.record_bytes_max = config.group.record_bytes_max.min(journal.append_bytes_max() - 16);
    // The journal gives up whole segments: asking for less would take one snapshot after the other.
    config.journal_pinned_bytes_max =
        config.journal_pinned_bytes_max.max(2 * server.config.journal.segment_bytes);
    let now = env.clock().now();
    let replica = Replica::new(group, recovered, doubt.is_some(), config.group.clone(), now);
    let beginning = Beginning {
        replica,
        state,
        manifest,
        journal: journal.clone(),
        channels: server.channels.clone(),
        directory: disk::group_directory(group),
        disk: server.disk.clone(),
        segment_bytes: server.config.journal.segment_bytes,
        doubt,
    };
    Driver::new(env.clone(), Arc::new(config), beginning)
}

/// Why a replica cannot begin with its state.
enum Unloaded {
    /// It is not there, or not whole: the replica is lost.
    Gone(String),
    /// The disk did not do what it was asked to, or the state is whole and makes no sense here. Neither
    /// says that it is lost: the server, or the version that wrote it, may well read it.
    Failed(String),
}

impl From<StorageError> for Unloaded {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Absent { file } => Self::Gone(format!(
                "{file}: the snapshot that the journal builds upon is not there; if its group has other voters \
                 they give the state to a new replica, and if not, a copy of the data directory is wanted"
            )),
            StorageError::Damaged { .. } => Self::Gone(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// The state that the replica's checkpoint speaks of, and what it is when it is passed on. A
/// replica that has just joined has none yet.
async fn load<E: Env>(
    env: &E,
    group: GroupId,
    recovered: &Recovered,
) -> Result<(State, Option<Manifest>), Unloaded> {
    let directory = disk::group_directory(group);
    let index = recovered.log.base();
    let tidied = tidy(env, &directory, index).await;
    tidied.map_err(|error| Unloaded::Failed(format!("{directory}: {error}")))?;
    if index == 0 {
        return Ok((State::new(StateConfig::default()), None));
    }
    read(env, group, &directory, recovered).await
}

/// Nothing but the snapshot of this index is wanted.
async fn tidy<E: Env>(env: &E, directory: &str, index: u64) -> Result<(), StorageError> {
    snapshot::open_directory(env, directory).await?;
    for other in snapshot::list(env, directory).await? {
        if other > index {
            probe!("snapshot that the journal does not point to");
        }
        if other != index {
            snapshot::remove(env, directory, other).await?;
        }
    }
    Ok(())
}

async fn read<E: Env>(
    env: &E,
    group: GroupId,
    directory: &str,
    recovered: &Recovered,
) -> Result<(State, Option<Manifest>), Unloaded> {
    let index = recovered.log.base();
    let (mut reader, manifest) = SnapshotReader::open(env, directory, index).await?;
    if manifest.group != group || Some(manifest.term) != recovered.log.term_of(index) {
        let why = format!("snapshot {index} is not the one the journal points to");
        return Err(Unloaded::Gone(why));
    }
    let senseless =
        |why: String| Unloaded::Failed(format!("{directory}: snapshot {index} is whole, but {why}"));
    let (hash, _) = handle::meta(&manifest).map_err(senseless)?;
    let mut assembly = Ok(stream::Assembly::new());
    // What makes no sense is read to its end, to know whether it is what was written.
    while let Some(piece) = reader.next().await? {
        assembly = match assembly {
            Ok(mut assembly) => {
                let bytes = piece.len();
                env.compute(bytes, move || assembly.piece(&piece).map(|()| assembly)).await
            }
            Err(error) => Err(error),
        };
    }
    let state = assembly.and_then(|assembly| assembly.finish(hash));
    let state = state.map_err(|error| senseless(error.to_string()))?;
    Ok((state, Some(manifest)))
}
