//! The runner behind `cargo sim`: sweeps over seeds, the scoreboard of planted bugs, the check of
//! determinism, and the stories that each show one property. What a run is, it leaves to
//! [`mooseng_sim`].

pub mod bench;
pub mod bugs;
pub mod determinism;
pub mod exhaustive;
pub mod output;
pub mod story;
pub mod sweep;
pub mod tally;
