//! What this server has to say to the leader of the metadata servers next: that it is there, that
//! it still is, and which of its parts it found damaged. A leader of another term has heard nothing
//! and is told everything again. Pure.

use mooseng_core::plant;

/// What is to be said next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    /// Who this is, and where it listens.
    Register,
    /// That it lives, and which damaged parts were found behind this number.
    Heartbeat { told: u64 },
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Presence {
    registered: bool,
    /// Of the leader that answered last.
    term: u64,
    /// The number of the last damaged part that it was told of.
    told: u64,
}

impl Presence {
    pub(crate) fn next(&self) -> Wish {
        if self.registered { Wish::Heartbeat { told: self.told } } else { Wish::Register }
    }

    /// A leader has written down who this is.
    pub(crate) fn registered(&mut self, term: u64) {
        self.registered = true;
        self.heard(term);
    }

    /// A leader has answered a heartbeat that named damaged parts up to the number `told`; one that
    /// does not know this server has listened to nothing else.
    pub(crate) fn answered(&mut self, term: u64, known: bool, told: u64) {
        self.registered = plant!("chunk-server-registers-once", known, true);
        if known && term == self.term {
            self.told = told;
        }
        self.heard(term);
    }

    fn heard(&mut self, term: u64) {
        if term != self.term {
            self.term = term;
            self.told = plant!("chunk-damage-told-to-one-leader", 0, self.told);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leader_is_told_of_every_damaged_part() {
        let mut presence = Presence::default();
        assert_eq!(presence.next(), Wish::Register);
        presence.registered(4);
        assert_eq!(presence.next(), Wish::Heartbeat { told: 0 });
        presence.answered(4, true, 9);
        assert_eq!(presence.next(), Wish::Heartbeat { told: 9 });
        presence.answered(5, true, 12);
        assert_eq!(presence.next(), Wish::Heartbeat { told: 0 }, "of 12 at most, and not of the first");
        presence.answered(5, true, 12);
        assert_eq!(presence.next(), Wish::Heartbeat { told: 12 });
    }

    #[test]
    fn a_leader_that_does_not_know_it_is_told_who_it_is_and_then_the_same() {
        let mut presence = Presence::default();
        presence.registered(4);
        presence.answered(4, false, 7);
        assert_eq!(presence.next(), Wish::Register);
        presence.registered(4);
        assert_eq!(presence.next(), Wish::Heartbeat { told: 0 });
    }
}
