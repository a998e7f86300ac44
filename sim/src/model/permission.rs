//! Who may do what, as POSIX says it: every reason to refuse, whichever Linux finds first.

use super::{MODE_MASK, Maker, Model, Node};
use mooseng_core::namespace::{AttrChange, Caller, FileKind, NewTime, Op, Refusal};

pub(super) const READ: u16 = 4;
pub(super) const WRITE: u16 = 2;
const SEARCH: u16 = 1;

impl Model {
    fn grants(&self, caller: &Caller, node: Maker, wanted: u16) -> bool {
        let node = &self.nodes[&node];
        let everybody = [node.mode >> 6 & 7, node.mode >> 3 & 7, node.mode & 7];
        if caller.uid == 0 {
            let runs = node.kind == FileKind::Directory || everybody.iter().any(|class| class & SEARCH != 0);
            return wanted & SEARCH == 0 || runs;
        }
        let class = match () {
            () if caller.uid == node.uid => 0,
            () if caller.gid == node.gid || caller.groups.contains(&node.gid) => 1,
            () => 2,
        };
        everybody[class] & wanted == wanted
    }

    pub(super) fn unless_granted(&self, caller: &Caller, node: Maker, wanted: u16) -> Vec<Refusal> {
        if self.grants(caller, node, wanted) { vec![] } else { vec![Refusal::AccessDenied] }
    }

    pub(super) fn access_refusals(&self, caller: &Caller, node: Maker, bits: u8) -> Vec<Refusal> {
        self.unless_granted(caller, node, u16::from(bits))
    }

    pub(super) fn search_refusals(&self, caller: &Caller, directory: Maker) -> Vec<Refusal> {
        self.unless_granted(caller, directory, SEARCH)
    }

    pub(super) fn list_refusals(&self, caller: &Caller, directory: Maker) -> Vec<Refusal> {
        self.unless_granted(caller, directory, READ)
    }

    /// A name is put into the directory.
    pub(super) fn add_refusals(&self, caller: &Caller, directory: Maker) -> Vec<Refusal> {
        self.unless_granted(caller, directory, WRITE | SEARCH)
    }

    /// A name of this inode is taken out of the directory.
    pub(super) fn take_refusals(&self, caller: &Caller, directory: Maker, child: Maker) -> Vec<Refusal> {
        let mut reasons = self.add_refusals(caller, directory);
        let (above, below) = (&self.nodes[&directory], &self.nodes[&child]);
        if above.mode & 0o1000 != 0 && ![0, above.uid, below.uid].contains(&caller.uid) {
            reasons.push(Refusal::NotPermitted);
        }
        reasons
    }

    /// A directory comes into another one: its `..` is written.
    pub(super) fn move_refusals(&self, caller: &Caller, node: Maker) -> Vec<Refusal> {
        if self.is_directory(node) { self.unless_granted(caller, node, WRITE) } else { vec![] }
    }

    /// Something is made for somebody.
    pub(super) fn own_refusals(caller: &Caller, uid: u32, gid: u32) -> Vec<Refusal> {
        let own = caller.uid == uid && (caller.gid == gid || caller.groups.contains(&gid));
        if caller.uid == 0 || own { vec![] } else { vec![Refusal::NotPermitted] }
    }

    pub(super) fn change_refusals(&self, caller: &Caller, node: Maker, change: &AttrChange) -> Vec<Refusal> {
        let mut reasons = Vec::new();
        let held = &self.nodes[&node];
        if caller.uid == 0 {
            return reasons;
        }
        let owner = caller.uid == held.uid;
        let times = [change.atime, change.mtime];
        let chosen = times.iter().any(|time| matches!(time, Some(NewTime::At(_))));
        let foreign_group = |gid: u32| gid != held.gid && caller.gid != gid && !caller.groups.contains(&gid);
        let owners_only = change.mode.is_some() || change.uid.is_some() || change.gid.is_some() || chosen;
        if (owners_only && !owner)
            || change.uid.is_some_and(|uid| uid != held.uid)
            || change.gid.is_some_and(foreign_group)
        {
            reasons.push(Refusal::NotPermitted);
        }
        let touched = times.contains(&Some(NewTime::Now)) && !owner;
        if (touched || change.size.is_some()) && !change.by_handle {
            reasons.extend(self.unless_granted(caller, node, WRITE));
        }
        reasons
    }

    /// How a file is stored is its owner's to choose.
    pub(super) fn owner_refusals(&self, caller: &Caller, operation: &Op) -> Vec<Refusal> {
        let Op::SetClass { inode, .. } = operation else { return vec![] };
        let owned = self.find(*inode).is_none_or(|node| [0, self.nodes[&node].uid].contains(&caller.uid));
        if owned { vec![] } else { vec![Refusal::NotPermitted] }
    }

    /// Data that comes or goes takes the set-id bits along, unless root writes.
    pub(super) fn note_writer(&mut self, caller: &Caller, operation: &Op) {
        if let Op::Commit { inode, .. } | Op::Punch { inode, .. } = operation
            && caller.uid != 0
        {
            let node = self.live(*inode);
            let node = self.node(node);
            node.mode &= if node.mode & 0o0010 == 0 { !0o4000 } else { !0o6000 };
        }
    }

    /// The mode after a change that nothing forbids.
    pub(super) fn mode_after(node: &Node, caller: &Caller, change: &AttrChange) -> u16 {
        let mut mode = change.mode.unwrap_or(node.mode) & MODE_MASK;
        let gid = change.gid.unwrap_or(node.gid);
        let member = caller.uid == 0 || caller.gid == gid || caller.groups.contains(&gid);
        if change.mode.is_some() && !member {
            mode &= !0o2000;
        }
        let given_away = change.uid.is_some() || change.gid.is_some();
        let written = change.size.is_some() && caller.uid != 0;
        if (given_away && node.kind != FileKind::Directory) || written {
            mode &= if mode & 0o0010 == 0 { !0o4000 } else { !0o6000 };
        }
        mode
    }

    /// What is made in a directory with the set-gid bit has its group.
    pub(super) fn inherit(&self, caller: &Caller, directory: Maker, made: &mut Node) {
        let above = &self.nodes[&directory];
        if above.mode & 0o2000 == 0 {
            return;
        }
        made.gid = above.gid;
        let member = caller.uid == 0 || caller.gid == made.gid || caller.groups.contains(&made.gid);
        if made.kind == FileKind::Directory {
            made.mode |= 0o2000;
        } else if !member && made.mode & 0o0010 != 0 {
            made.mode &= !0o2000;
        }
    }
}
