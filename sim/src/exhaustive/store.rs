//! The chunk store on the simulated disk: every workload of up to so many puts, deletions and
//! compactions, a power cut before, during and after every disk operation of it, in this life and
//! the two after it, and a bit that flips in a segment before every read.

use super::lives::{Lives, NODE, Spot};
use super::{Tried, sequences};
use crate::machine::{Fault, Moment, OperationKind, SimEnv, Spot as DiskSpot};
use bytes::Bytes;
use mooseng_core::checksum::leaves;
use mooseng_core::id::{PartId, SliceId, Slot};
use mooseng_storage::store::{Given, Opened};
use mooseng_storage::{Store, StoreConfig, StoreError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

const DIRECTORY: &str = "store";
const SMALL_BYTES: usize = 2_000;
const LARGE_BYTES: usize = 5_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Three small parts at once, which nearly fill a segment.
    Small,
    /// A part with a file of its own.
    Large,
    /// The oldest small parts but one, and the oldest large one, are given up.
    Delete,
    /// Whatever segment is mostly dead is emptied.
    Compact,
}

const STEPS: [Step; 4] = [Step::Small, Step::Large, Step::Delete, Step::Compact];

fn config() -> StoreConfig {
    StoreConfig {
        segment_bytes: 8 << 10,
        sector_bytes: 512,
        small_bytes_max: 4_000,
        batch_bytes_max: 16 << 10,
        queue_bytes_max: 64 << 10,
        needed_percent_max: 60,
        free_bytes_min: 0,
        files_open_max: 4,
    }
}

/// What was promised about a part.
#[derive(Clone, Copy, Default, Debug)]
struct Known {
    length: usize,
    /// It was asked for, and not certainly given up.
    may: bool,
    /// It was acknowledged, and nobody asked to give it up.
    must: bool,
}

/// What one store was asked and has promised, over all lives of its node.
#[derive(Default)]
struct Ledger {
    parts: BTreeMap<PartId, Known>,
    lives: u32,
    /// Bits flipped: parts may be damaged or gone, and none may have other bytes.
    rotten: bool,
    fault: Option<String>,
}

type Shared = Arc<Mutex<Ledger>>;

fn lock(ledger: &Shared) -> std::sync::MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What strikes a run.
#[derive(Clone, Copy, Debug)]
enum Strike {
    Crash(Spot),
    /// A bit flips before this read, in a sector that is drawn.
    Rot(u32),
}

/// Tries everything; an error says what went wrong and how to see it again.
pub fn store(longest: usize) -> Result<Tried, String> {
    let mut tried = Tried::default();
    for steps in sequences(&STEPS, longest) {
        tried.workloads += 1;
        let lives = play(&steps, None).map_err(|what| format!("{steps:?}: {what}"))?;
        let reads = 1..=lives.count(OperationKind::Read);
        for strike in lives.spots().into_iter().map(Strike::Crash).chain(reads.map(Strike::Rot)) {
            tried.crashes += 1;
            play(&steps, Some(strike)).map_err(|what| format!("{steps:?}, {strike:?}: {what}"))?;
        }
    }
    Ok(tried)
}

/// The workload with a strike in it, the workload again with a crash at the end, and a last one.
fn play(steps: &[Step], strike: Option<Strike>) -> Result<Lives, String> {
    let ledger = Shared::default();
    let seed = match strike {
        None => 0,
        Some(Strike::Crash(Spot { count, .. }) | Strike::Rot(count)) => u64::from(count),
    };
    let format = |env| async move { Store::<SimEnv>::format(&env, DIRECTORY, &config()).await };
    let mut lives = Lives::begin(seed, format)?;
    match strike {
        None => {}
        Some(Strike::Crash(spot)) => lives.strike_at(spot, Lives::power_cut())?,
        Some(Strike::Rot(count)) => {
            lock(&ledger).rotten = true;
            let spot = DiskSpot { prefix: format!("{DIRECTORY}/0"), from: Some(512), ..DiskSpot::default() };
            let rot = Fault::BitRot { node: NODE.to_owned(), spot, sectors: 1 };
            lives.strike_at(Spot { kind: OperationKind::Read, count, moment: Moment::Before }, rot)?;
        }
    }
    let (shared, steps) = (ledger.clone(), steps.to_vec());
    lives.live(move |env| live(env, shared.clone(), steps.clone()), || lock(&ledger).fault.take())?;
    // The first life may have been cut short before it had opened the store; the others were not.
    assert!(lock(&ledger).lives >= 2, "the store was opened {} times", lock(&ledger).lives);
    Ok(lives)
}

async fn live(env: SimEnv, ledger: Shared, steps: Vec<Step>) {
    let lived = async {
        let (store, opened) =
            Store::open(&env, DIRECTORY, config()).await.map_err(|error| error.to_string())?;
        lock(&ledger).lives += 1;
        check_opened(&ledger, &opened)?;
        check(&store, &ledger).await?;
        for step in steps {
            take(&store, &ledger, step).await?;
            check(&store, &ledger).await?;
        }
        Ok::<(), String>(())
    };
    if let Err(fault) = lived.await {
        lock(&ledger).fault = Some(fault);
    }
}

