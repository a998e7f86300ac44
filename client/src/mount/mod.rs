//! What a mount does, without FUSE: names, attributes, open files and directories, in terms of
//! inodes and handles. Errors are values ([`FsError`]); errno, file descriptors and the kernel's
//! caches are the business of the edge.
//!
//! Every operation ends in bounded time ([`SessionConfig::operation_timeout`]) and may be dropped at
//! any moment: a change that was being asked for then takes effect once, or never.

mod attributes;
mod directories;
mod error;
mod files;
mod handles;
mod listing;
mod names;
mod sessions;

pub use error::FsError;
pub use files::OpenMode;
pub use handles::Handle;
pub use listing::Line;
pub use names::NewInode;

use crate::{ClientError, SessionConfig};
use directories::Directory;
use files::File;
use handles::Handles;
use mooseng_core::env::Env;
use mooseng_core::namespace::{Answer, Attr, Caller, Op, Query};
use sessions::Sessions;

#[derive(Clone, Debug)]
pub struct MountConfig {
    pub session: SessionConfig,
    /// How many files, and how many directories, may be open at a time.
    pub handles_max: usize,
}

impl MountConfig {
    pub fn new(session: SessionConfig) -> Self {
        Self { session, handles_max: 1 << 20 }
    }
}

/// A file system as one machine sees it.
pub struct Mount<E: Env> {
    sessions: Sessions<E>,
    files: Handles<File>,
    directories: Handles<Directory>,
}

impl<E: Env> Mount<E> {
    pub async fn open(env: &E, config: MountConfig) -> Result<Self, ClientError> {
        Ok(Self {
            sessions: Sessions::open(env, config.session).await?,
            files: Handles::new(config.handles_max),
            directories: Handles::new(config.handles_max),
        })
    }

    /// Ends the session; what it held is released at once.
    pub async fn close(&self) -> Result<(), ClientError> {
        self.sessions.current().await?.close().await
    }

    async fn change_attr(&self, caller: &Caller, op: &Op) -> Result<Attr, FsError> {
        attr(self.sessions.change(caller, op).await?)
    }

    async fn change_done(&self, caller: &Caller, op: &Op) -> Result<(), FsError> {
        match self.sessions.change(caller, op).await? {
            Answer::Done => Ok(()),
            other => Err(surprise(&other)),
        }
    }

    async fn ask_attr(&self, caller: &Caller, query: &Query) -> Result<Attr, FsError> {
        attr(self.sessions.ask(caller, query).await?)
    }
}

fn attr(answer: Answer) -> Result<Attr, FsError> {
    match answer {
        Answer::Attr(attr) => Ok(attr),
        other => Err(surprise(&other)),
    }
}

/// The service may be of another version, or broken: that is no reason to panic.
fn surprise(answer: &Answer) -> FsError {
    FsError::Io { what: format!("the metadata service answered something else: {answer:?}") }
}
