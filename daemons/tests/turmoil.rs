//! The frame code that production runs, over turmoil's simulated TCP: hosts with latency between
//! them, virtual time and segments instead of a byte-exact loopback. A second opinion on the
//! connection half of the contract.

#[path = "support/simulated.rs"]
mod simulated;
mod support;

use simulated::run_pair;

macro_rules! alone {
    ($name:ident, $case:path) => {};
}

macro_rules! pair {
    // Turmoil loses the end of a stream that finds the far end's queue full.
    (a_send_dropped_midway_closes_the_connection, $listen:path, $dial:path) => {};
    ($name:ident, $listen:path, $dial:path) => {
        #[test]
        fn $name() {
            run_pair(|env, address| $listen(env, address), |env, address| $dial(env, address));
        }
    };
}

mooseng_core::contract_cases!(alone, pair);
