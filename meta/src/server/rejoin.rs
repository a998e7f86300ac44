//! How a server gets a replica of a group when it has none, or has lost the one it had. A replica
//! that forgot something it had promised is worse than one that is gone: the number is given up for
//! good, in the journal first, and the leader is asked for another, which begins with nothing, as
//! a learner.

use super::place::is_everywhere;
use super::{Server, ServerConfig, disk};
use crate::group::Members;
use crate::group::driver::{Channels, inquire};
use crate::group::records::{Checkpoint, encode_checkpoint, encode_fenced};
use crate::group::recovery::{Recovered, Recovery, recover};
use mooseng_core::chance::Dice;
use mooseng_core::env::{Address, Clock, Env, sleep};
use mooseng_core::event::Event;
use mooseng_core::id::{ClusterId, GroupId, ReplicaId};
use mooseng_core::{plant, probe};
use mooseng_net::belonging;
use mooseng_net::proto::cluster::{ClusterClient, JoinReplicaRequest};
use mooseng_net::proto::raft::{InquireRequest, RaftClient};
use mooseng_net::rpc::{CallError, Code};
use mooseng_storage::{Journal, StreamId};
use raft::eraftpb::HardState;
use std::time::Duration;

const CALL_TIME: Duration = Duration::from_secs(2);
const PAUSE_LEAST: Duration = Duration::from_millis(100);
const PAUSE_SPREAD_MS: u64 = 200;

/// A replica that takes part no more.
pub(super) struct Lost {
    pub(super) old: Option<ReplicaId>,
    /// As far as is known: where to ask for another.
    pub(super) members: Members,
    pub(super) why: String,
    /// The journal says so already, and so does an event.
    pub(super) fenced: bool,
}

/// `None` if the server may not come back by itself, or has been halted.
pub(super) async fn rejoin<E: Env>(
    server: &Server<E>,
    journal: &Journal<E>,
    group: GroupId,
    lost: &Lost,
) -> Option<Box<Recovered>> {
    let env = &server.env;
    announce(env, group, lost);
    let stream = StreamId(group.0);
    if !lost.fenced
        && let Err(error) = journal.append(stream, vec![encode_fenced(&lost.why)]).await
    {
        env.halt(error.to_string());
        return None;
    }
    let seeds = seeds(&server.config, &lost.members);
    if !server.config.rejoin || seeds.is_empty() {
        return None;
    }
    if let Err(error) = disk::empty(env, &disk::group_directory(group)).await {
        env.halt(error.0);
        return None;
    }
    let old = plant!("rejoins-under-old-id", None, lost.old);
    let (replica, members) = match old {
        Some(old) => (old, lost.members.as_hearsay()),
        None => ask_replica(server, group, own_address(&server.config, lost), &seeds).await,
    };
    let bytes = encode_checkpoint(&blank(group, replica, members));
    let position = match journal.append(stream, vec![bytes.clone()]).await {
        Ok(position) => position,
        Err(error) => {
            env.halt(error.to_string());
            return None;
        }
    };
    probe!("replica rejoined");
    let Recovery::Replica(recovered) = recover(group, [(position.0, bytes)]) else {
        unreachable!("one checkpoint of our own makes a replica")
    };
    Some(recovered)
}

fn announce<E: Env>(env: &E, group: GroupId, lost: &Lost) {
    let reason = lost.why.clone();
    if plant!("lost-replica-says-nothing", false, true) {
        return;
    }
    match lost.old {
        Some(replica) if !lost.fenced => env.note(Event::Fenced { group, replica, reason }),
        Some(_) => {}
        None => env.note(Event::Note(format!("{group}: no replica here: {reason}"))),
    }
}

/// A replica that knows nothing but its number, and where its group is.
fn blank(group: GroupId, replica: ReplicaId, members: Members) -> Checkpoint {
    let mut hard_state = HardState::default();
    hard_state.set_term(1);
    Checkpoint { group, replica, hard_state, index: 0, term: 0, members, installed: false }
}

fn seeds(config: &ServerConfig, members: &Members) -> Vec<Address> {
    let known = members.iter().map(|(_, member)| member.address.clone());
    let mut seeds: Vec<Address> = config.join.iter().flatten().cloned().chain(known).collect();
    seeds.sort();
    seeds.dedup();
    seeds.retain(|seed| *seed != config.address);
    seeds
}

/// Where the group is to find it. Who listens everywhere is where it was.
fn own_address<'a>(config: &'a ServerConfig, lost: &'a Lost) -> &'a Address {
    let former = lost.old.and_then(|old| lost.members.get(old));
    match former.filter(|_| is_everywhere(&config.address)) {
        Some(former) => &former.address,
        None => &config.address,
    }
}

/// Asks until some server has given this one a number, and whoever it knows to be members.
async fn ask_replica<E: Env>(
    server: &Server<E>,
    group: GroupId,
    own: &Address,
    seeds: &[Address],
) -> (ReplicaId, Members) {
    let env = &server.env;
    // A number must not be given twice to one server: no two lives may draw the same nonce, so
    // what is drawn depends on when.
    let moment = env.clock().now().as_nanos() ^ (env.clock().wall().0 as u64).rotate_left(32);
    let mut dice = env.rng("join", moment);
    let nonce = [dice.word().to_le_bytes(), dice.word().to_le_bytes()].concat();
    let request = JoinReplicaRequest {
        group: group.0,
        server: server.identity.server.0,
        address: own.as_str().to_owned(),
        nonce: nonce.into(),
    };
    let mut next = dice.below(seeds.len() as u64) as usize;
    let mut hint: Option<Address> = None;
    loop {
        let address = hint.take().unwrap_or_else(|| seeds[next % seeds.len()].clone());
        let client = ClusterClient::new(server.channels.to(&address));
        match client.join_replica(&request, env.clock().now() + CALL_TIME).await {
            Ok(reply) if reply.replica != 0 => {
                return (ReplicaId(reply.replica), ask_members(server, group, &address, seeds).await);
            }
            Err(CallError::Status(status)) if status.code == Code::NotLeader && status.leader.is_some() => {
                hint = status.leader;
            }
            _ => next += 1,
        }
        let pause = PAUSE_LEAST + Duration::from_millis(dice.below(PAUSE_SPREAD_MS));
        sleep(env, pause).await;
    }
}

/// Asks until somebody has said who the members are: a newcomer that does not know where to answer
/// is never heard.
async fn ask_members<E: Env>(
    server: &Server<E>,
    group: GroupId,
    leader: &Address,
    seeds: &[Address],
) -> Members {
    let env = &server.env;
    let request = InquireRequest { group: group.0, replica: 0 };
    loop {
        for address in std::iter::once(leader).chain(seeds) {
            let client = RaftClient::new(server.channels.to(address));
            let reply = client.inquire(&request, env.clock().now() + CALL_TIME).await.ok();
            let members = reply.and_then(|reply| inquire::answer(&reply)).map(|answer| answer.members);
            if let Some(members) = members.filter(|members| !members.is_empty()) {
                return members.as_hearsay();
            }
        }
        sleep(env, PAUSE_LEAST).await;
    }
}

/// Asks until some server has said which cluster this is.
pub(super) async fn ask_cluster<E: Env>(env: &E, channels: &Channels<E>, seeds: &[Address]) -> ClusterId {
    let servers: Vec<_> = seeds.iter().map(|seed| channels.to(seed)).collect();
    let tell = |last: &str| {
        let line = format!("no replica here: nobody has said yet which cluster this is; {last}");
        env.note(Event::Note(line));
    };
    belonging::ask_cluster(env, &servers, tell).await
}
