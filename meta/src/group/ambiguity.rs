//! What a replica does whose journal ends in doubt: somewhere behind its last good record stands
//! something that may be the beginning of a write nobody was told of (a power cut), or what is left
//! of records that were synced, and so perhaps acknowledged. Nothing on this disk can tell which.
//!
//! Such a replica is *mute*: it steps nothing into raft and sends nothing but inquiries. It asks
//! every other voter of the newest configuration it hears of, until each has answered (as a
//! serving, a mute or a damaged replica, or as none at all) or is no voter any more. Then:
//!
//! - It takes the greatest term it was told of for its own, with its vote used up.
//! - The greatest end of a log it was told of is the *phantom end*: until its own log has reached
//!   it, it stands in no election, and votes for no candidate whose log ends before it. It takes
//!   entries from a leader and acknowledges them meanwhile.
//!   Those whose logs end after its own it goes on asking: a voter that turns out to be lost
//!   meanwhile claims nothing any more.
//! - When its log has reached the phantom end, the journal's doubt is settled.
//!
//! Why this is enough. Call a voter failed that lost something it had synced; a group survives a
//! minority of failed voters, and this replica may be one of them.
//!
//! 1. An entry that was ever acknowledged to a client was synced by a majority before. More voters
//!    than the failed ones are in it, so one of them, call it V, is not failed and is not this
//!    replica, if this replica did lose the entry; if it did not, there is nothing to repair. V is
//!    a voter of the newest configuration, or that configuration's voters got the entry before V
//!    was let go. So somebody who holds the entry answers, and the phantom end is not before it in
//!    raft's order: logs with that end or a later one hold the entry, because whoever leads a later
//!    term holds it already.
//! 2. Until this replica holds it again, its vote cannot help a candidate without it: such a
//!    candidate's log ends before V's did when V answered, so before the phantom end.
//! 3. A vote it gave and lost was for a term that its candidate knows. That candidate answers with
//!    its term; or it is failed, and then it and this replica are two; or it was replaced under a
//!    later term that its successors' electors answer with. So the vote was for a term that this
//!    replica now counts as used.
//! 4. A claim may be let go when its voter is lost: that voter is then one of the failed ones, and
//!    whatever was acknowledged is claimed by another, or is held here after all. If it were not
//!    let go, an entry that only a dead voter ever had would keep the others from electing.
//! 5. A learner in the place of a lost voter claims nothing, whatever its log ends with: nobody counted
//!    what it acknowledged. It may have become a voter and not know, by a change of members in its log
//!    that it has not applied: then it claims what its log holds, unless the log ends with that change,
//!    or goes through it into a joint configuration, in which the voters of before had to agree as well.
//!    If a learner did claim, an entry that it alone has would keep all others from electing: it cannot
//!    stand itself.
//! 6. That this replica's acknowledgements of *new* entries count meanwhile does no harm: they are
//!    synced here and follow, by raft's own check, everything before them in the leader's log.
//!
//! If the power fails everywhere, all voters may be mute at once. A mute replica answers with what
//! it recovered; every log that was acknowledged is in one of the answers, all replicas compute the
//! same phantom end, and the one whose log is that end is the first that may stand.

use super::members::Members;
use mooseng_core::id::ReplicaId;
use mooseng_core::plant;
use std::collections::{BTreeMap, BTreeSet};

/// How a replica stands, as others are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    Serving,
    Waiting,
    Damaged,
    Absent,
}

/// What somebody answered to an inquiry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The replica that answered; `None` if there is none at that address.
    pub replica: Option<ReplicaId>,
    pub standing: Standing,
    pub term: u64,
    /// The end of its log: term first, as raft compares.
    pub end: End,
    /// It votes, or may do so by what its log ends with: its acknowledgements may have counted.
    pub counted: bool,
    pub commit: u64,
    pub members: Members,
}

/// The end of a log, in raft's order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct End {
    pub term: u64,
    pub index: u64,
}

/// What the answers amount to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    pub term: u64,
    pub phantom: End,
}

