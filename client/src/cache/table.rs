//! What was told, and may be told again: the answers that a session keeps under its leases. Pure: moments,
//! answers and recalls come in, answers go out.
//!
//! - A cached answer is given only while the leases last.
//! - What is kept of an inode is dropped when its lease is recalled, before that is acknowledged.
//! - What a change of our own may change is dropped before it is sent, and nothing is kept of the inodes
//!   it touches again before its answer. The leases on them stay: the rest of what is known stays with them.
//! - A change that was given up may still take effect, whenever: everything is forgotten, and the leases
//!   with it.

use super::CacheConfig;
use super::directory::Found;
use super::known::Known;
use super::leases::{Granted, Leases, Polled, Recalled, Sent};
use crate::Answered;
use mooseng_core::id::InodeId;
use mooseng_core::namespace::{Access, Answer, Attr, Caller, Name, Op, Outcome, Query, Refusal};
use mooseng_core::time::Instant;
use mooseng_core::{plant, probe};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A change of our own that was begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changing {
    sent: Sent,
    /// That of the leases on them.
    pub epoch: u64,
    /// What it may touch, as far as is known.
    pub touched: Vec<InodeId>,
}

/// What is not kept any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Dropped {
    These(Vec<InodeId>),
    Everything,
}

#[derive(Debug)]
struct Slot {
    known: Known,
    bytes: usize,
    stamp: u64,
    /// An answer was given from it since it was last passed over.
    used: bool,
}

#[derive(Debug)]
pub struct Table {
    config: CacheConfig,
    leases: Leases,
    slots: BTreeMap<InodeId, Slot>,
    /// By age.
    oldest: BTreeMap<u64, InodeId>,
    stamp: u64,
    bytes: usize,
    /// Inodes that we may hold a lease on and keep nothing of.
    pushed_out: usize,
}

impl Table {
    pub fn new(config: CacheConfig) -> Self {
        let (slots, oldest) = (BTreeMap::new(), BTreeMap::new());
        let leases = Leases::default();
        Self { config, leases, slots, oldest, stamp: 0, bytes: 0, pushed_out: 0 }
    }

    // Answers.

    /// The answer to a question, if it is known.
    pub fn answer(&mut self, caller: &Caller, query: &Query, now: Instant) -> Option<Answered> {
        if self.leases.left(now).is_zero() {
            return None;
        }
        let (outcome, index) = self.known_answer(caller, query)?;
        for inode in [Some(query.inode()), shown(&outcome)].into_iter().flatten() {
            if let Some(slot) = self.slots.get_mut(&inode) {
                slot.used = true;
            }
        }
        probe!("answered from the cache");
        Some(Answered { outcome, index, cached: true })
    }

    fn known_answer(&self, caller: &Caller, query: &Query) -> Option<(Outcome, u64)> {
        let known = self.known(query.inode())?;
        let outcome = match query {
            Query::Lookup { name, .. } => return self.lookup(caller, known, name),
            Query::GetAttr { .. } => Ok(Answer::Attr(known.attr()?)),
            Query::Access { access, .. } => {
                let attr = known.attr()?;
                known.may(caller, *access)?.map(|()| Answer::Attr(attr))
            }
            Query::ReadDir { cookie, limit, .. } => {
                let directory = known.directory.as_ref()?;
                match plant!("cached-listing-shown-to-all", known.may(caller, Access::READ)?, Ok(())) {
                    Err(refusal) => Err(refusal),
                    Ok(()) => {
                        let (entries, end) = directory.page(*cookie, *limit as usize)?;
                        Ok(Answer::Entries { entries, end })
                    }
                }
            }
            Query::ReadLink { .. } => known.target()?,
            Query::GetXattr { name, .. } => known.xattr(caller, name)?,
            Query::ListXattr { .. } => known.xattr_names(caller)?,
            Query::Map { .. } => return None,
        };
        Some((outcome, known.index))
    }

