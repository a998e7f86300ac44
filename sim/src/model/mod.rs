//! The reference file system: small, slow, and meant to be obviously right. It shares the
//! vocabulary of the namespace with the system and nothing else: no data structure, no rule.
//!
//! Link counts and parents are counted afresh from the names whenever they are asked for, so they
//! cannot go wrong here. Three things it does not predict, because the system chooses them, and
//! only holds the system to what it said before:
//!
//! - inode numbers: learned from the first answer that shows them, never to be used twice;
//! - cookies of a listing: learned likewise, fixed while their entry lives, and ascending;
//! - times and versions: what a change must touch grows (version) or becomes unknown (times) until
//!   it is seen again; what it must not touch stays exactly as it was seen. The size of a directory
//!   is not compared at all.
//!
//! It counts how many numbers each slot has given out, though, for they come to an end.
//!
//! Where several reasons to refuse hold at once, POSIX leaves the choice open and so does this.

pub mod contents;
mod data;
mod listing;
mod orphan;
mod permission;
mod rules;
mod shown;
pub mod together;
mod tree;
mod xattr;

#[cfg(test)]
pub(crate) mod agreement;
#[cfg(test)]
mod tests;

pub use tree::{Tree, TreeEntry};

use bytes::Bytes;
use data::{Layer, Slices};
use mooseng_core::class::StorageClass;
use mooseng_core::id::{InodeId, SessionId, Slot};
use mooseng_core::namespace::{
    Answer, Caller, FileKind, Name, Op, Outcome, Query, Refusal, Target, XattrName,
};
use shown::Shown;
use std::collections::BTreeMap;
use std::fmt;

/// Tells the operations of one history apart, and with that the inodes they made: an inode has its
/// maker's number long before anybody has seen its id. Number 0 is the root's.
pub type Maker = u64;

const ROOT: Maker = 0;
/// What an inode keeps of a mode.
const MODE_MASK: u16 = 0o7777;

