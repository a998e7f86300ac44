//! Commands there and back, and what is no command.

use super::{Command, CommandKind, DecodeError};
use bytes::Bytes;
use mooseng_core::chance::{self, Dice};
use mooseng_core::class::StorageClass;
use mooseng_core::id::{InodeId, ServerId, SessionId, SliceId};
use mooseng_core::namespace::{
    AttrChange, Caller, FileExtent, FileKind, Name, NewSlice, NewTime, Op, RenameMode, Target, XattrMode,
    XattrName,
};
use mooseng_core::time::{Stamp, WallTime};
use mooseng_net::proto::log as proto;
use prost::Message;

fn name(name: &str) -> Name {
    Name::new(name.as_bytes().to_vec()).unwrap()
}

fn xattr(name: &'static str) -> XattrName {
    XattrName::new(name).unwrap()
}

#[expect(clippy::too_many_lines, reason = "one of each kind there is")]
fn every_kind() -> Vec<CommandKind> {
    let parent = InodeId::ROOT;
    let inode = InodeId::from_raw(77).unwrap();
    let change = AttrChange {
        size: Some(9),
        mtime: Some(NewTime::At(WallTime(-9))),
        atime: Some(NewTime::Now),
        by_handle: true,
        ..Default::default()
    };
    let slice = SliceId::from_raw(78).unwrap();
    let extent = FileExtent { offset: 1 << 50, length: 7, slice, slice_offset: 3 };
    let parts = vec![Some(ServerId(4)), None];
    let info = NewSlice { slice, class: StorageClass::default(), length: 10, parts };
    let rename = |mode| Op::Rename {
        source_parent: parent,
        source_name: name("a"),
        target_parent: parent,
        target_name: name("b"),
        mode,
    };
    let ops = [
        Op::Mkdir { parent, name: name("d"), mode: 0o1777, uid: 1, gid: u32::MAX },
        Op::Create { parent, name: name("f"), mode: 0, uid: 0, gid: 0 },
        Op::Unlink { parent, name: name("f") },
        Op::Rmdir { parent, name: name("d") },
        rename(RenameMode::Replace),
        rename(RenameMode::Keep),
        rename(RenameMode::Exchange),
        Op::Link { inode, parent, name: name("l") },
        Op::SetAttr { inode, change },
        Op::GrantSlices { inode, count: 9 },
        Op::AbandonSlices { slices: vec![slice] },
        Op::Commit { inode, slices: vec![info.clone()], extents: vec![extent], mtime: WallTime(-1) },
        Op::Compact { inode, replaced: vec![extent, extent], slices: vec![info], extents: vec![extent] },
        Op::Punch { inode, offset: u64::MAX, length: 1 },
        Op::SetClass { inode, class: StorageClass::default() },
        Op::SetXattr {
            inode,
            name: xattr("user.a"),
            value: Bytes::from_static(b"v"),
            mode: XattrMode::Create,
        },
        Op::RemoveXattr { inode, name: xattr("trusted.b") },
        Op::Symlink { parent, name: name("s"), target: Target::new(&b"../x"[..]).unwrap(), uid: 1, gid: 2 },
        Op::Mknod {
            parent,
            name: name("n"),
            kind: FileKind::CharDevice,
            mode: 0o600,
            rdev: 259,
            uid: 1,
            gid: 2,
        },
    ];
    let mutate = |op: Op| CommandKind::Mutate {
        session: SessionId(3),
        sequence: u64::MAX,
        low_water: 0,
        slot: op.slot(),
        op,
        caller: Caller { uid: 7, gid: 8, groups: vec![9, u32::MAX] },
    };
    let mut kinds = vec![
        CommandKind::Noop,
        CommandKind::OpenSession { nonce: [7; 16], caches: false },
        CommandKind::OpenSession { nonce: [7; 16], caches: true },
        CommandKind::CloseSession { session: SessionId(u64::MAX) },
        CommandKind::ExpireSessions { sessions: vec![] },
        CommandKind::ExpireSessions { sessions: vec![SessionId(1), SessionId(2)] },
        CommandKind::SetCaching { sessions: vec![SessionId(1), SessionId(2)], caches: true },
        CommandKind::SetCaching { sessions: vec![SessionId(3)], caches: false },
        CommandKind::Collect { orphans: vec![inode, InodeId::from_raw(78).unwrap()] },
        CommandKind::AllotReplica { server: ServerId(8), nonce: [9; 16] },
        CommandKind::RegisterServer { server: ServerId(8), address: "a:1".into(), rack: "".into() },
        CommandKind::RetireServer { server: ServerId(8) },
        CommandKind::ForgetSlices { slices: vec![slice] },
        CommandKind::MovePart { slice, index: 63, source: None, target: Some(ServerId(1)) },
    ];
    kinds.extend(ops.map(mutate));
    kinds
}

fn command(kind: CommandKind) -> Command {
    Command { time: WallTime(i64::MIN), stamp: Stamp(u64::MAX), region: 63, kind }
}

#[test]
fn every_command_comes_back() {
    for kind in every_kind() {
        let sent = command(kind);
        assert_eq!(Command::decode(sent.encode()), Ok(sent));
    }
}

fn refused(change: impl FnOnce(&mut proto::CommandRecord)) -> String {
    let sound = command(CommandKind::OpenSession { nonce: [7; 16], caches: false });
    let mut record = proto::CommandRecord::decode(sound.encode()).unwrap();
    change(&mut record);
    Command::decode(Bytes::from(record.encode_to_vec())).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_is_called_by_its_name() {
    use proto::command_record::Kind;
    let wrong = refused(|record| record.region = 64);
    assert_eq!(wrong, "a damaged command: command.region: 64 is not below 64");
    let wrong = refused(|record| record.format = 0);
    assert_eq!(wrong, "a damaged command: command.format: counts from 1, and is 0");
    let short = proto::OpenSessionCommand { nonce: Bytes::from_static(b"short") };
    let wrong = refused(|record| record.kind = Some(Kind::OpenSession(short)));
    assert_eq!(wrong, "a damaged command: open_session.nonce: a nonce has 16 bytes, not 5");
    let wrong = refused(|record| record.kind = Some(Kind::Mutate(proto::MutateCommand::default())));
    assert_eq!(wrong, "a damaged command: mutate.session: no session has number 0");
}

#[test]
fn what_a_newer_build_wrote_stops_a_replica_and_says_so() {
    let wrong = refused(|record| record.format = 2);
    assert_eq!(wrong, "a command of a newer version (format 2, this build knows 1): upgrade this server");
    let wrong = refused(|record| record.kind = None);
    assert_eq!(wrong, "a command of a newer version (of an unknown kind): upgrade this server");
}

#[test]
fn rubbish_is_an_error_and_never_a_panic() {
    let mut dice = chance::stream(1, "rubbish commands", 0, 0);
    let kinds = every_kind();
    let (mut sound, mut damaged) = (0, 0);
    for _ in 0..5_000 {
        let mut bytes = command(dice.pick(&kinds).clone()).encode().to_vec();
        for _ in 0..dice.between(1, 3) {
            let at = dice.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << dice.below(8);
        }
        bytes.truncate(dice.between(1, 2 * bytes.len() as u64) as usize);
        match Command::decode(Bytes::from(bytes)) {
            // What is read from damaged bytes is still a command that can be applied and written.
            Ok(command) => sound += u32::from(Command::decode(command.encode()) == Ok(command)),
            Err(DecodeError::Malformed(_)) => damaged += 1,
            Err(DecodeError::Newer(_)) => {}
        }
    }
    assert!(sound > 500 && damaged > 500, "{sound} sound, {damaged} damaged");
}
