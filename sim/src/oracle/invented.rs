//! G4, for metadata: nothing is answered and nothing is held that nobody ever asked for, whatever
//! was lost. Where a disk forgets what it had promised, older truth may come back; never something
//! that was not true at any time: a name that nobody gave, or an attribute that nobody set.

use super::{End, Oracle, Promise, Violation};
use crate::history::{Asked, History};
use crate::model::TreeEntry;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Answer, Attr, FileExtent, Name, Op, Query};
use std::collections::{BTreeMap, BTreeSet};

pub struct Invented;

/// Everything that the clients have asked for.
#[derive(Default)]
struct Wishes<'a> {
    names: BTreeMap<InodeId, BTreeSet<&'a Name>>,
    modes: BTreeSet<u16>,
    owners: BTreeSet<u32>,
    sizes: BTreeSet<u64>,
}

/// Without the bits that POSIX lets a system take away, or pass on to what is made in a directory.
fn permissions(mode: u16) -> u16 {
    mode & 0o1777
}

impl<'a> Wishes<'a> {
    fn of(history: &'a History) -> Self {
        let mut wishes = Self::default();
        // What a file system begins with.
        wishes.modes.insert(0o755);
        wishes.owners.insert(0);
        wishes.sizes.insert(0);
        for operation in history.operations() {
            if let Asked::Change(change) = &operation.asked {
                wishes.add(change);
            }
        }
        wishes
    }

    fn add(&mut self, change: &'a Op) {
        match change {
            Op::Mkdir { parent, name, mode, uid, gid }
            | Op::Create { parent, name, mode, uid, gid }
            | Op::Mknod { parent, name, mode, uid, gid, .. } => {
                self.names.entry(*parent).or_default().insert(name);
                self.modes.insert(permissions(*mode));
                self.owners.extend([*uid, *gid]);
            }
            Op::Symlink { parent, name, target, uid, gid } => {
                self.names.entry(*parent).or_default().insert(name);
                self.modes.insert(0o777);
                self.owners.extend([*uid, *gid]);
                self.sizes.insert(target.as_bytes().len() as u64);
            }
            Op::Rename { source_parent, source_name, target_parent, target_name, .. } => {
                // An exchange gives both names anew.
                self.names.entry(*source_parent).or_default().insert(source_name);
                self.names.entry(*target_parent).or_default().insert(target_name);
            }
            Op::Link { parent, name, .. } => {
                self.names.entry(*parent).or_default().insert(name);
            }
            Op::SetAttr { change, .. } => {
                self.modes.extend(change.mode.map(permissions));
                self.owners.extend(change.uid.into_iter().chain(change.gid));
                self.sizes.extend(change.size);
            }
            // A file ends where its size was set, or where something was written last.
            Op::Commit { extents, .. } => {
                self.sizes.extend(extents.iter().map(FileExtent::end));
            }
            _ => {}
        }
    }

    fn check_attr(&self, attr: &Attr) -> Result<(), String> {
        let known = self.modes.contains(&permissions(attr.mode))
            && self.owners.contains(&attr.uid)
            && self.owners.contains(&attr.gid)
            && self.sizes.contains(&attr.size);
        if known { Ok(()) } else { Err(format!("{attr:?}, as nobody ever set it")) }
    }

    fn check_name(&self, parent: InodeId, name: &Name) -> Result<(), String> {
        if self.names.get(&parent).is_some_and(|names| names.contains(name)) {
            return Ok(());
        }
        Err(format!("the name {name:?} in {parent:?}, which nobody ever gave"))
    }

    fn check_answer(&self, asked: &Asked, answer: &Answer) -> Result<(), String> {
        match (asked, answer) {
            (_, Answer::Attr(attr)) => self.check_attr(attr),
            (Asked::Question(Query::ReadDir { directory, .. }), Answer::Entries { entries, .. }) => {
                entries.iter().try_for_each(|entry| self.check_name(*directory, &entry.name))
            }
            _ => Ok(()),
        }
    }
}

impl Oracle for Invented {
    fn name(&self) -> &'static str {
        "invented"
    }

    fn promise(&self) -> Promise {
        Promise(4)
    }

    fn finish(&mut self, end: &End<'_>) -> Result<(), Violation> {
        let wishes = Wishes::of(end.history);
        for operation in end.history.operations() {
            let Some((_, Ok(answer), _)) = operation.answered() else { continue };
            if let Err(what) = wishes.check_answer(&operation.asked, answer) {
                let what = format!("{operation} was answered by {what}");
                return Err(Violation { operation: Some(operation.number), ..self.violation(end.at, what) });
            }
        }
        for replica in end.replicas {
            let held = |what| self.violation(end.at, format!("{} holds {what}", replica.node));
            replica.tree.inodes.iter().try_for_each(|attr| wishes.check_attr(attr)).map_err(held)?;
            let name = |entry: &TreeEntry| wishes.check_name(entry.parent, &entry.name);
            replica.tree.entries.iter().try_for_each(name).map_err(held)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Script, attr, entry, root_tree, verdict};
    use super::*;

    #[test]
    fn what_was_asked_for_is_not_reported_though_half_of_it_is_lost() {
        let mut script = Script::new();
        script.mkdir(0, "a");
        let kept = script.mkdir(0, "b");
        let replica = script.replica(1, kept.tree());
        assert_eq!(verdict(Invented, &script, &[replica]), None);
        let older = script.replica(2, root_tree());
        assert_eq!(verdict(Invented, &script, &[older]), None);
    }

    #[test]
    fn a_name_that_nobody_gave_is_found() {
        let mut script = Script::new();
        let mut tree = script.mkdir(0, "a").tree();
        tree.entries[0].name = entry(InodeId::ROOT, "A", InodeId::ROOT).name;
        let replica = script.replica(3, tree);
        let violation = verdict(Invented, &script, &[replica]).unwrap();
        assert_eq!((violation.oracle, violation.promise), ("invented", Promise(4)));
        assert!(violation.what.starts_with("meta-3 holds the name \"A\""), "{violation}");
    }

    #[test]
    fn an_answer_with_a_size_that_nobody_set_is_found() {
        let mut script = Script::new();
        let asked = Asked::Question(Query::GetAttr { inode: InodeId::ROOT });
        let number = script.call(0, asked);
        let wrong = Answer::Attr(Attr { size: 4_096, ..attr(InodeId::ROOT, 2, 1) });
        script.answer(number, Ok(wrong), 1);
        let violation = verdict(Invented, &script, &[]).unwrap();
        assert_eq!(violation.operation, Some(number));
        assert!(violation.what.contains("as nobody ever set it"), "{violation}");
    }
}