    fn lookup(&self, caller: &Caller, parent: &Known, name: &Name) -> Option<(Outcome, u64)> {
        let directory = parent.directory.as_ref()?;
        if let Err(refusal) = parent.may(caller, Access::EXECUTE)? {
            return Some((Err(refusal), parent.index));
        }
        match directory.find(name) {
            Found::Unknown => None,
            Found::Absent => Some((Err(Refusal::NotFound), parent.index)),
            Found::There(inode) => {
                let child = self.known(inode)?;
                Some((Ok(Answer::Attr(child.attr()?)), parent.index.max(child.index)))
            }
        }
    }

    fn known(&self, inode: InodeId) -> Option<&Known> {
        self.slots.get(&inode).map(|slot| &slot.known)
    }

    /// For how long these attributes are true, as far as is known here.
    pub fn confirm_attr(&self, attr: &Attr, now: Instant) -> Duration {
        let known = self.known(attr.inode).and_then(Known::attr);
        if known == Some(*attr) { self.leases.left(now) } else { Duration::ZERO }
    }

    /// For how long a name leads there, or nowhere, as far as is known here.
    pub fn confirm_name(
        &self,
        parent: InodeId,
        name: &Name,
        leads_to: Option<InodeId>,
        now: Instant,
    ) -> Duration {
        let directory = self.known(parent).and_then(|known| known.directory.as_ref());
        let known = match directory.map(|directory| directory.find(name)) {
            Some(Found::There(inode)) => leads_to == Some(inode),
            Some(Found::Absent) => leads_to.is_none(),
            Some(Found::Unknown) | None => false,
        };
        if known { self.leases.left(now) } else { Duration::ZERO }
    }

    // Questions that are asked.

    /// A question is asked.
    pub fn ask(&mut self) -> Sent {
        self.leases.sent()
    }

    /// It will not be answered, or nothing of the answer is to be kept.
    pub fn give_up(&mut self, sent: Sent) {
        self.leases.over(sent);
    }

    /// It was answered.
    pub fn learn(
        &mut self,
        sent: Sent,
        caller: &Caller,
        query: &Query,
        answered: &Answered,
        granted: &Granted,
    ) {
        let kept = self.kept(sent, granted, &[]);
        self.leases.over(sent);
        let Answered { outcome, index, .. } = answered;
        let asked = query.inode();
        let is_kept = kept.contains(&asked);
        match (query, outcome) {
            (Query::Lookup { name, .. }, Ok(Answer::Attr(attr))) if is_kept => {
                self.edit(asked, *index, |known| known.directory().learn(name, Some(attr.inode)));
            }
            (Query::Lookup { name, .. }, Err(Refusal::NotFound)) if is_kept => {
                self.edit(asked, *index, |known| known.directory().learn(name, None));
            }
            (Query::ReadDir { cookie, .. }, Ok(Answer::Entries { entries, end })) if is_kept => {
                self.edit(asked, *index, |known| known.directory().learn_page(*cookie, entries, *end));
            }
            (Query::ReadLink { .. }, Ok(Answer::Target(target))) if is_kept => {
                self.edit(asked, *index, |known| known.learn_target(target));
            }
            (Query::GetXattr { name, .. }, Ok(Answer::Value(value))) if is_kept => {
                self.edit(asked, *index, |known| known.learn_xattr(caller, name, Some(value.clone())));
            }
            (Query::GetXattr { name, .. }, Err(Refusal::NoAttribute)) if is_kept => {
                self.edit(asked, *index, |known| known.learn_xattr(caller, name, None));
            }
            (Query::ListXattr { .. }, Ok(Answer::XattrNames(names))) if is_kept => {
                self.edit(asked, *index, |known| known.learn_xattr_names(caller, names));
            }
            _ => {}
        }
        self.learn_attr(outcome, *index, &kept);
        if !granted.attrs.is_empty() {
            probe!("attributes come with a listing");
        }
        self.learn_beside(granted, *index, &kept);
    }

    /// The inodes on which leases that came with an answer count.
    fn kept(&self, sent: Sent, granted: &Granted, own: &[InodeId]) -> BTreeSet<InodeId> {
        let counts =
            |inode: &InodeId| self.leases.keeps(sent, granted.epoch, *inode, u32::from(own.contains(inode)));
        granted.inodes.iter().copied().filter(counts).collect()
    }

