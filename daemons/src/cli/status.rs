//! `mooseng status`: what each metadata server says of itself, and what their leader knows of the
//! chunk servers and of what they keep.

mod chunks;

use super::client::{self, ClientSettings, run_on_machine};
use super::failure::Failure;
use super::output::{count, say, shown};
use crate::machine::RealEnv;
use clap::{Arg, ArgAction, ArgMatches, Command};
use futures::future::join_all;
use mooseng_core::env::{Address, Clock, Env};
use mooseng_core::id::ClusterId;
use mooseng_net::proto::cluster::{ClusterClient, DiskRoom, GroupStatus, StatusReply, StatusRequest};
use mooseng_net::proto::raft::ReplicaState;
use mooseng_net::rpc::{CallError, Channel, ChannelConfig};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub(super) fn command() -> Command {
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print JSON");
    let about = "What the servers say of themselves, and how what they keep fares";
    client::SECTION.flags(Command::new("status").about(about).arg(json))
}

type Answer = Result<StatusReply, CallError>;

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let settings = ClientSettings::read(matches)?;
    run_on_machine(async |env| {
        let answers = join_all(settings.servers.iter().map(|server| ask(&env, server, &settings))).await;
        let answers: Vec<(&Address, Answer)> = settings.servers.iter().zip(answers).collect();
        let kept = chunks::ask(&env, &settings, &leaders(&answers)).await;
        if matches.get_flag("json") {
            let servers = answers.iter().map(server_json).collect::<Vec<_>>();
            let (chunk_servers, slices) = kept.json();
            let all = json!({ "servers": servers, "chunk_servers": chunk_servers, "slices": slices });
            say(format_args!("{all:#}"))?;
        } else {
            answers.iter().flat_map(server_lines).try_for_each(say)?;
            kept.lines().iter().try_for_each(say)?;
        }
        match answers.iter().any(|(_, answer)| answer.is_ok()) {
            true => Ok(()),
            false => Err(Failure::Other("no metadata server answers".to_owned())),
        }
    })
}

/// Whom those that answer follow.
fn leaders(answers: &[(&Address, Answer)]) -> BTreeSet<Address> {
    let groups =
        answers.iter().filter_map(|(_, answer)| answer.as_ref().ok()).flat_map(|reply| &reply.groups);
    groups
        .filter(|group| !group.leader_address.is_empty())
        .map(|group| Address::new(&*group.leader_address))
        .collect()
}

async fn ask(env: &RealEnv, server: &Address, settings: &ClientSettings) -> Answer {
    let client = ClusterClient::new(Channel::new(env, server.clone(), ChannelConfig::default()));
    client.status(&StatusRequest {}, env.clock().now() + settings.timeout).await
}

fn state_name(group: &GroupStatus) -> String {
    ReplicaState::try_from(group.state)
        .map_or("unknown", |state| state.as_str_name())
        .trim_start_matches("REPLICA_STATE_")
        .to_lowercase()
}

fn room_name(group: &GroupStatus) -> String {
    DiskRoom::try_from(group.room)
        .map_or("unknown", |room| room.as_str_name())
        .trim_start_matches("DISK_ROOM_")
        .to_lowercase()
}

fn server_lines((address, answer): &(&Address, Answer)) -> Vec<String> {
    let reply = match answer {
        Ok(reply) => reply,
        Err(error) => return vec![format!("{address}  does not answer: {error}")],
    };
    let StatusReply { cluster, server, build, groups, disk_bytes, disk_bytes_free } = reply;
    let build = shown(build);
    let mut lines = vec![format!("{address}  server {server} of {}, build {build}", ClusterId(*cluster))];
    lines.extend(groups.iter().map(|group| {
        let GroupStatus { group: number, replica, leader, term, commit, applied, voters, sessions, .. } =
            group;
        let leads = match *leader {
            0 => "no leader known".to_owned(),
            leader if leader == *replica => "leads".to_owned(),
            leader => format!("follows r{leader}"),
        };
        format!(
            "  g{number}/r{replica} {}, {leads} in term {term}; committed {commit}, applied {applied}; \
             voters {voters:?}; {}",
            state_name(group),
            count(*sessions, "session")
        )
    }));
    if let Some(room) = shortage(reply) {
        lines.push(format!("  {room}: {disk_bytes_free} of {disk_bytes} bytes free"));
    }
    lines
}

/// What to say of a disk that has no room for a tree that grows.
pub(super) fn shortage(reply: &StatusReply) -> Option<&'static str> {
    let room = |group: &GroupStatus| match DiskRoom::try_from(group.room) {
        Ok(DiskRoom::NearlyFull) => Some("disk nearly full, growth refused"),
        Ok(DiskRoom::Full) => Some("disk full, growth refused"),
        _ => None,
    };
    reply.groups.iter().find_map(room)
}

fn server_json((address, answer): &(&Address, Answer)) -> Value {
    let reply = match answer {
        Ok(reply) => reply,
        Err(error) => return json!({ "address": address.as_str(), "error": error.to_string() }),
    };
    let groups = reply.groups.iter().map(|group| {
        json!({
            "group": group.group,
            "replica": group.replica,
            "state": state_name(group),
            "leader": group.leader,
            "leader_address": group.leader_address,
            "term": group.term,
            "commit": group.commit,
            "applied": group.applied,
            "last_index": group.last_index,
            "voters": group.voters,
            "learners": group.learners,
            "snapshot_index": group.snapshot_index,
            "sessions": group.sessions,
            "room": room_name(group),
            "state_hash": group.state_hash.iter().rev().map(|byte| format!("{byte:02x}")).collect::<String>(),
        })
    });
    json!({
        "address": address.as_str(),
        "cluster": reply.cluster.to_string(),
        "server": reply.server,
        "build": reply.build,
        "disk_bytes": reply.disk_bytes,
        "disk_bytes_free": reply.disk_bytes_free,
        "groups": groups.collect::<Vec<_>>(),
    })
}
