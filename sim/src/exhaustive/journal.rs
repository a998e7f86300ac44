//! The journal on the simulated disk: every workload of up to so many appends and releases, a power
//! cut before, during and after every disk operation of it, and one more in the life after that.

use super::lives::{Lives, Spot};
use super::{Tried, sequences};
use crate::machine::SimEnv;
use bytes::Bytes;
use mooseng_storage::{Journal, JournalConfig, Position, Recovered, StreamId, Tail};
use std::sync::{Arc, Mutex, PoisonError};

const DIRECTORY: &str = "journal";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Two small records, which are recovered together or not at all.
    Pair,
    /// A record that nearly fills a segment.
    Large,
    /// Two appends at once, of two streams: one batch or two.
    Both,
    /// Everything before is not needed any more.
    Release,
}

const STEPS: [Step; 4] = [Step::Pair, Step::Large, Step::Both, Step::Release];

fn config() -> JournalConfig {
    JournalConfig {
        segment_bytes: 8 << 10,
        batch_bytes_max: 4 << 10,
        queue_bytes_max: 64 << 10,
        sector_bytes: 512,
    }
}

/// One record, as it was appended.
struct Appended {
    stream: StreamId,
    bytes: Bytes,
    /// The serial number of the first record of its append: all of them are recovered, or none.
    first: usize,
    acknowledged: Option<Position>,
}

/// What one journal was asked and has promised, over all lives of its node.
#[derive(Default)]
struct Ledger {
    /// By serial number.
    appended: Vec<Appended>,
    /// Records below were given up, by stream.
    released: [Position; 2],
    lives: u32,
    fault: Option<String>,
}

type Shared = Arc<Mutex<Ledger>>;

fn lock(ledger: &Shared) -> std::sync::MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tries everything; an error says what went wrong and how to see it again.
pub fn journal(longest: usize) -> Result<Tried, String> {
    let mut tried = Tried::default();
    for steps in sequences(&STEPS, longest) {
        tried.workloads += 1;
        for spot in play(&steps, None)?.spots() {
            tried.crashes += 1;
            play(&steps, Some(spot)).map_err(|what| format!("{steps:?}, crash {spot:?}: {what}"))?;
        }
    }
    Ok(tried)
}

/// The workload with a crash in it, the workload again with a crash at the end, and a last look.
fn play(steps: &[Step], crash: Option<Spot>) -> Result<Lives, String> {
    let ledger = Shared::default();
    let seed = crash.map_or(0, |spot| u64::from(spot.count));
    let format = |env| async move { Journal::<SimEnv>::format(&env, DIRECTORY, &config()).await };
    let mut lives = Lives::begin(seed, format)?;
    if let Some(spot) = crash {
        lives.strike_at(spot, Lives::power_cut())?;
    }
    let (shared, steps) = (ledger.clone(), steps.to_vec());
    lives.live(move |env| live(env, shared.clone(), steps.clone()), || lock(&ledger).fault.take())?;
    // The first life may have been cut short before it had opened the journal; the others were not.
    assert!(lock(&ledger).lives >= 2, "the journal was opened {} times", lock(&ledger).lives);
    Ok(lives)
}

async fn live(env: SimEnv, ledger: Shared, steps: Vec<Step>) {
    let opened = Journal::open(&env, DIRECTORY, config()).await;
    let journal = {
        let mut ledger = lock(&ledger);
        match opened {
            Ok((journal, recovered)) => {
                ledger.lives += 1;
                ledger.fault = verify(&ledger, &recovered).err();
                journal
            }
            Err(error) => {
                ledger.fault = Some(format!("the journal cannot be opened: {error}"));
                return;
            }
        }
    };
    if journal.settle().await.is_err() {
        return;
    }
    for step in steps {
        let done = match step {
            Step::Pair => append(&journal, &ledger, 0, &[100, 200]).await,
            Step::Large => append(&journal, &ledger, 0, &[3_000]).await,
            Step::Both => {
                let one = append(&journal, &ledger, 0, &[300]);
                let other = append(&journal, &ledger, 1, &[600]);
                let (one, other) = futures::future::join(one, other).await;
                one.and(other)
            }
            Step::Release => {
                let mut ledger = lock(&ledger);
                for stream in 0..2 {
                    let own = ledger.appended.iter().filter(|record| record.stream.0 == stream as u64);
                    if let Some(last) = own.filter_map(|record| record.acknowledged).max() {
                        ledger.released[stream] = last;
                        journal.release(StreamId(stream as u64), last);
                    }
                }
                Ok(())
            }
        };
        if done.is_err() {
            return;
        }
    }
}

async fn append(journal: &Journal<SimEnv>, ledger: &Shared, stream: u64, sizes: &[usize]) -> Result<(), ()> {
    let (records, serials): (Vec<Bytes>, Vec<usize>) = {
        let mut ledger = lock(ledger);
        let first = ledger.appended.len();
        let make = |size: &usize| {
            let serial = ledger.appended.len();
            let mut bytes = vec![serial as u8; *size];
            bytes[..8].copy_from_slice(&(serial as u64).to_le_bytes());
            let bytes = Bytes::from(bytes);
            let (stream, acknowledged) = (StreamId(stream), None);
            ledger.appended.push(Appended { stream, bytes: bytes.clone(), first, acknowledged });
            (bytes, serial)
        };
        sizes.iter().map(make).unzip()
    };
    let position = journal.append(StreamId(stream), records).await.map_err(drop)?;
    let mut ledger = lock(ledger);
    serials.iter().for_each(|serial| ledger.appended[*serial].acknowledged = Some(position));
    Ok(())
}

/// What an opening gave against what was promised before it.
fn verify(ledger: &Ledger, recovered: &Recovered) -> Result<(), String> {
    if let Tail::Damaged { why, .. } = &recovered.tail {
        return Err(format!("a power cut is taken for damage: {why}"));
    }
    let mut found = vec![false; ledger.appended.len()];
    let mut before = None;
    for record in &recovered.records {
        let serial = u64::from_le_bytes(std::array::from_fn(|index| record.bytes[index])) as usize;
        let Some(appended) = ledger.appended.get(serial) else {
            return Err(format!("record {serial} was never appended"));
        };
        if appended.stream != record.stream || appended.bytes != record.bytes {
            return Err(format!("record {serial} is not what was appended"));
        }
        if before.is_some_and(|before| before > record.position) || found[serial] {
            return Err(format!("record {serial} is out of order, or there twice"));
        }
        before = Some(record.position);
        found[serial] = true;
    }
    for (serial, record) in ledger.appended.iter().enumerate() {
        let released = ledger.released[record.stream.0 as usize];
        let kept = record.acknowledged.is_some_and(|position| position >= released);
        if kept && !found[serial] {
            return Err(format!("record {serial}, acknowledged at {:?}, is gone", record.acknowledged));
        }
        if found[serial] != found[record.first] {
            return Err(format!("record {serial} was recovered without all of its append"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mooseng_core::plant;

    #[test]
    fn every_crash_of_every_small_workload_is_survived() {
        let tried = journal(2).unwrap();
        assert_eq!(tried.workloads, 4 + 16);
        assert!(tried.crashes > 300, "{tried:?}");
    }

    /// The search can see: each of these loses something, and it says so.
    #[test]
    fn planted_bugs_of_the_journal_are_found() {
        for bug in ["journal-ack-before-sync", "journal-missing-sync-dir"] {
            plant::activate(Some(bug));
            let found = journal(2);
            plant::activate(None);
            assert!(found.is_err(), "{bug} was not found");
        }
    }
}
