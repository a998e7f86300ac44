//! Sides of a case on the real machine.

#![allow(dead_code, reason = "each test binary uses its part of this")]

use crate::support::{self, Directory};
use mooseng::machine::RealEnv;
use mooseng_core::env::Address;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// A case that takes longer hangs.
const CASE_SECONDS_MAX: u64 = 60;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn finish(case: impl Future<Output = ()>) {
    let limit = Duration::from_secs(CASE_SECONDS_MAX);
    runtime().block_on(async { tokio::time::timeout(limit, case).await.expect("the case hangs") });
}

fn start(directory: &Directory) -> RealEnv {
    RealEnv::start_with(directory.path(), |reason| panic!("halted: {reason}")).expect("a machine")
}

pub(crate) fn run_alone<F: Future<Output = ()>>(case: impl FnOnce(RealEnv) -> F) {
    let directory = Directory::fresh();
    finish(async { case(start(&directory)).await });
}

/// Two machines, each with a disk of its own.
pub(crate) fn run_pair<A, B>(
    listen: impl FnOnce(RealEnv, Address) -> A,
    dial: impl FnOnce(RealEnv, Address) -> B,
) where
    A: Future<Output = ()> + Send + 'static,
    B: Future<Output = ()> + Send + 'static,
{
    let (one, two) = (Directory::fresh(), Directory::fresh());
    let address = support::address();
    finish(async {
        let listening = tokio::spawn(listen(start(&one), address.clone()));
        let dialling = tokio::spawn(dial(start(&two), address));
        let ends = futures::future::try_join(listening, dialling).await;
        ends.expect("both sides come to a good end");
    });
}
