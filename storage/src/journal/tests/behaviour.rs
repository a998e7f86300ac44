//! What a journal does while nothing fails, and when something does.

use super::workload::{DIRECTORY, Ledger, Round, config, formatted, go, record, reopen};
use crate::error::StorageError;
use crate::journal::{Journal, JournalConfig, Position, Recovered, StreamId, Tail};
use crate::testing::{End, Faults, Machine};
use bytes::Bytes;
use futures::future::{join_all, poll_immediate};
use mooseng_core::env::sleep;
use mooseng_core::event::Event;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const STREAM: StreamId = StreamId(1);

fn numbers(recovered: &Recovered) -> Vec<u64> {
    recovered
        .records
        .iter()
        .map(|record| u64::from_le_bytes(record.bytes[8..16].try_into().unwrap()))
        .collect()
}

async fn open(env: &Machine, config: &JournalConfig) -> (Journal<Machine>, Recovered) {
    Journal::open(env, DIRECTORY, config.clone()).await.unwrap()
}

/// Runs a body with a freshly formatted machine and its configuration.
fn fresh<T, F>(config: JournalConfig, body: impl FnOnce(Machine, JournalConfig) -> F) -> (Machine, T)
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let machine = formatted(1, &config);
    let value = machine.finish(body(machine.clone(), config));
    (machine, value)
}

#[test]
fn appends_of_many_streams_share_syncs() {
    let (machine, ()) =
        fresh(JournalConfig { segment_bytes: 1 << 20, ..config() }, |env, config| async move {
            let (journal, _) = open(&env, &config).await;
            sleep(&env, Duration::from_secs(1)).await;
            let (_, before) = env.operations();
            let appends = (0..64).map(|id| journal.append(StreamId(id), vec![Bytes::from_static(b"x")]));
            let positions: Vec<Position> = join_all(appends).await.into_iter().map(Result::unwrap).collect();
            assert!(positions.is_sorted(), "in the order of the calls");
            let (_, after) = env.operations();
            assert!(after - before <= 3, "{} syncs for 64 appends", after - before);
        });
    assert_eq!(reopen(&machine, &config()).records.len(), 64);
}

#[test]
fn an_append_is_queued_by_the_call_and_written_even_if_nobody_waits() {
    let (machine, ()) = fresh(config(), |env, config| async move {
        let (journal, _) = open(&env, &config).await;
        drop(journal.append(STREAM, vec![record(STREAM, 0)]));
        let second = journal.append(STREAM, vec![record(STREAM, 1)]);
        let third = journal.append(STREAM, vec![record(STREAM, 2)]);
        let (third, second) = (third.await.unwrap(), second.await.unwrap());
        assert!(second < third);
    });
    assert_eq!(numbers(&reopen(&machine, &config())), [0, 1, 2]);
}

#[test]
fn an_empty_append_waits_for_those_before_it() {
    fresh(config(), |env, config| async move {
        let (journal, _) = open(&env, &config).await;
        let first = journal.append(STREAM, vec![record(STREAM, 0)]);
        let barrier = journal.append(STREAM, Vec::new()).await.unwrap();
        let first = poll_immediate(pin!(first)).await.expect("it is durable").unwrap();
        assert!(first < barrier);
    });
}

#[test]
fn there_is_no_room_while_too_much_waits() {
    fresh(config(), |env, config| async move {
        let (journal, _) = open(&env, &config).await;
        assert!(poll_immediate(pin!(journal.room())).await.is_some());
        let appends: Vec<_> =
            (0..20).map(|number| journal.append(STREAM, vec![Bytes::from(vec![number; 1_000])])).collect();
        assert!(poll_immediate(pin!(journal.room())).await.is_none(), "20 KB wait and 8 KiB may");
        journal.room().await;
        let positions: Vec<Position> = join_all(appends).await.into_iter().map(Result::unwrap).collect();
        assert!(positions.is_sorted());
        assert!(poll_immediate(pin!(journal.room())).await.is_some());
    });
}