/// What the model would have answered, where the system's answer cannot be right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// It had to be refused, for one of these reasons.
    Refused(Vec<Refusal>),
    /// It had to be carried out.
    CarriedOut,
    /// It was carried out and the answer shows something that cannot be.
    Shown(String),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::Refused(reasons) => {
                let reasons: Vec<String> = reasons.iter().map(Refusal::to_string).collect();
                write!(f, "a refusal ({})", reasons.join(", or "))
            }
            Expected::CarriedOut => f.write_str("that it is carried out"),
            Expected::Shown(what) => f.write_str(what),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Entry {
    child: Maker,
    cookie: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Node {
    /// Unknown until an answer has shown it.
    id: Option<InodeId>,
    kind: FileKind,
    mode: u16,
    uid: u32,
    gid: u32,
    /// Of a device.
    rdev: u32,
    size: u64,
    class: StorageClass,
    /// What a symbolic link says.
    target: Option<Target>,
    shown: Shown,
    /// Of a directory.
    entries: BTreeMap<Name, Entry>,
    /// Of a file, the oldest first.
    layers: Vec<Layer>,
    xattrs: BTreeMap<XattrName, Bytes>,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Model {
    nodes: BTreeMap<Maker, Node>,
    /// Every id ever shown, those of inodes that are gone included.
    ids: BTreeMap<InodeId, Maker>,
    limits: Limits,
    /// How many inodes each slot has given a number, whatever became of them.
    numbers: BTreeMap<Slot, u64>,
    slices: Slices,
}

/// What a file system runs out of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Limits {
    /// The most names an inode may have.
    pub links_max: u32,
    /// How many inodes a slot has numbers for.
    pub numbers_max: u64,
}

/// Numbers without end.
impl From<u32> for Limits {
    fn from(links_max: u32) -> Self {
        Self { links_max, numbers_max: u64::MAX }
    }
}

impl Model {
    /// A file system that holds a root directory, which is root's.
    pub fn new(limits: impl Into<Limits>) -> Self {
        let (nodes, ids, numbers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut model = Self { nodes, ids, limits: limits.into(), numbers, slices: Slices::default() };
        model.nodes.insert(ROOT, Node::new(FileKind::Directory, 0o755, 0, 0));
        model.name(ROOT, InodeId::ROOT);
        model
    }

    /// An operation of root's took effect now, of whichever session had the right to it. `observed` is
    /// what the system answered, if anybody heard it. After an error the model is of no further use.
    pub fn carry_out(
        &mut self,
        maker: Maker,
        operation: &Op,
        observed: Option<&Outcome>,
    ) -> Result<(), Expected> {
        self.carry_out_of(None, &Caller::ROOT, maker, operation, observed)
    }

    /// The same, of a session and in somebody's name.
    pub fn carry_out_of(
        &mut self,
        session: Option<SessionId>,
        caller: &Caller,
        maker: Maker,
        operation: &Op,
        observed: Option<&Outcome>,
    ) -> Result<(), Expected> {
        assert!(!self.nodes.contains_key(&maker), "operation {maker} is carried out twice");
        let reasons = self.refusals(session, caller, operation);
        if self.vanishes(&operation.inodes(), &reasons, observed) {
            return Ok(());
        }
        if !reasons.is_empty() {
            return match observed {
                None => Ok(()),
                Some(Err(reason)) if reasons.contains(reason) => Ok(()),
                Some(_) => Err(Expected::Refused(reasons)),
            };
        }
        if observed == Some(&Err(Refusal::NotPending)) && self.may_be_committed(operation) {
            return Ok(());
        }
        let named = operation.inodes().into_iter().flatten().filter_map(|inode| self.find(inode));
        let unseen = observed.is_none() && named.into_iter().any(|node| self.is_orphan(node));
        let before = unseen.then(|| self.slices.clone());
        let showing = self.change(maker, caller, operation);
        if let Some(before) = before {
            self.doubt_slices(operation, &before);
        }
        if let Op::GrantSlices { inode, count } = operation {
            return match observed {
                None => Ok(()),
                Some(Ok(Answer::Slices { first, count: granted })) if granted == count => {
                    self.show_granted(session, *inode, (*first, *count))
                }
                Some(_) => Err(Expected::Shown(format!("{count} slices"))),
            };
        }
        match (observed, showing) {
            (None, _) | (Some(Ok(Answer::Done)), None) => Ok(()),
            (Some(Err(_)), _) => Err(Expected::CarriedOut),
            (Some(Ok(Answer::Attr(attr))), Some(node)) => self.show(node, attr),
            (Some(Ok(_)), _) => Err(Expected::Shown("an answer of the kind this operation has".to_owned())),
        }
    }

    /// A question of root's was answered from the state as it is now.
    pub fn answer(&mut self, query: &Query, observed: &Outcome) -> Result<(), Expected> {
        self.answer_as(&Caller::ROOT, query, observed)
    }

    /// A question of somebody's was answered.
    pub fn answer_as(&mut self, caller: &Caller, query: &Query, observed: &Outcome) -> Result<(), Expected> {
        let reasons = self.refusals_of_query(caller, query);
        if self.vanishes(&[Some(query.inode())], &reasons, Some(observed)) {
            return Ok(());
        }
        if !reasons.is_empty() {
            return match observed {
                Err(reason) if reasons.contains(reason) => Ok(()),
                _ => Err(Expected::Refused(reasons)),
            };
        }
        match (query, observed) {
            (_, Err(_)) => Err(Expected::CarriedOut),
            (Query::Lookup { parent, name }, Ok(Answer::Attr(attr))) => {
                let child = self.child(self.live(*parent), name);
                self.show(child.expect("a missing name is refused"), attr)
            }
            (Query::GetAttr { inode } | Query::Access { inode, .. }, Ok(Answer::Attr(attr))) => {
                self.show(self.live(*inode), attr)
            }
            (Query::ReadLink { inode }, Ok(Answer::Target(target))) => {
                match &self.nodes[&self.live(*inode)].target {
                    Some(said) if said == target => Ok(()),
                    said => Err(Expected::Shown(format!("{said:?}"))),
                }
            }
            (Query::ReadDir { directory, cookie, limit }, Ok(Answer::Entries { entries, end })) => {
                self.list(self.live(*directory), *cookie, *limit, entries, *end)
            }
            (Query::GetXattr { inode, name }, Ok(Answer::Value(value))) => {
                self.show_xattr(self.live(*inode), name, value)
            }
            (Query::ListXattr { inode }, Ok(Answer::XattrNames(names))) => {
                self.show_xattr_names(caller, self.live(*inode), names)
            }
            (Query::Map { inode, offset, length }, Ok(Answer::Map { attr, extents, slices, end })) => {
                self.show_map((*inode, *offset, *length), attr, (extents, slices, *end))
            }
            _ => Err(Expected::Shown("an answer of the kind this question has".to_owned())),
        }
    }

    /// A directory that was there before the history begins, hanging under no name of it.
    pub fn adopt(&mut self, maker: Maker, operation: &Op, observed: &Outcome) -> Result<(), Expected> {
        let (Op::Mkdir { .. }, Ok(Answer::Attr(attr))) = (operation, observed) else {
            return Err(Expected::Shown("the making of a directory".to_owned()));
        };
        let node = Node::new(FileKind::Directory, attr.mode, attr.uid, attr.gid);
        // Class, group and mode depend on a parent that is not looked at here.
        self.nodes.insert(maker, Node { class: attr.class, ..node });
        self.show(maker, attr)
    }

    /// 128 bits that stand for the whole state: what a search remembers it by.
    pub fn fingerprint(&self) -> u128 {
        struct Feed(blake3::Hasher);
        impl std::hash::Hasher for Feed {
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
            fn finish(&self) -> u64 {
                unreachable!("the whole hash is taken, not 64 bits of it")
            }
        }
        let mut feed = Feed(blake3::Hasher::new());
        std::hash::Hash::hash(self, &mut feed);
        let hash = feed.0.finalize();
        u128::from_le_bytes(std::array::from_fn(|index| hash.as_bytes()[index]))
    }

    /// Who made the inode with this id, if it still exists.
    fn find(&self, id: InodeId) -> Option<Maker> {
        self.ids.get(&id).copied().filter(|maker| self.nodes.contains_key(maker))
    }

    fn live(&self, id: InodeId) -> Maker {
        self.find(id).expect("what is gone was refused before")
    }

    fn child(&self, directory: Maker, name: &Name) -> Option<Maker> {
        self.nodes[&directory].entries.get(name).map(|entry| entry.child)
    }

    fn is_directory(&self, node: Maker) -> bool {
        self.nodes[&node].kind == FileKind::Directory
    }

    /// A file's names, or 2 and the subdirectories of a directory: `.` in itself, its name in its
    /// parent, and `..` in each of them.
    fn links(&self, node: Maker) -> u32 {
        let count = if self.is_directory(node) {
            2 + self.nodes[&node].entries.values().filter(|entry| self.is_directory(entry.child)).count()
        } else {
            let everywhere = self.nodes.values().flat_map(|other| other.entries.values());
            everywhere.filter(|entry| entry.child == node).count()
        };
        u32::try_from(count).expect("a model holds few names")
    }

    fn parent(&self, node: Maker) -> Option<Maker> {
        let holds = |other: &Node| other.entries.values().any(|entry| entry.child == node);
        self.nodes.iter().find(|(_, other)| holds(other)).map(|(maker, _)| *maker)
    }

    /// Does `node` lie in the tree under `above`, or is it `above` itself?
    fn lies_under(&self, node: Maker, above: Maker) -> bool {
        let mut at = Some(node);
        while let Some(here) = at {
            if here == above {
                return true;
            }
            at = self.parent(here);
        }
        false
    }

    fn name(&mut self, node: Maker, id: InodeId) {
        let before = self.ids.insert(id, node);
        assert!(before.is_none(), "{id:?} was given out twice");
        self.nodes.get_mut(&node).expect("only what exists is named").id = Some(id);
    }
}

impl Node {
    fn new(kind: FileKind, mode: u16, uid: u32, gid: u32) -> Self {
        Self {
            id: None,
            kind,
            mode: mode & MODE_MASK,
            uid,
            gid,
            rdev: 0,
            size: 0,
            class: StorageClass::default(),
            target: None,
            shown: Shown::default(),
            entries: BTreeMap::new(),
            layers: Vec::new(),
            xattrs: BTreeMap::new(),
        }
    }
}
