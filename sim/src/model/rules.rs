//! The rules of POSIX, one function for what forbids an operation and one for what it changes.

use super::{Entry, Maker, Model, Node};
use mooseng_core::id::{IdKind, InodeId, SessionId};
use mooseng_core::namespace::{AttrChange, Caller, FileKind, Name, NewTime, Op, Query, Refusal, RenameMode};

/// An offset in a file is a signed number to applications.
const SIZE_MAX: u64 = i64::MAX as u64;

/// One side of a rename, of which everything exists but perhaps the name.
struct Side {
    parent: Maker,
    child: Option<Maker>,
}

impl Model {
    /// Every reason to refuse this operation; none if it has to be carried out.
    pub(super) fn refusals(
        &self,
        session: Option<SessionId>,
        caller: &Caller,
        operation: &Op,
    ) -> Vec<Refusal> {
        let mut reasons = match operation {
            Op::Mkdir { parent, name, uid, gid, .. }
            | Op::Create { parent, name, uid, gid, .. }
            | Op::Symlink { parent, name, uid, gid, .. }
            | Op::Mknod { parent, name, uid, gid, .. } => {
                self.make_refusals(caller, operation, *parent, name, (*uid, *gid))
            }
            Op::Unlink { parent, name } => self.at_taken(caller, *parent, name, |child| {
                if self.is_directory(child) { vec![Refusal::IsDirectory] } else { vec![] }
            }),
            Op::Rmdir { parent, name } => {
                self.at_taken(caller, *parent, name, |child| match &self.nodes[&child] {
                    node if node.kind != FileKind::Directory => vec![Refusal::NotDirectory],
                    node if !node.entries.is_empty() => vec![Refusal::NotEmpty],
                    _ => vec![],
                })
            }
            Op::Rename { source_parent, source_name, target_parent, target_name, mode } => {
                let mut reasons = self.at_directory(*source_parent, |_| vec![]);
                reasons.extend(self.at_directory(*target_parent, |_| vec![]));
                if reasons.is_empty() {
                    let source = self.side(*source_parent, source_name);
                    let target = self.side(*target_parent, target_name);
                    reasons = self.rename_refusals(&source, &target, *mode);
                    reasons.extend(self.rename_denials(caller, &source, &target, *mode));
                } else {
                    for parent in [source_parent, target_parent].into_iter().filter_map(|id| self.find(*id)) {
                        reasons.extend(self.search_refusals(caller, parent));
                    }
                }
                reasons
            }
            Op::Link { inode, parent, name } => self.link_refusals(caller, *inode, *parent, name),
            Op::SetAttr { inode, change } => match self.find(*inode) {
                None => vec![Refusal::Stale],
                Some(node) if change.size.is_some() && self.is_directory(node) => {
                    let mut reasons = self.change_refusals(caller, node, change);
                    reasons.extend([Refusal::IsDirectory, Refusal::Invalid]);
                    reasons
                }
                Some(node) => {
                    let mut reasons = self.change_refusals(caller, node, change);
                    let regular = self.nodes[&node].kind == FileKind::Regular;
                    if change.size.is_some_and(|size| size > SIZE_MAX || !regular) {
                        reasons.push(Refusal::Invalid);
                    }
                    reasons
                }
            },
            Op::SetXattr { inode, .. } | Op::RemoveXattr { inode, .. } => match self.find(*inode) {
                None => vec![Refusal::Stale],
                Some(node) => self.xattr_refusals(caller, node, operation),
            },
            data => [self.data_refusals(session, data), self.owner_refusals(caller, data)].concat(),
        };
        reasons.sort();
        reasons.dedup();
        reasons
    }

    pub(super) fn refusals_of_query(&self, caller: &Caller, query: &Query) -> Vec<Refusal> {
        match query {
            Query::Lookup { parent, name } => self.at_directory(*parent, |parent| {
                let missing = self.at_child(parent, name, |_| vec![]);
                [self.search_refusals(caller, parent), missing].concat()
            }),
            Query::ReadDir { directory, .. } => {
                self.at_directory(*directory, |directory| self.list_refusals(caller, directory))
            }
            Query::GetAttr { inode } | Query::ReadLink { inode } | Query::Access { inode, .. } => {
                let Some(node) = self.find(*inode) else { return vec![Refusal::Stale] };
                match query {
                    Query::Access { access, .. } => self.access_refusals(caller, node, access.bits()),
                    Query::ReadLink { .. } if self.nodes[&node].target.is_none() => vec![Refusal::Invalid],
                    _ => vec![],
                }
            }
            Query::Map { inode, .. } => self.at_file(*inode),
            Query::GetXattr { inode, name } => match self.find(*inode) {
                None => vec![Refusal::Stale],
                Some(node) => self.xattr_hidden(caller, node, name),
            },
            Query::ListXattr { inode } => {
                if self.find(*inode).is_none() {
                    vec![Refusal::Stale]
                } else {
                    vec![]
                }
            }
        }
    }

