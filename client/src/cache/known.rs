//! What is known of one inode, and the answers that can be given from it. Whether it may still be believed
//! is not known here.

use super::directory::Directory;
use bytes::Bytes;
use mooseng_core::namespace::{
    Access, Answer, Attr, Caller, Op, Outcome, Refusal, Rights, Target, XattrName, XattrSpace,
};
use std::collections::BTreeMap;

/// What an inode costs, in bytes, with nothing but attributes known.
const INODE_BYTES: usize = 400;
/// What an extended attribute costs beside its name and value.
const XATTR_BYTES: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Known {
    /// The greatest log index of the answers that it is made of: it is true there, and since.
    pub(super) index: u64,
    attr: Option<Attr>,
    /// What the attributes say of permissions, also while the rest of them may be changing.
    rights: Option<Rights>,
    pub(super) directory: Option<Box<Directory>>,
    target: Option<Target>,
    xattrs: Option<Box<Xattrs>>,
}

#[derive(Debug, Default)]
struct Xattrs {
    /// `None`: not there.
    values: BTreeMap<XattrName, Option<Bytes>>,
    /// All there are, and all that anybody but root may know of.
    names: Option<Vec<XattrName>>,
    names_of_others: Option<Vec<XattrName>>,
    bytes: usize,
}

impl Known {
    pub(super) fn bytes(&self) -> usize {
        let target = self.target.as_ref().map_or(0, |target| target.as_bytes().len());
        let directory = self.directory.as_ref().map_or(0, |directory| directory.bytes());
        INODE_BYTES + target + directory + self.xattrs.as_ref().map_or(0, |xattrs| xattrs.bytes)
    }

    pub(super) fn attr(&self) -> Option<Attr> {
        self.attr
    }

    pub(super) fn learn_attr(&mut self, attr: &Attr) {
        (self.attr, self.rights) = (Some(*attr), Some(attr.into()));
    }

    /// May the caller do this with it? `None` if that is not known.
    pub(super) fn may(&self, caller: &Caller, access: Access) -> Option<Result<(), Refusal>> {
        match self.rights {
            Some(rights) => Some(rights.may(caller, access)),
            // Of a directory root may do everything.
            None => (self.directory.is_some() && caller.is_root()).then_some(Ok(())),
        }
    }

    /// A change of our own is about to be sent that touches it: what it may change is not known any more.
    pub(super) fn doubt(&mut self, op: &Op) {
        self.attr = None;
        match op {
            Op::SetAttr { .. } => self.rights = None,
            Op::SetXattr { .. } | Op::RemoveXattr { .. } => self.xattrs = None,
            _ => {}
        }
    }

    pub(super) fn directory(&mut self) -> &mut Directory {
        self.directory.get_or_insert_default()
    }

    pub(super) fn target(&self) -> Option<Outcome> {
        self.target.clone().map(|target| Ok(Answer::Target(target)))
    }

    pub(super) fn learn_target(&mut self, target: &Target) {
        self.target = Some(target.clone());
    }

    /// It was just made: it has no extended attribute, a directory no entry.
    pub(super) fn learn_made(&mut self, by: &Op) {
        let xattrs = self.xattrs.get_or_insert_default();
        (xattrs.names, xattrs.names_of_others) = (Some(Vec::new()), Some(Vec::new()));
        match by {
            Op::Mkdir { .. } => self.directory = Some(Box::new(Directory::empty())),
            Op::Symlink { target, .. } => self.learn_target(target),
            _ => {}
        }
    }

    pub(super) fn learn_xattr(&mut self, caller: &Caller, name: &XattrName, value: Option<Bytes>) {
        // To others it is said of these that they are not there.
        if name.space() == XattrSpace::Trusted && !caller.is_root() {
            return;
        }
        let xattrs = self.xattrs.get_or_insert_default();
        let bytes = name.as_bytes().len() + value.as_ref().map_or(0, Bytes::len) + XATTR_BYTES;
        if xattrs.values.insert(name.clone(), value).is_none() {
            xattrs.bytes += bytes;
        }
    }

    pub(super) fn learn_xattr_names(&mut self, caller: &Caller, names: &[XattrName]) {
        let xattrs = self.xattrs.get_or_insert_default();
        let bytes: usize = names.iter().map(|name| name.as_bytes().len() + XATTR_BYTES).sum();
        let others = names.iter().filter(|name| name.space() != XattrSpace::Trusted).cloned().collect();
        if xattrs.names.is_none() && xattrs.names_of_others.is_none() {
            xattrs.bytes += 2 * bytes;
        }
        xattrs.names_of_others = Some(others);
        if caller.is_root() {
            xattrs.names = Some(names.to_vec());
        }
    }

    pub(super) fn xattr(&self, caller: &Caller, name: &XattrName) -> Option<Outcome> {
        let rights = self.rights?;
        if let Err(refusal) = rights.may_get_xattr(caller, name) {
            return Some(Err(refusal));
        }
        let xattrs = self.xattrs.as_ref()?;
        match xattrs.values.get(name) {
            Some(Some(value)) => Some(Ok(Answer::Value(value.clone()))),
            Some(None) => Some(Err(Refusal::NoAttribute)),
            None => {
                let known = match name.space() {
                    XattrSpace::Trusted => &xattrs.names,
                    XattrSpace::User | XattrSpace::Security => &xattrs.names_of_others,
                };
                let there = known.as_ref()?.contains(name);
                (!there).then_some(Err(Refusal::NoAttribute))
            }
        }
    }

    pub(super) fn xattr_names(&self, caller: &Caller) -> Option<Outcome> {
        let xattrs = self.xattrs.as_ref()?;
        let names = if caller.is_root() { &xattrs.names } else { &xattrs.names_of_others };
        Some(Ok(Answer::XattrNames(names.clone()?)))
    }
}
