//! The rules of apply: as scripts, one case after the other, and at random beside a naive model.

mod data;
mod model;
mod permission;
mod posix;
mod random;
mod script;
mod session;
mod transcript;
mod xattr;

use super::apply;
use crate::command::{Applied, Command, CommandKind, Reply};
use crate::state::{State, StateConfig, check};
use mooseng_core::id::{InodeId, SessionId};
use mooseng_core::namespace::{Caller, Op, Outcome};
use mooseng_core::time::{Stamp, WallTime};

/// A state with one session that asks for one thing after the other.
struct Shard {
    state: State,
    session: SessionId,
    sequence: u64,
    /// What a script goes on with by its number.
    opened: Option<InodeId>,
}

impl Shard {
    fn new(config: StateConfig) -> Self {
        let mut state = State::new(config);
        let applied =
            apply(&mut state, 1, &command(0, CommandKind::OpenSession { nonce: [1; 16], caches: false }));
        let Reply::Session { session } = applied.reply else { panic!("a session: {applied:?}") };
        Self { state, session, sequence: 0, opened: None }
    }

    /// Applies the command at the next index.
    fn apply(&mut self, time: i64, kind: CommandKind) -> Applied {
        let index = self.state.applied() + 1;
        apply(&mut self.state, index, &command(time, kind))
    }

    /// Nobody has anything open.
    fn collect(&mut self) {
        let orphans = self.state.orphans_from(None).collect();
        assert_eq!(self.apply(0, CommandKind::Collect { orphans }).reply, Reply::Done);
        assert_eq!((check(&self.state), self.state.orphans_from(None).next()), (Ok(()), None));
    }

    /// The outcome of a fresh request of root's.
    fn ask(&mut self, time: i64, op: Op) -> Outcome {
        self.ask_as(&Caller::ROOT, time, op)
    }

    /// A refusal has changed nothing in the tree.
    fn ask_as(&mut self, caller: &Caller, time: i64, op: Op) -> Outcome {
        self.sequence += 1;
        let (session, sequence) = (self.session, self.sequence);
        let tree = |state: &State| (state.inodes.sum(), state.entries.sum(), state.counters.sum());
        let before = tree(&self.state);
        let (slot, caller) = (op.slot(), caller.clone());
        let applied = self
            .apply(time, CommandKind::Mutate { session, sequence, low_water: sequence, slot, op, caller });
        let Reply::Outcome { outcome, index } = applied.reply else { panic!("an outcome: {applied:?}") };
        assert_eq!(index, self.state.applied());
        if outcome.is_err() {
            assert_eq!(before, tree(&self.state), "a refusal changed something");
        }
        assert_eq!(check(&self.state), Ok(()));
        outcome
    }
}

fn command(time: i64, kind: CommandKind) -> Command {
    Command { time: WallTime(time), stamp: Stamp(time.unsigned_abs()), region: 0, kind }
}
