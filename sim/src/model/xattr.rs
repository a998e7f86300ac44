//! Extended attributes: a map for each inode, and who may see and set what in it.

use super::permission::{READ, WRITE};
use super::{Expected, Maker, Model};
use bytes::Bytes;
use mooseng_core::namespace::{Caller, FileKind, Op, Refusal, XattrMode, XattrName};

/// What all attributes of an inode may come to, names with a byte more each.
const ALL_MAX: usize = 131_072;
const VALUE_MAX: usize = 65_536;

fn begins(name: &XattrName, prefix: &str) -> bool {
    name.as_bytes().starts_with(prefix.as_bytes())
}

impl Model {
    fn holds_user_attributes(&self, node: Maker) -> bool {
        matches!(self.nodes[&node].kind, FileKind::Regular | FileKind::Directory)
    }

    pub(super) fn xattr_refusals(&self, caller: &Caller, node: Maker, operation: &Op) -> Vec<Refusal> {
        let (Op::SetXattr { name, .. } | Op::RemoveXattr { name, .. }) = operation else {
            unreachable!("{operation:?} is not about attributes")
        };
        let held = &self.nodes[&node];
        let mut reasons = Vec::new();
        if begins(name, "user.") {
            let sticky = held.kind == FileKind::Directory && held.mode & 0o1000 != 0;
            if !self.holds_user_attributes(node) || (sticky && ![0, held.uid].contains(&caller.uid)) {
                reasons.push(Refusal::NotPermitted);
            }
            reasons.extend(self.unless_granted(caller, node, WRITE));
        } else if caller.uid != 0 {
            reasons.push(Refusal::NotPermitted);
        }
        let there = held.xattrs.get(name);
        match operation {
            Op::SetXattr { value, mode, .. } => {
                match mode {
                    XattrMode::Create if there.is_some() => reasons.push(Refusal::Exists),
                    XattrMode::Replace if there.is_none() => reasons.push(Refusal::NoAttribute),
                    _ => {}
                }
                let others = held.xattrs.iter().filter(|(other, _)| *other != name);
                let bytes = |(name, value): (&XattrName, &Bytes)| name.as_bytes().len() + 1 + value.len();
                let all: usize = others.map(bytes).sum();
                if value.len() > VALUE_MAX {
                    reasons.push(Refusal::TooBig);
                }
                if all + bytes((name, value)) > ALL_MAX {
                    reasons.push(Refusal::NoSpace);
                }
            }
            _ if there.is_none() => reasons.push(Refusal::NoAttribute),
            _ => {}
        }
        reasons
    }

    pub(super) fn change_xattr(&mut self, node: Maker, operation: &Op) {
        let held = self.node(node);
        match operation {
            Op::SetXattr { name, value, .. } => held.xattrs.insert(name.clone(), value.clone()),
            Op::RemoveXattr { name, .. } => held.xattrs.remove(name),
            _ => unreachable!("{operation:?} is not about attributes"),
        };
        held.shown.attributes_change();
    }

    pub(super) fn xattr_hidden(&self, caller: &Caller, node: Maker, name: &XattrName) -> Vec<Refusal> {
        let user = begins(name, "user.");
        let known = match () {
            () if user => self.holds_user_attributes(node),
            () => caller.uid == 0 || !begins(name, "trusted."),
        };
        let mut reasons = Vec::new();
        if !known || !self.nodes[&node].xattrs.contains_key(name) {
            reasons.push(Refusal::NoAttribute);
        }
        if user {
            reasons.extend(self.unless_granted(caller, node, READ));
        }
        reasons
    }

    pub(super) fn show_xattr(&self, node: Maker, name: &XattrName, value: &Bytes) -> Result<(), Expected> {
        let held = self.nodes[&node].xattrs.get(name);
        if held == Some(value) { Ok(()) } else { Err(Expected::Shown(format!("{held:?}"))) }
    }

    pub(super) fn show_xattr_names(
        &self,
        caller: &Caller,
        node: Maker,
        names: &[XattrName],
    ) -> Result<(), Expected> {
        let held = self.nodes[&node].xattrs.keys();
        let seen: Vec<&XattrName> =
            held.filter(|name| caller.uid == 0 || !begins(name, "trusted.")).collect();
        if names.iter().collect::<Vec<_>>() == seen {
            Ok(())
        } else {
            Err(Expected::Shown(format!("the names {seen:?}")))
        }
    }
}
