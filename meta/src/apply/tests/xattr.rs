//! Extended attributes: who may, what fits, what is told.

use super::Shard;
use crate::query::query;
use crate::state::{StateConfig, check};
use bytes::Bytes;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{
    Answer, AttrChange, Caller, FileKind, Name, Op, Outcome, Query, Refusal, XattrMode, XattrName,
};

const OTHER: Caller = Caller { uid: 7, gid: 7, groups: Vec::new() };

struct Attributes {
    shard: Shard,
    inode: InodeId,
}

fn name(name: &'static str) -> XattrName {
    XattrName::new(name).unwrap()
}

impl Attributes {
    fn of(kind: FileKind, mode: u16) -> Self {
        let mut shard = Shard::new(StateConfig::default());
        let (parent, file) = (InodeId::ROOT, Name::new(&b"f"[..]).unwrap());
        let make = match kind {
            FileKind::Directory => Op::Mkdir { parent, name: file, mode, uid: 0, gid: 0 },
            kind => Op::Mknod { parent, name: file, kind, mode, rdev: 0, uid: 0, gid: 0 },
        };
        let Ok(Answer::Attr(attr)) = shard.ask(1, make) else { panic!("it is made") };
        Self { shard, inode: attr.inode }
    }

    fn set(&mut self, caller: &Caller, of: &'static str, length: usize, mode: XattrMode) -> Outcome {
        let (inode, value) = (self.inode, Bytes::from(vec![b'v'; length]));
        let outcome = self.shard.ask_as(caller, 2, Op::SetXattr { inode, name: name(of), value, mode });
        assert_eq!(check(&self.shard.state), Ok(()));
        outcome
    }

    fn get(&self, caller: &Caller, of: &'static str) -> Result<usize, Refusal> {
        let asked = Query::GetXattr { inode: self.inode, name: name(of) };
        match query(&self.shard.state, caller, &asked)? {
            Answer::Value(value) => Ok(value.len()),
            other => panic!("{other:?} is no value"),
        }
    }

    fn list(&self, caller: &Caller) -> Vec<XattrName> {
        match query(&self.shard.state, caller, &Query::ListXattr { inode: self.inode }) {
            Ok(Answer::XattrNames(names)) => names,
            other => panic!("{other:?} are no names"),
        }
    }
}

#[test]
fn an_attribute_is_set_read_listed_and_removed() {
    let mut file = Attributes::of(FileKind::Regular, 0o644);
    let root = Caller::ROOT;
    assert_eq!(file.set(&root, "user.a", 3, XattrMode::Replace), Err(Refusal::NoAttribute));
    assert_eq!(file.set(&root, "user.a", 3, XattrMode::Create), Ok(Answer::Done));
    assert_eq!(file.set(&root, "user.a", 4, XattrMode::Create), Err(Refusal::Exists));
    assert_eq!(file.get(&root, "user.a"), Ok(3));
    assert_eq!(file.set(&root, "user.a", 0, XattrMode::Set), Ok(Answer::Done));
    assert_eq!(file.get(&root, "user.a"), Ok(0), "a value may be empty");
    assert_eq!(file.list(&root), [name("user.a")]);
    assert_eq!(file.shard.state.attr(file.inode).unwrap().ctime.0, 2);
    let remove = Op::RemoveXattr { inode: file.inode, name: name("user.a") };
    assert_eq!(file.shard.ask(3, remove.clone()), Ok(Answer::Done));
    assert_eq!(file.shard.ask(4, remove), Err(Refusal::NoAttribute));
    assert_eq!(file.list(&root), []);
}

#[test]
fn who_may_depends_on_the_namespace() {
    let mut file = Attributes::of(FileKind::Regular, 0o644);
    for of in ["user.a", "trusted.a", "security.a"] {
        assert_eq!(file.set(&Caller::ROOT, of, 1, XattrMode::Set), Ok(Answer::Done));
    }
    assert_eq!(file.set(&OTHER, "user.a", 2, XattrMode::Set), Err(Refusal::AccessDenied));
    assert_eq!(file.set(&OTHER, "trusted.a", 2, XattrMode::Set), Err(Refusal::NotPermitted));
    assert_eq!(file.set(&OTHER, "security.a", 2, XattrMode::Set), Err(Refusal::NotPermitted));
    assert_eq!((file.get(&OTHER, "user.a"), file.get(&OTHER, "security.a")), (Ok(1), Ok(1)));
    assert_eq!(file.get(&OTHER, "trusted.a"), Err(Refusal::NoAttribute));
    assert_eq!(file.list(&OTHER), [name("security.a"), name("user.a")]);
    let change = AttrChange { mode: Some(0o600), ..AttrChange::default() };
    file.shard.ask(3, Op::SetAttr { inode: file.inode, change }).unwrap();
    assert_eq!(file.get(&OTHER, "user.a"), Err(Refusal::AccessDenied));

    let mut sticky = Attributes::of(FileKind::Directory, 0o1777);
    assert_eq!(sticky.set(&OTHER, "user.a", 1, XattrMode::Set), Err(Refusal::NotPermitted));
    let mut fifo = Attributes::of(FileKind::Fifo, 0o666);
    assert_eq!(fifo.set(&Caller::ROOT, "user.a", 1, XattrMode::Set), Err(Refusal::NotPermitted));
    assert_eq!(fifo.get(&Caller::ROOT, "user.a"), Err(Refusal::NoAttribute));
}

#[test]
fn so_much_fits_and_no_more() {
    let mut file = Attributes::of(FileKind::Regular, 0o644);
    let root = Caller::ROOT;
    assert_eq!(file.set(&root, "user.a", 65_537, XattrMode::Set), Err(Refusal::TooBig));
    assert_eq!(file.set(&root, "user.a", 65_536, XattrMode::Set), Ok(Answer::Done));
    let left = 131_072 - 65_536 - 2 * "user.a".len() - 2;
    assert_eq!(file.set(&root, "user.b", left + 1, XattrMode::Set), Err(Refusal::NoSpace));
    assert_eq!(file.set(&root, "user.b", left, XattrMode::Set), Ok(Answer::Done));
    assert_eq!(
        file.set(&root, "user.a", 65_536, XattrMode::Set),
        Ok(Answer::Done),
        "it makes room for itself"
    );
    let (parent, file_name) = (InodeId::ROOT, Name::new(&b"f"[..]).unwrap());
    file.shard.ask(9, Op::Unlink { parent, name: file_name }).unwrap();
    file.shard.collect();
    assert_eq!(file.shard.state.xattrs.len(), 0, "they go with the file");
}
