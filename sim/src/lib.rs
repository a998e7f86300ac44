//! The simulator: a machine on which whole clusters run in one process under one seed
//! ([`machine`]).

pub mod machine;
