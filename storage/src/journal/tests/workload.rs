//! Writers that remember what they were promised, and the judgement over what comes back.

use crate::error::StorageError;
use crate::journal::{Journal, JournalConfig, Position, Recovered, StreamId, Tail};
use crate::testing::{End, Faults, Machine};
use bytes::Bytes;
use futures::future::join_all;
use mooseng_core::chance::{Dice, mix, stream};
use mooseng_core::env::{DiskError, Env};
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) const DIRECTORY: &str = "journal";

pub(super) fn config() -> JournalConfig {
    JournalConfig { segment_bytes: 8_192, batch_bytes_max: 2_048, queue_bytes_max: 8_192, sector_bytes: 512 }
}

/// The bytes of record `number` of a stream: they say what they are, so nothing else looks right.
pub(super) fn record(stream: StreamId, number: u64) -> Bytes {
    let len = 16 + mix(stream.0 << 32 | number) % 700;
    let mut bytes = Vec::with_capacity(len as usize);
    bytes.extend_from_slice(&stream.0.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend((bytes.len() as u64..len).map(|at| mix(number ^ at << 20) as u8));
    bytes.into()
}

/// What the streams know. They know it over all crashes: they are the clients.
#[derive(Debug, Default, Clone)]
pub(super) struct Ledger {
    pub(super) streams: BTreeMap<StreamId, Known>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Known {
    /// Records below this were given to the journal, in calls that began at these numbers.
    pub(super) asked: u64,
    pub(super) calls: Vec<u64>,
    /// Records below this were acknowledged.
    pub(super) acknowledged: u64,
    /// Records below this were released.
    pub(super) released: u64,
    /// Where acknowledged calls begin.
    pub(super) positions: Vec<(u64, Position)>,
}

impl Ledger {
    /// Everything acknowledged and not released is there, in order, whole, and nothing that was
    /// never asked for; then what is there becomes what the streams go on from.
    pub(super) fn check(&mut self, recovered: &Recovered) {
        assert!(recovered.records.is_sorted_by_key(|record| record.position), "positions grow");
        let mut found: BTreeMap<StreamId, Vec<u64>> = BTreeMap::new();
        for entry in &recovered.records {
            let number = u64::from_le_bytes(entry.bytes[8..16].try_into().unwrap());
            assert_eq!(entry.bytes, record(entry.stream, number), "a record that was never written");
            found.entry(entry.stream).or_default().push(number);
        }
        for (stream, numbers) in &found {
            assert!(self.streams.contains_key(stream), "{stream:?} never wrote");
            assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{stream:?}: {numbers:?}");
        }
        for (stream, known) in &mut self.streams {
            let numbers = found.remove(stream).unwrap_or_default();
            let (start, end) = match (numbers.first(), numbers.last()) {
                (Some(first), Some(last)) => (*first, last + 1),
                _ => (known.released.max(known.acknowledged), known.released.max(known.acknowledged)),
            };
            assert!(
                start <= known.released.max(known.calls.first().copied().unwrap_or(0)),
                "{stream:?} lost its start"
            );
            assert!(end >= known.acknowledged, "{stream:?} lost {end}..{}", known.acknowledged);
            assert!(end <= known.asked, "{stream:?} never asked for {end}");
            assert!(end == known.asked || known.calls.contains(&end), "{stream:?} has half a call at {end}");
            known.asked = end;
            known.acknowledged = end;
            known.calls.retain(|call| *call < end);
        }
    }
}

/// How a round of work goes.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) seed: u64,
    pub(super) streams: u64,
    pub(super) calls: u64,
    pub(super) settle: bool,
    pub(super) release: bool,
}

/// Opens the journal, checks what it gives back, and writes to it from several streams at once.
pub(super) async fn work(
    machine: Machine,
    ledger: Arc<Mutex<Ledger>>,
    config: JournalConfig,
    round: Round,
) -> Tail {
    let (journal, recovered) = match Journal::open(&machine, DIRECTORY, config).await {
        Ok(opened) => opened,
        Err(error @ StorageError::Disk(DiskError::Io { .. })) => {
            // As a server does when its journal does not open.
            machine.halt(error.to_string());
            return pending().await;
        }
        Err(error) => panic!("{error}"),
    };
    ledger.lock().unwrap().check(&recovered);
    if round.settle && recovered.tail != Tail::Clean {
        journal.settle().await.unwrap();
    }
    let writers = (1..=round.streams)
        .map(|id| write(machine.clone(), journal.clone(), ledger.clone(), StreamId(id), round.clone()));
    join_all(writers).await;
    recovered.tail
}

async fn write(
    machine: Machine,
    journal: Journal<Machine>,
    ledger: Arc<Mutex<Ledger>>,
    id: StreamId,
    round: Round,
) {
    let mut dice = stream(round.seed, "workload", id.0, 0);
    let mut waiting = Vec::new();
    for _ in 0..round.calls {
        let count = dice.between(1, 3);
        let first = {
            let mut ledger = ledger.lock().unwrap();
            let known = ledger.streams.entry(id).or_default();
            let first = known.asked;
            known.calls.push(first);
            known.asked += count;
            first
        };
        let append = journal.append(id, (first..first + count).map(|number| record(id, number)).collect());
        let told = ledger.clone();
        waiting.push(async move {
            let position = append.await.unwrap();
            let mut ledger = told.lock().unwrap();
            let known = ledger.streams.get_mut(&id).unwrap();
            assert_eq!(known.acknowledged, first, "acknowledged in order");
            known.acknowledged = first + count;
            known.positions.push((first, position));
        });
        if dice.below(3) > 0 {
            for wait in waiting.drain(..) {
                wait.await;
            }
        }
        if round.release && dice.below(4) == 0 {
            release(&journal, &ledger, id);
        }
        if dice.below(8) == 0 {
            mooseng_core::env::sleep(&machine, Duration::from_millis(dice.below(60))).await;
        }
    }
    for wait in waiting {
        wait.await;
    }
}

fn release(journal: &Journal<Machine>, ledger: &Mutex<Ledger>, id: StreamId) {
    let mut ledger = ledger.lock().unwrap();
    let known = ledger.streams.get_mut(&id).unwrap();
    if let Some((number, position)) = known.positions.last().copied() {
        known.released = number;
        journal.release(id, position);
    }
}

/// A machine with an empty journal.
pub(super) fn formatted(seed: u64, config: &JournalConfig) -> Machine {
    let machine = Machine::new(seed);
    let (env, config) = (machine.clone(), config.clone());
    machine.finish(async move { Journal::format(&env, DIRECTORY, &config).await.unwrap() });
    machine
}

/// One round on a machine; what the journal said of its tail, if it got so far.
pub(super) fn go(
    machine: &Machine,
    ledger: &Arc<Mutex<Ledger>>,
    config: &JournalConfig,
    round: Round,
    faults: Faults,
) -> End<Tail> {
    let task = work(machine.clone(), ledger.clone(), config.clone(), round);
    machine.run(faults, task)
}

/// Opens the journal and lets it go again.
pub(super) fn reopen(machine: &Machine, config: &JournalConfig) -> Recovered {
    let (env, config) = (machine.clone(), config.clone());
    machine.finish(async move { Journal::open(&env, DIRECTORY, config).await.unwrap().1 })
}
