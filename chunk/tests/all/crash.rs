//! Power cuts while parts come and go: what was acknowledged is there, and what was given up is not.

use crate::world::{World, bytes, name, part};
use mooseng_core::chance::{Dice, stream};
use mooseng_core::env::sleep;
use mooseng_net::proto::chunk::PartOutcome;
use mooseng_sim::machine::Fault;
use std::collections::BTreeMap;
use std::time::Duration;

const SEEDS: u64 = 12;

#[derive(Clone, Copy, Default, Debug)]
struct Known {
    may: bool,
    must: bool,
}

#[test]
fn what_was_acknowledged_survives_power_cuts() {
    let mut acknowledged = 0;
    for seed in 0..SEEDS {
        let mut world = World::new(seed, 1);
        let mut dice = stream(seed, "power cuts", 0, 0);
        let mut known: BTreeMap<u64, Known> = BTreeMap::new();
        for round in 0..5_u64 {
            let fault = Fault::Crash { node: name(1), restart_ms: Some(50) };
            let after = Duration::from_millis(dice.between(5, 400));
            let control = world.sim.control().clone();
            known = world.run(move |caller| async move {
                check(&caller, &known).await;
                let mut dice = stream(seed, "work", round, 0);
                let cut = async {
                    sleep(&caller.env, after).await;
                    control.apply(&fault).unwrap();
                };
                let work = async {
                    for turn in 0..25 {
                        let number = round * 100 + turn + 1;
                        let length = *dice.pick(&[10, 3_000, 9_000, 30_000]);
                        let part = part(number, 0);
                        known.insert(number, Known { may: true, must: false });
                        if let Ok(outcome) = caller.put(1, part, bytes(part, length)).await {
                            assert_eq!(outcome, PartOutcome::Done);
                            known.insert(number, Known { may: true, must: true });
                        }
                        if dice.below(3) == 0 {
                            let gone = dice.between(1, number);
                            if let Some(known) = known.get_mut(&gone) {
                                known.must = false;
                                let (client, request) = (caller.client(1), request(gone));
                                known.may = client.delete(&request, caller.soon()).await.is_err();
                            }
                        }
                    }
                };
                futures::future::join(cut, work).await;
                known
            });
        }
        acknowledged += known.values().filter(|known| known.must).count();
        world.run(move |caller| async move { check(&caller, &known).await });
    }
    assert!(acknowledged > 300, "{acknowledged} parts");
}

fn request(number: u64) -> mooseng_net::proto::chunk::DeletePartsRequest {
    let part = part(number, 0);
    let name = mooseng_net::proto::chunk::PartName { slice: part.slice.raw(), index: 0, incarnation: 0 };
    mooseng_net::proto::chunk::DeletePartsRequest { server: 1, parts: vec![name], moment: None }
}

async fn check(caller: &crate::world::Caller, known: &BTreeMap<u64, Known>) {
    for (number, known) in known {
        let part = part(*number, 0);
        let read = loop {
            match caller.read(1, part, 0, 1 << 20).await {
                Ok(read) => break read,
                Err(_) => sleep(&caller.env, Duration::from_millis(20)).await,
            }
        };
        match read {
            Ok(data) => {
                assert!(known.may, "part {number} is back");
                assert_eq!(data, bytes(part, data.len()), "part {number} has other bytes");
            }
            Err(outcome) => {
                assert_eq!(outcome, PartOutcome::Absent, "part {number}");
                assert!(!known.must, "part {number} is gone");
            }
        }
    }
}
