//! Scripts: a line is an operation on paths, or what must then be seen.
//!
//! ```text
//!   mkdir /a                      create /a/f                unlink /a/f          rmdir /a
//!   rename /a /b [keep|exchange]  link /a/f /g               chmod /a 700         truncate /f 10
//!   symlink /a/s ../b             mknod /a/n fifo            mknod /a/n char 259 chown /f 5:6 [mode]
//!   touch /f [7|now] [handle]     write /f 10                truncate, through an open file
//!   rmdir /a => NotEmpty          the refusal that must come
//!   as 5:6,7 rmdir /a             in the name of user 5 with the groups 6 and 7; root otherwise
//!   lookup /a/f                   access /a/f 4              read /a
//!   readlink /a/s ../b            what it says
//!   open /f                       fstat links=0              flink /g, of what is open; collect
//!   stat /a links=3 mtime=7       times are the numbers of the lines
//!   list /a f g                   the names in it, sorted
//!   same /f /g                    two names of one inode
//! ```

use super::Shard;
use crate::query::query;
use crate::state::StateConfig;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{
    Access, Answer, Attr, AttrChange, Caller, FileKind, Name, NewTime, Op, Outcome, Query, Refusal,
    RenameMode, Target,
};
use mooseng_core::time::WallTime;

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
    let mut words: Vec<&str> = asked.split_whitespace().collect();
    let mut caller = Caller::ROOT;
    if words[0] == "as" {
        caller = who(words[1]);
        words.drain(..2);
    }
    let seen = match words[..] {
        ["collect"] => {
            shard.collect();
            Ok(())
        }
        ["open", path] => walk(shard, path).map(|attr| shard.opened = Some(attr.inode)),
        ["fstat", ref wanted @ ..] => {
            let inode = shard.opened.unwrap();
            attr_of(query(&shard.state, &caller, &Query::GetAttr { inode }))
                .map(|attr| compare(line, &attr, wanted))
        }
        ["flink", path] => place(shard, path).and_then(|(parent, name)| {
            let inode = shard.opened.unwrap();
            shard.ask_as(&caller, time, Op::Link { inode, parent, name }).map(drop)
        }),
        ["lookup", path] => place(shard, path)
            .and_then(|(parent, name)| query(&shard.state, &caller, &Query::Lookup { parent, name }))
            .map(drop),
        ["access", path, bits] => walk(shard, path).and_then(|attr| {
            let access = Access::new(bits.parse().unwrap()).unwrap();
            query(&shard.state, &caller, &Query::Access { inode: attr.inode, access }).map(drop)
        }),
        ["read", path] => walk(shard, path).and_then(|attr| {
            let listing = Query::ReadDir { directory: attr.inode, cookie: 0, limit: 9 };
            query(&shard.state, &caller, &listing).map(drop)
        }),
        ["readlink", path, ref wanted @ ..] => walk(shard, path).and_then(|attr| {
            let says = query(&shard.state, &caller, &Query::ReadLink { inode: attr.inode })?;
            let wanted = Target::new(wanted[0].as_bytes().to_vec()).unwrap();
            assert_eq!(says, Answer::Target(wanted), "line {time}: {line}");
            Ok(())
        }),
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
        _ => op(shard, &caller, &words).and_then(|op| shard.ask_as(&caller, time, op).map(drop)),
    };
    let seen = seen.err().map(|refusal| format!("{refusal:?}"));
    assert_eq!(seen.as_deref(), wanted, "line {time}: {line}");
}

/// `5:6,7`, or `5`, who has no group but 5.
fn who(word: &str) -> Caller {
    let (uid, groups) = word.split_once(':').unwrap_or((word, word));
    let mut groups = groups.split(',').map(|group| group.parse().unwrap());
    Caller { uid: uid.parse().unwrap(), gid: groups.next().unwrap(), groups: groups.collect() }
}

