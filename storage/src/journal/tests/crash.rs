//! The power goes at every disk operation, and nothing that was promised is lost.

use super::workload::{Ledger, Round, config, formatted, go, reopen};
use crate::journal::Tail;
use crate::testing::{End, Faults};
use mooseng_core::chance::{Dice, stream};
use std::sync::{Arc, Mutex};

const SEEDS: u64 = 120;

fn round(seed: u64) -> Round {
    Round { seed, streams: 2, calls: 6, settle: false, release: true }
}

/// Every crash point of a small workload, several ways for the disk to come out of each.
#[test]
fn a_crash_anywhere_loses_nothing_acknowledged() {
    let config = config();
    let whole = formatted(1, &config);
    go(&whole, &Arc::default(), &config, round(1), Faults::default());
    let (operations, _) = whole.operations();
    assert!(operations > 40, "the workload does {operations} disk operations");
    let (mut clean, mut ambiguous) = (0, 0);
    for crash_at in 0..operations {
        for seed in 0..6 {
            let ledger: Arc<Mutex<Ledger>> = Arc::default();
            let machine = formatted(1, &config);
            let faults = Faults { crash_at: Some(crash_at), ..Faults::default() };
            assert_eq!(go(&machine, &ledger, &config, round(1), faults), End::Crashed);
            let machine = machine.copy(seed);
            machine.lose_power();
            let recovered = reopen(&machine, &config);
            ledger.lock().unwrap().check(&recovered);
            match recovered.tail {
                Tail::Clean => clean += 1,
                Tail::Ambiguous { .. } => ambiguous += 1,
                Tail::Damaged { .. } => panic!("a crash is no damage: {:?}", recovered.tail),
            }
        }
    }
    assert!(clean > 100 && ambiguous > 20, "{clean} clean, {ambiguous} ambiguous");
}

/// Crash after crash, at random: power cuts, mere restarts and failing syncs, with and without
/// settling in between, under limits of all sizes.
#[test]
fn crash_after_crash_loses_nothing_acknowledged() {
    let mut halts = 0;
    for seed in 0..SEEDS {
        let mut dice = stream(seed, "crashes", 0, 0);
        let mut config = config();
        config.sector_bytes = *dice.pick(&[512, 4_096]);
        config.segment_bytes = *dice.pick(&[8_192, 16_384, 65_536]);
        config.batch_bytes_max = *dice.pick(&[1, 1_000, 10_000]);
        let ledger: Arc<Mutex<Ledger>> = Arc::default();
        let machine = formatted(seed, &config);
        for _ in 0..6 {
            let round = Round {
                seed: dice.word(),
                streams: dice.between(1, 5),
                calls: dice.between(1, 30),
                settle: dice.below(2) == 0,
                release: dice.below(2) == 0,
            };
            let faults = Faults {
                crash_at: (dice.below(5) > 0).then(|| dice.below(150)),
                fail_sync_at: (dice.below(4) == 0).then(|| dice.below(30)),
                buggify: *dice.pick(&[0, 100_000]),
            };
            let end = go(&machine, &ledger, &config, round, faults);
            if let End::Done(Tail::Damaged { at, proven, why }) = end {
                panic!("seed {seed}: a crash is no damage: {at} {proven} {why}")
            }
            halts += u64::from(matches!(end, End::Halted(_)));
            if dice.below(4) > 0 {
                machine.lose_power();
            }
        }
        let recovered = reopen(&machine, &config);
        ledger.lock().unwrap().check(&recovered);
    }
    assert!(halts > SEEDS / 4, "{halts} failed syncs");
}
