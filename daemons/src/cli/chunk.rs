//! `mooseng chunk`: a chunk server.

mod door;

use super::failure::Failure;
use super::process::{follow_parent, listen, make_data, parent_argument, runtime, until_told_to_stop};
use super::settings;
use crate::http;
use crate::machine::RealEnv;
use crate::settings::{ByteSize, Section, Settings, key};
use crate::stderr;
use clap::{ArgMatches, Command};
use mooseng_chunk::{ChunkServerConfig, run as serve};
use rustix::process::Signal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(super) static SECTION: Section = Section {
    name: "chunk",
    keys: &[
        key("data", "DIRECTORY", None, "Where the server keeps its parts; its own alone"),
        key("server", "NUMBER", None, "Which server this is: no other server of the cluster has its number"),
        key("listen", "HOST:PORT", None, "Where it listens, and where the others find it"),
        key(
            "metadata",
            "HOST:PORT,…",
            None,
            "The metadata servers, whose leader is told that this server is there",
        ),
        key(
            "cluster",
            "NUMBER",
            None,
            "The cluster of an empty data directory; asked for if it is not given",
        ),
        key("rack", "NAME", Some("rack"), "What fails together with this server has the same"),
        key("http", "HOST:PORT", None, "Where /health, /ready and /metrics are served, if at all"),
        key("segment", "SIZE", Some("32MiB"), "How much is preallocated at a time for small parts"),
        key("small", "SIZE", Some("256KiB"), "Parts up to this size lie together in segments"),
        key("scrub-rate", "SIZE", Some("16MiB"), "How much is read again in a second"),
        key("scrub-pause", "TIME", Some("1h"), "How long to rest when everything was read again"),
        key("free-space", "SIZE", Some("64MiB"), "How much of the disk stays free"),
    ],
};

pub(super) fn command() -> Command {
    SECTION.flags(Command::new("chunk").about("Run a chunk server").arg(parent_argument()))
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let settings = settings(&SECTION, matches)?;
    let data: PathBuf = settings.get("data")?;
    let mut config = server_config(&settings)?;
    follow_parent(matches, Signal::KILL)?;
    make_data(&data)?;
    let runtime = runtime()?;
    let end = runtime.block_on(async {
        let env = RealEnv::start(&data)?;
        config.disk = env.file_system();
        if let Some(listener) = listen(&settings, "http").await? {
            let role = Arc::new(door::ChunkRole::new(&env, &config.address));
            tokio::spawn(http::serve(listener, role));
        }
        let (server, address) = (config.server, &config.address);
        stderr::tell(format_args!(
            "chunk server {server} starts at {address}, its data is in {}",
            data.display()
        ));
        until_told_to_stop(serve(env, config)).await
    });
    runtime.shutdown_background();
    end
}

fn server_config(settings: &Settings) -> Result<ChunkServerConfig, Failure> {
    let mut config = ChunkServerConfig::new(settings.get("server")?, settings.get("listen")?);
    config.metadata = settings.get("metadata")?;
    config.cluster = settings.find("cluster")?;
    config.rack = settings.get("rack")?;
    if config.rack.len() > 64 {
        return Err(settings.refuse("rack", "is too long", "a name of at most 64 bytes").into());
    }
    if config.rack.contains(char::is_control) {
        return Err(settings.refuse("rack", "has letters that cannot be shown", "a name in one line").into());
    }
    let size = |name| settings.get(name).map(|ByteSize(bytes)| bytes);
    let (segment, small) = (size("segment")?, size("small")?);
    if !segment.is_multiple_of(1 << 20) || !((1 << 20)..=(1 << 30)).contains(&segment) {
        let form = "a multiple of 1MiB from 1MiB to 1GiB";
        return Err(settings.refuse("segment", "cannot be used", form).into());
    }
    if !((4 << 10)..=segment / 2).contains(&small) {
        let form = "a size from 4KiB to half a segment";
        return Err(settings.refuse("small", "cannot be used", form).into());
    }
    config.store.segment_bytes = segment;
    config.store.small_bytes_max = u32::try_from(small).unwrap_or(u32::MAX);
    config.store.free_bytes_min = size("free-space")?;
    config.scrub_bytes_per_second = size("scrub-rate")?;
    if config.scrub_bytes_per_second == 0 {
        return Err(settings
            .refuse("scrub-rate", "leaves rot to be found by readers", "1KiB or more")
            .into());
    }
    config.scrub_pause = settings.at_least("scrub-pause", Duration::from_secs(1))?;
    Ok(config)
}
