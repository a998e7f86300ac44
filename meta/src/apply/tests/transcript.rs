//! A transcript of what commands gave. Every replica of every build must give exactly this, down to
//! the hash: a change here is a change of what groups that are running would do.

use super::{Shard, command};
use crate::apply::apply;
use crate::command::{CommandKind, Reply};
use crate::state::StateConfig;
use mooseng_core::id::{InodeId, ServerId};
use mooseng_core::namespace::{Answer, AttrChange, Caller, Name, Op, RenameMode};

fn name(name: &str) -> Name {
    Name::new(name.as_bytes().to_vec()).unwrap()
}

fn ops() -> Vec<Op> {
    let parent = InodeId::ROOT;
    let slot = parent.slot();
    let directory = InodeId::new(0, mooseng_core::id::IdKind::Directory, slot, 2).unwrap();
    let file = InodeId::new(0, mooseng_core::id::IdKind::File, slot, 3).unwrap();
    let rename = |mode, to: &str| Op::Rename {
        source_parent: parent,
        source_name: name("f"),
        target_parent: directory,
        target_name: name(to),
        mode,
    };
    let change = AttrChange { size: Some(5), uid: Some(9), ..Default::default() };
    vec![
        Op::Mkdir { parent, name: name("d"), mode: 0o755, uid: 1, gid: 2 },
        Op::Create { parent, name: name("f"), mode: 0o644, uid: 1, gid: 2 },
        Op::Create { parent, name: name("f"), mode: 0o644, uid: 1, gid: 2 },
        Op::Link { inode: file, parent: directory, name: name("g") },
        Op::SetAttr { inode: file, change },
        rename(RenameMode::Keep, "g"),
        rename(RenameMode::Replace, "h"),
        rename(RenameMode::Exchange, "h"),
        Op::Rmdir { parent, name: name("d") },
        Op::Unlink { parent: directory, name: name("g") },
        Op::Unlink { parent: directory, name: name("h") },
        Op::Rmdir { parent, name: name("d") },
        Op::SetAttr { inode: directory, change: AttrChange::default() },
    ]
}

fn line(reply: &Reply) -> String {
    match reply {
        Reply::Outcome { outcome: Ok(Answer::Attr(attr)), .. } => format!(
            "{:?} mode {:o} links {} size {} owner {}.{} times {} {} {} version {}",
            attr.inode,
            attr.mode,
            attr.links,
            attr.size,
            attr.uid,
            attr.gid,
            attr.atime.0,
            attr.mtime.0,
            attr.ctime.0,
            attr.version
        ),
        Reply::Outcome { outcome, .. } => format!("{outcome:?}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_transcript_is_pinned() {
    let mut shard = Shard::new(StateConfig::default());
    let session = shard.session;
    let mut kinds: Vec<CommandKind> = (1..)
        .zip(ops())
        .map(|(sequence, op)| {
            let slot = op.slot();
            CommandKind::Mutate { session, sequence, low_water: 1, slot, op, caller: Caller::ROOT }
        })
        .collect();
    kinds.push(CommandKind::AllotReplica { server: ServerId(3), nonce: [5; 16] });
    kinds.push(CommandKind::CloseSession { session });
    kinds.push(CommandKind::Collect {
        orphans: vec![InodeId::new(0, mooseng_core::id::IdKind::File, InodeId::ROOT.slot(), 3).unwrap()],
    });
    let mut lines = Vec::new();
    for (index, kind) in (2..).zip(kinds) {
        let applied = apply(&mut shard.state, index, &command(10 * index as i64, kind));
        let hash = (shard.state.hash() >> 96) as u32;
        lines.push(format!("{index} {hash:08x} {}", line(&applied.reply)));
    }
    let transcript = lines.join("\n");
    assert_eq!(transcript, PINNED.trim(), "\n{transcript}");
}

const PINNED: &str = "
2 6c0e8818 d2@0.1317 mode 755 links 2 size 0 owner 1.2 times 20 20 20 version 1
3 9a8edf2f f3@0.1317 mode 644 links 1 size 0 owner 1.2 times 30 30 30 version 1
4 6facbd08 Err(Exists)
5 a6a26d3f f3@0.1317 mode 644 links 2 size 0 owner 1.2 times 30 30 50 version 2
6 386259d5 f3@0.1317 mode 644 links 2 size 5 owner 9.2 times 30 60 60 version 3
7 6549683b Err(Exists)
8 c41894a0 Ok(Done)
9 d6350ee4 Err(NotFound)
10 317e4f99 Err(NotEmpty)
11 1aa04e5d Ok(Done)
12 4db34c77 Ok(Done)
13 34f3bb86 Ok(Done)
14 ba2f5f10 Err(Stale)
15 f51d0dac Replica { replica: r1000 }
16 45d4ea62 Done
17 a8b4cea6 Done
";
