//! Which session holds a lease on which inode: the right to answer from what it was told of it, until
//! it is asked to give the lease back, or has not been heard of for a while. Only a leader uses it,
//! and it is lost with leadership; whoever leads next waits for those who may hold leases of an
//! earlier leader.
//!
//! ```text
//!   question ──> granted ──────────────> recalled ──> acknowledged ──> (nobody for a while)
//!                   └── the session's time runs out: all its leases, and its epoch, are over ──┘
//! ```
//!
//! A client may miss any answer, and anything it says may come late or twice. So what it has dropped
//! is believed only when it asks under an **epoch** that it was given after that: the client drops
//! everything before it takes a new epoch on.
//!
//! Time is an argument. A session's leases hold for a while after its last answered wait, which the
//! client counts from before it asked, and this table from when it answers.

mod changes;
pub mod touched;

#[cfg(test)]
mod tests;

pub use changes::Changer;

use changes::Changes;
use mooseng_core::id::{InodeId, SessionId};
use mooseng_core::namespace::Attr;
use mooseng_core::time::Instant;
use mooseng_core::{plant, probe};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The most inodes one session may hold leases on: beyond that it is given none.
pub const LEASES_MAX: usize = 65_536;
/// The most recalls in one answer.
pub const RECALLS_MAX: usize = 4_096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeasesConfig {
    /// How long leases hold after the session that has them was last answered.
    pub lease: Duration,
    /// How long a session waits for a recall at most: see [`Self::hold`].
    pub hold: Duration,
    /// How long nobody is given a lease on what was just recalled.
    pub contended: Duration,
}

impl Default for LeasesConfig {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(5),
            hold: Duration::from_millis(250),
            contended: Duration::from_secs(1),
        }
    }
}

impl LeasesConfig {
    /// Leases are counted from when a session began to wait: most of their time has to be left then.
    pub fn hold(&self) -> Duration {
        self.hold.min(self.lease / 3)
    }
}

/// On what a session holds leases from the moment of an answer on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lent {
    /// 0 with no inodes.
    pub epoch: u64,
    pub inodes: Vec<InodeId>,
    /// What those of them are like that the answer itself does not tell of.
    pub attrs: Vec<Attr>,
}

/// What a session that waits is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recalls {
    pub epoch: u64,
    /// The greatest number of a recall that the session was told of.
    pub number: u64,
    pub inodes: Vec<InodeId>,
    pub lease: Duration,
}

/// What becomes of a session's wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Polled {
    /// It is answered at once.
    Answer,
    /// There is nothing to tell it now.
    Wait,
    /// It is none of the sessions that may hold leases: that has to be agreed on first.
    Sleeps,
}

#[derive(Clone, Debug, Default)]
struct Held {
    /// 0: it has none.
    epoch: u64,
    /// It has asked under its epoch, so it has nothing of an earlier one.
    confirmed: bool,
    /// When its leases end; before it has any, how long it is waited for that it asks for them.
    until: Instant,
    /// It was proposed that it may hold none any more, and what becomes of that is not known yet.
    resting: bool,
    /// Under which epoch each was granted.
    leases: BTreeMap<InodeId, u64>,
    /// Not acknowledged yet, by number and by inode.
    recalls: BTreeMap<u64, InodeId>,
    recalled: BTreeMap<InodeId, u64>,
    /// The number of its last recall, and the last that was acknowledged.
    number: u64,
    acknowledged: u64,
}

#[derive(Clone, Debug)]
pub struct Leases {
    config: LeasesConfig,
    /// By how much longer leases hold here than the client is told, because clocks drift.
    grace: Duration,
    /// Epochs of different leaders are different.
    epoch: u64,
    sessions: BTreeMap<SessionId, Held>,
    holders: BTreeMap<InodeId, BTreeSet<SessionId>>,
    /// They may hold leases of an earlier leader, up to a moment.
    suspects: BTreeSet<SessionId>,
    suspects_until: Instant,
    changes: Changes,
    /// Nobody is given a lease on these before a moment; in the order of the moments, too.
    contended: BTreeMap<InodeId, Instant>,
    calming: VecDeque<(Instant, InodeId)>,
    /// What is applied before this may hold changes that nobody looked at.
    unwatched: u64,
    /// Have these been told of everything?
    called: BTreeSet<SessionId>,
    /// Something is over that a change may have waited for.
    stirred: bool,
}

