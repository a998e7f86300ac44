//! Scripts: a line is an operation on paths, or what must then be seen.
//!
//! ```text
//!   mkdir /a                      create /a/f                unlink /a/f          rmdir /a
//!   rename /a /b [keep|exchange]  link /a/f /g               chmod /a 700         truncate /f 10
//!   rmdir /a => NotEmpty          the refusal that must come
//!   stat /a links=3 mtime=7       times are the numbers of the lines
//!   list /a f g                   the names in it, sorted
//!   same /f /g                    two names of one inode
//! ```

use super::Shard;
use crate::query::query;
use crate::state::StateConfig;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{
    Answer, Attr, AttrChange, FileKind, Name, Op, Outcome, Query, Refusal, RenameMode,
};

pub(super) fn run(script: &str) {
    run_with(StateConfig::default(), script);
}

pub(super) fn run_with(config: StateConfig, script: &str) -> Shard {
    let mut shard = Shard::new(config);
    for (index, line) in script.lines().map(str::trim).enumerate() {
        if !line.is_empty() {
            step(&mut shard, index as i64, line);
        }
    }
    shard
}

fn step(shard: &mut Shard, time: i64, line: &str) {
    let (asked, wanted) =
        line.split_once(" => ").map_or((line, None), |(asked, wanted)| (asked, Some(wanted)));
    let words: Vec<&str> = asked.split_whitespace().collect();
    let seen = match words[..] {
        ["stat", path, ref wanted @ ..] => see(shard, line, path, wanted),
        ["list", path, ref wanted @ ..] => {
            assert_eq!(names(shard, path), wanted, "line {time}: {line}");
            Ok(())
        }
        ["same", one, other] => {
            let of = |path| walk(shard, path).map(|attr| attr.inode);
            assert_eq!(of(one), of(other), "line {time}: {line}");
            of(one).map(drop)
        }
        _ => op(shard, &words).and_then(|op| shard.ask(time, op).map(drop)),
    };
    let seen = seen.err().map(|refusal| format!("{refusal:?}"));
    assert_eq!(seen.as_deref(), wanted, "line {time}: {line}");
}

fn op(shard: &Shard, words: &[&str]) -> Result<Op, Refusal> {
    let place = |path: &str| place(shard, path);
    let inode = |path: &str| walk(shard, path).map(|attr| attr.inode);
    Ok(match words {
        ["mkdir", path] => {
            let (parent, name) = place(path)?;
            Op::Mkdir { parent, name, mode: 0o755, uid: 7, gid: 8 }
        }
        ["create", path] => {
            let (parent, name) = place(path)?;
            Op::Create { parent, name, mode: 0o644, uid: 7, gid: 8 }
        }
        ["unlink", path] => {
            let (parent, name) = place(path)?;
            Op::Unlink { parent, name }
        }
        ["rmdir", path] => {
            let (parent, name) = place(path)?;
            Op::Rmdir { parent, name }
        }
        ["rename", source, target, mode @ ..] => {
            let (source_parent, source_name) = place(source)?;
            let (target_parent, target_name) = place(target)?;
            let mode = match mode {
                [] => RenameMode::Replace,
                ["keep"] => RenameMode::Keep,
                ["exchange"] => RenameMode::Exchange,
                _ => panic!("no such mode: {mode:?}"),
            };
            Op::Rename { source_parent, source_name, target_parent, target_name, mode }
        }
        ["link", path, to] => {
            let (parent, name) = place(to)?;
            Op::Link { inode: inode(path)?, parent, name }
        }
        ["chmod", path, mode] => {
            let mode = u16::from_str_radix(mode, 8).unwrap();
            Op::SetAttr { inode: inode(path)?, change: AttrChange { mode: Some(mode), ..Default::default() } }
        }
        ["truncate", path, size] => {
            let size = Some(size.parse().unwrap());
            Op::SetAttr { inode: inode(path)?, change: AttrChange { size, ..Default::default() } }
        }
        _ => panic!("no such line: {words:?}"),
    })
}

/// The directory a path's last name stands in, and that name.
fn place(shard: &Shard, path: &str) -> Result<(InodeId, Name), Refusal> {
    let (directory, name) = path.rsplit_once('/').unwrap();
    Ok((walk(shard, directory)?.inode, Name::new(name.as_bytes().to_vec())?))
}

fn attr_of(outcome: Outcome) -> Result<Attr, Refusal> {
    outcome.map(|answer| match answer {
        Answer::Attr(attr) => attr,
        other => panic!("attributes, not {other:?}"),
    })
}

pub(super) fn walk(shard: &Shard, path: &str) -> Result<Attr, Refusal> {
    let root = attr_of(query(&shard.state, &Query::GetAttr { inode: InodeId::ROOT }))?;
    path.split('/').filter(|name| !name.is_empty()).try_fold(root, |at, name| {
        let name = Name::new(name.as_bytes().to_vec())?;
        attr_of(query(&shard.state, &Query::Lookup { parent: at.inode, name }))
    })
}

fn see(shard: &Shard, line: &str, path: &str, wanted: &[&str]) -> Result<(), Refusal> {
    let attr = walk(shard, path)?;
    for (key, value) in wanted.iter().filter_map(|word| word.split_once('=')) {
        let seen = match key {
            "links" => attr.links.to_string(),
            "size" => attr.size.to_string(),
            "mode" => format!("{:o}", attr.mode),
            "version" => attr.version.to_string(),
            "atime" => attr.atime.0.to_string(),
            "mtime" => attr.mtime.0.to_string(),
            "ctime" => attr.ctime.0.to_string(),
            "uid" => attr.uid.to_string(),
            "kind" if attr.kind == FileKind::Directory => "directory".into(),
            "kind" => "file".into(),
            _ => panic!("no such attribute: {key}"),
        };
        assert_eq!(seen, value, "{key} in: {line}");
    }
    Ok(())
}

/// The names in a directory, sorted, listed two at a time.
pub(super) fn names(shard: &Shard, path: &str) -> Vec<String> {
    let directory = walk(shard, path).unwrap().inode;
    let (mut names, mut cookie) = (Vec::new(), 0);
    loop {
        let page = query(&shard.state, &Query::ReadDir { directory, cookie, limit: 2 });
        let Ok(Answer::Entries { entries, end }) = page else { panic!("a page of {path}: {page:?}") };
        assert!(entries.len() == 2 || end, "only the last page is short");
        for entry in entries {
            assert!(entry.cookie > cookie, "cookies ascend");
            cookie = entry.cookie;
            names.push(String::from_utf8(entry.name.as_bytes().to_vec()).unwrap());
        }
        if end {
            names.sort();
            return names;
        }
    }
}
