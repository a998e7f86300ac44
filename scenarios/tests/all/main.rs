//! Whole clusters under disasters, as tests: stories with one property each, the swarm, the kept
//! plans, and that a seed means one run.
#![allow(clippy::disallowed_methods, reason = "the tests read kept plans and the source tree")]

mod corpus;
mod determinism;
mod lists;
mod output;
mod stories;
mod swarm;
