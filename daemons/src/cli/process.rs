//! What verbs have in common that run until they are told to stop.

use super::failure::Failure;
use crate::http;
use crate::machine::why_not;
use crate::settings::Settings;
use clap::{Arg, ArgMatches, value_parser};
use futures::future::{Either, select};
use mooseng_core::env::Address;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::fmt::Display;
use std::io;
use std::num::NonZero;
use std::path::Path;
use std::pin::pin;
use std::thread::available_parallelism;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

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

/// Resolves when the process is asked to end.
pub(super) fn told_to_stop() -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::Other(format!("signals: {error}")));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        select(pin!(interrupt.recv()), pin!(terminate.recv())).await;
    })
}

/// Does a server's work until it ends, or the process is asked to: what was acknowledged is on the disk, so there
/// is nothing to finish.
pub(super) async fn until_told_to_stop<X: Display>(
    work: impl Future<Output = Result<(), X>>,
) -> Result<(), Failure> {
    match select(pin!(work), pin!(told_to_stop()?)).await {
        Either::Left((ended, _)) => ended.map_err(|error| Failure::Other(error.to_string())),
        Either::Right(((), _)) => Ok(()),
    }
}

/// Who started this process, so that it does not outlive it.
pub(super) fn parent_argument() -> Arg {
    Arg::new("parent").long("parent").value_name("PID").hide(true).value_parser(value_parser!(i32))
}

/// What `mooseng up` has started does not outlive it.
pub(super) fn follow_parent(matches: &ArgMatches, signal: Signal) -> Result<(), Failure> {
    let Some(parent) = matches.get_one::<i32>("parent") else { return Ok(()) };
    let failed = |what: String| Failure::Other(format!("--parent: {what}"));
    set_parent_process_death_signal(Some(signal)).map_err(|error| failed(error.to_string()))?;
    if getppid() != Pid::from_raw(*parent) {
        return Err(failed(format!("process {parent} did not start this one, or is gone")));
    }
    Ok(())
}

/// Makes the data directory if there is none.
pub(super) fn make_data(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                "is no directory; name one".to_owned()
            }
            _ => format!("{error}; name a directory that this user can make and write"),
        };
        Failure::Other(format!("data: {}: {why}", path.display()))
    })
}

/// Listens at the address of this key, if it is set.
pub(super) async fn listen(settings: &Settings, key: &'static str) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = settings.find::<Address>(key)? else { return Ok(None) };
    let listener = http::listen(&address).await;
    listener
        .map(Some)
        .map_err(|error| Failure::Other(format!("{key}: {address}: cannot listen: {}", why_not(&error))))
}