    /// What an answer tells of others than what it is about.
    fn learn_beside(&mut self, granted: &Granted, index: u64, kept: &BTreeSet<InodeId>) {
        for attr in &granted.attrs {
            if plant!("told-beside-and-kept-anyway", kept.contains(&attr.inode), true) {
                self.edit(attr.inode, index, |known| known.learn_attr(attr));
            }
        }
    }

    fn learn_attr(&mut self, outcome: &Outcome, index: u64, kept: &BTreeSet<InodeId>) {
        let (Ok(Answer::Attr(attr)) | Ok(Answer::Map { attr, .. })) = outcome else { return };
        if kept.contains(&attr.inode) {
            self.edit(attr.inode, index, |known| known.learn_attr(attr));
        }
    }

    // Changes of our own.

    /// A change is about to be sent: what it may change is dropped.
    pub fn begin(&mut self, op: &Op) -> Changing {
        let mut touched = Vec::new();
        if !op.is_of_pending() {
            touched.extend(op.inodes().into_iter().flatten());
        }
        let led_to: Vec<InodeId> =
            op.names().into_iter().flatten().filter_map(|at| self.leads_to(at)).collect();
        plant!("own-change-drops-nothing", self.doubt(op, &touched, &led_to), {});
        touched.extend(led_to);
        touched.sort_unstable();
        touched.dedup();
        let sent = self.leases.begin(&touched);
        Changing { sent, epoch: self.leases.epoch(), touched }
    }

    fn leads_to(&self, (parent, name): (InodeId, &Name)) -> Option<InodeId> {
        match self.known(parent)?.directory.as_ref()?.find(name) {
            Found::There(inode) => Some(inode),
            Found::Absent | Found::Unknown => None,
        }
    }

    fn doubt(&mut self, op: &Op, named: &[InodeId], led_to: &[InodeId]) {
        for inode in named {
            self.change(*inode, |known| known.doubt(op));
        }
        for (parent, name) in op.names().into_iter().flatten() {
            self.change(parent, |known| {
                if let Some(directory) = &mut known.directory {
                    directory.doubt(name);
                }
            });
        }
        // It may go with its name.
        for inode in led_to {
            self.remove(*inode);
        }
    }

    /// It was answered.
    pub fn changed(&mut self, changing: Changing, op: &Op, answered: &Answered, granted: &Granted) {
        let Changing { sent, touched, .. } = changing;
        let mut kept = self.kept(sent, granted, &touched);
        // A lease that was held before is held still, unless it was recalled: then nothing is known.
        let held =
            |inode: &InodeId| self.slots.contains_key(inode) && self.leases.is_undisturbed(sent, *inode, 1);
        kept.extend(touched.iter().copied().filter(held));
        self.leases.end(sent, &touched);
        let Answered { outcome: Ok(answer), index, .. } = answered else { return };
        let leads_to = match answer {
            Answer::Attr(attr) => Some(attr.inode),
            _ => None,
        };
        if let Some((parent, name, leads_to)) = entry_after(op, leads_to)
            && kept.contains(&parent)
        {
            self.edit(parent, *index, |known| known.directory().learn(name, leads_to));
        }
        self.learn_attr(&answered.outcome, *index, &kept);
        if !granted.attrs.is_empty() {
            probe!("attributes come with the answer to a change");
        }
        self.learn_beside(granted, *index, &kept);
        if let Some(made) = leads_to
            && makes(op)
            && kept.contains(&made)
        {
            self.edit(made, *index, |known| known.learn_made(op));
        }
    }

    /// It was never sent.
    pub fn not_sent(&mut self, changing: Changing) {
        self.leases.end(changing.sent, &changing.touched);
    }

    /// Nobody waits for its answer any more, and it may take effect at any time.
    pub fn change_given_up(&mut self, changing: Changing) -> Dropped {
        self.leases.end(changing.sent, &changing.touched);
        if changing.touched.is_empty() { Dropped::These(Vec::new()) } else { self.forget() }
    }

    // Leases.

    /// What the next poll says: the epoch, and the last recall that was dealt with.
    pub fn poll(&self) -> (u64, u64) {
        (self.leases.epoch(), self.leases.acknowledged())
    }

