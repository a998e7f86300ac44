//! The real machine keeps the contract of every machine.

#[path = "support/real.rs"]
mod real;
mod support;

use real::{run_alone, run_pair};

macro_rules! alone {
    ($name:ident, $case:path) => {
        #[test]
        fn $name() {
            run_alone(|env| $case(env));
        }
    };
}

macro_rules! pair {
    ($name:ident, $listen:path, $dial:path) => {
        #[test]
        fn $name() {
            run_pair(|env, address| $listen(env, address), |env, address| $dial(env, address));
        }
    };
}

mooseng_core::contract_cases!(alone, pair);