impl Recalls {
    /// The same, telling nothing.
    pub fn empty(self) -> Self {
        Self { number: 0, inodes: Vec::new(), ..self }
    }
}

impl Leases {
    pub fn new(config: LeasesConfig, drift_ppm: u32) -> Self {
        // As `Contacts` has it: the client's clock too slow, and this one too fast.
        let grace = config.lease * (2 * drift_ppm) / (1_000_000 - drift_ppm.min(500_000));
        Self {
            config,
            grace,
            epoch: 0,
            sessions: BTreeMap::new(),
            holders: BTreeMap::new(),
            suspects: BTreeSet::new(),
            suspects_until: Instant::ZERO,
            changes: Changes::default(),
            contended: BTreeMap::new(),
            calming: VecDeque::new(),
            unwatched: 0,
            called: BTreeSet::new(),
            stirred: false,
        }
    }

    pub fn config(&self) -> &LeasesConfig {
        &self.config
    }

    /// This replica leads in this term from now on, and these sessions keep answers.
    pub fn lead(&mut self, term: u64, sessions: impl Iterator<Item = SessionId>, now: Instant) {
        self.forget();
        self.epoch = term << 32;
        self.sessions = sessions.map(|session| (session, Held::default())).collect();
        self.suspects = self.sessions.keys().copied().collect();
        self.suspects_until = now + self.config.lease + self.grace;
    }

    /// Leadership is over, and with it all that was known.
    pub fn forget(&mut self) {
        *self = Self {
            config: self.config,
            grace: self.grace,
            suspects_until: self.suspects_until,
            ..Self::new(self.config, 0)
        };
    }

    /// A session may hold leases from now on; if it may already, that may have been asked for twice, and
    /// what it holds it holds. `here` says that this leader let it, so it has no leases of
    /// another. `last` is the end of the log: changes up to it were not looked at, if there
    /// was nobody to look at them for.
    pub fn began(&mut self, session: SessionId, here: bool, last: u64, now: Instant) {
        if self.sessions.is_empty() {
            self.unwatched = self.unwatched.max(last);
        }
        if plant!("session-begins-anew", self.sessions.contains_key(&session), false) {
            probe!("a session may hold leases already");
        } else {
            self.sessions.insert(session, Held { until: now + self.config.lease, ..Held::default() });
        }
        if !here {
            self.suspects.insert(session);
        }
    }

    /// It has given everything up, or its leases had run out before.
    pub fn ended(&mut self, session: SessionId) {
        self.stirred |= self.suspects.remove(&session);
        self.called.remove(&session);
        if let Some(held) = self.sessions.remove(&session) {
            held.leases.keys().for_each(|inode| self.let_go(session, *inode));
        }
    }

    /// Is there nobody who could hold a lease?
    pub fn is_idle(&self) -> bool {
        self.sessions.is_empty()
    }

    /// May it still answer from what it was told?
    pub fn is_alive(&self, session: SessionId, now: Instant) -> bool {
        let suspect = self.suspects.contains(&session) && now < self.suspects_until;
        suspect || self.sessions.get(&session).is_some_and(|held| held.epoch != 0 && now < held.until)
    }

