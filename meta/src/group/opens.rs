//! Which session has which inode open. Only a leader uses it, and only to say which inodes without a
//! name nobody can miss: nothing waits for it, and it is lost with leadership. A session whose holds
//! the leader does not know, because they were told to an earlier one, keeps everything from being
//! collected until it tells them again, or ends.
//!
//! Sessions number what they say, so that what arrives late or twice changes nothing:
//!
//! ```text
//!   open 5 a   release 9 a   (open 5 a again, late: below the low water mark 9, ignored)
//!   attach 12 {a, b}         all that is open; what was released under a greater number stays released
//! ```
//!
//! An attachment is meant for the leader that asked for it. One that was under way when another took its
//! place says nothing of what the session has opened since under the one before.

use mooseng_core::id::{InodeId, SessionId};
use mooseng_core::namespace::{OPENS_MAX, Refusal};
use mooseng_core::{plant, probe};
use std::collections::{BTreeMap, BTreeSet};

/// What a session says, in the order of its numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Saying {
    pub session: SessionId,
    pub number: u64,
    /// The session waits for no answer to anything below this.
    pub low_water: u64,
}

/// For whom an attachment was said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meant {
    /// The leader of this term asked.
    ForTerm(u64),
    /// Somebody asked, and did not say in which term.
    ForAnybody,
    /// Nobody asked: it says what is open beside whatever else is.
    Beside,
}

#[derive(Clone, Debug, Default)]
struct Held {
    /// It was opened under this leader, or has told it all.
    attached: bool,
    low_water: u64,
    /// What was released before it attached, under which number: an attachment may have been said
    /// before that.
    released: BTreeMap<InodeId, u64>,
    /// The greatest number of a release that is not remembered by inode.
    released_last: u64,
    /// By the number under which it was opened last.
    open: BTreeMap<InodeId, u64>,
}

impl Held {
    /// True if it was not open before.
    fn hold(&mut self, inode: InodeId, number: u64) -> bool {
        let before = self.open.get(&inode).copied();
        self.open.insert(inode, number.max(before.unwrap_or(0)));
        before.is_none()
    }

