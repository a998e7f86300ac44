//! `mooseng meta`: a metadata server; `mooseng format`: its first disk.

mod door;

use super::failure::Failure;
use super::output::say;
use super::process::{follow_parent, listen, make_data, parent_argument, runtime, until_told_to_stop};
use super::settings;
use crate::grpc;
use crate::http;
use crate::machine::RealEnv;
use crate::settings::{ByteSize, Key, Peer, Section, Settings, SettingsError, key};
use crate::stderr;
use clap::{ArgMatches, Command};
use mooseng_core::chance::Dice;
use mooseng_core::env::{Address, Env};
use mooseng_core::id::{ClusterId, GroupId, ReplicaId, ServerId};
use mooseng_meta::census::CensusConfig;
use mooseng_meta::server::{self, FormatConfig, Found, ServerConfig, found};
use mooseng_meta::state::StateConfig;
use mooseng_net::rpc::{Channel, ChannelConfig};
use mooseng_storage::JournalConfig;
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(super) static SECTION: Section = Section {
    name: "meta",
    keys: &[
        key("data", "DIRECTORY", None, "Where the server keeps what it knows; its own alone"),
        key("server", "NUMBER", None, "Which server this is"),
        key("listen", "HOST:PORT", None, "Where it listens, and where the others find it"),
        key(
            "join",
            "HOST:PORT,…",
            None,
            "Servers to ask for a replica when its own is lost or was never there",
        ),
        key(
            "rejoin",
            "true|false",
            Some("true"),
            "May it ask for another replica by itself when its own is lost?",
        ),
        key("http", "HOST:PORT", None, "Where /health, /ready and /metrics are served, if at all"),
        key(
            "grpc",
            "HOST:PORT",
            None,
            "Where the services are offered as gRPC, with health and reflection, if at all",
        ),
        key("session-lifetime", "TIME", Some("60s"), "How long a session lives that is not heard of"),
        key("snapshot-every", "NUMBER", Some("10000"), "Changes between two snapshots"),
        key("journal-segment", "SIZE", Some("64MiB"), "How much the journal preallocates at a time"),
        LOST_AFTER,
        key("cluster", "NUMBER", None, "Which cluster it is, if it has to be that one"),
        key(
            "voters",
            "NUMBER=HOST:PORT,…",
            None,
            "The servers that the cluster begins with; for `format` alone",
        ),
    ],
};

/// `mooseng up` hands it on.
pub(super) const LOST_AFTER: Key = key(
    "lost-after",
    "TIME",
    Some("60s"),
    "How long a chunk server is silent before its parts are made anew",
);

/// The group that a cluster begins with.
const FIRST_GROUP: GroupId = GroupId(1);

/// What only a running server has a use for: `format` reads it to find slips, and does not offer it.
const RUNNING: [&str; 8] =
    ["join", "rejoin", "http", "grpc", "session-lifetime", "snapshot-every", LOST_AFTER.name, "listen"];

pub(super) fn command() -> Command {
    let command = SECTION.flags(Command::new("meta").about("Run a metadata server").arg(parent_argument()));
    command.mut_arg("voters", |arg| arg.hide(true))
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let settings = settings(&SECTION, matches)?;
    let data: PathBuf = settings.get("data")?;
    let mut config = server_config(&settings, None)?;
    follow_parent(matches, Signal::KILL)?;
    let runtime = runtime()?;
    let end = runtime.block_on(async {
        let env = RealEnv::start(&data)?;
        // Only to spread elections: nothing depends on what is drawn.
        config.driver.group.seed = env.rng("elections", 0).word();
        let role = Arc::new(door::MetaRole::new(&env, &config.address));
        if let Some(listener) = listen(&settings, "http").await? {
            tokio::spawn(http::serve(listener, role.clone()));
        }
        if let Some(listener) = listen(&settings, "grpc").await? {
            let channel = Channel::new(&env, config.address.clone(), ChannelConfig::default());
            tokio::spawn(grpc::serve(listener, channel, env.clone(), role));
        }
        stderr::tell(format_args!(
            "{} starts at {}, its data is in {}",
            config.server,
            config.address,
            data.display()
        ));
        until_told_to_stop(server::run(env, config)).await
    });
    runtime.shutdown_background();
    end
}

