//! From a group's journal records back to what its replica had promised. Pure: the records come in
//! order, what they amount to comes out, and whether the snapshot they point to is there is for
//! the caller to see.

use super::log::Log;
use super::members::Members;
use super::records::{self, Checkpoint, Record};
use bytes::Bytes;
use mooseng_core::id::{GroupId, ReplicaId};
use raft::eraftpb::{Entry, HardState};
use std::collections::VecDeque;

/// Where in the journal entries lie, so that it can be told what is not needed any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub last: u64,
    pub position: u64,
}

/// What the records of one replica amount to.
#[derive(Debug)]
pub struct Recovered {
    pub replica: ReplicaId,
    /// Ends with what the durable state holds; entries follow it.
    pub log: Log,
    /// As of the log's base.
    pub members: Members,
    pub spans: VecDeque<Span>,
    pub checkpoint: u64,
    /// It was fenced in an earlier life.
    pub fenced: Option<String>,
}

/// What a journal says of a group.
#[derive(Debug)]
pub enum Recovery {
    /// Nothing: this server has no replica of it.
    Absent,
    Replica(Box<Recovered>),
    /// The records contradict one another or themselves. What they say of who it was, and of where
    /// its group is, may still help.
    Unsound {
        replica: Option<ReplicaId>,
        members: Members,
        why: String,
    },
}

/// Reads the records of `group`, each with its position in the journal.
pub fn recover(group: GroupId, records: impl IntoIterator<Item = (u64, Bytes)>) -> Recovery {
    let mut replay = Replay::default();
    for (position, bytes) in records {
        let step = match records::decode(bytes) {
            Ok(record) => replay.step(group, position, record),
            Err(error) => Err(format!("record at {position}: {error}")),
        };
        if let Err(why) = step {
            replay.broken.get_or_insert(why);
        }
    }
    replay.finish()
}

#[derive(Default)]
struct Replay {
    checkpoint: Option<(u64, Checkpoint)>,
    hard_state: HardState,
    /// Entries that follow one another, whatever stands before them.
    entries: VecDeque<Entry>,
    spans: VecDeque<Span>,
    fenced: Option<String>,
    /// Something made no sense: only another replica can begin after it.
    broken: Option<String>,
}

impl Replay {
    fn replica(&self) -> Option<ReplicaId> {
        self.checkpoint.as_ref().map(|(_, checkpoint)| checkpoint.replica)
    }

    fn step(&mut self, group: GroupId, position: u64, record: Record) -> Result<(), String> {
        match record {
            Record::Checkpoint(checkpoint) if self.begins_anew(&checkpoint) => {
                let hard_state = checkpoint.hard_state.clone();
                *self = Self { checkpoint: Some((position, checkpoint)), hard_state, ..Self::default() };
            }
            Record::Fenced { reason } => self.fenced = Some(reason),
            _ if self.broken.is_some() => {}
            Record::Checkpoint(checkpoint) => {
                if checkpoint.group != group {
                    return Err(format!("record at {position} is of {}, not of {group}", checkpoint.group));
                }
                if self.replica().is_some_and(|replica| replica != checkpoint.replica) {
                    return Err(format!("record at {position} is of replica {}", checkpoint.replica));
                }
                self.begin_at(&checkpoint)?;
                self.hard_state = checkpoint.hard_state.clone();
                self.checkpoint = Some((position, checkpoint));
            }
            Record::Append { hard_state, entries } => {
                self.hard_state = hard_state;
                self.append(position, entries);
            }
        }
        Ok(())
    }

    /// After a fence the server may begin again, with nothing, as another replica.
    fn begins_anew(&self, checkpoint: &Checkpoint) -> bool {
        self.fenced.is_some() && (checkpoint.index == 0 || self.replica() != Some(checkpoint.replica))
    }

