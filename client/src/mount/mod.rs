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
mod pages;
mod ranges;
mod service;
mod sessions;
mod space;
mod xattrs;

pub use error::FsError;
pub use files::{OpenMode, Opened};
pub use handles::Handle;
pub use listing::Line;
pub use names::NewInode;
pub use ranges::{Reserve, Seek};
pub use space::{Figures, Inodes, Space};
pub use xattrs::xattr_there;

use crate::cache::{Cache, CacheConfig};
use crate::data::{Store, StoreConfig};
use crate::file::{FileConfig, Files};
use crate::{ClientError, SessionConfig};
use directories::Directory;
use files::File;
use handles::Handles;
use mooseng_core::env::{Clock, Env};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Answer, Attr, Caller, Name, Op, Query};
use mooseng_core::{plant, probe};
use service::Service;
use sessions::Sessions;
use std::sync::Arc;
use std::time::Duration;

/// How often attributes are asked for again because what they say is older than what is known.
const BEHIND_MAX: u32 = 8;

#[derive(Clone, Debug)]
pub struct MountConfig {
    pub session: SessionConfig,
    pub store: StoreConfig,
    pub file: FileConfig,
    /// How many files, and how many directories, may be open at a time.
    pub handles_max: usize,
}

impl MountConfig {
    pub fn new(session: SessionConfig) -> Self {
        let operation_timeout = session.operation_timeout;
        let session = SessionConfig { cache: Some(CacheConfig::default()), ..session };
        let file = FileConfig { operation_timeout, ..FileConfig::default() };
        Self { session, store: StoreConfig::default(), file, handles_max: 1 << 20 }
    }
}

/// A file system as one machine sees it.
pub struct Mount<E: Env> {
    env: E,
    sessions: Arc<Sessions<E>>,
    /// What is open of each file, whoever opened it.
    open_files: Files<E, Service<E>>,
    files: Handles<File<E>>,
    directories: Handles<Directory>,
}

impl<E: Env> Mount<E> {
    pub async fn open(env: &E, config: MountConfig) -> Result<Self, ClientError> {
        let sessions = Arc::new(Sessions::open(env, config.session).await?);
        let store = Store::new(env, config.store, Service(sessions.clone()));
        Ok(Self {
            env: env.clone(),
            open_files: Files::new(env, config.file, store, Service(sessions.clone())),
            sessions,
            files: Handles::new(config.handles_max),
            directories: Handles::new(config.handles_max),
        })
    }

    /// Ends the session; what it held is released at once.
    pub async fn close(&self) -> Result<(), ClientError> {
        self.sessions.current().await?.close().await
    }

    /// What it was told and keeps, if it does.
    pub fn cache(&self) -> Option<&Cache> {
        self.sessions.cache()
    }

    /// For how long these attributes are true, as far as is known here.
    pub fn attributes_true_for(&self, attr: &Attr) -> Duration {
        let now = self.env.clock().now();
        self.cache().map_or(Duration::ZERO, |cache| cache.confirm_attr(attr, now))
    }

    /// For how long a name leads there, or nowhere, as far as is known here.
    pub fn name_true_for(&self, parent: InodeId, name: &Name, leads_to: Option<InodeId>) -> Duration {
        let now = self.env.clock().now();
        self.cache().map_or(Duration::ZERO, |cache| cache.confirm_name(parent, name, leads_to, now))
    }

    async fn change_attr(&self, caller: &Caller, op: &Op) -> Result<Attr, FsError> {
        Ok(self.newest(attr(self.sessions.change(caller, op).await?)?).await)
    }

    async fn change_done(&self, caller: &Caller, op: &Op) -> Result<(), FsError> {
        match self.sessions.change(caller, op).await? {
            Answer::Done => Ok(()),
            other => Err(surprise(&other)),
        }
    }

    async fn ask_attr(&self, caller: &Caller, query: &Query) -> Result<Attr, FsError> {
        Ok(self.newest(attr(self.sessions.ask(caller, query).await?)?).await)
    }

    /// What was written here may have been committed since the service said so: then nothing shows that it
    /// was written, save what the service says now.
    async fn newest(&self, mut told: Attr) -> Attr {
        for _ in 0..BEHIND_MAX {
            let behind = self.open_files.is_behind(told.inode, (&told).into());
            if !plant!("answer-behind-a-commit", behind, false) {
                break;
            }
            probe!("an answer is older than what is known of the file");
            let now = self.sessions.ask(&Caller::ROOT, &Query::GetAttr { inode: told.inode }).await;
            let Ok(Answer::Attr(now)) = now else { break };
            told = now;
        }
        self.as_here(told)
    }

    /// What was written here and is not yet committed is part of a file to whoever looks from here. Open
    /// files take in what the service said as it is, never this.
    fn as_here(&self, attr: Attr) -> Attr {
        match self.open_files.told(attr.inode, (&attr).into()) {
            Some((size, Some(written))) => {
                let mtime = plant!("unwritten-time-not-shown", written, attr.mtime);
                Attr { size, mtime, ..attr }
            }
            Some((size, None)) => Attr { size, ..attr },
            None => attr,
        }
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
