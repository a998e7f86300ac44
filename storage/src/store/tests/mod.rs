//! The store, as those who put, read and give up parts see it.

mod behaviour;
mod crash;
mod damage;
mod format;
mod fuzz;
mod workload;
