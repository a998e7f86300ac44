//! What every verb needs that talks to a cluster.

use super::failure::Failure;
use crate::machine::RealEnv;
use crate::settings::{Key, Section, Settings};
use mooseng_core::env::Address;
use std::time::Duration;

pub(super) static SECTION: Section = Section {
    name: "client",
    keys: &[
        Key {
            name: "servers",
            form: "HOST:PORT,…",
            default: Some("127.0.0.1:9421,127.0.0.1:9422,127.0.0.1:9423"),
            help: "Where the metadata servers listen",
        },
        Key { name: "timeout", form: "TIME", default: Some("10s"), help: "How long to wait for an answer" },
    ],
};

pub(super) struct ClientSettings {
    pub(super) servers: Vec<Address>,
    pub(super) timeout: Duration,
}

impl ClientSettings {
    pub(super) fn read(settings: &Settings) -> Result<Self, Failure> {
        Ok(Self { servers: settings.get("servers")?, timeout: settings.get("timeout")? })
    }
}

/// Runs one verb on a machine without a disk.
pub(super) fn run_on_machine(verb: impl AsyncFnOnce(RealEnv) -> Result<(), Failure>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Other(format!("no runtime: {error}")))?;
    runtime.block_on(async { verb(RealEnv::without_disk()?).await })
}
