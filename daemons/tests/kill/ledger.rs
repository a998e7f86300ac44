//! What the children have said, and whether a journal that was opened again agrees.

use crate::child::WRITERS;
use crate::record::Head;
use mooseng_storage::{Position, Record, StreamId};
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Ledger {
    writers: BTreeMap<u64, Account>,
    acknowledged: u64,
}

#[derive(Default)]
struct Account {
    /// Of each acknowledged append that is not released: the sequence of its first record, and
    /// where that lies.
    acknowledged: BTreeMap<u64, Position>,
    /// Records below this may be gone.
    released: u64,
    /// One more than the highest sequence that was ever acknowledged or seen.
    end: u64,
}

impl Ledger {
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Takes one of the child's lines; others are the test harness's.
    pub(crate) fn hear(&mut self, line: &str) {
        let mut words = line.split(' ');
        let verb = words.next();
        let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        match (verb, &numbers[..]) {
            (Some("ack"), [writer, first, position]) => {
                let account = self.writers.entry(*writer).or_default();
                account.acknowledged.insert(*first, Position(*position));
                account.end = account.end.max(first + 1);
                self.acknowledged += 1;
            }
            (Some("release"), [writer, below]) => {
                let account = self.writers.entry(*writer).or_default();
                account.released = *below;
                account.acknowledged = account.acknowledged.split_off(below);
            }
            _ => {}
        }
    }

    /// Holds what was recovered against what was said, and from now on expects it to stay.
    pub(crate) fn compare(&mut self, records: &[Record]) -> Result<(), String> {
        let positions = records.windows(2).all(|pair| pair[0].position < pair[1].position);
        if !positions {
            return Err("records are not in the order of their positions".to_owned());
        }
        for writer in 0..WRITERS {
            let own = records.iter().filter(|record| record.stream == StreamId(writer));
            let account = self.writers.entry(writer).or_default();
            account.compare(writer, own).map_err(|why| format!("writer {writer}: {why}"))?;
        }
        match records.iter().find(|record| record.stream.0 >= WRITERS) {
            Some(record) => Err(format!("stream {:?} was never written", record.stream)),
            None => Ok(()),
        }
    }
}

impl Account {
    fn compare<'a>(&mut self, writer: u64, records: impl Iterator<Item = &'a Record>) -> Result<(), String> {
        let mut found = BTreeMap::new();
        let mut last: Option<Head> = None;
        for Record { position, bytes, .. } in records {
            let head = Head::read(bytes).ok_or_else(|| format!("the bytes at {position} are no record"))?;
            let follows = last.is_none_or(|last| last.sequence + 1 == head.sequence && last.fits(&head));
            if head.writer != writer || !follows {
                return Err(format!("{head:?} at {position} does not follow {last:?}"));
            }
            found.insert(head.sequence, *position);
            last = Some(head);
        }
        if last.is_some_and(|last| last.place + 1 != last.count) {
            return Err(format!("an append was recovered in part: it ends with {last:?}"));
        }
        self.check_acknowledged(&found)?;
        self.end = self.end.max(last.map_or(0, |last| last.sequence + 1));
        Ok(())
    }

    fn check_acknowledged(&self, found: &BTreeMap<u64, Position>) -> Result<(), String> {
        for (sequence, position) in &self.acknowledged {
            if found.get(sequence) != Some(position) {
                let found = found.get(sequence);
                return Err(format!("{sequence} was acknowledged at {position} and is found at {found:?}"));
            }
        }
        if let Some(missing) = (self.released..self.end).find(|sequence| !found.contains_key(sequence)) {
            return Err(format!("{missing} was there before and is gone; released below {}", self.released));
        }
        Ok(())
    }
}

impl Head {
    /// Is `next` what an append goes on with, or the beginning of another?
    fn fits(&self, next: &Head) -> bool {
        if self.place + 1 == self.count {
            next.place == 0
        } else {
            next.place == self.place + 1 && next.count == self.count
        }
    }
}
