//! What every verb needs that talks to a cluster.

use super::failure::Failure;
use super::settings;
use crate::machine::RealEnv;
use crate::settings::{Section, key};
use clap::{ArgMatches, Command, FromArgMatches, Subcommand};
use mooseng_core::env::Address;
use mooseng_net::proto::cluster::ChunkServerLife;
use std::time::Duration;

pub(super) static SECTION: Section = Section {
    name: "client",
    keys: &[
        key(
            "servers",
            "HOST:PORT,…",
            Some("127.0.0.1:9421,127.0.0.1:9422,127.0.0.1:9423"),
            "Where the metadata servers listen",
        )
        .or("metadata"),
        key("timeout", "TIME", Some("10s"), "How long to wait for an answer"),
    ],
};

pub(super) struct ClientSettings {
    pub(super) servers: Vec<Address>,
    pub(super) timeout: Duration,
}

impl ClientSettings {
    pub(super) fn read(matches: &ArgMatches) -> Result<Self, Failure> {
        let settings = settings(&SECTION, matches)?;
        Ok(Self {
            servers: settings.get("servers")?,
            timeout: settings.at_least("timeout", Duration::from_millis(1))?,
        })
    }
}

/// A verb that has verbs of its own.
pub(super) fn verbs<V: Subcommand>(name: &'static str, about: &'static str) -> Command {
    V::augment_subcommands(SECTION.flags(Command::new(name).about(about))).subcommand_required(true)
}

/// Which of them it is.
pub(super) fn read_verb<V: FromArgMatches>(matches: &ArgMatches) -> Result<(ClientSettings, V), Failure> {
    let settings = ClientSettings::read(matches)?;
    let verb = V::from_arg_matches(matches).map_err(|error| Failure::Other(error.to_string()))?;
    Ok((settings, verb))
}

/// How a chunk server fares, in a word.
pub(super) fn life_name(life: ChunkServerLife) -> &'static str {
    match life {
        ChunkServerLife::Alive => "alive",
        ChunkServerLife::Silent => "silent",
        ChunkServerLife::Lost => "lost",
        ChunkServerLife::Unspecified => "unknown",
    }
}

/// Runs one verb on a machine without a disk.
pub(super) fn run_on_machine(verb: impl AsyncFnOnce(RealEnv) -> Result<(), Failure>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Other(format!("no runtime: {error}")))?;
    runtime.block_on(async { verb(RealEnv::without_disk()?).await })
}
