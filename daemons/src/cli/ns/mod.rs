//! `mooseng ns`: the namespace by hand, without a mount.

pub(super) mod path;
mod show;

use super::client::{ClientSettings, read_verb, run_on_machine, verbs};
use super::failure::Failure;
use super::output::say;
use crate::machine::RealEnv;
use clap::{ArgMatches, Args, Command, Subcommand};
use mooseng_client::{Session, SessionConfig};
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{
    Answer, Attr, AttrChange, DirEntry, FileKind, Name, Op, Query, Refusal, RenameMode, Target,
};
use path::Path;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// Entries asked for at once.
const PAGE: u32 = 1_000;

#[derive(Subcommand)]
enum Verb {
    /// List a directory
    Ls {
        path: Path,
        /// With attributes
        #[arg(short, long)]
        long: bool,
        #[arg(long)]
        json: bool,
    },
    /// Show the attributes of a file or directory
    Stat {
        path: Path,
        #[arg(long)]
        json: bool,
    },
    /// Make a directory
    Mkdir {
        path: Path,
        /// And those above it; no error if it is there
        #[arg(short, long)]
        parents: bool,
        #[arg(short, long, value_parser = path::mode, default_value = "0755")]
        mode: u16,
    },
    /// Make an empty file
    Create {
        path: Path,
        #[arg(short, long, value_parser = path::mode, default_value = "0644")]
        mode: u16,
    },
    /// Remove a name of a file
    Rm { path: Path },
    /// Remove an empty directory
    Rmdir { path: Path },
    /// Rename, replacing what is there
    Mv {
        source: Path,
        target: Path,
        #[command(flatten)]
        mode: MoveMode,
    },
    /// Give a file another name
    Ln { file: Path, path: Path },
    /// Make a symbolic link that says TARGET
    Symlink { target: OsString, path: Path },
    /// Show what a symbolic link says
    Readlink { path: Path },
    /// Change permission bits
    Chmod {
        #[arg(value_parser = path::mode)]
        mode: u16,
        path: Path,
    },
}

#[derive(Args)]
#[group(multiple = false)]
struct MoveMode {
    /// Refuse if the target is there
    #[arg(long)]
    keep: bool,
    /// Change places with the target
    #[arg(long)]
    exchange: bool,
}

pub(super) fn command() -> Command {
    verbs::<Verb>("ns", "Look at the namespace and change it, without a mount")
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let (settings, verb) = read_verb(matches)?;
    with_tree(settings, async |tree| tree.carry_out(verb).await)
}

/// Does something with the namespace, in a session of its own.
pub(super) fn with_tree(
    settings: ClientSettings,
    verb: impl AsyncFnOnce(&Tree) -> Result<(), Failure>,
) -> Result<(), Failure> {
    run_on_machine(async |env| {
        let config =
            SessionConfig { operation_timeout: settings.timeout, ..SessionConfig::new(settings.servers) };
        let tree = Tree { session: Session::open(&env, config).await? };
        let done = verb(&tree).await;
        // What the verb came to is what counts; a session that is not closed runs out.
        let _ = tree.session.close().await;
        done
    })
}

/// The namespace, by paths.
pub(super) struct Tree {
    pub(super) session: Session<RealEnv>,
}

impl Tree {
    async fn carry_out(&self, verb: Verb) -> Result<(), Failure> {
        match verb {
            Verb::Ls { path, long, json } => return self.list(&path, long, json).await,
            Verb::Stat { path, json } => {
                let attr = self.find(&path).await?;
                say(if json { show::attr_json(&attr).to_string() } else { show::attr_lines(&attr) })?;
            }
            Verb::Mkdir { path, parents: true, mode } => {
                for path in path.prefixes() {
                    match self.make(&path, mode, FileKind::Directory).await {
                        Err(Failure::Refused { refusal: Refusal::Exists, .. }) => {}
                        other => other?,
                    }
                }
                self.must_be_directory(&path).await?;
            }
            Verb::Mkdir { path, mode, .. } => self.make(&path, mode, FileKind::Directory).await?,
            Verb::Create { path, mode } => self.make(&path, mode, FileKind::Regular).await?,
            Verb::Rm { path } => {
                let (parent, name) = self.place(&path).await?;
                self.change(&path, Op::Unlink { parent, name }).await?;
            }
            Verb::Rmdir { path } => {
                let (parent, name) = self.place(&path).await?;
                self.change(&path, Op::Rmdir { parent, name }).await?;
            }
            Verb::Mv { source, target, mode } => self.rename(&source, &target, &mode).await?,
            Verb::Ln { file, path } => {
                let inode = self.find(&file).await?.inode;
                let (parent, name) = self.place(&path).await?;
                self.change(&path, Op::Link { inode, parent, name }).await?;
            }
            Verb::Symlink { target, path } => {
                let target = Target::new(target.into_vec()).map_err(|refusal| refused(&path, refusal))?;
                let (parent, name) = self.place(&path).await?;
                let (uid, gid) = own();
                self.change(&path, Op::Symlink { parent, name, target, uid, gid }).await?;
            }
            Verb::Readlink { path } => {
                let inode = self.find(&path).await?.inode;
                match self.ask(&path, Query::ReadLink { inode }).await? {
                    Answer::Target(target) => say(String::from_utf8_lossy(target.as_bytes()))?,
                    other => return Err(senseless(&other)),
                }
            }
            Verb::Chmod { mode, path } => {
                let inode = self.find(&path).await?.inode;
                let change = AttrChange { mode: Some(mode), ..AttrChange::default() };
                self.change(&path, Op::SetAttr { inode, change }).await?;
            }
        }
        Ok(())
    }