#[derive(Clone, Debug)]
pub struct Inquiry {
    own: ReplicaId,
    members: Members,
    /// How far the configuration above had been applied by whoever told of it.
    seen: u64,
    answers: BTreeMap<ReplicaId, (u64, End)>,
    /// Those of them who were in no doubt themselves.
    sure: BTreeSet<ReplicaId>,
}

impl Inquiry {
    pub fn new(own: ReplicaId, members: Members, commit: u64) -> Self {
        Self { own, members, seen: commit, answers: BTreeMap::new(), sure: BTreeSet::new() }
    }

    /// The newest members it has heard of: where to ask.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// Whom to ask still.
    pub fn open(&self) -> Vec<ReplicaId> {
        let mut open = self.members.electorate();
        open.retain(|voter| *voter != self.own && !self.answers.contains_key(voter));
        open
    }

    /// Somebody answered the question that was put to `asked`.
    pub fn answered(&mut self, asked: ReplicaId, answer: &Answer) {
        // A voter that is gone, or has lost what it knew, will never say more than that. Whoever
        // stands in its place answers for itself.
        let speaks = matches!(answer.standing, Standing::Serving | Standing::Waiting);
        let mut told = if speaks { (answer.term, answer.end) } else { (0, End::default()) };
        if plant!("learner-claims-its-log", !answer.counted, false) {
            told.1 = End::default();
        }
        if answer.standing == Standing::Serving {
            self.sure.extend(answer.replica);
        }
        match answer.replica {
            Some(replica) if replica != asked => {
                self.answers.insert(asked, (0, End::default()));
                self.answers.insert(replica, told);
            }
            _ => {
                self.answers.insert(asked, told);
            }
        }
        if speaks && answer.commit > self.seen && !answer.members.is_empty() {
            self.seen = answer.commit;
            self.members = answer.members.clone();
        }
    }

    /// Those whose logs ended after this.
    pub fn ahead_of(&self, end: End) -> Vec<ReplicaId> {
        let ahead = self.answers.iter().filter(|(_, (_, told))| *told > end);
        ahead.map(|(replica, _)| *replica).collect()
    }

    /// What is known when nobody is left to ask, given this replica's own term and end.
    pub fn verdict(&self, term: u64, end: End) -> Option<Verdict> {
        self.open().is_empty().then(|| self.greatest(term, end))
    }

    /// Are fewer than a majority of the voters in doubt, so that what was acknowledged is in one of the
    /// answers whatever this doubt is about? Otherwise nobody can tell a write that was torn from one that
    /// was acknowledged and rotted everywhere; a replica that is alone can never.
    pub fn is_vouched_for(&self) -> bool {
        let electorate = self.members.electorate();
        let sure = electorate.iter().filter(|voter| self.sure.contains(voter)).count();
        2 * sure >= electorate.len()
    }

