//! Trees of small files under other people's programs: tar, grep, git.

use super::{Scale, forget, noise, say_seconds};
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const DIRECTORY_FILES: usize = 50;

pub(crate) fn measure(base: &Path, scale: &Scale) -> io::Result<()> {
    let local = std::env::temp_dir().join(format!("measure-{}", std::process::id()));
    fs::create_dir(&local)?;
    let archive = local.join("tree.tar");
    let measured = make_archive(&local, &archive, scale).and_then(|()| with_archive(base, &archive));
    let removed = fs::remove_dir_all(&local);
    measured.and(removed)
}

fn with_archive(base: &Path, archive: &Path) -> io::Result<()> {
    let tree = base.join("tree");
    fs::create_dir(&tree)?;
    run("untar", &tree, "tar", &["--extract", "--no-same-owner", "--file", text(archive)?])?;
    forget()?;
    let grep = ["--recursive", "--quiet", "no file says this", "."];
    run("grep_cold", &tree, "grep", &grep)?;
    run("grep_warm", &tree, "grep", &grep)?;
    let start = Instant::now();
    git(&tree, &["init", "--quiet"])?;
    git(&tree, &["add", "--all"])?;
    say_seconds("git_add", start.elapsed());
    run("git_status", &tree, "git", &["status", "--short"])?;
    forget()?;
    run("git_status_cold", &tree, "git", &["status", "--short"])?;
    let start = Instant::now();
    fs::remove_dir_all(&tree)?;
    say_seconds("remove_tree", start.elapsed());
    Ok(())
}

/// Like source: directories of some dozens of files of some kilobytes of text.
fn make_archive(local: &Path, archive: &Path, scale: &Scale) -> io::Result<()> {
    let tree = local.join("tree");
    for number in 0..scale.tree_files {
        let directory = tree.join(format!("part-{:03}", number / DIRECTORY_FILES));
        fs::create_dir_all(&directory)?;
        let text: String = noise(512 + number * 37 % 6_000, number as u64)
            .iter()
            .map(|byte| char::from(b'a' + byte % 26))
            .collect();
        fs::write(directory.join(format!("file-{number:05}.txt")), text)?;
    }
    let status = Command::new("tar")
        .args(["--create", "--file"])
        .arg(archive)
        .arg("-C")
        .arg(&tree)
        .arg(".")
        .status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("tar made no archive")) }
}

fn text(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| io::Error::other("a path that is no text"))
}

fn git(tree: &Path, arguments: &[&str]) -> io::Result<()> {
    program(tree, "git", arguments)
}

fn run(name: &str, tree: &Path, command: &str, arguments: &[&str]) -> io::Result<()> {
    let start = Instant::now();
    program(tree, command, arguments)?;
    say_seconds(name, start.elapsed());
    Ok(())
}

fn program(tree: &Path, command: &str, arguments: &[&str]) -> io::Result<()> {
    let mut program = Command::new(command);
    program.args(arguments).current_dir(tree).stdout(Stdio::null());
    let status = program.status().map_err(|error| io::Error::other(format!("{command}: {error}")))?;
    // grep says 1 when it finds nothing, which is what it is asked for.
    match status.code() {
        Some(0) => Ok(()),
        Some(1) if command == "grep" => Ok(()),
        _ => Err(io::Error::other(format!("{command}: {status}"))),
    }
}
