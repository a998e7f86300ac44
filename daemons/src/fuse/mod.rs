//! FUSE: a thin edge between the kernel and [`mooseng_client::mount`]. It translates words and
//! numbers, hands a request that has to wait to a task of its own, so that it holds up nobody, and knows
//! nothing of how a file system works. Errno exists here only.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the edge of the real world: /dev/fuse, /proc, mount points"
)]

mod convert;
mod edge;
mod errno;
mod filesystem;
mod kernel;
mod notices;
mod place;
mod process;
mod told;

pub use place::Place;

use crate::machine::RealEnv;
use crate::stderr;
use edge::Edge;
use fuser::{Config, MountOption, Session, SessionACL};
use futures::channel::oneshot;
use mooseng_client::mount::Mount;
use notices::Notices;
use rustix::io::Errno as SystemError;
use rustix::mount::{UnmountFlags, unmount};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// How many threads take requests from the kernel. They answer what is known, and hand on what has to wait.
const THREADS: usize = 2;
/// How long the kernel may take to let go of a mount after it was unmounted.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why nothing was mounted: one line for whoever wanted it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MountError {
    #[error("there is no /dev/fuse; load the module (modprobe fuse), or give the container the device")]
    NoDevice,
    #[error("/dev/fuse: is not the device; remove it, and make it with `mknod -m 666 /dev/fuse c 10 229`")]
    NotDevice,
    #[error("/dev/fuse: {what}; run as root, or give the container the device and CAP_SYS_ADMIN")]
    Device { what: String },
    #[error("mount point {point}: {what}; {remedy}")]
    Point { point: String, what: String, remedy: String },
    #[error("cannot mount on {point}: {what}; root with CAP_SYS_ADMIN may mount, others need fusermount3")]
    Refused { point: String, what: String },
}

/// The kernel's word at the end of what may begin with the whole system call.
fn why_refused(told: &str) -> &str {
    let behind = told.split_once("flags=").and_then(|(_, flags)| flags.split_once(": "));
    behind.map_or(told, |(_, why)| why)
}

/// A file system that the kernel shows.
pub struct Mounted {
    point: PathBuf,
    ended: oneshot::Receiver<()>,
}

impl Mounted {
    /// Shows `mount` at `place`. Must be called on a tokio runtime.
    pub fn start(mount: Arc<Mount<RealEnv>>, place: &Place) -> Result<Self, MountError> {
        let point = place.path().to_owned();
        let failed = |error: io::Error| MountError::Refused {
            point: point.display().to_string(),
            what: why_refused(&error.to_string()).to_owned(),
        };
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("mooseng".to_owned()),
            MountOption::CUSTOM(format!("subtype={}", place::SUBTYPE)),
            // The server decides; but nobody asks it when a fifo or a device is opened.
            MountOption::DefaultPermissions,
        ];
        let root = rustix::process::geteuid().is_root();
        config.acl = if root { SessionACL::All } else { SessionACL::Owner };
        config.n_threads = Some(THREADS);
        config.clone_fd = true;
        let edge = Edge::new(mount, Handle::current());
        let kernel = edge.kernel.clone();
        let session = Session::new(edge, &point, &config).map_err(failed)?;
        kernel.connect(Notices::new(session.as_fd().try_clone_to_owned().map_err(failed)?));
        let session = session.spawn().map_err(failed)?;
        let (tell_end, ended) = oneshot::channel();
        std::thread::spawn(move || {
            if let Err(error) = session.join() {
                stderr::tell(format_args!("the kernel's requests ended: {error}"));
            }
            // Nobody listens any more if the mount was given up, and then nobody needs to know.
            let _ = tell_end.send(());
        });
        Ok(Self { point, ended })
    }

    /// Resolves when somebody has unmounted it.
    pub async fn ended(&mut self) {
        // An error means that the thread is gone, and the mount with it.
        let _ = (&mut self.ended).await;
    }

    /// Unmounts. What is still in use is taken from the tree all the same, and answers with errors
    /// from when this process ends.
    pub async fn end(mut self) {
        match self.unmount(UnmountFlags::empty()) {
            Err(SystemError::BUSY) => {
                stderr::tell(format_args!(
                    "{} is in use; it is taken away, and open files of it end with this process",
                    self.point.display()
                ));
                let _ = self.unmount(UnmountFlags::DETACH);
            }
            Err(SystemError::PERM) => {
                let _ = Command::new("fusermount3").args(["-u", "-z", "--"]).arg(&self.point).status();
            }
            // Anything else means that it is not mounted any more.
            _ => {}
        }
        let _ = tokio::time::timeout(FAREWELL, self.ended()).await;
    }

    fn unmount(&self, flags: UnmountFlags) -> rustix::io::Result<()> {
        unmount(&self.point, flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_call_is_not_told_as_a_whole() {
        let call = "Error calling mount() at \"/m: n\" with \"fd=9,rootmode=40755\" and flags=MsFlags(MS_NOSUID | \
                    MS_NODEV): EINVAL: Invalid argument";
        assert_eq!(why_refused(call), "EINVAL: Invalid argument");
        assert_eq!(
            why_refused("No such file or directory (os error 2)"),
            "No such file or directory (os error 2)"
        );
    }
}