    /// Something is made, whatever it is.
    fn make_refusals(
        &self,
        caller: &Caller,
        operation: &Op,
        parent: InodeId,
        name: &Name,
        (uid, gid): (u32, u32),
    ) -> Vec<Refusal> {
        let made_otherwise = |kind: &FileKind| matches!(kind, FileKind::Directory | FileKind::Symlink);
        let mut reasons = self.at_directory(parent, |parent| {
            let mut reasons = self.add_refusals(caller, parent);
            reasons.extend(Self::own_refusals(caller, uid, gid));
            if self.child(parent, name).is_some() {
                reasons.push(Refusal::Exists);
            }
            let directory = matches!(operation, Op::Mkdir { .. });
            if directory && self.links(parent) >= self.limits.links_max {
                reasons.push(Refusal::TooManyLinks);
            }
            if self.numbers.get(&operation.slot()).copied().unwrap_or(0) >= self.limits.numbers_max {
                reasons.push(Refusal::NoSpace);
            }
            reasons
        });
        if matches!(operation, Op::Mknod { kind, .. } if made_otherwise(kind)) {
            reasons.push(Refusal::Invalid);
        }
        reasons
    }

    /// A name is taken out of a directory.
    fn at_taken(
        &self,
        caller: &Caller,
        parent: InodeId,
        name: &Name,
        reasons: impl FnOnce(Maker) -> Vec<Refusal>,
    ) -> Vec<Refusal> {
        self.at_directory(parent, |parent| match self.child(parent, name) {
            None => [vec![Refusal::NotFound], self.search_refusals(caller, parent)].concat(),
            Some(child) => [self.take_refusals(caller, parent, child), reasons(child)].concat(),
        })
    }

    fn rename_denials(
        &self,
        caller: &Caller,
        source: &Side,
        target: &Side,
        mode: RenameMode,
    ) -> Vec<Refusal> {
        let mut reasons = self.search_refusals(caller, source.parent);
        reasons.extend(self.search_refusals(caller, target.parent));
        let Some(moved) = source.child.filter(|moved| target.child != Some(*moved)) else { return reasons };
        reasons.extend(self.take_refusals(caller, source.parent, moved));
        match target.child {
            Some(there) => reasons.extend(self.take_refusals(caller, target.parent, there)),
            None => reasons.extend(self.add_refusals(caller, target.parent)),
        }
        if source.parent != target.parent {
            reasons.extend(self.move_refusals(caller, moved));
            if let (RenameMode::Exchange, Some(there)) = (mode, target.child) {
                reasons.extend(self.move_refusals(caller, there));
            }
        }
        reasons
    }

    /// Something is asked of this directory, which has to be there and to be one. What a number
    /// that is gone once named can still be read from the number.
    fn at_directory(&self, id: InodeId, reasons: impl FnOnce(Maker) -> Vec<Refusal>) -> Vec<Refusal> {
        match self.find(id) {
            None if id.kind() == IdKind::File => vec![Refusal::Stale, Refusal::NotDirectory],
            None => vec![Refusal::Stale],
            Some(node) if !self.is_directory(node) => vec![Refusal::NotDirectory],
            Some(node) => reasons(node),
        }
    }

    fn at_child(
        &self,
        parent: Maker,
        name: &Name,
        reasons: impl FnOnce(Maker) -> Vec<Refusal>,
    ) -> Vec<Refusal> {
        self.child(parent, name).map_or(vec![Refusal::NotFound], reasons)
    }

    fn side(&self, parent: InodeId, name: &Name) -> Side {
        let parent = self.live(parent);
        Side { parent, child: self.child(parent, name) }
    }

