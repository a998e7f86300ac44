//! The metadata service.

pub mod apply;
pub mod census;
pub mod collect;
pub mod command;
pub mod group;
pub mod image;
pub mod inventory;
mod permission;
pub mod query;
pub mod repair;
pub mod server;
mod sessions;
pub mod state;
pub mod tree;
