//! Between the messages on the wire and the vocabulary of [`mooseng_core::namespace`]. Outwards
//! nothing can fail; inwards everything is doubted, and what cannot be is [`Malformed`], by name of
//! the field. Knows nothing of what is allowed, only of what is possible.

mod data;
mod field;
mod op;
mod outcome;

pub use data::{DAMAGED_MAX, PARTS_MAX, class, part_index, server, slice};
pub use field::{Malformed, NONCE_BYTES, count, inode, inodes, nonce, required, session, sessions, slot};
pub use op::{access, caller, write_caller};

#[cfg(test)]
mod tests;
