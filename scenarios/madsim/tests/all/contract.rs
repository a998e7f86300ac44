//! The suite that every machine passes, here in weather that is drawn.

use mooseng_core::env::Address;
use mooseng_madsim::{MadEnv, Surroundings, World, run};
use std::future::Future;
use std::time::Duration;

const SEEDS: u64 = 8;
const LIMIT: Duration = Duration::from_secs(600);

fn under_seeds<F: Future<Output = ()> + 'static>(story: impl FnOnce(World) -> F + Copy + Send + 'static) {
    for seed in 0..SEEDS {
        run(seed, Surroundings::Seeded, LIMIT, story);
    }
}

fn alone<F: Future<Output = ()> + Send + 'static>(case: impl Fn(MadEnv) -> F + Copy + Send + 'static) {
    under_seeds(move |world| async move {
        let one = world.host("one");
        let env = one.start();
        one.spawn(case(env)).await.expect("the case ends");
    });
}

fn pair<F, G>(
    listen: impl Fn(MadEnv, Address) -> F + Copy + Send + 'static,
    dial: impl Fn(MadEnv, Address) -> G + Copy + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
    G: Future<Output = ()> + Send + 'static,
{
    under_seeds(move |world| async move {
        let (one, two) = (world.host("one"), world.host("two"));
        let address = Address::new("one:9420");
        let listening = listen(one.start(), address.clone());
        let listening = one.spawn(listening);
        let dialling = dial(two.start(), address);
        let dialling = two.spawn(dialling);
        listening.await.expect("the listening side ends");
        dialling.await.expect("the dialling side ends");
    });
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