    fn rename_refusals(&self, source: &Side, target: &Side, mode: RenameMode) -> Vec<Refusal> {
        let Some(moved) = source.child else { return vec![Refusal::NotFound] };
        let mut reasons = Vec::new();
        match (mode, target.child) {
            (RenameMode::Keep, Some(_)) => reasons.push(Refusal::Exists),
            (RenameMode::Exchange, None) => reasons.push(Refusal::NotFound),
            // Both names are of one inode: rename(2) says that nothing happens.
            (_, Some(there)) if there == moved => return vec![],
            (RenameMode::Replace, Some(there)) => reasons.extend(self.replace_refusals(moved, there)),
            (RenameMode::Keep | RenameMode::Replace, None) | (RenameMode::Exchange, Some(_)) => {}
        }
        if self.lies_under(target.parent, moved) {
            reasons.push(Refusal::Invalid);
        }
        if let Some(there) = target.child
            && self.lies_under(source.parent, there)
        {
            // What is replaced holds the source, so it is not empty, whatever the source is.
            let exchange = mode == RenameMode::Exchange;
            reasons.push(if exchange { Refusal::Invalid } else { Refusal::NotEmpty });
        }
        if self.moves_too_many_directories(source, target, mode) {
            reasons.push(Refusal::TooManyLinks);
        }
        reasons
    }

    fn replace_refusals(&self, moved: Maker, there: Maker) -> Vec<Refusal> {
        match (self.is_directory(moved), self.is_directory(there)) {
            (true, false) => vec![Refusal::NotDirectory],
            (false, true) => vec![Refusal::IsDirectory],
            (true, true) if !self.nodes[&there].entries.is_empty() => vec![Refusal::NotEmpty],
            _ => vec![],
        }
    }

    /// Would a parent have more links than it may, for the `..` of a directory that comes in?
    fn moves_too_many_directories(&self, source: &Side, target: &Side, mode: RenameMode) -> bool {
        if source.parent == target.parent {
            return false;
        }
        let directory = |child: Option<Maker>| child.is_some_and(|child| self.is_directory(child));
        let grows = |parent: Maker, comes: bool, goes: bool| {
            comes && !goes && self.links(parent) >= self.limits.links_max
        };
        let (moved, there) = (directory(source.child), directory(target.child));
        grows(target.parent, moved, there)
            || (mode == RenameMode::Exchange && grows(source.parent, there, moved))
    }

    fn link_refusals(&self, caller: &Caller, inode: InodeId, parent: InodeId, name: &Name) -> Vec<Refusal> {
        let mut reasons = self.at_directory(parent, |parent| {
            let taken = self.child(parent, name).map(|_| Refusal::Exists);
            self.add_refusals(caller, parent).into_iter().chain(taken).collect()
        });
        match self.find(inode) {
            None if inode.kind() == IdKind::Directory => {
                reasons.extend([Refusal::Stale, Refusal::NotPermitted]);
            }
            None => reasons.push(Refusal::Stale),
            Some(node) if self.is_directory(node) => reasons.push(Refusal::NotPermitted),
            Some(node) if self.links(node) == 0 => reasons.push(Refusal::NotFound),
            Some(node) if self.links(node) >= self.limits.links_max => reasons.push(Refusal::TooManyLinks),
            Some(_) => {}
        }
        reasons
    }

