//! Those who put parts and give them up, and remember what they were promised.

use crate::error::StorageError;
use crate::store::{Given, Health, Store, StoreConfig, StoreError};
use crate::testing::{End, Faults, Machine};
use bytes::Bytes;
use mooseng_core::chance::{Dice, mix, stream};
use mooseng_core::checksum::leaves;
use mooseng_core::env::{DiskError, Env};
use mooseng_core::id::{PartId, SliceId, Slot};
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};

pub(super) const DIRECTORY: &str = "store";

pub(super) fn config() -> StoreConfig {
    StoreConfig {
        segment_bytes: 16_384,
        sector_bytes: 512,
        small_bytes_max: 6_000,
        batch_bytes_max: 8_192,
        queue_bytes_max: 64 << 10,
        needed_percent_max: 50,
        free_bytes_min: 0,
        files_open_max: 3,
    }
}

pub(super) fn part(number: u64) -> PartId {
    let slice = SliceId::new(0, Slot::new(7).unwrap(), number / 4 + 1).unwrap();
    PartId { slice, index: (number % 4) as u8 }
}

/// The bytes of a part: they say whose they are, so nobody else's look right.
pub(super) fn bytes(part: PartId, length: usize) -> Bytes {
    let seed = mix(part.slice.raw() << 8 | u64::from(part.index));
    (0..length).map(|at| mix(seed ^ (at as u64 / 8)).to_le_bytes()[at % 8]).collect()
}

pub(super) fn formatted(seed: u64, config: &StoreConfig) -> Machine {
    let machine = Machine::new(seed);
    let (env, config) = (machine.clone(), config.clone());
    machine.finish(async move { Store::format(&env, DIRECTORY, &config).await.unwrap() });
    machine
}

pub(super) async fn opened(machine: &Machine, config: &StoreConfig) -> Store<Machine> {
    Store::open(machine, DIRECTORY, config.clone()).await.unwrap().0
}

pub(super) async fn put(store: &Store<Machine>, part: PartId, length: usize) -> Result<u64, StoreError> {
    let data = bytes(part, length);
    let sums = leaves(part, 0, &data);
    Ok(store.put(part, sums, data).await?.incarnation)
}

/// What was asked for and promised, over all lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// A part has one content for good; under its name there is nothing else to put.
    pub(super) length: Option<usize>,
    /// It may be there.
    pub(super) may: bool,
    /// It must be there.
    pub(super) must: bool,
}

pub(super) type Ledger = Arc<Mutex<BTreeMap<PartId, Known>>>;

/// Opens the store, compares what is there with what was promised, and works on it.
pub(super) async fn work(machine: Machine, ledger: Ledger, config: StoreConfig, seed: u64, steps: u64) {
    let store = match Store::open(&machine, DIRECTORY, config).await {
        Ok((store, opened)) => {
            // A torn write is no news after a crash, and there is no other damage.
            let torn = |what: &str| what.contains("perhaps parts") || what.contains("torn or damaged");
            assert!(opened.damage.iter().all(|damage| torn(&damage.what)), "{:?}", opened.damage);
            store
        }
        Err(error @ StorageError::Disk(DiskError::Io { .. })) => {
            machine.halt(error.to_string());
            return pending().await;
        }
        Err(error) => panic!("{error}"),
    };
    check(&store, &ledger).await;
    let mut dice = stream(seed, "workload", 0, 0);
    for _ in 0..steps {
        let target = part(dice.below(12));
        match dice.below(10) {
            0..5 => {
                let length = *dice.pick(&[0, 1, 700, 4_096, 5_000, 9_000, 12_288]);
                let other = part(12 + dice.below(12));
                let both = futures::future::join(
                    keep(&store, &ledger, target, length),
                    keep(&store, &ledger, other, 300),
                );
                both.await;
            }
            5..8 => {
                ledger.lock().unwrap().entry(target).or_default().must = false;
                if store.give_up(&[(target, 0)]).await.unwrap() != [Given::Other] {
                    ledger.lock().unwrap().entry(target).or_default().may = false;
                }
            }
            8 if store.compact().await.is_err() => {
                // Then it has stopped the server.
                return pending().await;
            }
            8 => {}
            _ => check(&store, &ledger).await,
        }
    }
    check(&store, &ledger).await;
}

async fn keep(store: &Store<Machine>, ledger: &Ledger, part: PartId, length: usize) {
    let length = {
        let mut ledger = ledger.lock().unwrap();
        let known = ledger.entry(part).or_default();
        known.may = true;
        *known.length.get_or_insert(length)
    };
    put(store, part, length).await.unwrap();
    ledger.lock().unwrap().entry(part).or_default().must = true;
}

pub(super) async fn check(store: &Store<Machine>, ledger: &Ledger) {
    let ledger = ledger.lock().unwrap().clone();
    let (kept, complete) = store.inventory(None, usize::MAX);
    assert!(complete && kept.is_sorted_by_key(|kept| kept.part));
    for kept in &kept {
        let known = ledger.get(&kept.part).copied().unwrap_or_default();
        assert!(known.may, "{} was given up, or never put", kept.part);
        assert!(!kept.damaged, "{} is damaged", kept.part);
    }
    for (part, known) in &ledger {
        match store.read_whole(*part).await {
            Ok((data, _)) => {
                assert!(known.may, "{part} is back");
                assert_eq!(data, bytes(*part, known.length.unwrap_or(0)), "{part} has other bytes");
                assert_eq!(store.verify(*part).await, Ok(Health::Good));
            }
            Err(StoreError::Absent) => assert!(!known.must, "{part} is gone"),
            Err(error) => panic!("{part}: {error}"),
        }
    }
}

pub(super) fn go(
    machine: &Machine,
    ledger: &Ledger,
    config: &StoreConfig,
    seed: u64,
    steps: u64,
    faults: Faults,
) -> End<()> {
    machine.run(faults, work(machine.clone(), ledger.clone(), config.clone(), seed, steps))
}