    /// The service answered a poll that was sent at `asked`, under this epoch. What was dropped is to be
    /// forgotten elsewhere, too, before it is [dealt with](Self::dealt_with).
    pub fn polled(&mut self, asked: Instant, epoch: u64, told: &Recalled) -> Dropped {
        match self.leases.polled(asked, epoch, told) {
            Polled::Nothing => Dropped::These(Vec::new()),
            Polled::Renewed => {
                self.clear();
                Dropped::Everything
            }
            Polled::Recalled => {
                for inode in &told.inodes {
                    probe!("cache drops what is recalled");
                    plant!("recalled-lease-kept", self.remove(*inode), {});
                }
                Dropped::These(told.inodes.clone())
            }
        }
    }

    /// The recalls that a poll under this epoch told are dealt with.
    pub fn dealt_with(&mut self, epoch: u64, number: u64) {
        self.leases.dealt_with(epoch, number);
    }

    /// Everything is forgotten, and the leases are given up with it.
    pub fn forget(&mut self) -> Dropped {
        self.leases.forget();
        self.clear();
        Dropped::Everything
    }

    /// Has so much been pushed out that leases are held for nothing?
    pub fn is_worn(&self) -> bool {
        self.slots.len() + self.pushed_out > self.config.leases_max
    }

    // Room.

    fn clear(&mut self) {
        self.slots.clear();
        self.oldest.clear();
        (self.bytes, self.pushed_out) = (0, 0);
    }

    fn remove(&mut self, inode: InodeId) {
        if let Some(slot) = self.slots.remove(&inode) {
            self.oldest.remove(&slot.stamp);
            self.bytes -= slot.bytes;
        }
    }

    fn edit(&mut self, inode: InodeId, index: u64, edit: impl FnOnce(&mut Known)) {
        self.slots.entry(inode).or_insert_with(|| {
            self.stamp += 1;
            self.oldest.insert(self.stamp, inode);
            Slot { known: Known::default(), bytes: 0, stamp: self.stamp, used: false }
        });
        self.change(inode, |known| {
            edit(known);
            known.index = known.index.max(index);
        });
        self.make_room();
    }

    fn change(&mut self, inode: InodeId, change: impl FnOnce(&mut Known)) {
        let Some(slot) = self.slots.get_mut(&inode) else { return };
        change(&mut slot.known);
        let before = std::mem::replace(&mut slot.bytes, slot.known.bytes());
        self.bytes = self.bytes - before + slot.bytes;
        if slot.bytes > self.config.bytes_max / 4 {
            self.remove(inode);
            self.pushed_out += 1;
        }
    }

    /// The oldest goes first, unless it was of use since it was last passed over.
    fn make_room(&mut self) {
        while self.bytes > self.config.bytes_max || self.slots.len() > self.config.inodes_max {
            let Some((_, inode)) = self.oldest.pop_first() else { return };
            let Some(slot) = self.slots.get_mut(&inode) else { continue };
            if std::mem::take(&mut slot.used) {
                self.stamp += 1;
                slot.stamp = self.stamp;
                self.oldest.insert(self.stamp, inode);
                continue;
            }
            probe!("cache full");
            self.remove(inode);
            self.pushed_out += 1;
        }
    }
}

fn shown(outcome: &Outcome) -> Option<InodeId> {
    match outcome {
        Ok(Answer::Attr(attr)) => Some(attr.inode),
        _ => None,
    }
}

/// Does the change make an inode?
fn makes(op: &Op) -> bool {
    matches!(op, Op::Mkdir { .. } | Op::Create { .. } | Op::Symlink { .. } | Op::Mknod { .. })
}

/// A name as it is after a change that was carried out, as far as that tells. Of a rename it does not: a name
/// that is renamed to another of the same inode stays.
fn entry_after(op: &Op, made: Option<InodeId>) -> Option<(InodeId, &Name, Option<InodeId>)> {
    let [Some((parent, name)), None] = op.names() else { return None };
    match op {
        Op::Unlink { .. } | Op::Rmdir { .. } => Some((parent, name, None)),
        _ => made.map(|made| (parent, name, Some(made))),
    }
}