/// One slow stream keeps segments; when it lets go they are used again, and the disk stays small.
#[test]
fn released_segments_are_used_again() {
    let (machine, ()) = fresh(config(), |env, config| async move {
        let (journal, _) = open(&env, &config).await;
        let slow = journal.append(StreamId(2), vec![record(StreamId(2), 0)]).await.unwrap();
        for number in 0..200 {
            let position = journal.append(STREAM, vec![record(STREAM, number)]).await.unwrap();
            journal.release(STREAM, position);
        }
        assert!(journal.pinned_bytes(STREAM) < 1_024, "all but the last record are released");
        assert!(journal.pinned_bytes(StreamId(2)) > 50_000);
        let full = env.with_images(|images| images.dump()).len();
        assert!(full > 8, "{full} files");
        journal.release(StreamId(2), Position(slow.0 + 1));
        for number in 200..260 {
            let position = journal.append(STREAM, vec![record(STREAM, number)]).await.unwrap();
            journal.release(STREAM, position);
            sleep(&env, Duration::from_millis(5)).await;
        }
        let left = env.with_images(|images| images.dump());
        assert!(left.len() <= 4, "{:?}", left.keys());
        assert_eq!(journal.pinned_bytes(StreamId(2)), 0);
    });
    let recovered = reopen(&machine, &config());
    assert_eq!(recovered.tail, Tail::Clean);
    assert_eq!(numbers(&recovered).last(), Some(&259));
}

/// An idle journal proves its last sync, so that losing the last batch is known as damage.
#[test]
fn an_idle_journal_proves_its_last_sync() {
    let (machine, position) = fresh(config(), |env, config| async move {
        let (journal, _) = open(&env, &config).await;
        let position = journal.append(STREAM, vec![record(STREAM, 0)]).await.unwrap();
        let (_, syncs) = env.operations();
        sleep(&env, Duration::from_secs(1)).await;
        assert!(env.operations().1 - syncs <= 2, "at most the next segment's");
        position
    });
    machine.with_images(|images| {
        images.alter(&format!("{DIRECTORY}/{:020}.segment", 1), |bytes| bytes[position.0 as usize] ^= 1)
    });
    assert!(matches!(reopen(&machine, &config()).tail, Tail::Damaged { .. }));
}

#[test]
fn a_failed_sync_stops_the_server_and_nothing_is_acknowledged_after_it() {
    let config = config();
    let machine = formatted(1, &config);
    let (told, env, opening) = (Arc::new(Mutex::new(Vec::new())), machine.clone(), config.clone());
    let told_by = told.clone();
    // Of the first syncs one is the directory's at opening; the next may be the keeper's.
    let faults = Faults { fail_sync_at: Some(4), ..Faults::default() };
    let end = machine.run(faults, async move {
        let (journal, _) = open(&env, &opening).await;
        for number in 0..100 {
            let result = journal.append(STREAM, vec![record(STREAM, number)]).await;
            told_by.lock().unwrap().push(result);
        }
    });
    let End::Halted(why) = end else { panic!("{end:?}") };
    assert!(why.starts_with("journal journal: ") && why.contains("the disk failed"), "{why}");
    let acknowledged = told.lock().unwrap().iter().filter(|result| result.is_ok()).count() as u64;
    // The cache shows what the failed sync did not write; opening must not build on that.
    let first = reopen(&machine, &config);
    assert!(first.records.len() as u64 >= acknowledged);
    machine.lose_power();
    assert_eq!(reopen(&machine, &config).records, first.records, "what was given back once is durable");
}

#[test]
fn appends_after_a_failure_are_errors() {
    let config = config();
    let machine = formatted(1, &config);
    let (env, opening) = (machine.clone(), config.clone());
    let results: Arc<Mutex<Vec<Result<Position, StorageError>>>> = Arc::default();
    let sink = results.clone();
    let end = machine.run(Faults { fail_sync_at: Some(3), ..Faults::default() }, async move {
        let (journal, _) = open(&env, &opening).await;
        let many = (0..40).map(|number| journal.append(STREAM, vec![record(STREAM, number)]));
        let many: Vec<_> = many.collect();
        let mut all = join_all(many).await;
        all.push(journal.append(STREAM, vec![record(STREAM, 99)]).await);
        all.push(journal.settle().await.map(|()| Position(0)));
        *sink.lock().unwrap() = all;
    });
    // The machine halts the moment it is told; what was decided by then is what counts.
    assert!(matches!(end, End::Halted(_)), "{end:?}");
    for result in results.lock().unwrap().iter() {
        assert!(matches!(result, Ok(_) | Err(StorageError::Stopped { .. })), "{result:?}");
    }
}

