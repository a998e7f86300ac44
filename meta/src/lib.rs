//! The metadata service.

pub mod apply;
pub mod command;
pub mod group;
pub mod image;
pub mod query;
pub mod server;
mod sessions;
pub mod state;
pub mod tree;