#[expect(clippy::too_many_lines, reason = "one arm for each operation there is")]
fn op(shard: &Shard, caller: &Caller, words: &[&str]) -> Result<Op, Refusal> {
    let (uid, gid) = if caller.is_root() { (7, 8) } else { (caller.uid, caller.gid) };
    let set = |path: &str, change| walk(shard, path).map(|attr| Op::SetAttr { inode: attr.inode, change });
    let place = |path: &str| place(shard, path);
    let inode = |path: &str| walk(shard, path).map(|attr| attr.inode);
    Ok(match words {
        ["mkdir", path] => {
            let (parent, name) = place(path)?;
            Op::Mkdir { parent, name, mode: 0o755, uid, gid }
        }
        ["create", path] => {
            let (parent, name) = place(path)?;
            Op::Create { parent, name, mode: 0o644, uid, gid }
        }
        ["create", path, mode] => {
            let (parent, name) = place(path)?;
            Op::Create { parent, name, mode: u16::from_str_radix(mode, 8).unwrap(), uid, gid }
        }
        ["create-for", path, owner] => {
            let (parent, name) = place(path)?;
            let Caller { uid, gid, .. } = who(owner);
            Op::Create { parent, name, mode: 0o644, uid, gid }
        }
        ["symlink", path, target] => {
            let (parent, name) = place(path)?;
            Op::Symlink { parent, name, target: Target::new(target.as_bytes().to_vec())?, uid, gid }
        }
        ["mknod", path, kind, rdev @ ..] => {
            let (parent, name) = place(path)?;
            let kind = match *kind {
                "fifo" => FileKind::Fifo,
                "socket" => FileKind::Socket,
                "char" => FileKind::CharDevice,
                "directory" => FileKind::Directory,
                _ => FileKind::BlockDevice,
            };
            let rdev = rdev.first().map_or(0, |rdev| rdev.parse().unwrap());
            Op::Mknod { parent, name, kind, mode: 0o644, rdev, uid, gid }
        }
        ["chown", path, owner, mode @ ..] => {
            let (uid, gid) = owner.split_once(':').unwrap();
            let (uid, gid) = (uid.parse().ok(), gid.parse().ok());
            let mode = mode.first().map(|mode| u16::from_str_radix(mode, 8).unwrap());
            set(path, AttrChange { uid, gid, mode, ..Default::default() })?
        }
        ["touch", path, time, handle @ ..] => {
            let time = time.parse().map_or(NewTime::Now, |time| NewTime::At(WallTime(time)));
            let (atime, mtime) = (Some(time), Some(time));
            set(path, AttrChange { atime, mtime, by_handle: !handle.is_empty(), ..Default::default() })?
        }
        ["write", path, size] => {
            let size = Some(size.parse().unwrap());
            set(path, AttrChange { size, by_handle: true, ..Default::default() })?
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
    let root = attr_of(query(&shard.state, &Caller::ROOT, &Query::GetAttr { inode: InodeId::ROOT }))?;
    path.split('/').filter(|name| !name.is_empty()).try_fold(root, |at, name| {
        let name = Name::new(name.as_bytes().to_vec())?;
        attr_of(query(&shard.state, &Caller::ROOT, &Query::Lookup { parent: at.inode, name }))
    })
}

fn see(shard: &Shard, line: &str, path: &str, wanted: &[&str]) -> Result<(), Refusal> {
    compare(line, &walk(shard, path)?, wanted);
    Ok(())
}

fn compare(line: &str, attr: &Attr, wanted: &[&str]) {
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
            "gid" => attr.gid.to_string(),
            "rdev" => attr.rdev.to_string(),
            "kind" if attr.kind == FileKind::Regular => "file".into(),
            "kind" => format!("{:?}", attr.kind).to_lowercase(),
            _ => panic!("no such attribute: {key}"),
        };
        assert_eq!(seen, value, "{key} in: {line}");
    }
}

/// The names in a directory, sorted, listed two at a time.
pub(super) fn names(shard: &Shard, path: &str) -> Vec<String> {
    let directory = walk(shard, path).unwrap().inode;
    let (mut names, mut cookie) = (Vec::new(), 0);
    loop {
        let page = query(&shard.state, &Caller::ROOT, &Query::ReadDir { directory, cookie, limit: 2 });
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