#[test]
fn a_full_disk_makes_appends_wait_until_there_is_space() {
    let (_, ()) = fresh(config(), |env, config| async move {
        let (journal, _) = open(&env, &config).await;
        sleep(&env, Duration::from_secs(1)).await;
        env.with_images(|images| images.bytes_max = Some(3 * 8_192));
        let appends = (0..60).map(|number| journal.append(STREAM, vec![record(STREAM, number)]));
        let mut all = pin!(join_all(appends.collect::<Vec<_>>()));
        let waited = mooseng_core::env::timeout(&env, Duration::from_secs(5), &mut all).await;
        assert!(waited.is_err(), "60 records need more than three segments");
        assert!(
            env.notes().iter().any(|note| matches!(note, Event::Note(line) if line.contains("no space")))
        );
        env.with_images(|images| images.bytes_max = None);
        assert!(all.await.into_iter().all(|result| result.is_ok()));
    });
}

/// An ambiguous tail is reported again and again, over appends and crashes, until it is settled.
#[test]
fn an_ambiguous_tail_is_reported_until_it_is_settled() {
    let config = config();
    let machine = formatted(1, &config);
    let ledger: Arc<Mutex<Ledger>> = Arc::default();
    let round = |seed, settle| Round { seed, streams: 2, calls: 5, settle, release: false };
    go(&machine, &ledger, &config, round(1, false), Faults::default());
    let dump = machine.with_images(|images| images.dump());
    let last = dump.keys().rfind(|name| name.ends_with(".segment")).unwrap();
    machine.with_images(|images| images.alter(last, |bytes| *bytes.last_mut().unwrap() = 1));
    let Tail::Ambiguous { after, .. } = reopen(&machine, &config).tail else { panic!("rubbish at the end") };
    for seed in 2..5 {
        let end = go(&machine, &ledger, &config, round(seed, false), Faults::default());
        assert!(matches!(end, End::Done(Tail::Ambiguous { after: again, .. }) if again == after), "{end:?}");
        machine.lose_power();
    }
    go(&machine, &ledger, &config, round(6, true), Faults::default());
    machine.lose_power();
    assert_eq!(go(&machine, &ledger, &config, round(7, true), Faults::default()), End::Done(Tail::Clean));
}

/// The wish to settle counts when it is durable, not before.
#[test]
fn settling_survives_a_crash_or_did_not_happen() {
    let config = config();
    let torn = formatted(1, &config);
    let segment = format!("{DIRECTORY}/{:020}.segment", 1);
    torn.with_images(|images| images.alter(&segment, |bytes| bytes[6_000] = 1));
    let mut seen = [0, 0];
    for crash_at in 0..40 {
        let machine = torn.copy(crash_at);
        let (env, opening, settled) = (machine.clone(), config.clone(), Arc::new(Mutex::new(false)));
        let told = settled.clone();
        machine.run(Faults { crash_at: Some(crash_at), ..Faults::default() }, async move {
            let (journal, recovered) = open(&env, &opening).await;
            assert!(matches!(recovered.tail, Tail::Ambiguous { .. }), "{recovered:?}");
            journal.settle().await.unwrap();
            *told.lock().unwrap() = true;
            sleep(&env, Duration::from_secs(1)).await;
        });
        machine.lose_power();
        let clean = reopen(&machine, &config).tail == Tail::Clean;
        assert!(clean || !*settled.lock().unwrap(), "crash at {crash_at}: settled and forgotten");
        seen[usize::from(clean)] += 1;
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

/// Sizes may change between two openings; what was written under the old ones stays readable.
#[test]
fn sizes_may_change() {
    let small = config();
    let large = JournalConfig { segment_bytes: 65_536, sector_bytes: 4_096, ..config() };
    let machine = formatted(1, &small);
    let ledger: Arc<Mutex<Ledger>> = Arc::default();
    for (seed, config) in [&small, &large, &small, &large, &large].into_iter().enumerate() {
        let round = Round { seed: seed as u64, streams: 2, calls: 20, settle: false, release: seed % 2 == 1 };
        assert_eq!(go(&machine, &ledger, config, round, Faults::default()), End::Done(Tail::Clean));
    }
    ledger.lock().unwrap().check(&reopen(&machine, &small));
}

#[test]
fn tasks_end_when_the_last_handle_goes_and_everything_is_written() {
    let (machine, ()) = fresh(config(), |env, config| async move {
        let (journal, _) = open(&env, &config).await;
        let other = journal.clone();
        drop(journal);
        for number in 0..20 {
            drop(other.append(STREAM, vec![record(STREAM, number)]));
        }
        drop(other);
        sleep(&env, Duration::from_secs(2)).await;
    });
    assert_eq!(numbers(&reopen(&machine, &config())), (0..20).collect::<Vec<u64>>());
}
