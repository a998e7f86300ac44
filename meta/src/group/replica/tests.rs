//! Scripts: a small group driven by hand, message by message, without a machine.

mod conduct;
mod doubt;
mod group;
mod rubbish;
mod votes;