/// `address`: where it is to listen if the settings do not say so.
fn server_config(settings: &Settings, address: Option<Address>) -> Result<ServerConfig, Failure> {
    let server = settings.get("server")?;
    let address = match address {
        Some(address) => address,
        None => settings.get("listen")?,
    };
    let mut config = ServerConfig::new(server, address);
    config.cluster = settings.find("cluster")?;
    config.join = settings.find("join")?;
    config.rejoin = settings.get("rejoin")?;
    config.driver.session_lifetime = settings.at_least("session-lifetime", Duration::from_secs(1))?;
    config.driver.snapshot_every_entries = settings.at_least("snapshot-every", 1)?;
    config.journal = journal_config(settings)?;
    config.census.lost_after = lost_after(settings)?;
    Ok(config)
}

/// A server is silent before it is lost.
pub(super) fn lost_after(settings: &Settings) -> Result<Duration, SettingsError> {
    settings.at_least(LOST_AFTER.name, CensusConfig::default().silent_after)
}

fn journal_config(settings: &Settings) -> Result<JournalConfig, Failure> {
    let mut config = JournalConfig::default();
    let ByteSize(bytes) = settings.get("journal-segment")?;
    let sector = u64::from(config.sector_bytes);
    if !bytes.is_multiple_of(sector) || !((1 << 20)..=(1 << 30)).contains(&bytes) {
        let form = format!("a multiple of {sector} from 1MiB to 1GiB");
        return Err(settings.refuse("journal-segment", "cannot be used", &form).into());
    }
    config.segment_bytes = bytes;
    Ok(config)
}

pub(super) fn format_command() -> Command {
    let command = SECTION.flags(Command::new("format").about("Make the first disk of a metadata server"));
    RUNNING.iter().fold(command, |command, name| command.mut_arg(name, |arg| arg.hide(true)))
}

pub(super) fn run_format(matches: &ArgMatches) -> Result<(), Failure> {
    let settings = settings(&SECTION, matches)?;
    let data: PathBuf = settings.get("data")?;
    check_before_format(&settings)?;
    let format = Format {
        cluster: settings.find("cluster")?,
        server: settings.get("server")?,
        voters: settings.get("voters")?,
        journal: journal_config(&settings)?,
    };
    let server = format.server;
    let cluster = runtime()?.block_on(format.carry_out(&data))?;
    let (data, number) = (data.display(), cluster.0);
    say(format_args!("{data}: {server} of {cluster}; give the other servers --cluster {number}"))
}

/// What the server would refuse when it is run, while there is nothing yet that it could be refused for.
fn check_before_format(settings: &Settings) -> Result<(), Failure> {
    let voters: Vec<Peer> = settings.get("voters")?;
    let count = voters.len();
    if count.is_multiple_of(2) {
        let why = format!("are {count}, which bear no more losses than {} do", count - 1);
        return Err(settings.refuse("voters", &why, "1, 3 or 5 of them").into());
    }
    let server: ServerId = settings.get("server")?;
    let listen: Option<Address> = settings.find("listen")?;
    let own = voters.into_iter().find(|peer| peer.server == server).map(|peer| peer.address);
    if let (Some(listen), Some(own)) = (&listen, &own)
        && found(listen, own) == Found::Never
    {
        let why = format!("is not where the voters are told that {server} is");
        return Err(settings.refuse("listen", &why, &format!("{own}, or change the voters")).into());
    }
    for key in ["http", "grpc"] {
        settings.find::<Address>(key)?;
    }
    // Who is not among the voters is told so when the disk is made.
    listen.or(own).map_or(Ok(()), |address| server_config(settings, Some(address)).map(drop))
}

/// What a first disk is made from.
pub(super) struct Format {
    pub(super) cluster: Option<ClusterId>,
    pub(super) server: ServerId,
    pub(super) voters: Vec<Peer>,
    pub(super) journal: JournalConfig,
}

impl Format {
    /// Replicas are numbered as their servers are.
    pub(super) async fn carry_out(self, data: &Path) -> Result<ClusterId, Failure> {
        make_data(data)?;
        let env = RealEnv::start(data)?;
        let cluster = self.cluster.unwrap_or_else(|| ClusterId(env.rng("cluster", 0).between(1, u64::MAX)));
        let voters = self.voters.into_iter();
        let config = FormatConfig {
            cluster,
            server: self.server,
            group: FIRST_GROUP,
            voters: voters.map(|Peer { server, address }| (ReplicaId(server.0), server, address)).collect(),
            state: StateConfig::default(),
            journal: self.journal,
        };
        let done = server::format(env, config).await;
        done.map_err(|error| Failure::Other(format!("{}: {error}", data.display())))?;
        Ok(cluster)
    }
}