    /// The greatest of what was told so far.
    pub fn greatest(&self, term: u64, end: End) -> Verdict {
        let fold = |verdict: Verdict, (term, end): &(u64, End)| Verdict {
            term: verdict.term.max(*term),
            phantom: verdict.phantom.max(*end),
        };
        self.answers.values().fold(Verdict { term, phantom: end }, fold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::env::Address;
    use mooseng_core::id::ServerId;

    fn members(ids: &[u64]) -> Members {
        let voter = |id: &u64| (ReplicaId(*id), ServerId(*id), Address::new("a:1"));
        Members::genesis(&ids.iter().map(voter).collect::<Vec<_>>())
    }

    fn answer(replica: u64, standing: Standing, term: u64, end: (u64, u64)) -> Answer {
        let end = End { term: end.0, index: end.1 };
        let members = members(&[1, 2, 3]);
        Answer { replica: Some(ReplicaId(replica)), standing, term, end, counted: true, commit: 5, members }
    }

    const OWN_END: End = End { term: 3, index: 7 };

    #[test]
    fn it_waits_for_every_other_voter() {
        let mut inquiry = Inquiry::new(ReplicaId(1), members(&[1, 2, 3]), 5);
        inquiry.answered(ReplicaId(2), &answer(2, Standing::Serving, 6, (4, 2)));
        assert_eq!(inquiry.open(), [ReplicaId(3)]);
        assert_eq!(inquiry.verdict(3, OWN_END), None);
        inquiry.answered(ReplicaId(3), &answer(3, Standing::Waiting, 4, (3, 9)));
        let phantom = End { term: 4, index: 2 };
        assert_eq!(inquiry.verdict(3, OWN_END), Some(Verdict { term: 6, phantom }));
    }

    #[test]
    fn a_majority_has_to_be_in_no_doubt() {
        let alone = Inquiry::new(ReplicaId(1), members(&[1]), 5);
        assert!(alone.verdict(3, OWN_END).is_some() && !alone.is_vouched_for());
        let mut inquiry = Inquiry::new(ReplicaId(1), members(&[1, 2, 3]), 5);
        inquiry.answered(ReplicaId(2), &answer(2, Standing::Serving, 6, (4, 2)));
        inquiry.answered(ReplicaId(3), &answer(3, Standing::Waiting, 4, (3, 9)));
        assert!(!inquiry.is_vouched_for());
        inquiry.answered(ReplicaId(3), &answer(3, Standing::Serving, 4, (3, 9)));
        assert!(inquiry.is_vouched_for());
    }

    #[test]
    fn a_damaged_voter_says_nothing_of_its_log() {
        let mut inquiry = Inquiry::new(ReplicaId(1), members(&[1, 2, 3]), 5);
        inquiry.answered(ReplicaId(2), &answer(2, Standing::Damaged, 90, (90, 90)));
        inquiry.answered(ReplicaId(3), &answer(3, Standing::Serving, 4, (2, 9)));
        assert_eq!(inquiry.verdict(3, OWN_END), Some(Verdict { term: 4, phantom: OWN_END }));
    }

    #[test]
    fn a_claim_lasts_as_long_as_its_voter() {
        let mut inquiry = Inquiry::new(ReplicaId(1), members(&[1, 2, 3]), 5);
        inquiry.answered(ReplicaId(2), &answer(2, Standing::Serving, 4, (4, 20)));
        inquiry.answered(ReplicaId(3), &answer(3, Standing::Serving, 4, (3, 9)));
        assert_eq!(inquiry.ahead_of(End { term: 3, index: 9 }), [ReplicaId(2)]);
        inquiry.answered(ReplicaId(2), &answer(2, Standing::Damaged, 0, (0, 0)));
        let phantom = End { term: 3, index: 9 };
        assert_eq!(inquiry.verdict(3, OWN_END), Some(Verdict { term: 4, phantom }));
    }

    /// 2 is lost, and 4 learns in its place.
    #[test]
    fn a_learner_claims_nothing_that_was_not_counted() {
        let mut inquiry = Inquiry::new(ReplicaId(1), members(&[1, 2, 3]), 5);
        inquiry.answered(ReplicaId(3), &answer(3, Standing::Serving, 3, (3, 6)));
        let learner = Answer { counted: false, ..answer(4, Standing::Serving, 5, (3, 8)) };
        inquiry.answered(ReplicaId(2), &learner);
        assert_eq!(inquiry.verdict(3, OWN_END), Some(Verdict { term: 5, phantom: OWN_END }));
        inquiry.answered(ReplicaId(2), &answer(4, Standing::Serving, 5, (3, 8)));
        assert_eq!(inquiry.verdict(3, OWN_END).unwrap().phantom, End { term: 3, index: 8 }, "a voter by now");
    }

    #[test]
    fn whoever_was_voted_in_meanwhile_is_asked_too() {
        let mut inquiry = Inquiry::new(ReplicaId(1), members(&[1, 2, 3]), 5);
        let mut newer = answer(3, Standing::Serving, 6, (6, 20));
        (newer.commit, newer.members) = (19, members(&[1, 3, 4]));
        inquiry.answered(ReplicaId(3), &newer);
        assert_eq!(inquiry.open(), [ReplicaId(4)], "2 was replaced by 4");
    }
}