    /// Carries out what nothing forbids. Gives the inode that the answer has to show.
    pub(super) fn change(&mut self, maker: Maker, caller: &Caller, operation: &Op) -> Option<Maker> {
        match operation {
            Op::Mkdir { parent, name, mode, uid, gid } => {
                let node = Node::new(FileKind::Directory, *mode, *uid, *gid);
                Some(self.make(maker, caller, *parent, name, node))
            }
            Op::Create { parent, name, mode, uid, gid } => {
                let node = Node::new(FileKind::Regular, *mode, *uid, *gid);
                Some(self.make(maker, caller, *parent, name, node))
            }
            Op::Symlink { parent, name, target, uid, gid } => {
                let size = target.as_bytes().len() as u64;
                let link = Node::new(FileKind::Symlink, 0o777, *uid, *gid);
                let link = Node { size, target: Some(target.clone()), ..link };
                Some(self.make(maker, caller, *parent, name, link))
            }
            Op::Mknod { parent, name, kind, mode, rdev, uid, gid } => {
                let device = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice);
                let node = Node::new(*kind, *mode, *uid, *gid);
                let node = Node { rdev: if device { *rdev } else { 0 }, ..node };
                Some(self.make(maker, caller, *parent, name, node))
            }
            Op::Unlink { parent, name } | Op::Rmdir { parent, name } => {
                let parent = self.live(*parent);
                let child = self.take(parent, name).child;
                self.drop_name(child);
                None
            }
            Op::Rename { source_parent, source_name, target_parent, target_name, mode } => {
                let source = self.side(*source_parent, source_name);
                let target = self.side(*target_parent, target_name);
                if source.child != target.child {
                    self.rename(&source, source_name, &target, target_name, *mode);
                }
                None
            }
            Op::Link { inode, parent, name } => {
                let (node, parent) = (self.live(*inode), self.live(*parent));
                self.put(parent, name, node, None);
                self.node(node).shown.attributes_change();
                Some(node)
            }
            Op::SetAttr { inode, change } => {
                let node = self.live(*inode);
                if let Some(size) = change.size {
                    self.cut_off(node, size);
                }
                self.set_attributes(caller, node, change);
                Some(node)
            }
            Op::SetXattr { inode, .. } | Op::RemoveXattr { inode, .. } => {
                self.change_xattr(self.live(*inode), operation);
                None
            }
            data => {
                self.note_writer(caller, data);
                self.change_data(data)
            }
        }
    }

    fn make(&mut self, maker: Maker, caller: &Caller, parent: InodeId, name: &Name, mut node: Node) -> Maker {
        *self.numbers.entry(parent.slot()).or_default() += 1;
        let parent = self.live(parent);
        node.class = self.nodes[&parent].class;
        self.inherit(caller, parent, &mut node);
        self.nodes.insert(maker, node);
        self.put(parent, name, maker, None);
        maker
    }

    fn rename(
        &mut self,
        source: &Side,
        source_name: &Name,
        target: &Side,
        target_name: &Name,
        mode: RenameMode,
    ) {
        let from = self.take(source.parent, source_name);
        let replaced = target.child.map(|_| self.take(target.parent, target_name));
        let moved = from.child;
        // A name that stands throughout keeps its place in listings, whatever it stands for.
        self.put(target.parent, target_name, moved, replaced.as_ref().and_then(|entry| entry.cookie));
        self.node(moved).shown.attributes_may_change();
        match (mode, replaced) {
            (RenameMode::Exchange, Some(Entry { child: there, .. })) => {
                self.put(source.parent, source_name, there, from.cookie);
                self.node(there).shown.attributes_may_change();
            }
            (_, Some(there)) => self.drop_name(there.child),
            (_, None) => {}
        }
    }

    fn put(&mut self, parent: Maker, name: &Name, child: Maker, cookie: Option<u64>) {
        let directory = self.node(parent);
        directory.shown.content_changes();
        let before = directory.entries.insert(name.clone(), Entry { child, cookie });
        assert!(before.is_none(), "a name that is taken was given again");
    }

    fn take(&mut self, parent: Maker, name: &Name) -> Entry {
        let directory = self.node(parent);
        directory.shown.content_changes();
        directory.entries.remove(name).expect("a missing name is refused")
    }

    /// An inode has lost a name. A directory is gone; anything else may be open.
    fn drop_name(&mut self, node: Maker) {
        if self.is_directory(node) {
            let gone = self.nodes.remove(&node).expect("it was there");
            assert!(gone.entries.is_empty(), "a directory went away with entries in it");
        } else {
            self.node(node).shown.attributes_change();
        }
    }

    fn set_attributes(&mut self, caller: &Caller, node: Maker, change: &AttrChange) {
        let node = self.node(node);
        let before = (node.mode, node.uid, node.gid, node.size);
        node.mode = Self::mode_after(node, caller, change);
        node.uid = change.uid.unwrap_or(node.uid);
        node.gid = change.gid.unwrap_or(node.gid);
        node.size = change.size.unwrap_or(node.size);
        if before == (node.mode, node.uid, node.gid, node.size) {
            node.shown.attributes_may_change();
        } else {
            node.shown.attributes_change();
        }
        if change.size.is_some() {
            node.shown.mtime = None;
        }
        // The server's clock is not known here.
        let set = |time: Option<NewTime>, known| match time {
            Some(NewTime::At(time)) => Some(time),
            Some(NewTime::Now) => None,
            None => known,
        };
        node.shown.mtime = set(change.mtime, node.shown.mtime);
        node.shown.atime = set(change.atime, node.shown.atime);
    }

    pub(super) fn node(&mut self, node: Maker) -> &mut Node {
        self.nodes.get_mut(&node).expect("only what exists is changed")
    }
}
