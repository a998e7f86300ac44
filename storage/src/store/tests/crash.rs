//! The power goes at every disk operation, and nothing that was promised is lost.

use super::workload::{Ledger, config, formatted, go};
use crate::testing::{End, Faults};
use mooseng_core::chance::{Dice, stream};

const SEEDS: u64 = 100;

/// Every crash point of a small workload, several ways for the disk to come out of each.
#[test]
fn a_crash_anywhere_loses_nothing_acknowledged() {
    let config = config();
    let whole = formatted(1, &config);
    assert_eq!(go(&whole, &Ledger::default(), &config, 1, 20, Faults::default()), End::Done(()));
    let (operations, _) = whole.operations();
    assert!(operations > 100, "the workload does {operations} disk operations");
    for crash_at in 0..operations {
        for seed in 0..3 {
            let ledger = Ledger::default();
            let machine = formatted(1, &config);
            let faults = Faults { crash_at: Some(crash_at), ..Faults::default() };
            assert_eq!(go(&machine, &ledger, &config, 1, 20, faults), End::Crashed);
            let machine = machine.copy(seed);
            machine.lose_power();
            assert_eq!(go(&machine, &ledger, &config, 2, 0, Faults::default()), End::Done(()));
        }
    }
}

/// Crash after crash, at random: power cuts, mere restarts and failing syncs, under limits of all
/// sizes.
#[test]
fn crash_after_crash_loses_nothing_acknowledged() {
    let mut halts = 0;
    for seed in 0..SEEDS {
        let mut dice = stream(seed, "crashes", 0, 0);
        let mut config = config();
        config.sector_bytes = *dice.pick(&[512, 4_096]);
        config.segment_bytes = *dice.pick(&[16_384, 32_768, 65_536]);
        config.batch_bytes_max = *dice.pick(&[1, 5_000, 20_000]);
        config.needed_percent_max = *dice.pick(&[20, 50, 90]);
        let ledger = Ledger::default();
        let machine = formatted(seed, &config);
        for _ in 0..6 {
            let faults = Faults {
                crash_at: (dice.below(5) > 0).then(|| dice.below(300)),
                fail_sync_at: (dice.below(4) == 0).then(|| dice.below(40)),
                buggify: *dice.pick(&[0, 100_000]),
            };
            let steps = dice.between(1, 30);
            let end = go(&machine, &ledger, &config, dice.word(), steps, faults);
            halts += u64::from(matches!(end, End::Halted(_)));
            if dice.below(4) > 0 {
                machine.lose_power();
            }
        }
        assert_eq!(go(&machine, &ledger, &config, 1, 0, Faults::default()), End::Done(()), "seed {seed}");
    }
    assert!(halts > SEEDS / 8, "{halts} failed syncs");
}
