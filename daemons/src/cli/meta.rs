//! `mooseng meta`: a metadata server; `mooseng format`: its first disk.

mod door;

use super::failure::Failure;
use super::output::say;
use super::settings;
use crate::grpc;
use crate::http;
use crate::machine::RealEnv;
use crate::settings::{ByteSize, Key, Peer, Section, Settings};
use clap::{Arg, ArgMatches, Command, value_parser};
use futures::future::{Either, select};
use mooseng_core::chance::Dice;
use mooseng_core::env::{Address, Env};
use mooseng_core::id::{ClusterId, GroupId, ReplicaId, ServerId};
use mooseng_meta::census::CensusConfig;
use mooseng_meta::server::{self, FormatConfig, ServerConfig};
use mooseng_meta::state::StateConfig;
use mooseng_net::rpc::{Channel, ChannelConfig};
use mooseng_storage::JournalConfig;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

pub(super) const fn key(
    name: &'static str,
    form: &'static str,
    default: Option<&'static str>,
    help: &'static str,
) -> Key {
    Key { name, form, default, help }
}

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
        key("cluster", "NUMBER", None, "format: the cluster; drawn if it is not given"),
        key("voters", "NUMBER=HOST:PORT,…", None, "format: the servers that the cluster begins with"),
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

pub(super) fn command() -> Command {
    SECTION.flags(Command::new("meta").about("Run a metadata server").arg(parent_argument()))
}

/// Who started this process, so that it does not outlive it.
pub(super) fn parent_argument() -> Arg {
    Arg::new("parent").long("parent").value_name("PID").hide(true).value_parser(value_parser!(i32))
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let settings = settings(&SECTION, matches)?;
    let data: PathBuf = settings.get("data")?;
    let mut config = server_config(&settings)?;
    if let Some(parent) = matches.get_one::<i32>("parent") {
        die_with(*parent, Signal::KILL)?;
    }
    let runtime = runtime()?;
    let end = runtime.block_on(async {
        let env = RealEnv::start(&data)?;
        // Only to spread elections: nothing depends on what is drawn.
        config.driver.group.seed = env.rng("elections", 0).word();
        let role = Arc::new(door::MetaRole::new(&env, &config.address));
        if let Some(http) = settings.find("http")? {
            let listener = http::listen(&http).await;
            let listener = listener.map_err(|error| Failure::Other(format!("http: {http}: {error}")))?;
            tokio::spawn(http::serve(listener, role.clone()));
        }
        if let Some(address) = settings.find("grpc")? {
            let listener = http::listen(&address).await;
            let listener = listener.map_err(|error| Failure::Other(format!("grpc: {address}: {error}")))?;
            let channel = Channel::new(&env, config.address.clone(), ChannelConfig::default());
            tokio::spawn(grpc::serve(listener, channel, env.clone(), role));
        }
        eprintln!(
            "mooseng: {} listens at {}, its data is in {}",
            config.server,
            config.address,
            data.display()
        );
        match select(pin!(server::run(env, config)), pin!(told_to_stop()?)).await {
            Either::Left((ended, _)) => ended.map_err(|error| Failure::Other(error.to_string())),
            // What was acknowledged is on the disk, so there is nothing to finish.
            Either::Right(((), _)) => Ok(()),
        }
    });
    runtime.shutdown_background();
    end
}

/// Half of the processors, and the other half for what they hand on to the disks and the kernel: a request
/// is little work, and to be handed from thread to thread takes it longer than to wait for its turn.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    let processors = available_parallelism().map_or(1, NonZero::get);
    Builder::new_multi_thread()
        .worker_threads(processors.div_ceil(2))
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("no runtime: {error}")))
}

fn server_config(settings: &Settings) -> Result<ServerConfig, Failure> {
    let server: ServerId = settings.get("server")?;
    let address: Address = settings.get("listen")?;
    let mut config = ServerConfig::new(server, address);
    config.join = settings.find("join")?;
    config.rejoin = settings.get("rejoin")?;
    config.driver.session_lifetime = at_least(settings, "session-lifetime", Duration::from_secs(1))?;
    config.driver.snapshot_every_entries = at_least(settings, "snapshot-every", 1)?;
    config.journal = journal_config(settings)?;
    config.census.lost_after = lost_after(settings)?;
    Ok(config)
}

/// A server is silent before it is lost.
pub(super) fn lost_after(settings: &Settings) -> Result<Duration, Failure> {
    at_least(settings, LOST_AFTER.name, CensusConfig::default().silent_after)
}

pub(super) fn at_least<T: crate::settings::FromText + PartialOrd + std::fmt::Debug>(
    settings: &Settings,
    key: &'static str,
    least: T,
) -> Result<T, Failure> {
    let value: T = settings.get(key)?;
    if value < least {
        return Err(settings.refuse(key, "is too little", &format!("{least:?} or more")).into());
    }
    Ok(value)
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

/// Resolves when the process is asked to end.
pub(super) fn told_to_stop() -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::Other(format!("signals: {error}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        select(pin!(interrupt.recv()), pin!(terminate.recv())).await;
    })
}

/// What `mooseng up` has started does not outlive it.
pub(super) fn die_with(parent: i32, signal: Signal) -> Result<(), Failure> {
    let failed = |what: String| Failure::Other(format!("--parent: {what}"));
    set_parent_process_death_signal(Some(signal)).map_err(|error| failed(error.to_string()))?;
    if getppid() != Pid::from_raw(parent) {
        return Err(failed(format!("process {parent} did not start this one, or is gone")));
    }
    Ok(())
}

pub(super) fn format_command() -> Command {
    SECTION.flags(Command::new("format").about("Make the first disk of a metadata server"))
}

pub(super) fn run_format(matches: &ArgMatches) -> Result<(), Failure> {
    let settings = settings(&SECTION, matches)?;
    let data: PathBuf = settings.get("data")?;
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
        std::fs::create_dir_all(data)
            .map_err(|error| Failure::Other(format!("{}: {error}", data.display())))?;
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
