//! The metadata service.

pub mod apply;
pub mod command;
pub mod group;
pub mod image;
mod permission;
pub mod query;
pub mod server;
mod sessions;
pub mod state;
pub mod tree;
