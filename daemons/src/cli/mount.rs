//! `mooseng mount`: shows the file system at a directory of this computer.

mod door;

use super::cluster;
use super::failure::Failure;
use super::output::mention;
use super::process::{follow_parent, listen, parent_argument, runtime, told_to_stop};
use super::settings;
use crate::fuse::{Mounted, Place};
use crate::http;
use crate::machine::RealEnv;
use crate::settings::{Section, Settings, key};
use clap::{Arg, ArgMatches, Command, value_parser};
use door::MountRole;
use futures::future::{Either, select};
use mooseng_client::SessionConfig;
use mooseng_client::mount::{Mount, MountConfig};
use rustix::process::Signal;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

pub(super) static SECTION: Section = Section {
    name: "mount",
    keys: &[
        key(
            "meta",
            "HOST:PORT,…",
            Some("127.0.0.1:9421,127.0.0.1:9422,127.0.0.1:9423"),
            "Where the metadata servers listen",
        )
        .or("metadata"),
        key(
            "cluster",
            "NUMBER",
            None,
            "The cluster it has to be; whichever they belong to if it is not given",
        ),
        key(
            "timeo",
            "TIME",
            Some("60s"),
            "How long an operation waits for the cluster before it ends in ETIMEDOUT",
        ),
        key(
            "hard",
            "true|false",
            Some("false"),
            "Wait for the cluster for ever; a signal still ends the wait",
        ),
        key("http", "HOST:PORT", None, "Where /health, /ready and /metrics are served, if at all"),
    ],
};

/// For ever, as far as an operation goes.
const HARD: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

pub(super) fn command() -> Command {
    let point = Arg::new("point")
        .value_name("MOUNTPOINT")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help("The directory to mount on");
    let command = Command::new("mount").about("Mount the file system, until Ctrl-C or umount");
    SECTION.flags(command.arg(point).arg(parent_argument()))
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let settings = settings(&SECTION, matches)?;
    let mut config = mount_config(&settings)?;
    let wanted = settings.find("cluster")?;
    let point: &PathBuf = matches.get_one("point").expect("clap asks for it");
    let place = Place::prepare(point)?;
    // Asked rather than killed, so that nothing stays mounted.
    follow_parent(matches, Signal::TERM)?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let env = RealEnv::without_disk()?;
        let role = Arc::new(MountRole::new(place.clone()));
        if let Some(listener) = listen(&settings, "http").await? {
            tokio::spawn(http::serve(listener, role.clone()));
        }
        let stop = told_to_stop()?;
        let mut stop = pin!(stop);
        let open = async {
            let SessionConfig { servers, operation_timeout, .. } = &config.session;
            let cluster = Some(cluster::of_servers(&env, servers, wanted, *operation_timeout).await?);
            config.session.channel.cluster = cluster;
            config.store.channel.cluster = cluster;
            Ok::<_, Failure>(Mount::open(&env, config).await?)
        };
        let mount = match select(pin!(open), &mut stop).await {
            Either::Left((mount, _)) => Arc::new(mount?),
            Either::Right(((), _)) => return Ok(()),
        };
        role.opened(mount.clone());
        let mut mounted = Mounted::start(mount.clone(), &place)?;
        mention(format_args!("mounted at {}; umount or Ctrl-C ends it", point.display()));
        select(pin!(mounted.ended()), stop).await;
        mounted.end().await;
        // What it held is released at once; if nobody answers, it runs out.
        let _ = tokio::time::timeout(Duration::from_secs(1), mount.close()).await;
        Ok(())
    });
    runtime.shutdown_background();
    ended
}

fn mount_config(settings: &Settings) -> Result<MountConfig, Failure> {
    let timeout = settings.at_least("timeo", Duration::from_secs(1))?;
    let operation_timeout = if settings.get("hard")? { HARD } else { timeout };
    let session = SessionConfig { operation_timeout, ..SessionConfig::new(settings.get("meta")?) };
    Ok(MountConfig::new(session))
}
