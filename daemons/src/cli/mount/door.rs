//! What a mount says at its HTTP door: whether it is mounted and the metadata service answers it.

use crate::fuse::Place;
use crate::http::{Metrics, Role};
use crate::machine::RealEnv;
use futures::FutureExt;
use futures::future::BoxFuture;
use mooseng_client::mount::{Figures, Mount};
use mooseng_core::id::InodeId;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::timeout;

/// How long the service may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct MountRole {
    place: Place,
    /// There as soon as it has a session.
    mount: OnceLock<Arc<Mount<RealEnv>>>,
}

impl MountRole {
    pub(super) fn new(place: Place) -> Self {
        Self { place, mount: OnceLock::new() }
    }

    pub(super) fn opened(&self, mount: Arc<Mount<RealEnv>>) {
        // It is opened once.
        let _ = self.mount.set(mount);
    }

    async fn state(&self) -> Result<Figures, String> {
        let mount = self.mount.get().ok_or("the metadata service has not given it a session yet")?;
        // Nobody here knows that without asking.
        let space = timeout(PATIENCE, mount.space(InodeId::ROOT)).await;
        let space = space.map_err(|_| "the metadata service does not answer".to_owned())?;
        space.map_err(|error| format!("the metadata service does not answer: {error}"))?;
        Ok(mount.figures())
    }
}

impl Role for MountRole {
    /// Ready is what programs can use.
    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        async {
            self.state().await?;
            if self.place.is_mounted() { Ok(()) } else { Err("it is not mounted".to_owned()) }
        }
        .boxed()
    }

    fn metrics(&self) -> BoxFuture<'_, String> {
        async { metrics(self.state().await.is_ok(), self.mount.get().map(|mount| mount.figures())) }.boxed()
    }
}

type Number = fn(&Figures) -> u64;

const GAUGES: [(&str, Number); 3] = [
    ("open_files", |figures| figures.open_files),
    ("open_directories", |figures| figures.open_directories),
    ("unwritten_bytes", |figures| figures.unwritten_bytes),
];

fn metrics(answered: bool, figures: Option<Figures>) -> String {
    let mut metrics = Metrics::default();
    metrics.gauge("mooseng_mount_answered", [u64::from(answered)]);
    for (name, number) in GAUGES {
        metrics.gauge(&format!("mooseng_mount_{name}"), figures.as_ref().map(number));
    }
    metrics.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told() {
        let figures = Figures { open_files: 3, unwritten_bytes: 9, ..Figures::default() };
        let text = metrics(true, Some(figures));
        for line in
            ["mooseng_mount_answered 1", "mooseng_mount_open_files 3", "mooseng_mount_unwritten_bytes 9"]
        {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        assert!(metrics(false, None).contains("mooseng_mount_answered 0\n"));
    }
}
