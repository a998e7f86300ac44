//! The suite that every machine passes, on calm days and on drawn ones.

use super::super::{MachineConfig, SimEnv};
use super::{LIMIT, world_of};
use mooseng_core::chance::stream;
use mooseng_core::env::Address;
use std::future::Future;

const SEEDS: u64 = 7;

/// On every fourth seed both sides of a pair are one node.
const ALONE_EVERY: u64 = 4;

/// A calm machine for the first seeds; for the others one whose pace is drawn, but which loses
/// nothing: losing is no part of the contract.
fn config(seed: u64) -> MachineConfig {
    if seed < 3 {
        return MachineConfig::calm();
    }
    let mut config = MachineConfig::draw(&mut stream(seed, "contract", 0, 0));
    config.network.reset_ppm = 0;
    config.network.corrupt_ppm = 0;
    config.network.backlog = 128;
    config
}

fn alone<F: Future<Output = ()> + Send + 'static>(case: impl Fn(SimEnv) -> F) {
    for seed in 0..SEEDS {
        let (mut sim, nodes) = world_of(seed, config(seed), &["one"]);
        let env = sim.env(nodes[0]);
        assert!(sim.run(nodes[0], LIMIT, case(env)).is_some(), "seed {seed}: it does not end");
    }
}

fn pair<F, G>(listen: impl Fn(SimEnv, Address) -> F, dial: impl Fn(SimEnv, Address) -> G)
where
    F: Future<Output = ()> + Send + 'static,
    G: Future<Output = ()> + Send + 'static,
{
    for seed in 0..SEEDS {
        let (mut sim, nodes) = world_of(seed, config(seed), &["one", "two"]);
        let address = Address::new("one:9420");
        let dialler = nodes[usize::from(seed % ALONE_EVERY != 0)];
        let listening = listen(sim.env(nodes[0]), address.clone());
        let (done, ended) = futures::channel::oneshot::channel();
        sim.spawn(nodes[0], "listen", async move {
            listening.await;
            let _ = done.send(());
        });
        let dialling = dial(sim.env(dialler), address);
        let both = sim.run(dialler, LIMIT, async move {
            dialling.await;
            ended.await
        });
        assert_eq!(both, Some(Ok(())), "seed {seed}: it does not end");
    }
}

macro_rules! alone_case {
    ($name:ident, $case:path) => {
        #[test]
        fn $name() {
            alone(|env| $case(env));
        }
    };
}

macro_rules! pair_case {
    ($name:ident, $listen:path, $dial:path) => {
        #[test]
        fn $name() {
            pair(|env, address| $listen(env, address), |env, address| $dial(env, address));
        }
    };
}

mooseng_core::contract_cases!(alone_case, pair_case);