/// A power cut is no damage, apart from a batch that nobody was promised.
fn check_opened(ledger: &Shared, opened: &Opened) -> Result<(), String> {
    let torn = |what: &str| what.contains("perhaps parts") || what.contains("torn or damaged");
    match opened.damage.iter().find(|damage| !torn(&damage.what)) {
        Some(damage) if !lock(ledger).rotten => {
            Err(format!("a power cut is taken for damage: {}: {}", damage.file, damage.what))
        }
        _ => Ok(()),
    }
}

async fn take(store: &Store<SimEnv>, ledger: &Shared, step: Step) -> Result<(), String> {
    match step {
        Step::Small => {
            let puts = [(); 3].map(|()| put(store, ledger, SMALL_BYTES));
            futures::future::join_all(puts).await.into_iter().collect()
        }
        Step::Large => put(store, ledger, LARGE_BYTES).await,
        Step::Delete => {
            let gone: Vec<PartId> = {
                let mut ledger = lock(ledger);
                let kept = |length| {
                    let of_length =
                        move |(_, known): &(&PartId, &Known)| known.must && known.length == length;
                    ledger.parts.iter().filter(of_length).map(|(part, _)| *part)
                };
                let gone: Vec<_> =
                    kept(SMALL_BYTES).skip(1).take(2).chain(kept(LARGE_BYTES).take(1)).collect();
                gone.iter().for_each(|part| ledger.parts.entry(*part).or_default().must = false);
                gone
            };
            let wishes: Vec<_> = gone.iter().map(|part| (*part, 0)).collect();
            let given = store.give_up(&wishes).await.map_err(|error| error.to_string())?;
            for (part, given) in gone.iter().zip(given) {
                if given == Given::Other {
                    return Err(format!("{part} has another incarnation"));
                }
                lock(ledger).parts.entry(*part).or_default().may = false;
            }
            Ok(())
        }
        Step::Compact => loop {
            match store.compact().await {
                Ok(done) if done.segments == 0 => return Ok(()),
                // What goes bad on the move is kept where it was, and moved another time.
                Err(StoreError::Busy(_)) if lock(ledger).rotten => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        },
    }
}

fn bytes(part: PartId, length: usize) -> Bytes {
    let mut bytes = vec![part.slice.counter() as u8; length];
    bytes[..8].copy_from_slice(&part.slice.raw().to_le_bytes());
    bytes.into()
}

async fn put(store: &Store<SimEnv>, ledger: &Shared, length: usize) -> Result<(), String> {
    let part = {
        let mut ledger = lock(ledger);
        let counter = ledger.parts.len() as u64 + 1;
        let slice = Slot::new(1).and_then(|slot| SliceId::new(0, slot, counter)).ok_or("no slice")?;
        let part = PartId { slice, index: 0 };
        ledger.parts.insert(part, Known { length, may: true, must: false });
        part
    };
    let data = bytes(part, length);
    let sums = leaves(part, 0, &data);
    store.put(part, sums, data).await.map_err(|error| format!("{part}: {error}"))?;
    lock(ledger).parts.entry(part).or_default().must = true;
    Ok(())
}

/// What is there against what was promised.
async fn check(store: &Store<SimEnv>, ledger: &Shared) -> Result<(), String> {
    let (parts, rotten) = {
        let ledger = lock(ledger);
        (ledger.parts.clone(), ledger.rotten)
    };
    let (kept, _) = store.inventory(None, usize::MAX);
    for kept in kept {
        if !parts.get(&kept.part).is_some_and(|known| known.may) && !rotten {
            return Err(format!("{} was given up, or never put, and is there", kept.part));
        }
    }
    for (part, known) in parts {
        match store.read_whole(part).await {
            Ok((data, _)) if data != bytes(part, known.length) => {
                return Err(format!("{part} has other bytes than were put"));
            }
            Ok(_) if !known.may && !rotten => return Err(format!("{part} was given up and is back")),
            Ok(_) => {}
            Err(StoreError::Absent) if known.must && !rotten => return Err(format!("{part} is gone")),
            Err(StoreError::Damaged) if !rotten => return Err(format!("{part} is damaged")),
            Err(StoreError::Absent | StoreError::Damaged) => {}
            Err(error) => return Err(format!("{part}: {error}")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bugs::BUGS_ELSEWHERE;
    use mooseng_core::plant;

    #[test]
    fn every_crash_of_every_small_workload_is_survived() {
        let tried = store(2).unwrap();
        assert_eq!(tried.workloads, 4 + 16);
        assert!(tried.crashes > 1_000, "{tried:?}");
    }

    /// The search can see: each of these loses something, and it says so.
    #[test]
    fn planted_bugs_of_the_store_are_found() {
        let own = BUGS_ELSEWHERE.iter().filter(|(_, seen_by)| file!().ends_with(seen_by));
        let mut planted = 0;
        for (bug, _) in own {
            planted += 1;
            plant::activate(Some(bug));
            let found = store(3);
            plant::activate(None);
            assert!(found.is_err(), "{bug} was not found");
        }
        assert!(planted >= 7, "{planted} bugs");
    }
}
