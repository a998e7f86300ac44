//! `mooseng class`: how new data of a file, or of what is made in a directory, is stored.

use super::client::{read_verb, verbs};
use super::failure::Failure;
use super::ns::path::Path;
use super::ns::{Tree, with_tree};
use super::output::say;
use clap::{ArgMatches, Command, Subcommand};
use mooseng_core::class::StorageClass;
use mooseng_core::namespace::Op;
use serde_json::json;

#[derive(Subcommand)]
enum Verb {
    /// Show how new data is stored
    Get {
        path: Path,
        #[arg(long)]
        json: bool,
    },
    /// Store new data like this; files and directories made in a directory inherit its class
    Set {
        path: Path,
        /// copies=N, or ec=K+M; `,strict` behind it refuses to write fewer parts than that
        class: StorageClass,
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn command() -> Command {
    verbs::<Verb>("class", "Choose how data is stored: in copies, or erasure coded")
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let (settings, verb) = read_verb(matches)?;
    with_tree(settings, async |tree| carry_out(tree, verb).await)
}

async fn carry_out(tree: &Tree, verb: Verb) -> Result<(), Failure> {
    let (path, json) = match verb {
        Verb::Get { path, json } => (path, json),
        Verb::Set { path, class, json } => {
            let inode = tree.find(&path).await?.inode;
            let servers = tree.session.chunk_servers().await?.servers.len();
            fits(class, servers)?;
            tree.change(&path, Op::SetClass { inode, class }).await?;
            (path, json)
        }
    };
    let class = tree.find(&path).await?.class;
    if json { say(json!({ "path": path.to_string(), "class": class.to_string() })) } else { say(class) }
}

/// Each part is on a server of its own.
fn fits(class: StorageClass, servers: usize) -> Result<(), Failure> {
    let parts = usize::from(class.parts());
    if parts <= servers {
        return Ok(());
    }
    Err(Failure::Other(format!(
        "class: {class} has {parts} parts, each for a server of its own, and there are {servers} chunk servers; \
         name one of {servers} parts at most, or add servers"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_wider_than_the_cluster_is_refused_by_name() {
        let class: StorageClass = "ec=4+2".parse().unwrap();
        assert!(fits(class, 6).is_ok());
        let line = fits(class, 5).unwrap_err().to_string();
        assert!(line.starts_with("class: ec=4+2 has 6 parts") && line.contains("5 chunk servers"), "{line}");
    }
}