    fn note_release(&mut self, inode: InodeId, number: u64) {
        if self.attached || self.released.len() >= OPENS_MAX {
            self.released_last = self.released_last.max(number);
        } else {
            self.released.insert(inode, number);
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Opens {
    /// In which this replica leads.
    term: u64,
    sessions: BTreeMap<SessionId, Held>,
    holders: BTreeMap<InodeId, usize>,
    /// Their collection was proposed: nobody may open them any more.
    condemned: BTreeSet<InodeId>,
}

impl Opens {
    /// This replica leads from now on, in this term, and these sessions live, of which it knows nothing.
    pub fn lead(&mut self, term: u64, sessions: impl Iterator<Item = SessionId>) {
        *self = Self {
            term,
            sessions: sessions.map(|session| (session, Held::default())).collect(),
            ..Self::default()
        };
    }

    /// A session was opened; `here` says that this leader opened it, so nothing else can be open.
    pub fn began(&mut self, session: SessionId, here: bool) {
        self.sessions.insert(session, Held { attached: here, ..Held::default() });
    }

    pub fn ended(&mut self, session: SessionId) {
        let Some(held) = self.sessions.remove(&session) else { return };
        for inode in held.open.into_keys() {
            self.let_go(inode);
        }
    }

    pub fn term(&self) -> u64 {
        self.term
    }

    pub fn is_attached(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_none_or(|held| held.attached)
    }

    /// The session has the inode open from now on. Refused if the inode is being collected, nobody
    /// waits for the answer any more, or too much is open.
    pub fn open(&mut self, saying: Saying, inode: InodeId) -> Result<(), Refusal> {
        if self.condemned.contains(&inode) {
            probe!("open of what is being collected");
            return Err(Refusal::Stale);
        }
        let held = self.hear(saying).ok_or(Refusal::Stale)?;
        if held.open.len() >= OPENS_MAX && !held.open.contains_key(&inode) {
            return Err(Refusal::NoSpace);
        }
        if held.hold(inode, saying.number) {
            *self.holders.entry(inode).or_default() += 1;
        }
        Ok(())
    }

    /// These are open no more, nor is what was opened last under one of the numbers in `made`: whoever
    /// had it made never heard which it is.
    pub fn release(&mut self, saying: Saying, inodes: &[InodeId], made: &[u64]) {
        let Some(held) = self.hear(saying) else { return };
        for inode in inodes {
            held.note_release(*inode, saying.number);
        }
        let mut unheard = Vec::new();
        if !made.is_empty() {
            probe!("what was made and never heard of is open no more");
            let made: BTreeSet<u64> = made.iter().copied().collect();
            let opened = held.open.iter().filter(|(_, number)| made.contains(number));
            unheard.extend(opened.map(|(inode, _)| *inode));
        }
        let mut gone = Vec::new();
        for inode in inodes.iter().chain(&unheard) {
            if held.open.get(inode).is_some_and(|opened| *opened < saying.number) {
                held.open.remove(inode);
                gone.push(*inode);
            }
        }
        gone.into_iter().for_each(|inode| self.let_go(inode));
    }

    /// All that the session has open, save what it has opened or released since it said so. Refused
    /// if nobody knows any more what that was: it says it again. So it does, when it is asked, where
    /// it meant another leader.
    pub fn attach(&mut self, saying: Saying, meant: Meant, inodes: &[InodeId]) -> Result<(), Refusal> {
        let elsewhere = matches!(meant, Meant::ForTerm(term) if term != self.term);
        if plant!("attachment-for-another-leader", elsewhere, false) {
            probe!("attachment meant for another leader");
            return Err(Refusal::Stale);
        }
        let held = self.hear(saying).ok_or(Refusal::Stale)?;
        if held.released_last > saying.number || inodes.len() > OPENS_MAX {
            probe!("attachment overtaken by a release");
            return Err(Refusal::Conflict);
        }
        let released = if meant == Meant::Beside {
            held.released.clone()
        } else {
            held.attached = true;
            std::mem::take(&mut held.released)
        };
        if held.attached {
            held.released_last = released.values().copied().fold(held.released_last, u64::max);
        }
        let mut fresh = Vec::new();
        for inode in inodes {
            let over = released.get(inode).is_some_and(|released| *released > saying.number);
            if !over && held.hold(*inode, saying.number) {
                fresh.push(*inode);
            }
        }
        for inode in fresh {
            *self.holders.entry(inode).or_default() += 1;
        }
        Ok(())
    }

    /// Which of these nobody can have open; they are as good as collected from now on.
    pub fn condemn(&mut self, orphans: impl Iterator<Item = InodeId>, count_max: usize) -> Vec<InodeId> {
        let unknown = self.sessions.values().any(|held| !held.attached);
        if plant!("new-leader-collects-at-once", unknown, false) {
            probe!("orphans wait for a session to attach");
            return Vec::new();
        }
        let free = orphans.filter(|orphan| {
            let held = plant!("open-unlinked-file-collected", self.holders.contains_key(orphan), false);
            !held && !self.condemned.contains(orphan)
        });
        let free: Vec<InodeId> = free.take(count_max).collect();
        self.condemned.extend(&free);
        free
    }

    /// What is being collected: its collection may have to be proposed once more.
    pub fn condemned(&self) -> impl Iterator<Item = InodeId> + '_ {
        self.condemned.iter().copied()
    }

    pub fn is_condemned(&self, inode: InodeId) -> bool {
        self.condemned.contains(&inode)
    }

    /// What is not there any more need not be remembered.
    pub fn forget_collected(&mut self, is_there: impl Fn(InodeId) -> bool) {
        self.condemned.retain(|inode| is_there(*inode));
    }

    /// The session, unless this is older than what it still waits for.
    fn hear(&mut self, saying: Saying) -> Option<&mut Held> {
        let held = self.sessions.get_mut(&saying.session)?;
        held.low_water = held.low_water.max(saying.low_water);
        if saying.number < held.low_water {
            probe!("word of an open file came too late");
            return None;
        }
        Some(held)
    }

    fn let_go(&mut self, inode: InodeId) {
        if let Some(count) = self.holders.get_mut(&inode) {
            *count -= 1;
            if *count == 0 {
                self.holders.remove(&inode);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: u64 = 4;
    const FOR_THIS: Meant = Meant::ForTerm(TERM);
    const ONE: SessionId = SessionId(1);
    const TWO: SessionId = SessionId(2);

    fn inode(counter: u64) -> InodeId {
        InodeId::from_raw(counter).unwrap()
    }

    fn say(session: SessionId, number: u64, low_water: u64) -> Saying {
        Saying { session, number, low_water }
    }

    fn condemned(opens: &mut Opens) -> Vec<InodeId> {
        opens.clone().condemn((1..=3).map(inode), 9)
    }

    fn led() -> Opens {
        let mut opens = Opens::default();
        opens.lead(TERM, std::iter::empty());
        opens.began(ONE, true);
        opens.began(TWO, true);
        opens
    }

    #[test]
    fn what_anybody_has_open_is_kept() {
        let mut opens = led();
        for (session, number, raw) in [(ONE, 1, 1), (TWO, 1, 1), (TWO, 2, 2)] {
            assert_eq!(opens.open(say(session, number, 1), inode(raw)), Ok(()));
        }
        assert_eq!(condemned(&mut opens), [inode(3)]);
        opens.release(say(ONE, 2, 2), &[inode(1)], &[]);
        assert_eq!(condemned(&mut opens), [inode(3)]);
        opens.ended(TWO);
        assert_eq!(condemned(&mut opens), [inode(1), inode(2), inode(3)]);
    }

    #[test]
    fn nothing_is_collected_before_every_session_has_attached() {
        let mut opens = led();
        opens.lead(TERM, [ONE, TWO].into_iter());
        assert!(!opens.is_attached(ONE));
        assert_eq!(condemned(&mut opens), []);
        assert_eq!(opens.attach(say(ONE, 7, 7), FOR_THIS, &[inode(1)]), Ok(()));
        assert_eq!(condemned(&mut opens), [], "the other may have it open");
        opens.ended(TWO);
        assert_eq!(condemned(&mut opens), [inode(2), inode(3)]);
        opens.began(SessionId(3), false);
        assert_eq!(condemned(&mut opens), [], "opened under another leader, it may have opened more");
    }

    #[test]
    fn what_is_being_collected_is_not_opened() {
        let mut opens = led();
        assert_eq!(opens.condemn([inode(1)].into_iter(), 9), [inode(1)]);
        assert_eq!(opens.condemn([inode(1)].into_iter(), 9), [], "once is enough");
        assert_eq!(opens.open(say(ONE, 1, 1), inode(1)), Err(Refusal::Stale));
        opens.forget_collected(|_| false);
        assert_eq!(opens.condemned().count(), 0);
    }

    #[test]
    fn what_comes_late_or_twice_changes_nothing() {
        let mut opens = led();
        assert_eq!(opens.open(say(ONE, 5, 5), inode(1)), Ok(()));
        opens.release(say(ONE, 6, 6), &[inode(1)], &[]);
        assert_eq!(opens.open(say(ONE, 5, 5), inode(1)), Err(Refusal::Stale), "given up long ago");
        assert_eq!(condemned(&mut opens).len(), 3);
        assert_eq!(opens.open(say(ONE, 8, 7), inode(1)), Ok(()));
        opens.release(say(ONE, 7, 7), &[inode(1)], &[]);
        assert_eq!(condemned(&mut opens), [inode(2), inode(3)], "it was opened again after that");
    }

    #[test]
    fn an_attachment_knows_nothing_of_what_came_later() {
        let mut opens = led();
        opens.lead(TERM, [ONE].into_iter());
        assert_eq!(opens.open(say(ONE, 9, 7), inode(2)), Ok(()));
        opens.release(say(ONE, 11, 7), &[inode(3)], &[]);
        assert_eq!(opens.attach(say(ONE, 8, 7), FOR_THIS, &[inode(1), inode(3)]), Ok(()));
        assert_eq!(condemned(&mut opens), [inode(3)], "it was released after that");
        assert_eq!(
            opens.attach(say(ONE, 8, 7), FOR_THIS, &[inode(1), inode(3)]),
            Err(Refusal::Conflict),
            "twice"
        );
        opens.release(say(ONE, 12, 12), &[inode(1), inode(2)], &[]);
        assert_eq!(condemned(&mut opens).len(), 3);
        assert_eq!(opens.attach(say(ONE, 13, 13), FOR_THIS, &[inode(3)]), Ok(()), "of a session before it");
        assert_eq!(condemned(&mut opens), [inode(1), inode(2)]);
    }

    /// Said before the file was opened, it comes again, to a leader that knows nothing of the opening.
    #[test]
    fn an_attachment_is_for_the_leader_that_asked_for_it() {
        let mut opens = led();
        opens.lead(TERM, [ONE].into_iter());
        assert_eq!(opens.attach(say(ONE, 2, 1), FOR_THIS, &[]), Ok(()));
        assert_eq!(opens.open(say(ONE, 3, 1), inode(1)), Ok(()));
        opens.lead(TERM + 1, [ONE].into_iter());
        assert_eq!(opens.clone().attach(say(ONE, 2, 2), FOR_THIS, &[]), Err(Refusal::Stale));
        assert_eq!(condemned(&mut opens), []);
        assert_eq!(opens.attach(say(ONE, 4, 4), Meant::ForTerm(TERM + 1), &[inode(1)]), Ok(()));
        assert_eq!(condemned(&mut opens), [inode(2), inode(3)]);
        opens.lead(TERM + 2, [ONE].into_iter());
        assert_eq!(opens.attach(say(ONE, 5, 5), Meant::Beside, &[inode(2)]), Ok(()));
        assert!(!opens.is_attached(ONE), "there may be more");
        opens.lead(TERM + 2, [ONE].into_iter());
        mooseng_core::plant::activate(Some("attachment-for-another-leader"));
        let taken = opens.attach(say(ONE, 2, 2), FOR_THIS, &[]);
        mooseng_core::plant::activate(None);
        assert_eq!((taken, condemned(&mut opens).len()), (Ok(()), 3), "the bug shows");
    }

    #[test]
    fn what_was_made_and_never_heard_of_is_released_by_its_number() {
        let mut opens = led();
        assert_eq!(opens.open(say(ONE, 5, 5), inode(1)), Ok(()), "made under 5");
        assert_eq!(opens.open(say(ONE, 6, 5), inode(2)), Ok(()), "made under 6");
        assert_eq!(opens.open(say(ONE, 7, 5), inode(2)), Ok(()), "and opened since");
        opens.release(say(ONE, 8, 7), &[], &[5, 6]);
        assert_eq!(condemned(&mut opens), [inode(1), inode(3)]);
        assert_eq!(opens.open(say(ONE, 6, 7), inode(3)), Err(Refusal::Stale), "nobody waits for it");
    }

    #[test]
    fn what_one_session_has_open_is_bounded() {
        let mut opens = led();
        let many: Vec<InodeId> = (1..=OPENS_MAX as u64).map(inode).collect();
        assert_eq!(opens.attach(say(ONE, 1, 1), FOR_THIS, &many), Ok(()));
        let next = inode(OPENS_MAX as u64 + 1);
        assert_eq!(opens.open(say(ONE, 2, 1), next), Err(Refusal::NoSpace));
        assert_eq!(opens.open(say(ONE, 3, 1), inode(1)), Ok(()));
    }
}
