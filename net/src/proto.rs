//! The messages and services of `proto/`, as prost and our own generator write them: a module for
//! each .proto file. What they mean is said there; [`crate::convert`] checks them.

/// Everything of package `mooseng.v1`.
#[allow(clippy::all, clippy::too_many_lines, unreachable_pub, reason = "generated")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/mooseng.v1.rs"));
}

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

#[cfg(test)]
mod tests;