    /// Entries up to the checkpoint's are in the durable state; those after it hold, unless the
    /// state came from elsewhere. They may stand before it, and even begin after a gap: what was in
    /// the gap was let go for the sake of a later checkpoint.
    fn begin_at(&mut self, checkpoint: &Checkpoint) -> Result<(), String> {
        if checkpoint.installed {
            self.entries.clear();
        }
        while let Some(entry) = self.entries.front()
            && entry.index <= checkpoint.index
        {
            if entry.index == checkpoint.index && entry.term != checkpoint.term {
                return Err(format!("entry {} is not the one its snapshot ends with", entry.index));
            }
            self.entries.pop_front();
        }
        Ok(())
    }

    fn append(&mut self, position: u64, entries: Vec<Entry>) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        self.spans.push_back(Span { last: last.index, position });
        let here = self.entries.front().map_or(first.index, |entry| entry.index);
        let next = here + self.entries.len() as u64;
        if first.index < here || first.index > next {
            self.entries.clear();
        } else {
            self.entries.truncate((first.index - here) as usize);
        }
        self.entries.extend(entries);
    }

    fn finish(mut self) -> Recovery {
        let broken = self.broken.take();
        let Some((position, checkpoint)) = self.checkpoint.take() else {
            if broken.is_none() && self.entries.is_empty() && self.fenced.is_none() {
                return Recovery::Absent;
            }
            let nameless = || "the journal has entries of a replica it does not name".into();
            let why = broken.unwrap_or_else(nameless);
            return Recovery::Unsound { replica: None, members: Members::default(), why };
        };
        let unsound = |why: String| Recovery::Unsound {
            replica: Some(checkpoint.replica),
            members: checkpoint.members.clone(),
            why,
        };
        if let Some(why) = broken {
            return unsound(why);
        }
        // An append that came before the snapshot it belongs behind starts at or before it.
        while self.entries.front().is_some_and(|entry| entry.index <= checkpoint.index) {
            self.entries.pop_front();
        }
        if let Some(first) = self.entries.front()
            && first.index != checkpoint.index + 1
        {
            return unsound(format!("entries {}..{} are missing", checkpoint.index + 1, first.index));
        }
        let mut log =
            Log::new((checkpoint.index, checkpoint.term), HardState::default(), &checkpoint.members);
        log.append(self.entries.into());
        let mut hard_state = self.hard_state;
        hard_state.commit = hard_state.commit.max(checkpoint.index);
        if hard_state.commit > log.last() || hard_state.term < log.last_term() {
            return unsound(format!("the log ends at {} before {hard_state:?}", log.last()));
        }
        log.set_hard_state(hard_state);
        self.spans.retain(|span| span.last > checkpoint.index);
        Recovery::Replica(Box::new(Recovered {
            replica: checkpoint.replica,
            log,
            members: checkpoint.members,
            spans: self.spans,
            checkpoint: position,
            fenced: self.fenced,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::{encode_append, encode_checkpoint, encode_fenced};
    use super::*;
    use mooseng_core::env::Address;
    use mooseng_core::id::ServerId;

    const GROUP: GroupId = GroupId(1);

    fn hard_state(term: u64, commit: u64) -> HardState {
        let mut hard_state = HardState::default();
        hard_state.set_term(term);
        hard_state.set_commit(commit);
        hard_state
    }

    fn checkpoint(replica: u64, index: u64, term: u64) -> Bytes {
        let replica = ReplicaId(replica);
        let members = Members::genesis(&[(replica, ServerId(1), Address::new("a:1"))]);
        let hard_state = hard_state(term, index);
        encode_checkpoint(&Checkpoint {
            group: GROUP,
            replica,
            hard_state,
            index,
            term,
            members,
            installed: false,
        })
    }

    fn installed(index: u64, term: u64) -> Bytes {
        let Ok(Record::Checkpoint(own)) = records::decode(checkpoint(1, index, term)) else { panic!() };
        encode_checkpoint(&Checkpoint { installed: true, ..own })
    }

    fn append(first: u64, terms: &[u64], commit: u64) -> Bytes {
        let entry = |(offset, term): (usize, &u64)| {
            let mut entry = Entry::default();
            entry.set_index(first + offset as u64);
            entry.set_term(*term);
            entry
        };
        let entries: Vec<Entry> = terms.iter().enumerate().map(entry).collect();
        encode_append(&hard_state(*terms.last().unwrap(), commit), &entries)
    }

    fn replica(records: Vec<Bytes>) -> Recovered {
        match recover(GROUP, (10..).zip(records)) {
            Recovery::Replica(recovered) => *recovered,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn entries_are_overwritten_in_the_order_of_the_records() {
        let back = replica(vec![checkpoint(1, 1, 1), append(2, &[2, 2, 2], 2), append(3, &[3], 2)]);
        assert_eq!((back.log.base(), back.log.last(), back.log.last_term()), (1, 3, 3));
        assert_eq!((back.log.hard_state().term, back.log.hard_state().commit), (3, 2));
        assert_eq!(back.spans, [Span { last: 4, position: 11 }, Span { last: 3, position: 12 }]);
    }

    #[test]
    fn a_checkpoint_takes_the_place_of_what_came_before() {
        // Records before the first one kept may be of any age.
        let back = replica(vec![append(7, &[2, 2], 6), checkpoint(1, 8, 2), append(9, &[2], 8)]);
        assert_eq!((back.log.base(), back.log.last()), (8, 9));
        assert_eq!(back.log.hard_state().commit, 8);
        assert_eq!(back.spans, [Span { last: 9, position: 12 }]);
        let jump = replica(vec![checkpoint(1, 1, 1), append(2, &[2, 2], 1), installed(90, 4)]);
        assert_eq!((jump.log.base(), jump.log.last(), jump.log.last_term()), (90, 90, 4));
    }

    #[test]
    fn what_follows_a_checkpoint_of_another_history_is_dropped() {
        let back = replica(vec![checkpoint(1, 1, 1), append(2, &[2, 2, 2, 2], 1), installed(3, 3)]);
        assert_eq!((back.log.base(), back.log.last()), (3, 3));
    }

    /// Entries 9 and 10 were written before the checkpoint at 7 was; what they follow was let go
    /// when the checkpoint at 8 was there.
    #[test]
    fn an_older_checkpoint_among_newer_entries_takes_nothing_away() {
        let records = vec![append(9, &[2, 2], 7), checkpoint(1, 7, 2), checkpoint(1, 8, 2)];
        let back = replica(records);
        assert_eq!((back.log.base(), back.log.last()), (8, 10));
    }

    #[test]
    fn records_that_cannot_be_true_together_are_found_out() {
        let unsound = |records: Vec<Bytes>| match recover(GROUP, (10..).zip(records)) {
            Recovery::Unsound { why, .. } => why,
            other => panic!("{other:?}"),
        };
        let gap = unsound(vec![checkpoint(1, 1, 1), append(2, &[2], 1), append(9, &[2], 1)]);
        assert_eq!(gap, "entries 2..9 are missing");
        unsound(vec![checkpoint(1, 1, 1), checkpoint(2, 1, 1)]);
        unsound(vec![checkpoint(1, 1, 1), append(2, &[2, 2], 1), checkpoint(1, 3, 1)]);
        unsound(vec![append(2, &[2], 1)]);
        unsound(vec![checkpoint(1, 1, 1), append(2, &[2], 8)]);
        unsound(vec![Bytes::from_static(b"rubbish")]);
    }

    #[test]
    fn a_fence_lasts() {
        let back = replica(vec![checkpoint(1, 1, 1), encode_fenced("its state differed")]);
        assert_eq!(back.fenced.as_deref(), Some("its state differed"));
        assert!(matches!(recover(GROUP, []), Recovery::Absent));
        let again = replica(vec![checkpoint(1, 9, 1), encode_fenced("why"), checkpoint(1, 20, 1)]);
        assert!(again.fenced.is_some(), "a record that was under way does not lift it");
    }

    #[test]
    fn another_replica_begins_where_one_was_fenced_or_broken() {
        let rubbish = Bytes::from_static(b"rubbish");
        for before in [append(90, &[2], 8), rubbish, checkpoint(7, 1, 1)] {
            let records = vec![checkpoint(1, 9, 1), before, encode_fenced("why"), checkpoint(2, 0, 0)];
            let back = replica(records);
            assert_eq!((back.replica, back.log.last(), back.fenced), (ReplicaId(2), 0, None));
        }
    }
}