    async fn make(&self, path: &Path, mode: u16, kind: FileKind) -> Result<(), Failure> {
        let (parent, name) = self.place(path).await?;
        let (uid, gid) = own();
        let op = match kind {
            FileKind::Directory => Op::Mkdir { parent, name, mode, uid, gid },
            _ => Op::Create { parent, name, mode, uid, gid },
        };
        self.change(path, op).await
    }

    async fn rename(&self, source: &Path, target: &Path, mode: &MoveMode) -> Result<(), Failure> {
        let (source_parent, source_name) = self.place(source).await?;
        let (target_parent, target_name) = self.place(target).await?;
        let mode = match mode {
            MoveMode { keep: true, .. } => RenameMode::Keep,
            MoveMode { exchange: true, .. } => RenameMode::Exchange,
            _ => RenameMode::Replace,
        };
        let op = Op::Rename { source_parent, source_name, target_parent, target_name, mode };
        self.change(source, op).await
    }

    async fn list(&self, path: &Path, long: bool, json: bool) -> Result<(), Failure> {
        let directory = self.find(path).await?.inode;
        let mut cookie = 0;
        loop {
            let (entries, end) = self.page(path, directory, cookie).await?;
            for entry in &entries {
                let attr = if long || json {
                    let query = Query::GetAttr { inode: entry.inode };
                    // A name may be gone by the time its attributes are asked for.
                    match self.ask(path, query).await {
                        Err(Failure::Refused { refusal: Refusal::Stale | Refusal::NotFound, .. }) => continue,
                        answer => Some(attr_of(answer?)?),
                    }
                } else {
                    None
                };
                say(show::entry(entry, attr.as_ref(), json))?;
            }
            match entries.last() {
                Some(last) if !end => cookie = last.cookie,
                _ => return Ok(()),
            }
        }
    }

    async fn page(
        &self,
        path: &Path,
        directory: InodeId,
        cookie: u64,
    ) -> Result<(Vec<DirEntry>, bool), Failure> {
        match self.ask(path, Query::ReadDir { directory, cookie, limit: PAGE }).await? {
            Answer::Entries { entries, end } => Ok((entries, end)),
            other => Err(senseless(&other)),
        }
    }

    /// What a path leads to.
    pub(super) async fn find(&self, path: &Path) -> Result<Attr, Failure> {
        let mut attr = attr_of(self.ask(path, Query::GetAttr { inode: InodeId::ROOT }).await?)?;
        for name in path.names() {
            let query = Query::Lookup { parent: attr.inode, name: name.clone() };
            attr = attr_of(self.ask(path, query).await?)?;
        }
        Ok(attr)
    }

    /// The directory that a path's last name is in, and that name.
    async fn place(&self, path: &Path) -> Result<(InodeId, Name), Failure> {
        let Some((parent, name)) = path.split_last() else {
            return Err(refused(path, Refusal::Invalid));
        };
        Ok((self.find(&parent).await?.inode, name))
    }

    async fn must_be_directory(&self, path: &Path) -> Result<(), Failure> {
        match self.find(path).await?.kind {
            FileKind::Directory => Ok(()),
            _ => Err(refused(path, Refusal::NotDirectory)),
        }
    }

    pub(super) async fn ask(&self, path: &Path, query: Query) -> Result<Answer, Failure> {
        let answered = self.session.query(&query).await?;
        answered.outcome.map_err(|refusal| refused(path, refusal))
    }

    pub(super) async fn change(&self, path: &Path, op: Op) -> Result<(), Failure> {
        let answered = self.session.mutate(&op).await?;
        answered.outcome.map(|_| ()).map_err(|refusal| refused(path, refusal))
    }
}

fn refused(path: &Path, refusal: Refusal) -> Failure {
    Failure::Refused { path: path.to_string(), refusal }
}

/// Who asks.
fn own() -> (u32, u32) {
    (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}

fn attr_of(answer: Answer) -> Result<Attr, Failure> {
    match answer {
        Answer::Attr(attr) => Ok(attr),
        other => Err(senseless(&other)),
    }
}

pub(super) fn senseless(answer: &Answer) -> Failure {
    Failure::Other(format!("the metadata service gave an answer to another question: {answer:?}"))
}
