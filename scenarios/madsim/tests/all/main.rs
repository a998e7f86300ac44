//! What is run on madsim's machine: the contract of every machine, stories of the real logic, and
//! the search for leaks.

mod cluster;
mod contract;
mod judge;
mod leaks;
mod look;
mod sight;
mod stories;
mod trouble;
mod work;
