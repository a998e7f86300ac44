//! What the kernel was told, and may believe for a while: so that it can be told otherwise. Pure, and
//! bounded: of what there is no room for the kernel is told nothing that lasts.

use bytes::Bytes;
use mooseng_core::id::InodeId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The most names and attributes that are believed at a time.
const TOLD_MAX: usize = 200_000;
/// An answer that was sent longer ago is taken in: the kernel knows what it is told not to believe.
const UNDER_WAY: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Belief {
    told: Instant,
    until: Instant,
}

/// What is not to be believed any more.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Taken {
    pub(super) attributes: Vec<InodeId>,
    pub(super) names: Vec<(InodeId, Bytes)>,
    /// Some of it may be on its way to the kernel still.
    pub(super) is_fresh: bool,
}

impl Taken {
    pub(super) fn is_empty(&self) -> bool {
        self.attributes.is_empty() && self.names.is_empty()
    }
}

#[derive(Debug, Default)]
pub(super) struct Told {
    attributes: BTreeMap<InodeId, Belief>,
    names: BTreeMap<InodeId, BTreeMap<Bytes, Belief>>,
    /// An upper bound of how many there are.
    count: usize,
}

impl Told {
    /// Is there room for more?
    pub(super) fn has_room(&mut self, now: Instant) -> bool {
        if self.count + 2 > TOLD_MAX {
            self.attributes.retain(|_, belief| belief.until > now);
            for names in self.names.values_mut() {
                names.retain(|_, belief| belief.until > now);
            }
            self.names.retain(|_, names| !names.is_empty());
            self.count = self.attributes.len() + self.names.values().map(BTreeMap::len).sum::<usize>();
        }
        self.count + 2 <= TOLD_MAX
    }

    pub(super) fn attributes(&mut self, inode: InodeId, told: Instant, lifetime: Duration) {
        let until = told + lifetime;
        if self.attributes.insert(inode, Belief { told, until }).is_none() {
            self.count += 1;
        }
    }

    pub(super) fn name(&mut self, parent: InodeId, name: Bytes, told: Instant, lifetime: Duration) {
        let until = told + lifetime;
        if self.names.entry(parent).or_default().insert(name, Belief { told, until }).is_none() {
            self.count += 1;
        }
    }

    /// The attributes of these, as far as they are believed.
    pub(super) fn take_attributes(&mut self, inodes: &[InodeId], now: Instant) -> Vec<InodeId> {
        let mut taken = Taken::default();
        for inode in inodes {
            self.take_attributes_of(*inode, now, &mut taken);
        }
        taken.attributes
    }

    /// All that is believed of these.
    pub(super) fn take(&mut self, inodes: &[InodeId], now: Instant) -> Taken {
        let mut taken = Taken::default();
        for inode in inodes {
            self.take_attributes_of(*inode, now, &mut taken);
            self.take_names_of(*inode, now, &mut taken);
        }
        taken
    }

    pub(super) fn take_all(&mut self, now: Instant) -> Taken {
        let mut taken = Taken::default();
        let inodes: Vec<InodeId> = self.attributes.keys().copied().collect();
        inodes.into_iter().for_each(|inode| self.take_attributes_of(inode, now, &mut taken));
        let parents: Vec<InodeId> = self.names.keys().copied().collect();
        parents.into_iter().for_each(|parent| self.take_names_of(parent, now, &mut taken));
        taken
    }

    fn take_attributes_of(&mut self, inode: InodeId, now: Instant, taken: &mut Taken) {
        let Some(belief) = self.attributes.remove(&inode) else { return };
        self.count -= 1;
        if belief.until > now {
            taken.is_fresh |= belief.told + UNDER_WAY > now;
            taken.attributes.push(inode);
        }
    }

    fn take_names_of(&mut self, parent: InodeId, now: Instant, taken: &mut Taken) {
        let names = self.names.remove(&parent).unwrap_or_default();
        self.count -= names.len();
        for (name, belief) in names.into_iter().filter(|(_, belief)| belief.until > now) {
            taken.is_fresh |= belief.told + UNDER_WAY > now;
            taken.names.push((parent, name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn inode(raw: u64) -> InodeId {
        InodeId::from_raw(raw).expect("a number")
    }

    #[test]
    fn what_is_believed_is_taken_once() {
        let (mut told, start) = (Told::default(), Instant::now());
        told.attributes(inode(1), start, SECOND);
        told.name(inode(1), "a".into(), start, SECOND);
        told.name(inode(1), "b".into(), start, 3 * SECOND);
        told.name(inode(2), "c".into(), start, 3 * SECOND);
        let later = start + 2 * SECOND;
        let taken = told.take(&[inode(1), inode(7)], later);
        assert_eq!(
            (taken.attributes, taken.names),
            (vec![], vec![(inode(1), "b".into())]),
            "the rest ran out"
        );
        assert!(told.take(&[inode(1)], later).is_empty());
        told.attributes(inode(3), later, SECOND);
        assert_eq!(told.take_attributes(&[inode(3), inode(2)], later), [inode(3)]);
        let all = told.take_all(later);
        assert_eq!((all.names, all.is_fresh), (vec![(inode(2), "c".into())], false));
        assert_eq!(told.count, 0);
    }

    #[test]
    fn what_was_just_told_is_fresh() {
        let (mut told, start) = (Told::default(), Instant::now());
        told.name(inode(1), "a".into(), start, SECOND);
        assert!(told.take_all(start + UNDER_WAY / 2).is_fresh);
        told.name(inode(1), "a".into(), start, SECOND);
        assert!(!told.take_all(start + UNDER_WAY).is_fresh);
    }

    #[test]
    fn there_is_room_for_so_much() {
        let (mut told, start) = (Told::default(), Instant::now());
        for raw in 1..=TOLD_MAX as u64 - 1 {
            told.attributes(inode(raw), start, SECOND);
        }
        assert!(!told.has_room(start));
        assert!(told.has_room(start + SECOND), "nothing of it is believed any more");
        assert_eq!(told.count, 0);
    }
}
