//! Until when what was told may be believed, and which answers may be kept. Knows inodes by their numbers
//! alone.
//!
//! An answer comes with leases on some inodes: from the moment it was made until they are recalled or run
//! out nobody changes these. But answers, recalls and changes of our own cross on their way, so the moments
//! at which an inode was recalled, or a change of our own began or ended that may concern it, are written
//! down, and a lease counts only if nothing of the kind happened since its answer was asked for.
//!
//! ```text
//!   asked ------------- answered, with a lease: kept
//!   asked ---- recall ---------- answered, with a lease: it may be the one that was recalled
//! ```

use mooseng_core::id::InodeId;
use mooseng_core::namespace::Attr;
use mooseng_core::time::Instant;
use mooseng_core::{plant, probe};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a clock may be wrong by. The service's may count too fast and ours too slowly.
const DRIFT_PPM: u32 = 10_000;
/// How many inodes it is remembered of when something last happened to them.
const CROSSED_MAX: usize = 65_536;

/// What the service answers a poll.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recalled {
    pub epoch: u64,
    /// Of the last recall that it tells.
    pub number: u64,
    pub inodes: Vec<InodeId>,
    pub lease: Duration,
}

/// The leases that came with an answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Granted {
    pub epoch: u64,
    pub inodes: Vec<InodeId>,
    /// What those of them are like that the answer itself does not tell of, as far as it came with that.
    pub attrs: Vec<Attr>,
}

/// Where a request stands among everything that happens to leases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    moment: u64,
}

/// What a poll does to what is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Polled {
    Nothing,
    /// The inodes are to be dropped.
    Recalled,
    /// The leases are gone, all of them.
    Renewed,
}

#[derive(Debug, Default)]
pub(super) struct Leases {
    /// Of the leases that are held; 0: none is.
    epoch: u64,
    acknowledged: u64,
    until: Instant,
    /// Grows with everything that may cross an answer.
    moment: u64,
    /// How many requests that were sent at a moment wait for their answers.
    on_their_way: BTreeMap<u64, u32>,
    /// When something last happened to an inode, as far as answers are waited for that it may cross.
    crossed: BTreeMap<InodeId, u64>,
    /// No answer to what was sent before is kept.
    floor: u64,
    /// How many changes of our own are under way that may concern an inode.
    changing: BTreeMap<InodeId, u32>,
}

impl Leases {
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// How long what is kept may still be believed.
    pub(super) fn left(&self, now: Instant) -> Duration {
        plant!("cache-outlives-its-leases", self.until.since(now), Duration::from_secs(60))
    }

    /// All leases are given up.
    pub(super) fn forget(&mut self) {
        self.epoch = 0;
        self.until = Instant::ZERO;
        self.moment += 1;
        self.floor = self.moment;
        self.crossed.clear();
    }

    /// A request is sent.
    pub(super) fn sent(&mut self) -> Sent {
        *self.on_their_way.entry(self.moment).or_default() += 1;
        Sent { moment: self.moment }
    }

    /// Its answer is not waited for any more.
    pub(super) fn over(&mut self, sent: Sent) {
        if let Some(waiting) = self.on_their_way.get_mut(&sent.moment) {
            *waiting -= 1;
            if *waiting == 0 {
                self.on_their_way.remove(&sent.moment);
            }
        }
        if self.on_their_way.is_empty() {
            self.crossed.clear();
        }
    }

    /// Something happens to an inode: whatever is on its way may be of before it.
    fn cross(&mut self, inode: InodeId) {
        if self.on_their_way.is_empty() {
            return;
        }
        self.moment += 1;
        self.crossed.insert(inode, self.moment);
        if self.crossed.len() > CROSSED_MAX {
            self.floor = self.moment;
            self.crossed.clear();
        }
    }

    /// A change of our own begins that may concern these.
    pub(super) fn begin(&mut self, inodes: &[InodeId]) -> Sent {
        for inode in inodes {
            self.cross(*inode);
            *self.changing.entry(*inode).or_default() += 1;
        }
        self.sent()
    }

    /// It is over.
    pub(super) fn end(&mut self, sent: Sent, inodes: &[InodeId]) {
        self.over(sent);
        for inode in inodes {
            if let Some(changes) = self.changing.get_mut(inode) {
                *changes -= 1;
                if *changes == 0 {
                    self.changing.remove(inode);
                }
            }
            self.cross(*inode);
        }
    }

    /// Did nothing happen to an inode since this was sent that its answer may not know of? `own`: how many
    /// changes are under way because of the request itself.
    pub(super) fn is_undisturbed(&self, sent: Sent, inode: InodeId, own: u32) -> bool {
        let changing = self.changing.get(&inode).copied().unwrap_or(0) > own;
        let crossed = self.crossed.get(&inode).is_some_and(|at| *at > sent.moment);
        let disturbed = changing || plant!("lease-that-was-recalled-kept", crossed, false);
        if disturbed {
            probe!("answer crossed with a change of lease");
        }
        !disturbed && sent.moment >= self.floor
    }

    /// Does a lease that came with the answer count?
    pub(super) fn keeps(&self, sent: Sent, epoch: u64, inode: InodeId, own: u32) -> bool {
        epoch != 0 && epoch == self.epoch && self.is_undisturbed(sent, inode, own)
    }

    /// The service answered a poll that was sent at `asked`, under this epoch.
    pub(super) fn polled(&mut self, asked: Instant, epoch: u64, told: &Recalled) -> Polled {
        if epoch != self.epoch {
            // Everything was forgotten since, so the answer is about leases of before.
            return Polled::Nothing;
        }
        let until = asked + told.lease.saturating_sub(told.lease * (2 * DRIFT_PPM) / 1_000_000);
        if told.epoch != epoch {
            self.forget();
            (self.epoch, self.acknowledged, self.until) = (told.epoch, told.number, until);
            return Polled::Renewed;
        }
        self.until = self.until.max(until);
        for inode in &told.inodes {
            self.cross(*inode);
        }
        Polled::Recalled
    }

    /// These recalls are dealt with.
    pub(super) fn dealt_with(&mut self, epoch: u64, number: u64) {
        if epoch == self.epoch {
            self.acknowledged = self.acknowledged.max(number);
        }
    }
}
