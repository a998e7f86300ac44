//! The journal on the simulated disk: every workload of up to so many appends and releases, a power
//! cut before, during and after every disk operation of it, and one more in the life after that.

use super::{Tried, sequences};
use crate::machine::{Fault, MachineConfig, Moment, NodeConfig, NodeId, OperationKind, Sim, SimEnv, Trigger};
use bytes::Bytes;
use mooseng_storage::{Journal, JournalConfig, Position, Recovered, StreamId, Tail};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const DIRECTORY: &str = "journal";
const LIFE: Duration = Duration::from_secs(5);
const KINDS: [OperationKind; 4] =
    [OperationKind::Write, OperationKind::Sync, OperationKind::SyncDir, OperationKind::Names];
const MOMENTS: [Moment; 3] = [Moment::Before, Moment::During, Moment::After];

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
        let (sim, node) = play(&steps, None)?;
        for kind in KINDS {
            for count in 1..=sim.counts(node).of(kind) as u32 {
                for moment in MOMENTS {
                    tried.crashes += 1;
                    play(&steps, Some((kind, count, moment)))
                        .map_err(|what| format!("{steps:?}, crash {moment:?} {kind:?} {count}: {what}"))?;
                }
            }
        }
    }
    Ok(tried)
}

/// Three lives: the workload with a crash in it, the workload again with a crash at the end, and a
/// last look.
fn play(steps: &[Step], crash: Option<(OperationKind, u32, Moment)>) -> Result<(Sim, NodeId), String> {
    let ledger = Shared::default();
    let mut sim = Sim::new(crash.map_or(0, |(_, count, _)| u64::from(count)), MachineConfig::calm());
    let node = sim.add_node("disk", NodeConfig::default());
    let (shared, own) = (ledger.clone(), steps.to_vec());
    sim.boot_idle(node);
    let env = sim.env(node);
    let formatted =
        sim.run(node, LIFE, async move { Journal::<SimEnv>::format(&env, DIRECTORY, &config()).await });
    formatted.ok_or("formatting does not end")?.map_err(|error| format!("formatting: {error}"))?;
    let over = Fault::Kill { node: "disk".to_owned(), restart_ms: None };
    sim.apply(&over).map_err(|error| error.to_string())?;
    if let Some((kind, count, moment)) = crash {
        let fault = Fault::Crash { node: "disk".to_owned(), restart_ms: None };
        let trigger = Trigger {
            node: "disk".to_owned(),
            kind,
            count,
            moment,
            prefix: String::new(),
            faults: vec![fault],
        };
        sim.arm(trigger).map_err(|error| error.to_string())?;
    }
    let power_cut = Fault::Crash { node: "disk".to_owned(), restart_ms: None };
    for _ in 0..3 {
        let (shared, steps) = (shared.clone(), own.clone());
        sim.boot(node, move |env| live(env, shared.clone(), steps.clone()));
        sim.run_for(LIFE);
        if let Some(reason) = sim.halted(node) {
            return Err(format!("the server stopped itself: {reason}"));
        }
        if let Some(fault) = lock(&ledger).fault.take() {
            return Err(fault);
        }
        sim.apply(&power_cut).map_err(|error| error.to_string())?;
        sim.run_for(Duration::from_millis(1));
    }
    // The first life may have been cut short before it had opened the journal; the others were not.
    assert!(lock(&ledger).lives >= 2, "the journal was opened {} times", lock(&ledger).lives);
    Ok((sim, node))
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
