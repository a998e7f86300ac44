//! The simulator: a machine on which whole clusters run in one process under one seed
//! ([`machine`]), and what judges them: a reference file system ([`model`]), oracles over what
//! clients and replicas saw ([`oracle`], [`history`]), and plans that say what is to happen ([`plan`]).

pub mod bugs;
mod cluster;
pub mod exhaustive;
pub mod history;
pub mod machine;
pub mod model;
pub mod oracle;
pub mod plan;
pub mod run;
pub mod shrink;
pub mod timeline;
pub mod trace;