    /// Is it one of the sessions that may hold leases, and stays one?
    pub fn knows(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|held| !held.resting)
    }

    /// Sessions whose leases have run out, as those of the dead have: it is to be agreed on that they hold
    /// none, so that whoever leads next does not wait for them. They are given none until it is known what
    /// becomes of that ([`Self::ended`], [`Self::stays`]), and not named again: if it were agreed on once
    /// more when they hold leases again, nobody would wait for those.
    pub fn rest(&mut self, now: Instant, count_max: usize) -> Vec<SessionId> {
        let asleep = |(session, held): (&SessionId, &Held)| {
            let over = plant!("session-rests-with-leases", now >= held.until, true)
                && plant!("session-rests-twice", !held.resting, true);
            let alive = plant!("session-rests-with-leases", self.is_alive(*session, now), false);
            (over && !alive).then_some(*session)
        };
        let asleep: Vec<SessionId> = self.sessions.iter().filter_map(asleep).take(count_max).collect();
        for session in &asleep {
            if let Some(held) = self.sessions.get_mut(session) {
                held.resting = true;
            }
        }
        asleep
    }

    /// It will not be agreed on that it holds no leases any more.
    pub fn stays(&mut self, session: SessionId) {
        if let Some(held) = self.sessions.get_mut(&session) {
            held.resting = false;
        }
    }

    /// A session waits for recalls. It acknowledges those up to a number.
    pub fn poll(&mut self, session: SessionId, epoch: u64, acknowledged: u64, now: Instant) -> Polled {
        self.lapse(session, now);
        let held = self.sessions.get_mut(&session).filter(|held| !held.resting);
        let Some(held) = held else { return Polled::Sleeps };
        if epoch == 0 || epoch != held.epoch {
            probe!("a session begins a new epoch of leases");
            self.epoch += 1;
            (held.epoch, held.confirmed) = (self.epoch, false);
            if plant!("session-believed-before-it-confirms", false, true) {
                self.confirm(session);
            }
            return Polled::Answer;
        }
        if !held.confirmed {
            self.confirm(session);
        }
        self.acknowledge(session, acknowledged);
        let told = self.sessions.get(&session).is_none_or(|held| held.recalls.is_empty());
        if told { Polled::Wait } else { Polled::Answer }
    }

    /// A session that waits is answered now, and its leases are renewed.
    pub fn answer(&mut self, session: SessionId, now: Instant) -> Recalls {
        self.called.remove(&session);
        let lease = self.config.lease;
        let Some(held) = self.sessions.get_mut(&session) else {
            return Recalls { epoch: 0, number: 0, inodes: Vec::new(), lease };
        };
        let until = now + lease + self.grace;
        held.until = plant!("renewal-not-counted", until, if held.confirmed { held.until } else { until });
        let told = held.recalls.iter().take(if held.confirmed { RECALLS_MAX } else { 0 });
        let (mut number, mut inodes) = (held.acknowledged, Vec::new());
        for (recall, inode) in told {
            number = *recall;
            inodes.push(*inode);
        }
        Recalls { epoch: held.epoch, number, inodes, lease }
    }

    /// The sessions that there is something new to tell.
    pub fn take_called(&mut self) -> BTreeSet<SessionId> {
        std::mem::take(&mut self.called)
    }

    /// Gives a session leases on these, as far as may be: the state told of them is the newest, or
    /// nobody changes it.
    pub fn grant(
        &mut self,
        session: SessionId,
        inodes: impl IntoIterator<Item = InodeId>,
        applied: u64,
        now: Instant,
    ) -> Lent {
        self.calm_down(now);
        let Some(held) = self.sessions.get_mut(&session) else { return Lent::default() };
        if held.epoch == 0 || now >= held.until || applied < self.unwatched {
            return Lent::default();
        }
        let mut lent = Lent { epoch: held.epoch, ..Lent::default() };
        for inode in inodes {
            let changing = plant!("lease-granted-while-changing", self.changes.touch(inode), false);
            let full = held.leases.len() >= LEASES_MAX && !held.leases.contains_key(&inode);
            if changing || full || held.recalled.contains_key(&inode) || self.contended.contains_key(&inode) {
                continue;
            }
            held.leases.insert(inode, held.epoch);
            self.holders.entry(inode).or_default().insert(session);
            lent.inodes.push(inode);
        }
        lent
    }

    /// The epoch of a session, 0 if it has none.
    pub fn epoch(&self, session: SessionId) -> u64 {
        self.sessions.get(&session).map_or(0, |held| held.epoch)
    }

    /// Is anything over that a change may have waited for?
    pub fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }

    /// Changes that wait look again.
    pub fn stir(&mut self) {
        self.stirred = true;
    }

    /// Does nobody hold a lease on this, nor may? If somebody does, it is recalled.
    pub fn is_free(&mut self, inode: InodeId, now: Instant) -> bool {
        !self.is_suspecting(now) && self.recall_all(inode, None, now)
    }

    /// May somebody hold leases that this leader knows nothing of?
    fn is_suspecting(&mut self, now: Instant) -> bool {
        if !self.suspects.is_empty() && now >= self.suspects_until {
            probe!("leases of an earlier leader have run out");
            self.suspects.clear();
        }
        !self.suspects.is_empty()
    }

    /// Takes a lease back from everybody but `own`; says whether nobody else has it any more.
    fn recall_all(&mut self, inode: InodeId, own: Option<SessionId>, now: Instant) -> bool {
        let holders: Vec<SessionId> = self.holders.get(&inode).into_iter().flatten().copied().collect();
        let mut free = true;
        for session in holders {
            // It keeps its lease: what else it was told stays true.
            if own == Some(session) || self.lapse(session, now) {
                continue;
            }
            self.recall(session, inode, now);
            free = plant!("recall-not-waited-for", false, true);
        }
        free
    }

    fn recall(&mut self, session: SessionId, inode: InodeId, now: Instant) {
        let Some(held) = self.sessions.get_mut(&session) else { return };
        if held.recalled.contains_key(&inode) {
            return;
        }
        probe!("lease recalled");
        held.number += 1;
        held.recalls.insert(held.number, inode);
        held.recalled.insert(inode, held.number);
        self.called.insert(session);
        if self.config.contended > Duration::ZERO {
            let calm = now + self.config.contended;
            self.contended.insert(inode, calm);
            self.calming.push_back((calm, inode));
        }
    }

    /// What was recalled up to this number is given back.
    fn acknowledge(&mut self, session: SessionId, number: u64) {
        let Some(held) = self.sessions.get_mut(&session) else { return };
        held.acknowledged = held.acknowledged.max(number.min(held.number));
        let left = held.recalls.split_off(&(held.acknowledged + 1));
        let over = std::mem::replace(&mut held.recalls, left);
        for inode in over.into_values() {
            if let Some(held) = self.sessions.get_mut(&session) {
                held.recalled.remove(&inode);
            }
            self.release(session, inode);
        }
    }

    /// The session has taken its epoch on, and has nothing of any before.
    fn confirm(&mut self, session: SessionId) {
        self.stirred |= self.suspects.remove(&session);
        let Some(held) = self.sessions.get_mut(&session) else { return };
        held.confirmed = true;
        let epoch = held.epoch;
        let old: Vec<InodeId> =
            held.leases.iter().filter(|(_, granted)| **granted != epoch).map(|(inode, _)| *inode).collect();
        for inode in &old {
            held.leases.remove(inode);
            if let Some(number) = held.recalled.remove(inode) {
                held.recalls.remove(&number);
            }
        }
        old.iter().for_each(|inode| self.let_go(session, *inode));
    }

    /// True if the session's time is up: it has no leases any more, and no epoch.
    fn lapse(&mut self, session: SessionId, now: Instant) -> bool {
        let Some(held) = self.sessions.get_mut(&session) else { return true };
        if held.epoch == 0 || now < held.until {
            return held.epoch == 0;
        }
        probe!("leases run out");
        let leases = std::mem::take(&mut held.leases);
        held.recalls.clear();
        held.recalled.clear();
        held.epoch = plant!("epoch-outlives-its-leases", 0, held.epoch);
        self.stirred = true;
        leases.keys().for_each(|inode| self.let_go(session, *inode));
        true
    }

    fn release(&mut self, session: SessionId, inode: InodeId) {
        let Some(held) = self.sessions.get_mut(&session) else { return };
        if held.leases.remove(&inode).is_some() {
            self.let_go(session, inode);
        }
    }

    fn let_go(&mut self, session: SessionId, inode: InodeId) {
        self.stirred = true;
        if let Some(holders) = self.holders.get_mut(&inode) {
            holders.remove(&session);
            if holders.is_empty() {
                self.holders.remove(&inode);
            }
        }
    }

    fn calm_down(&mut self, now: Instant) {
        while let Some((calm, inode)) = self.calming.front().copied()
            && calm <= now
        {
            self.calming.pop_front();
            if self.contended.get(&inode) == Some(&calm) {
                self.contended.remove(&inode);
            }
        }
    }
}
